"""How verdicts are shown: the claims table at the end of a run, and `verdicts.json`."""

import json
import os
import platform
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from itertools import groupby
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.suite.claims import NOTICE, PROPERTY

SCHEMA = 1

Entry = Mapping[str, Any]


def collect(reports: Iterable[Any]) -> list[dict[str, Any]]:
    """Gather the verdicts from finished tests' reports, each with the test's outcome, sorted by claim.

    Reports of setup and teardown carry the same properties; each test is taken once.
    """
    entries: dict[tuple[str, int], dict[str, Any]] = {}
    for report in reports:
        for place, value in enumerate(value for name, value in report.user_properties if name == PROPERTY):
            expected = getattr(report, "wasxfail", None)
            if report.when == "call":
                entries[report.nodeid, place] = {**value, "expected": expected or None}
    return sorted(entries.values(), key=lambda entry: (_claim_order(entry["claim"]), entry["study"], entry["test"]))


def notices(reports: Iterable[Any]) -> list[str]:
    """Gather what the harness warned of during the tests, each thing once."""
    return list(dict.fromkeys(text for report in reports for name, text in report.user_properties if name == NOTICE))


def table(entries: Sequence[Entry], *, width: int = 120) -> list[tuple[str, str]]:
    """Lay the verdicts out for a terminal.

    One line a claim, study and metric, showing the case nearest to failing; every case that is not as it should be
    gets a line of its own below.

    Returns:
        (line, verdict) pairs; the heading's verdict is empty, a note's is `note`.
    """
    header = ("claim", "study", "metric", "verdict", "nearest to failing", "value", "needs", "images")
    rows: list[tuple[tuple[str, ...], str]] = [(header, "")]
    notes: dict[int, list[str]] = {}
    key = lambda entry: (_claim_order(entry["claim"]), entry["claim"], entry["study"], entry["metric"])  # noqa: E731
    for (_, claim, study, metric), found in groupby(sorted(entries, key=key), key):
        group = list(found)
        for verdict in ("fails", "undecided", "not_run", "holds"):
            same = [entry for entry in group if entry["verdict"] == verdict]
            if not same:
                continue
            worst = min(same, key=lambda entry: entry["margin"] if entry["margin"] is not None else 0.0)
            rows.append((_cells(claim, study, metric, verdict, same, len(group), worst), verdict))
            notes[len(rows) - 1] = _notes(verdict, same)
    widths = [max(len(row[column]) for row, _ in rows) for column in range(len(header))]
    lines = []
    for place, (row, verdict) in enumerate(rows):
        line = "  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip()
        lines.append((line, verdict))
        for note in notes.get(place, ()):
            wrapped = textwrap.wrap(note, max(width, 60) - 8)
            lines.extend((f"       {text}", "note") for text in wrapped)
    return lines


def totals(entries: Sequence[Entry]) -> str:
    """Count the verdicts in words."""
    counts = {name: sum(entry["verdict"] == name for entry in entries) for name in _VERDICTS}
    expected = sum(entry["verdict"] == "fails" and entry["expected"] is not None for entry in entries)
    parts = [f"{count} {name.replace('_', ' ')}" for name, count in counts.items()]
    if expected:
        parts[1] += f" ({expected} expected)"
    return ", ".join(parts)


def write_json(folder: Path, entries: Sequence[Entry], *, command: str, settings: Mapping[str, Any]) -> Path:
    """Write `verdicts.json` into a folder, made if it is not there, replacing an older one whole.

    Raises:
        HarnessError: It can't be written.
    """
    document = {
        "schema": SCHEMA,
        "command": command,
        "environment": {**versions(), **settings},
        "verdicts": list(entries),
    }
    path = folder / "verdicts.json"
    beside = folder / f".verdicts.json.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(document, indent=1, allow_nan=False), encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        raise HarnessError(f"--report {folder}: can't be written ({error.strerror})") from error
    return path


def versions() -> dict[str, str]:
    """Name the versions that numbers may depend on."""
    names = ("torch", "torchvision", "numpy", "pillow")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}


# How a line of each verdict is coloured.
MARKUP = {"holds": {"green": True}, "fails": {"red": True}, "undecided": {"yellow": True}, "": {"bold": True}}

_VERDICTS = ("holds", "fails", "undecided", "not_run")


def _claim_order(claim: str) -> tuple[str, int]:
    """Sort C2 before C10, and C before N."""
    return claim[:1], int(claim[1:] or 0)


def _cells(
    claim: str, study: str, metric: str, verdict: str, same: Sequence[Entry], of: int, worst: Entry
) -> tuple[str, ...]:
    value = ""
    if worst["value"] is not None:
        value = f"{100 * worst['value']:.4g} %" if worst["percent"] else f"{worst['value']:.4g}"
    return (
        claim,
        study,
        metric or "-",
        f"{verdict.replace('_', ' ')} {len(same)}/{of}",
        worst["subject"],
        value,
        worst["relation"].partition(" (")[0],
        f"{worst['images']:,}" if worst["images"] else "",
    )


def _notes(verdict: str, same: Sequence[Entry]) -> list[str]:
    """Say why, once for each reason, where a verdict is not what was hoped for."""
    if verdict == "holds":
        return []
    reasons = [f"expected: {entry['expected']}" if entry["expected"] else entry["reason"] for entry in same]
    return [str(reason) for reason in dict.fromkeys(reasons) if reason]
