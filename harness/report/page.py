"""Writes the report: `index.html`, which needs nothing else, and beside it tables, figures and `history.jsonl`."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.classifiers.spec import label_of
from harness.files import put_whole
from harness.report import charts
from harness.report.board import MARKS, Board, Pins, lay_out
from harness.report.charts import Chart
from harness.report.document import Changes, Document, remember
from harness.report.evidence import Evidence, gather
from harness.report.pictures import Maximized, Stimuli, draw_stimuli, maximizing, stimuli
from harness.report.tables import SHOWN, Table, forms_table, tables_of, write_tables
from harness.studies.live import LiveStudy
from harness.studies.published import PublishedStudy
from harness.studies.study import Study
from harness.verdicts.rules import in_unit

INDEX = "index.html"


@dataclass(frozen=True)
class Part:
    """What the page shows of one study.

    Attributes:
        evidence: Its figures.
        tables: Tables 1 to 4.
        forms: The published and the standard form of each attack; None where there is one only.
        charts: Its charts.
        is_measured: Whether its figures are measured, and not recorded.
        maximized: Its maximizing images.
        stimuli: Its cue-conflict images.
    """

    evidence: Evidence
    tables: Sequence[Table]
    forms: Table | None
    charts: Sequence[Chart]
    is_measured: bool
    maximized: Sequence[Maximized] = field(default_factory=list)
    stimuli: Sequence[Stimuli] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known of the study."""
        return not (self.tables or self.charts or self.maximized or self.stimuli)


def write(
    folder: Path,
    document: Document,
    parts: Sequence[Part],
    *,
    pins: Pins,
    now: datetime,
    error_rates: str = "",
    changes: Changes | None = None,
    compared_with: str = "",
) -> Path:
    """Write the page with its tables and figures, and remember the run.

    Args:
        folder: The report's; made if it is not there. What else lies in it stays.
        document: What the run said.
        parts: What is known of the studies that it asked.
        pins: What is pinned.
        now: The time.
        error_rates: How often verdicts from drawn images may be wrong.
        changes: What changed since an earlier run; None where it is compared with none.
        compared_with: What that run is called.

    Returns:
        The page.

    Raises:
        HarnessError: A file can't be read or written.
    """
    measured = {part.evidence.study for part in parts if part.is_measured}
    across = [charts.images_to_verdict([entry for entry in document.verdicts if entry["study"] in measured])]
    across.append(charts.trend(remember(folder, document, now=now)))
    found = [chart for chart in across if chart]
    people = {part.evidence.study: [person.subject for person in part.evidence.people] for part in parts}
    board = lay_out(document.verdicts, people, document.options, pins)
    shown = [part for part in parts if not part.is_empty]
    for part in shown:
        for each in part.stimuli:
            put_whole(folder / "figures" / f"figure4_{part.evidence.study}_{each.label}.png", draw_stimuli(each))
    for chart in (*found, *(chart for part in shown for chart in part.charts)):
        put_whole(folder / "figures" / f"{chart.name}.svg", chart.svg.encode())
        put_whole(folder / "figures" / f"{chart.name}.png", chart.png)
    write_tables(folder / "tables", [each for part in shown for each in (*part.tables, part.forms) if each])
    text = _render(
        document=document,
        board=board,
        parts=shown,
        charts=found,
        forms=forms_sentences(document.verdicts),
        error_rates=error_rates,
        changes=changes,
        compared_with=compared_with,
        now=now,
        changed=_changed(folder),
    )
    put_whole(folder / INDEX, text.encode())
    return folder / INDEX


def forms_sentences(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say which claims come out otherwise in the standard form of an attack than in the published one.

    A line a study, of the verdicts that were asked in both forms: by the same test, of the same classifier and eps.
    """
    found: dict[str, dict[str, dict[str, dict[str, str]]]] = {}
    for entry in entries:
        is_attack = entry["metric"].startswith(("whitebox_accuracy", "transfer_accuracy"))
        if is_attack and entry["claim"].startswith("C") and entry["verdict"] != "not_run":
            form = "standard" if entry["metric"].endswith("_standard") else "published"
            same = found.setdefault(entry["study"], {}).setdefault(entry["claim"], {})
            same.setdefault(_without_form(entry), {})[form] = entry["verdict"]
    lines = []
    for study, claims in found.items():
        both = {claim: [forms for forms in same.values() if len(forms) == 2] for claim, same in claims.items()}
        both = {claim: pairs for claim, pairs in both.items() if pairs}
        if not both:
            continue
        depend = [
            f"{claim} ({differing} of {len(pairs)} verdicts)"
            for claim, pairs in both.items()
            if (differing := sum(forms["published"] != forms["standard"] for forms in pairs))
        ]
        alike = [
            claim for claim, pairs in both.items() if all(forms["published"] == forms["standard"] for forms in pairs)
        ]
        told = [f"the form of the attack decides {', '.join(depend)}"] if depend else []
        told += [f"alike in both: {', '.join(alike)}"] if alike else []
        lines.append(f"{study}: {'; '.join(told)}.")
    return lines


def _without_form(entry: Mapping[str, Any]) -> str:
    """Name a verdict alike in both forms of its attack: by its test, its parameters and whom it is about."""
    test, _, parameters = entry["test"].partition("[")
    case = parameters.removesuffix("]").removeprefix(entry["study"])
    kept = [part for part in case.split("-") if part not in ("published", "standard")]
    return f"{test} {entry['subject']} {entry['quantity'].replace('_standard', '') or '-'.join(kept)}"


def parts_of(folder: Path, studies: Sequence[Study]) -> list[Part]:
    """Read what the page shows of studies; what is not known is left out.

    Args:
        folder: The report's, into whose `figures/` maximizing images are drawn.
        studies: Those that were asked, which measure nothing any more.

    Raises:
        HarnessError: A picture can't be read or written.
    """
    evidences = {study.name: gather(study, SHOWN) for study in studies}
    published = evidences.get(PublishedStudy.name) or gather(PublishedStudy(), SHOWN)
    parts = []
    for study in studies:
        evidence = evidences[study.name]
        pictures: dict[str, Any] = {}
        if isinstance(study, LiveStudy):
            people = [person for person in evidence.people if person.is_own]
            pictures["maximized"] = maximizing(study, people, folder / "figures")
            pictures["stimuli"] = stimuli(study, people)
        parts.append(
            Part(
                evidence,
                tables_of(evidence),
                forms_table(evidence),
                charts.charts(evidence, published),
                isinstance(study, LiveStudy),
                **pictures,
            )
        )
    return parts


def _changed(folder: Path) -> list[tuple[str, str]]:
    """Give the contact sheets of images that changed, as (name, address of its data)."""
    sheets = sorted((folder / "changed").glob("*.png"))
    return [(path.stem, _address(path.read_bytes())) for path in sheets]


def _address(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _render(*, board: Board, changes: Changes | None, now: datetime, **shown: Any) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("harness.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"address": _address, "unit": _in_unit, "label": label_of, "count": lambda n: f"{n:,}"}
    template = environment.get_template("index.html")
    return template.render(board=board, marks=MARKS, changes=changes, now=f"{now:%Y-%m-%d %H:%M}", **shown)


def _in_unit(number: float | None, percent: bool) -> str:
    return "–" if number is None else in_unit(number, percent=percent)
