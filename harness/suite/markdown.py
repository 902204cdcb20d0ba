"""Verdicts as Markdown, from `verdicts.json`: what a CI job shows."""

from collections.abc import Sequence

from harness.report.document import Document
from harness.suite import summary
from harness.suite.summary import Entry
from harness.verdicts.rules import in_unit

_WIDTH = 160
_HOW = ("torch", "device", "precision", "seed", "alpha")

# A comment on GitHub holds 65,536 characters.
_LISTED, _MOST = 50, 40_000

_FAILS, _EXPECTED, _GOOD_NEWS, _UNDECIDED = "**fails**", "fails, as expected", "fails: good news", "undecided"
_ORDER = (_FAILS, _UNDECIDED, _EXPECTED, _GOOD_NEWS)


def summary_of(document: Document) -> str:
    """Say what a run said: the totals, what does not hold, how it was asked, and, folded up, the claims table."""
    entries = document.verdicts
    environment = ", ".join(f"{name} {document.environment[name]}" for name in _HOW if name in document.environment)
    parts = [f"### Robustness claims: {summary.totals(entries)}", f"`{document.command}`", environment]
    told = [entry for entry in entries if entry["verdict"] in ("fails", "undecided")]
    if told:
        parts.insert(1, _table(told))
    lines = "\n".join(line for line, _ in summary.table(entries, width=_WIDTH))
    cut = lines[:_MOST].rpartition("\n")[0] + "\n..." if len(lines) > _MOST else lines
    parts.append(f"<details><summary>All claims</summary>\n\n```text\n{cut}\n```\n\n</details>")
    return "\n\n".join(parts)


def _table(entries: Sequence[Entry]) -> str:
    """List verdicts, those that ask for something to be done first."""
    rows = sorted(map(_row, entries), key=lambda row: _ORDER.index(row[0]))
    heading = ("verdict", "claim", "classifier", "value", "needs")
    lines = [" | ".join(_escaped(cell) for cell in row) for row in (heading, ("---",) * len(heading), *rows[:_LISTED])]
    more = f"\n\nand {len(rows) - _LISTED} more" if len(rows) > _LISTED else ""
    return "\n".join(f"| {line} |" for line in lines) + more


def _row(entry: Entry) -> tuple[str, ...]:
    if entry["verdict"] == "undecided":
        how = _UNDECIDED
    elif entry["is_good_news"]:
        how = _GOOD_NEWS
    else:
        how = _EXPECTED if entry["expected"] else _FAILS
    value = "" if entry["value"] is None else in_unit(entry["value"], percent=entry["percent"])
    return how, entry["statement"], f"`{entry['subject']}`" if entry["subject"] else "", value, entry["relation"]


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
