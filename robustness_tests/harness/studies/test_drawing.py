"""How far a claim looks: its first look, its next ones, and what ends them."""

from itertools import pairwise

import pytest

from harness.classifiers.spec import parse_spec
from harness.errors import BudgetSpent
from harness.studies import drawing
from harness.studies.drawing import FIRST, Drawing, next_look

ONE, OTHER = parse_spec("alexnet"), parse_spec("resnext101_32x8d")


@pytest.fixture
def clock(monkeypatch):
    """The time in seconds, to be set in place 0."""
    now = [0.0]
    monkeypatch.setattr(drawing.time, "monotonic", lambda: now[0])
    return now


def nothing(spec, need):
    return 0


def look(found, *specs, need="imagenet", population=10_000, stored=nothing):
    return [found.depth(spec, need, population, stored) for spec in specs]


def test_each_look_is_longer_by_a_share_of_it_until_all_is_seen():
    found = Drawing()
    depths = look(found, ONE)
    while found.deepen(nothing):
        depths += look(found, ONE)
    assert depths[0] == FIRST
    assert depths[1:3] == [96, 128]
    assert all(after == max(before + 32, int(before * 1.15)) for before, after in pairwise(depths[:-1]))
    assert depths[-1] == 10_000


def test_a_small_benchmark_is_seen_at_once():
    found = Drawing()
    assert look(found, ONE, population=50) == [50]
    assert not found.deepen(nothing)


def test_no_more_is_looked_at_than_may_be():
    found = Drawing(most=70)
    assert look(found, ONE) == [FIRST]
    assert found.deepen(nothing)
    assert look(found, ONE) == [70]
    assert not found.deepen(nothing)
    assert found.limit() == "only the first 70 are to be looked at"


def test_what_is_known_of_all_classifiers_is_looked_at_next():
    found = Drawing()
    look(found, ONE, OTHER)
    assert found.deepen(lambda spec, need: 5000 if spec == ONE else 4000)
    assert look(found, ONE, OTHER) == [4000, 4000]


def test_another_claim_begins_anew():
    found = Drawing()
    look(found, ONE)
    found.deepen(nothing)
    found.begin()
    assert look(found, ONE) == [FIRST]


def test_every_benchmark_that_a_claim_asks_for_is_deepened():
    found = Drawing()
    look(found, ONE)
    look(found, ONE, need="imagenet-a", population=300)
    assert found.deepen(nothing)
    assert look(found, ONE) == [next_look(FIRST)]
    assert look(found, ONE, need="imagenet-a", population=300) == [next_look(FIRST)]


def test_a_spent_budget_measures_nothing_more_but_looks_at_what_is_known(clock):
    found = Drawing(seconds=10.0)
    look(found, ONE)
    clock[0] = 10.0
    assert found.limit() == "the budget of 10 s is spent"
    assert not found.deepen(nothing)
    assert found.deepen(lambda spec, need: 700)
    assert look(found, ONE) == [700]
    found.begin()
    assert look(found, ONE, stored=lambda spec, need: 30) == [30]
    found.begin()
    with pytest.raises(BudgetSpent, match="nothing of it is in the store, and the budget of 10 s is spent"):
        look(found, ONE)


def test_a_look_takes_no_longer_than_the_budget_that_is_left(clock):
    found = Drawing(seconds=60.0)
    look(found, ONE, OTHER, population=10**6)
    for spec in (ONE, OTHER):
        with found.measuring(spec, "imagenet", FIRST):
            clock[0] += FIRST * 0.45
    left = 60.0 - 2 * FIRST * 0.45
    assert found.deepen(nothing)
    assert look(found, ONE) == [FIRST + int(left / 0.9)]


def test_what_one_classifier_was_looked_at_is_measured_of_the_other_though_the_budget_is_spent(clock):
    found = Drawing(seconds=10.0)
    assert look(found, ONE) == [FIRST]
    clock[0] = 10.0
    assert look(found, OTHER) == [FIRST]


def test_nothing_is_measured_where_nothing_is_to_be():
    found = Drawing(seconds=0.0)
    assert look(found, ONE, stored=lambda spec, need: 1000) == [FIRST]
    assert found.limit() == "nothing is to be measured"
