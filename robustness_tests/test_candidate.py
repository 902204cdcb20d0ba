"""A new checkpoint: is it sound, is it like what was recorded, and is it worse than another one?

Asked of the classifier that `--candidate` names, beside all of the paper's claims that can be asked of one.
"""

from dataclasses import replace

import pytest

from harness.references import QUANTITIES
from harness.studies.quantities import IMAGENET_TOP1
from harness.verdicts.estimates import Estimate
from harness.verdicts.rules import above, at_most

EVERYTHING = tuple(QUANTITIES.values())
CLASSIFIED = tuple(quantity for quantity in EVERYTHING if quantity.attack is None)
ATTACKED = tuple(quantity for quantity in EVERYTHING if quantity.attack)

# Fifty times chance, and below what any published ImageNet classifier reaches: of 150 images none right tells.
LEAST_ACCURACY = 0.05


@pytest.mark.claim("H2")
@pytest.mark.parametrize("quantity", [pytest.param(IMAGENET_TOP1, id="clean")])
def test_no_other_reading_does_better(study, candidate, quantity, verdict):
    """H2: none of the common misreadings of its channels, classes, pixels and their size has a higher clean accuracy.

    What is told is a gain of five points or more that is no luck, by an exact paired test (`harness.diagnosis`).
    Undecided is what may be luck, and what is no better than chance however it is read.
    """
    found = study.diagnosis(candidate)
    gain = found.best.accuracy - found.accuracy if found.best else 0.0
    figure = replace(
        study.figure(quantity, candidate),
        metric="gain_by_another_reading",
        title="accuracy that another reading of its images or classes gains",
        estimate=Estimate.exact(gain, found.images),
    )
    judgement = at_most(figure, 0)
    if not judgement:
        judgement = judgement.because(str(found).rstrip("."))
    elif found.doubt:
        judgement = judgement.undecided(found.doubt)
    assert verdict(judgement)


@pytest.mark.claim("H1")
@pytest.mark.parametrize("quantity", [pytest.param(IMAGENET_TOP1, id="clean")])
def test_clean_accuracy_is_above_chance(study, candidate, quantity, verdict):
    """H1: top-1 accuracy on clean images is above 5 %, fifty times that of chance."""
    judgement = above(study.figure(quantity, candidate), LEAST_ACCURACY)
    assert verdict(judgement if judgement else judgement.because(lambda: str(study.diagnosis(candidate)).rstrip(".")))


@pytest.mark.claim("L1")
@pytest.mark.parametrize(
    "quantities", [pytest.param(CLASSIFIED, id="classified"), pytest.param(ATTACKED, id="attacked")]
)
def test_figures_are_like_the_recorded_ones(study, candidate, quantities, likeness, all_alike):
    """L1: each figure is, within its tolerance, the one that is recorded of the classifier that --expect-like names."""
    assert all_alike(study, candidate, likeness(study, candidate, quantities))


@pytest.mark.claim("A1")
@pytest.mark.parametrize(
    "quantity", [pytest.param(quantity, id=quantity.key.replace(" ", "_")) for quantity in EVERYTHING]
)
def test_candidate_is_no_worse(study, candidate, against, quantity, margin, verdict):
    """A1: by no metric is the candidate worse, by more than --margin, than the classifier that --against names."""
    assert verdict(quantity.no_worse(study.compare(quantity, candidate, against), margin))
