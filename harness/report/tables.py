"""Tables 1 to 4, a study's figures beside the paper's: for the page, as CSV and as LaTeX."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.files import put_whole
from harness.report.evidence import Evidence, Person, quoted_rows
from harness.studies.published import PublishedStudy
from harness.studies.quantities import (
    AURRA,
    EPSILONS,
    IMAGENET_A_TOP1,
    IMAGENET_TOP1,
    MCE,
    MEAN_TOP5_DISTANCE,
    MFR,
    MT5D,
    REL_MCE,
    RMS_CE,
    SHAPE_BIAS,
    SHAPE_IN_TOP5,
    STEPS,
    TEXTURE_IN_TOP5,
    Quantity,
    transfer_accuracy,
    whitebox_accuracy,
)
from harness.verdicts.rules import Figure, in_unit

_EPS = 0.06


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: Its heading.
        quantity: What stands in it.
    """

    title: str
    quantity: Quantity


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        quantity: What it is of.
        figure: What was found; None for nothing.
        printed: What the paper prints, a fraction where it prints percent; None for nothing.
        is_the_papers: Whether the figure is of the very classifier that the printed one is of.
    """

    quantity: Quantity
    figure: Figure | None
    printed: float | None
    is_the_papers: bool

    @property
    def difference(self) -> float | None:
        """Found less printed, of one and the same classifier; None elsewhere."""
        if self.figure is None or self.printed is None or not self.is_the_papers:
            return None
        return self.figure.estimate.value - self.printed

    def text(self, number: float | None) -> str:
        """Print a number in the cell's unit; empty for none."""
        return "" if number is None else in_unit(number, percent=self.quantity.percent)

    def points(self) -> str:
        """Print the difference, in points of percent where the cell is in percent; empty where there is none."""
        if self.difference is None:
            return ""
        return f"{round((100 if self.quantity.percent else 1) * self.difference, 2) + 0.0:+.2f}"

    def interval(self) -> str:
        """Print the figure's interval; empty where it is exact, or has none."""
        found = self.figure.estimate.interval if self.figure else None
        return f"{self.text(found[0])} to {self.text(found[1])}" if found and found[0] < found[1] else ""


@dataclass(frozen=True)
class Row:
    """A classifier's row.

    Attributes:
        person: Who.
        cells: One a column.
    """

    person: Person
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """One of the paper's tables, in one study.

    Attributes:
        name: Of its files, e.g. `table1`.
        number: As the paper numbers it.
        title: What it shows.
        study: Whose figures.
        columns: What of each classifier.
        rows: One a classifier of whom something is known.
    """

    name: str
    number: str
    title: str
    study: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


LAYOUT: tuple[tuple[str, str, tuple[Column, ...]], ...] = (
    (
        "Table 1",
        "ImageNet-C and ImageNet-P; lower is better",
        (
            Column("mCE", MCE),
            Column("rel. mCE", REL_MCE),
            Column("mFR", MFR),
            Column("mT5D", MT5D),
            Column("mean top-5 distance", MEAN_TOP5_DISTANCE),
        ),
    ),
    (
        "Table 2",
        f"clean accuracy, and accuracy under attack at eps {_EPS:g}; higher is better",
        (
            Column("ImageNet top-1", IMAGENET_TOP1),
            Column("transferred", transfer_accuracy(_EPS)),
            Column("white-box, 10 steps", whitebox_accuracy(_EPS, 10)),
            Column("white-box, 50 steps", whitebox_accuracy(_EPS, 50)),
        ),
    ),
    ("Table 3", "shape bias on cue-conflict images", (Column("shape bias", SHAPE_BIAS),)),
    (
        "Table 4",
        "ImageNet-A: natural adversarial examples",
        (Column("top-1", IMAGENET_A_TOP1), Column("RMS-CE, lower is better", RMS_CE), Column("AURRA", AURRA)),
    ),
)

FORMS = (
    Column("transferred, published", transfer_accuracy(_EPS)),
    Column("transferred, standard", transfer_accuracy(_EPS, "standard")),
    Column("white-box 10 steps, published", whitebox_accuracy(_EPS, 10)),
    Column("white-box 10 steps, standard", whitebox_accuracy(_EPS, 10, "standard")),
    Column("white-box 50 steps, published", whitebox_accuracy(_EPS, 50)),
    Column("white-box 50 steps, standard", whitebox_accuracy(_EPS, 50, "standard")),
)
"""The two forms of each attack, side by side."""

_CURVES = (
    quantity
    for form in ("published", "standard")
    for quantity in (
        *(transfer_accuracy(eps, form) for eps in EPSILONS),
        *(whitebox_accuracy(eps, 10, form) for eps in EPSILONS),
        *(whitebox_accuracy(_EPS, steps, form) for steps in STEPS),
    )
)

SHOWN: tuple[Quantity, ...] = tuple(
    {
        quantity.key: quantity
        for quantity in (
            *(column.quantity for _, _, columns in LAYOUT for column in columns),
            *(SHAPE_IN_TOP5, TEXTURE_IN_TOP5),
            *_CURVES,
        )
    }.values()
)
"""All quantities that the report shows."""


def tables_of(evidence: Evidence) -> list[Table]:
    """Lay a study's figures out as the paper's tables; those of which nothing is known are left out."""
    found = [lay_out(evidence, number, title, columns) for number, title, columns in LAYOUT]
    return [table for table in found if table.rows]


def forms_table(evidence: Evidence) -> Table | None:
    """Lay the published and the standard form of each attack side by side; None where there is none of the latter."""
    table = lay_out(evidence, "Attack forms", "published and standard form of each attack at eps 0.06", FORMS)
    is_both = any(column.quantity.metric.endswith("_standard") for column in table.columns)
    return table if is_both else None


def lay_out(evidence: Evidence, number: str, title: str, columns: Sequence[Column]) -> Table:
    """Lay figures of a study's classifiers out as a table, without columns and rows of which nothing is known.

    Without any, where nothing is known but of who was recorded. The published study has the rows too that the paper
    quotes from others.
    """
    kept = [
        each
        for each in columns
        if any(
            evidence.figure(person, each.quantity) or evidence.printed(person, each.quantity) is not None
            for person in evidence.people
        )
    ]
    rows = []
    quoted = quoted_rows() if evidence.study == PublishedStudy.name else []
    for person in (*evidence.people, *quoted):
        cells = tuple(
            Cell(
                each.quantity,
                evidence.figure(person, each.quantity),
                evidence.printed(person, each.quantity),
                person.is_the_papers,
            )
            for each in kept
        )
        if any(cell.figure or (person in quoted and cell.printed is not None) for cell in cells):
            rows.append(Row(person, cells))
    if not any(row.person.is_own and any(cell.figure for cell in row.cells) for row in rows):
        rows = []
    name = number.lower().replace(" ", "_").replace("table_", "table")
    return Table(name, number, title, evidence.study, tuple(kept), tuple(rows))


def write_tables(folder: Path, found: Iterable[Table]) -> None:
    """Write each table, all studies together, as CSV and as LaTeX into a folder that is made if it is not there.

    Args:
        folder: `tables/` of the report.
        found: The tables of all studies.

    Raises:
        HarnessError: A file can't be written.
    """
    by_name: dict[str, list[Table]] = {}
    for table in found:
        by_name.setdefault(table.name, []).append(table)
    for name, same in by_name.items():
        put_whole(folder / f"{name}.csv", as_csv(same).encode())
        put_whole(folder / f"{name}.tex", as_latex(same).encode())


def as_csv(same: Iterable[Table]) -> str:
    """Write tables as CSV, a line a figure; shares are fractions, and empty cells are not known.

    Columns: study, classifier, metric, condition, value, low, high (its interval), images, protocol, paper (as printed,
    of whom the classifier plays), difference (value less paper, of the paper's own classifiers).
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heading = ("study", "classifier", "metric", "condition", "value", "low", "high", "images", "protocol", "paper")
    writer.writerow((*heading, "difference"))
    for table in same:
        for row in table.rows:
            for cell in row.cells:
                if cell.figure is None:
                    continue
                estimate = cell.figure.estimate
                low, high = estimate.interval or ("", "")
                writer.writerow(
                    (
                        *(table.study, row.person.label, cell.quantity.metric, cell.quantity.condition),
                        *(estimate.value, low, high, estimate.images, cell.figure.protocol),
                        *("" if number is None else number for number in (cell.printed, cell.difference)),
                    )
                )
    return text.getvalue()


def as_latex(same: Sequence[Table]) -> str:
    r"""Write tables as LaTeX (`\usepackage{booktabs}`), a tabular a study, what the paper prints in parentheses."""
    parts = []
    for table in same:
        heading = " & ".join(map(_escaped, ("classifier", *(column.title for column in table.columns))))
        lines = [
            f"% {table.number}, study {table.study}: {table.title}",
            rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
            r"\toprule",
            rf"{heading} \\",
            r"\midrule",
        ]
        for row in table.rows:
            cells = [_escaped(row.person.label)]
            for cell in row.cells:
                printed = f" ({cell.text(cell.printed)})" if cell.printed is not None else ""
                found = cell.text(cell.figure.estimate.value) if cell.figure else "--"
                cells.append(_escaped(found + printed))
            lines.append(rf"{' & '.join(cells)} \\")
        parts.append("\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""]))
    return "\n".join(parts)


def _escaped(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {sign: rf"\{sign}" for sign in "&%$#_{}"}
    return "".join(special.get(sign, sign) for sign in text)
