"""Reference rows: the recorded figures of a classifier that another one is held against.

The paper's classifiers are references by their names. Others are files, `NAME.json` in a folder: `python -m harness
record` writes them, and so can anybody who has a published table at hand (docs/references.md).
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from harness.classifiers.loading import identity
from harness.classifiers.spec import Preprocessing, parse_spec, typed
from harness.classifiers.tensors import TensorSummary
from harness.errors import DataError, NotMeasured, UsageError, known_nearest_first, unknown
from harness.files import replace_whole
from harness.scores import find_score
from harness.studies.live import Attacks
from harness.studies.published import PublishedStudy
from harness.studies.quantities import MEASURED, PUBLISHED, Quantity
from harness.studies.study import BASELINE, WSL

SCHEMA = 1
PAPER = (BASELINE, *WSL)
"""The paper's classifiers, whose figures are recorded already."""
QUANTITIES: Mapping[str, Quantity] = {quantity.key: quantity for quantity in (*PUBLISHED, *MEASURED)}
"""All that can be recorded of a classifier, by key."""

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_LISTED = 5
# A ratio to AlexNet's errors that is larger was written in percent.
_LARGEST_RATIO = 10.0


@dataclass(frozen=True)
class RecordedFigure:
    """A figure as it was recorded.

    Attributes:
        value: The number; a fraction unless its quantity is none, see `Quantity.percent`.
        images: On how many images it was measured; 0 where that is not known.
        interval: Its ends, at level 1 - alpha; None where it is exact or has none.
        alpha: Error rate of the interval, in (0, 0.5); None where there is none.
        protocol: How it was measured, in words.
        tags: Of figures under attack, what must be equal for them to be compared; else empty.
        data: By benchmark, the hash of its images' listing; empty where it is not known.
        settings: Precision and seed; empty where they are not known.
    """

    value: float
    images: int
    interval: tuple[float, float] | None = None
    alpha: float | None = None
    protocol: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reference:
    """What is recorded of a classifier.

    Attributes:
        name: What it is called.
        figures: Its figures, by `Quantity.key`.
        source: Where they are from: `the paper`, or a file's path.
        classifier: Its spec as typed; empty where it is not known.
        weights: Their hash, `sha256:` and hex digits; empty where it is not known.
        preprocessing: How it wants its images, by the keys of a spec; empty where it is not known.
        tensors: Summaries of its tensors; empty where they are not known.
        versions: What it was measured with.
        recorded: On which day, YYYY-MM-DD; empty where it is not known.
    """

    name: str
    figures: Mapping[str, RecordedFigure]
    source: str
    classifier: str = ""
    weights: str = ""
    preprocessing: Mapping[str, str] = field(default_factory=dict)
    tensors: tuple[TensorSummary, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    recorded: str = ""


def names(folder: Path) -> list[str]:
    """Name all references: the paper's classifiers, then those in a folder, in alphabetical order."""
    own = sorted(path.stem for path in folder.glob("*.json")) if folder.is_dir() else []
    return [*PAPER, *(name for name in own if name not in PAPER)]


def find(name: str, folder: Path) -> Reference:
    """Find a reference.

    Args:
        name: One of the paper's classifiers, a `NAME.json` in the folder without its suffix, or the path of a `.json`.
        folder: Where recorded ones are kept.

    Raises:
        UsageError: There is none of that name; says which there are, nearest first.
        DataError: Its file can't be read, or is no reference.
    """
    if name in PAPER:
        return _of_the_paper(name)
    if name.endswith(".json"):
        path = Path(name).expanduser()
        if path.is_file():
            return read(path)
    elif re.fullmatch(_NAME, name) and (folder / f"{name}.json").is_file():
        return read(folder / f"{name}.json")
    raise UsageError(
        f"{unknown('reference', name, names(folder))}; others are recorded in {folder} by python -m harness record, "
        "or named by the path of their .json"
    )


def check_name(name: str) -> str:
    """Give back a name that a classifier may be recorded under.

    Raises:
        UsageError: It is no name: letters, digits and `._-`, no sign first; or it is one of the paper's.
    """
    if not re.fullmatch(_NAME, name):
        raise UsageError(
            f"{name!r} is no name for a reference; it takes letters, digits, '.', '_' and '-', a letter or digit first"
        )
    if name in PAPER:
        raise UsageError(f"{name} is the paper's own classifier, whose figures are published; take another name")
    return name


def preprocessing_of(preprocessing: Preprocessing) -> dict[str, str]:
    """Write how a classifier wants its images as a spec has it, e.g. `{"mean": "0.5,0.5,0.5", ...}`."""
    return {key: typed(value, exact=True) for key, value in asdict(preprocessing).items()}


def require_free(path: Path, *, replace: bool) -> None:
    """See that a reference may be written there.

    Raises:
        UsageError: There is one already, and it is not to be replaced.
    """
    if path.exists() and not replace:
        raise UsageError(f"{path} is there already; add --replace to record it anew, or take another name")


def write(reference: Reference, path: Path, *, replace: bool) -> None:
    """Write a reference into a file, whole or not at all; its folder is made.

    Args:
        reference: What to write.
        path: Where.
        replace: Whether a file that is there may be replaced.

    Raises:
        UsageError: There is one already, and it is not to be replaced.
        DataError: The file can't be written.
    """
    require_free(path, replace=replace)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_whole(path, dump(reference).encode())
    except OSError as error:
        raise DataError(f"{path} can't be written ({error.strerror}); name another folder with --references") from error


def as_document(reference: Reference) -> dict[str, Any]:
    """Give a reference as what its JSON holds; what is not known of it is left out."""
    known = {key: value for key, value in asdict(reference).items() if value and key != "source"}
    document: dict[str, Any] = {"schema": SCHEMA, **known}
    document["figures"] = {
        key: {name: value for name, value in figure.items() if name in ("value", "images") or value}
        for key, figure in document["figures"].items()
    }
    return document


def dump(reference: Reference) -> str:
    """Write a reference as JSON, a tensor a line."""
    document = as_document(reference)
    tensors = document.pop("tensors", ())
    text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False)
    if tensors:
        rows = ",\n  ".join(json.dumps(tensor, allow_nan=False, ensure_ascii=False) for tensor in tensors)
        text = f'{text.removesuffix("}").rstrip()},\n "tensors": [\n  {rows}\n ]\n}}'
    return text + "\n"


def read(path: Path) -> Reference:
    """Read a reference's file.

    Raises:
        DataError: It can't be read, or is no reference; says which field of which figure is wrong.
    """
    try:
        return _reference(json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once), str(path))
    except OSError as error:
        raise _wrong(path, f"it can't be read, {error.strerror}") from None
    except _Foreign as error:
        raise _wrong(path, str(error)) from None
    except ValueError as error:  # no UTF-8, or no JSON
        raise _wrong(path, f"it is no JSON, {str(error).partition(chr(10))[0]}") from None


def _of_the_paper(name: str) -> Reference:
    """Collect the published figures of one of the paper's classifiers.

    Its clean accuracy is the one that was measured independently, which the printed one does not meet.
    """
    study, figures = PublishedStudy(), {}
    for key, quantity in QUANTITIES.items():
        try:
            figure = study.exact(quantity, name)
        except NotMeasured:
            continue
        figures[key] = RecordedFigure(
            figure.estimate.value, figure.estimate.images, protocol=figure.protocol, tags=figure.tags
        )
    spec = parse_spec(name)
    return Reference(name, figures, "the paper", name, identity(spec)["weights"], preprocessing_of(spec.preprocessing))


class _Foreign(Exception):
    """What is wrong with a document that should be a reference."""


def _wrong(path: Path, why: str) -> DataError:
    return DataError(f"{path} is no reference: {why}; docs/references.md shows what is")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """See that no object names anything twice, of which JSON would keep the last."""
    given = dict(pairs)
    if len(given) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Foreign(f"{next(name for name in names if names.count(name) > 1)!r} is there twice")
    return given


def _reference(document: object, source: str) -> Reference:
    given = _object(document, "the file")
    if given.get("schema") != SCHEMA:
        raise _Foreign(f"schema is {given.get('schema', 'missing')!r}, expected {SCHEMA}")
    del given["schema"]
    known = [each for each in fields(Reference) if each.name != "source"]
    _require_known(given, known, "")
    return Reference(source=source, **{name: _READ[name](value, name) for name, value in given.items()})


def _figures(value: object, what: str) -> dict[str, RecordedFigure]:
    figures = _object(value, what)
    if not figures:
        raise _Foreign("figures holds none")
    if odd := [key for key in figures if key not in QUANTITIES]:
        nearest = ", ".join(known_nearest_first(odd[0], QUANTITIES)[:_LISTED])
        raise _Foreign(f"figure {odd[0]!r} is not known; known: {nearest} and others")
    return {key: _figure(figure, key) for key, figure in figures.items()}


def _figure(value: object, key: str) -> RecordedFigure:
    where = f"figure {key!r}"
    given = _object(value, where)
    _require_known(given, fields(RecordedFigure), f" of {where}")
    figure = RecordedFigure(**{name: _READ[name](each, f"{name} of {where}") for name, each in given.items()})
    if (figure.interval is None) != (figure.alpha is None):
        raise _Foreign(f"{where} has {'an alpha but no interval' if figure.alpha else 'an interval but no alpha'}")
    quantity = QUANTITIES[key]
    least, most = find_score(Attacks().need(quantity), quantity.score).bounds
    if quantity.percent and math.isfinite(least):
        most = min(most, _LARGEST_RATIO)
    if not least <= figure.value <= most:
        percent = "; write percent as a fraction" if quantity.percent else ""
        raise _Foreign(f"value of {where} is {figure.value:g}, expected {least:g} to {most:g}{percent}")
    return figure


def _require_known(given: Mapping[str, Any], known: Iterable[Any], of: str) -> None:
    """See that an object has all the fields that it must have, and none that there are not."""
    by_name = {each.name: each for each in known}
    for name in given:
        if name not in by_name:
            raise _Foreign(f"{name!r}{of} is not known; known: {', '.join(known_nearest_first(name, by_name))}")
    for name, each in by_name.items():
        if name not in given and each.default is MISSING and each.default_factory is MISSING:
            raise _Foreign(f"{name}{of} is missing")


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Foreign(f"{what} is {_told(value)}, expected an object")
    return dict(value)


def _words(value: object, what: str) -> dict[str, str]:
    return {key: _word(each, f"{key} in {what}") for key, each in _object(value, what).items()}


def _word(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise _Foreign(f"{what} is {_told(value)}, expected text")
    return value


def _name(value: object, what: str) -> str:
    if not re.fullmatch(_NAME, _word(value, what)):
        raise _Foreign(f"{what} is {value!r}, expected letters, digits, '.', '_' and '-', a letter or digit first")
    return str(value)


def _number(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _Foreign(f"{what} is {_told(value)}, expected a finite number")
    return float(value)


def _count(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _Foreign(f"{what} is {_told(value)}, expected a whole number of at least 0")
    return value


def _numbers(value: object, what: str) -> tuple[float, ...]:
    if not isinstance(value, list):
        raise _Foreign(f"{what} is {_told(value)}, expected a list of numbers")
    return tuple(_number(each, what) for each in value)


def _interval(value: object, what: str) -> tuple[float, float] | None:
    if value is None:
        return None
    ends = _numbers(value, what)
    if len(ends) != 2 or ends[0] > ends[1]:
        raise _Foreign(f"{what} is {_told(value)}, expected its lower and its upper end")
    return ends[0], ends[1]


def _alpha(value: object, what: str) -> float | None:
    if value is None:
        return None
    if not 0 < _number(value, what) < 0.5:
        raise _Foreign(f"{what} is {_told(value)}, expected a number between 0 and 0.5")
    return _number(value, what)


def _day(value: object, what: str) -> str:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", _word(value, what)):
        raise _Foreign(f"{what} is {value!r}, expected a day as YYYY-MM-DD")
    return str(value)


def _tensors(value: object, what: str) -> tuple[TensorSummary, ...]:
    if not isinstance(value, list):
        raise _Foreign(f"{what} is {_told(value)}, expected a list of summaries")
    return tuple(_tensor(each, f"tensor {place}") for place, each in enumerate(value))


def _tensor(value: object, where: str) -> TensorSummary:
    given = _object(value, where)
    _require_known(given, fields(TensorSummary), f" of {where}")
    return TensorSummary(**{name: _OF_TENSORS[name](each, f"{name} of {where}") for name, each in given.items()})


def _shape(value: object, what: str) -> tuple[int, ...]:
    return tuple(_count(each, what) for each in (value if isinstance(value, list) else [value]))


def _channels(value: object, what: str) -> tuple[tuple[float, ...], ...]:
    return tuple(_numbers(each, what) for each in (value if isinstance(value, list) else [value]))


def _told(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


_READ: Mapping[str, Callable[[object, str], Any]] = {
    "name": _name,
    "figures": _figures,
    "classifier": _word,
    "weights": _word,
    "preprocessing": _words,
    "tensors": _tensors,
    "versions": _words,
    "recorded": _day,
    "value": _number,
    "images": _count,
    "interval": _interval,
    "alpha": _alpha,
    "protocol": _word,
    "tags": _words,
    "data": _words,
    "settings": _words,
}

_OF_TENSORS: Mapping[str, Callable[[object, str], Any]] = {
    "name": _word,
    "shape": _shape,
    "dtype": _word,
    "count": _count,
    "mean": _number,
    "std": _number,
    "norm": _number,
    "largest": _number,
    "zeros": _number,
    "sketch": _numbers,
    "channels": _channels,
}
