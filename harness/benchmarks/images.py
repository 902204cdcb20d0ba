"""From a file to the pixels a classifier sees, in worker processes, a bounded number of batches ahead."""

import hashlib
import io
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from harness.benchmarks.dataset import Dataset
from harness.errors import DataError

if TYPE_CHECKING:
    import torch

PRESIZED_SIDE = 224
# Wider than 8 bits a channel: Pillow would clip such pixels to 255 instead of scaling them.
_DEEP_MODES = ("I", "F")


@dataclass(frozen=True)
class Fitting:
    """How images are brought to the size that a classifier takes.

    Attributes:
        resize: Length of the shorter side after resizing, in pixels; photographs only.
        crop: Side of the square that the classifier sees, in pixels.
        interpolation: `bilinear` or `bicubic`, as Pillow does them, with antialias.
    """

    resize: int = 256
    crop: int = 224
    interpolation: str = "bilinear"

    def transform(self, *, presized: bool) -> Callable[[Image.Image], "torch.Tensor"]:
        """Give the function from an RGB image to uint8 pixels of shape (3, crop, crop).

        Photographs are resized and centre-cropped. Images that come at 224 x 224 are left as they are, unless the
        classifier's own crop differs: then they are resized to it.
        """
        from harness.torchvision_ops import import_torchvision

        transforms = import_torchvision().transforms
        mode = transforms.InterpolationMode(self.interpolation)
        if not presized:
            steps = [transforms.Resize(self.resize, mode), transforms.CenterCrop(self.crop)]
        elif self.crop != PRESIZED_SIDE:
            steps = [transforms.Resize((self.crop, self.crop), mode)]
        else:
            steps = []
        return transforms.Compose([*steps, transforms.PILToTensor()])  # type: ignore[no-any-return]


class FileFacts(NamedTuple):
    """What tells whether a file still is the one that was seen.

    Attributes:
        digest: First 8 bytes of the sha256 of its bytes, as a big-endian number.
        size: Its size in bytes.
        modified: When it was last written, in nanoseconds.
    """

    digest: int
    size: int
    modified: int


def is_unchanged(path: Path, facts: FileFacts) -> bool:
    """Tell whether a file is the one that was seen: by size and time if they agree, else by its bytes.

    Raises:
        DataError: The file can't be read.
    """
    try:
        stat = path.stat()
        if (stat.st_size, stat.st_mtime_ns) == (facts.size, facts.modified):
            return True
        return stat.st_size == facts.size and _digest(path.read_bytes()) == facts.digest
    except OSError as error:
        raise DataError(f"{path} can't be read ({error.strerror}); mend it") from error


@dataclass(frozen=True)
class Batch:
    """Decoded images on their way to a classifier.

    Attributes:
        indices: The pairs' indices in their dataset.
        pixels: uint8, shape (n, 3, crop, crop), RGB.
        files: What tells each image's file from another, later one of the same name.
    """

    indices: list[int]
    pixels: "torch.Tensor"
    files: list[FileFacts]


def read_image(path: Path) -> tuple[Image.Image, FileFacts]:
    """Decode one file to 8-bit RGB, as torchvision's loader does, and hash its bytes.

    Grey, palette and CMYK images are converted, transparency is dropped, and 16-bit RGB keeps its upper 8 bits; grey
    images with more than 8 bits are refused, because Pillow would clip them.

    Returns:
        The image, and what tells its file from another.

    Raises:
        DataError: The file can't be read, is no image, is cut short, or has 16-bit or floating point pixels.
    """
    try:
        with path.open("rb") as file:
            data, stat = file.read(), os.fstat(file.fileno())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                if image.mode.split(";")[0] in _DEEP_MODES:
                    raise DataError(f"{path} has {image.mode} pixels, more than 8 bits each; convert it to 8-bit RGB")
                return image.convert("RGB"), FileFacts(_digest(data), stat.st_size, stat.st_mtime_ns)
    except DataError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever they like on broken bytes
        what = "is not an image" if isinstance(error, UnidentifiedImageError) else f"can't be decoded ({error})"
        raise DataError(f"{path} {what}; replace the file") from error


def batches(
    dataset: Dataset, indices: NDArray[np.int64], fitting: Fitting, *, batch_size: int, workers: int
) -> Iterator[Batch]:
    """Decode the pairs with the given indices, in that order, in worker processes.

    At most two batches a worker are decoded ahead, so memory does not depend on the number of images.

    Args:
        dataset: The opened benchmark.
        indices: Which pairs, in which order.
        fitting: What size to bring them to.
        batch_size: Pairs a batch; the last batch may be smaller.
        workers: Decoding processes; 0 decodes in this one.

    Yields:
        The batches, in order.

    Raises:
        DataError: An image can't be used; all batches before its own have been yielded.
    """
    from torch.utils.data import DataLoader

    loader: DataLoader[Batch | DataError] = DataLoader(
        _Pairs(dataset, fitting),  # type: ignore[arg-type]
        batch_sampler=_Slices(indices, batch_size),
        num_workers=workers,
        collate_fn=_collate,
    )
    for batch in loader:
        if isinstance(batch, DataError):
            raise batch
        yield batch


def _digest(data: bytes) -> int:
    return int.from_bytes(hashlib.sha256(data).digest()[:8])


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

    def __init__(self, dataset: Dataset, fitting: Fitting) -> None:
        self._dataset = dataset
        self._fitting = fitting
        self._transform = fitting.transform(presized=dataset.presized)

    def __reduce__(self) -> "tuple[type[_Pairs], tuple[Dataset, Fitting]]":
        # A worker that is not forked makes its own transform: unpickling torchvision's would import torchvision bare.
        return _Pairs, (self._dataset, self._fitting)

    def __getitem__(self, index: int) -> "tuple[int, torch.Tensor, FileFacts] | DataError":
        path = self._dataset.path(index)
        try:
            image, facts = read_image(path)
            if self._dataset.presized and image.size != (PRESIZED_SIDE, PRESIZED_SIDE):
                width, height = image.size
                raise DataError(
                    f"{self._dataset.benchmark}: {path} is {width} x {height}, expected 224 x 224 as published"
                )
        except DataError as error:
            # Handed over as a value: torch wraps what a worker raises in its own traceback text.
            return error
        return index, self._transform(image), facts


def _collate(items: "list[tuple[int, torch.Tensor, FileFacts] | DataError]") -> Batch | DataError:
    import torch

    good = []
    for item in items:
        if isinstance(item, DataError):
            return item
        good.append(item)
    indices, pixels, files = zip(*good, strict=True)
    return Batch(list(indices), torch.stack(pixels), list(files))
