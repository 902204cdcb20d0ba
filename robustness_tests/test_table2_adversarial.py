"""Table 2: top-1 accuracy under transferred and white-box PGD at eps 0.06.

All figures of the paper's own classifiers are of one protocol (targeted, stopping at the first success, scoring the
clean image on failure); the two quoted rows, ALP and feature denoising, are last-iterate accuracies.
"""

import pytest

from harness.studies.quantities import EPSILONS, IMAGENET_TOP1, transfer_accuracy, whitebox_accuracy
from harness.studies.study import WSL, quoted, require
from harness.verdicts.rules import above, all_of, below, higher, within

pytestmark = pytest.mark.needs("imagenet")

SURROGATE = "resnext50_32x4d"
ALP = "ALP (InceptionV3)"
DENOISING = "Denoising (ResNet-152)"
UNLIKE = (
    "unlike metrics: the paper's figure scores the clean image when its attack fails, the quoted one the last iterate"
)

TABLE2 = [
    pytest.param(IMAGENET_TOP1, id="clean"),
    pytest.param(transfer_accuracy(0.06), id="transfer"),
    pytest.param(whitebox_accuracy(0.06, 10), id="whitebox_10_steps"),
    pytest.param(whitebox_accuracy(0.06, 50), id="whitebox_50_steps"),
]


@pytest.mark.claim("C6")
@pytest.mark.parametrize("eps", EPSILONS)
def test_subject_beats_the_baseline_under_transferred_attack(study, subject, eps, verdict):
    """C6: every WSL model beats the baseline on attacks transferred from resnext50_32x4d, at every eps."""
    assert verdict(higher(study.compare(transfer_accuracy(eps), subject, study.baseline)))


@pytest.mark.claim("C7")
def test_transferred_attack_defeats_its_own_source(study, verdict):
    """C7: the attack leaves its own source, resnext50_32x4d, below 10 % top-1 at the smallest eps, 0.01."""
    assert verdict(below(study.figure(whitebox_accuracy(0.01, 10), SURROGATE), 0.10))


@pytest.mark.claim("C8")
def test_ten_steps_leave_the_baseline_near_zero(study, verdict):
    """C8: 10 white-box steps at eps 0.06 leave the baseline near 0 %.

    "Near" is read as below 1 %.
    """
    assert verdict(below(study.figure(whitebox_accuracy(0.06, 10), study.baseline), 0.01))


@pytest.mark.claim("C8")
def test_ten_steps_leave_the_subject_far_above_the_baseline(study, subject, verdict):
    """C8: after 10 white-box steps at eps 0.06 every WSL model is far above the baseline.

    "Far" is read as 20 points.
    """
    assert verdict(higher(study.compare(whitebox_accuracy(0.06, 10), subject, study.baseline), by=0.20))


@pytest.mark.claim("C8")
def test_ten_steps_leave_32x16d_wsl_the_best(study, verdict):
    """C8: after 10 white-box steps at eps 0.06, 32x16d_wsl is the best."""
    best = WSL[1]
    require(best in study.subjects, f"the claim is about {best}")
    rivals = [rival for rival in (study.baseline, *study.subjects) if rival != best]
    assert verdict(all_of([higher(study.compare(whitebox_accuracy(0.06, 10), best, rival)) for rival in rivals]))


@pytest.mark.claim("C9")
def test_ten_steps_leave_the_subject_above_alp(study, subject, verdict):
    """C9: every WSL model is above ALP's 27.9 % after 10 white-box steps at eps 0.06, unlike metrics as these are."""
    assert verdict(higher(study.compare(whitebox_accuracy(0.06, 10), subject, ALP)).because(UNLIKE))


@pytest.mark.claim("C10")
def test_fifty_steps_leave_the_subject_nothing(study, subject, verdict):
    """C10: at eps 0.06 every WSL model falls to below 1 % by 50 white-box steps."""
    assert verdict(below(study.figure(whitebox_accuracy(0.06, 50), subject), 0.01))


@pytest.mark.claim("C10")
def test_fifty_steps_leave_the_adversarially_trained_reference_far_above_the_subject(study, subject, verdict):
    """C10: the adversarially trained reference keeps 47.9 of 55.7 % from 10 to 50 steps, far above every WSL model.

    "Far" is read as 40 points, "keeps" as three quarters; the figures of the two are unlike metrics.
    """
    after_10_steps, after_50_steps = whitebox_accuracy(0.06, 10), whitebox_accuracy(0.06, 50)
    far_above = higher(study.compare(after_50_steps, DENOISING, subject), by=0.40)
    kept = above(quoted(after_50_steps, DENOISING), 0.75 * quoted(after_10_steps, DENOISING).estimate.value)
    assert verdict(all_of([far_above, kept]).because(UNLIKE))


@pytest.mark.claim("N2")
@pytest.mark.parametrize("quantity", TABLE2)
@pytest.mark.known_failure(
    classifier="resnext101_32x8d_wsl",
    quantity=IMAGENET_TOP1,
    reason="the printed 82.2 % is the model card's; independent measurements give 82.7 %",
)
def test_figure_is_the_printed_one(study, classifier, quantity, verdict):
    """N2: each number of Table 2 is met within 0.09 points: half a printed digit and the noise between re-runs."""
    printed = quoted(quantity, classifier).estimate.value
    assert verdict(within(study.exact(quantity, classifier), printed, 0.0009))
