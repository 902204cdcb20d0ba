"""What the metrics share: what they ask of their arguments, the mean of a few numbers and the ratio to AlexNet."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy.typing as npt

from harness.errors import NotMeasured

_NAMED_IN_A_LINE = 10
_DTYPE_KINDS = {"bool": "b", "integer": "iu", "floating": "f"}


class UndefinedMetric(NotMeasured, ValueError):
    """The arguments are well formed, but the metric has no value on them: no image, a missing cell, no hit."""


def require_same_images(**arrays: npt.NDArray[Any]) -> None:
    """Require one entry an image: one-dimensional arrays of one length, not empty.

    Raises:
        ValueError: an array has other than one dimension, or the lengths differ.
        UndefinedMetric: there is no image.
    """
    for name, array in arrays.items():
        if array.ndim != 1:
            raise ValueError(f"{name} must have the shape (images,), got {array.shape}")
    if len({len(array) for array in arrays.values()}) > 1:
        lengths = ", ".join(f"{name} has {len(array)}" for name, array in arrays.items())
        raise ValueError(f"all arrays must hold the same images: {lengths}")
    require_not_empty(**arrays)


def require_not_empty(**arrays: npt.NDArray[Any]) -> None:
    """Require at least one entry along each axis.

    Raises:
        UndefinedMetric: an array is empty.
    """
    for name, array in arrays.items():
        if array.size == 0:
            raise UndefinedMetric(f"{name} is empty (shape {array.shape}): a mean over nothing has no value")


def require_kind(kind: Literal["bool", "integer", "floating"], **arrays: npt.NDArray[Any]) -> None:
    """Require arrays of one kind of numbers, so that classes are not taken for hits, nor the other way round.

    Raises:
        ValueError: an array is of another kind.
    """
    for name, array in arrays.items():
        if array.dtype.kind not in _DTYPE_KINDS[kind]:
            raise ValueError(f"{name} must be of kind {kind}, got {array.dtype}")


def require_exactly(wanted: Iterable[str], given: Iterable[str], what: str) -> None:
    """Require exactly the wanted names: a mean over what happens to be there is another metric.

    Raises:
        UndefinedMetric: names are missing.
        ValueError: there are names that do not belong to it.
    """
    wanted, given = list(wanted), list(given)
    missing = [name for name in wanted if name not in given]
    extra = [name for name in given if name not in wanted]
    lines = [f"{heading}: {_listed(names)}" for heading, names in (("missing", missing), ("unknown", extra)) if names]
    if lines:
        error = UndefinedMetric if missing else ValueError
        raise error(f"{what} must hold exactly {len(wanted)} names; {'; '.join(lines)}")


def require_within(highest: float, what: str, values: Mapping[str, float]) -> None:
    """Require values from 0 to `highest`, which catches NaN and most percent.

    Raises:
        ValueError: a value lies outside.
    """
    for name, value in values.items():
        if not 0 <= value <= highest:
            hint = "; fractions are wanted, not percent" if highest == 1 and value > 1 else ""
            raise ValueError(f"{what}: {name} is {value}, outside [0, {highest:g}]{hint}")


def mean(values: Iterable[float]) -> float:
    """Mean of a few numbers, rounded once, so that it does not depend on their order."""
    values = list(values)
    return math.fsum(values) / len(values)


def ratios(values: Mapping[str, float], alexnet: Mapping[str, float], what: str) -> dict[str, float]:
    """Divide each value by AlexNet's of the same name, in AlexNet's order.

    Raises:
        UndefinedMetric: one of AlexNet's values is 0 or below.
    """
    for name, reference in alexnet.items():
        if reference <= 0:
            raise UndefinedMetric(f"AlexNet's {what} on {name} is {reference:g}, which can't be divided by")
    return {name: float(values[name] / reference) for name, reference in alexnet.items()}


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED_IN_A_LINE
    return ", ".join(names[:_NAMED_IN_A_LINE]) + (f" and {more} more" if more > 0 else "")
