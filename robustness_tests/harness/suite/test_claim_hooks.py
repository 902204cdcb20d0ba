"""What becomes of a claim's test: a verdict, a skip or one line, whatever its body does."""

import json
import shlex
import shutil

import pytest

START = """
import pytest
from harness.errors import DataError, DataMissing, NotMeasured
from harness.studies.quantities import IMAGENET_TOP1, MCE
from harness.verdicts.estimates import Fixed
from harness.verdicts.rules import Figure, below, within

def figure(value, low=None, high=None):
    estimate = Fixed.exact(value, 50000) if low is None else Fixed.of(value, low, high, 50000)
    return Figure("error", "error", "Table 0", "alexnet", estimate, "classify")
"""


@pytest.fixture
def run_claim(pytester, repository, monkeypatch):
    """Run a test file of claims with the repository's hooks; gives the result and the verdicts."""
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(repository / name, pytester.path / name)
    monkeypatch.delenv("ROBUSTNESS_DATA", raising=False)
    monkeypatch.setenv("COLUMNS", "120")

    def run(body, *arguments, runpytest=pytester.runpytest_inprocess, reports=True):
        pytester.makepyfile(test_claim=START + body)
        published = ("-m", "quick", "-k", "not miniature", *(["--report=report"] if reports else []))
        result = runpytest("-p", "no:cacheprovider", *published, "test_claim.py", *arguments)
        report = pytester.path / "report" / "verdicts.json"
        return result, json.loads(report.read_text(encoding="utf-8"))["verdicts"] if report.exists() else []

    return run


def test_a_claim_that_holds_passes(run_claim):
    result, (entry,) = run_claim("""
@pytest.mark.claim("C1")
def test_it(study, verdict):
    '''C1: it is
    below.

    Says no more.
    '''
    assert verdict(below(figure(0.25), 0.5))
""")
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    assert (entry["claim"], entry["test"], entry["statement"]) == (
        "C1",
        "test_claim.py::test_it[published]",
        "C1: it is below.",
    )
    assert (entry["value"], entry["bound"], entry["interval"], entry["margin"]) == (0.25, 0.5, [0.25, 0.25], 0.25)
    assert entry["reason"] is entry["expected"] is None


FAILS = """
@pytest.mark.claim("C1")
@pytest.mark.parametrize("case", ["one", "two"])
def test_it(study, case, verdict):
    '''C1: it is below.'''
    assert verdict(below(figure(0.25, 0.24, 0.26), 0.2 if case == "two" else 0.5))
"""

EVIDENCE = [
    "C1: it is below.",
    "  subject:  alexnet",
    "  metric:   error",
    "  value:    25 %",
    "  needs:    < 20 %",
    "  interval: 24 % to 26 %, at error rate 0.001",
    "  images:   50,000",
    "  protocol: classify",
]


def shown(result):
    """Give what is shown of the failure: what stands between its heading and the claims table."""
    lines = [line for line in result.outlines if not line.startswith("[gw")]
    start = next(at for at, line in enumerate(lines) if line.startswith("___"))
    return lines[start + 1 : next(at for at, line in enumerate(lines) if "= claims =" in line)]


@pytest.mark.parametrize("options", [["--tb=short"], ["-n1"]], ids=["alone", "worker"])
def test_a_claim_that_fails_shows_its_evidence_and_nothing_of_the_inside(run_claim, pytester, options):
    result, _ = run_claim(FAILS, *options, runpytest=pytester.runpytest_subprocess, reports=False)
    result.assert_outcomes(passed=1, failed=1)
    *evidence, again = shown(result)
    assert evidence == EVIDENCE
    assert again.startswith("  again:    pytest ")


@pytest.mark.parametrize("options", [[], ["-n1"]], ids=["alone", "worker"])
def test_the_summary_of_a_claim_that_fails_is_one_line_in_ci_too(run_claim, pytester, monkeypatch, options):
    monkeypatch.setenv("CI", "true")
    result, _ = run_claim(FAILS, *options, runpytest=pytester.runpytest_subprocess, reports=False)
    *_, heading, summary, _ = result.outlines
    assert "= short test summary info =" in heading
    assert summary == "FAILED test_claim.py::test_it[published-two] - C1: it is below."


def test_a_claim_that_fails_is_asked_again_by_the_command_that_is_shown(run_claim, pytester):
    result, _ = run_claim(FAILS)
    command = shlex.split(shown(result)[-1].removeprefix("  again:    "))
    once_more = pytester.runpytest_inprocess("-p", "no:cacheprovider", *command[1:])
    once_more.assert_outcomes(failed=1)
    assert shown(once_more)[:-1] == EVIDENCE
    assert "--report=report" not in command


@pytest.mark.parametrize(("variable", "is_coloured"), [("FORCE_COLOR", True), ("NO_COLOR", False)])
def test_verdicts_are_coloured_as_everything_else_is(run_claim, monkeypatch, variable, is_coloured):
    monkeypatch.delenv("PY_COLORS")  # pytester's
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv(variable, "1")
    result, _ = run_claim(FAILS, reports=False)
    (line,) = [line for line in result.outlines if "fails 1/2" in line]
    assert line.startswith("\x1b[31mC1 " if is_coloured else "C1 ")
    assert ("\x1b" in result.stdout.str()) == is_coloured


def test_signs_that_the_output_can_not_take_do_not_end_a_run(run_claim, pytester, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    body = FAILS.replace("it is below", "it is \u2264")
    result, _ = run_claim(body, runpytest=pytester.runpytest_subprocess, reports=False)
    result.assert_outcomes(passed=1, failed=1)
    assert shown(result)[0] == "C1: it is \\u2264."


def test_pytests_own_account_of_a_failing_claim_is_there_for_those_who_ask(run_claim):
    result, _ = run_claim(FAILS, "--tb=long", reports=False)
    result.stdout.fnmatch_lines([">   *assert verdict(below(figure(0.25, 0.24, 0.26), 0.2*"])


def test_what_goes_wrong_in_a_claims_test_itself_is_shown_by_pytest(run_claim):
    result, _ = run_claim("""
@pytest.mark.claim("C1")
def test_it(study, verdict):
    assert verdict(below(figure(0.25), 0.5))
    assert 1 == 2
""", reports=False)  # fmt: skip
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([">   *assert 1 == 2"])


def test_a_claim_that_is_undecided_is_a_skip(run_claim):
    result, (entry,) = run_claim("""
@pytest.mark.claim("C1")
def test_it(study, verdict):
    assert verdict(below(figure(0.25, 0.1, 0.4), 0.3))
""", "-rs")  # fmt: skip
    result.assert_outcomes(skipped=1)
    assert (entry["verdict"], entry["interval"]) == ("undecided", [0.1, 0.4])
    result.stdout.fnmatch_lines(["SKIPPED*error of alexnet is 25 % (50,000 images, 10 % to 40 %)*: undecided.*"])


def test_a_claim_without_a_verdict_fails_saying_so(run_claim):
    result, (entry,) = run_claim("""
@pytest.mark.claim("C1")
def test_it(study):
    assert True
""")
    result.assert_outcomes(failed=1)
    assert entry["verdict"] == "not_run"
    result.stdout.fnmatch_lines(["test_claim.py::test_it[[]published[]] states claim C1 but gave no verdict"])
    result.stdout.no_fnmatch_line("*assert True*")


@pytest.mark.parametrize(
    ("error", "options", "outcome", "told"),
    [
        pytest.param("NotMeasured('none here')", [], "skipped", "none here", id="not_measured"),
        pytest.param("NotMeasured('none here')", ["--strict-data"], "skipped", "none here", id="not_measured_strict"),
        pytest.param("DataMissing('no folder /d')", [], "skipped", "no folder /d", id="missing"),
        pytest.param("DataMissing('no folder /d')", ["--strict-data"], "failed", "no folder /d (--strict-data)",
                     id="missing_strict"),
        pytest.param("DataError('/d/a.png: broken')", [], "failed", "/d/a.png: broken", id="bad"),
    ],
)  # fmt: skip
def test_what_keeps_a_claim_from_being_judged_is_told_in_one_line(run_claim, error, options, outcome, told):
    result, (entry,) = run_claim(f"""
@pytest.mark.claim("C1")
def test_it(study, verdict):
    raise {error}
""", "-rs", *options)  # fmt: skip
    result.assert_outcomes(**{outcome: 1})
    assert (entry["verdict"], entry["reason"], entry["value"]) == (
        "not_run",
        told.removesuffix(" (--strict-data)"),
        None,
    )
    lines = [line for line in result.outlines if line.endswith(told) and not line.startswith("  ")]
    assert lines[0] == told if outcome == "failed" else lines[0].startswith("SKIPPED [1] ")
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("E  *")


def test_a_claim_may_give_several_verdicts(run_claim):
    result, entries = run_claim("""
@pytest.mark.claim("C1")
def test_it(study, verdict):
    assert verdict(below(figure(0.25), 0.5))
    assert verdict(within(figure(0.25), 0.5, 0.1))
""")
    result.assert_outcomes(failed=1)
    assert [entry["verdict"] for entry in entries] == ["holds", "fails"]


def test_what_the_harness_warns_of_is_said_once_at_the_end(run_claim):
    result, _ = run_claim("""
import logging

@pytest.mark.claim("C1")
def test_it(study, subject, verdict):
    logging.getLogger("harness.records.store").warning("records: %s was altered", "/r")
    logging.getLogger("harness.records.store").info("all is well")
    assert verdict(below(figure(0.25), 0.5))
""")
    result.assert_outcomes(passed=4)
    assert result.outlines.count("records: /r was altered") == 1
    assert result.outlines[-2] == "records: /r was altered" or "records: /r was altered" in result.outlines[-4:]
    result.stdout.no_fnmatch_line("*all is well*")


def test_a_known_failure_is_expected_only_where_all_its_parameters_match(run_claim):
    result, entries = run_claim("""
@pytest.mark.claim("C1")
@pytest.mark.parametrize("quantity", [pytest.param(MCE, id="mce"), pytest.param(IMAGENET_TOP1, id="top1")])
@pytest.mark.known_failure(subject="resnext101_32x8d_wsl", quantity=MCE, reason="the printed figure is a slip")
def test_it(study, subject, quantity, verdict):
    bad = subject == "resnext101_32x8d_wsl" and quantity == MCE or subject == "resnext101_32x16d_wsl"
    assert verdict(below(figure(0.5 if bad else 0.25), 0.3))
""")
    result.assert_outcomes(xfailed=1, failed=2, passed=5)
    expected = {entry["test"]: entry["expected"] for entry in entries if entry["expected"]}
    assert expected == {"test_claim.py::test_it[published-resnext101_32x8d_wsl-mce]": "the printed figure is a slip"}
    result.stdout.fnmatch_lines(["*expected: the printed figure is a slip*", "5 holds, 3 fails (1 expected), *"])


def test_a_known_failure_that_is_met_after_all_fails(run_claim):
    result, (entry, *_) = run_claim("""
@pytest.mark.claim("C1")
@pytest.mark.known_failure(study="published", reason="cannot be met")
def test_it(study, verdict):
    assert verdict(below(figure(0.25), 0.5))
""")
    result.assert_outcomes(failed=1)
    assert entry["verdict"] == "holds"
    result.stdout.fnmatch_lines(["*XPASS(strict)*cannot be met*"])


def test_a_known_failure_excuses_no_error(run_claim):
    result, entries = run_claim("""
@pytest.mark.claim("C1")
@pytest.mark.known_failure(study="published", reason="cannot be met")
def test_it(study, verdict):
    raise DataError("/d/a.png: broken")
""")
    result.assert_outcomes(failed=1)
    assert [entry["verdict"] for entry in entries] == ["not_run"]


def test_tests_of_no_claim_are_let_alone(run_claim):
    result, entries = run_claim("""
@pytest.mark.quick
def test_it():
    raise DataError("told as pytest tells it")
""")
    result.assert_outcomes(failed=1)
    assert entries == []
    result.stdout.fnmatch_lines(["E  *DataError: told as pytest tells it"])


def test_a_report_that_cannot_be_written_is_told_in_one_line(run_claim, pytester):
    pytester.makefile("", blocked="a file")
    result, _ = run_claim("""
@pytest.mark.claim("C1")
def test_it(study, verdict):
    assert verdict(below(figure(0.25), 0.5))
""")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-m", "quick", "--report=blocked", "test_claim.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: --report blocked: can't be made (File exists); name another folder" in result.errlines


def test_an_error_that_nobody_foresaw_leaves_a_verdict_behind(run_claim):
    result, entries = run_claim("""
@pytest.mark.claim("C1")
def test_it(study, verdict):
    assert verdict(below(figure(1 / 0), 0.5))
""")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E  *ZeroDivisionError: division by zero"])
    assert [(entry["verdict"], entry["reason"]) for entry in entries] == [
        ("not_run", "ZeroDivisionError: division by zero")
    ]


def test_an_error_of_a_fixture_leaves_a_verdict_behind(run_claim):
    result, entries = run_claim("""
@pytest.fixture
def broken():
    raise OSError("no such thing")

@pytest.mark.claim("C1")
def test_it(study, verdict, broken):
    assert verdict(below(figure(0.25), 0.5))
""")
    result.assert_outcomes(errors=1)
    assert [(entry["verdict"], entry["reason"]) for entry in entries] == [("not_run", "OSError: no such thing")]


def test_a_report_of_nothing_is_not_written_over_an_older_one(run_claim, pytester):
    older = pytester.mkdir("report") / "verdicts.json"
    older.write_text('{"verdicts": ["older"]}')
    result, entries = run_claim("""
@pytest.mark.claim("C1")
def test_it(study, verdict):
    assert verdict(below(figure(0.25), 0.5))
""", "--collect-only")  # fmt: skip
    assert result.ret == 0
    assert entries == ["older"]


def test_a_gpu_that_is_not_there_is_told_in_one_line(pytester, run_claim):
    result, (entry,) = run_claim("""
@pytest.mark.claim("C1")
def test_it(study, verdict):
    assert verdict(below(figure(0.25), 0.5))
""", "-m", "full", "--device=cuda:99", runpytest=pytester.runpytest_subprocess)  # fmt: skip
    result.assert_outcomes(errors=1)
    told = r"--device cuda:99: this machine has \d+ CUDA devices; use cpu or leave it out"
    result.stdout.re_match_lines([told])
    result.stdout.no_fnmatch_line("E  *")
    assert (entry["claim"], entry["study"], entry["verdict"]) == ("C1", "paper", "not_run")
