"""Pinned numbers: tolerances, updates that keep them, and runs that are cut short and delete nothing."""

import json
import math

import pytest

from harness.suite.pins import Pin, Pins
from harness.verdicts.estimates import Fixed

CONFTEST = """
import pytest
from harness.suite import pins

def pytest_configure(config):
    pins.never_delete(config)

@pytest.fixture
def pinned(snapshot):
    return snapshot.with_defaults(extension_class=pins.Pins)
"""

TEST = """
import pytest

@pytest.mark.parametrize("name", ["a", "b"])
def test_numbers(name, pinned):
    assert {stop} or name == "b"
    assert {{"mce": {value}, "top1": 0.5}} == pinned
"""


@pytest.fixture
def project(pytester):
    """A project with one test file, its pins recorded; gives a function that runs it with another value."""
    pytester.makeconftest(CONFTEST)
    folder = pytester.mkdir("claims")

    def run(*options, value=0.25, stop=True):
        (folder / "test_it.py").write_text(TEST.format(value=value, stop=stop))
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", *options)

    run("--snapshot-update").assert_outcomes(passed=2)
    return run


@pytest.fixture
def pin(pytester):
    return pytester.path / "snapshots" / "test_it" / "test_numbers[a].json"


def test_each_test_and_parameter_has_its_own_file(project, pin):
    assert sorted(path.name for path in pin.parent.iterdir()) == ["test_numbers[a].json", "test_numbers[b].json"]
    assert json.loads(pin.read_text())["mce"] == {"value": 0.25, "tolerance": 1e-9}


def test_numbers_within_their_tolerance_pass_and_others_are_shown_with_all_the_rest(project, pin):
    project(value=0.25 + 1e-10).assert_outcomes(passed=2)
    result = project("-vv", value=0.26)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*mce*0.25*0.26*1e-09*FAIL", "*top1*0.5*0.5*1e-09*ok"])


def test_an_update_keeps_a_tolerance_that_was_edited_by_hand(project, pin):
    numbers = json.loads(pin.read_text())
    numbers["mce"]["tolerance"] = 0.02
    pin.write_text(json.dumps(numbers))
    project(value=0.26).assert_outcomes(passed=1, failed=1)
    project("--snapshot-update", value=0.3).assert_outcomes(passed=2)
    assert json.loads(pin.read_text())["mce"] == {"value": 0.3, "tolerance": 0.02}


@pytest.mark.parametrize("options", [["-x"], ["-k", "b"], []], ids=["stopped", "deselected", "failing"])
def test_an_update_that_does_not_reach_every_test_deletes_nothing(project, pin, options):
    before = pin.read_text()
    project("--snapshot-update", *options, stop=False)
    assert pin.read_text() == before


def test_a_number_too_many_or_too_few_fails(project, pin):
    numbers = json.loads(pin.read_text())
    numbers["mfr"] = numbers.pop("top1")
    pin.write_text(json.dumps(numbers))
    result = project("-vv")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*mfr*not measured", "*top1*not pinned"])


@pytest.mark.parametrize(
    ("estimate", "how", "tolerance"),
    [
        pytest.param(Fixed.exact(0.4, 100), {}, 1e-9, id="exact"),
        pytest.param(Fixed.of(0.4, -math.inf, math.inf, 300), {}, 0.005, id="no_interval"),
        pytest.param(Fixed.of(4.0, -math.inf, math.inf, 300), {}, 0.02, id="no_interval_of_what_is_large"),
        pytest.param(Fixed.of(0.4, 0.2, 0.8, 10_000), {}, 0.003, id="a_hundredth_of_the_half_width"),
        pytest.param(Fixed.of(0.4, 0.2, 0.8, 10_000), {"attacked": True}, 0.03, id="a_tenth_under_attack"),
        pytest.param(Fixed.of(0.4, 0.39, 0.41, 1000), {}, 0.0015, id="an_image_and_a_half"),
        pytest.param(Fixed.of(0.4, 0.385, 0.415, 1000), {"attacked": True}, 0.0015, id="as_much"),
    ],
)
def test_estimates_are_pinned_within_what_follows_from_their_images(estimate, how, tolerance):
    assert Pin.of(estimate, **how) == (estimate.value, pytest.approx(tolerance, rel=1e-9))


def test_a_pin_is_written_with_its_own_tolerance_and_a_number_with_the_default():
    written = json.loads(Pins.serialize(None, {"mce": Pin(0.25, 0.02), "top1": 0.5}))
    assert written == {"mce": {"value": 0.25, "tolerance": 0.02}, "top1": {"value": 0.5, "tolerance": 1e-9}}
