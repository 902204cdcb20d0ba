"""Table 1: robustness to common corruptions (ImageNet-C) and perturbations (ImageNet-P)."""

import pytest

from harness.errors import NotMeasured
from harness.studies.quantities import (
    IMAGENET_A_TOP1,
    IMAGENET_TOP1,
    MCE,
    MEAN_TOP5_DISTANCE,
    MFR,
    MT5D,
    REL_MCE,
)
from harness.studies.study import WSL, quoted
from harness.verdicts.rules import all_of, within

on_c = pytest.mark.needs("imagenet-c")
on_c_and_clean = pytest.mark.needs("imagenet-c", "imagenet")
on_p = pytest.mark.needs("imagenet-p")

TABLE1 = [
    pytest.param(MCE, marks=on_c, id="mce"),
    pytest.param(REL_MCE, marks=on_c_and_clean, id="rel_mce"),
    pytest.param(MFR, marks=on_p, id="mfr"),
    pytest.param(MT5D, marks=on_p, id="mt5d"),
    pytest.param(MEAN_TOP5_DISTANCE, marks=on_p, id="mean_top5_distance"),
]

# What the printed cells are rounded to, and what is left between them and the author's raw results.
PRINTED_WITHIN = {"mce": 0.0006, "rel_mce": 0.0008, "mfr": 0.0006, "mt5d": 0.0006}

QUOTED_CLEAN = (
    "the paper's rel. mCE of 65.6 rests on a quoted clean accuracy of 82.2 %; two independent measurements give "
    "82.7 %, with which it is 67.2"
)


@pytest.mark.claim("C1")
@pytest.mark.parametrize("quantity", TABLE1)
def test_subject_is_more_robust_than_the_baseline(study, subject, quantity, verdict):
    """C1: every WSL model has a lower mCE, rel. mCE, mFR and mT5D than the baseline."""
    assert verdict(quantity.better(study.compare(quantity, subject, study.baseline)))


@pytest.mark.claim("C2")
@pytest.mark.parametrize("quantity", TABLE1)
def test_widest_subject_is_the_most_robust_of_all(study, quantity, verdict):
    """C2: 32x48d_wsl is the lowest of all rows of Table 1, the previous best ones included."""
    widest = study.widest()
    rivals = [study.baseline, *study.subjects[:-1]]
    for row in ("Patch Gaussian (ResNet-200)", "resnext101_64x4d (Hendrycks and Dietterich, 2019)"):
        try:
            rivals.append(study.figure(quantity, study.player(row)).subject)
        except NotMeasured:
            continue  # there is no such row in this study, or no such cell
    assert verdict(all_of([quantity.better(study.compare(quantity, widest, rival)) for rival in rivals]))


@pytest.mark.claim("C3")
@pytest.mark.parametrize("quantity", TABLE1[:3])
def test_robustness_rises_with_each_step_in_width(study, narrower, wider, quantity, verdict):
    """C3: within WSL, mCE, rel. mCE and mFR fall with each step in width."""
    assert verdict(quantity.better(study.compare(quantity, wider, narrower)))


@pytest.mark.claim("C3")
@pytest.mark.parametrize("quantity", TABLE1[3:])
def test_top5_distance_does_not_fall_with_each_step_in_width(study, quantity, verdict):
    """C3: within WSL, the top-5 distance does not fall from 32x16d_wsl to 32x32d_wsl."""
    narrower, wider = map(study.player, WSL[1:3])
    assert verdict(quantity.better(study.compare(quantity, narrower, wider)))


@pytest.mark.claim("C4")
@pytest.mark.parametrize(
    "quantity",
    [
        pytest.param(MCE, marks=on_c_and_clean, id="mce"),
        pytest.param(REL_MCE, marks=on_c_and_clean, id="rel_mce"),
        pytest.param(MFR, marks=pytest.mark.needs("imagenet-p", "imagenet"), id="mfr"),
        pytest.param(IMAGENET_A_TOP1, marks=pytest.mark.needs("imagenet-a", "imagenet"), id="imagenet_a"),
    ],
)
def test_gain_in_robustness_far_outpaces_gain_in_accuracy(study, subject, quantity, verdict):
    """C4: the gains over the baseline on ImageNet-C, -P and -A far outpace the gain in ImageNet accuracy.

    "Far" is read as at least twofold, in points.
    """
    assert verdict(IMAGENET_TOP1.better(study.gain(quantity, subject, times=2, over=IMAGENET_TOP1)))


@pytest.mark.claim("C5")
@on_c
def test_corruption_error_is_normalised_by_alexnet_then_averaged(study, classifier, verdict):
    """C5: CE_c is the error over severities divided by AlexNet's, and mCE its mean over corruptions."""
    found = study.figure(MCE, classifier)
    errors, alexnet = study.corruption_errors(classifier), study.alexnet_corruption_errors(classifier)
    mce = sum(errors[name] / alexnet[name] for name in alexnet) / 15
    assert verdict(within(found.as_exact(), mce, 1e-9))


@pytest.mark.claim("C5")
@on_c_and_clean
def test_relative_corruption_error_subtracts_the_clean_errors_first(study, classifier, verdict):
    """C5: rel. CE_c subtracts the clean errors from both sides before dividing, and rel. mCE is its mean."""
    found = study.figure(REL_MCE, classifier)
    errors, clean = study.corruption_errors(classifier), 1 - study.figure(IMAGENET_TOP1, classifier).estimate.value
    alexnet, alexnet_clean = study.alexnet_corruption_errors(classifier), study.alexnet_clean_error(classifier)
    rel_mce = sum((errors[name] - clean) / (alexnet[name] - alexnet_clean) for name in alexnet) / 15
    assert verdict(within(found.as_exact(), rel_mce, 1e-9))


@pytest.mark.claim("C5")
@on_p
def test_flip_rate_is_normalised_by_alexnet_then_averaged(study, classifier, verdict):
    """C5: the flip rate of a perturbation is the flip probability divided by AlexNet's, and mFR their mean."""
    found = study.figure(MFR, classifier)
    flips, alexnet = study.flip_probabilities(classifier), study.alexnet_flip_probabilities(classifier)
    mfr = sum(flips[name] / alexnet[name] for name in alexnet) / 10
    assert verdict(within(found.as_exact(), mfr, 1e-9))


@pytest.mark.claim("N1")
@pytest.mark.studies("published", "paper")
@pytest.mark.parametrize("quantity", TABLE1[:4])
@pytest.mark.known_failure(study="paper", classifier="resnext101_32x8d_wsl", quantity=REL_MCE, reason=QUOTED_CLEAN)
def test_figure_is_the_printed_one(study, classifier, quantity, verdict):
    """N1: each number of Table 1 is met within 0.06 points (rel. mCE 0.08), the rounding of the cells included."""
    printed = quoted(quantity, classifier).estimate.value
    assert verdict(within(study.exact(quantity, classifier), printed, PRINTED_WITHIN[quantity.metric]))
