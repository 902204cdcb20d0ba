"""What a test's figures are held against: syrupy's assertion, with what can't be compared told and not failed."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from harness import pinfile
from harness.errors import DataError, HarnessError, NotMeasured
from harness.suite.pins import Pins

log = logging.getLogger(__name__)

# As many figures are named one by one that share a reason.
_NAMED = 3


class PinnedFigures(SnapshotAssertion):
    """What a test's figures are held against: the pins of that test, in a file of its own.

    A figure that can't be compared is told of in a warning; where none can, there is nothing to assert.
    """

    is_whole = True

    @classmethod
    def of(cls, snapshot: SnapshotAssertion, *, is_whole: bool = True) -> "PinnedFigures":
        """Make it of syrupy's fixture.

        Args:
            snapshot: The fixture.
            is_whole: Whether every figure must be both pinned and measured.
        """
        given = {each.name: getattr(snapshot, each.name) for each in dataclasses.fields(snapshot) if each.init}
        made = cls(**{**given, "extension_class": Pins})
        made.is_whole = is_whole
        return made

    @property
    def path(self) -> Path:
        """Where its pins are, or will be."""
        return Path(self.extension.get_location(test_location=self.test_location, index=self.index))

    def __eq__(self, figures: object) -> bool:
        """Hold figures against their pins, or record them, where --snapshot-update says so.

        Args:
            figures: By name, a `Pin`, a number, or the NotMeasured that says why there is none.

        Raises:
            NotMeasured: None of them can be compared; says why of each.
            HarnessError: The file can't be read or written, or is no file of pins.
            pytest.fail.Exception: They differ; with the whole table, of which pytest would cut the end in an assertion.
        """
        __tracebackhide__ = True
        assert isinstance(figures, Mapping)
        unmeasured = {name: str(each) for name, each in figures.items() if isinstance(each, NotMeasured)}
        found = {name: each for name, each in figures.items() if name not in unmeasured}
        extension, path = self.extension, self.path
        assert isinstance(extension, Pins)
        extension.updates, extension.is_whole, extension.unmeasured = self.update_snapshots, self.is_whole, unmeasured
        if not found and not self.is_whole:
            why = "; ".join(dict.fromkeys(unmeasured.values()))
            raise NotMeasured(
                f"none of {', '.join(unmeasured)} can be measured, to pin or to compare: {why}"
                if unmeasured
                else "nothing is measured to hold against pins"
            )
        place = self.num_executions
        is_new = getattr(self, "update_new_snapshots_only", False) and not path.exists()
        if not (self.update_snapshots or is_new):
            self._require_comparable(extension, path, found)
        equal = bool(super().__eq__(found))
        error = self.executions[place].exception
        if isinstance(error, HarnessError):
            raise error
        if isinstance(error, OSError):
            why = error.strerror or type(error).__name__
            raise DataError(f"{path} can't be written ({why}); see that the folder of pins may be written to") from None
        if not equal and not isinstance(error, Exception):
            raise pytest.fail.Exception("\n".join(self._table(extension, path, found)), pytrace=False)
        return equal

    __hash__ = None  # type: ignore[assignment]

    def _table(self, extension: Pins, path: Path, found: Mapping[str, Any]) -> list[str]:
        """Lay all figures beside their pins, and say what to do."""
        place = f"{path.parent.name}/{path.name}"
        if not path.exists():
            return [f"no pins in {place}: it does not exist!", *extension.diff_lines(extension.serialize(found), "")]
        return [
            f"figures are not those pinned in {place}; if that is meant, record them anew with --snapshot-update",
            *extension.diff_lines(extension.serialize(found), pinfile.dump(pinfile.read(path))),
        ]

    def _require_comparable(self, extension: Pins, path: Path, found: Mapping[str, Any]) -> None:
        """Warn of figures that can't be held against their pins.

        Raises:
            NotMeasured: None can.
        """
        if not path.exists():
            if not self.is_whole:
                raise NotMeasured(unpinned(path))
            return
        rows = extension.rows(extension.serialize(found), pinfile.dump(pinfile.read(path)))
        untold = [row for row in rows if row.verdict == "not compared" or not (row.is_compared or self.is_whole)]
        told = _by_reason(untold)
        if untold and len(untold) == len(rows):
            raise NotMeasured(f"nothing to hold against {path.name}: {'; '.join(told)}")
        for each in told:
            log.warning("%s is not compared with its pin: %s", path.stem, each)


def unpinned(path: Path) -> str:
    """Say that there is nothing to compare with, and what to do."""
    return f"none are in {path.parent} yet; --snapshot-update measures and pins what the data allows"


def recorded_otherwise(path: Path, settings: Mapping[str, str]) -> str:
    """Say with which seed and precision pins were recorded, where none was with those of a run; empty else.

    Args:
        path: The pins' file.
        settings: The run's, such as `{"seed": "0", "precision": "fp32"}`.

    Raises:
        DataError: The file can't be read, or is no file of pins.
    """
    document = pinfile.read(path)
    recorded = [
        pin.get("recorded_with", document["recorded_with"]).get("settings", {}) for pin in document["figures"].values()
    ]
    unlike = [{key: was.get(key, now) for key, now in settings.items() if was.get(key, now) != now} for was in recorded]
    if not (unlike and all(unlike)):
        return ""
    told = "; ".join(dict.fromkeys(" ".join(f"--{key}={was}" for key, was in each.items()) for each in unlike))
    return (
        f"the pins in {path.parent.name}/{path.name} were recorded with {told}, which this run is not: say the same, "
        "or record them anew with --snapshot-update"
    )


def _by_reason(rows: Sequence[pinfile.Row]) -> list[str]:
    """Say why figures are not compared, reason by reason."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        groups.setdefault(row.why or row.verdict, []).append(row.name)
    return [f"{_some(names)}: {why}" for why, names in groups.items()]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= _NAMED else f"{names[0]} and {len(names) - 1} others"
