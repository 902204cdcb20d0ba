"""Trust checks, fed with attacks that were broken on purpose and classifiers that mask their gradients: all caught."""

import inspect
import json
import re

import pytest

from data_fixtures.colours import write_imagenet
from harness.benchmarks.catalog import DataRoots
from harness.classifiers.spec import parse_spec
from harness.engines.settings import Settings
from harness.errors import NotMeasured
from harness.records.store import RecordStore
from harness.studies.laboratory import Laboratory
from harness.studies.live import LiveStudy
from harness.verdicts.rules import Verdict
from robustness_tests import test_attack_trust

# Every channel's level is 25 of 255 from the next class's: in reach at eps 0.06, out of reach at half of it.
RIGHT = "python:data_fixtures.classifiers:reads_colours?mean=0,0,0&std=1,1,1&resize=16&crop=16"
MASKED = RIGHT.replace("reads_colours", "rounds_first")
MASKS = ("leaks_one_pixel", "leaks_everywhere", "passes_few_pixels", "shatters", "misleads")
LOUD = RIGHT.replace("reads_colours", "shouts")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Images of 14 classes, bright and dark ones among them, so that pixels come to both ends of [0, 1]."""
    root = tmp_path_factory.mktemp("data")
    write_imagenet(root / "imagenet", [*range(0, 1000, 111), 9, 90, 900, 990], per_class=1)
    return root


@pytest.fixture
def ask(data, tmp_path):
    """Give a function that asks of the standard attack on a classifier all but whether transfer is weaker."""

    def ask(text):
        laboratory = Laboratory(DataRoots(data), RecordStore(tmp_path), Settings(workers=0))
        study = LiveStudy("paper", parse_spec("alexnet"), [parse_spec(text)], laboratory, alpha=1e-3)
        found = {}

        def take_down(judgement):
            found.setdefault(claim, set()).add(judgement.verdict)
            return True

        for check in vars(test_attack_trust).values():
            marks = {mark.name: mark.args for mark in getattr(check, "pytestmark", ())}
            if not marks or marks["claim"] == ("T8",):
                continue
            (claim,) = marks["claim"]
            name, cases = marks["parametrize"]
            ((value,),) = [case.values for case in cases if case.id == "standard"]
            asked_of = {"classifier": text} if "classifier" in inspect.signature(check).parameters else {}
            try:
                check(study=study, verdict=take_down, **asked_of, **{name: value})
            except NotMeasured as error:
                found.setdefault(claim, set()).add(str(error))
        return found

    return ask


def failing(found):
    return {claim for claim, verdicts in found.items() if Verdict.FAILS in verdicts}


def test_an_attack_as_it_should_be_passes_every_check(ask):
    assert ask(RIGHT) == {f"T{number}": {Verdict.HOLDS} for number in range(1, 14) if number != 8}


def reversed_step(pgd, patched):
    patched.setattr(pgd.SteppedPGD, "normalize", lambda self, gradients, *, x, bounds: -gradients.sign())


def no_step(pgd, patched):
    patched.setattr(pgd.SteppedPGD, "normalize", lambda self, gradients, *, x, bounds: 0 * gradients)


def no_projection(pgd, patched):
    patched.setattr(pgd.SteppedPGD, "project", lambda self, x, x0, epsilon: x)


def slow(pgd, patched):
    init = pgd.SteppedPGD.__init__

    def slower(self, *, step_size, **options):
        init(self, step_size=step_size / 99, **options)

    patched.setattr(pgd.SteppedPGD, "__init__", slower)


def gradients_of_others(pgd, patched):
    def normalize(self, gradients, *, x, bounds):
        return gradients[[*range(1, len(gradients)), 0]].sign()

    patched.setattr(pgd.SteppedPGD, "normalize", normalize)


def half_of_eps(pgd, patched):
    walk = pgd.SteppedPGD.walk

    def halved(self, model, inputs, criterion, *, epsilon):
        self.start = inputs + (self.start - inputs) / 2
        return walk(self, model, inputs, criterion, epsilon=epsilon / 2)

    patched.setattr(pgd.SteppedPGD, "walk", halved)


def no_bounds(pgd, patched):
    from foolbox.types import Bounds

    walk = pgd.SteppedPGD.walk

    def unbounded(self, model, inputs, criterion, *, epsilon):
        model._bounds = Bounds(-9, 9)
        return walk(self, model, inputs, criterion, epsilon=epsilon)

    patched.setattr(pgd.SteppedPGD, "walk", unbounded)


@pytest.mark.parametrize(
    ("break_it", "caught_by"),
    [
        (reversed_step, {"T3", "T13"}),
        (no_step, {"T2", "T3", "T13"}),
        (no_projection, {"T1", "T13"}),
        (half_of_eps, {"T2", "T13"}),
        (no_bounds, {"T1"}),
        (slow, {"T2", "T13"}),
        (gradients_of_others, {"T3", "T13"}),
    ],
)
def test_a_broken_attack_is_caught(ask, monkeypatch, break_it, caught_by):
    from harness.protocols import pgd

    break_it(pgd, monkeypatch)
    assert caught_by <= failing(ask(RIGHT))


def test_masked_gradients_are_caught_and_taken_for_no_robustness(ask):
    found = ask(MASKED)
    assert "T4" in failing(found)
    for claim in ("T6", "T7", "T9", "T10", "T11"):
        (reason,) = found[claim]
        assert re.search(r"gradient masking: \d+ of 14 attacked images survive for want of a gradient", reason)


@pytest.mark.parametrize("masked", MASKS)
def test_other_masks_are_caught_and_taken_for_no_robustness(ask, masked):
    found = ask(RIGHT.replace("reads_colours", masked))
    assert failing(found) & {"T3", "T4"}
    if masked == "leaks_everywhere":  # pushes all pixels one way, which changes any colour in the end
        assert "T5" in failing(found)
    else:
        for claim in ("T7", "T9", "T11"):
            (reason,) = found[claim]
            assert "gradient masking" in reason


def test_loud_logits_are_caught_and_not_taken_for_robustness(ask):
    found = ask(LOUD)
    assert {"T4", "T5"} <= failing(found)
    assert found["T10"] == {Verdict.HOLDS}


def test_a_run_of_the_suite_fails_loudly(run_suite, data, tmp_path):
    one_of_them = "masked and standard and not transfer and rounds_first"
    run = run_suite(
        *("-m", "full", "robustness_tests/test_attack_trust.py", "-k", one_of_them),
        *(f"--data-root={data}", f"--records={tmp_path / 'records'}", f"--report={tmp_path}"),
        *(f"--baseline={RIGHT}", f"--classifiers={MASKED}"),
    )
    (entry,) = json.loads((tmp_path / "verdicts.json").read_text())["verdicts"]
    assert run.code == 1
    assert (entry["claim"], entry["verdict"], entry["value"], entry["images"]) == ("T4", "fails", 1, 14)
    assert entry["tags"]["targeted"] == "no"
    assert "T4     paper  zero_gradient  fails 1/1  rounds_first" in run.out
