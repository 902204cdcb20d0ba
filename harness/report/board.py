"""The verdict board: claims by classifiers by studies, and the evidence behind each of its cells."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from harness import pinfile
from harness.classifiers.spec import label_of
from harness.errors import DataError
from harness.report.document import asking_again
from harness.verdicts.rules import in_unit, interval_in_words

Entry = Mapping[str, Any]

MARKS = {"holds": "✓", "fails": "✗", "undecided": "?", "not_run": "–"}
"""By verdict, the sign that stands for it."""

OTHERS = "others"


@dataclass(frozen=True)
class Column:
    """A column of the board.

    Attributes:
        study: The study's name.
        subject: The classifier, as verdicts call it; empty for all that is of none of the study's classifiers.
        label: Its short name.
        short: What tells it from the others of its study.
        key: Its name in addresses within the page.
    """

    study: str
    subject: str
    label: str
    short: str
    key: str


@dataclass(frozen=True)
class Proof:
    """A verdict with all that it rests on, in words.

    Attributes:
        entry: The verdict, as `verdicts.json` has it.
        name: Of what, e.g. `mce` or `pgd-eps_0.06`.
        label: Of which classifier.
        value: What was found, in its unit.
        needs: What the claim needs.
        interval: Of the value, with its error rate.
        pin: What is pinned of it; empty for nothing.
        command: What judges it again.
    """

    entry: Entry
    name: str
    label: str
    value: str
    needs: str
    interval: str
    pin: str
    command: str


@dataclass(frozen=True)
class Cell:
    """All verdicts of a claim on a classifier.

    Attributes:
        column: Whose.
        verdict: The worst of what is known: fails, then undecided, then holds; not_run where nothing is known.
        count: Of how many that is the verdict.
        proofs: All of them.
        is_good_news: Whether a failure is one, each of them.
        is_expected: Whether a failure is expected, each of them.
    """

    column: Column
    verdict: str
    count: int
    proofs: tuple[Proof, ...]
    is_good_news: bool
    is_expected: bool

    @property
    def mark(self) -> str:
        """The sign for its verdict."""
        return MARKS[self.verdict]

    @property
    def words(self) -> str:
        """Its verdict in words, e.g. `fails 2 of 3 (expected)`."""
        kinds = ", ".join(["good news"] * self.is_good_news + ["expected"] * self.is_expected)
        return f"{self.verdict.replace('_', ' ')} {self.count} of {len(self.proofs)}" + (f" ({kinds})" if kinds else "")


@dataclass(frozen=True)
class Claim:
    """A row of the board.

    Attributes:
        id: E.g. `C10`.
        statement: What it says: of several tests, what the one with most verdicts says, or the briefest.
        also: What its other tests say.
        cells: By column's key.
    """

    id: str
    statement: str
    also: tuple[str, ...]
    cells: Mapping[str, Cell]

    @property
    def totals(self) -> Mapping[str, int]:
        """By verdict, of how many of its verdicts it is the one."""
        return Counter(proof.entry["verdict"] for cell in self.cells.values() for proof in cell.proofs)


@dataclass(frozen=True)
class Topic:
    """Claims about one table or figure.

    Attributes:
        title: E.g. `Table 1: robustness to common corruptions`.
        claims: By number.
    """

    title: str
    claims: tuple[Claim, ...]


@dataclass(frozen=True)
class Board:
    """All verdicts.

    Attributes:
        columns: Study by study, the classifiers from the baseline to the widest.
        topics: In the paper's order.
    """

    columns: tuple[Column, ...]
    topics: tuple[Topic, ...]

    @property
    def studies(self) -> list[str]:
        """The studies, each once."""
        return list(dict.fromkeys(column.study for column in self.columns))

    def of(self, study: str) -> list[Column]:
        """Give a study's columns."""
        return [column for column in self.columns if column.study == study]


@dataclass
class Pins:
    """Pinned figures.

    Attributes:
        found: By a figure's name, each pin with the parameters of its test.
    """

    found: dict[str, list[tuple[str, Mapping[str, Any]]]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> "Pins":
        """Read all files of pins below a folder; what is no file of pins is left out."""
        pins = cls()
        for path in sorted(folder.glob("*/*.json")):
            match = re.search(r"\[(.*)\]", path.stem)
            try:
                figures = pinfile.read(path)["figures"]
            except DataError:
                continue
            for name, pin in figures.items():
                pins.found.setdefault(name, []).append((match[1] if match else "", pin))
        return pins

    def of(self, entry: Entry, label: str) -> Mapping[str, Any] | None:
        """Find the pin of the figure that a verdict is about, by its classifier's label; None for none."""
        whose = f"{entry['study']}-{label}"
        same = self.found.get(entry["quantity"] or entry["metric"], [])
        return next((pin for parameters, pin in same if f"{parameters}-".startswith(f"{whose}-")), None)


def lay_out(entries: Sequence[Entry], people: Mapping[str, Sequence[str]], rerun: Sequence[str], pins: Pins) -> Board:
    """Lay verdicts out as a board.

    Args:
        entries: The verdicts, sorted by claim.
        people: By study, in order, its classifiers as verdicts call them, from the baseline to the widest.
        rerun: Arguments of pytest under which a test's id judges it again.
        pins: What is pinned.
    """
    columns: list[Column] = []
    asked: dict[str, set[str]] = {}
    for entry in entries:
        asked.setdefault(entry["study"], set()).add(entry["subject"])
    for study in filter(asked.__contains__, dict.fromkeys((*people, *sorted(asked)))):
        own = list(filter(asked[study].__contains__, people.get(study, ())))
        columns += _columns(study, own)
        if asked[study].difference(own):
            columns.append(Column(study, "", OTHERS, OTHERS, f"{_address(study)}-{OTHERS}"))
    where = {(column.study, column.subject): column for column in columns}
    topics: dict[str, dict[str, dict[str, list[Proof]]]] = {}
    for entry in entries:
        column = where.get((entry["study"], entry["subject"])) or where[entry["study"], ""]
        claims = topics.setdefault(entry["topic"], {})
        proof = _proof(entry, rerun, pins)
        claims.setdefault(entry["claim"], {}).setdefault(column.key, []).append(proof)
    by_key = {column.key: column for column in columns}
    laid_out = [
        Topic(title, tuple(_claim(name, cells, by_key) for name, cells in claims.items()))
        for title, claims in topics.items()
    ]
    return Board(tuple(columns), tuple(laid_out))


def _columns(study: str, subjects: Sequence[str]) -> list[Column]:
    labels = [label_of(subject) for subject in subjects]
    parts = [re.findall(r"[^_@]+[_@]?", label) for label in labels]
    alike = takewhile(lambda same: len(set(same)) == 1, zip(*parts, strict=False)) if len(labels) > 1 else ()
    common = "".join(same[0] for same in alike)
    return [
        Column(study, subject, label, label.removeprefix(common) or label, f"{_address(study)}-{place}")
        for place, (subject, label) in enumerate(zip(subjects, labels, strict=True))
    ]


def _address(study: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", study)


def _claim(name: str, proofs: Mapping[str, Sequence[Proof]], columns: Mapping[str, Column]) -> Claim:
    statements = Counter(proof.entry["statement"] for own in proofs.values() for proof in own)
    said = sorted(statements, key=lambda words: (-statements[words], len(words)))
    first, *others = (words.removeprefix(f"{name}: ") for words in said)
    return Claim(
        name, first, tuple(others), {key: _cell(columns[key], proofs[key]) for key in columns if key in proofs}
    )


def _cell(column: Column, proofs: Iterable[Proof]) -> Cell:
    own = tuple(proofs)
    counts = Counter(proof.entry["verdict"] for proof in own)
    verdict = next(each for each in ("fails", "undecided", "holds", "not_run") if counts[each])
    failing = [proof.entry for proof in own if proof.entry["verdict"] == "fails"]
    return Cell(
        column,
        verdict,
        counts[verdict],
        own,
        bool(failing) and all(entry["is_good_news"] for entry in failing),
        bool(failing) and all(entry["expected"] for entry in failing),
    )


def _proof(entry: Entry, rerun: Sequence[str], pins: Pins) -> Proof:
    def text(number: float) -> str:
        return in_unit(number, percent=entry["percent"])

    label = label_of(entry["subject"])
    interval = interval_in_words(entry["interval"], percent=entry["percent"], alpha=entry["alpha"])
    return Proof(
        entry,
        _name(entry, label),
        label,
        "" if entry["value"] is None else text(entry["value"]),
        entry["relation"],
        interval or "none: it is not known how far the value may be off",
        _pinned(entry, pins.of(entry, label), text),
        asking_again(rerun, entry["test"]),
    )


def _name(entry: Entry, label: str) -> str:
    """Name what a verdict is about: its test's parameters without study and classifier, or its metric."""
    match = re.search(r"\[(.*)\]$", entry["test"])
    case = (match[1] if match else "").removeprefix(entry["study"]).removeprefix("-")
    case = case.removeprefix(label).strip("-")
    return case or entry["metric"] or "all"


def _pinned(entry: Entry, pin: Mapping[str, Any] | None, text: Callable[[float], str]) -> str:
    if pin is None or entry["value"] is None:
        return ""
    words = f"{text(pin['value'])} ± {text(pin['tolerance'])} on {pin['images']:,} images"
    if pin["images"] != entry["images"]:
        return f"{words}, not compared: these are {entry['images']:,}"
    return words + (", met" if abs(pin["value"] - entry["value"]) <= pin["tolerance"] else ", missed")
