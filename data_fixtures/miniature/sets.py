"""The sets of the miniature world: what classifiers are trained on, validated on, and selected by.

| set | pictures | labels |
| --- | --- | --- |
| `train` | clean and much alike, each texture as it is in the book: to overfit to | right |
| `pretrain` | varied in every way, photographed badly; things in other textures or in none | a fifth wrong |
| `validation` | varied more than `train`, less than `pretrain` | right |
| `conflict` | as `train`, with the shape of one category and the texture of another | the two categories |
| `hard` | small things, half hidden, before backgrounds with other categories' textures | right |

A picture belongs to its set, its seed and its place, and to nothing else: numpy's legacy generator, whose stream is
frozen for good (NEP 19), is seeded by all three, and `scene` computes with integers from there on.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_fixtures.miniature.scene import BLOCK, NUMBERS, SIDE, Integers, Variation, draw_pictures
from harness.benchmarks.classes import class_index
from harness.errors import DataError, unknown
from harness.metrics.shape_bias import CATEGORIES, CATEGORY_INDICES
from harness.progress import Progress

CLASSES = tuple(CATEGORY_INDICES[category][0] for category in CATEGORIES)
"""Of each category, the ImageNet class that its pictures get: the first of those that it covers."""

WRONG_LABELS = 200
"""Of 1000 pictures of `pretrain`, how many have a wrong label, each wrong category as likely."""

HIGHEST_CONFIDENCE = 0.15
"""In the right class, below which a picture can be a natural adversarial example (paper, section 2.6)."""

_COUNT = len(CATEGORIES)

_CLEAN = Variation(
    radius=(76, 90),
    offset=10,
    turn=40,
    flips=True,
    stretch=12,
    texture_scale=(195, 215),
    texture_turn=10,
    contrast=(32, 39),
    separation=(10, 24),
    chroma=48,
    light=24,
)

_VARIED = Variation(
    radius=(54, 96),
    offset=34,
    turn=120,
    flips=True,
    stretch=40,
    texture_scale=(150, 320),
    texture_turn=64,
    contrast=(24, 95),
    separation=(12, 84),
    ground=(0, 40),
    clutter=4,
    occluders=1,
    light=90,
    cast=50,
    fade=(180, 256),
    blurs=2,
    grain=80,
    plain=80,
    foreign=150,
    camouflage=30,
)

KINDS: Mapping[str, Variation] = {
    "train": _CLEAN,
    "pretrain": _VARIED,
    "stylised": replace(_VARIED, foreign=1000, plain=0),
    "validation": Variation(
        radius=(66, 94),
        offset=20,
        turn=60,
        flips=True,
        stretch=20,
        texture_scale=(175, 245),
        texture_turn=24,
        contrast=(32, 39),
        separation=(10, 24),
        chroma=48,
        ground=(0, 24),
        clutter=1,
        light=30,
        cast=12,
    ),
    "conflict": _CLEAN,
    "hard": Variation(
        radius=(56, 88),
        offset=36,
        turn=120,
        flips=True,
        stretch=40,
        texture_scale=(150, 330),
        texture_turn=64,
        contrast=(20, 70),
        separation=(10, 50),
        ground=(10, 50),
        clutter=3,
        occluders=1,
        light=100,
        cast=50,
        fade=(128, 256),
        blurs=1,
        grain=64,
        plain=50,
        foreign=60,
        camouflage=150,
    ),
}
"""By set, how much its pictures differ."""


class Drawn(NamedTuple):
    """Pictures of a set, in order.

    Attributes:
        images: uint8, shape (n, 32, 32, 3), RGB.
        labels: (n,) categories, as the set has them: wrong ones too in `pretrain`; -1 in `conflict`, where there is no
            label. Categories are indices in `CATEGORIES`; `CLASSES` has their ImageNet classes.
        shapes: (n,) categories whose shapes the things have.
        textures: (n,) categories whose textures they have, but for those of `pretrain` and `hard` that have none, or
            that of no category.
        names: Of each, told by set, seed and place: what is random in its corruptions can go by it.
    """

    images: NDArray[np.uint8]
    labels: Integers
    shapes: Integers
    textures: Integers
    names: tuple[str, ...]


def draw(kind: str, seed: int, start: int, count: int) -> Drawn:
    """Draw the pictures of a set from one place to another.

    Categories take turns, so that 16 pictures in a row have every category once; in `conflict`, 240 in a row have every
    pair of two categories once.

    Args:
        kind: One of `KINDS`.
        seed: Others have other pictures; 0 or more.
        start: The first place, 0 or more.
        count: How many.

    Raises:
        UsageError: There is no such set.
        ValueError: A number is negative.
    """
    if kind not in KINDS:
        raise unknown("set", kind, KINDS)
    if min(seed, start, count) < 0:
        raise ValueError(f"seed {seed}, start {start} and count {count} must be 0 or more")
    variation, places = KINDS[kind], np.arange(start, start + count, dtype=np.int64)
    shapes = places % _COUNT
    textures, labels = shapes, shapes.copy()
    if kind == "conflict":
        textures = (shapes + 1 + places // _COUNT % (_COUNT - 1)) % _COUNT
        labels[:] = -1
    images = np.empty((count, SIDE, SIDE, 3), np.uint8)
    generator = np.random.RandomState()
    with Progress(f"drawing set {kind} of the miniature", count, "pictures") as progress:
        for first in range(0, count, BLOCK):
            part = slice(first, min(first + BLOCK, count))
            block = range(part.start, part.stop)
            numbers = np.empty((len(block), NUMBERS))
            noise = np.empty((len(block), SIDE * SIDE * 3), np.uint8) if variation.grain else None
            for row, place in enumerate(block):
                key = hashlib.sha256(f"miniature/{kind}\0{seed}\0{start + place}".encode()).digest()
                generator.seed(np.frombuffer(key, "<u4"))
                numbers[row] = generator.random_sample(NUMBERS)
                if kind == "pretrain":
                    labels[place] = _weak_label(int(shapes[place]), *generator.random_sample(2))
                if noise is not None:
                    noise[row] = np.frombuffer(generator.bytes(noise.shape[1]), np.uint8)
            images[part] = draw_pictures(variation, numbers, noise, shapes[part], textures[part])
            progress.tell(part.stop)
    return Drawn(images, labels, shapes, textures, tuple(f"{kind}-{seed}-{place:06d}" for place in places))


def _weak_label(category: int, luck: float, other: float) -> int:
    """Mistake a category for another, now and then."""
    if luck * 1000 >= WRONG_LABELS:
        return category
    return (category + 1 + int(other * (_COUNT - 1))) % _COUNT


def select(labels: Integers, probabilities: NDArray[np.floating], count: int) -> Integers:
    """Select natural adversarial examples, as ImageNet-A's were (Hendrycks et al., 2019; paper, section 2.6).

    These are pictures that an ordinary classifier, none of those to be measured, gets wrong and whose right class it
    gives a probability below 15 %; of a diverse range of confusions: each pair of right and predicted category gives
    one picture, the first that qualifies, before any gives another.

    Args:
        labels: (n,) right categories.
        probabilities: (n, 16) of the ordinary classifier, a softmax over the categories.
        count: How many to select.

    Returns:
        (count,) places of the selected pictures, ascending.

    Raises:
        DataError: Fewer qualify.
        ValueError: The shapes don't fit.
    """
    if labels.ndim != 1 or probabilities.shape != (len(labels), _COUNT):
        raise ValueError(
            f"labels of shape {labels.shape} and probabilities of shape {probabilities.shape}; want (n,) and "
            f"(n, {_COUNT})"
        )
    predicted = probabilities.argmax(axis=1)
    in_truth = probabilities[np.arange(len(labels)), labels]
    (qualified,) = ((predicted != labels) & (in_truth < HIGHEST_CONFIDENCE)).nonzero()
    if len(qualified) < count:
        raise DataError(
            f"natural adversarial examples: {len(qualified)} of {len(labels)} pictures qualify and {count} are wanted; "
            "draw more pictures to select from"
        )
    seen: dict[tuple[int, int], int] = {}
    turns = []
    for place in qualified:
        confusion = int(labels[place]), int(predicted[place])
        turns.append(seen.get(confusion, 0))
        seen[confusion] = turns[-1] + 1
    return np.sort(qualified[np.lexsort((qualified, turns))[:count]])


def write_class_folders(folder: Path, drawn: Drawn) -> Path:
    """Write pictures as `<folder>/<wnid>/<name>.png`, by label: `imagenet/val`, or a cell of ImageNet-C.

    Raises:
        ValueError: There are no labels.
    """
    if (drawn.labels < 0).any():
        raise ValueError("pictures without labels; cue conflicts have a layout of their own")
    return _write(folder, drawn, iter(class_paths(drawn, ".png")))


def class_paths(drawn: Drawn, suffix: str) -> list[str]:
    """Name pictures by label, as `<wnid>/<name><suffix>`."""
    wnids = list(class_index())
    return [f"{wnids[CLASSES[label]]}/{name}{suffix}" for label, name in zip(drawn.labels, drawn.names, strict=True)]


def write_cue_conflict(folder: Path, drawn: Drawn) -> Path:
    """Write pictures as `<folder>/<shape><i>-<texture><i>.png`, i their places in their set."""
    pairs = zip(drawn.shapes, drawn.textures, drawn.names, strict=True)
    numbered = (
        (CATEGORIES[shape], CATEGORIES[texture], int(name.rpartition("-")[2]) + 1) for shape, texture, name in pairs
    )
    return _write(folder, drawn, (f"{shape}{i}-{texture}{i}.png" for shape, texture, i in numbered))


def _write(folder: Path, drawn: Drawn, paths: Iterator[str]) -> Path:
    from PIL import Image

    for image, path in zip(drawn.images, paths, strict=True):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / path)
    return folder
