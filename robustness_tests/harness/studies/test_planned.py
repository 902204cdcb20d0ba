"""How many images a claim may take, by recorded figures: by hand, and against drawing them."""

import math

import numpy as np
import pytest

from harness import recorded
from harness.errors import NotMeasured
from harness.metrics.corruption import CORRUPTIONS
from harness.studies.live import Attacks
from harness.studies.planned import Expected, PlannedStudy
from harness.studies.published import PublishedStudy
from harness.studies.quantities import AURRA, IMAGENET_A_TOP1, IMAGENET_TOP1, MCE, MFR, REL_MCE, SHAPE_BIAS
from harness.studies.study import BASELINE, WSL
from harness.verdicts.betting import DrawnMean
from harness.verdicts.rules import higher, lower

LOG = math.log(2 / 1e-3) + math.log(12)


def planned(images=50_000, population=50_000):
    return PlannedStudy(PublishedStudy(), Attacks(), alpha=1e-3, extent=lambda benchmark: (images, population))


def test_a_share_varies_as_a_coin_does_and_a_difference_as_two():
    study = planned(population=None)
    shares = [study.figure(IMAGENET_A_TOP1, who).estimate for who in (WSL[0], BASELINE)]
    assert [each.variance for each in shares] == [pytest.approx(each.value * (1 - each.value)) for each in shares]
    gap = shares[0].value - shares[1].value
    judgement = higher(study.compare(IMAGENET_A_TOP1, WSL[0], BASELINE))
    by_hand = 2 * (shares[0].variance + shares[1].variance) / gap**2 * LOG
    assert judgement.questions[0].needed() == pytest.approx(by_hand)


def test_mce_varies_as_its_cells_do():
    errors, alexnet = (
        recorded.by_condition("author_results", WSL[0], "corruption_error"),
        recorded.alexnet_corruption_errors(),
    )
    # An image of a corruption adds 1 / AlexNet's error where it is wrong, and nothing else.
    rng, places = np.random.default_rng(0), np.random.default_rng(1).integers(0, 15, 400_000)
    wrong = rng.random(400_000) < np.array([errors[name] for name in CORRUPTIONS])[places]
    added = wrong / np.array([alexnet[name] for name in CORRUPTIONS])[places]
    assert planned().figure(MCE, WSL[0]).estimate.variance == pytest.approx(added.var(), rel=0.02)


@pytest.mark.parametrize(
    ("estimate", "needed"),
    [
        pytest.param(Expected(0.5, 0.25, 1e-3, 10**4, None), 2 * 0.25 / 0.01 * LOG, id="endless"),
        pytest.param(Expected(0.5, 0.25, 1e-3, 1000, 1000), 1 / (1 / (50 * LOG) + 1 / 1000), id="of_a_thousand"),
        pytest.param(Expected(0.4, 0.25, 1e-3, 1000, 1000), 1000, id="at_the_bound"),
        pytest.param(Expected(0.5, math.inf, 1e-3, 1000, 1000), 1000, id="no_bound_is_known"),
        pytest.param(Expected(0.5, 0.0, 1e-3, 1000, 1000), 1, id="nothing_varies"),
    ],
)
def test_images_needed_by_hand(estimate, needed):
    assert estimate.needed(0.4) == pytest.approx(needed)


def test_a_forecast_is_about_what_drawing_takes():
    """Of independent images, the median of 40 runs lies within a factor of 1.6 of the forecast."""
    first, second, alpha = 0.75, 0.70, 1e-3
    forecast = Expected(first - second, first * (1 - first) + second * (1 - second), alpha, 10**6, None).needed(0.0)
    rng, taken = np.random.default_rng(0), []
    for _ in range(40):
        values = (rng.random(40_000) < first).astype(float) - (rng.random(40_000) < second)
        looks = (int(256 * 1.1**look) for look in range(60))
        taken.append(next(n for n in looks if DrawnMean(values[:n], bounds=(-1, 1), alpha=alpha).is_above(0.0)))
    assert 1 / 1.6 < np.median(taken) / forecast < 1.6


def test_what_is_far_apart_takes_fewer_images_than_what_is_near():
    study = planned(3_750_000, 3_750_000)
    pairs = [(WSL[0], BASELINE), *zip(WSL[1:], WSL[:-1], strict=True)]
    needed = [lower(study.compare(MCE, *pair)).questions[0].needed() for pair in pairs]
    gaps = [
        study.figure(MCE, second).estimate.value - study.figure(MCE, first).estimate.value for first, second in pairs
    ]
    assert needed[0] < 2000
    assert [needed[place] for place in np.argsort(gaps)] == sorted(needed, reverse=True)
    for quantity in (REL_MCE, MFR):
        assert lower(study.compare(quantity, WSL[0], BASELINE)).questions[0].needed() < 3_750_000


def test_figures_of_calibration_take_all_images_and_quoted_ones_none():
    study = planned(7500, 7500)
    assert higher(study.compare(AURRA, WSL[0], BASELINE)).questions[0].needed() == 7500
    humans = "Humans (Geirhos et al., 2019)"
    assert study.figure(SHAPE_BIAS, humans).estimate.is_exact
    assert lower(study.compare(SHAPE_BIAS, WSL[0], humans)).questions[0].needed() < 100


def test_nothing_is_known_of_classifiers_that_nobody_recorded():
    with pytest.raises(NotMeasured, match="author_results records no corruption_error of alexnet"):
        planned().figure(MCE, "alexnet")
    assert planned().figure(IMAGENET_TOP1, WSL[0]).estimate.variance == pytest.approx(0.822 * 0.178)
