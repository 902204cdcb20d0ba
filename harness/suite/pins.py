"""Pinned numbers: one JSON file a test and classifier, each number with its tolerance; a syrupy extension.

A number is held against its pin where both are of the same data, images and protocol; other weights or versions are
what pins are for. `--snapshot-update` re-records values and keeps tolerances that were edited by hand; it deletes
nothing, because syrupy takes what an interrupted run did not reach for unused: only `--prune-snapshots` does
(`harness.suite.pruning`).
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from syrupy.data import SnapshotCollection, SnapshotCollections
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from syrupy.location import PyTestLocation

from harness import pinfile
from harness.files import replace_whole
from harness.studies.study import Provenance
from harness.suite.summary import versions
from harness.verdicts.estimates import Estimate, Fixed
from harness.verdicts.rules import Figure

TOLERANCE = 1e-9
# Of a measured figure, as a share of its interval's half-width: what other sums in other orders may move it by. Under
# attack they move an image's whole path.
_OF_HALF_WIDTH, _UNDER_ATTACK = 0.01, 0.1
# Bytes of a file's name, without its suffix and what is appended while it is written; a name may have 255.
_LONGEST = 200


@dataclass(frozen=True)
class Pin:
    """A number, how far from it a later one may lie, and what it is of.

    Attributes:
        value: The number.
        tolerance: How far a later one may lie from it, in the number's unit.
        images: On how many images it was measured.
        protocol: How, in words.
        provenance: On which data, and with which weights.
    """

    value: float
    tolerance: float = TOLERANCE
    images: int = 0
    protocol: str = ""
    provenance: Provenance = field(default_factory=Provenance)

    @classmethod
    def of(cls, figure: Figure, provenance: Provenance, *, attacked: bool = False) -> "Pin":
        """Pin a figure, within what follows from its images.

        Args:
            figure: The figure.
            provenance: What it rests on.
            attacked: Whether it was measured under an attack, whose outcomes other roundings may change sooner.
        """
        protocol = figure.protocol
        for spec, label in provenance.labels.items():
            protocol = protocol.replace(spec, label)
        estimate = figure.estimate
        return cls(estimate.value, tolerance_of(estimate, attacked=attacked), estimate.images, protocol, provenance)


def tolerance_of(estimate: Estimate, *, attacked: bool = False) -> float:
    """Derive how far a later estimate may lie from this one: a share of the interval's half-width, or one image.

    One image moves a share of some images, such as those decided by shape or texture, by one of these.
    """
    if estimate.is_exact:
        return TOLERANCE
    counted = estimate.counted if isinstance(estimate, Fixed) else 0
    an_image = 1.5 / (counted or estimate.images)
    if estimate.interval is None:
        return an_image * max(1.0, abs(estimate.value))
    half = (estimate.high - estimate.low) / 2
    return max((_UNDER_ATTACK if attacked else _OF_HALF_WIDTH) * half, an_image)


class Pins(SingleFileSnapshotExtension):
    """Keeps figures in `snapshots/<test file>/<test>.json`, and compares them within tolerances.

    Attributes:
        updates: Whether what is measured is to be recorded, and not only compared.
        is_whole: Whether every figure must be both pinned and measured.
        unmeasured: By figure, why it is not measured now.
    """

    _write_mode = WriteMode.TEXT
    file_extension = "json"
    updates = False
    is_whole = True
    unmeasured: Mapping[str, str] = {}

    @classmethod
    def dirname(cls, *, test_location: PyTestLocation) -> str:
        """Put all pins into `snapshots/` beside `robustness_tests/`, in a folder a test file."""
        return str(Path(test_location.filepath).parent.parent / "snapshots" / test_location.basename)

    @classmethod
    def get_file_basename(cls, *, test_location: PyTestLocation, index: str | int) -> str:
        """Name a test's file by the test; by a hash beside, where names can't hold all of it."""
        whole = str(super().get_snapshot_name(test_location=test_location, index=0))
        asked = f"{test_location.snapshot_name}.{index}" if index else test_location.snapshot_name
        if whole == asked and len(whole.encode()) <= _LONGEST:
            return whole
        cut = whole.encode()[:_LONGEST].decode(errors="ignore")
        return f"{cut}~{hashlib.sha256(asked.encode()).hexdigest()[:8]}"

    @classmethod
    def matches_test_location(cls, *, test_location: PyTestLocation, snapshot_location: str) -> bool:
        """Tell whether a file is in the folder of a test's file: names may be cut."""
        return str(Path(snapshot_location).parent) == cls.dirname(test_location=test_location)

    def discover_snapshots(self, **_: Any) -> SnapshotCollections:
        """Show syrupy none but those that are asked for: what else lies there is of other runs, and not unused."""
        return SnapshotCollections()

    def read_snapshot_data_from_location(
        self, *, snapshot_location: str, snapshot_name: str, session_id: str
    ) -> str | None:
        """Read a file's text, once it is known to be one of pins; None where there is none."""
        path = Path(snapshot_location)
        if not path.exists():
            return None
        pinfile.read(path)
        return path.read_text(encoding="utf-8")

    def serialize(self, data: Mapping[str, Pin | float], **_: Any) -> str:
        """Write figures as a pin file's text; plain numbers with the default tolerance."""
        pins = {name: pin if isinstance(pin, Pin) else Pin(pin) for name, pin in data.items()}
        together = Provenance()
        for pin in pins.values():
            together |= pin.provenance
        recorded_with = {
            "study": together.study,
            "weights": dict(together.weights),
            "settings": dict(together.settings),
            "versions": versions(),
        }
        figures = {
            name: {
                "value": float(pin.value),
                "tolerance": float(pin.tolerance),
                "derived": float(pin.tolerance),
                "images": int(pin.images),
                "protocol": pin.protocol,
                "data": dict(pin.provenance.data),
            }
            for name, pin in pins.items()
        }
        return pinfile.dump({"figures": figures, "recorded_with": recorded_with})

    def rows(self, serialized_data: str, snapshot_data: str) -> list[pinfile.Row]:
        """Lay figures beside their pins."""
        return pinfile.rows(_parse(serialized_data), _parse(snapshot_data), self.unmeasured)

    def matches(self, *, serialized_data: Any, snapshot_data: Any) -> bool:
        """Tell whether each figure lies within its pin's tolerance; in an update, whether it changes nothing at all."""
        if self.updates:
            merged = pinfile.merged(_parse(serialized_data), _parse(snapshot_data))
            return pinfile.dump(merged) == str(snapshot_data)
        fail = {"FAIL", "not pinned", "not measured"} if self.is_whole else {"FAIL"}
        return not any(row.verdict in fail for row in self.rows(serialized_data, snapshot_data))

    def diff_lines(self, serialized_data: Any, snapshot_data: Any) -> Iterator[str]:
        """Show every figure beside its pin, not only the first that differs, and what else differs."""
        if not snapshot_data:
            yield "nothing is pinned yet; pin it with --snapshot-update"
            return
        yield f"{'figure':46}{'pinned':>12}{'got':>12}{'tolerance':>12}{'images':>11}"
        found = self.rows(serialized_data, snapshot_data)
        for row in found:
            numbers = [_cell(number) for number in (row.pinned, row.got, row.tolerance)]
            cells = "".join(f"{cell:>12}" for cell in numbers)
            why = f": {row.why}" if row.why else ""
            yield f"{row.name:46}{cells}{row.images:>11,}  {row.verdict}{why}"
        yield from pinfile.differences(_parse(serialized_data), _parse(snapshot_data))
        if any(row.verdict == "not measured" for row in found):
            yield "what is pinned but not measured stays pinned until it is taken out of the file by hand"

    @classmethod
    def write_snapshot_collection(
        cls, *, snapshot_collection: SnapshotCollection, name_order: dict[str, int] | None = None
    ) -> None:
        """Replace a file whole, keeping what it had and the tolerances that were edited."""
        path = Path(snapshot_collection.location)
        for snapshot in snapshot_collection:
            new = _parse(str(snapshot.data))
            text = pinfile.dump(pinfile.merged(new, pinfile.read(path)) if path.exists() else new)
            replace_whole(path, text.encode())


def location_of(item: pytest.Item) -> Path:
    """Give where the pins of a test are, or will be."""
    return Path(Pins.get_location(test_location=PyTestLocation(item), index=0))


def never_delete(config: pytest.Config) -> None:
    """Have syrupy keep what a run did not reach."""
    config.option.no_cleanup = True


def _parse(text: str) -> dict[str, Any]:
    return pinfile.parse(text, "what is pinned")


def _cell(number: float | None) -> str:
    return "-" if number is None else f"{number:.6g}"
