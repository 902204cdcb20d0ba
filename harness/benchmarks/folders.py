"""Listing of folders of images, with one clear error for whatever should not be there."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.benchmarks.classes import class_index
from harness.errors import DataError, known_nearest_first


class Files(NamedTuple):
    """A kind of file, told by its suffix.

    Attributes:
        suffixes: In lower case; a file's own may be in any.
        one: What one is called.
        called: What several are called.
        formats: Which formats they have, in words.
    """

    suffixes: tuple[str, ...]
    one: str
    called: str
    formats: str


IMAGES = Files((".jpeg", ".jpg", ".png", ".webp"), "image", "images", "JPEG, PNG or WebP")
VIDEOS = Files((".mp4",), "sequence", "sequences", "MP4")


def list_files(benchmark: str, folder: Path, files: Files = IMAGES) -> list[str]:
    """List the names of a folder's files of a kind, sorted; hidden files are passed over.

    Raises:
        DataError: There is a file of another kind by its suffix, or the folder holds none.
    """
    names = []
    for entry in _visible(folder):
        if not entry.name.lower().endswith(files.suffixes) or not entry.is_file():
            article = "an" if files.one[0] in "aeiou" else "a"
            raise DataError(
                f"{benchmark}: {entry.path} is not {article} {files.one}; expected only {files.formats} files there"
            )
        names.append(entry.name)
    if not names:
        raise none_there(benchmark, folder, files)
    return sorted(names)


def list_class_folders(benchmark: str, folder: Path, files: Files = IMAGES) -> list[str]:
    """List the `wnid/file name` of every file of a kind in a folder of wnid folders, sorted.

    Files beside the wnid folders (a README, a licence) are passed over.

    Raises:
        DataError: A folder's name is not one of the 1000 wnids, or holds none, or there is no folder.
    """
    wnids = sorted(entry.name for entry in _visible(folder) if entry.is_dir())
    for wnid in wnids:
        if wnid not in class_index():
            near = ", ".join(known_nearest_first(wnid, class_index())[:3])
            raise DataError(
                f"{benchmark}: {folder / wnid} is named after none of the 1000 ImageNet wnids; nearest: {near}"
            )
    if not wnids:
        raise DataError(
            f"{benchmark}: no class folder in {folder}; expected folders of {files.called} named by wnid, as n01440764"
        )
    return [f"{wnid}/{name}" for wnid in wnids for name in list_files(benchmark, folder / wnid, files)]


def class_labels(paths: Iterable[str]) -> NDArray[np.int16]:
    """Give the class index in 0..999 of each `wnid/file name`."""
    return np.array([class_index()[path.partition("/")[0]] for path in paths], dtype=np.int16)


def none_there(benchmark: str, folder: Path, files: Files = IMAGES) -> DataError:
    """Build the error for a folder that should hold files of a kind and holds none."""
    return DataError(f"{benchmark}: no {files.one} in {folder}; expected {files.formats} files")


def _visible(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from (entry for entry in entries if not entry.name.startswith("."))
