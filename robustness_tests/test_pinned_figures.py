"""Figures that were computed before, pinned in `snapshots/`: a change to a metric or to a recorded table shows."""

from dataclasses import replace

import pytest

from harness import recorded
from harness.errors import NotMeasured
from harness.studies.quantities import IMAGENET_A_TOP1, IMAGENET_TOP1, MCE, MEASURED, MFR, PUBLISHED
from harness.studies.study import require
from harness.suite.pins import Pin
from harness.verdicts.estimates import Estimate
from harness.verdicts.rules import all_of, within


def clean_and_attacked(quantities):
    """Give the figures of clean images apart from those under attack, which `-m "not attack"` leaves out."""
    clean, attacked = ([each for each in quantities if bool(each.attack) == is_it] for is_it in (False, True))
    sets = {"clean": clean, "attacked": attacked}
    return pytest.mark.parametrize("quantities", [pytest.param(each, id=name) for name, each in sets.items()])


def pins_of(study, classifier, quantities):
    """Give each figure with what it rests on, or why there is none."""
    figures = {}
    for quantity in quantities:
        try:
            figure, provenance = study.figure(quantity, classifier), study.provenance(quantity, classifier)
            figures[quantity.key] = Pin.of(figure, provenance, attacked=quantity.attack is not None)
        except NotMeasured as reason:
            figures[quantity.key] = reason
    return figures


@pytest.mark.studies("published", "miniature", "paper", "candidate")
@clean_and_attacked(PUBLISHED)
def test_figures_are_the_pinned_ones(study, classifier, quantities, pinned):
    """Every figure is the one that was pinned: of recorded results to the last digit, else within what images allow."""
    assert pins_of(study, classifier, quantities) == pinned


@pytest.mark.studies("miniature", "paper", "candidate")
@clean_and_attacked(MEASURED)
def test_measured_figures_are_the_pinned_ones(study, classifier, quantities, pinned):
    """So is every figure of which the author's results say nothing."""
    assert pins_of(study, classifier, quantities) == pinned


@pytest.mark.studies("published", "miniature", "paper", "candidate")
def test_gains_are_the_pinned_ones(study, subject, pinned):
    """Gains over the baseline, in points, and what they are held against: twice the gain in clean accuracy."""
    figures = {}
    for quantity in (MCE, MFR, IMAGENET_A_TOP1):
        name = f"{quantity.metric}_gain"
        try:
            gain = study.gain(quantity, subject, times=2, over=IMAGENET_TOP1)
            of_both = [
                study.provenance(each, who) for each in (quantity, IMAGENET_TOP1) for who in (subject, study.baseline)
            ]
            (own, own_baseline, clean, clean_baseline) = of_both
            figures[name] = Pin.of(gain.first, own | own_baseline)
            figures[f"{name} held against"] = Pin.of(gain.second, clean | clean_baseline)
        except NotMeasured as reason:
            figures |= {name: reason, f"{name} held against": reason}
    assert figures == pinned


@pytest.mark.claim("N6")
@pytest.mark.studies("published", "paper")
@pytest.mark.needs("imagenet-p")
def test_alexnet_top5_distances_are_the_pinned_ones(study, normaliser, verdict, pinned):
    """N6: AlexNet's top-5 distances, mT5D's normaliser, count where its flip probabilities are the published ones.

    These are met within 0.1 points each: nothing but another decoder of videos may lie between them.
    """
    require(
        study.is_whole("imagenet-p"),
        "AlexNet's top-5 distances are pinned from all published sequences of ImageNet-P, and what lies here is a "
        "part of them or was generated; get all by python -m harness fetch imagenet-p, and leave out --images",
    )
    flips, known = study.flip_probabilities(normaliser), recorded.alexnet_flip_probabilities()
    figure = study.figure(MFR, normaliser)
    each = [
        replace(
            figure,
            metric="flip_probability",
            title=f"flip probability on {name}",
            estimate=Estimate.exact(flips[name], figure.estimate.images // len(known)),
        )
        for name in known
    ]
    assert verdict(all_of([within(found, known[found.title.rpartition(" ")[2]], 0.001) for found in each]))
    provenance = study.provenance(MFR, normaliser)
    distances = {
        name: Pin.of(
            replace(figure, estimate=Estimate.exact(distance, figure.estimate.images // len(known))), provenance
        )
        for name, distance in study.top5_distances(normaliser).items()
    }
    assert distances == pinned
