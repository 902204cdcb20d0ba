"""What can be fetched: addresses and checksums from one table, and the layout of each benchmark's folder."""

import csv
import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from harness.benchmarks.classes import class_index, imagenet_a_classes
from harness.benchmarks.imagenet_p import HARDER_NOISE
from harness.errors import DataError, HarnessError, UsageError, unknown
from harness.metrics.corruption import CORRUPTIONS, EXTRA_CORRUPTIONS, SEVERITIES
from harness.metrics.perturbation import PERTURBATIONS, VALIDATION_PERTURBATIONS
from harness.metrics.shape_bias import CATEGORIES

COLUMNS = ("name", "file", "address", "bytes", "algorithm", "checksum", "unpacks_to", "source")
DIGITS: Mapping[str, int] = {"md5": 32, "sha256": 64}
"""The checksums that the table may hold, and how many hex digits each has when it is whole."""

IMAGENET_ORIGIN = (
    "imagenet can't be fetched: its images are given out by image-net.org alone, after registration and for research. "
    "Get ILSVRC2012_img_val.tar there (6.7 GB, md5 29b22e2961454d5413ddabcf34fc5622) and lay its 50,000 images out as "
    "imagenet/val/<wnid>/*; then `verify imagenet` checks them"
)


@dataclass(frozen=True)
class Download:
    """One published file.

    Attributes:
        name: What users ask for: a benchmark, or a classifier's short name.
        file: What it is called on disk; an archive's suffix says whether it is a tar or a zip.
        address: Where it is published.
        size: In bytes; None where it is not published.
        algorithm: `md5` or `sha256`; empty where no checksum is published.
        checksum: Lower-case hex digits: the whole of it or, for weights, how it begins.
        unpacks_to: The folders that must come out of it; empty where that is not published.
        source: Where checksum and size are published.
    """

    name: str
    file: str
    address: str
    size: int | None
    algorithm: str
    checksum: str
    unpacks_to: tuple[str, ...]
    source: str

    @property
    def is_checkable(self) -> bool:
        """Whether a checksum is published."""
        return bool(self.checksum)


@dataclass(frozen=True)
class Layout:
    """How a benchmark's folder is laid out: folders that are put in place whole, and files below them.

    Attributes:
        folders: Every folder that belongs to the benchmark.
        required: Those without which it can't be measured.
        below: A regular expression for a file's path below such a folder.
        within: A folder that must come right before them in an archive which holds the same names elsewhere too.
        cells: How many more levels of folders make a cell: 1 for the severities of ImageNet-C.
        pieces: Images, or sequences, in a cell as published; several where several sets are in use.
        unit: What they are.
    """

    folders: tuple[str, ...]
    required: tuple[str, ...]
    below: str
    within: str
    cells: int
    pieces: tuple[int, ...]
    unit: str = "images"

    def place(self, path: str) -> tuple[str, str] | None:
        """Split an archive's path into folder and path below it, whatever folders come before; None for other files."""
        match = self._pattern.fullmatch(path)
        return (match["folder"], match["below"]) if match else None

    @functools.cached_property
    def _pattern(self) -> re.Pattern[str]:
        before = f"(?:.+/)?{re.escape(self.within)}/" if self.within else "(?:.+/)?"
        return re.compile(rf"{before}(?P<folder>{'|'.join(self.folders)})/(?P<below>{self.below})")


_WNID = r"n\d{8}"
_IMAGE = r"[^/.][^/]*\.(?i:jpe?g|png|webp)"

LAYOUTS: Mapping[str, Layout] = {
    "imagenet-c": Layout(
        folders=(*CORRUPTIONS, *EXTRA_CORRUPTIONS),
        required=CORRUPTIONS,
        below=rf"[{''.join(map(str, SEVERITIES))}]/{_WNID}/{_IMAGE}",
        within="",
        cells=1,
        pieces=(50_000,),
    ),
    "imagenet-p": Layout(
        folders=(*PERTURBATIONS, *VALIDATION_PERTURBATIONS, *HARDER_NOISE),
        required=PERTURBATIONS,
        below=rf"{_WNID}/[^/.][^/]*\.(?i:mp4)",
        within="",
        cells=0,
        pieces=(50_000,),
        unit="sequences",
    ),
    "imagenet-a": Layout(
        folders=tuple(list(class_index())[index] for index in imagenet_a_classes()),
        required=tuple(list(class_index())[index] for index in imagenet_a_classes()),
        below=_IMAGE,
        within="",
        cells=-1,
        pieces=(7_500,),
    ),
    "cue-conflict": Layout(
        folders=CATEGORIES,
        required=CATEGORIES,
        below=_IMAGE,
        within="style-transfer-preprocessed-512",
        cells=-1,
        pieces=(1_280, 1_200, 1_201),
    ),
}
"""The layout of each benchmark that can be fetched; its folders are those of docs/data.md."""


def read_table(path: Path | None = None) -> tuple[Download, ...]:
    """Read the table of what can be fetched.

    Args:
        path: A table of the user's own with the same columns, for a mirror with archives of its own; by default the
            published files, `harness/reference/downloads.csv`.

    Raises:
        UsageError: There is no such file.
        DataError: A column is missing, or a row is not understood; names the line.
    """
    if path is None:
        return _published()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"table {path} can't be read ({error}); it should be a CSV of {', '.join(COLUMNS)}") from error
    return _parse(text, str(path))


def downloads_of(name: str, table: Sequence[Download]) -> tuple[Download, ...]:
    """Give the files that make up what a user asks for.

    Raises:
        HarnessError: It is imagenet, which is given out by its owners alone; says where.
        UsageError: The table has nothing of that name.
    """
    found = tuple(item for item in table if item.name == name)
    if not found and name == "imagenet":
        raise HarnessError(IMAGENET_ORIGIN)
    if not found:
        raise unknown("name to fetch", name, dict.fromkeys(item.name for item in table))
    return found


@functools.cache
def stimulus_pixels() -> Mapping[str, str]:
    """Map each of the 1201 stimuli that the paper used to the sha256 of its pixels, whatever file format holds them.

    The pixels are (224, 224, 3) uint8, RGB, in rows; the stimuli are those of Geirhos et al. (2019).
    """
    return {
        row["stimulus"]: row["pixels_sha256"] for row in csv.DictReader(_reference("cue_conflict_images").splitlines())
    }


@functools.cache
def _published() -> tuple[Download, ...]:
    return _parse(_reference("downloads"), "downloads.csv")


def _reference(name: str) -> str:
    return resources.files("harness.reference").joinpath(f"{name}.csv").read_text(encoding="utf-8")


def _parse(text: str, where: str) -> tuple[Download, ...]:
    reader = csv.DictReader(text.splitlines())
    if missing := [column for column in COLUMNS if column not in (reader.fieldnames or ())]:
        raise DataError(f"{where} has no column {', '.join(missing)}; it needs {', '.join(COLUMNS)}")
    items: list[Download] = []
    for row in reader:
        item, problem = _row(row)
        if any((item.name, item.file) == (other.name, other.file) for other in items):
            problem = f"{item.file} of {item.name} is there twice"
        if problem:
            raise DataError(f"{where}, line {reader.line_num}: {problem}")
        items.append(item)
    return tuple(items)


def _row(row: Mapping[str, str | None]) -> tuple[Download, str]:
    """Read one row; with it, what is wrong with it, empty for nothing."""
    cell = {column: (row[column] or "").strip() for column in COLUMNS}
    size = int(cell["bytes"]) if cell["bytes"].isascii() and cell["bytes"].isdigit() else None
    folders = tuple(cell["unpacks_to"].split())
    algorithm, checksum = cell["algorithm"].lower(), cell["checksum"].lower()
    item = Download(cell["name"], cell["file"], cell["address"], size, algorithm, checksum, folders, cell["source"])
    layout = LAYOUTS.get(item.name)
    problem = ""
    if not item.name or not item.file:
        problem = "name and file must be given"
    elif Path(item.file).name != item.file or item.file.startswith("."):
        problem = f"file {item.file!r} must be a plain file name"
    elif not item.address.startswith(("https://", "http://")):
        problem = f"address {item.address!r} must begin with https:// or http://"
    elif cell["bytes"] and size is None:
        problem = f"bytes {cell['bytes']!r} is not a whole number"
    elif bool(algorithm) != bool(checksum) or (algorithm and algorithm not in DIGITS):
        problem = f"algorithm and checksum must both be given, with one of {', '.join(DIGITS)}, or both be empty"
    elif checksum and not re.fullmatch(rf"[0-9a-f]{{8,{DIGITS[algorithm]}}}", checksum):
        problem = f"checksum {checksum!r} is not 8 to {DIGITS[algorithm]} hex digits"
    elif folders and layout is None:
        problem = f"{item.name} is no benchmark, so nothing is unpacked"
    elif odd := [folder for folder in folders if layout and folder not in layout.folders]:
        problem = f"{odd[0]!r} is no folder of {item.name}"
    return item, problem
