"""Pinned numbers: what is compared, what a failure shows, what an update keeps; with the suite's own hooks."""

import json
import math

import pytest

from harness.pinfile import Row
from harness.studies.study import Provenance
from harness.suite.pinned import _by_reason
from harness.suite.pins import Pin, tolerance_of
from harness.verdicts.estimates import Fixed
from harness.verdicts.rules import Figure


@pytest.fixture
def project(pins_project):
    """A project whose figures are pinned; gives a function that runs it again with other figures."""
    pins_project("--snapshot-update").assert_outcomes(passed=2)
    return pins_project


def test_each_test_and_parameter_has_its_own_file(project):
    assert sorted(path.name for path in project.folder.iterdir()) == ["test_numbers[a].json", "test_numbers[b].json"]
    found = project.read()
    assert found["figures"]["mce"] == {
        "value": 0.25,
        "tolerance": 0.01,
        "derived": 0.01,
        "images": 100,
        "protocol": "classify, fp32, seed 0",
        "data": {"imagenet-c": "sha256:aa"},
    }
    assert {"study", "weights", "settings", "versions"} == found["recorded_with"].keys()
    assert found["recorded_with"]["weights"] == {"net": "sha256:11"}
    assert found["recorded_with"]["settings"] == {"seed": "0"}
    assert {"python", "torch", "numpy"} <= found["recorded_with"]["versions"].keys()


@pytest.mark.parametrize("options", [(), ("-q",), ("-vv",), ("-n", "2")], ids=["plain", "quiet", "verbose", "xdist"])
def test_a_failure_shows_all_figures_and_what_else_differs(project, options):
    project(mce=0.2599).assert_outcomes(passed=2)
    result = project(*options, mce=0.27, weights="sha256:22")
    result.assert_outcomes(failed=2)
    assert "Full diff" not in result.stdout.str()
    assert "truncated" not in result.stdout.str()
    result.stdout.fnmatch_lines([
        "figures are not those pinned in test_it/test_numbers[[]?].json; if that is meant, record them anew with *",
        "*figure * pinned * got * tolerance * images*",
        "*mce * 0.25 * 0.27 * 0.01 * 100  FAIL",
        "*top1 * 0.5 * 0.5 * 0.02 * 100  ok",
        "*weights net: pinned with sha256:11, now sha256:22",
    ])  # fmt: skip


def test_other_weights_under_the_same_label_are_compared(project):
    project(weights="sha256:22").assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param({"data": "sha256:bb"}, "pinned on other data (imagenet-c)", id="data"),
        pytest.param({"protocol": "classify, fp32, seed 1"}, "the protocol is 'classify, fp32, seed 1'", id="seed"),
        pytest.param(
            {"protocol": "classify, bf16, seed 0"}, "the protocol is 'classify, bf16, seed 0'", id="precision"
        ),
        pytest.param({"images": 50}, "pinned on 100 images, not 50", id="images"),
    ],
)
def test_what_was_recorded_of_something_else_is_not_compared_and_that_is_said(project, changes, why):
    result = project(mce=0.9, **changes)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines([f"test_numbers[[]a] is not compared with its pin: mce: *{why.replace('[', '[[]')}*"])
    everything = project("-rs", mce=0.9, top1=0.9, both=True, **changes)
    everything.assert_outcomes(skipped=2)
    assert why in everything.stdout.str()
    failing = project(top1=0.9, **changes)
    failing.assert_outcomes(failed=2)
    failing.stdout.fnmatch_lines([f"*mce *not compared: *{why}*"])


def test_a_figure_too_many_or_too_few_fails(project):
    pins = project.read()
    pins["figures"]["mfr"] = pins["figures"].pop("top1")
    project.pin.write_text(json.dumps(pins))
    result = project("-vv")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*mfr * not measured", "*top1 * not pinned", "*taken out of the file by hand"])


def test_a_figure_that_cannot_be_measured_fails_with_the_reason(project):
    result = project("-vv", missing="mce")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*mce * not measured: no folder of it"])


def test_what_is_not_pinned_is_a_failure_that_says_what_to_type(pins_project):
    result = pins_project()
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*does not exist!", "*nothing is pinned yet; pin it with --snapshot-update"])


def test_studies_on_named_classifiers_are_compared_where_something_is_pinned(pins_project):
    result = pins_project("-rs", study="paper")
    result.assert_outcomes(skipped=2)
    told = "/test_it yet; --snapshot-update measures and pins what the data allows"
    assert any(
        line.startswith("not compared with pins: none are in ") and line.endswith(told) for line in result.outlines
    )
    assert not pins_project.folder.exists()
    pins_project("--snapshot-update", study="paper", missing="top1").assert_outcomes(passed=2)
    result = pins_project(study="paper")  # top1 is new
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["test_numbers[[]paper-a] is not compared with its pin: top1: not pinned"])
    result = pins_project("-rs", study="paper", missing="mce top1")
    result.assert_outcomes(skipped=2)
    assert "none of mce, top1 can be measured, to pin or to compare: no folder of it" in result.stdout.str()
    pins_project(study="paper", mce=0.9).assert_outcomes(failed=2)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--seed=1"], "--seed=0"),
        (["--precision=bf16"], "--precision=fp32"),
        (["--seed=1", "--precision=bf16"], "--seed=0 --precision=fp32"),
    ],
    ids=["seed", "precision", "both"],
)
def test_pins_of_another_seed_or_precision_are_told_before_anything_is_measured(pins_project, options, told):
    pins_project("--snapshot-update", study="paper", settings={"seed": "0", "precision": "fp32"})
    measures = "(__import__('pathlib').Path('measured')).touch()"
    result = pins_project("-rs", *options, study="paper", before=measures)
    result.assert_outcomes(skipped=2)
    assert not (pins_project.test.parent.parent / "measured").exists()
    assert f"test_it/test_numbers[paper-a].json were recorded with {told}, which this run is not" in result.stdout.str()
    pins_project(study="paper", before=measures).assert_outcomes(passed=2)
    assert (pins_project.test.parent.parent / "measured").exists()
    pins_project("--snapshot-update", *options, study="paper").assert_outcomes(passed=2)


def test_an_update_renews_what_nobody_edited(project):
    pins = project.read()
    pins["figures"]["mce"]["tolerance"] = 0.02
    project.pin.write_text(json.dumps(pins))
    project(mce=0.265).assert_outcomes(passed=1, failed=1)
    project("--snapshot-update", mce=0.3, tolerance=0.05).assert_outcomes(passed=2)
    found = {name: (pin["value"], pin["tolerance"], pin["derived"]) for name, pin in project.read()["figures"].items()}
    assert found == {"mce": (0.3, 0.02, 0.05), "top1": (0.5, 0.02, 0.02)}


def test_an_update_within_the_tolerance_records_what_is_measured_now(project):
    project("--snapshot-update", mce=0.251).assert_outcomes(passed=2)
    assert project.read()["figures"]["mce"]["value"] == 0.251


def test_an_update_that_changes_nothing_writes_nothing(project):
    before = project.pin.read_bytes(), project.pin.stat().st_mtime_ns, project.pin.stat().st_ino
    project("--snapshot-update").assert_outcomes(passed=2)
    assert (project.pin.read_bytes(), project.pin.stat().st_mtime_ns, project.pin.stat().st_ino) == before


def test_an_update_keeps_what_it_could_not_measure(project):
    project("--snapshot-update", missing="top1", mce=0.3).assert_outcomes(passed=2)
    assert {name: pin["value"] for name, pin in project.read()["figures"].items()} == {"mce": 0.3, "top1": 0.5}


@pytest.mark.parametrize("options", [[], ["--snapshot-update"]], ids=["compared", "updated"])
@pytest.mark.parametrize("text", ["<<<<<<< HEAD", '{"mce": 1}', "\xff"], ids=["conflict", "foreign", "bytes"])
def test_a_file_that_is_none_of_pins_is_one_line_and_stays_as_it_was(project, options, text):
    project.pin.write_text(text, encoding="latin-1")
    result = project(*options)
    result.assert_outcomes(passed=1, failed=1)
    told = [line for line in result.outlines if "is no file of pins" in line and line.startswith(str(project.pin))]
    assert len(told) == 1
    assert "Traceback" not in result.stdout.str()
    assert project.pin.read_text(encoding="latin-1") == text


def test_a_folder_that_cannot_be_made_is_one_line(pins_project):
    pins_project.folder.parent.write_text("in its place")
    result = pins_project("--snapshot-update")
    result.assert_outcomes(failed=2)
    told = [line for line in result.outlines if "can't be written (" in line and "test_numbers[a].json" in line]
    assert any(line.endswith("see that the folder of pins may be written to") for line in told)
    assert "Traceback" not in result.stdout.str()


def test_what_is_no_number_is_one_line(project):
    result = project(mce="float('nan')")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["mce is nan +- 0.01, which is no number to pin"])


@pytest.mark.parametrize(
    "options",
    [["-k", "[a]"], ["-m", "not full", "-k", "[b]"], ["--deselect=claims/test_it.py::test_numbers[a]"], []],
    ids=["k", "m", "deselect", "all"],
)
def test_other_files_and_left_out_tests_are_neither_reported_nor_deleted(project, options):
    (project.folder / "test_gone[x].json").write_text("{}")
    for update in ([], ["--snapshot-update"]):
        result = project(*options, *update)
        result.assert_outcomes(passed=1 if options else 2, deselected=1 if options else 0)
        assert result.ret == 0
        assert not [line for line in result.outlines if "unused" in line]
    assert len(list(project.folder.iterdir())) == 3


def test_names_that_files_cannot_have_are_told_apart(pins_project):
    names = ["a/b", "ab", "a:b", "x" * 300, "x" * 301]
    for options in (["--snapshot-update"], []):
        pins_project(*options, names=names).assert_outcomes(passed=5)
    found = [path.name for path in pins_project.folder.iterdir()]
    assert len(found) == 5
    assert "test_numbers[ab].json" in found
    assert max(len(name.encode()) for name in found) <= 220
    pins_project(names=names, mce=0.9).assert_outcomes(failed=5)


def test_reasons_that_figures_share_are_told_once():
    rows = [Row(f"top{place}", 0.5, 0.5, None, 10, "not compared", "of others") for place in range(5)]
    assert _by_reason(rows[:3]) == ["top0, top1, top2: of others"]
    assert _by_reason([*rows, Row("mce", None, 0.5, None, 10, "not pinned")]) == [
        "top0 and 4 others: of others",
        "mce: not pinned",
    ]


FIGURE = Figure("mce", "mCE", "Table 1", "net", Fixed.exact(0.4, 100), "made on python:m:net@/data/net.pt, fp32")


def test_the_protocol_is_pinned_without_paths():
    origin = Provenance(labels={"python:m:net@/data/net.pt": "net@net"})
    assert Pin.of(FIGURE, origin) == Pin(0.4, 1e-9, 100, "made on net@net, fp32", origin)


def test_a_figure_made_of_two_rests_on_what_both_rest_on():
    first = Provenance("paper", {"a": "1"}, {"x": "2"}, {"seed": "0"}, {"s": "x"})
    second = Provenance("paper", {"b": "3"}, {"y": "4"}, {"seed": "0"}, {"t": "y"})
    assert first | second == Provenance(
        "paper", {"a": "1", "b": "3"}, {"x": "2", "y": "4"}, {"seed": "0"}, {"s": "x", "t": "y"}
    )


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
def test_tolerances_follow_from_the_images(estimate, how, tolerance):
    assert tolerance_of(estimate, **how) == pytest.approx(tolerance, rel=1e-9)


def test_one_image_moves_a_share_of_the_decided_by_one_of_these():
    assert tolerance_of(Fixed(0.25, (0.24, 0.26), 1201, counted=600)) == pytest.approx(1.5 / 600)
    assert tolerance_of(Fixed(0.25, (0.24, 0.26), 1201)) == pytest.approx(1.5 / 1201)
    assert tolerance_of(Fixed(0.25, (0.24, 0.26), 1201, counted=600).scaled(1.0, 0.1)) == pytest.approx(1.5 / 600)
