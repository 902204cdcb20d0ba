"""Verdicts as Markdown, from `verdicts.json`: what a CI job shows."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.suite import summary
from harness.suite.summary import Entry
from harness.verdicts.rules import in_unit

_WIDTH = 160

# A comment on GitHub holds 65,536 characters.
_LISTED, _MOST = 50, 40_000

_ORDER = _FAILS, _UNDECIDED, _EXPECTED, _GOOD_NEWS = (
    *("**fails**", "undecided", "fails, as expected", "fails: good news"),
)


def read(path: Path) -> Mapping[str, Any]:
    """Read `verdicts.json`.

    Args:
        path: The file, or the folder that it is in.

    Raises:
        HarnessError: It is not there, or is no such file of this version.
    """
    file = path / "verdicts.json" if path.is_dir() else path
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        schema, verdicts = document["schema"], document["verdicts"]
    except OSError as error:
        raise HarnessError(f"{file}: can't be read ({error.strerror}); pytest ... --report {path} writes it") from error
    except (ValueError, TypeError, KeyError) as error:
        raise HarnessError(f"{file} is no verdicts.json; name the folder that --report named") from error
    if schema != summary.SCHEMA or not isinstance(verdicts, list):
        raise HarnessError(f"{file} is of schema {schema}, and this is {summary.SCHEMA}; ask the claims again")
    return dict(document)


def summary_of(document: Mapping[str, Any]) -> str:
    """Say what a report says: the totals, what does not hold, how it was asked, and, folded up, the claims table.

    Args:
        document: As `verdicts.json` has it.
    """
    entries: list[Entry] = document["verdicts"]
    environment = ", ".join(f"{name} {value}" for name, value in document["environment"].items())
    parts = [f"### Robustness claims: {summary.totals(entries)}", f"`{document['command']}`", environment]
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
