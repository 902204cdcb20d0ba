"""How verdicts are shown at the end of a run: the claims table, and what changed since another one."""

import functools
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from typing import Any

from harness.classifiers.spec import label_of
from harness.report.document import Changes
from harness.suite import layout
from harness.suite.claims import NOTICE, PROPERTY, SOUND
from harness.verdicts.rules import in_unit

Entry = Mapping[str, Any]


def collect(reports: Iterable[Any]) -> list[dict[str, Any]]:
    """Gather the verdicts from finished tests' reports, each with the test's outcome, sorted by claim.

    No failure of a classifier is good news whose clean accuracy is unsound.

    A test that never got past its setup is taken from there; teardown only repeats what the call said.
    """
    entries: dict[tuple[str, int], dict[str, Any]] = {}
    for report in reports:
        for place, value in enumerate(value for name, value in report.user_properties if name == PROPERTY):
            expected = getattr(report, "wasxfail", None)
            if report.when != "teardown":
                entries[report.nodeid, place] = {**value, "expected": expected or None}
    unsound = {entry["subject"] for entry in entries.values() if (entry["claim"], entry["verdict"]) == (SOUND, "fails")}
    for entry in entries.values():
        entry["is_good_news"] &= entry["subject"] not in unsound
    return sorted(entries.values(), key=lambda entry: (_claim_order(entry["claim"]), entry["study"], entry["test"]))


def notices(reports: Iterable[Any]) -> list[str]:
    """Gather what the harness warned of during the tests, each thing once."""
    return list(dict.fromkeys(text for report in reports for name, text in report.user_properties if name == NOTICE))


def table(
    entries: Sequence[Entry], *, width: int = 120, labels: Mapping[str, str] | None = None
) -> list[tuple[str, str]]:
    """Lay the verdicts out for a terminal.

    One line a claim, study, metric and verdict, showing the case nearest to failing, with notes on what does not hold;
    then, reason by reason, what was not run. On a narrow terminal a line is folded into several.

    Args:
        entries: The verdicts.
        width: How wide a line may be, in characters.
        labels: By spec, what notes call classifiers beside those that verdicts are about.

    Returns:
        (line, verdict) pairs; a heading's verdict is empty, a note's is `note`.
    """
    own = {entry["subject"]: label_of(entry["subject"]) for entry in entries if entry["subject"]}
    labels = {**(labels or {}), **own}
    header = ("claim", "study", "metric", "verdict", "nearest to failing", "value", "needs", "images")
    rows: list[tuple[tuple[str, ...], str, list[str]]] = [(header, "", [])]
    for group in _grouped(entries, "claim", "study", "metric"):
        for verdict in ("fails", "undecided", "holds"):
            same = [entry for entry in group if entry["verdict"] == verdict and entry["value"] is not None]
            if same:
                rows.append((_cells(same, len(group)), verdict, _notes(verdict, same, labels)))
    lines = []
    folded = layout.columns([row for row, _, _ in rows], width, head=_HEAD)
    for row, (_, verdict, notes) in zip(folded, rows, strict=True):
        lines += [(line, verdict) for line in row]
        lines += [(line, "note") for note in notes for line in _wrapped(note, width)]
    absent = [entry for entry in entries if entry["value"] is None]
    for group in _grouped(absent, "verdict", "study", "reason"):
        claims = ", ".join(dict.fromkeys(entry["claim"] for entry in group))
        count = f"{len(group)} verdict{'s' * (len(group) > 1)}"
        verdict = group[0]["verdict"]
        said = f"{verdict.replace('_', ' ')}, {group[0]['study']}: {claims} ({count})"
        lines += [(line, verdict) for line in layout.folded(said, width, layout.INDENT)]
        lines += [(line, "note") for line in _wrapped(group[0]["reason"], width)]
    return lines


def totals(entries: Sequence[Entry]) -> str:
    """Count the verdicts in words."""
    counts = {name: sum(entry["verdict"] == name for entry in entries) for name in _VERDICTS}
    failing = [entry for entry in entries if entry["verdict"] == "fails"]
    kinds = {
        "expected": sum(entry["expected"] is not None for entry in failing),
        "good news": sum(entry["is_good_news"] for entry in failing),
    }
    parts = [f"{count} {name.replace('_', ' ')}" for name, count in counts.items()]
    if of_which := ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count):
        parts[1] += f" ({of_which})"
    return ", ".join(parts)


def error_rates(entries: Sequence[Entry], alpha: float) -> str:
    """Say how often verdicts from drawn images may be wrong, of each and of all; empty where there are none."""
    drawn = sum(entry["is_drawn"] and entry["verdict"] in ("holds", "fails") for entry in entries)
    if not drawn:
        return ""
    together = min(1.0, drawn * alpha)
    return (
        f"decided on drawn images: {drawn}, each wrong with a chance of at most {alpha:g}, any of them of at most "
        f"{together:.3g} (union bound)"
    )


def changed(changes: Changes, since: str) -> list[str]:
    """Say which verdicts are other ones than in an earlier run, those first that got worse."""
    counts = {
        "other verdicts": changes.flips,
        "same verdict on another value": changes.moves,
        "not asked before": changes.added,
        "not asked any more": changes.gone,
    }
    lines = [f"since {since}: " + ", ".join(f"{words} {len(found)}" for words, found in counts.items())]
    for change in changes.flips:
        entry = change.entry
        named = ", ".join(filter(None, (entry["study"], label_of(entry["subject"]), entry["metric"])))
        lines.append(f"{layout.INDENT}{entry['claim']} {change.words}: {named}")
    return lines


def versions() -> dict[str, str]:
    """Name the versions that numbers may depend on."""
    names = ("torch", "torchvision", "foolbox", "numpy", "pillow")
    return {"python": platform.python_version(), **{name: _installed(name) for name in names}}


# A search through the folders of packages, asked for with each pin that is written.
_installed = functools.cache(metadata.version)


# How a line of each verdict is coloured.
MARKUP = {"holds": {"green": True}, "fails": {"red": True}, "undecided": {"yellow": True}, "": {"bold": True}}

# So many columns say what a line of the table is about.
_HEAD = 4

_VERDICTS = ("holds", "fails", "undecided", "not_run")


def _claim_order(claim: str) -> tuple[str, int]:
    """Sort C2 before C10, and C before N."""
    return claim[:1], int(claim[1:] or 0)


def _grouped(entries: Sequence[Entry], *names: str) -> list[list[Entry]]:
    """Group entries that agree in some fields, in the order in which the groups first appear."""
    groups: dict[tuple[Any, ...], list[Entry]] = {}
    for entry in entries:
        groups.setdefault(tuple(entry[name] for name in names), []).append(entry)
    return list(groups.values())


def _cells(same: Sequence[Entry], of: int) -> tuple[str, ...]:
    worst = min(same, key=lambda entry: entry["margin"])
    return (
        worst["claim"],
        worst["study"],
        worst["metric"],
        f"{worst['verdict']} {len(same)}/{of}" + " (good news)" * all(entry["is_good_news"] for entry in same),
        label_of(worst["subject"]),
        in_unit(worst["value"], percent=worst["percent"]),
        worst["relation"].partition(" (")[0],
        f"{worst['images']:,}" if worst["images"] else "",
    )


def _notes(verdict: str, same: Sequence[Entry], labels: Mapping[str, str]) -> list[str]:
    """Say of each case that does not hold why, or by how much."""
    if verdict == "holds":
        return []
    reasons: dict[str, list[str]] = {}
    for entry in same:
        if reason := _reason(entry):
            reasons.setdefault(reason, []).append(entry["subject"])
    notes = [f"{', '.join(dict.fromkeys(subjects))}: {reason}" for reason, subjects in reasons.items()]
    for subject in sorted(labels, key=len, reverse=True):
        notes = [note.replace(subject, labels[subject]) for note in notes]
    return notes


def _wrapped(note: str, width: int) -> list[str]:
    return [f"{layout.INDENT}{line}" for line in layout.folded(note, width - len(layout.INDENT))]


def _reason(entry: Entry) -> str:
    return f"expected: {entry['expected']}" if entry["expected"] else entry["reason"] or ""
