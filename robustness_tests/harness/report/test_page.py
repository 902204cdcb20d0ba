"""The page as people open it: in a browser, on a desk and on a phone."""

import json
import re
import shutil

import pytest

from data_fixtures.colours import write_cue_conflict, write_imagenet
from robustness_tests.harness.suite.conftest import RIGHT

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FILES = ("table2_adversarial", "table3_shape_bias", "figure1_pgd_curves", "figure4_cue_conflict_top5", "candidate")
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[browser]'")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe: pip install -e '.[browser]'")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium: apt install chromium")


@pytest.fixture(scope="module")
def written(tmp_path_factory, run_suite):
    """A report of recorded results, a candidate of which all is known, and what changed since an earlier run."""
    folder = tmp_path_factory.mktemp("page")
    write_imagenet(folder / "data" / "imagenet", range(40), per_class=4)
    write_cue_conflict(folder / "data" / "cue-conflict", {f"cat{place}-dog{place}": "cat" for place in range(40)})
    asked = (
        *("-m", "(quick or candidate) and not attack", "-k", "not miniature and not pinned and not reading"),
        *(f"--candidate={RIGHT}", f"--data-root={folder / 'data'}", f"--records={folder / 'records'}"),
    )
    files = [f"robustness_tests/test_{name}.py" for name in FILES]
    assert run_suite(*asked, f"--report={folder / 'earlier'}", files[1]).code == 1
    path = folder / "earlier" / "verdicts.json"
    earlier = json.loads(path.read_text())
    flipped = next(entry for entry in earlier["verdicts"] if entry["claim"] == "C13")
    flipped["verdict"] = "fails"
    path.write_text(json.dumps(earlier))
    run = run_suite(*asked, f"--report={folder / 'report'}", f"--compare={folder / 'earlier'}", *files)
    assert run.code == 1
    assert "other verdicts 1, same verdict on another value 0, not asked before " in run.line("since ")
    assert run.line("report: ") == f"report: {folder / 'report' / 'index.html'}"
    return folder / "report"


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, written):
    """Give the function that opens the page; whatever it asks the network for or complains of is in `said`."""
    contexts = []

    def open_page(size=DESK, scheme="light", address="", scripts=True):
        context = chromium.new_context(viewport=size, color_scheme=scheme, java_script_enabled=scripts)
        contexts.append(context)
        page = context.new_page()
        page.said = []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda request: page.said.append(request.url))
        page.goto(f"file://{written / 'index.html'}{address}")
        page.said = [each for each in page.said if not each.startswith(("data:", "file:"))]
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_it_opens_without_a_word_or_the_network_and_fits(visit, size, scheme):
    page = visit(size, scheme)
    assert page.said == []
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    pictures = page.locator("img")
    assert pictures.count() > 0
    assert pictures.evaluate_all("all => all.filter(each => !each.complete || !each.naturalWidth).length") == 0
    assert page.locator("figure svg").count() >= 5
    dark = sum(map(int, re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[:3])) < 384
    assert dark == (scheme == "dark")


@pytest.mark.parametrize(("size", "scheme"), [(DESK, "light"), (PHONE, "dark")], ids=["desk", "phone"])
def test_axe_finds_nothing(visit, size, scheme):
    page = visit(size, scheme)
    page.evaluate("document.querySelectorAll('details').forEach((each, place) => each.open = place < 12)")
    found = axe.Axe().run(page)
    assert found.response["violations"] == [], found.generate_report()


def test_filters_leave_what_was_asked_for(visit, written):
    page = visit()
    claims = page.locator(".board tr.claim:visible .id")
    everything = claims.count()
    for verdict in ("holds", "undecided", "not_run"):
        page.uncheck(f"[name=verdict][value={verdict}]")
    verdicts = json.loads((written / "verdicts.json").read_text())["verdicts"]
    failing = {entry["claim"] for entry in verdicts if entry["verdict"] == "fails"}
    assert set(claims.all_inner_texts()) == failing
    assert page.locator("#shown").inner_text() == f"{len(failing)} of {everything} claims"
    assert set(page.locator("details.claim:visible summary .id").all_inner_texts()) == failing
    page.select_option("[name=study]", "published")
    published = {entry["claim"] for entry in verdicts if (entry["study"], entry["verdict"]) == ("published", "fails")}
    assert set(claims.all_inner_texts()) == published
    page.click("text=Show all")
    page.fill("[name=words]", "C10")
    assert claims.all_inner_texts() == ["C10"]
    page.fill("[name=words]", "")
    assert claims.count() == everything


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_a_cell_leads_to_its_evidence(visit, size):
    """Table 2 (Orhan, 2019): 0.1 % of resnext101_32x8d_wsl's answers are right after 50 steps, on 25,000 images."""
    page = visit(size)
    page.click("[aria-label^='C10, published, resnext101_32x8d_wsl: holds']")
    proof = page.locator(".cell:target")
    assert proof.is_visible()
    assert page.evaluate("document.activeElement.matches(':target')")
    said = proof.inner_text()
    for words in ("0.1 %", "< 1 %", "exact", "25,000", "pgd-published: L-inf PGD, eps 0.06", "pytest -m"):
        assert words in said
    test = "robustness_tests/test_table2_adversarial.py::test_fifty_steps_leave_the_subject_nothing"
    assert f"{test}[published-resnext101_32x8d_wsl-published]" in said.replace("\n", "")


def test_a_filtered_cell_is_shown_when_an_address_leads_there(visit):
    page = visit()
    page.uncheck("[name=verdict][value=holds]")
    page.evaluate("location.hash = 'proof-C10-published-1'")
    assert page.locator("#proof-C10-published-1 .proof").first.is_visible()


def test_without_scripts_evidence_is_there_too(visit):
    page = visit(address="#evidence-C10", scripts=False)
    assert not page.locator("#filters").is_visible()
    assert page.locator("#evidence-C10 summary").is_visible()


def test_it_is_used_by_keyboard(visit):
    page = visit()
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "To the verdicts"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#board"
    page.locator("#theme").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_it_shows_what_flipped_first(visit):
    flips = visit().locator("#changes .flips").first.locator("li")
    assert flips.count() == 1
    assert "fails -> holds" in flips.first.inner_text()


def test_it_shows_the_stimuli_with_their_marks(visit):
    """All stimuli are cats with the texture of dogs, in the colour of a cat's class, which is what is seen."""
    stimulus = visit().locator(".stimuli li").first
    assert "shape cat, texture dog" in stimulus.inner_text()
    assert stimulus.locator("ol li").count() == 5
    assert "matches the shape" in stimulus.locator("ol li").first.inner_text()


def test_it_says_what_it_rests_on(visit, written):
    facts = visit().locator("#environment").inner_text()
    environment = json.loads((written / "verdicts.json").read_text())["environment"]
    for name in ("torch", "foolbox", "precision", "device", "store"):
        assert str(environment[name]) in facts
    assert environment["data"]["imagenet-c"] == "missing"
    assert environment["data"]["imagenet"] == "imagenet (40 of 1000 classes)"
    # The 40 stimuli were measured for the earlier report, the 160 photographs for this one.
    assert environment["records"] == {"candidate": "200, of which 40 were there before"}
    assert environment["records"]["candidate"] in facts
