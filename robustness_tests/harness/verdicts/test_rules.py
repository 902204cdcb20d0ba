"""Decisions: each rule on each side of its bound, and in doubt."""

from dataclasses import replace

import pytest

from harness.verdicts import rules
from harness.verdicts.estimates import Fixed
from harness.verdicts.rules import Comparison, Figure, Verdict

HOLDS, FAILS, UNDECIDED = Verdict.HOLDS, Verdict.FAILS, Verdict.UNDECIDED


def figure(value, low=None, high=None, subject="a"):
    estimate = Fixed.of(value, value if low is None else low, value if high is None else high, 1000)
    return Figure("top1", "top-1", "Table 2", subject, estimate, "classify")


def comparison(first, second, width=0.0):
    gap = first - second
    return Comparison(figure(first), figure(second, subject="b"), Fixed.of(gap, gap - width, gap + width, 1000))


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.1, 0.19, HOLDS), (0.1, 0.2, UNDECIDED), (0.2, 0.3, FAILS), (0.1, 0.3, UNDECIDED)],
)
def test_below(low, high, verdict):
    assert rules.below(figure(0.15, low, high), 0.2).verdict is verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.21, 0.3, HOLDS), (0.2, 0.3, UNDECIDED), (0.1, 0.2, FAILS)],
)
def test_above(low, high, verdict):
    assert rules.above(figure(0.25, low, high), 0.2).verdict is verdict


@pytest.mark.parametrize(
    ("value", "width", "verdict"),
    [(0.21, 0, HOLDS), (0.21, 0.025, UNDECIDED), (0.25, 0.01, FAILS), (0.15, 0, FAILS), (0.18, 0.005, HOLDS)],
)
def test_within(value, width, verdict):
    assert rules.within(figure(value, value - width, value + width), 0.2, 0.03).verdict is verdict


@pytest.mark.parametrize(
    ("first", "width", "by", "verdict"),
    [
        pytest.param(0.3, 0.05, 0.0, HOLDS, id="clear"),
        pytest.param(0.3, 0.15, 0.0, UNDECIDED, id="in_doubt"),
        pytest.param(0.5, 0.05, 0.0, FAILS, id="clearly_not"),
        pytest.param(0.4, 0.0, 0.0, FAILS, id="tie"),
        pytest.param(0.3, 0.0, 0.2, FAILS, id="not_by_enough"),
        pytest.param(0.1, 0.0, 0.2, HOLDS, id="by_enough"),
    ],
)
def test_lower_and_its_mirror_image_higher(first, width, by, verdict):
    assert rules.lower(comparison(first, 0.4, width), by).verdict is verdict
    assert rules.higher(comparison(1 - first, 0.6, width), by).verdict is verdict


@pytest.mark.parametrize(
    ("first", "width", "margin", "verdict"),
    [
        pytest.param(0.4, 0.0, 0.0, HOLDS, id="tie"),
        pytest.param(0.395, 0.004, 0.01, HOLDS, id="within_the_margin"),
        pytest.param(0.395, 0.006, 0.01, UNDECIDED, id="in_doubt"),
        pytest.param(0.38, 0.005, 0.01, FAILS, id="beyond_the_margin"),
        pytest.param(0.9, 0.05, 0.0, HOLDS, id="far_better"),
    ],
)
def test_no_lower_and_its_mirror_image_no_higher(first, width, margin, verdict):
    assert rules.no_lower(comparison(first, 0.4, width), margin).verdict is verdict
    assert rules.no_higher(comparison(1 - first, 0.6, width), margin).verdict is verdict


def test_no_lower_says_what_it_needs():
    judgement = rules.no_lower(comparison(0.38, 0.4, 0.005), 0.01)
    assert (judgement.relation, judgement.bound) == (">= 39 % (b minus 1 %)", pytest.approx(0.39))
    assert judgement.margin == pytest.approx(-0.01)
    assert judgement.reason == "paired difference to b -2 % (-2.5 % to -1.5 %), >= -1 % needed"


def test_never_rises_allows_the_slack_and_no_more():
    falling = [comparison(0.5, 0.6), comparison(0.504, 0.5), comparison(0.1, 0.504)]
    assert rules.never_rises(falling, slack=0.005).verdict is HOLDS
    rising = rules.never_rises(falling, slack=0.003)
    assert rising.verdict is FAILS
    assert rising.figure.estimate.value == 0.504


def test_all_of_shows_the_worst():
    good, close, bad = (rules.below(figure(value), 0.5) for value in (0.1, 0.4, 0.6))
    doubt = rules.below(figure(0.3, 0.1, 0.7), 0.5)
    for judgements, worst in (([good, close], close), ([good, doubt, close], doubt), ([doubt, bad, good], bad)):
        judged = rules.all_of(judgements)
        assert (judged.verdict, judged.figure) == (worst.verdict, worst.figure)


def test_only_a_claim_that_holds_is_true():
    assert rules.below(figure(0.1), 0.5)
    assert not rules.below(figure(0.6), 0.5)
    assert not rules.below(figure(0.3, 0.1, 0.7), 0.5)


def test_margin_says_how_far_on_the_right_side():
    assert rules.below(figure(0.1), 0.5).margin == pytest.approx(0.4)
    assert rules.above(figure(0.1), 0.5).margin == pytest.approx(-0.4)
    assert rules.within(figure(0.22), 0.2, 0.03).margin == pytest.approx(0.01)
    assert rules.lower(comparison(0.3, 0.4), by=0.02).margin == pytest.approx(0.08)


def test_message_says_what_was_got_what_was_due_and_how_sure():
    message = str(rules.below(figure(0.031, 0.027, 0.035), 0.01))
    assert message == (
        "Table 2: top-1 of a is 3.1 % (1,000 images, 2.7 % to 3.5 %); the claim needs < 1 %: fails. Protocol classify."
    )


def test_message_of_a_comparison_tells_the_paired_difference():
    message = str(rules.lower(comparison(0.3, 0.4, 0.05), by=0.02))
    assert "the claim needs < 38 % (b minus 2 %): holds" in message
    assert "paired difference to b -10 % (-15 % to -5 %), < -2 % needed" in message


@pytest.mark.parametrize(
    ("rule", "at_the_bound"),
    [(rules.at_most, HOLDS), (rules.at_least, HOLDS), (rules.below, FAILS), (rules.above, FAILS)],
)
def test_the_bound_itself_is_in_or_out(rule, at_the_bound):
    judgement = rule(figure(0.5), 0.5)
    assert (judgement.verdict, judgement.margin) == (at_the_bound, 0)


@pytest.mark.parametrize(("rule", "inside", "outside"), [(rules.at_most, 0.4, 0.6), (rules.at_least, 0.6, 0.4)])
def test_at_most_and_at_least(rule, inside, outside):
    assert rule(figure(inside, inside - 0.05, inside + 0.05), 0.5).verdict is HOLDS
    assert rule(figure(outside, outside - 0.05, outside + 0.05), 0.5).verdict is FAILS
    assert rule(figure(0.5, 0.45, 0.55), 0.5).verdict is UNDECIDED
    assert rule(figure(inside), 0.5).margin == pytest.approx(0.1)


def test_a_gap_is_a_figure_of_the_difference():
    gap = comparison(0.7, 0.4, width=0.1).gap()
    assert (gap.estimate.value, gap.subject, gap.title) == (pytest.approx(0.3), "a", "top-1 less b")


def test_a_comparison_without_intervals_is_exact():
    exact = comparison(0.7, 0.4, width=0.1).as_exact()
    assert exact.difference.is_exact
    assert exact.difference.value == pytest.approx(0.3)


@pytest.mark.parametrize("rule", [rules.lower, rules.higher])
@pytest.mark.parametrize("width", [0.0, 0.05], ids=["exact", "with_interval"])
def test_the_note_of_a_comparison_is_told_with_its_verdict(rule, width):
    plain = comparison(0.7, 0.4, width)
    noted = replace(plain, note="measured otherwise")
    for each in (noted, noted.as_exact()):
        assert rule(each).reason.startswith("measured otherwise")
        assert "measured otherwise" in str(rule(each))
    told, untold = rule(noted), rule(plain)
    assert told.reason == "; ".join(filter(None, ("measured otherwise", untold.reason)))
    assert replace(told, notes=()) == replace(untold, notes=())


def test_figures_with_other_tags_are_unlike():
    plain = figure(0.5)
    targeted = replace(plain, tags={"targeted": "random class", "scored": "every iterate"})
    assert targeted.unlike(targeted) == ""
    other = replace(plain, tags={"targeted": "no", "scored": "every iterate"})
    assert targeted.unlike(other) == "targeted random class against no"
    assert targeted.unlike(plain) == "targeted random class against no; scored every iterate against no"
