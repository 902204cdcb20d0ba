"""`python -m harness report`: the claims judged again from the store, and their report."""

import json
import shutil

import pytest

from data_fixtures.colours import write_cue_conflict
from harness.cli import main
from robustness_tests.harness.suite.conftest import RIGHT

TABLE3 = "robustness_tests/test_table3_shape_bias.py"


@pytest.fixture(scope="module")
def reported(tmp_path_factory, run_suite):
    """A report of a candidate's claims on 40 stimuli, all of which it takes for their shapes."""
    folder = tmp_path_factory.mktemp("reported")
    write_cue_conflict(folder / "data" / "cue-conflict", {f"cat{place}-dog{place}": "cat" for place in range(40)})
    run = run_suite(
        *("-m", "candidate", "-k", "shape_res or baseline", f"--candidate={RIGHT}", TABLE3),
        *(f"--data-root={folder / 'data'}", f"--records={folder / 'records'}", f"--report={folder / 'report'}"),
    )
    assert f"report: {folder / 'report' / 'index.html'}" in run.lines
    return folder


def verdicts(folder):
    return json.loads((folder / "verdicts.json").read_text(encoding="utf-8"))["verdicts"]


def files(folder):
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}


def test_it_draws_a_report_again_and_measures_nothing(reported, tmp_path, capfd):
    records, due = files(reported / "records"), verdicts(reported / "report")
    assert {entry["verdict"] for entry in due} == {"holds", "fails"}
    assert main(["report", str(reported / "report"), f"--report={tmp_path / 'again'}"]) == 1  # as pytest: a claim fails
    assert f"report: {tmp_path / 'again' / 'index.html'}" in capfd.readouterr().out.splitlines()
    assert verdicts(tmp_path / "again") == due
    assert files(reported / "records") == records
    assert (tmp_path / "again" / "index.html").exists()


def test_what_is_said_anew_takes_the_place_of_what_was_asked(reported, tmp_path):
    copied = tmp_path / "copied"
    shutil.copytree(reported / "report", copied)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["report", str(copied), f"--records={empty}", f"--compare={reported / 'report'}"]) == 0
    assert {entry["verdict"] for entry in verdicts(copied)} == {"not_run"}
    assert list(empty.iterdir()) == []
    page = (copied / "index.html").read_text(encoding="utf-8")
    assert f"Verdicts that are other ones ({len(verdicts(copied))})" in page


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "name a report to draw again, or --report DIR for a new one"),
        (["{tmp}"], 1, "is no report, for it has no verdicts.json; draw a new one with --report="),
        (
            ["--report={tmp}/new", "--records={tmp}/nowhere"],
            1,
            "nowhere is no folder, so there is nothing to judge from",
        ),
        (["--frobnicate"], 2, "unrecognized arguments: --frobnicate"),
    ],
)
def test_what_is_no_report_is_told_in_one_line(tmp_path, capfd, arguments, code, words):
    assert main(["report", *(each.format(tmp=tmp_path) for each in arguments)]) == code
    (line,) = capfd.readouterr().err.splitlines()
    assert words in line
