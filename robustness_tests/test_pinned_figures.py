"""Figures that were computed before, pinned in `snapshots/`: a change to a metric or to a recorded table shows."""

import pytest

from harness.studies.published import PublishedStudy
from harness.studies.quantities import (
    AURRA,
    EPSILONS,
    IMAGENET_A_TOP1,
    MCE,
    MEAN_TOP5_DISTANCE,
    MFR,
    REL_MCE,
    RMS_CE,
    SHAPE_BIAS,
    STEPS,
    transfer_accuracy,
    whitebox_accuracy,
)
from harness.studies.study import BASELINE, WSL

QUANTITIES = [
    *(MCE, REL_MCE, MFR, MEAN_TOP5_DISTANCE, SHAPE_BIAS, IMAGENET_A_TOP1, RMS_CE, AURRA),
    *(transfer_accuracy(eps) for eps in EPSILONS),
    *(whitebox_accuracy(eps, 10) for eps in EPSILONS),
    *(whitebox_accuracy(0.06, steps) for steps in STEPS[1:]),
]


@pytest.mark.quick
@pytest.mark.parametrize("classifier", [BASELINE, *WSL])
def test_published_figures_are_the_pinned_ones(classifier, pinned):
    """Every figure of the study `published` is the one that was pinned."""
    study = PublishedStudy()
    figures = {
        " ".join(filter(None, (quantity.metric, quantity.condition))): study.figure(quantity, classifier).estimate.value
        for quantity in QUANTITIES
    }
    assert figures == pinned
