"""An opened benchmark: cells of labelled images, listed and validated but not decoded."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from harness.benchmarks.batches import Kept
    from harness.benchmarks.generated import Generator
    from harness.benchmarks.images import Fitting


# Validation images of ImageNet, and so of each cell of ImageNet-C and -P.
IMAGENET_IMAGES = 50_000


@dataclass(frozen=True)
class Form:
    """The form that all benchmarks of a folder come in: the published one, or the same layout in small.

    Attributes:
        side: Of the squares that ImageNet-C, ImageNet-P and cue conflict come as, in pixels.
        classes: Which class indices there are, ascending; None for all 1000, and for the 200 of ImageNet-A.
    """

    side: int = 224
    classes: tuple[int, ...] | None = None


PUBLISHED_FORM = Form()


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
        side: Of the squares that images already are, which are never resized (PROTOCOLS: a resize moves the numbers);
            None for photographs of any size.
        own_classes: The class indices among which this benchmark decides; None for all 1000.
        categories: Per image, further labels by name, e.g. `shape` and `texture`.
        frames: Per cell, how many frames its sequences have; empty where cells hold images.
        decoded: By how images are brought to a classifier's size, the pixels of pairs that are kept in memory.
        generator: Makes pairs from photographs as they are asked for; None where files hold them.
        fingerprint: sha256 over every cell and image path: what the records of this data are kept under. Whether an
            image still is the one that was measured, its record tells (`images.FileFacts`).
    """

    benchmark: str
    root: Path
    cells: tuple[str, ...]
    images: tuple[str, ...]
    labels: NDArray[np.int16]
    side: int | None
    own_classes: tuple[int, ...] | None
    fingerprint: str
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    frames: tuple[int, ...] = ()
    generator: "Generator | None" = None
    decoded: "dict[Fitting, Kept]" = field(default_factory=dict, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.cells) * len(self.images)

    def cell_and_image(self, index: int) -> tuple[int, int]:
        """Split a pair's index in 0..len-1 into the indices of its cell and of its image."""
        return divmod(index, len(self.images))

    def path(self, index: int) -> Path:
        """Give the file of the pair with this index, or the photograph that it is generated from."""
        cell, image = self.cell_and_image(index)
        if self.generator:
            return self.generator.photographs.path(image)
        return self.root / self.cells[cell] / self.images[image]

    @property
    def is_whole(self) -> bool:
        """Whether these are all images of the published benchmark, where it has one for each of ImageNet's 50,000."""
        return (
            len(self.images) == IMAGENET_IMAGES and self.generator is None and self.side in (None, PUBLISHED_FORM.side)
        )

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
