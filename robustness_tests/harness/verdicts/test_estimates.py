"""Intervals: exact values by hand, and coverage by simulation."""

import math

import numpy as np
import pytest

from harness.verdicts.estimates import Estimate, Fixed, bootstrap, draw_again, jackknife, leave_one_out, proportion


def test_interval_of_no_hit_is_the_rule_of_three():
    # P(no hit) = (1 - p)^n = alpha / 2 at the upper end.
    estimate = proportion(0, 100, 0.05)
    assert estimate.low == 0
    assert estimate.high == pytest.approx(1 - 0.025 ** (1 / 100))


def test_interval_of_all_hits_mirrors_that_of_none():
    none, everything = proportion(0, 30, 0.01), proportion(30, 30, 0.01)
    assert (everything.low, everything.high) == pytest.approx((1 - none.high, 1))


def test_interval_inverts_the_binomial_distribution():
    hits, images, alpha = 7, 20, 0.05
    estimate = proportion(hits, images, alpha)

    def at_least(p):
        return sum(math.comb(images, k) * p**k * (1 - p) ** (images - k) for k in range(hits, images + 1))

    def at_most(p):
        return sum(math.comb(images, k) * p**k * (1 - p) ** (images - k) for k in range(hits + 1))

    assert at_least(estimate.low) == pytest.approx(alpha / 2)
    assert at_most(estimate.high) == pytest.approx(alpha / 2)


def test_leaving_one_out_gives_all_and_then_all_but_each():
    values = np.array([1.0, 2.0, 4.0, 8.0])
    found = leave_one_out(lambda keep: float(values[keep].sum()), 4)
    assert found.tolist() == [15, 14, 13, 11, 7]


def test_leaving_one_out_of_too_few_is_no_number_and_too_few_at_all_is_said():
    def needs_at_least(least):
        def statistic(keep):
            if keep.sum() < least:
                raise ValueError("too few")
            return 0.5

        return statistic

    assert leave_one_out(needs_at_least(3), 3).tolist() == pytest.approx([0.5, *[math.nan] * 3], nan_ok=True)
    with pytest.raises(ValueError, match="too few"):
        leave_one_out(needs_at_least(4), 3)


def test_jackknife_of_a_mean_is_the_textbook_error():
    values = np.random.default_rng(0).normal(size=50)
    estimate = jackknife(leave_one_out(lambda keep: float(values[keep].mean()), 50), images=50, scale=0.0, alpha=0.05)
    half = 2.009575 * values.std(ddof=1) / math.sqrt(50)  # Student's 97.5 % quantile with 49 degrees of freedom
    assert estimate.value == pytest.approx(values.mean())
    assert (estimate.low, estimate.high) == pytest.approx((values.mean() - half, values.mean() + half), rel=1e-5)


def test_images_that_agree_are_not_certainty():
    estimate = jackknife(leave_one_out(lambda keep: 0.0, 50), images=10, scale=1.0, alpha=1e-3)
    assert estimate.high == pytest.approx(math.log(2000) / 10)


def test_too_few_images_to_leave_any_out_give_no_interval():
    def needs_every_group(keep):
        if not keep.all():
            raise ValueError("too few")
        return 0.5

    estimate = jackknife(leave_one_out(needs_every_group, 50), images=3, scale=1.0, alpha=1e-3)
    assert (estimate.value, estimate.low, estimate.high) == (0.5, -math.inf, math.inf)


@pytest.mark.parametrize("p", [0.03, 0.4])
def test_intervals_cover_the_true_value(p):
    """Of 1000 samples at most a tenth, with binomial allowance, have the true share outside a 90 % interval."""
    rng = np.random.default_rng(1)
    misses = {"proportion": 0, "jackknife": 0}
    for _ in range(1000):
        hits = rng.random(400) < p
        groups = np.arange(400) % 50

        def mean(keep, hits=hits, groups=groups):
            return float(hits[keep[groups]].mean())

        for name, estimate in (
            ("proportion", proportion(int(hits.sum()), 400, 0.1)),
            ("jackknife", jackknife(leave_one_out(mean, 50), images=400, scale=1.0, alpha=0.1)),
        ):
            misses[name] += not estimate.low <= p <= estimate.high
    assert max(misses.values()) <= 100 + 3 * math.sqrt(1000 * 0.1 * 0.9)
    assert min(misses.values()) > 0  # an interval that never misses says nothing


def test_exact_numbers_have_no_width():
    assert Estimate.exact(0.3, 7).is_exact
    assert not proportion(3, 10, 0.05).is_exact


@pytest.mark.parametrize(("hits", "images", "population"), [(0, 10, 40), (7, 20, 50), (20, 20, 21), (3, 5, 200)])
def test_interval_of_a_known_number_of_images_inverts_the_hypergeometric_distribution(hits, images, population):
    """Each number of hits in the population that is left out would give so few, or so many, at alpha / 2 at most."""
    alpha = 0.1
    estimate = proportion(hits, images, alpha, population)

    def chance(found, of):
        return math.comb(of, found) * math.comb(population - of, images - found) / math.comb(population, images)

    kept = [
        of
        for of in range(hits, population - images + hits + 1)
        if sum(chance(k, of) for k in range(hits, images + 1)) > alpha / 2
        and sum(chance(k, of) for k in range(hits + 1)) > alpha / 2
    ]
    assert (estimate.low, estimate.high) == (min(kept) / population, max(kept) / population)


def test_interval_of_all_images_is_the_number():
    found = proportion(3, 10, 0.05, population=10)
    assert (found.low, found.value, found.high) == (0.3, 0.3, 0.3)
    left_out = leave_one_out(lambda keep: float(np.arange(5.0)[keep].mean()), 5)
    assert jackknife(left_out, images=5, scale=1.0, alpha=0.05, population=5).is_exact


def test_the_jackknife_of_a_part_shrinks_with_what_is_left():
    left_out = leave_one_out(lambda keep: float(np.arange(50.0)[keep].mean()), 50)
    endless = jackknife(left_out, images=50, scale=1.0, alpha=0.05)
    part = jackknife(left_out, images=50, scale=1.0, alpha=0.05, population=200)
    assert part.high - part.value == pytest.approx((endless.high - endless.value) * math.sqrt(0.75))


def test_bootstrap_of_a_mean_is_about_the_textbook_error_and_always_the_same():
    values = np.random.default_rng(0).exponential(size=400)
    again = draw_again(lambda places: float(values[places].mean()), 400, replicates=4000)
    found = bootstrap(again, images=400, alpha=0.05)
    assert (found.value, found.images) == (pytest.approx(values.mean()), 400)
    assert found.high - found.value == pytest.approx(1.959964 * values.std() / 20, rel=0.05)
    assert np.array_equal(again, draw_again(lambda places: float(values[places].mean()), 400, replicates=4000))


def test_bootstrap_covers_what_is_no_mean():
    """Of 300 samples at most a tenth, with binomial allowance, have the true median outside a 90 % interval."""
    rng = np.random.default_rng(2)
    misses = 0
    for _ in range(300):
        values = rng.normal(size=200)
        again = draw_again(lambda places, values=values: float(np.median(values[places])), 200)
        found = bootstrap(again, images=200, alpha=0.1)
        misses += not found.low <= 0 <= found.high
    assert 0 < misses <= 30 + 3 * math.sqrt(300 * 0.1 * 0.9)


def test_a_scaled_estimate_has_scaled_ends():
    found = Fixed.of(0.3, 0.2, 0.5, 10).scaled(-2.0, 1.0)
    assert (found.value, found.low, found.high, found.images) == pytest.approx((0.4, 0.0, 0.6, 10))


def test_how_many_images_are_needed_is_known_of_what_is_known():
    assert Estimate.exact(0.3, 7).needed(0.5) == 7
    assert Fixed.of(0.3, 0.2, 0.4, 7).needed(0.35) == math.inf
