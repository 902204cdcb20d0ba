"""`--decide`: claims asked of classifiers whose every figure is known, on no more images than it takes."""

import json

import pytest

from data_fixtures.colours import write_cue_conflict, write_imagenet, write_imagenet_c
from harness.metrics.corruption import CORRUPTIONS

RIGHT = "python:data_fixtures.classifiers:reads_colours?mean=0,0,0&std=1,1,1"
TABLE1 = "robustness_tests/test_table1_imagenet_c_and_p.py"
TABLE3 = "robustness_tests/test_table3_shape_bias.py"
# Of 24 images of a cell one is seen as the next class, by which the classifier that is wrong of all else is right.
ODD = {(corruption, 5): 1 for corruption in CORRUPTIONS}
# The one that is right says shape 10 times, the one that reads the next class says neither.
STIMULI = {f"cat{place}-dog{place}": "cat" if place < 10 else "dog" if place < 40 else "oven" for place in range(44)}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("colours")
    write_imagenet(root / "imagenet", range(6, 46), per_class=8)
    write_imagenet_c(root / "imagenet-c", range(6, 8), per_class=6, wrong=ODD)
    write_cue_conflict(root / "cue-conflict", STIMULI)
    return root


@pytest.fixture(scope="module")
def decided(run_claims, folder, data):
    return run_claims(folder, data, TABLE1, TABLE3, "--decide")


@pytest.fixture(scope="module")
def clear(run_claims, tmp_path_factory, data):
    """Ask one claim that few images tell; gives its folder, the run and the report."""
    folder = tmp_path_factory.mktemp("clear")
    return folder, *run_claims(folder, data, TABLE1, "-k", "more_robust and mce and not rel_mce", "--decide")


def entries(report, claim, metric):
    return [each for each in report["verdicts"] if (each["claim"], each["metric"]) == (claim, metric)]


def test_a_clear_claim_takes_one_look(clear):
    _, run, report = clear
    (mce,) = entries(report, "C1", "mce")
    assert (mce["verdict"], mce["images"], mce["is_drawn"]) == ("holds", 64, True)
    low, high = mce["interval"]
    # The true value of all 900 images: one of 12 at severity 5 is seen as the next class.
    from harness import recorded

    errors = recorded.alexnet_corruption_errors()
    truth = sum(1 / 12 / 5 / error for error in errors.values()) / 15
    assert low < truth < high
    told = "decided on drawn images: 1, each wrong with a chance of at most 0.001, any of them of at most 0.001 (union"
    assert told in run.out


def test_only_the_images_that_were_looked_at_are_in_the_store(clear):
    folder, _, _ = clear
    runs = list((folder / "records" / "imagenet-c").glob("*/run.json"))
    assert len(runs) == 2
    for path in runs:
        rows = [int(chunk.name.split("-")[1].split(".")[0]) for chunk in path.parent.glob("*.parquet")]
        assert sum(rows) == 64


def test_verdicts_are_those_of_all_images(decided, run_claims, tmp_path, data):
    """What holds and what fails after a few images does so of all of them; what has no bound was seen as a whole."""
    _, report = decided
    _, whole = run_claims(tmp_path, data, TABLE1, TABLE3)
    truth = {each["test"]: each for each in whole["verdicts"]}
    settled = [each for each in report["verdicts"] if each["verdict"] in ("holds", "fails")]
    assert len(settled) > 10
    for each in settled:
        known = truth[each["test"]]
        way = 1 if each["verdict"] == "holds" else -1
        assert way * known["margin"] >= 0, each["test"]
        if each["is_drawn"] and each["interval"]:
            assert each["interval"][0] <= known["value"] <= each["interval"][1], each["test"]


def test_again_nothing_is_measured_and_all_is_said_again(decided, run_claims, folder, data):
    before = {path: path.stat().st_mtime_ns for path in (folder / "records").rglob("*.parquet")}
    _, report = run_claims(folder, data, TABLE1, TABLE3, "--decide")
    assert {path: path.stat().st_mtime_ns for path in (folder / "records").rglob("*.parquet")} == before
    verdicts = [[(each["test"], each["verdict"]) for each in found["verdicts"]] for found in (report, decided[1])]
    assert verdicts[0] == verdicts[1]
    # And from the store alone.
    run, stored = run_claims(folder, data, TABLE1, TABLE3, "--decide", "--claims-only")
    assert [(each["test"], each["verdict"]) for each in stored["verdicts"]] == verdicts[0], run.out


def test_what_is_not_decided_says_how_many_images_it_would_take(run_claims, tmp_path, data):
    """The subject is the baseline in other words: all of 900 images are needed to say that it is no better."""
    same = RIGHT.replace("std=1,1,1", "std=1,1,1.0")
    test = ("robustness_tests/test_table1_imagenet_c_and_p.py", "-k", "more_robust and mce and not rel_mce")
    options = ("--decide", "--images", "300", f"--baseline={RIGHT}", f"--classifiers={same}")
    run, report = run_claims(tmp_path, data, *test, *options)
    (entry,) = entries(report, "C1", "mce")
    assert (entry["verdict"], entry["images"], entry["images_needed"]) == ("undecided", 300, 900)
    assert "about 900 images would decide it, but only the first 300 are to be looked at" in entry["reason"]
    assert run.counts["skipped"] == 1
    strict, _ = run_claims(tmp_path, data, *test, *options, "--strict")
    assert strict.counts["failed"] == 1
    assert "(--strict)" in strict.out
    # Of all of them the two are known to be equal, so that the claim fails.
    run, report = run_claims(tmp_path, data, *test, *options[:1], *options[3:])
    (entry,) = entries(report, "C1", "mce")
    assert (entry["verdict"], entry["images"], entry["is_drawn"]) == ("fails", 900, False)


def test_two_workers_say_the_same(decided, run_claims, tmp_path, data):
    _, report = run_claims(tmp_path, data, TABLE1, TABLE3, "--decide", "-n", "2")
    verdicts = [{each["test"]: each["verdict"] for each in found["verdicts"]} for found in (report, decided[1])]
    assert verdicts[0] == verdicts[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(("--decide", "--budget", "0"), "--budget '0' is not a number of seconds above 0", id="none"),
        pytest.param(("--decide", "--budget", "soon"), "--budget 'soon' is not a number of seconds", id="a_word"),
        pytest.param(("--decide", "--budget", "inf"), "--budget 'inf' is not a number of seconds", id="endless"),
        pytest.param(("--budget", "5"), "--budget bounds --decide; add that, or leave it out", id="alone"),
        pytest.param(("--decide", "--alpha", "0.5"), "--alpha '0.5' is not a number between 0 and 0.5", id="alpha"),
        pytest.param(("--plan", "-n", "2"), "--plan runs nothing, so there is nothing for workers", id="workers"),
    ],
)
def test_options_that_are_not_understood_end_the_run(run_suite, options, message):
    run = run_suite("-m", "full", *options)
    assert run.code == 4
    assert message in run.err + run.out


def test_a_plan_says_what_the_store_knows_and_runs_nothing(clear, run_suite, data):
    folder, _, _ = clear
    before = {path: path.stat().st_mtime_ns for path in (folder / "records").rglob("*.parquet")}
    wrong = RIGHT.replace("reads_colours", "reads_the_next_class")
    asked = ("-m", "full", "--plan", TABLE1, f"--records={folder / 'records'}", f"--data-root={data}")
    run = run_suite(*asked, f"--baseline={wrong}", f"--classifiers={RIGHT}")
    assert run.code == 0, run.out + run.err
    assert {path: path.stat().st_mtime_ns for path in (folder / "records").rglob("*.parquet")} == before
    (row,) = [
        line.split() for line in run.out.splitlines() if line.startswith("reads_colours") and " imagenet-c " in line
    ]
    images, stored, left = (int(cell) for cell in row[2:5])
    assert (images, stored, left) == (900, 64, 836)
    assert row[5] != "unknown"  # it was measured before
    (told,) = [line.split() for line in run.out.splitlines() if line.startswith("C1 ") and " mce " in line]
    assert told[:3] == ["C1", "mce", "1"]
    assert told[3:] == ["64", "900"]
    assert "with --decide each claim's images are drawn only until it is decided" in run.out
    # The paper's own classifiers are planned by recorded figures, before anything of them is there.
    paper = run_suite(*asked[:4], f"--records={folder / 'none'}", f"--data-root={data}", "--decide")
    assert paper.code == 0, paper.out + paper.err
    (told,) = [line for line in paper.out.splitlines() if line.startswith("C3 ") and " mce " in line]
    assert "out of reach: 3" in told
    assert "unknown" in paper.out
    assert not (folder / "none").exists()


def test_compare_draws_until_it_knows_which_is_higher(data, tmp_path, capsys, monkeypatch):
    from harness.cli import main

    monkeypatch.delenv("ROBUSTNESS_DATA", raising=False)
    wrong = RIGHT.replace("reads_colours", "reads_the_next_class")
    where = ("--data-root", str(data), "--records", str(tmp_path), "--json")

    def decide(first, second, benchmark, *options):
        code = main(["compare", first, second, benchmark, "--decide", *where, *options])
        out, err = capsys.readouterr()
        return code, json.loads(out) if code == 0 else err

    _, found = decide(RIGHT, wrong, "imagenet-c")
    assert found["decision"] == {
        "metric": "mce",
        "verdict": "lower",
        "images": 64,
        "images_needed": None,
        "limit": "",
    }
    assert found["metrics"]["mce"]["images"] == 64
    _, found = decide(RIGHT, RIGHT, "imagenet-c")
    assert (found["decision"]["verdict"], found["decision"]["images"]) == ("equal", 900)
    _, found = decide(RIGHT, RIGHT, "imagenet", "--images", "300")
    assert found["decision"]["verdict"] == "undecided"
    assert (found["decision"]["images"], found["decision"]["images_needed"]) == (300, 320)
    code, err = decide(RIGHT, wrong, "imagenet", "--protocol", "maximize")
    assert (code, "--decide draws images at random" in err) == (2, True)


def test_a_budget_that_is_spent_before_a_claim_was_looked_at_is_no_pass(run_claims, tmp_path, data):
    """What is in the store is judged; of what is not, a strict run fails."""
    options = ("--decide", "--budget", "1e-9", TABLE3, "-k", "baseline")
    run, report = run_claims(tmp_path, data, *options)
    (entry,) = (each for each in report["verdicts"] if each["claim"] == "C13")
    assert (entry["verdict"], entry["value"], entry["images_needed"]) == ("undecided", None, None)
    assert "undecided, paper: C13" in run.out
    assert entry["reason"].endswith("nothing of it is in the store, and the budget of 1e-09 s is spent")
    assert run.counts["skipped"] == 1
    strict, _ = run_claims(tmp_path, data, *options, "--strict")
    assert strict.counts["failed"] == 1
    assert "is spent (--strict)" in strict.out


def test_a_comparison_rests_on_the_images_that_both_have_seen_whoever_comes_first(data, tmp_path, capsys, monkeypatch):
    from harness.cli import main

    monkeypatch.delenv("ROBUSTNESS_DATA", raising=False)
    wrong = RIGHT.replace("reads_colours", "reads_the_next_class")
    where = ("--data-root", str(data), "--records", str(tmp_path))
    for spec, images in ((RIGHT, "200"), (wrong, "20")):
        assert main(["measure", spec, "imagenet", *where, "--images", images]) == 0
    capsys.readouterr()
    verdicts = {}
    for pair in ((RIGHT, wrong), (wrong, RIGHT)):
        code = main(["compare", *pair, "imagenet", "--decide", "--budget", "1e-9", *where, "--json"])
        verdicts[pair] = code, json.loads(capsys.readouterr().out)["decision"]["verdict"]
    assert verdicts == {(RIGHT, wrong): (0, "higher"), (wrong, RIGHT): (0, "lower")}
