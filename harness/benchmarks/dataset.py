"""An opened benchmark: cells of labelled images, listed and validated but not decoded."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError


@dataclass(frozen=True)
class Dataset:
    """The (cell, image) pairs of a benchmark, counted cell by cell.

    Every cell holds the same images, so the names are kept once: ImageNet-C's 3.75 million pairs take
    the memory of 50,000 names.

    Attributes:
        benchmark: The benchmark's name, e.g. `imagenet-c`.
        root: The folder that holds the cells.
        cells: Folders below the root, e.g. `gaussian_noise/3`; a single `""` where there are no cells.
        images: Paths below a cell, sorted, e.g. `n01440764/ILSVRC2012_val_00000293.JPEG`.
        labels: Per image, a class index in 0..999; -1 where images have no ImageNet label (cue conflict).
        presized: Images are already 224 x 224 and are never resized (PROTOCOLS: a resize moves the numbers).
        own_classes: The class indices among which this benchmark decides; None for all 1000.
        categories: Per image, further labels by name, e.g. `shape` and `texture`.
        fingerprint: sha256 over every cell and image path: what the records of this data are kept under. Whether an
            image still is the one that was measured, its record tells (`images.FileFacts`).
    """

    benchmark: str
    root: Path
    cells: tuple[str, ...]
    images: tuple[str, ...]
    labels: NDArray[np.int16]
    presized: bool
    own_classes: tuple[int, ...] | None
    fingerprint: str
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.cells) * len(self.images)

    def cell_and_image(self, index: int) -> tuple[int, int]:
        """Split a pair's index in 0..len-1 into the indices of its cell and of its image."""
        return divmod(index, len(self.images))

    def path(self, index: int) -> Path:
        """Give the file of the pair with this index."""
        cell, image = self.cell_and_image(index)
        return self.root / self.cells[cell] / self.images[image]

    @property
    def classes(self) -> int:
        """How many different ImageNet classes the labels hold."""
        return len(np.unique(self.labels[self.labels >= 0]))


class Fingerprint:
    """Folds a listing into one hash, cell by cell, so that a listing of millions is never held."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, cell: str, images: Iterable[str]) -> None:
        """Take in the paths of a cell's images, sorted."""
        for image in images:
            self._hash.update(f"{cell}\0{image}\n".encode())

    @property
    def value(self) -> str:
        """The sha256 of all that was added, as 64 hex digits."""
        return self._hash.hexdigest()


def no_images(benchmark: str, folder: Path) -> DataError:
    """Build the error for a folder that should hold images and holds none."""
    return DataError(f"{benchmark}: no image in {folder}; expected JPEG, PNG or WebP files")
