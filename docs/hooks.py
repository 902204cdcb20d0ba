"""The parts of the documentation that are made from the code, whenever the site is built.

A page asks for one by a comment on a line of its own, `<!-- generated: NAME -->`; `PARTS` lists the names. Claims are
read off the tests that pytest collects, options off the parsers, metrics and rooms off their docstrings.
"""

import ast
import contextlib
import csv
import importlib
import inspect
import io
import os
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

from harness import cli, metrics
from harness.metrics.corruption import CORRUPTIONS
from harness.metrics.perturbation import PERTURBATIONS
from harness.protocols.attacks import SURROGATE, Attack
from harness.protocols.maximizing import Maximize
from harness.protocols.needs import Need, benchmark_of
from harness.scores import scores_of
from harness.scores.score import Score
from harness.studies.quantities import MEASURED, PUBLISHED, Quantity
from harness.studies.study import BASELINE
from harness.suite import flags
from harness.suite.claims import VerdictEntry, claim_of, params_of, statement_of
from harness.suite.parameters import quantities_of

ROOT = Path(__file__).parent.parent

# Files of claims, so that neither the harness's own tests nor torch are imported.
_CLAIMS = "robustness_tests/test_*.py"
_STUDIES = ("published", "miniature", "paper", "candidate")
# A candidate with all that it may be compared with, so that every test is collected; nothing of them is loaded.
_CANDIDATE = ("--candidate=alexnet", f"--against={SURROGATE}", f"--expect-like={BASELINE}")

_FAMILIES = {
    "C": "The paper's claims",
    "N": "The paper's printed numbers",
    "T": "Can the attack be trusted?",
    "H": "Is a candidate sound?",
    "L": "Is it like what was recorded?",
    "A": "Is it worse than another one?",
}

_NEEDS: Mapping[str, tuple[Need, ...]] = {
    "ImageNet": ("imagenet",),
    "ImageNet-C": ("imagenet-c",),
    "ImageNet-P": ("imagenet-p",),
    "ImageNet-A": ("imagenet-a",),
    "Cue conflict": ("cue-conflict",),
    "Attacks": (
        *(Attack("published"), Attack("standard"), Attack("standard", follow=True)),
        *(Attack("published", surrogate=SURROGATE), Attack("standard", surrogate=SURROGATE)),
    ),
    "Maximizing images": (Maximize(),),
}

_MARKER = re.compile(r"^<!-- generated: ([a-z-]+) -->$", re.MULTILINE)
_SECTION = re.compile(r"^(Args|Attributes|Modules|Raises|Returns):\n", re.MULTILINE)


@dataclass(frozen=True)
class Claim:
    """A test that states a claim, over all its parameters.

    Attributes:
        id: Of the claim, e.g. `C10`.
        test: File and function, as pytest takes them.
        statement: The claim in words.
        reading: How words that leave room are read; empty where none does.
        studies: What it is asked of.
        quantities: What it is about.
        not_having_it: What is better about a candidate that fails it, for claims of a weakness.
    """

    id: str
    test: str
    statement: str
    reading: str
    studies: tuple[str, ...]
    quantities: tuple[Quantity, ...]
    not_having_it: str

    @property
    def forms(self) -> set[str]:
        """The forms of attacks that it is about."""
        return {quantity.attack.form for quantity in self.quantities if quantity.attack}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put what is generated in its place; MkDocs calls this for every page."""
    return _MARKER.sub(lambda found: PARTS[found[1]](), markdown)


@cache
def collected() -> tuple[Claim, ...]:
    """Collect every test that states a claim, on every study, and load no classifier.

    Raises:
        RuntimeError: pytest can't collect them.
    """

    class Items:
        found: Sequence[pytest.Item] = ()

        def pytest_collection_finish(self, session: pytest.Session) -> None:
            self.found = session.items

    plugin, said = Items(), io.StringIO()
    files = sorted(str(path) for path in ROOT.glob(_CLAIMS))
    # The harness is imported already, by this module; nothing is asserted here.
    quietly = ["--collect-only", "-q", f"--rootdir={ROOT}", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    asked = [*quietly, "-m", "quick or full or candidate", *_CANDIDATE, *files]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = pytest.main(asked, plugins=[plugin])
    if code:
        raise RuntimeError(f"the claims can't be collected:\n{said.getvalue()}")
    by_test: dict[str, list[pytest.Function]] = {}
    for item in plugin.found:
        if isinstance(item, pytest.Function) and claim_of(item):
            by_test.setdefault(item.nodeid.partition("[")[0], []).append(item)
    claims = [_claim(test, items) for test, items in by_test.items()]
    return tuple(sorted(claims, key=lambda each: (list(_FAMILIES).index(each.id[0]), int(each.id[1:]))))


def _claim(test: str, items: Sequence[pytest.Function]) -> Claim:
    function: FunctionType = items[0].function
    studies = {str(params_of(item).get("study", "")) for item in items}
    named = [quantity for item in items for quantity in quantities_of(item)]
    if not named:
        constants = [function.__globals__.get(name) for name in function.__code__.co_names]
        named = [constant for constant in constants if isinstance(constant, Quantity)]
    weakness = items[0].get_closest_marker("weakness")
    _, _, reading = inspect.cleandoc(function.__doc__ or "").partition("\n\n")
    return Claim(
        id=claim_of(items[0]),
        test=test,
        statement=statement_of(items[0]).partition(": ")[2],
        reading=" ".join(reading.split()),
        studies=tuple(study for study in _STUDIES if study in studies),
        quantities=tuple(dict.fromkeys(named)),
        not_having_it=weakness.args[0] if weakness else "",
    )


def claims() -> str:
    """List every claim: the paper's sentence, what it says, which test states it, and what it is judged by."""
    sentences = paper_sentences()
    lines = []
    for letter, title in _FAMILIES.items():
        lines.append(f"## {title}\n")
        heading = ""
        for claim in collected():
            if claim.id[0] != letter:
                continue
            if claim.id != heading:
                heading = claim.id
                lines.append(f"### {heading}\n")
                if heading in sentences:
                    lines.append(f"> {sentences[heading]}\n")
            lines += _shown(claim)
    return "\n".join(lines)


def paper_sentences() -> dict[str, str]:
    """Give the sentences of the paper that claims come from, each with its place; not every claim has one."""
    with (ROOT / "harness/reference/paper_sentences.csv").open(encoding="utf-8", newline="") as file:
        return {row["claim"]: f"{row['sentence']} ({row['place']})" for row in csv.DictReader(file)}


def _shown(claim: Claim) -> Iterator[str]:
    """Show one test of a claim as a paragraph and what it rests on."""
    statement = f"**{claim.statement[0].upper()}{claim.statement[1:]}**"
    yield f"{statement} {claim.reading}\n" if claim.reading else f"{statement}\n"
    yield f"- test: `{claim.test}`"
    if claim.quantities:
        names = dict.fromkeys(f"{quantity.title} (`{quantity.key}`)" for quantity in claim.quantities)
        yield f"- metrics: {'; '.join(names) if len(names) <= 20 else f'{len(names)}, all that can be recorded'}"
        places = dict.fromkeys(quantity.where for quantity in claim.quantities if quantity.where != "Attack")
        if places:
            yield f"- in the paper: {', '.join(sorted(places))}"
    yield f"- studies: {', '.join(claim.studies)}"
    if claim.not_having_it:
        yield f"- a weakness: of a candidate that fails it, {claim.not_having_it}"
    yield ""


def both_forms() -> str:
    """List the claims that live studies are asked under both forms of an attack."""
    rows = [
        (f"[{claim.id}](claims.md#{claim.id.lower()})", claim.statement)
        for claim in collected()
        if claim.id[0] == "C" and claim.forms == {"published", "standard"}
    ]
    return _table(("claim", "says"), rows)


def scores() -> str:
    """List every metric of every benchmark and attack: in words, its unit, its interval, and where the paper has it."""
    asked = (*PUBLISHED, *MEASURED, *(quantity for claim in collected() for quantity in claim.quantities))
    known = {(quantity.benchmark, _pattern(quantity.score)): quantity for quantity in asked}
    lines = []
    for title, needs in _NEEDS.items():
        rows: dict[str, Sequence[str]] = {}
        for need in needs:
            for name, score in scores_of(need).items():
                quantity = known.get((benchmark_of(need), _pattern(name)))
                words = _number_free(quantity.title) if quantity else ""
                where = quantity.where if quantity and quantity.where != "Attack" else ""
                unit = "fraction" if score.percent else "number"
                also = ", ".join(map(str, score.needs[1:]))
                rows.setdefault(_pattern(name), (f"`{_pattern(name)}`", words, unit, _interval(score), also, where))
        heading = ("metric", "in words", "unit", "interval", "also needs", "in the paper")
        lines += [f"### {title}\n", _table(heading, rows.values()), ""]
    return "\n".join(lines)


def _pattern(name: str) -> str:
    """Give the one name under which metrics are listed that there are for each corruption, or each number of steps."""
    for start in ("error_", "flip_probability_", "top5_distance_"):
        if name.startswith(start) and name.removeprefix(start) in (*CORRUPTIONS, *PERTURBATIONS):
            return f"{start}NAME"
    return re.sub(r"after_\d+_steps", "after_K_steps", name)


def _number_free(title: str) -> str:
    """Take out of a quantity's title which attack it is of."""
    said = re.sub(r"(after \d+ PGD steps|under transferred attack) at eps.*", "after K steps", title)
    return said.partition(" under ")[0]


def _interval(score: Score) -> str:
    if score.is_plain:
        return "none: of the very images"
    if score.count:
        return "exact"
    return "jackknife" if score.is_smooth else "bootstrap"


def metric_functions() -> str:
    """Describe how each metric is computed, in the words of `harness.metrics`."""
    lines = []
    for found in pkgutil.iter_modules(metrics.__path__):
        if found.name.startswith("_"):
            continue
        module = importlib.import_module(f"harness.metrics.{found.name}")
        intro = _sections(module.__doc__)[""]
        lines += [f"### `harness.metrics.{found.name}`\n", f"{intro}\n"]
        for name, function in _public_functions(module):
            parts = _sections(function.__doc__)
            returns = f" *Gives* {_joined(parts['Returns'])}" if "Returns" in parts else ""
            lines.append(f"- **`{name}`**: {_joined(parts[''])}{returns}")
        lines.append("")
    return "\n".join(lines)


def _public_functions(module: ModuleType) -> Iterator[tuple[str, FunctionType]]:
    """Give a module's own functions in the order of its file."""
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, getattr(module, node.name)


def options() -> str:
    """List pytest's options, with defaults, ini keys and environment variables."""
    lines = []
    for title, group in {"How to measure": flags.MEASURING, "What to ask": flags.CLAIMS}.items():
        lines += [f"### {title}\n", _options(group), ""]
    return "\n".join(lines)


def _options(group: Iterable[flags.Option]) -> str:
    rows = []
    for option in group:
        kept = " or ".join(f"`{name}`" for name in (option.ini, option.env) if name)
        default = f"`{option.default}`" if option.default else ""
        typed = f"`{option.flag} {option.metavar}`" if option.metavar else f"`{option.flag}`"
        rows.append((typed, default, option.help, kept))
    return _table(("option", "default", "means", "ini key, environment variable"), rows)


def commands() -> str:
    """Show the help of every command of `python -m harness`, as it prints it."""
    lines = []
    for command in cli.COMMANDS:
        text = _help(command)
        lines += [f"### `{command}`\n", f"```text\n{text}\n```\n"]
        actions = re.search(r"^ +([a-z]+(?:\|[a-z]+)+)$", text, re.MULTILINE)
        for action in actions[1].split("|") if actions else ():
            lines += [f"#### `{command} {action}`\n", f"```text\n{_help(command, action)}\n```\n"]
    return "\n".join(lines)


def _help(*words: str) -> str:
    """Give what a command prints for --help, a hundred characters wide and without colours."""
    said, before = io.StringIO(), dict(os.environ)
    os.environ |= {"COLUMNS": "100", "NO_COLOR": "1"}
    try:
        with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
            cli.main([*words, "--help"])
    finally:
        os.environ.clear()
        os.environ.update(before)
    return said.getvalue().strip()


def rooms() -> str:
    """List the rooms of the house, each with what its `__init__` says of itself."""
    rows = []
    for path in sorted((ROOT / "harness").glob("*/__init__.py")):
        doc = _sections(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))))[""]
        rows.append((f"`harness/{path.parent.name}/`", _joined(doc.partition("\n\n")[0])))
    return _table(("room", "what it is"), rows)


def verdict_fields() -> str:
    """List the fields of a verdict in `verdicts.json`."""
    listed = _sections(VerdictEntry.__doc__)["Attributes"]
    entries = re.findall(r"^(\w+): (.*(?:\n +.*)*)", listed, re.MULTILINE)
    return _table(("field", "says"), [(f"`{name}`", _joined(text)) for name, text in entries])


def _sections(doc: str | None) -> dict[str, str]:
    """Split a docstring in Google's style into its sections; what comes before them has no name."""
    pieces = _SECTION.split(inspect.cleandoc(doc or ""))
    named = dict(zip(pieces[1::2], pieces[2::2], strict=True))
    return {"": pieces[0].strip(), **{name: inspect.cleandoc(f"\n{text}") for name, text in named.items()}}


def _joined(text: str) -> str:
    return " ".join(text.split())


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table, without the columns that are empty in every row."""
    found = list(rows)
    kept = [place for place in range(len(heading)) if any(row[place] for row in found)]
    cells = [heading, ["---"] * len(heading), *found]
    return "\n".join("| " + " | ".join(row[place].replace("|", "\\|") for place in kept) + " |" for row in cells)


PARTS: Mapping[str, Callable[[], str]] = {
    "both-forms": both_forms,
    "claims": claims,
    "commands": commands,
    "metric-functions": metric_functions,
    "options": options,
    "rooms": rooms,
    "scores": scores,
    "verdict-fields": verdict_fields,
}
