"""`--plan`: how long what is not measured yet takes, by what was."""

import pytest

from harness.classifiers.spec import parse_spec
from harness.errors import NotMeasured
from harness.protocols.attacks import Attack
from harness.suite import plan
from harness.suite.plan import Forecast, Paces, Task, lines, passes_of

SMALL, LARGE, OTHER = (parse_spec(name) for name in ("resnext101_32x8d_wsl", "resnext101_32x16d_wsl", "alexnet"))
ATTACK = Attack("published", eps=0.06, ladder=(10,))


class Known:
    """A laboratory that knows paces and nothing else."""

    def __init__(self, paces):
        self.paces = paces

    def pace(self, spec, need):
        return self.paces.get((spec, need))

    def dataset(self, benchmark):
        raise NotMeasured("not there")


def paces(known, *asked):
    by_spec = {}
    for spec, need in (*known, *asked):
        by_spec.setdefault(spec, []).append(need)
    return Paces(Known(known), by_spec)


def test_what_was_measured_is_known():
    found = paces({(SMALL, "imagenet"): 0.25, (SMALL, ATTACK): 9.0})
    assert found.of(SMALL, "imagenet") == 0.25
    assert found.of(SMALL, ATTACK) == 9.0


def test_an_attack_takes_as_many_passes_as_its_steps_do():
    assert passes_of(ATTACK, Known({})) == 31  # one when clean, and three a step
    assert paces({(SMALL, "imagenet"): 0.25}, (SMALL, ATTACK)).of(SMALL, ATTACK) == pytest.approx(0.25 * 31)


def test_of_a_classifier_that_never_ran_it_is_told_by_size(monkeypatch):
    monkeypatch.setattr(plan, "cost", {SMALL: 10.0, LARGE: 40.0, OTHER: 0.0}.get)
    found = paces({(SMALL, "imagenet"): 0.25}, (LARGE, "imagenet"), (OTHER, "imagenet"))
    assert found.of(LARGE, "imagenet") == pytest.approx(1.0)
    assert found.of(OTHER, "imagenet") is None


def test_a_plan_is_laid_out_in_two_tables():
    found = [
        Task(SMALL, "imagenet", 1000, 400),
        Task(SMALL, ATTACK, 100, 0),
        Task(SMALL, Attack("published", eps=0.1, ladder=(10,)), 100, 0),
        Task(LARGE, "imagenet", 1000, 1000),
        Task(LARGE, "imagenet-p", 0, 0, "imagenet-p: no folder; get it"),
    ]
    known = paces({(SMALL, "imagenet"): 0.1, (SMALL, ATTACK): 3.1}, *((task.spec, task.need) for task in found))
    forecasts = [
        Forecast("C1", "a", "mce", 310.0, 75_000, ()),
        Forecast("C1", "b", "mce", 123_456.0, 75_000, ()),
        Forecast("N1", "c", "mce", float("inf"), 75_000, ()),
        Forecast("T1", "d", "", float("inf"), 0, (), "nothing"),
    ]
    told = lines(found, known, forecasts, decides=False)
    rows = [line.split() for line in told]
    assert ["resnext101_32x8d_wsl", "imagenet", "1,000", "400", "600", "1.0", "min"] in rows
    assert ["resnext101_32x8d_wsl", "pgd-published,", "2", "runs", "200", "0", "200", "10.3", "min"] in rows
    assert ["resnext101_32x16d_wsl", "imagenet", "1,000", "1,000", "0"] in rows
    assert "to measure all of it takes 11.3 min" in told
    assert "can't be measured: imagenet-p: no folder; get it" in told
    assert ["C1", "mce", "2", "310", "to", "120,000;", "out", "of", "reach:", "1", "75,000"] in rows
    assert ["N1", "mce", "1", "all;", "out", "of", "reach:", "1", "75,000"] in rows
    assert told[-1] == "not told, for neither the store nor recorded figures say anything: T1 (1)"


def test_what_is_unknown_is_said_to_be():
    told = lines([Task(SMALL, "imagenet", 10, 0)], paces({}, (SMALL, "imagenet")), [], decides=True)
    assert told[1].endswith("unknown")
    assert "to measure all of it takes 0 s and what is unknown" in told
