"""How much images look alike: SSIM against its formula, variance shares against cases worked by hand."""

import numpy as np
import pytest

from harness.metrics._common import UndefinedMetric
from harness.metrics.similarity import (
    between_seeds,
    between_units,
    mean_absolute_difference,
    ssim,
    variance_shares,
)


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 256, (24, 20, 3), dtype=np.uint8)
    second = np.clip(first.astype(int) + rng.integers(-40, 41, first.shape), 0, 255).astype(np.uint8)
    return first, second


def naive_ssim(first, second):
    """Wang et al. (2004), equation 13, with an 11 x 11 Gaussian window of sigma 1.5, place by place."""
    axis = np.arange(-5, 6)
    window = np.exp(-(axis[:, None] ** 2 + axis[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    found = []
    for channel in range(3):
        x, y = first[..., channel].astype(float), second[..., channel].astype(float)
        for row in range(5, x.shape[0] - 5):
            for column in range(5, x.shape[1] - 5):
                a, b = (image[row - 5 : row + 6, column - 5 : column + 6] for image in (x, y))
                mean_a, mean_b = (window * a).sum(), (window * b).sum()
                var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
                both = (window * (a - mean_a) * (b - mean_b)).sum()
                found.append(
                    (2 * mean_a * mean_b + c1) * (2 * both + c2) / (mean_a**2 + mean_b**2 + c1) / (var_a + var_b + c2)
                )
    return np.mean(found)


def test_ssim_is_the_formula_of_its_authors(pictures):
    assert ssim(*pictures) == pytest.approx(naive_ssim(*pictures), abs=1e-6)
    assert 0.5 < ssim(*pictures) < 0.99


def test_equal_images_have_ssim_one_and_no_difference(pictures):
    first, _ = pictures
    assert ssim(first, first) == pytest.approx(1)
    assert mean_absolute_difference(first, first) == 0


def test_the_difference_is_a_share_of_the_range():
    black, grey = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 51, np.uint8)
    assert mean_absolute_difference(grey, black) == mean_absolute_difference(black, grey) == 0.2


@pytest.mark.parametrize("compare", [ssim, mean_absolute_difference])
def test_images_of_different_sizes_are_refused(compare):
    with pytest.raises(ValueError, match=r"one size.*24, 24, 3.*24, 25, 3"):
        compare(np.zeros((24, 24, 3), np.uint8), np.zeros((24, 25, 3), np.uint8))


def test_what_lies_between_units_and_between_seeds(pictures):
    a, b = pictures
    c, d = a[::-1].copy(), b[::-1].copy()
    images = np.array([[a, b, b], [c, d, d]])  # two seeds, three units
    expected = np.mean([ssim(a, b), ssim(a, b), ssim(b, b), ssim(c, d), ssim(c, d), ssim(d, d)])
    assert between_units(images) == pytest.approx(expected)
    assert between_seeds(images) == pytest.approx(np.mean([ssim(a, c), ssim(b, d), ssim(b, d)]))


@pytest.mark.parametrize(
    ("images", "shares"),
    [
        pytest.param([[[0], [0]], [[10], [10]]], (1, 0), id="all_of_the_seed"),
        pytest.param([[[0], [10]], [[0], [10]]], (0, 1), id="all_of_the_unit"),
        pytest.param([[[0], [10]], [[10], [0]]], (0, 0), id="all_of_both_together"),
        # Around the mean of 10: -10, 0 | 0, 10. Seeds -5 and 5, units -5 and 5: 2 * 50 each of 200.
        pytest.param([[[0], [10]], [[10], [20]]], (0.5, 0.5), id="half_and_half"),
        # Two pixels: the first is the seed's (4 * 25 = 100), the second the unit's (4 * 100 = 400).
        pytest.param([[[0, 0], [0, 20]], [[10, 0], [10, 20]]], (0.2, 0.8), id="by_pixel"),
    ],
)
def test_variance_shares_worked_by_hand(images, shares):
    assert variance_shares(np.array(images, dtype=np.uint8)) == pytest.approx(shares)


@pytest.mark.parametrize(
    ("compute", "images", "message"),
    [
        (variance_shares, np.zeros((2, 2, 4), np.uint8), "all images are equal"),
        (variance_shares, np.zeros((1, 3, 4), np.uint8), "two seeds and two units at least, got 1 and 3"),
        (between_units, np.zeros((2, 1, 24, 24, 3), np.uint8), "different units"),
        (between_seeds, np.zeros((1, 2, 24, 24, 3), np.uint8), "different seeds"),
    ],
)
def test_what_there_is_nothing_to_compare_of_is_undefined(compute, images, message):
    with pytest.raises(UndefinedMetric, match=message):
        compute(images)
