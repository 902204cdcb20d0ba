"""The documentation's site: it is built without a warning, its links lead somewhere, and it says what the code says."""

import csv
import html
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from harness.cli import COMMANDS
from harness.suite import flags
from harness.suite.claims import VerdictEntry

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKED = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "data_fixtures" / "README.md"]

FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# What a page loads as soon as it is opened.
LOADED = re.compile(r"<(?:script|img|iframe|source)\b[^>]* src=\"?http|<link\b[^>]* rel=\"?(?:style|pre)[^>]*http")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_names_its_language(page):
    named = {language for language, _ in FENCE.findall(page.read_text(encoding="utf-8"))}
    assert named <= {"sh", "text", "json", "python", "yaml"}


def anchors(path):
    """Give the anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"https?:", link)]
    for link in links:
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"
        assert page.parent != ROOT / "docs" or not name or target.parent == page.parent, f"{link} leaves the site"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built by the command that the documentation names, and what was said meanwhile."""
    pytest.importorskip("material", reason="mkdocs-material is not installed; pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return folder, built


def words_of(page):
    """Give the text of a page of the site."""
    found = re.search(r"<article.*</article>", page.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return html.unescape(re.sub(r"<[^>]+>", "", found[0]))


def test_the_site_is_built_without_a_warning(site):
    folder, built = site
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    pages = {page.stem for page in folder.glob("*.html")} - {"404"}
    assert pages == {page.stem for page in (ROOT / "docs").glob("*.md")}


def test_the_site_loads_nothing_from_the_network(site):
    folder, _ = site
    assert [page.name for page in folder.glob("*.html") if LOADED.search(page.read_text(encoding="utf-8"))] == []
    assert [sheet.name for sheet in folder.rglob("*.css") if "url(http" in sheet.read_text(encoding="utf-8")] == []


def test_no_part_is_left_to_be_generated(site):
    folder, _ = site
    asked = [page.stem for page in (ROOT / "docs").glob("*.md") if "<!-- generated" in page.read_text(encoding="utf-8")]
    assert len(asked) >= 5
    assert [name for name in asked if "generated:" in (folder / f"{name}.html").read_text(encoding="utf-8")] == []


def test_every_claim_is_on_its_page_with_its_tests(site):
    folder, _ = site
    said = words_of(folder / "claims.html")
    found = set()
    for path in (ROOT / "robustness_tests").glob("test_*.py"):
        for name, test in re.findall(
            r'mark\.claim\("(\w+)"\)(?:\n[@ \])].*)*?\ndef (test_\w+)', path.read_text(encoding="utf-8")
        ):
            found.add(name)
            assert f"robustness_tests/{path.name}::{test}\n" in said
    assert {f"C{number}" for number in range(1, 20)} < found
    assert set(re.findall(r"^([A-Z]\d+)¶$", said, re.MULTILINE)) == found


def test_every_sentence_of_the_paper_stands_at_its_claim(site):
    folder, _ = site
    said = re.split(r"^([A-Z]\d+)¶$", words_of(folder / "claims.html"), flags=re.MULTILINE)
    by_claim = dict(zip(said[1::2], said[2::2], strict=True))
    with (ROOT / "harness/reference/paper_sentences.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    without = {"C3", "C11"}  # what the paper shows and does not say
    assert {row["claim"] for row in rows} == {f"C{number}" for number in range(1, 20)} - without
    assert [row["claim"] for row in rows if row["sentence"] not in by_claim[row["claim"]]] == []


def test_every_option_is_on_its_page(site):
    folder, _ = site
    said = words_of(folder / "options.html")
    asked = {option.flag for option in (*flags.MEASURING, *flags.CLAIMS)}
    assert [flag for flag in sorted(asked) if not re.search(rf"^{flag}( |$)", said, re.MULTILINE)] == []
    assert [command for command in COMMANDS if f"usage: python -m harness {command} " not in said] == []
    assert "usage: python -m harness store gc " in said


def test_every_metric_that_a_verdict_may_name_is_on_its_page(site):
    folder, _ = site
    said = words_of(folder / "metrics.html")
    named = (
        "mce",
        "rel_mce",
        "mfr",
        "mt5d",
        "rms_ce",
        "aurra",
        "shape_bias",
        "accuracy_after_K_steps",
        "seed_share_final",
    )
    assert [name for name in named if f"\n{name}\n" not in said] == []
    assert "a ratio of means, never a mean of ratios" in " ".join(said.split())


def test_every_field_of_a_verdict_is_on_its_page(site):
    folder, _ = site
    said = words_of(folder / "report.html")
    assert [field.name for field in fields(VerdictEntry) if f"\n{field.name}\n" not in said] == []
