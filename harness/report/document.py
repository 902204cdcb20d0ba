"""`verdicts.json`: what a run said, for programs, for the page, and for runs that come after."""

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.errors import DataError
from harness.files import put_whole

SCHEMA = 1
FILE, HISTORY = "verdicts.json", "history.jsonl"


@dataclass(frozen=True)
class Document:
    """What a run said.

    Attributes:
        command: As typed.
        environment: Versions, device, precision, seed, what data was found, what was measured and how long it took.
        verdicts: Sorted by claim; docs/report.md lists their fields.
        options: Arguments of pytest under which a test's id is judged again.
        selection: What selects the same tests, beside those.
        folder: Where the command was typed.
    """

    command: str
    environment: Mapping[str, Any]
    verdicts: Sequence[Mapping[str, Any]]
    options: Sequence[str] = ()
    selection: Sequence[str] = ()
    folder: str = ""

    @property
    def totals(self) -> dict[str, int]:
        """By verdict, how many there are."""
        counts = Counter(entry["verdict"] for entry in self.verdicts)
        return {verdict: counts[verdict] for verdict in ("holds", "fails", "undecided", "not_run")}

    def write(self, folder: Path) -> Path:
        """Write `verdicts.json` into a folder, made if it is not there, replacing an older one whole.

        Raises:
            HarnessError: It can't be written.
        """
        path = folder / FILE
        document = {
            "schema": SCHEMA,
            "command": self.command,
            "environment": dict(self.environment),
            "again": {"options": list(self.options), "selection": list(self.selection), "folder": self.folder},
            "verdicts": list(self.verdicts),
        }
        put_whole(path, json.dumps(document, indent=1, allow_nan=False).encode())
        return path


def asking_again(options: Sequence[str], test: str) -> str:
    """Give the command that judges a test again.

    Args:
        options: Of a document.
        test: The test's id.
    """
    return shlex.join(["pytest", *options, test])


def read(folder: Path) -> Document:
    """Read what a report's run said.

    Args:
        folder: The report's, or its `verdicts.json`.

    Raises:
        DataError: It is not there, or is none of this schema.
    """
    path = folder if folder.is_file() else folder / FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{folder} is no report: there is no {FILE}; pytest --report={folder} writes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} can't be read ({error}); mend it, or report anew") from None
    except ValueError as error:
        raise DataError(f"{path} is no JSON ({error}); report anew") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        schema = found.get("schema") if isinstance(found, dict) else None
        raise DataError(f"{path} has schema {schema}, and this is {SCHEMA}; report anew")
    try:
        again = found.get("again", {})
        return Document(
            str(found["command"]),
            dict(found["environment"]),
            [dict(entry) for entry in found["verdicts"]],
            [str(each) for each in again.get("options", ())],
            [str(each) for each in again.get("selection", ())],
            str(again.get("folder", "")),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} lacks what a report has ({error!r}); report anew") from None


@dataclass(frozen=True)
class Change:
    """A verdict that is another one than in an earlier run.

    Attributes:
        before: The verdict as it was; None where there was none.
        now: As it is; None where there is none any more.
    """

    before: Mapping[str, Any] | None
    now: Mapping[str, Any] | None

    @property
    def entry(self) -> Mapping[str, Any]:
        """The verdict as it is, or as it was, where it is no more."""
        found = self.now or self.before
        assert found is not None
        return found

    @property
    def words(self) -> str:
        """What became of it, e.g. `holds -> fails`."""
        before, now = (each["verdict"].replace("_", " ") if each else "not asked" for each in (self.before, self.now))
        return f"{before} -> {now}"


@dataclass(frozen=True)
class Changes:
    """What changed between two runs.

    Attributes:
        flips: Verdicts that are other ones, those first that got worse.
        moves: Verdicts that are the same on another value, those first that moved most in their own unit.
        added: Verdicts that were not asked for before.
        gone: Verdicts that are not asked for any more.
    """

    flips: Sequence[Change] = field(default_factory=list)
    moves: Sequence[Change] = field(default_factory=list)
    added: Sequence[Change] = field(default_factory=list)
    gone: Sequence[Change] = field(default_factory=list)


# From the best to the worst.
_ORDER = ("holds", "undecided", "not_run", "fails")


def changes(before: Document, now: Document) -> Changes:
    """Compare two runs verdict by verdict; a verdict is told by its test, and where that has several by its metric."""
    old, new = _keyed(before.verdicts), _keyed(now.verdicts)
    both = [Change(old[key], new[key]) for key in new if key in old]
    flips = [each for each in both if each.before and each.now and each.before["verdict"] != each.now["verdict"]]
    moves = [each for each in both if each not in flips and _moved(each)]
    return Changes(
        sorted(flips, key=_worsened, reverse=True),
        sorted(moves, key=lambda each: abs(_moved(each)), reverse=True),
        [Change(None, new[key]) for key in new if key not in old],
        [Change(old[key], None) for key in old if key not in new],
    )


def _keyed(verdicts: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, str, int], Mapping[str, Any]]:
    """Give each verdict a name that it has in other runs too: its metric is part of it where its test has several.

    Where there is no figure, a verdict may have no metric.
    """
    of_test = Counter(entry["test"] for entry in verdicts)
    seen: Counter[tuple[str, str, str]] = Counter()
    found = {}
    for entry in verdicts:
        key = entry["claim"], entry["test"], entry["metric"] if of_test[entry["test"]] > 1 else ""
        found[*key, seen[key]] = entry
        seen[key] += 1
    return found


def _worsened(change: Change) -> int:
    assert change.before
    assert change.now
    return _ORDER.index(change.now["verdict"]) - _ORDER.index(change.before["verdict"])


def _moved(change: Change) -> float:
    assert change.before
    assert change.now
    values = change.before["value"], change.now["value"]
    return 0.0 if None in values else values[1] - values[0]


def remember(folder: Path, document: Document, *, now: datetime) -> list[dict[str, Any]]:
    """Add a run to `history.jsonl`, a line a run, unless the last one said the very same; gives all lines.

    A line has `time`, `command`, `totals`, and by test and metric the `verdicts` with their values. What is no such
    line is left where it is, and out of what is given.

    Raises:
        HarnessError: It can't be read or written.
    """
    path = folder / HISTORY
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} can't be read ({error}); mend it, or move it away") from None
    lines = [line for line in map(_line, text.splitlines()) if line]
    verdicts = {
        " ".join(map(str, filter(None, key[1:]))): [entry["verdict"], entry["value"]]
        for key, entry in _keyed(document.verdicts).items()
    }
    line = {
        "time": now.isoformat(timespec="seconds"),
        "command": document.command,
        "totals": document.totals,
        "verdicts": verdicts,
    }
    if lines and lines[-1].get("verdicts") == verdicts:
        return lines
    text += "\n" if text and not text.endswith("\n") else ""
    put_whole(path, f"{text}{json.dumps(line, allow_nan=False)}\n".encode())
    return [*lines, line]


def _line(text: str) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    is_one = isinstance(line, dict) and isinstance(line.get("totals"), dict) and isinstance(line.get("time"), str)
    return line if is_one else None
