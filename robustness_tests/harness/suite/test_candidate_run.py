"""One classifier asked all that can be asked of one, on data whose every figure is known."""

import json

import pyarrow.parquet as pq
import pytest
from PIL import Image

from data_fixtures.colours import write_cue_conflict, write_imagenet
from robustness_tests.harness.suite.conftest import RIGHT, WRONG

ALWAYS_WRONG = RIGHT.replace("reads_colours", "reads_the_class_before")
CANDIDATE = "robustness_tests/test_candidate.py"
TABLE3 = "robustness_tests/test_table3_shape_bias.py"
TABLE4 = "robustness_tests/test_table4_imagenet_a.py"
# All stimuli are seen by their shapes.
STIMULI = {f"cat{place}-dog{place}": "cat" for place in range(40)}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("colours")
    # Of 160 photographs 20 are seen as the class after their own, where WRONG is right.
    write_imagenet(
        root / "imagenet", range(6, 46), per_class=4, seen_as=lambda index, place: index - (index < 26 and place == 0)
    )
    write_cue_conflict(root / "cue-conflict", STIMULI)
    return root


@pytest.fixture(scope="module")
def ask(run_suite, folder, data):
    """Ask a candidate; gives the run and its verdicts."""

    def run(candidate, *arguments, report="report"):
        finished = run_suite(
            *(
                "-m",
                "candidate and not attack",
                f"--candidate={candidate}",
                f"--data-root={data}",
                f"--records={folder / 'records'}",
            ),
            *(f"--report={folder / report}", *arguments),
        )
        path = folder / report / "verdicts.json"
        return finished, json.loads(path.read_text(encoding="utf-8"))["verdicts"] if path.exists() else []

    return run


def of(verdicts, claim, **wanted):
    return [each for each in verdicts if each["claim"] == claim and wanted.items() <= each.items()]


@pytest.fixture(scope="module")
def alone(ask):
    return ask(RIGHT, CANDIDATE, TABLE3, TABLE4, "robustness_tests/test_figure4_cue_conflict_top5.py", report="alone")


def test_it_is_compared_with_the_recorded_baseline(alone):
    run, verdicts = alone
    (entry,) = of(verdicts, "C13", relation="> 25.88 % (published resnext101_32x8d)")
    assert (entry["study"], entry["subject"], entry["value"], entry["verdict"]) == ("candidate", RIGHT, 1.0, "holds")
    assert "these are others" in entry["reason"]
    assert "baseline published resnext101_32x8d, candidate reads_colours" in run.line("classifiers: ")


def test_nothing_is_asked_of_others(alone):
    _run, verdicts = alone
    assert {entry["subject"] for entry in verdicts} <= {RIGHT, ""}
    assert {entry["claim"] for entry in verdicts} == {"H1", "H2", "C13", "C14", "C15", "C16", "C17", "C19"}


def test_what_the_data_does_not_allow_is_not_run(alone):
    _, verdicts = alone
    absent = of(verdicts, "C15")
    assert len(absent) == 3
    assert all(entry["verdict"] == "not_run" and "imagenet-a: no folder" in entry["reason"] for entry in absent)
    assert {entry["reason"] for entry in of(verdicts, "C16")} == {"the claim compares classifiers of several widths"}


def test_to_fail_a_claim_of_a_weakness_is_good_news(alone):
    run, verdicts = alone
    fails = [entry for entry in verdicts if entry["verdict"] == "fails"]
    assert {entry["claim"] for entry in fails} == {"C14", "C19"}
    assert all(entry["is_good_news"] for entry in fails)
    assert "good news, if its clean accuracy is sound: its shape bias comes near" in fails[0]["reason"]
    assert "fails 2/2 (good news)" in run.line("C14 ")
    assert "3 fails (3 good news)" in run.out
    assert run.code == 1


def test_of_an_unsound_classifier_no_failure_is_good_news(ask):
    run, verdicts = ask(ALWAYS_WRONG, CANDIDATE, TABLE3, report="unsound")
    (entry,) = of(verdicts, "H1")
    assert (entry["verdict"], entry["value"]) == ("fails", 0.0)
    assert "its class indices are 1 too low" in entry["reason"]
    assert not any(entry["is_good_news"] for entry in verdicts)
    assert "good news)" not in run.out


def test_a_shift_of_classes_is_told(ask):
    _, verdicts = ask(WRONG, CANDIDATE, report="shifted")
    (entry,) = of(verdicts, "H2")
    assert entry["verdict"] == "fails"
    assert entry["value"] == pytest.approx(120 / 160)
    assert "its class indices are 1 too high" in entry["reason"]


def test_a_measured_baseline_takes_the_place_of_the_recorded_one(ask):
    _run, verdicts = ask(RIGHT, TABLE3, f"--baseline={WRONG}", report="with_baseline")
    (entry,) = [each for each in of(verdicts, "C13") if "reads_the_next_class" in each["relation"]]
    assert entry["verdict"] == "undecided" or entry["bound"] == pytest.approx(entry["value"])
    assert {entry["subject"] for entry in verdicts} <= {RIGHT, ""}


@pytest.fixture(scope="module", params=[(), ("-n", "2")], ids=["", "workers"])
def beside(request, ask, folder):
    name = f"beside{len(request.param)}"
    run, verdicts = ask(WRONG, CANDIDATE, f"--against={RIGHT}", *request.param, report=name)
    return run, verdicts, folder / name / "changed"


def test_it_is_held_against_another_image_by_image(beside):
    _run, verdicts, _ = beside
    (entry,) = of(verdicts, "A1", metric="imagenet_top1")
    assert entry["verdict"] == "fails"
    assert entry["bound"] == pytest.approx(140 / 160 - 0.005)
    assert "minus 0.5 %" in entry["relation"]
    assert "paired difference to" in entry["reason"]
    assert {each["metric"] for each in of(verdicts, "A1", verdict="not_run")} >= {"mce", "mfr", "imagenet_a_top1"}


def test_images_that_changed_are_listed_worst_first(beside):
    run, _, changed = beside
    line = run.line("changed, imagenet:")
    assert "160 of 160 images changed: 140 worse, 20 better; worst: n" in line
    rows = pq.read_table(changed / "imagenet.parquet").to_pylist()
    assert [row["kind"] for row in rows] == ["worse"] * 140 + ["better"] * 20
    assert all(row["now"] == row["label"] + 1 for row in rows[:140])
    with Image.open(changed / "imagenet.png") as sheet:
        assert min(sheet.size) > 500


def test_without_a_report_they_are_counted_and_it_is_said_how_to_list_them(run_suite, folder, data):
    run = run_suite(
        *("-m", "candidate", f"--candidate={RIGHT}", f"--against={WRONG}", f"--data-root={data}"),
        *(f"--records={folder / 'records'}", CANDIDATE, "-k", "imagenet_top1"),
    )
    assert "20 worse, 140 better" in run.line("changed, imagenet:")
    assert run.line("changed: --report DIR lists")
    assert run.code == 0


def test_a_wider_margin_lets_more_pass(ask):
    _, verdicts = ask(
        WRONG, CANDIDATE, f"--against={RIGHT}", "--margin=0.9", "--alpha=0.4", "-k", "imagenet_top1", report="margin"
    )
    (entry,) = of(verdicts, "A1")
    assert entry["verdict"] == "holds"


@pytest.fixture(scope="module")
def references(folder, data):
    from harness.cli import main

    where = (f"--data-root={data}", f"--records={folder / 'records'}", f"--references={folder / 'references'}")
    assert main(["record", "mine", RIGHT, *where]) == 0
    return folder / "references"


def test_its_figures_are_those_that_were_recorded(ask, references):
    run, verdicts = ask(RIGHT, CANDIDATE, "--expect-like=mine", f"--references={references}", report="like")
    found = {entry["metric"]: entry["verdict"] for entry in of(verdicts, "L1") if entry["value"] is not None}
    assert found == {
        "imagenet_top1": "holds",
        "shape_bias": "holds",
        "shape_in_top5": "holds",
        "texture_in_top5": "holds",
    }
    assert run.code == 0


def test_figures_that_are_others_are_shown_all_in_one_table(ask, references):
    run, verdicts = ask(WRONG, CANDIDATE, "--expect-like=mine", f"--references={references}", report="unlike")
    assert run.code == 1
    shown = run.out.partition("is not like mine")[2]
    assert "OUTSIDE" in next(line for line in shown.splitlines() if "imagenet_top1" in line)
    assert "within" in next(line for line in shown.splitlines() if "shape_bias" in line)
    assert "not compared: of mine no such figure is recorded" in next(
        line for line in shown.splitlines() if "mce" in line
    )
    assert "weights, beside the recorded ones: " in shown
    (entry,) = of(verdicts, "L1", metric="imagenet_top1")
    assert (entry["verdict"], entry["bound"]) == ("fails", pytest.approx(140 / 160))


@pytest.mark.parametrize("strict", [False, True])
def test_of_few_images_it_is_undecided_whether_figures_are_those_that_were_recorded(ask, references, strict):
    few = ("--images=6", *(["--strict"] if strict else []))
    run, verdicts = ask(RIGHT, CANDIDATE, "--expect-like=mine", f"--references={references}", *few, report="few")
    found = {entry["verdict"] for entry in of(verdicts, "L1") if entry["value"] is not None}
    assert (found, run.code) == ({"undecided"}, int(strict))
    assert ("reads_colours is perhaps like mine" in run.out) == strict


def test_nobody_of_that_name_is_recorded(run_suite, references):
    run = run_suite("-m", "candidate", f"--candidate={RIGHT}", "--expect-like=mein", f"--references={references}")
    assert run.code == 4
    assert "unknown reference 'mein'; known: mine" in run.err


def test_expected_failures_are_told_apart(ask, tmp_path):
    path = tmp_path / "xfails.txt"
    path.write_text("C14, trained on shapes\nC13, it is not\nC99, a slip\n", encoding="utf-8")
    run, verdicts = ask(RIGHT, TABLE3, f"--xfails={path}", report="xfails")
    assert run.code == 0
    assert run.counts["xfailed"] == 2
    assert run.counts["xpassed"] == 2
    assert {entry["expected"] for entry in of(verdicts, "C14")} == {"trained on shapes"}
    assert "2 fails (2 expected, 2 good news)" in run.out
    assert run.line("xfails.txt, line 2: C13 was expected to fail (it is not) and holds: ")
    assert run.line("xfails.txt, line 3: C99 is of nothing that was asked of the candidate; asked were C13, C14")


def test_nothing_is_measured_for_a_plan(run_suite, folder, data):
    run = run_suite(
        *("-m", "candidate", f"--candidate={RIGHT}", "--plan", f"--data-root={data}", f"--records={folder / 'none'}"),
        *(TABLE3, CANDIDATE, f"--against={WRONG}"),
    )
    assert run.code == 0, run.out
    assert "reads_colours" in run.out
    assert not (folder / "none").exists() or not list((folder / "none").rglob("*.parquet"))
