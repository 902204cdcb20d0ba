"""Pinned numbers: one JSON file a test and classifier, each number with its tolerance; a syrupy extension.

`--snapshot-update` re-records values and keeps tolerances that were edited by hand; it deletes nothing, because syrupy
takes what an interrupted run did not reach for unused.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from syrupy.data import SnapshotCollection
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from syrupy.location import PyTestLocation

from harness.files import replace_whole
from harness.verdicts.estimates import Estimate

TOLERANCE = 1e-9
# Of a measured figure, as a share of its interval's half-width: what other sums in other orders may move it by. Under
# attack they move an image's whole path.
_OF_HALF_WIDTH, _UNDER_ATTACK = 0.01, 0.1


class Pin(NamedTuple):
    """A number and how far from it a later one may lie."""

    value: float
    tolerance: float = TOLERANCE

    @classmethod
    def of(cls, estimate: Estimate, *, attacked: bool = False) -> "Pin":
        """Pin an estimate, within what follows from its images: a share of the interval's half-width, or one image.

        Args:
            estimate: The number; an exact one is pinned as such.
            attacked: Whether it was measured under an attack, whose outcomes other roundings may change sooner.
        """
        if estimate.is_exact:
            return cls(estimate.value)
        an_image = 1.5 / estimate.images
        if estimate.interval is None:
            return cls(estimate.value, an_image * max(1.0, abs(estimate.value)))
        half = (estimate.high - estimate.low) / 2
        return cls(estimate.value, max((_UNDER_ATTACK if attacked else _OF_HALF_WIDTH) * half, an_image))


class Pins(SingleFileSnapshotExtension):
    """Keeps a mapping from names to numbers in `snapshots/<test file>/<test>.json`, and compares within tolerances."""

    _write_mode = WriteMode.TEXT
    file_extension = "json"

    @classmethod
    def dirname(cls, *, test_location: PyTestLocation) -> str:
        """Put all pins into `snapshots/` beside `robustness_tests/`, in a folder a test file."""
        return str(Path(test_location.filepath).parent.parent / "snapshots" / test_location.basename)

    def serialize(self, data: Mapping[str, float | Pin], **_: Any) -> str:
        """Write numbers as JSON, each with its tolerance, the default one where it brings none."""
        pins = {name: value if isinstance(value, Pin) else Pin(value) for name, value in data.items()}
        return _dump({name: pin._asdict() for name, pin in pins.items()})

    def matches(self, *, serialized_data: Any, snapshot_data: Any) -> bool:
        """Tell whether the same names are there and each value lies within its pin's tolerance."""
        return not any(verdict != "ok" for *_, verdict in _rows(serialized_data, snapshot_data))

    def diff_lines(self, serialized_data: Any, snapshot_data: Any) -> Iterator[str]:
        """Show every number beside its pin, not only the first that differs."""
        yield f"{'figure':32}{'pinned':>14}{'got':>14}{'tolerance':>12}"
        for name, pinned, got, tolerance, verdict in _rows(serialized_data, snapshot_data):
            yield f"{name:32}{pinned:>14}{got:>14}{tolerance:>12}  {verdict}"

    @classmethod
    def write_snapshot_collection(
        cls, *, snapshot_collection: SnapshotCollection, name_order: dict[str, int] | None = None
    ) -> None:
        """Replace a file whole, keeping the tolerances that it had."""
        path = Path(snapshot_collection.location)
        old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        for snapshot in snapshot_collection:
            new = json.loads(str(snapshot.data))
            for name in new.keys() & old.keys():
                new[name]["tolerance"] = old[name]["tolerance"]
            replace_whole(path, _dump(new).encode())


def never_delete(config: pytest.Config) -> None:
    """Have syrupy keep what a run did not reach."""
    config.option.no_cleanup = True


def _dump(numbers: Mapping[str, Mapping[str, float]]) -> str:
    return json.dumps(numbers, indent=1, sort_keys=True) + "\n"


def _rows(serialized: str, pinned: str) -> Iterator[tuple[str, str, str, str, str]]:
    got, pins = json.loads(serialized), json.loads(pinned)
    for name in sorted(got.keys() | pins.keys()):
        if name not in pins:
            yield name, "-", f"{got[name]['value']:.6g}", "-", "not pinned"
        elif name not in got:
            yield name, f"{pins[name]['value']:.6g}", "-", "-", "not measured"
        else:
            value, pin, tolerance = got[name]["value"], pins[name]["value"], pins[name]["tolerance"]
            verdict = "ok" if abs(value - pin) <= tolerance else "FAIL"
            yield name, f"{pin:.6g}", f"{value:.6g}", f"{tolerance:g}", verdict
