"""From an image file to the pixels that a classifier sees."""

import functools
import hashlib
import io
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from harness.errors import DataError

if TYPE_CHECKING:
    import torch

    from harness.classifiers.spec import Preprocessing

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

    @classmethod
    def of(cls, preprocessing: "Preprocessing") -> "Fitting":
        """Give what a classifier's preprocessing says of it."""
        return cls(preprocessing.resize, preprocessing.crop, preprocessing.interpolation)

    def transform(self, *, side: int | None) -> Callable[[Image.Image], "torch.Tensor"]:
        """Give the function from an RGB image to uint8 pixels of shape (3, crop, crop).

        Args:
            side: Of the squares that images come as; None for photographs, which are resized and centre-cropped.
                Squares are left as they are, unless the classifier's own crop differs: then they are resized to it.
        """
        if side is None:
            return self._steps(self.resize, self.crop)
        return self._steps((self.crop, self.crop) if self.crop != side else None)

    def resized(self) -> Callable[[Image.Image], "torch.Tensor"]:
        """Give the function from an RGB photograph to uint8 pixels of shape (3, h, w), resized and not cropped."""
        return self._steps(self.resize)

    def _steps(
        self, resize: int | tuple[int, int] | None, crop: int | None = None
    ) -> Callable[[Image.Image], "torch.Tensor"]:
        @functools.cache
        def steps() -> Callable[[Image.Image], "torch.Tensor"]:
            from harness.torchvision_ops import import_torchvision

            transforms = import_torchvision().transforms
            found = []
            if resize is not None:
                found.append(transforms.Resize(resize, transforms.InterpolationMode(self.interpolation)))
            if crop is not None:
                found.append(transforms.CenterCrop(crop))
            return transforms.Compose([*found, transforms.PILToTensor()])  # type: ignore[no-any-return]

        def fitted(image: Image.Image) -> "torch.Tensor":
            # Where nothing is to be done, torchvision need not be imported, which takes seconds.
            sides = {*image.size, *({resize} if isinstance(resize, int) else resize or ()), *({crop} if crop else ())}
            is_fitted = len(sides) == 1 or (resize is None and crop is None)
            return _pixels(image) if is_fitted else steps()(image)

        return fitted


def _pixels(image: Image.Image) -> "torch.Tensor":
    import torch

    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


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
        return stat.st_size == facts.size and digest(path.read_bytes()) == facts.digest
    except OSError as error:
        raise DataError(f"{path} can't be read ({error.strerror}); mend it") from error


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
                return image.convert("RGB"), FileFacts(digest(data), stat.st_size, stat.st_mtime_ns)
    except DataError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever they like on broken bytes
        what = "is not an image" if isinstance(error, UnidentifiedImageError) else f"can't be decoded ({error})"
        raise DataError(f"{path} {what}; replace the file") from error


def digest(data: bytes) -> int:
    """Give the first 8 bytes of the sha256 of a file's bytes, as a big-endian number."""
    return int.from_bytes(hashlib.sha256(data).digest()[:8])
