"""A benchmark's pairs as batches of pixels, decoded or generated in worker processes, a bounded number ahead."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.benchmarks.dataset import PUBLISHED_FORM, Dataset
from harness.benchmarks.images import FileFacts, Fitting, read_image
from harness.benchmarks.processes import given
from harness.errors import DataError
from harness.stopping import KEPT

if TYPE_CHECKING:
    import torch

# From a pair's index to uint8 pixels, shape (frames, 3, crop, crop), and what tells its file from another.
_Read = Callable[[int], "tuple[torch.Tensor, FileFacts]"]


@dataclass(frozen=True)
class Batch:
    """Decoded images, or frames of sequences, on their way to a classifier.

    Attributes:
        indices: The pairs' indices in their dataset.
        pixels: uint8, shape (n, 3, crop, crop), RGB; of sequences all frames, one sequence after another.
        frames: How many of them belong to each pair, in order; 1 for images.
        files: What tells each pair's file from another, later one of the same name.
    """

    indices: list[int]
    pixels: "torch.Tensor"
    frames: list[int]
    files: list[FileFacts]

    def part(self, start: int, stop: int) -> "Batch":
        """Give the pairs at some places of it, sharing their pixels."""
        first, last = sum(self.frames[:start]), sum(self.frames[:stop])
        which = slice(start, stop)
        return Batch(self.indices[which], self.pixels[first:last], self.frames[which], self.files[which])

    def pin_memory(self) -> "Batch":
        """Lay the pixels where a GPU can fetch them while the processor goes on; the DataLoader calls it."""
        return replace(self, pixels=self.pixels.pin_memory())


def batches(
    dataset: Dataset,
    indices: NDArray[np.int64],
    fitting: Fitting,
    *,
    batch_size: int,
    workers: int,
    keep: bool = False,
    pin: bool = False,
) -> Iterator[Batch]:
    """Decode the pairs with the given indices, in that order, in worker processes.

    At most two batches a worker are decoded ahead, so memory does not depend on the number of pairs.

    Args:
        dataset: The opened benchmark.
        indices: Which pairs, in which order.
        fitting: What size to bring them to.
        batch_size: Pairs a batch; the last batch may be smaller.
        workers: Decoding processes; 0 decodes in this one.
        keep: Keep what was decoded with the dataset, and give it again; in this process.
        pin: Lay pixels into pinned memory, from which copies to a GPU need not be waited for.

    Returns:
        The batches, in order.

    Raises:
        DataError: An image or a sequence can't be used; all batches before its own have been yielded.
        DecoderLost: A decoding process was ended from outside.
    """
    from torch.utils.data import DataLoader

    loader: DataLoader[Batch | DataError] = DataLoader(
        _Pairs(dataset, fitting, dataset.decoded.setdefault(fitting, {}) if keep else None),  # type: ignore[arg-type]
        batch_sampler=_Slices(indices, batch_size),
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=pin,
    )
    return given(loader, "decodes images", f"{KEPT} (fewer at once with --batch-size)")


# By a pair's index, what was decoded.
Kept = dict[int, "tuple[torch.Tensor, FileFacts]"]


class _Slices:
    """Consecutive batches of indices, made as they are asked for: millions of indices stay one array."""

    def __init__(self, indices: NDArray[np.int64], batch_size: int) -> None:
        self._indices = indices
        self._batch_size = batch_size

    def __iter__(self) -> Iterator[list[int]]:
        for start in range(0, len(self._indices), self._batch_size):
            yield self._indices[start : start + self._batch_size].tolist()

    def __len__(self) -> int:
        return -(-len(self._indices) // self._batch_size)


class _Pairs:
    """The map-style dataset that torch's DataLoader reads in its workers."""

    def __init__(self, dataset: Dataset, fitting: Fitting, kept: "Kept | None" = None) -> None:
        self._dataset = dataset
        self._fitting = fitting
        self._kept = kept
        self._read = _reader(dataset, fitting)

    def __reduce__(self) -> "tuple[type[_Pairs], tuple[Dataset, Fitting]]":
        # A worker that is not forked makes its own reader: unpickling torchvision's would import torchvision bare.
        return _Pairs, (self._dataset, self._fitting)

    def __getitem__(self, index: int) -> "tuple[int, torch.Tensor, FileFacts] | DataError":
        if self._kept is not None and index in self._kept:
            return index, *self._kept[index]
        try:
            pixels, facts = self._read(index)
            if self._kept is not None:
                self._kept[index] = pixels, facts
            return index, pixels, facts
        except DataError as error:
            # Handed over as a value: torch wraps what a worker raises in its own traceback text.
            return error


def _reader(dataset: Dataset, fitting: Fitting) -> _Read:
    """Give the function that decodes or generates a pair, and brings it to the size that a classifier takes."""
    if dataset.frames:
        return _frames_reader(dataset, fitting)
    transform = fitting.transform(side=dataset.side)

    def read(index: int) -> "tuple[torch.Tensor, FileFacts]":
        if dataset.generator:
            image, facts = dataset.generator.image(dataset, index)
        else:
            path = dataset.path(index)
            image, facts = read_image(path)
            _require_side(dataset, path, *image.size)
        return transform(image)[None], facts

    return read


def _frames_reader(dataset: Dataset, fitting: Fitting) -> _Read:
    import torch

    from harness.benchmarks.videos import read_frames

    transform = fitting.transform(side=dataset.side)

    def read(index: int) -> "tuple[torch.Tensor, FileFacts]":
        cell, _ = dataset.cell_and_image(index)
        if dataset.generator:
            frames, facts = dataset.generator.frames(dataset, index)
        else:
            path = dataset.path(index)
            frames, facts = read_frames(path, dataset.frames[cell])
            _require_side(dataset, path, *frames.shape[:1:-1])
        if fitting.crop == dataset.side:
            return torch.from_numpy(frames), facts
        images = (Image.fromarray(frame) for frame in frames.transpose(0, 2, 3, 1))
        return torch.stack([transform(image) for image in images]), facts

    return read


def _require_side(dataset: Dataset, path: Path, width: int, height: int) -> None:
    side = dataset.side
    if side is not None and (width, height) != (side, side):
        as_published = " as published" if side == PUBLISHED_FORM.side else ""
        raise DataError(f"{dataset.benchmark}: {path} is {width} x {height}, expected {side} x {side}{as_published}")


def _collate(items: "list[tuple[int, torch.Tensor, FileFacts] | DataError]") -> Batch | DataError:
    import torch

    good = []
    for item in items:
        if isinstance(item, DataError):
            return item
        good.append(item)
    indices, pixels, files = zip(*good, strict=True)
    return Batch(list(indices), torch.cat(pixels), [len(frames) for frames in pixels], list(files))
