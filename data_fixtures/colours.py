"""Writes folders in each benchmark's layout, whose images are plain colours that spell class indices."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from harness.benchmarks.classes import class_index, imagenet_a_classes
from harness.metrics.corruption import CORRUPTIONS, SEVERITIES
from harness.metrics.perturbation import is_noise
from harness.metrics.shape_bias import CATEGORY_INDICES


def colour_of(index: int) -> tuple[int, int, int]:
    """Spell a class index in 0..999 as an RGB colour: a digit a channel, 25 levels apart."""
    return tuple(12 + 25 * int(digit) for digit in f"{index:03d}")  # type: ignore[return-value]


def write_image(path: Path, index: int, *, size: tuple[int, int] = (224, 224)) -> Path:
    """Write one image, (width, height) pixels of the colour of a class, in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour_of(index)).save(path)
    return path


def write_imagenet(
    root: Path, classes: Iterable[int], per_class: int, *, seen_as: Callable[[int, int], int] | None = None
) -> Path:
    """Write `val/<wnid>/*` with so many images a class.

    Args:
        root: The benchmark's folder.
        classes: Class indices.
        per_class: Images of each.
        seen_as: From (class, place within the class) to the class whose colour the image gets; its own by default.
    """
    return _write(root, "val", classes, per_class, seen_as)


def write_imagenet_a(root: Path, per_class: int, *, seen_as: Callable[[int, int], int] | None = None) -> Path:
    """Write ImageNet-A's 200 class folders with so many images each."""
    return _write(root, "", imagenet_a_classes(), per_class, seen_as)


def write_imagenet_c(
    root: Path, classes: Iterable[int], per_class: int, *, wrong: Mapping[tuple[str, int], int] | None = None
) -> Path:
    """Write all 75 cells; in each, as many images as `wrong` says, 0 by default, in the next class's colour."""
    indices = list(classes)
    for corruption in CORRUPTIONS:
        for severity in SEVERITIES:
            left = (wrong or {}).get((corruption, severity), 0)
            cell = f"{corruption}/{severity}"
            _write(root, cell, indices, per_class, lambda index, place, left=left: (
                (index + 1) % 1000 if indices.index(index) * per_class + place < left else index
            ))  # fmt: skip
    return root


def write_imagenet_p(root: Path, classes: Iterable[int], *, seen_as: Callable[[str, int, int], int]) -> Path:
    """Write all ten perturbations, one sequence a class, each frame in the colour of a class.

    Args:
        root: The benchmark's folder.
        classes: Class indices.
        seen_as: From (perturbation, class, frame) to the class whose colour the frame gets.
    """
    from harness.benchmarks.imagenet_p import CELLS, FRAMES
    from harness.benchmarks.videos import write_frames

    wnids = list(class_index())
    for perturbation, count in zip(CELLS, FRAMES, strict=True):
        for index in classes:
            colours = [colour_of(seen_as(perturbation, index, frame)) for frame in range(count)]
            frames = np.broadcast_to(np.array(colours, dtype=np.uint8)[:, :, None, None], (count, 3, 224, 224))
            path = root / perturbation / wnids[index] / "0000.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_frames(path, np.ascontiguousarray(frames), tune_grain=is_noise(perturbation))
    return root


def write_cue_conflict(
    root: Path, stimuli: Mapping[str, str], *, in_folders: bool = False, suffix: str = ".png"
) -> Path:
    """Write stimuli, each in the colour of the first class of a category.

    Args:
        root: The benchmark's folder.
        stimuli: From a stem such as `cat1-dog2` to the category that the image looks like.
        in_folders: Whether to lay them out in a folder per shape.
        suffix: Of the files.
    """
    for stem, category in stimuli.items():
        shape = stem.partition("-")[0].rstrip("0123456789")
        write_image((root / shape if in_folders else root) / f"{stem}{suffix}", CATEGORY_INDICES[category][0])
    return root


def _write(
    root: Path, cell: str, classes: Iterable[int], per_class: int, seen_as: Callable[[int, int], int] | None
) -> Path:
    wnids = np.array(list(class_index()))
    for index in classes:
        for place in range(per_class):
            seen = index if seen_as is None else seen_as(index, place)
            write_image(
                root / cell / wnids[index] / f"{place:04d}.png", seen, size=(32, 32) if cell == "val" else (224, 224)
            )
    return root
