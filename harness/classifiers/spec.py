"""What users type to name a classifier: `SOURCE:NAME[@WEIGHTS][?key=value&...]`, or one of the paper's short names."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from harness.classifiers.catalog import CATALOG
from harness.classifiers.wnids import ClassMapping, read_wnids
from harness.errors import UsageError, unknown

SOURCES = ("torchvision", "timm", "hf", "hub", "python", "program")
INTERPOLATIONS = ("bilinear", "bicubic")
_FORM = "SOURCE:NAME[@WEIGHTS][?key=value&...], with SOURCE one of " + ", ".join(SOURCES)
_NAMES = {
    "hub": ("hub:OWNER/REPO[:BRANCH]:ENTRY", r"[^:/]+/[^:/]+(:[^:]+)?:[^:]+"),
    "python": ("python:package.module:callable", r"\w+(\.\w+)*:\w+"),
}

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Preprocessing:
    """How a classifier wants its images.

    Attributes:
        resize: Length of a photograph's shorter side after resizing, in pixels.
        crop: Side of the square that the classifier sees, in pixels.
        interpolation: `bilinear` or `bicubic`.
        mean: Per channel of RGB in [0, 1], what is subtracted.
        std: Per channel, what is divided by afterwards.
        classes: How many logits it gives: 1000, 1001 where class 0 is background, or as many as `?wnids=` names.
    """

    resize: int = 256
    crop: int = 224
    interpolation: str = "bilinear"
    mean: Triple = (0.485, 0.456, 0.406)
    std: Triple = (0.229, 0.224, 0.225)
    classes: int = 1000


@dataclass(frozen=True)
class Spec:
    """A classifier's name, taken apart.

    Attributes:
        text: As typed; names the classifier in verdicts.
        source: `paper` for a short name, else one of `SOURCES`.
        name: What the source knows it by.
        weights: A file of weights or a program, or the name of a torchvision weights entry; None for the source's own.
        preprocessing: How it wants its images.
        penultimate: The module that gives the features which its last layer reads; None to find it.
        output: Which of several outputs are the logits: its place, key or attribute; None to find it.
        prefix: How the names of the wanted tensors begin in the weights file; None to find it.
        mapping: Which of its logits are those of ImageNet's classes; None where all are, in the order of the wnids.
    """

    text: str
    source: str
    name: str
    weights: str | None
    preprocessing: Preprocessing
    penultimate: str | None = None
    output: str | None = None
    prefix: str | None = None
    mapping: ClassMapping | None = None

    @property
    def label(self) -> str:
        """A short name for test ids, folders and tables: letters, digits, `.`, `_`, `-` and `@` only."""
        name = self.name.rpartition(":")[2] if self.source in ("hub", "python") else self.name
        weights = f"@{PurePath(self.weights).stem}" if self.weights else ""
        return re.sub(r"[^A-Za-z0-9._@-]+", "_", name + weights)


def label_of(subject: str) -> str:
    """Give the label of whom verdicts call by a spec; rows that the paper quotes stay as they are."""
    try:
        return parse_spec(subject).label
    except UsageError:
        return subject


def parse_spec(text: str) -> Spec:
    """Read a spec.

    Raises:
        UsageError: A part of it is not understood; says which, and what is known, nearest first.
    """
    text = text.strip()
    body, _, query = text.partition("?")
    named, at, weights = body.partition("@")
    source, colon, name = named.partition(":")
    if not colon:
        source, name = "paper", named
    elif source not in SOURCES:
        raise unknown("source of a classifier", source, SOURCES)
    if not name or (at and not weights):
        raise UsageError(f"{text!r} lacks {'its weights after @' if name else 'a name'}; a spec is {_FORM}")
    if source == "paper" and name not in CATALOG:
        raise UsageError(f"{unknown('classifier', name, CATALOG)}; others are named {_FORM}")
    form, pattern = _NAMES.get(source, ("", ".*"))
    if not re.fullmatch(pattern, name):
        raise UsageError(f"{text!r} is not of the form {form}[@WEIGHTS]")
    if source == "program" and not weights:
        raise UsageError(f"{text!r} lacks its program; name the file: program:{name}@FILE")
    preprocessing, others = _query(text, query)
    return Spec(text, source, name, weights or None, preprocessing, **others)


def typed(value: object, *, exact: bool = False) -> str:
    """Write a value of a spec's key as it is typed: the three numbers of a mean or std with commas between.

    Args:
        value: A size, a name, or three numbers.
        exact: Whether numbers have all their digits, and not six.

    >>> typed((0.485, 128 / 255, 0.5))
    '0.485,0.501961,0.5'
    """
    return ",".join(str(each) if exact else f"{each:.6g}" for each in value) if isinstance(value, tuple) else str(value)


def split_specs(text: str) -> list[str]:
    """Split a comma-separated list of specs; commas between the numbers of a `mean` or `std` do not split."""
    specs: list[str] = []
    for piece in text.split(","):
        if specs and re.fullmatch(r"\s*[-+.\de]+\s*(&.*)?", piece):
            specs[-1] += f",{piece}"
        else:
            specs.append(piece)
    return [spec.strip() for spec in specs if spec.strip()]


def _query(text: str, query: str) -> tuple[Preprocessing, dict[str, Any]]:
    """Read what stands after ?: the preprocessing, and the other attributes of a spec."""
    given: dict[str, Any] = {}
    for pair in filter(None, query.split("&")):
        key, _, value = pair.partition("=")
        if key not in _READERS:
            raise unknown(f"key in {text!r}", key, _READERS)
        if key in given:
            raise UsageError(f"{text!r}: {key} is given twice")
        try:
            given[key] = _READERS[key](value)
        except ValueError as error:
            raise UsageError(f"{text!r}: {key}={value}: {error}") from None
    mapping = given.pop("wnids", None)
    others = {"mapping": mapping, **{key: given.pop(key) for key in _NAMED if key in given}}
    classes = given.setdefault("classes", mapping.classes if mapping else 1000)
    if mapping is None and classes not in (1000, 1001):
        raise UsageError(
            f"{text!r}: classes={classes}: expected 1000, or 1001 where class 0 is background; for others name a file "
            "of wnids by ?wnids=FILE"
        )
    if mapping is not None and classes != mapping.classes:
        raise UsageError(f"{text!r}: classes={classes}, but the file of wnids has {mapping.classes}; leave out classes")
    preprocessing = Preprocessing(**given)
    if preprocessing.crop > preprocessing.resize:
        raise UsageError(
            f"{text!r}: crop {preprocessing.crop} is larger than resize {preprocessing.resize}; give a larger resize"
        )
    return preprocessing, others


def _named(what: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if not value:
            raise ValueError(f"expected {what}")
        return value

    return read


def _size(value: str) -> int:
    if not re.fullmatch("[0-9]*[1-9][0-9]*", value):
        raise ValueError("expected a number of pixels, e.g. 224")
    return int(value)


def _interpolation(value: str) -> str:
    if value not in INTERPOLATIONS:
        raise ValueError(str(unknown("interpolation", value, INTERPOLATIONS)))
    return value


def _three(value: str) -> Triple:
    try:
        red, green, blue = map(float, value.split(","))
    except ValueError:
        red = green = blue = math.nan
    if not all(map(math.isfinite, (red, green, blue))):
        raise ValueError("expected three comma-separated numbers for RGB in [0, 1], e.g. 0.5,0.5,0.5")
    return red, green, blue


def _means(value: str) -> Triple:
    numbers = _three(value)
    if max(numbers) > 1:
        raise ValueError("expected numbers for RGB in [0, 1]; divide by 255 those for RGB in [0, 255]")
    return numbers


def _divisors(value: str) -> Triple:
    numbers = _three(value)
    if min(numbers) <= 0:
        raise ValueError("expected three numbers above 0")
    return numbers


def _classes(value: str) -> int:
    if not re.fullmatch("[1-9][0-9]*", value):
        raise ValueError("expected 1000, or 1001 where class 0 is background")
    return int(value)


def _wnids(value: str) -> ClassMapping:
    if not value:
        raise ValueError("expected a text file with one wnid a line")
    return read_wnids(Path(value).expanduser())


# Those that are attributes of a spec, not of its preprocessing.
_NAMED: Mapping[str, Callable[[str], str]] = {
    "penultimate": _named("the name of a module, e.g. avgpool"),
    "output": _named("the place or the key of an output, e.g. 0 or logits"),
    "prefix": _named("how the names of tensors begin, e.g. student"),
}
_READERS: Mapping[str, Callable[[str], Any]] = {
    "resize": _size,
    "crop": _size,
    "interpolation": _interpolation,
    "mean": _means,
    "std": _divisors,
    "classes": _classes,
    "wnids": _wnids,
    **_NAMED,
}
