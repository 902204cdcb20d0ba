"""Figure 1: top-1 accuracy as a function of eps (a: transferred, b: white-box) and of the number of steps (c)."""

import pytest

from harness import recorded
from harness.studies.quantities import EPSILONS, IMAGENET_TOP1, STEPS, transfer_accuracy, whitebox_accuracy
from harness.studies.study import require
from harness.verdicts.rules import never_rises, within

CURVES = {
    "a_transfer_over_eps": map(transfer_accuracy, EPSILONS),
    "b_whitebox_over_eps": (whitebox_accuracy(eps, 10) for eps in EPSILONS),
    "c_whitebox_over_steps": (whitebox_accuracy(0.06, steps) for steps in STEPS),
    "b_standard_over_eps": (whitebox_accuracy(eps, STEPS[-1], "standard") for eps in EPSILONS),
    "c_standard_over_steps": (whitebox_accuracy(0.06, steps, "standard") for steps in STEPS),
}

# Every eps was attacked with its own random targets: points of one curve may lie this much above one another, or this
# many images if that is more.
SLACK, IMAGES = 0.0005, 4


@pytest.mark.claim("C11")
@pytest.mark.parametrize("curve", [pytest.param((IMAGENET_TOP1, *points), id=name) for name, points in CURVES.items()])
def test_accuracy_never_rises(study, classifier, curve, verdict):
    """C11: accuracy never rises with eps, nor with the number of steps.

    With a slack of 0.05 points, or of four images if that is more. A curve is of the same images at every point, so it
    is judged on those, without an interval.
    """
    exact = [comparison.as_exact() for comparison in study.curve(curve, classifier)]
    fewest = min(comparison.difference.images for comparison in exact)
    assert verdict(never_rises(exact, slack=max(SLACK, IMAGES / fewest if fewest else 0)))


@pytest.mark.claim("N5")
@pytest.mark.studies("published", "paper")
@pytest.mark.parametrize(
    "quantity",
    [
        *(pytest.param(transfer_accuracy(eps), id=f"a_eps_{eps:g}") for eps in EPSILONS),
        *(pytest.param(whitebox_accuracy(eps, 10), id=f"b_eps_{eps:g}") for eps in EPSILONS),
        *(pytest.param(whitebox_accuracy(0.06, steps), id=f"c_{steps}_steps") for steps in STEPS[1:]),
    ],
)
def test_point_is_the_published_one(study, classifier, quantity, verdict):
    """N5: each point of Figure 1 is a share of the images that it was measured on, and the one that was published.

    A published share of n images must be a whole number of them: a check on the recorded figures themselves.
    """
    published = recorded.table("author_results").get((classifier, quantity.metric, quantity.condition))
    require(published is not None, "the author published no such point of this classifier")
    whole = round(published.value * published.images) / published.images
    figure = study.exact(quantity, classifier)
    require(figure.tags == quantity.attack.tags.as_words(), "the author's attack differs from the one that was run")
    assert verdict(within(figure, whole, 1e-9 if study.name == "published" else 0.0009))
