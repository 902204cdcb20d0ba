"""Files of pinned numbers: what is in them, what may be compared with its pin, and how they are re-recorded.

A file holds `figures`, by name, and once for all of them what they were `recorded_with`. A figure that an update could
not measure stays as it was, and says of itself what it was recorded with where that is something else by now.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import DataError

Figures = dict[str, dict[str, Any]]

# What the number itself is told by, with the type that it is kept in.
_KEYS = {"value": float, "tolerance": float, "images": int, "protocol": str, "data": dict}


class Row(NamedTuple):
    """One figure beside its pin.

    Attributes:
        name: The figure's.
        pinned: Its pin's value; None where it is not pinned.
        got: What it is now; None where it is not measured.
        tolerance: How far it may lie from its pin; None where they are not compared.
        images: On how many images it was measured, or its pin, where it was not.
        verdict: `ok`, `FAIL`, `not pinned`, `not measured` or `not compared`.
        why: What keeps it from being compared; empty where it is.
    """

    name: str
    pinned: float | None
    got: float | None
    tolerance: float | None
    images: int
    verdict: str
    why: str = ""

    @property
    def is_compared(self) -> bool:
        """Whether it is held against its pin."""
        return self.verdict in ("ok", "FAIL")


def parse(text: str, path: str | Path) -> dict[str, Any]:
    """Read a pin file's text.

    Args:
        text: What is in the file.
        path: Its name, for messages.

    Returns:
        `{"figures": {name: {"value", "tolerance", "images", "protocol", "data", ...}}, "recorded_with": {...}}`.

    Raises:
        DataError: It is not a pin file; says in what.
    """
    document: dict[str, Any]
    try:
        document = json.loads(text)
    except ValueError as error:
        raise _foreign(path, f"it is no JSON, {error}") from None
    figures = document.get("figures") if isinstance(document, dict) else None
    if not isinstance(figures, dict) or not isinstance(document.get("recorded_with"), dict):
        raise _foreign(path, "it lacks figures and recorded_with")
    for name, pin in figures.items():
        for key, kind in _KEYS.items():
            if not isinstance(pin, dict) or not _is(pin.get(key), kind):
                raise _foreign(path, f"{key} of {name!r} is missing or of the wrong kind")
        if pin["tolerance"] < 0 or not _is(pin.get("derived", 0.0), float):
            raise _foreign(path, f"tolerance of {name!r} is no distance")
    return document


def read(path: Path) -> dict[str, Any]:
    """Read a pin file.

    Raises:
        DataError: It can't be read, or is not a pin file.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _foreign(path, f"it can't be read, {getattr(error, 'strerror', None) or 'it is no UTF-8'}") from None
    return parse(text, path)


def dump(document: Mapping[str, Any]) -> str:
    """Write pins as text, the same for the same pins.

    Raises:
        DataError: A number is NaN or infinite.
    """
    for name, pin in document["figures"].items():
        if not (math.isfinite(pin["value"]) and math.isfinite(pin["tolerance"])):
            raise DataError(f"{name} is {pin['value']:g} +- {pin['tolerance']:g}, which is no number to pin")
    return json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n"


def merged(new: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    """Re-record pins: new values, tolerances that were edited by hand, and what was not measured now as it was.

    Derived tolerances are renewed; one that differs from what was derived beside it was edited.
    """
    figures: Figures = {}
    for name, pin in old["figures"].items():
        kept = pin.get("recorded_with", old["recorded_with"])
        figures[name] = {**pin, "recorded_with": kept} if kept != new["recorded_with"] else _without(pin)
    for name, pin in new["figures"].items():
        before = old["figures"].get(name, pin)
        is_edited = before["tolerance"] != before.get("derived")
        figures[name] = {**pin, "tolerance": before["tolerance"]} if is_edited else pin
    return {"figures": figures, "recorded_with": new["recorded_with"]}


def rows(got: Mapping[str, Any], pins: Mapping[str, Any], unmeasured: Mapping[str, str] | None = None) -> list[Row]:
    """Lay figures beside their pins.

    Args:
        got: What is measured now.
        pins: What is pinned.
        unmeasured: By figure, why it is not measured now.
    """
    found = []
    for name in sorted(got["figures"].keys() | pins["figures"].keys()):
        new, pin = got["figures"].get(name), pins["figures"].get(name)
        if pin is None:
            found.append(Row(name, None, new["value"], None, new["images"], "not pinned"))
        elif new is None:
            why = (unmeasured or {}).get(name, "")
            found.append(Row(name, pin["value"], None, None, pin["images"], "not measured", why))
        elif why := _unlike(new, pin):
            found.append(Row(name, pin["value"], new["value"], None, new["images"], "not compared", why))
        else:
            verdict = "ok" if abs(new["value"] - pin["value"]) <= pin["tolerance"] else "FAIL"
            found.append(Row(name, pin["value"], new["value"], pin["tolerance"], new["images"], verdict))
    return found


def differences(got: Mapping[str, Any], pins: Mapping[str, Any]) -> list[str]:
    """Say in what the recordings differ that figures are compared over: weights, tables, versions."""
    now = dict(_flat(got["recorded_with"]))
    told: dict[str, None] = {}
    for pin in pins["figures"].values():
        then = dict(_flat(pin.get("recorded_with", pins["recorded_with"])))
        for key in sorted(then.keys() | now.keys()):
            if then.get(key) != now.get(key):
                told[f"{key}: pinned with {then.get(key, 'none')}, now {now.get(key, 'none')}"] = None
    return list(told)


def _unlike(new: Mapping[str, Any], pin: Mapping[str, Any]) -> str:
    """Say why a figure can't be held against its pin; empty where it can."""
    reasons = []
    if new["protocol"] != pin["protocol"]:
        reasons.append(f"the protocol is {new['protocol']!r}, pinned is {pin['protocol']!r}")
    if new["data"] != pin["data"]:
        names = sorted(
            name for name in {**new["data"], **pin["data"]} if new["data"].get(name) != pin["data"].get(name)
        )
        reasons.append(f"pinned on other data ({', '.join(names)})")
    if new["images"] != pin["images"]:
        reasons.append(f"pinned on {pin['images']:,} images, not {new['images']:,}")
    return "; ".join(reasons)


def _flat(tree: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key} ")
        else:
            yield f"{before}{key}", str(value)


def _without(pin: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in pin.items() if key != "recorded_with"}


def _is(value: object, kind: type) -> bool:
    if kind is float:
        return isinstance(value, float | int) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, kind) and not isinstance(value, bool)


def _foreign(path: str | Path, why: str) -> DataError:
    return DataError(
        f"{path} is no file of pins: {why}; restore it, or delete it and record it anew with --snapshot-update"
    )
