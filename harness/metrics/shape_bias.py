"""Cue conflict: from classes to the 16 categories, and the shape bias (paper, section 2.5 and Table 3).

Categories, and the ImageNet classes that they cover, are those of Geirhos et al. (2019). In arrays a category is its
index in `CATEGORIES`.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harness.benchmarks.classes import CLASSES
from harness.metrics._common import UndefinedMetric, require_kind, require_not_empty, require_same_images

CATEGORIES = (
    "airplane",
    "bear",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "car",
    "cat",
    "chair",
    "clock",
    "dog",
    "elephant",
    "keyboard",
    "knife",
    "oven",
    "truck",
)
"""The 16 categories, alphabetical."""

NO_CATEGORY = -1
"""Stands for a class outside the 16 categories, and for an observer who gave no answer."""


def _indices(*spans: int | tuple[int, int]) -> tuple[int, ...]:
    """Spell out single indices and (first, last) spans."""
    pairs = ((span, span) if isinstance(span, int) else span for span in spans)
    return tuple(index for first, last in pairs for index in range(first, last + 1))


CATEGORY_INDICES: dict[str, tuple[int, ...]] = {
    "airplane": _indices(404),
    "bear": _indices((294, 297)),
    "bicycle": _indices(444, 671),
    "bird": _indices(8, (10, 16), (18, 20), (22, 24), (80, 83), (87, 96), (98, 100), (127, 133), (135, 145)),
    "boat": _indices(472, 554, 625, 814, 914),
    "bottle": _indices(440, 720, 737, (898, 899), 901, 907),
    "car": _indices(436, 511, 817),
    "cat": _indices((281, 286)),
    "chair": _indices(423, 559, 765, 857),
    "clock": _indices(409, 530, 892),
    "dog": _indices(
        (152, 191), (193, 203), (205, 226), (228, 241), (243, 250), (252, 257), 259, (261, 263), (265, 268)
    ),
    "elephant": _indices((385, 386)),
    "keyboard": _indices(508, 878),
    "knife": _indices(499),
    "oven": _indices(766),
    "truck": _indices(555, 569, 656, 675, 717, 734, 864, 867),
}
"""ImageNet class indices of each category: 207 of the 1000, from 109 dogs to a single knife."""


def _categories_by_class() -> npt.NDArray[np.intp]:
    categories = np.full(CLASSES, NO_CATEGORY, dtype=np.intp)
    for category, name in enumerate(CATEGORIES):
        categories[list(CATEGORY_INDICES[name])] = category
    return categories


_CATEGORY_OF_CLASS = _categories_by_class()


class ShapeBias(NamedTuple):
    """Shape bias and the counts it comes from.

    Attributes:
        shape_hits: images decided for the category of their shape.
        texture_hits: images decided for the category of their texture.
        images: images looked at; most of the rest were decided for neither.
        value: shape_hits / (shape_hits + texture_hits), in [0, 1].
    """

    shape_hits: int
    texture_hits: int
    images: int
    value: float


def category_of(class_index: npt.NDArray[np.integer]) -> npt.NDArray[np.intp]:
    """Look up the category of each ImageNet class.

    Args:
        class_index: class indices from 0 to 999, in any shape.

    Returns:
        Category indices in the same shape, `NO_CATEGORY` for the 793 classes that belong to none.

    Raises:
        ValueError: an index isn't one of ImageNet's.
    """
    require_kind("integer", class_index=class_index)
    foreign = class_index[(class_index < 0) | (class_index >= CLASSES)]
    if foreign.size:
        raise ValueError(f"class_index must be an ImageNet class from 0 to {CLASSES - 1}, got {foreign.flat[0]}")
    return np.asarray(_CATEGORY_OF_CLASS[class_index])


def decide_by_class(predictions: npt.NDArray[np.integer]) -> npt.NDArray[np.intp]:
    """Decide by the published rule: the category of the class with the highest logit among the 207.

    Favours categories of many classes, compared with `decide_by_category`.

    Args:
        predictions: (n,) ImageNet class indices, each the argmax over the 207 classes alone.

    Returns:
        (n,) category indices.

    Raises:
        ValueError: a prediction is none of the 207: the argmax was taken over other classes.
        UndefinedMetric: no image.
    """
    require_same_images(predictions=predictions)
    decisions = category_of(predictions)
    outside = predictions[decisions == NO_CATEGORY]
    if outside.size:
        raise ValueError(
            f"{outside.size} predictions, the first of class {outside[0]}, belong to no category: "
            "take the argmax over the classes of the 16 categories only"
        )
    return decisions


def decide_by_category(category_probabilities: npt.NDArray[np.floating]) -> npt.NDArray[np.intp]:
    """Decide by the rule of Geirhos et al. (2019): the category whose classes are the likeliest on average.

    Args:
        category_probabilities: (n, 16) mean over each category's classes of the softmax over all 1000 classes, in the
            order of `CATEGORIES`.

    Returns:
        (n,) category indices; of equally likely ones the first.

    Raises:
        ValueError: the shape doesn't fit, or a value lies outside [0, 1].
        UndefinedMetric: no image.
    """
    require_kind("floating", category_probabilities=category_probabilities)
    shape = category_probabilities.shape
    if len(shape) != 2 or shape[1] != len(CATEGORIES):
        raise ValueError(f"category_probabilities must have the shape (images, {len(CATEGORIES)}), got {shape}")
    require_not_empty(category_probabilities=category_probabilities)
    if not ((category_probabilities >= 0) & (category_probabilities <= 1)).all():
        raise ValueError("category_probabilities must lie in [0, 1]: they are probabilities, not logits")
    return np.asarray(category_probabilities.argmax(axis=1), dtype=np.intp)


def shape_bias(
    decisions: npt.NDArray[np.integer], shapes: npt.NDArray[np.integer], textures: npt.NDArray[np.integer]
) -> ShapeBias:
    """Share of shape decisions among the decisions for either the shape or the texture.

    An image without conflict, whose shape is its texture, counts as both when it is decided for it. The paper's
    figures include one such image; Geirhos et al. leave all of theirs out, so leave them out before the call to
    compare with those.

    Args:
        decisions: (n,) category indices, or `NO_CATEGORY` for no answer, which is never a hit.
        shapes: (n,) category of each image's shape.
        textures: (n,) category of each image's texture.

    Returns:
        The shape bias with its counts.

    Raises:
        ValueError: shapes differ, or there are values that are no categories.
        UndefinedMetric: no image, or none decided for its shape or its texture.
    """
    require_kind("integer", decisions=decisions, shapes=shapes, textures=textures)
    require_same_images(decisions=decisions, shapes=shapes, textures=textures)
    for name, categories, lowest in (
        ("decisions", decisions, NO_CATEGORY),
        ("shapes", shapes, 0),
        ("textures", textures, 0),
    ):
        if categories.min() < lowest or categories.max() >= len(CATEGORIES):
            raise ValueError(f"{name} must be category indices from {lowest} to {len(CATEGORIES) - 1}")
    shape_hits = int((decisions == shapes).sum())
    texture_hits = int((decisions == textures).sum())
    if not shape_hits + texture_hits:
        raise UndefinedMetric(f"none of {len(decisions)} images was decided for its shape or its texture")
    return ShapeBias(shape_hits, texture_hits, len(decisions), shape_hits / (shape_hits + texture_hits))
