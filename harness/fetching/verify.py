"""Says of a benchmark's folder, or a weights file, what is right, what is wrong and what can't be checked."""

import heapq
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.benchmarks import imagenet
from harness.benchmarks.catalog import BENCHMARKS, DataRoots, open_benchmark
from harness.benchmarks.dataset import PUBLISHED_FORM
from harness.benchmarks.imagenet_p import FRAMES
from harness.benchmarks.images import read_image
from harness.benchmarks.videos import read_frames
from harness.errors import DataError, DataMissing, HarnessError, unknown
from harness.fetching.download import compare, in_bytes
from harness.fetching.fetch import WORKSHOP, compare_stimuli
from harness.fetching.table import LAYOUTS, Download, Layout, read_table
from harness.fetching.unpack import Manifest, read_manifest
from harness.metrics.perturbation import PERTURBATIONS

_IMAGENET = Layout(folders=("val",), required=(), below="", within="", cells=-1, pieces=(50_000,))
_FRAMES = dict(zip(PERTURBATIONS, FRAMES, strict=True))
# All validation perturbations and harder noises have as many frames as noise.
_OTHER_FRAMES = _FRAMES["gaussian_noise"]
_LISTED = 3


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        state: `ok`, `wrong`, or `not checked` where there is nothing to check it against.
        what: What was looked at and what was found, in one line.
    """

    state: Literal["ok", "wrong", "not checked"]
    what: str

    def __str__(self) -> str:
        return f"{self.state:12}{self.what}"


def verify(name: str, folder: Path, *, table: Path | None = None, sample: int = 200, seed: int = 0) -> list[Finding]:
    """Check what is there of a benchmark, or of a classifier's weights.

    Looked at are: whether the folder can be opened at all; how many cells and images it holds, against how many are
    published; whether a random sample of them can be decoded and has the published size; their pixels, where these are
    recorded (cue conflict); and, where `fetch` filled the folder, how many files and bytes came out of each archive and
    the sha256 of a sample of them.

    Args:
        name: A benchmark, or a classifier's short name.
        folder: Its own folder; for weights the folder that holds the file.
        table: A table of the user's own instead of the published one; see `read_table`.
        sample: How many images are decoded, or sequences; all where there are fewer.
        seed: Of that sample.

    Returns:
        The findings, in that order. Fewer images than published are no error, but are said.

    Raises:
        UsageError: Nothing has that name.
        DataMissing: There is no such folder or file; says how to get it.
        HarnessError: It can't be read.
    """
    folder = folder.expanduser()
    items = [item for item in read_table(table) if item.name == name]
    layout = LAYOUTS.get(name, _IMAGENET if name == "imagenet" else None)
    if layout is None and not items:
        raise unknown("name to verify", name, dict.fromkeys([*BENCHMARKS, *(item.name for item in read_table(table))]))
    if not folder.is_dir():
        how = f"get it with: fetch {name} --to {folder}" if items else "see: fetch imagenet"
        raise DataMissing(f"{name}: no folder {folder}; {how}")
    try:
        if layout is None:
            return [finding for item in items for finding in _of_file(item, folder)]
        return list(_of_benchmark(name, folder, layout, items, sample, seed))
    except OSError as error:
        raise HarnessError(f"{error.filename or folder} can't be read ({error.strerror}); mend it") from error


def _of_file(item: Download, folder: Path) -> Iterator[Finding]:
    path = folder / item.file
    if not path.is_file():
        raise DataMissing(f"{item.name}: no file {path}; get it with: fetch {item.name} --to {folder}")
    if wrong := compare(path, item):
        yield Finding("wrong", f"{item.file} {wrong}; delete it and fetch it again")
    elif item.is_checkable:
        digits = f"{item.algorithm} begins with {item.checksum}" if item.algorithm == "sha256" else item.algorithm
        yield Finding("ok", f"{item.file} is the published file: {digits}")
    else:
        yield Finding("not checked", f"{item.file}: no checksum of it is published")


def _of_benchmark(
    name: str, folder: Path, layout: Layout, items: Sequence[Download], sample: int, seed: int
) -> Iterator[Finding]:
    if name in BENCHMARKS:
        yield _opened(name, folder)
    counts: dict[str, int] = {}
    drawn: list[tuple[float, str]] = []
    generator = random.Random(seed)
    for cell, files in _cells(name, folder, layout):
        counts[cell] = len(files)
        # Those that draw the smallest numbers: a sample of millions of files, of which one cell's names are held.
        drawn = heapq.nsmallest(sample, (*drawn, *((generator.random(), path) for path in files)))
    yield from _counts(name, layout, counts)
    paths = sorted(Path(path) for _, path in drawn)
    yield from _decoded(name, layout, folder, paths, sum(counts.values()))
    if name == "cue-conflict":
        yield _pixels(paths)
    elif name != "imagenet":
        yield Finding("not checked", f"pixels: no list of hashes of single {layout.unit} is published for {name}")
    yield from _fetched(name, folder, items)


def _opened(name: str, folder: Path) -> Finding:
    try:
        dataset = open_benchmark(name, DataRoots(elsewhere={name: folder}))
    except DataError as error:
        return Finding("wrong", str(error))
    return Finding("ok", f"{folder} can be opened as {name}: {len(dataset):,} (cell, image) pairs")


def _cells(name: str, folder: Path, layout: Layout) -> Iterator[tuple[str, list[str]]]:
    """List the files of each cell: of a corruption and severity, of a perturbation, or of the whole folder."""
    if name == "imagenet":
        yield "", _files(imagenet.val_folder(folder))
    elif layout.cells < 0:
        yield "", _files(folder)
    else:
        for top in layout.folders:
            if not (folder / top).is_dir():
                continue
            for cell in sorted((folder / top).iterdir()) if layout.cells else [folder / top]:
                if cell.is_dir() and not cell.name.startswith("."):
                    yield cell.relative_to(folder).as_posix(), _files(cell)


def _files(folder: Path | str) -> list[str]:
    """List the files below a folder, in order; what is hidden is passed over, and files beside folders are."""
    with os.scandir(folder) as listing:
        entries = sorted((entry for entry in listing if not entry.name.startswith(".")), key=lambda entry: entry.name)
    folders = [entry.path for entry in entries if entry.is_dir()]
    if not folders:
        return [entry.path for entry in entries]
    return [file for sub in folders for file in _files(sub)]


def _counts(name: str, layout: Layout, cells: Mapping[str, int]) -> Iterator[Finding]:
    """Compare the number of cells, and of files in each, with the published ones."""
    if layout.cells >= 0:
        severities = 5 if layout.cells else 1
        wanted = len(layout.required) * severities
        found = sum(cell.partition("/")[0] in layout.required for cell in cells)
        state: Literal["ok", "wrong"] = "ok" if found == wanted else "wrong"
        extra = f", and {len(cells) - found} further ones" if len(cells) > found else ""
        yield Finding(state, f"cells: {found} of {wanted}{extra}")
    by_count: dict[int, list[str]] = {}
    for cell, count in cells.items():
        by_count.setdefault(count, []).append(cell)
    for count, names in sorted(by_count.items(), reverse=True):
        where = _where(names, len(cells)) if layout.cells >= 0 else name
        if count in layout.pieces:
            yield Finding("ok", f"{layout.unit}: {count:,} in {where}, as published")
        elif 0 < count < max(layout.pieces):
            yield Finding(
                "ok", f"{layout.unit}: {count:,} in {where}, a subset of the {max(layout.pieces):,} published ones"
            )
        else:
            yield Finding("wrong", f"{layout.unit}: {count:,} in {where}, {max(layout.pieces):,} are published")


def _where(names: list[str], cells: int) -> str:
    if len(names) == cells:
        return "every cell"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{', '.join(names[:_LISTED])}{more}"


def _decoded(name: str, layout: Layout, folder: Path, drawn: list[Path], available: int) -> Iterator[Finding]:
    wrong = []
    for path in drawn:
        try:
            problem = _sequence_problem(path, folder) if name == "imagenet-p" else _image_problem(path, name)
        except DataError as error:
            problem = str(error)
        if problem:
            wrong.append(problem)
    of = f"{len(drawn):,} of {available:,} {layout.unit}, drawn at random"
    if wrong:
        yield Finding("wrong", f"decoded: {len(wrong):,} of {of} are wrong, e.g. {wrong[0]}")
    elif drawn:
        size = "" if name in ("imagenet", "imagenet-a") else f", each {PUBLISHED_FORM.side} x {PUBLISHED_FORM.side}"
        yield Finding("ok", f"decoded: {of}{size}")


def _image_problem(path: Path, name: str) -> str:
    image, _ = read_image(path)
    if name not in ("imagenet", "imagenet-a") and image.size != (PUBLISHED_FORM.side, PUBLISHED_FORM.side):
        return f"{path} is {image.width} x {image.height}, expected {PUBLISHED_FORM.side} x {PUBLISHED_FORM.side}"
    return ""


def _sequence_problem(path: Path, folder: Path) -> str:
    frames, _ = read_frames(path, _FRAMES.get(path.relative_to(folder).parts[0], _OTHER_FRAMES))
    height, width = frames.shape[2:]
    if (width, height) != (PUBLISHED_FORM.side, PUBLISHED_FORM.side):
        return f"{path} is {width} x {height}, expected {PUBLISHED_FORM.side} x {PUBLISHED_FORM.side}"
    return ""


def _pixels(drawn: list[Path]) -> Finding:
    try:
        found, other = compare_stimuli(drawn)
    except DataError as error:
        return Finding("wrong", f"pixels: {error}")
    if other:
        return Finding(
            "wrong", f"pixels: {len(other)} of {found + len(other)} are not the recorded ones, e.g. {other[0]}"
        )
    unknown_ones = len(drawn) - found
    more = f"; {unknown_ones} more are not among the recorded 1,201" if unknown_ones else ""
    return Finding("ok", f"pixels: {found} of the sample are the recorded ones{more}")


def _fetched(name: str, folder: Path, items: Sequence[Download]) -> Iterator[Finding]:
    """Compare with what `fetch` wrote down when it unpacked the archives."""
    workshop = folder / WORKSHOP
    manifests = [manifest for item in items if (manifest := read_manifest(workshop / "manifest" / f"{item.file}.json"))]
    if not manifests:
        yield Finding("not checked", f"archives: {folder} was not filled by fetch, so nothing tells what they held")
        return
    for manifest in manifests:
        yield _compared(manifest, folder)
    done = {manifest.file for manifest in manifests}
    for item in items:
        if item.file not in done:
            yield Finding("not checked", f"{item.file} was not fetched, or not to the end: fetch {name} goes on")


def _compared(manifest: Manifest, folder: Path) -> Finding:
    wrong = []
    for name, count in manifest.folders.items():
        files = [path for path in (folder / name).rglob("*") if path.is_file()] if (folder / name).is_dir() else []
        size = sum(path.stat().st_size for path in files)
        if (len(files), size) != (count.files, count.size):
            wrong.append(
                f"{name} has {len(files):,} files with {in_bytes(size)}, the archive had {count.files:,} with "
                f"{in_bytes(count.size)}"
            )
    for path, expected in manifest.sample.items():
        if (folder / path).is_file() and _sha256(folder / path) != expected:
            wrong.append(f"{path} has other bytes")
    if wrong:
        more = f" ({len(wrong)} such)" if len(wrong) > 1 else ""
        return Finding("wrong", f"{manifest.file}: {wrong[0]}{more}; delete that folder and fetch it again")
    total = sum(count.files for count in manifest.folders.values())
    checked = "whose checksum was met" if manifest.checksum else "of which no checksum is published"
    return Finding(
        "ok",
        f"{manifest.file}, {checked}: {total:,} files as unpacked; sha256 of {len(manifest.sample):,} compared",
    )


def _sha256(path: Path) -> str:
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
