"""The ways in which a classifier's input and its classes are commonly misread, each with what would mend it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from harness.benchmarks.classes import CLASSES
from harness.benchmarks.images import Fitting
from harness.classifiers.spec import Preprocessing, Spec, Triple, typed

Classes = NDArray[np.int64]

_IMAGENET = Preprocessing()
_NORMALISATIONS: dict[str, tuple[Triple, Triple, str]] = {
    "ImageNet's mean and std": (_IMAGENET.mean, _IMAGENET.std, "pixels normalised by ImageNet's mean and std"),
    "pixels in -1..1": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "pixels in -1..1"),
    "not normalised": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "pixels in 0..1 as they are"),
    "pixels in 0-255": ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255), "pixels in 0..255"),
    "pixels in 0-255 less the mean": (_IMAGENET.mean, (1 / 255, 1 / 255, 1 / 255), "pixels in 0..255 less the mean"),
}
_CAFFE = "pixels in 0-255 less the mean"
# Input sizes that published networks have, and how much of a photograph's shorter side they see.
_SIDES = (128, 160, 224, 299)
_CROPPED = 0.875
_IN_CODE = "in a python: callable"


@dataclass(frozen=True)
class Seen:
    """What a classifier answers to some images under one reading of its input.

    Attributes:
        first: The class of the largest logit, shape (n,); -1 where a logit is NaN or infinite, as in all of these.
        least: The class of the smallest.
        without_last: The class of the largest of its first 1000 logits.
        confidence: Softmax probability of `first`; 0 where a logit is NaN or infinite.
    """

    first: Classes
    least: Classes
    without_last: Classes
    confidence: NDArray[np.float64]

    def followed_by(self, other: Seen) -> Seen:
        """Put the answers to further images behind these."""
        names = [field.name for field in fields(Seen)]
        return Seen(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in names))


@dataclass(frozen=True)
class InputReading:
    """A way to give a classifier its images.

    Attributes:
        name: What to call it.
        words: What would be wrong with how it is used now.
        remedy: What would mend it.
        preprocessing: How images are brought to their size and normalised.
        flips_channels: Whether they are given as BGR, after they are normalised.
        changes: Of how many misreadings it is made.
    """

    name: str
    words: str
    remedy: str
    preprocessing: Preprocessing
    flips_channels: bool = False
    changes: int = 1

    @property
    def fitting(self) -> Fitting:
        """How images are brought to their size."""
        return Fitting.of(self.preprocessing)


@dataclass(frozen=True)
class OutputReading:
    """A way to read classes off a classifier's logits.

    Attributes:
        name: What to call it.
        words: What would be wrong with how they are read now.
        remedy: What would mend it.
        classes: From what was seen to the classes that are answered, shape (n,).
        tries: Among how many of its kind it was chosen by its success.
    """

    name: str
    words: str
    remedy: str
    classes: Callable[[Seen], Classes]
    tries: int = 1


AS_NOW = OutputReading("", "", "", lambda seen: seen.first)


def input_now(spec: Spec) -> InputReading:
    """Give how a spec says that images are given."""
    return InputReading("", "", "", spec.preprocessing)


def other_inputs(spec: Spec, *, can_resize: bool) -> list[InputReading]:
    """List other ways to give a classifier its images.

    Args:
        spec: The classifier's spec.
        can_resize: Whether images can be had in other sizes.
    """
    found = [*_other_normalisations(spec), *_other_channels(spec)]
    return [*found, *_other_sizes(spec)] if can_resize else found


def _other_normalisations(spec: Spec) -> Iterator[InputReading]:
    now = spec.preprocessing
    given = f"pixels normalised by mean={typed(now.mean)} and std={typed(now.std)}"
    others = {}
    for name, (mean, std, described) in _NORMALISATIONS.items():
        if np.allclose((mean, std), (now.mean, now.std), rtol=0.02, atol=1e-4):
            given = described
        else:
            others[name] = mean, std, described
    for name, (mean, std, described) in others.items():
        words = f"it takes {described}, and is given {given}"
        if name == "not normalised":
            words += " (normalised twice, if it does so itself)"
        remedy = f"write its spec as {respelt(spec, mean=typed(mean), std=typed(std))}"
        yield InputReading(name, words, remedy, replace(now, mean=mean, std=std))


def _other_channels(spec: Spec) -> Iterator[InputReading]:
    swap = f"swap the input channels of its first layer (weight[:, [2, 1, 0]]), or flip those of its images {_IN_CODE}"
    yield InputReading("BGR", "its channels are in the order BGR, not RGB", swap, spec.preprocessing, True)
    mean, std, _ = _NORMALISATIONS[_CAFFE]
    yield InputReading(
        "BGR in 0-255 less the mean",
        "it takes images as Caffe's networks do: BGR in 0..255 less the mean",
        f"{swap}, and write its spec as {respelt(spec, mean=typed(mean), std=typed(std))}",
        replace(spec.preprocessing, mean=mean, std=std),
        True,
        2,
    )


def _other_sizes(spec: Spec) -> Iterator[InputReading]:
    now = spec.preprocessing
    for side in _SIDES:
        resize = round(side / _CROPPED)
        if side != now.crop:
            remedy = f"write its spec as {respelt(spec, resize=resize, crop=side)}"
            words = f"it takes images of {side} x {side} pixels, and is given {now.crop} x {now.crop}"
            yield InputReading(f"crop {side}", words, remedy, replace(now, resize=resize, crop=side))
    if now.resize != now.crop:
        words = f"it takes all of an image's shorter side, and is given the middle {now.crop} of {now.resize} pixels"
        remedy = f"write its spec as {respelt(spec, resize=now.crop)}"
        yield InputReading("resized, not cropped", words, remedy, replace(now, resize=now.crop))


def other_outputs(spec: Spec, seen: Seen, labels: Classes) -> list[OutputReading]:
    """List other ways to read a classifier's classes, among them the constant shift that fits best.

    Args:
        spec: The classifier's spec.
        seen: What it answers.
        labels: The class indices that it should answer, shape (n,).
    """
    found = []
    if spec.preprocessing.classes > CLASSES and spec.mapping is None:
        words, remedy = "its background class is the last, not class 0", f"drop its last logit {_IN_CODE}"
        found.append(OutputReading("background class last", words, remedy, lambda seen: seen.without_last))
    found += [_shift(1), _shift(-1)]
    offsets = np.bincount((seen.first - labels)[seen.first >= 0] % CLASSES, minlength=CLASSES)
    offsets[[0, 1, CLASSES - 1]] = 0
    if offsets.any():
        found.append(_shift((int(offsets.argmax()) + CLASSES // 2) % CLASSES - CLASSES // 2, tries=CLASSES - 3))
    found.append(_sorted_as_text())
    negate = f"negate its last layer, or its logits {_IN_CODE}"
    words = "its logits have the wrong sign: the smallest is of the right class"
    found.append(OutputReading("logits negated", words, negate, lambda seen: seen.least))
    return found


def _shift(by: int, tries: int = 1) -> OutputReading:
    """Read class k + by as class k."""
    why = {1: ", as where class 0 is background", -1: ", as where class 0 is missing"}.get(by, "")
    remedy = f"shift the rows of its last layer (weight.roll({-by}, 0), bias too), or its logits (roll({-by}, 1))"
    return OutputReading(
        f"labels shifted by {by}",
        f"its class indices are {abs(by)} too {'high' if by > 0 else 'low'}{why}",
        f"{remedy} {_IN_CODE}",
        lambda seen: np.where(seen.first < 0, -1, (seen.first - by) % CLASSES),
        tries,
    )


def _sorted_as_text() -> OutputReading:
    """Read class k as the k-th of the class indices sorted as text: 0, 1, 10, 100, 101 ..."""
    order = np.array(sorted(range(CLASSES), key=str))
    return OutputReading(
        "class indices sorted as text",
        "its classes are in the order of their indices sorted as text (0, 1, 10, 100 ...), as from folders so named",
        f"put the rows of its last layer into the order of the numbers, or its logits {_IN_CODE}",
        lambda seen: np.where(seen.first < 0, -1, order[seen.first]),
    )


def respelt(spec: Spec, **keys: object) -> str:
    """Spell a spec with some of its keys set anew."""
    body, _, query = spec.text.partition("?")
    given = dict(pair.split("=", 1) for pair in query.split("&") if pair)
    return f"{body}?{'&'.join(f'{key}={value}' for key, value in (given | keys).items())}"
