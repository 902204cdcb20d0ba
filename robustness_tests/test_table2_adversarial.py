"""Table 2: top-1 accuracy under transferred and white-box PGD at eps 0.06.

All figures of the paper's own classifiers are of one protocol, `published` (targeted, stopping at the first success,
scoring the clean image on failure); the two quoted rows, ALP and feature denoising, are last-iterate accuracies. Live
studies are asked the claims under the `standard` protocol too (untargeted, worst case): what depends on the choice,
shows.
"""

import pytest

from harness.studies.quantities import EPSILONS, IMAGENET_TOP1, transfer_accuracy, whitebox_accuracy
from harness.studies.study import WSL, quoted, require_alike
from harness.verdicts.rules import above, all_of, below, higher, within

ALP = "ALP (InceptionV3)"
DENOISING = "Denoising (ResNet-152)"
UNLIKE = (
    "unlike metrics: the paper's figure scores the clean image when its attack fails, the quoted one the last iterate"
)

TEN_STEPS = [
    pytest.param(whitebox_accuracy(0.06, 10), id="published"),
    pytest.param(whitebox_accuracy(0.06, 10, "standard"), id="standard"),
]
FIFTY_STEPS = [
    pytest.param(whitebox_accuracy(0.06, 50), id="published"),
    pytest.param(whitebox_accuracy(0.06, 50, "standard"), id="standard"),
]

TABLE2 = [
    pytest.param(IMAGENET_TOP1, marks=pytest.mark.needs("imagenet"), id="clean"),
    pytest.param(transfer_accuracy(0.06), id="transfer"),
    pytest.param(whitebox_accuracy(0.06, 10), id="whitebox_10_steps"),
    pytest.param(whitebox_accuracy(0.06, 50), id="whitebox_50_steps"),
]


@pytest.mark.claim("C6")
@pytest.mark.parametrize(
    "quantity",
    [
        *(pytest.param(transfer_accuracy(eps), id=f"eps_{eps:g}") for eps in EPSILONS),
        pytest.param(transfer_accuracy(0.06, "standard"), id="standard"),
    ],
)
def test_subject_beats_the_baseline_under_transferred_attack(study, subject, quantity, verdict):
    """C6: every WSL model beats the baseline on attacks transferred from resnext50_32x4d, at every eps."""
    assert verdict(higher(study.compare(quantity, subject, study.baseline)))


@pytest.mark.claim("C7")
@pytest.mark.parametrize(
    "quantity",
    [
        pytest.param(transfer_accuracy(0.01), id="published"),
        pytest.param(transfer_accuracy(0.01, "standard"), id="standard"),
    ],
)
def test_transferred_attack_defeats_its_own_source(study, surrogate, quantity, verdict):
    """C7: the attack leaves its own source, resnext50_32x4d, below 10 % top-1 at the smallest eps, 0.01."""
    assert verdict(below(study.figure(quantity, surrogate), 0.10))


@pytest.mark.claim("C8")
@pytest.mark.parametrize("quantity", TEN_STEPS)
def test_ten_steps_leave_the_baseline_near_zero(study, baseline, quantity, verdict):
    """C8: 10 white-box steps at eps 0.06 leave the baseline near 0 %.

    "Near" is read as below 1 %.
    """
    assert verdict(below(study.figure(quantity, baseline), 0.01))


@pytest.mark.claim("C8")
@pytest.mark.parametrize("quantity", TEN_STEPS)
def test_ten_steps_leave_the_subject_far_above_the_baseline(study, subject, quantity, verdict):
    """C8: after 10 white-box steps at eps 0.06 every WSL model is far above the baseline.

    "Far" is read as 20 points.
    """
    assert verdict(higher(study.compare(quantity, subject, study.baseline), by=0.20))


@pytest.mark.claim("C8")
@pytest.mark.parametrize("quantity", TEN_STEPS)
def test_ten_steps_leave_32x16d_wsl_the_best(study, quantity, verdict):
    """C8: after 10 white-box steps at eps 0.06, 32x16d_wsl is the best."""
    best = study.player(WSL[1])
    rivals = [rival for rival in (study.baseline, *study.subjects) if rival != best]
    assert verdict(all_of([higher(study.compare(quantity, best, rival)) for rival in rivals]))


@pytest.mark.claim("C9")
@pytest.mark.parametrize("quantity", TEN_STEPS[:1])
def test_ten_steps_leave_the_subject_above_alp(study, subject, quantity, verdict):
    """C9: every WSL model is above ALP's 27.9 % after 10 white-box steps at eps 0.06, unlike metrics as these are."""
    assert verdict(higher(study.compare(quantity, subject, study.player(ALP), unlike=UNLIKE)))


@pytest.mark.claim("C10")
@pytest.mark.weakness("it keeps some of its accuracy where the paper's models keep none")
@pytest.mark.parametrize("quantity", FIFTY_STEPS)
def test_fifty_steps_leave_the_subject_nothing(study, subject, quantity, verdict):
    """C10: at eps 0.06 every WSL model falls to below 1 % by 50 white-box steps."""
    assert verdict(below(study.figure(quantity, subject), 0.01))


@pytest.mark.claim("C10")
@pytest.mark.weakness("it comes near the adversarially trained reference, which the paper's models stay far below")
@pytest.mark.parametrize("quantity", FIFTY_STEPS[:1])
def test_fifty_steps_leave_the_adversarially_trained_reference_far_above_the_subject(study, subject, quantity, verdict):
    """C10: the adversarially trained reference keeps 47.9 of 55.7 % from 10 to 50 steps, far above every WSL model.

    "Far" is read as 40 points, "keeps" as three quarters; the figures of the two are unlike metrics.
    """
    reference = study.player(DENOISING)
    far_above = higher(study.compare(quantity, reference, subject, unlike=UNLIKE), by=0.40)
    after_10_steps = study.figure(whitebox_accuracy(0.06, 10), reference)
    kept = above(study.figure(quantity, reference), 0.75 * after_10_steps.estimate.value)
    assert verdict(all_of([far_above, kept]))


@pytest.mark.claim("N2")
@pytest.mark.studies("published", "paper")
@pytest.mark.parametrize("quantity", TABLE2)
@pytest.mark.known_failure(
    classifier="resnext101_32x8d_wsl",
    quantity=IMAGENET_TOP1,
    reason="the printed 82.2 % is the model card's; independent measurements give 82.7 %",
)
def test_figure_is_the_printed_one(study, classifier, quantity, verdict):
    """N2: each number of Table 2 is met within 0.09 points: half a printed digit and the noise between re-runs."""
    printed, figure = quoted(quantity, classifier), study.exact(quantity, classifier)
    require_alike(figure, printed)
    assert verdict(within(figure, printed.estimate.value, 0.0009))
