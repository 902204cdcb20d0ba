"""Table 4: natural adversarial examples (ImageNet-A), accuracy and calibration among its 200 classes."""

import pytest

from harness.studies.quantities import AURRA, IMAGENET_A_TOP1, IMAGENET_TOP1, RMS_CE
from harness.studies.study import quoted, require
from harness.verdicts.rules import all_of, lower, within

TABLE4 = [
    pytest.param(IMAGENET_A_TOP1, id="top1"),
    pytest.param(RMS_CE, id="rms_ce"),
    pytest.param(AURRA, id="aurra"),
]

pytestmark = pytest.mark.needs("imagenet-a")


@pytest.mark.claim("C15")
@pytest.mark.parametrize("quantity", TABLE4)
def test_subject_beats_the_baseline(study, subject, quantity, verdict):
    """C15: every WSL model beats the baseline on ImageNet-A on all three: top-1, RMS-CE and AURRA."""
    assert verdict(quantity.better(study.compare(quantity, subject, study.baseline)))


@pytest.mark.claim("C16")
@pytest.mark.parametrize("quantity", TABLE4)
def test_widest_subject_is_best(study, quantity, verdict):
    """C16: 32x48d_wsl is best on all three."""
    require(len(study.subjects) > 1, "the claim compares classifiers of several widths")
    widest = study.widest()
    rivals = (study.baseline, *study.subjects[:-1])
    assert verdict(all_of([quantity.better(study.compare(quantity, widest, rival)) for rival in rivals]))


@pytest.mark.claim("C16")
@pytest.mark.parametrize("quantity", TABLE4)
def test_each_step_in_width_improves(study, narrower, wider, quantity, verdict):
    """C16: each step in width improves all three."""
    assert verdict(quantity.better(study.compare(quantity, wider, narrower)))


@pytest.mark.claim("C17")
@pytest.mark.needs("imagenet")
def test_a_gap_to_imagenet_remains_for_the_widest_subject(study, verdict):
    """C17: even for 32x48d_wsl about 25 points remain between ImageNet accuracy and ImageNet-A accuracy.

    "About 25 points remain" is read as: the accuracy on ImageNet-A is lower by more than 20.
    """
    assert verdict(lower(study.across(IMAGENET_A_TOP1, IMAGENET_TOP1, study.widest()), by=0.20))


@pytest.mark.claim("C18")
@pytest.mark.needs("imagenet")
def test_the_baseline_falls_far_from_imagenet_to_imagenet_a(study, baseline, verdict):
    """C18: the baseline's ImageNet-A accuracy is far below its ImageNet accuracy.

    "Far" is read as 50 points.
    """
    assert verdict(lower(study.across(IMAGENET_A_TOP1, IMAGENET_TOP1, baseline), by=0.50))


@pytest.mark.claim("N4")
@pytest.mark.studies("published", "paper")
@pytest.mark.parametrize("quantity", TABLE4)
def test_figure_is_the_printed_one(study, classifier, quantity, verdict):
    """N4: each number of Table 4 is met within 0.06 points, the rounding of the cells included."""
    printed = quoted(quantity, classifier).estimate.value
    assert verdict(within(study.exact(quantity, classifier), printed, 0.0006))
