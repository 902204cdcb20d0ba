"""Confidence sequences by betting: against plain loops, by hand, and by simulation at every look."""

import math
from itertools import accumulate

import numpy as np
import pytest

from harness.verdicts import rules
from harness.verdicts.betting import (
    STAKES,
    Boundless,
    DrawnMean,
    DrawnShare,
    DrawnShareDifference,
    DrawnSum,
    Moved,
    bet,
)
from harness.verdicts.rules import Comparison, Figure, Question, Verdict

HOLDS, FAILS, UNDECIDED = Verdict.HOLDS, Verdict.FAILS, Verdict.UNDECIDED
MEAN_STAKE = sum(2.0**-k for k in range(12)) / 12


def wealth_by_loop(values, mean, least, population):
    """Bet image by image, in plain Python: the module's formula, looked at after every 16 images and at the end.

    Gives the logarithms of the wealth at those places, and how the best stake's grew.
    """
    held, total, seen = [1.0] * 12, 0.0, []
    for place, value in enumerate(values):
        expected = mean if population is None else (population * mean - total) / (population - place)
        for k in range(12):
            stake = 2.0**-k
            held[k] *= 1 - stake + stake * (value - least) / (expected - least)
        total += value
        if (place + 1) % 16 == 0 or place + 1 == len(values):
            seen.append(math.log(sum(held) / 12))
    return seen, max(math.log(each) if each else -math.inf for each in held) / len(values)


def draw(count, *, mean=0.15, seed=0):
    """Draw paired differences -1, 0 or 1 of that mean, each weighed by one of five weights."""
    rng = np.random.default_rng(seed)
    signs = rng.choice([-1.0, 0.0, 1.0], count, p=[(0.4 - mean) / 2, 0.6, (0.4 + mean) / 2])
    return signs * rng.choice([1.1, 1.2, 1.3, 1.4, 1.5], count)


@pytest.mark.parametrize("population", [None, 401, 1000, 10**6], ids=str)
@pytest.mark.parametrize("mean", [-1.0, -0.2, 0.0, 0.1, 0.6])
@pytest.mark.parametrize("count", [1, 15, 16, 17, 400])
def test_wealth_is_that_of_a_plain_loop(count, mean, population):
    values = draw(count)
    found = bet(values, mean, least=-1.5, population=population)
    left = math.inf if population is None else population * mean - values.sum()
    if left < -1.5 * ((population or 0) - count):  # the rest can't be so low
        assert found == (math.inf, math.inf)
        return
    seen, growth = wealth_by_loop(values.tolist(), mean, -1.5, population)
    assert found.most == pytest.approx(max(0.0, *seen), abs=1e-9)
    assert found.growth == pytest.approx(growth, abs=1e-12)


@pytest.mark.parametrize(
    ("drawn", "mean", "population", "most"),
    [
        pytest.param([], 0.5, None, 0.0, id="nothing_drawn"),
        # Fair odds on a 1 are 4 to 1, so that the stake s makes 1 + 3 s.
        pytest.param([1], 0.25, None, math.log(1 + 3 * MEAN_STAKE), id="one_hit"),
        pytest.param([1], 0.25, 4, math.log(1 + 3 * MEAN_STAKE), id="one_hit_of_an_urn"),
        # A mean of 1/4 of four means one 1, so that what comes after it is certain, and at no odds.
        pytest.param([1, 0, 0], 0.25, 4, math.log(1 + 3 * MEAN_STAKE), id="the_rest_is_certain"),
        pytest.param([1, 1], 0.25, 4, math.inf, id="more_than_the_urn_can_hold"),
        pytest.param([1, 1], 0.5, 4, math.log(sum((1 + s) * (1 + 2 * s) for s in STAKES) / 12), id="all_it_can_hold"),
        pytest.param([0] * 40, 0.25, None, 0.0, id="least_over_and_over"),
        pytest.param([0] * 40, 0.0, None, 0.0, id="least_where_the_mean_is_the_least"),
        pytest.param([0, 1], 0.0, None, math.inf, id="more_than_the_least_where_the_mean_is_the_least"),
        pytest.param([0], -0.1, None, math.inf, id="mean_below_the_least"),
        pytest.param([0, 0, 0], -0.1, 100, math.inf, id="mean_of_an_urn_below_the_least"),
    ],
)
def test_wealth_by_hand(drawn, mean, population, most):
    assert bet(np.array(drawn, dtype=float), mean, least=0.0, population=population).most == pytest.approx(most)


def test_least_over_and_over_loses_least_at_the_smallest_stake():
    assert bet(np.zeros(40), 0.25, least=0.0).growth == pytest.approx(math.log(1 - 2.0**-11))


def test_most_held_stays_the_most_however_it_goes_on():
    won = np.ones(64)
    most = [bet(np.append(won, np.zeros(more)), 0.5, least=0.0).most for more in (0, 16, 64, 640)]
    assert most == [most[0]] * 4
    assert most[0] > 30


@pytest.mark.parametrize("offset", [0.0, -1e6, 1e6])
@pytest.mark.parametrize("population", [None, 500])
def test_wealth_does_not_depend_on_where_zero_is(offset, population):
    values = draw(300)
    found = bet(values + offset, 0.05 + offset, least=-1.5 + offset, population=population)
    assert found == pytest.approx(bet(values, 0.05, least=-1.5, population=population), rel=1e-6)


def test_an_urn_that_was_nearly_emptied_is_not_refused_for_rounding():
    values = np.array([0.1] * 2000 + [0.0] * 1000)
    np.random.default_rng(0).shuffle(values)
    assert bet(values[:-1], values.mean(), least=0.0, population=3000).most < math.log(1e4)
    assert bet(-values[:-1], -values.mean(), least=-0.1, population=3000).most < math.log(1e4)


MEANS = {
    "infinite": lambda: DrawnMean(draw(700), bounds=(-1.5, 1.5), alpha=0.01),
    "urn": lambda: DrawnMean(draw(700), bounds=(-1.5, 1.5), alpha=0.01, population=900),
    "few": lambda: DrawnMean(draw(20), bounds=(-1.5, 1.5), alpha=0.01),
    "all_alike": lambda: DrawnMean(np.full(300, 1.0), bounds=(0.0, 1.0), alpha=0.01),
    "share": lambda: DrawnShare(np.arange(500) % 3 == 0, np.arange(500) % 3 == 1, alpha=0.01),
    "share_of_an_urn": lambda: DrawnShare(np.arange(500) % 3 == 0, np.arange(500) % 3 == 1, alpha=0.01, population=600),
}


@pytest.mark.parametrize("name", MEANS)
def test_interval_ends_where_the_verdict_turns(name):
    """What lies beyond an end is settled; what lies a five-hundredth of the way from it to the number is not."""
    drawn = MEANS[name]()
    assert drawn.low <= drawn.value <= drawn.high
    for end, is_settled in ((drawn.low, drawn.is_above), (drawn.high, drawn.is_below)):
        outwards = -1 if is_settled == drawn.is_above else 1
        assert is_settled(end + outwards * 1e-6)
        assert not is_settled(end - outwards * (2e-3 * abs(drawn.value - end) + 1e-9))


@pytest.mark.parametrize("population", [None, 900])
def test_mirrored_values_have_mirrored_intervals(population):
    values = draw(700)
    drawn = DrawnMean(values, bounds=(-1.5, 1.5), alpha=0.01, population=population)
    mirrored = DrawnMean(-values, bounds=(-1.5, 1.5), alpha=0.01, population=population)
    assert (mirrored.low, mirrored.high) == pytest.approx((-drawn.high, -drawn.low), abs=1e-9)
    for bound in (-0.5, 0.0, 0.14, 0.5):
        assert drawn.is_above(bound) is mirrored.is_below(-bound)
        assert drawn.needed(bound) == pytest.approx(mirrored.needed(-bound))


def test_hits_and_misses_change_places_in_a_mirrored_share():
    hits, misses = np.arange(500) % 3 == 0, np.arange(500) % 7 == 1
    share, mirrored = DrawnShare(hits, misses, alpha=0.01), DrawnShare(misses, hits, alpha=0.01)
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - share.high, 1 - share.low), abs=1e-3)
    assert mirrored.value == pytest.approx(1 - share.value)


def test_more_images_and_a_smaller_urn_tell_more_and_a_smaller_alpha_less():
    def width(count=800, alpha=0.01, population=None):
        drawn = DrawnMean(draw(1600)[:count], bounds=(-1.5, 1.5), alpha=alpha, population=population)
        return drawn.high - drawn.low

    assert width(1600) < width(800)
    assert width(population=900) < width(population=2000) < width()
    assert width(alpha=1e-3) > width()


@pytest.mark.parametrize("population", [None, 1000])
def test_bounds_beyond_what_is_possible_are_settled_at_once(population):
    drawn = DrawnMean(np.array([0.5]), bounds=(-1.0, 1.0), alpha=1e-3, population=population)
    assert drawn.is_above(-1.1)
    assert drawn.is_below(1.1)
    assert not any([drawn.is_above(1.1), drawn.is_below(-1.1), drawn.is_above(0.0), drawn.is_below(0.9)])
    assert -1 <= drawn.low < drawn.high <= 1


def test_what_is_left_in_an_urn_bounds_its_mean():
    # 950 of 1000 are drawn and are 1: at least 0.95 is certain, and no bet is needed for it.
    drawn = DrawnMean(np.ones(950), bounds=(0.0, 1.0), alpha=1e-3, population=1000)
    assert drawn.is_above(0.9499)
    assert drawn.low >= 0.95 - 1e-9
    assert drawn.high == 1


@pytest.mark.parametrize("factor", [pytest.param(float, id="float"), pytest.param(np.float64, id="numpy")])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_moved_number_is_known_as_well_as_that_which_it_comes_from(sign, factor):
    drawn = DrawnMean(draw(700), bounds=(-1.5, 1.5), alpha=0.01)
    moved = Moved(drawn, factor(2.0 * sign), 3.0)
    assert moved.value == pytest.approx(2 * sign * drawn.value + 3)
    assert (moved.low, moved.high) == pytest.approx(sorted(2 * sign * end + 3 for end in (drawn.low, drawn.high)))
    assert (moved.images, moved.alpha) == (700, 0.01)
    for bound in (-0.1, 0.0, 0.15, 0.4):
        above, below = drawn.is_above(bound), drawn.is_below(bound)
        there = 2 * sign * bound + 3
        assert (moved.is_above(there), moved.is_below(there)) == ((above, below) if sign > 0 else (below, above))
        assert moved.needed(there) == pytest.approx(drawn.needed(bound))


def test_only_what_is_moved_is_another_number():
    drawn = DrawnMean(draw(700), bounds=(-1.5, 1.5), alpha=0.01)
    assert drawn.scaled(1.0) is drawn
    assert drawn.scaled(-1.0).low == pytest.approx(-drawn.high)


def test_a_sum_lies_between_the_sums_of_ends():
    first = DrawnMean(draw(700), bounds=(-1.5, 1.5), alpha=0.005)
    second = DrawnMean(draw(300, mean=-0.2, seed=1), bounds=(-1.5, 1.5), alpha=0.005).scaled(-2.0)
    both = DrawnSum([first, second], 0.01)
    assert (both.low, both.high) == pytest.approx((first.low + second.low, first.high + second.high))
    assert both.value == pytest.approx(first.value + second.value)
    assert both.images == 300
    assert (both.is_above(both.low - 1e-3), both.is_above(both.low + 1e-3)) == (True, False)
    assert (both.is_below(both.high + 1e-3), both.is_below(both.high - 1e-3)) == (True, False)


def test_a_share_is_a_mean_where_every_image_counts_once():
    hits = np.arange(600) % 4 == 0
    share = DrawnShare(hits, ~hits, alpha=0.01, population=800)
    mean = DrawnMean(hits.astype(float), bounds=(0.0, 1.0), alpha=0.01, population=800)
    assert share.value == mean.value == 0.25
    assert (share.low, share.high) == pytest.approx((mean.low, mean.high), abs=2e-3)
    for bound in np.linspace(0.15, 0.35, 41):
        for among in (1, 1000):
            assert share.settles(bound, above=True, among=among) == mean.settles(bound, above=True, among=among)


def test_images_that_count_as_both_or_as_neither_pull_a_share_as_they_should():
    hits, misses = np.arange(600) % 4 == 0, np.arange(600) % 4 == 1
    both = np.append(hits, np.ones(200, dtype=bool)), np.append(misses, np.ones(200, dtype=bool))
    neither = np.append(hits, np.zeros(200, dtype=bool)), np.append(misses, np.zeros(200, dtype=bool))
    plain, with_both, with_neither = (DrawnShare(*each, alpha=0.01) for each in ((hits, misses), both, neither))
    assert (plain.value, with_both.value, with_neither.value) == (0.5, 0.5, 0.5)
    # An image that is both says of a bound b what 1 - 2 b says: against 0.3 the most ever held is as of a plain loop.
    values = [0.7 * hit - 0.3 * miss for hit, miss in zip(*both, strict=True)]
    seen, _ = wealth_by_loop(values, 0.0, -0.3, None)
    just = math.exp(max(seen)) * 0.01 / 2  # of so many questions it is answered, and of no more
    assert just > 1
    assert with_both.settles(0.3, above=True, among=0.999 * just)
    assert not with_both.settles(0.3, above=True, among=1.001 * just)
    assert with_neither.low <= plain.low + 1e-3


def test_a_share_above_none_and_below_all_is_settled_by_one_image():
    hits = np.array([True, False, False])
    share = DrawnShare(hits, np.array([False, True, False]), alpha=1e-3)
    assert share.is_above(0.0)
    assert share.is_below(1.0)
    assert share.is_above(-0.1)
    assert share.is_below(1.1)
    assert not any([share.is_above(1.1), share.is_below(-0.1), share.is_above(0.1), share.is_below(0.9)])


ONES = np.ones(5)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        *(
            pytest.param(lambda a=alpha: DrawnMean(ONES, bounds=(0, 1), alpha=a), "alpha .* not between", id=f"{alpha}")
            for alpha in (0.0, 0.5, -1.0, 2.0, math.nan)
        ),
        pytest.param(lambda: DrawnMean(ONES, bounds=(0, 0.9), alpha=0.1), "not all within 0 to 0.9", id="too_large"),
        pytest.param(lambda: DrawnMean(-ONES, bounds=(0, 1), alpha=0.1), "not all within 0 to 1", id="too_small"),
        pytest.param(lambda: DrawnMean(ONES * math.nan, bounds=(0, 1), alpha=0.1), "not all within", id="no_number"),
        pytest.param(lambda: DrawnMean(ONES[:0], bounds=(0, 1), alpha=0.1), "nothing was drawn", id="nothing"),
        pytest.param(lambda: DrawnMean(ONES, bounds=(0, 1), alpha=0.1, population=5), "is all there is", id="all"),
        pytest.param(lambda: DrawnMean(ONES, bounds=(0, 1), alpha=0.1, population=4), "5 drawn of 4", id="more"),
        pytest.param(lambda: DrawnShare(ONES < 0, ONES < 0, alpha=0.1), "at least one image must count", id="no_image"),
        pytest.param(lambda: DrawnShare(ONES > 0, ONES < 0, alpha=0.5), "alpha 0.5", id="share_at_no_level"),
        pytest.param(
            lambda: DrawnShare(ONES > 0, ONES < 0, alpha=0.1, population=5), "all there is", id="share_of_all"
        ),
    ],
)
def test_what_is_no_sample_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_of_a_number_without_bounds_nothing_is_said_before_the_end():
    found = Boundless(0.3, 700, 1000)
    assert found.interval is None
    assert "no known bound" in found.no_interval
    for sign in ("<", "<=", ">", ">="):
        question = Question(found, sign, 5.0)
        assert question.verdict() is UNDECIDED
        assert question.needed() == 1000


def test_needed_is_what_is_needed():
    """Of 300 images, each estimate of how many more decide is right within a factor of two, on the geometric mean."""
    ratios = []
    for seed in range(40):
        values = draw(4000, mean=0.12, seed=seed)
        told = DrawnMean(values[:300], bounds=(-1.5, 1.5), alpha=1e-3).needed(0.0)
        took = next(n for n in range(16, 4001, 16) if bet(values[:n], 0.0, least=-1.5).most >= math.log(2 / 1e-3))
        ratios.append(told / took)
    assert 0.5 < math.exp(np.mean(np.log(ratios))) < 2


def test_needed_is_no_fewer_than_drawn_and_no_more_than_there_are():
    clear = DrawnMean(draw(1500), bounds=(-1.5, 1.5), alpha=1e-3, population=2000)
    assert clear.needed(-1.0) == 1500
    assert clear.needed(clear.value) == 2000
    assert clear.needed(0.0) <= clear.needed(0.05) <= 2000
    endless = DrawnMean(draw(1500), bounds=(-1.5, 1.5), alpha=1e-3)
    assert endless.needed(endless.value) == math.inf
    near = endless.value - 0.02
    assert endless.needed(near, among=10) > endless.needed(near) > 1500


# What the simulations draw from: an urn of paired differences, weighed as the corruptions are by mCE.
WEIGHTS = np.array([1.08, 1.12, 1.13, 1.15, 1.17, 1.21, 1.22, 1.25, 1.27, 1.39, 1.55, 1.65, 1.77])
LEAST, GREATEST = -1.77, 1.77
CHUNK = 16


def an_urn(size, gap, rng):
    """Fill an urn whose mean is the gap: differences that tie, a third of them not 0, and a few turned towards it."""
    urn = np.zeros(size)
    third = size // 3 // 2 * 2
    urn[:third:2] = rng.choice(WEIGHTS, third // 2)
    urn[1:third:2] = -urn[:third:2]
    turned = int(gap * size / (2 * WEIGHTS.mean()))
    urn[1 : 2 * turned : 2] *= -1
    return urn


def most_wrong(runs, alpha):
    """Give how many of so many runs may go wrong: the 99.9 % quantile of the binomial distribution at alpha.

    A sound test exceeds it in one of a thousand simulations at most; seeds are fixed, so that it never comes and goes.
    """
    from scipy.stats import binom

    return int(binom.ppf(0.999, runs, alpha))


def ever_wrong(runs, urn, alpha, seed):
    """Count the runs in which the true mean, or the side of 0 on which it lies, is ever denied.

    Each run draws the urn in a new order and is looked at after every 16 images until one is left. The most that was
    ever held covers all these looks in one bet, as `test_one_bet_covers_all_looks` shows.
    """
    rng, mean, wanted = np.random.default_rng(seed), float(urn.mean()), math.log(2 / alpha)
    options = {"least": LEAST, "population": len(urn)}
    excluded = misjudged = 0
    for _ in range(runs):
        drawn = rng.permutation(urn)[: (len(urn) - 1) // CHUNK * CHUNK]
        low = bet(drawn, mean, **options).most >= wanted
        high = bet(-drawn, -mean, **options).most >= wanted
        excluded += low or high
        misjudged += bet(-drawn, 0.0, **options).most >= wanted if mean else low or high
    return excluded, misjudged


def ever_wrong_fixed(runs, urn, alpha, seed):
    """Count the runs in which the textbook's interval for one look, looked at as often, ever denies the true mean.

    It is mean +- z * s / sqrt(n) * sqrt(1 - n / N), from 256 images on, when the normal distribution is beyond doubt.
    """
    from scipy.stats import norm

    rng, z, wrong = np.random.default_rng(seed), norm.ppf(1 - alpha / 2), 0
    counts = np.arange(256, len(urn), CHUNK)
    for _ in range(runs):
        drawn = rng.permutation(urn)
        means = np.cumsum(drawn)[counts - 1] / counts
        variances = np.cumsum(drawn**2)[counts - 1] / counts - means**2
        halves = z * np.sqrt(variances / counts * (1 - counts / len(urn)))
        wrong += bool((np.abs(means - urn.mean()) > halves).any())
    return wrong


def test_one_bet_covers_all_looks():
    """What is ever held at looks after every chunk, through the public class, is what one bet on all of them tells."""
    rng, alpha, settled = np.random.default_rng(3), 0.3, 0
    for _ in range(40):
        urn = rng.permutation(an_urn(400, 0.1, rng))
        for bound in (0.0, urn.mean()):
            looks = [
                DrawnMean(urn[:n], bounds=(LEAST, GREATEST), alpha=alpha, population=400) for n in range(16, 400, 16)
            ]
            above = [look.is_above(bound) for look in looks]
            assert above == list(accumulate(above, lambda before, now: before or now))  # never taken back
            last = bet(urn[:384], bound, least=LEAST, population=400)
            assert above[-1] is (last.most >= math.log(2 / alpha))
            settled += above[-1]
    assert 0 < settled < 80


GAPS = [pytest.param(0.0, id="tie"), pytest.param(0.01, id="1_point"), pytest.param(0.03, id="3_points")]


@pytest.mark.parametrize(("alpha", "runs"), [(0.1, 1000), (1e-3, 1000)], ids=["alpha_0.1", "alpha_0.001"])
@pytest.mark.parametrize("gap", GAPS)
def test_at_every_look_the_truth_is_denied_at_most_as_often_as_alpha(gap, alpha, runs):
    urn = an_urn(600, gap, np.random.default_rng(7))
    excluded, misjudged = ever_wrong(runs, urn, alpha, seed=11)
    assert max(excluded, misjudged) <= most_wrong(runs, alpha)
    assert alpha < 0.1 or excluded > 0  # a simulation in which nothing can go wrong shows nothing


@pytest.mark.parametrize("alpha", [0.1, 1e-3], ids=["alpha_0.1", "alpha_0.001"])
def test_an_interval_for_one_look_is_wrong_far_more_often_at_every_look(alpha):
    """The same simulation can fail: what holds at one look is denied at some look in many more runs than allowed."""
    runs = 2000
    wrong = ever_wrong_fixed(runs, an_urn(4000, 0.0, np.random.default_rng(7)), alpha, seed=11)
    assert wrong > 3 * most_wrong(runs, alpha)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.1, 0.01, 1e-3], ids=lambda alpha: f"alpha_{alpha}")
@pytest.mark.parametrize("gap", GAPS)
def test_in_ten_thousand_runs_the_truth_is_denied_at_most_as_often_as_alpha(gap, alpha):
    urn = an_urn(4000, gap, np.random.default_rng(7))
    excluded, misjudged = ever_wrong(10_000, urn, alpha, seed=13)
    assert max(excluded, misjudged) <= most_wrong(10_000, alpha)


def figure(estimate, subject="a"):
    return Figure("mce", "mCE", "Table 1", subject, estimate, "classify")


def comparison(difference):
    return Comparison(figure(difference), figure(difference, "b"), difference)


def drawn_at(among=1, *, sign=1, alpha=0.1):
    """Draw just so many images that it is settled, as one of so many questions, that they lie above 0 (or below)."""
    for hits in range(1, 60):
        drawn = DrawnMean(sign * np.ones(hits), bounds=(-1.0, 1.0), alpha=alpha)
        if drawn.settles(0.0, above=sign > 0, among=among):
            return drawn
    raise AssertionError


RULES = {
    "lower": lambda each: rules.lower(comparison(each)),
    "higher": lambda each: rules.higher(comparison(each.scaled(-1.0))),
    "below": lambda each: rules.below(figure(each), 0.0),
    "at_most": lambda each: rules.at_most(figure(each), 0.0),
    "above": lambda each: rules.above(figure(each.scaled(-1.0)), 0.0),
    "at_least": lambda each: rules.at_least(figure(each.scaled(-1.0)), 0.0),
    "lower_by": lambda each: rules.lower(comparison(each.scaled(1.0, -0.2)), by=0.2),
    "higher_by": lambda each: rules.higher(comparison(each.scaled(-1.0, 0.2)), by=0.2),
    "within": lambda each: rules.within(figure(each), -0.5, 0.5),
}


@pytest.mark.parametrize("rule", RULES)
def test_rules_on_either_side_of_drawn_numbers_and_in_doubt(rule):
    judge = RULES[rule]
    near = [judge(drawn_at(sign=sign)).verdict for sign in (-1, 1)]
    if rule == "within":  # these lie near -1, beyond the other end
        near[0] = judge(DrawnMean(np.tile([-1.0, 0.0], 300), bounds=(-1.0, 1.0), alpha=0.1)).verdict
    assert near == [HOLDS, FAILS]
    unsure = DrawnMean(np.tile([-1.0, 1.0], 8), bounds=(-1.0, 1.0), alpha=0.1)
    assert judge(unsure).verdict is UNDECIDED
    assert judge(unsure).is_drawn


@pytest.mark.parametrize(
    ("mean", "verdict"),
    [(0.2, FAILS), (0.35, FAILS), (0.5, HOLDS), (0.65, FAILS), (0.8, FAILS), (0.43, UNDECIDED), (0.57, UNDECIDED)],
)
def test_within_asks_both_sides(mean, verdict):
    values = (np.random.default_rng(0).permutation(3000) < 3000 * mean).astype(float)
    drawn = DrawnMean(values, bounds=(0.0, 1.0), alpha=1e-3)
    assert rules.within(figure(drawn), 0.5, 0.07).verdict is verdict


KINDS = {
    "mean": lambda among: drawn_at(among),
    "moved": lambda among: drawn_at(among).scaled(3.0),
    "share": lambda among: next(
        share.scaled(1.0, -0.5)
        for share in (DrawnShare(np.ones(n, bool), np.zeros(n, bool), alpha=0.1) for n in range(1, 60))
        if share.settles(0.5, above=True, among=among)
    ),
    "sum": lambda among: DrawnSum([drawn_at(among, alpha=0.05), drawn_at(among, alpha=0.05)], 0.1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_of_many_that_must_all_hold_one_is_refused_at_its_share_of_alpha_only(kind):
    """One that is refused when alone is not when it is one of fifty, unless it is fifty times as sure."""
    just, surely = (rules.below(figure(KINDS[kind](among)), 0.0) for among in (1, 50))
    fine = [rules.below(figure(drawn_at(1000, sign=-1)), 0.0) for _ in range(49)]
    assert just.verdict is FAILS
    assert surely.verdict is FAILS
    assert rules.all_of([just]).verdict is FAILS
    assert rules.all_of([just, *fine]).verdict is UNDECIDED
    assert rules.all_of([surely, *fine]).verdict is FAILS


def test_that_all_hold_takes_no_more_than_that_each_does():
    holding = rules.below(figure(drawn_at(sign=-1)), 0.0)
    assert rules.all_of([holding] * 50).verdict is HOLDS


def test_a_chain_within_others_keeps_its_share_of_alpha():
    """A curve of fifty steps is fifty claims, also where it is one of several things that must hold."""
    fine = [comparison(drawn_at(1000, sign=-1)) for _ in range(49)]
    curve = rules.never_rises([comparison(drawn_at()), *fine], slack=0.0)
    assert curve.verdict is UNDECIDED
    assert rules.all_of([curve]).verdict is UNDECIDED
    assert rules.all_of([curve, rules.below(figure(drawn_at(1000, sign=-1)), 0.0)]).verdict is UNDECIDED


def test_of_many_true_claims_together_none_is_refused_more_often_than_of_one():
    """Forty ties, each claimed to be no rise: a refusal of one, at alpha / 2, is what all together may cost.

    Without their shares of alpha, some of the forty would be refused in many more of the runs than that.
    """
    runs, claims, alpha = 100, 40, 0.2
    rng, urn = np.random.default_rng(5), an_urn(300, 0.0, np.random.default_rng(7))
    together = alone = 0
    for _ in range(runs):
        orders = rng.permuted(np.tile(urn, (claims, 1)), axis=1)[:, :288]
        options = {"bounds": (LEAST, GREATEST), "alpha": alpha, "population": 300}
        ties = [comparison(DrawnMean(order, **options)) for order in orders]
        together += rules.never_rises(ties, slack=0.0).verdict is FAILS
        alone += any(each.difference.is_above(0.0) for each in ties)
    assert together <= most_wrong(runs, alpha / 2)
    assert alone > most_wrong(runs, alpha / 2)


def two_classifiers(images, first, second, alike, rng):
    """Hits and misses of two classifiers, shares of hits as given, that answer alike on a share of the images."""
    same = rng.random(images) < alike
    counts, hits = rng.random(images), rng.random(images)
    others = np.where(same, counts, rng.random(images)), np.where(same, hits, rng.random(images))
    one = counts < 0.55, hits < first
    other = others[0] < 0.5, others[1] < second
    return tuple((counted & hit, counted & ~hit) for counted, hit in (one, other))


def share_of(counts):
    return counts[0].sum() / (counts[0].sum() + counts[1].sum())


def test_a_difference_of_shares_is_paired():
    """What is alike in both cancels: against separate intervals of both, a fifth of the images tell as much."""
    one, other = two_classifiers(3000, 0.286, 0.214, 0.9, np.random.default_rng(0))
    paired = DrawnShareDifference(one, other, alpha=1e-3)
    assert paired.value == pytest.approx(share_of(one) - share_of(other))
    assert paired.is_above(0.0)
    apart = DrawnSum([DrawnShare(*one, alpha=5e-4), DrawnShare(*other, alpha=5e-4).scaled(-1.0)], 1e-3)
    assert not apart.is_above(0.0)
    assert apart.low < paired.low < paired.value < paired.high < apart.high
    mirrored = DrawnShareDifference(other, one, alpha=1e-3)
    assert (mirrored.low, mirrored.high) == pytest.approx((-paired.high, -paired.low), abs=2e-3)


def test_a_difference_of_shares_is_refused_for_no_value_of_the_other_only_if_for_none_in_between():
    """Between the ends of what the other may be, the wealth of a plain loop is never below the least at the ends."""
    one, other = two_classifiers(400, 0.6, 0.3, 0.5, np.random.default_rng(1))
    paired = DrawnShareDifference(one, other, alpha=0.05, population=500)
    ends = [paired._nuisance(1, above=side, share=2 / paired._NUISANCE) for side in (True, False)]
    assert ends[0] < share_of(other) < ends[1]

    def wealth(share, difference):
        """Log wealth at the end at the middle stake, image by image, at the multiple that was paired before it."""
        room = max(max(abs(e + difference), abs(1 - e - difference)) + 1.25 * max(e, 1 - e) for e in ends)
        stake, total, seen = 2.0**-4 / room, 0.0, [0.0, 0.0]
        counts = [1, 1]
        for image in range(400):
            multiple = min(max(counts[0] / counts[1], 0.8), 1.25)
            x = (1 - share - difference) * one[0][image] - (share + difference) * one[1][image]
            y = (1 - share) * other[0][image] - share * other[1][image]
            expected = -(seen[0] - multiple * seen[1]) / (500 - image)
            total += math.log(1 + stake * (x - multiple * y - expected))
            seen = [seen[0] + x, seen[1] + y]
            counts = [counts[0] + one[0][image] + one[1][image], counts[1] + other[0][image] + other[1][image]]
        return total

    for difference in (0.0, 0.1, 0.2):
        at_ends = [wealth(end, difference) for end in ends]
        assert all(wealth(share, difference) >= min(at_ends) - 1e-9 for share in np.linspace(*ends, 9))
        assert paired._most(difference, above=True, among=1) >= min(at_ends) - math.log(12) - 1e-9


@pytest.mark.parametrize("alike", [0.0, 0.8])
def test_a_difference_of_shares_is_refused_no_more_often_than_it_may_be(alike):
    """Of 300 orders of an urn, in which the difference is the true one, looked at after every image."""
    rng = np.random.default_rng(3)
    urn = two_classifiers(500, 0.4, 0.3, alike, rng)
    true, wrong = share_of(urn[0]) - share_of(urn[1]), 0
    for _ in range(300):
        order = rng.permutation(500)[:480]
        drawn = DrawnShareDifference(
            *(tuple(each[order] for each in counts) for counts in urn), alpha=0.2, population=500
        )
        # What was ever held is looked at, so that the last look is all of them.
        wrong += drawn.settles(true + 1e-9, above=True) or drawn.settles(true - 1e-9, above=False)
    assert wrong <= most_wrong(300, 0.2)


def test_a_difference_of_shares_that_is_none_is_never_settled():
    hits = np.random.default_rng(0).random(600) < 0.3
    same = DrawnShareDifference((hits, ~hits), (hits, ~hits), alpha=0.01, population=1000)
    assert same.value == 0
    assert not same.is_above(0.0)
    assert not same.is_below(0.0)
    assert same.low < 0 < same.high
    assert same.needed(0.0) == 1000


def test_what_was_drawn_settles_what_it_leaves_no_way_around():
    drawn = DrawnMean(np.tile([0.0, 0.0, 0.0, 1.0], 300)[:1181], bounds=(0.0, 1.0), alpha=1e-3, population=1193)
    assert drawn.is_below(drawn.high + 1e-9)
    assert drawn.is_above(drawn.low - 1e-9)


def test_bounds_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="are not finite: nothing could be bet"):
        DrawnMean(np.zeros(3), bounds=(-math.inf, 1.0), alpha=0.01)
