"""Listing of folders of images, with one clear error for whatever should not be there."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.benchmarks.classes import class_index
from harness.benchmarks.dataset import no_images
from harness.errors import DataError, known_nearest_first

IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png", ".webp")


def list_images(benchmark: str, folder: Path) -> list[str]:
    """List the file names of a folder's images, sorted; hidden files are passed over.

    Raises:
        DataError: There is a file that is no image by its suffix, or the folder holds no image.
    """
    files = []
    for entry in _visible(folder):
        if not entry.name.lower().endswith(IMAGE_SUFFIXES) or not entry.is_file():
            raise DataError(f"{benchmark}: {entry.path} is not an image; expected only JPEG, PNG or WebP files there")
        files.append(entry.name)
    if not files:
        raise no_images(benchmark, folder)
    return sorted(files)


def list_class_folders(benchmark: str, folder: Path) -> list[str]:
    """List the `wnid/file name` of every image in a folder of wnid folders, sorted.

    Files beside the wnid folders (a README, a licence) are passed over.

    Raises:
        DataError: A folder's name is not one of the 1000 wnids, or holds no image, or there is no folder.
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
            f"{benchmark}: no class folder in {folder}; expected folders of images named by wnid, e.g. n01440764"
        )
    return [f"{wnid}/{name}" for wnid in wnids for name in list_images(benchmark, folder / wnid)]


def class_labels(paths: Iterable[str]) -> NDArray[np.int16]:
    """Give the class index in 0..999 of each `wnid/file name`."""
    return np.array([class_index()[path.partition("/")[0]] for path in paths], dtype=np.int16)


def _visible(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from (entry for entry in entries if not entry.name.startswith("."))
