"""The claims asked of classifiers whose every figure is known: verdicts, report, store, workers, bad data."""

import json
import re
import shutil
from collections import Counter

import pytest

from data_fixtures.colours import write_cue_conflict, write_imagenet, write_imagenet_a, write_imagenet_c
from harness import recorded
from harness.metrics.corruption import CORRUPTIONS

RIGHT = "python:data_fixtures.classifiers:reads_colours?mean=0,0,0&std=1,1,1"
WRONG = "python:data_fixtures.classifiers:reads_the_next_class?mean=0,0,0&std=1,1,1"
TABLE1 = "robustness_tests/test_table1_imagenet_c_and_p.py"
TABLE3 = "robustness_tests/test_table3_shape_bias.py"
TABLE4 = "robustness_tests/test_table4_imagenet_a.py"

# Of 5 severities, at one the classifier that is right is wrong about one of 4 images.
LEFT_WRONG = {(corruption, 5): 1 for corruption in CORRUPTIONS}
STIMULI = {f"cat{place}-dog{place}": "cat" if place < 10 else "dog" if place < 40 else "oven" for place in range(44)}

FIELDS = {
    *("claim", "test", "study", "subject", "metric", "statement", "verdict", "value", "bound", "interval", "alpha"),
    *("images", "protocol", "reason"),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("colours")
    write_imagenet(root / "imagenet", range(6, 46), per_class=1)
    write_imagenet_c(root / "imagenet-c", range(6, 8), per_class=2, wrong=LEFT_WRONG)
    write_imagenet_a(root / "imagenet-a", per_class=1)
    write_cue_conflict(root / "cue-conflict", STIMULI)
    return root


@pytest.fixture(scope="module")
def with_two_workers(run_claims, folder, data):
    """Run on an empty store, by two processes that need the same records."""
    return run_claims(folder, data, TABLE1, TABLE3, TABLE4, "-n", "2")


@pytest.fixture(scope="module")
def again(run_claims, folder, data, with_two_workers):
    """Run again in one process: what the store holds is not measured again."""
    before = contents(folder / "records")
    run, report = run_claims(folder, data, TABLE1, TABLE3, TABLE4)
    return run, report, before, contents(folder / "records")


def contents(store):
    """Say of each file of a store what is in it and when it was written."""
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in store.rglob("*") if path.is_file()}


def found(report, claim, metric, **fields):
    """Give a report's one verdict on a metric."""
    wanted = {"claim": claim, "metric": metric, **fields}
    (entry,) = [each for each in report["verdicts"] if wanted.items() <= each.items()]
    return entry


def claims_of(report, verdict):
    return {(entry["claim"], entry["metric"]) for entry in report["verdicts"] if entry["verdict"] == verdict}


def test_what_holds_and_what_fails_is_known(again):
    _, report, _, _ = again
    assert claims_of(report, "holds") == {
        *(("C1", "mce"), ("C2", "mce"), ("C5", "mce"), ("C5", "rel_mce"), ("C14", "shape_bias")),
        *(("C15", "aurra"), ("C15", "imagenet_a_top1")),
    }
    # Its ImageNet accuracy rises by 100 points, nothing else by 200; the baseline has no ImageNet accuracy to lose.
    fails = {("C4", "rel_mce_gain"), ("C4", "imagenet_a_top1_gain"), ("C18", "imagenet_a_top1")}
    assert claims_of(report, "fails") == fails
    assert {("C1", "mfr"), ("C1", "mt5d"), ("C3", "mt5d")} <= claims_of(report, "not_run")


def test_values_are_exact(again):
    _, report, _, _ = again
    alexnet = recorded.alexnet_corruption_errors()
    mce = found(report, "C1", "mce")
    assert mce["value"] == pytest.approx(sum(0.05 / error for error in alexnet.values()) / 15)
    assert mce["bound"] == pytest.approx(sum(1 / error for error in alexnet.values()) / 15)
    assert mce["interval"][0] <= mce["value"] <= mce["interval"][1]
    assert (mce["images"], mce["alpha"]) == (300, 0.001)
    top1 = found(report, "C15", "imagenet_a_top1")
    assert (top1["value"], top1["images"]) == (1.0, 200)
    shape_bias = {entry["value"] for entry in report["verdicts"] if entry["metric"] == "shape_bias" and entry["images"]}
    assert shape_bias >= {10 / 40}


def test_every_field_is_there(again):
    _, report, _, _ = again
    assert report["schema"] == 1
    assert {"torch", "device", "precision", "seed"} <= set(report["environment"])
    assert report["environment"]["seed"] == 0
    assert "-m full" in report["command"]
    assert all(set(entry) >= FIELDS for entry in report["verdicts"])
    entry = found(report, "C15", "aurra")
    assert entry["claim"] == "C15"
    assert entry["test"] == f"{TABLE4}::test_subject_beats_the_baseline[paper-reads_colours-aurra]"
    assert (entry["study"], entry["subject"]) == ("paper", RIGHT)
    assert entry["statement"].startswith("C15: every WSL model beats the baseline on ImageNet-A on all three")
    assert entry["protocol"] == "classify, fp32, seed 0"


def test_verdicts_that_are_not_run_say_why_and_hold_no_number(again):
    _, report, _, _ = again
    absent = [entry for entry in report["verdicts"] if entry["verdict"] == "not_run"]
    assert absent
    assert all(entry["reason"] and entry["value"] is entry["bound"] is entry["interval"] is None for entry in absent)


def test_the_report_is_json_as_the_standard_has_it(again, folder):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    json.loads((folder / "report" / "verdicts.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert {path.name for path in (folder / "report").iterdir()} == {
        *("index.html", "verdicts.json", "history.jsonl"),
        *("figures", "tables"),
    }


def test_the_exit_code_and_the_outcomes_follow_the_verdicts(again):
    run, report, _, _ = again
    verdicts = Counter(entry["verdict"] for entry in report["verdicts"])
    tests = {name: {each["test"] for each in report["verdicts"] if each["verdict"] == name} for name in verdicts}
    assert run.code == 1
    assert run.counts["failed"] == len(tests["fails"]) == 3
    assert run.counts["passed"] == len(tests["holds"])
    assert run.counts["skipped"] == len(tests["undecided"] | tests["not_run"])
    assert "error" not in run.counts
    counts = (verdicts[name] for name in ("holds", "fails", "undecided", "not_run"))
    assert "{} holds, {} fails, {} undecided, {} not run".format(*counts) in run.lines


def test_the_table_shows_the_verdicts(again, folder):
    run, _, _, _ = again
    heading = run.lines.index(run.line("nearest to failing"))
    assert re.fullmatch(r"=+ claims =+", run.lines[heading - 1])
    assert run.line("C15    paper  imagenet_a_top1 ").split() == [
        *("C15", "paper", "imagenet_a_top1", "holds", "1/1", "reads_colours", "100", "%", ">", "39", "%", "200")
    ]
    assert run.lines[run.lines.index(f"report: {folder / 'report' / 'index.html'}") - 1].endswith(" not run")


def test_a_failing_claim_shows_its_evidence(again):
    run, _, _, _ = again
    because = [line for line in run.lines if line.startswith("  because:  paired difference to ")]
    assert len(because) == 3
    assert sum(line.startswith("  again:    pytest -m full --data-root=") for line in run.lines) == 3
    assert "take_down" not in run.out


def test_a_second_run_measures_nothing(again):
    _, _, before, after = again
    assert len([path for path in before if path.suffix == ".parquet"]) >= 8
    assert after == before


def test_two_workers_give_the_same_verdicts(again, with_two_workers):
    run, report = with_two_workers
    alone = again[1]
    assert run.code == again[0].code
    assert report["verdicts"] == alone["verdicts"]
    of_one_run = dict.fromkeys(("began", "seconds", "records"))
    assert {**report["environment"], **of_one_run} == {**alone["environment"], **of_one_run}
    assert report["again"] == alone["again"]
    assert run.counts == {name: count for name, count in again[0].counts.items() if name != "deselected"}


def test_judging_from_an_empty_store_measures_nothing(run_claims, data, tmp_path):
    run, report = run_claims(tmp_path, data, "--claims-only", TABLE3)
    assert run.code == 0
    assert {entry["verdict"] for entry in report["verdicts"]} == {"not_run"}
    reason = f"44 of 44 records of reads_colours on cue-conflict are not in {tmp_path / 'records'}; "
    assert found(
        report, "C13", "", test=f"{TABLE3}::test_subject_has_a_higher_shape_bias_than_resnet50[paper-reads_colours]"
    )["reason"].startswith(reason)
    assert not (tmp_path / "records").exists()


def test_an_altered_record_is_told_and_measured_again(run_claims, folder, again, data, tmp_path):
    shutil.copytree(folder / "records" / "cue-conflict", tmp_path / "records" / "cue-conflict")
    altered = next((tmp_path / "records").glob("cue-conflict/reads_colours-*/*.parquet"))
    whole = altered.read_bytes()
    altered.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    run, report = run_claims(tmp_path, data, TABLE3)
    told = f"records: {altered} was cut short or altered; its images are measured again"
    assert run.lines.count(told) == 1
    assert report["verdicts"] == [entry for entry in again[1]["verdicts"] if entry["test"].startswith(TABLE3)]
    assert altered.read_bytes() == whole


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory, data):
    """Copy the data with one stimulus that is no image, and without ImageNet."""
    root = tmp_path_factory.mktemp("spoiled")
    (root / "imagenet-a").symlink_to(data / "imagenet-a")
    shutil.copytree(data / "cue-conflict", root / "cue-conflict")
    (root / "cue-conflict" / "cat3-dog3.png").write_bytes(b"no image")
    return root


@pytest.fixture(scope="module")
def on_spoiled(run_claims, spoiled, folder, again, tmp_path_factory):
    own = tmp_path_factory.mktemp("on_spoiled")
    shutil.copytree(folder / "records" / "imagenet-a", own / "records" / "imagenet-a")
    return run_claims(own, spoiled, TABLE3, TABLE4, "-rs")


def test_bad_data_is_a_failure_in_one_line_that_names_the_file(on_spoiled, spoiled):
    run, report = on_spoiled
    bad = [entry for entry in report["verdicts"] if entry["test"].startswith(TABLE3) and entry["claim"] != "N3"]
    told = f"{spoiled}/cue-conflict/cat3-dog3.png is not an image; replace the file"
    assert run.code == 1
    assert {entry["verdict"] for entry in bad} == {"not_run"}
    assert {entry["reason"] for entry in bad} == {told}
    section = run.out.partition("= FAILURES =")[2].partition("= claims =")[0].splitlines()
    assert section.count(told) == len(bad) == 6
    assert not any(line.startswith(("E  ", ">  ")) or "Traceback" in line for line in section)


def test_bad_data_of_one_benchmark_leaves_the_others_judged(on_spoiled, again):
    _, report = on_spoiled
    table4 = [entry for entry in report["verdicts"] if entry["claim"] in ("C15", "C16")]
    assert table4 == [entry for entry in again[1]["verdicts"] if entry["claim"] in ("C15", "C16")]


def test_missing_data_is_a_skip_that_names_the_folder(on_spoiled, spoiled):
    run, report = on_spoiled
    told = f"imagenet: no folder {spoiled}/imagenet; get ILSVRC2012 validation images"
    assert {found(report, claim, "")["reason"].startswith(told) for claim in ("C17", "C18")} == {True}
    assert run.line("found imagenet-a").endswith(
        "found imagenet-a, cue-conflict; missing imagenet, imagenet-c, imagenet-p"
    )
    assert "not run, paper: C17, C18 (2 verdicts)" in run.lines
    skips = [line for line in run.lines if line.startswith("SKIPPED") and told in line]
    assert len(skips) == 2
    assert all(line.startswith(f"SKIPPED [1] {TABLE4}:") for line in skips)
