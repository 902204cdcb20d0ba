"""The quantities that the paper's tables and figures are made of."""

from collections.abc import Callable
from dataclasses import dataclass

from harness.verdicts import rules
from harness.verdicts.rules import Comparison, Judgement

EPSILONS = (0.01, 0.02, 0.04, 0.06, 0.08, 0.1)
STEPS = (10, 20, 30, 40, 50)


@dataclass(frozen=True)
class Quantity:
    """Something that can be measured of a classifier.

    Attributes:
        metric: Its key in recorded tables, pins and verdicts.
        title: In words, as messages say it.
        where: The table or figure of the paper that shows it.
        benchmark: Whose images it is measured on.
        score: The benchmark's score that measures it; empty where no protocol measures it yet.
        condition: What it is measured under, as in recorded tables.
        lower_is_better: Which way robustness lies.
        percent: Whether it is printed in percent.
        published_images: On how many images the paper's figure rests; 0 if not said.
    """

    metric: str
    title: str
    where: str
    benchmark: str
    score: str = ""
    condition: str = ""
    lower_is_better: bool = False
    percent: bool = True
    published_images: int = 0

    @property
    def better(self) -> Callable[[Comparison], Judgement]:
        """The rule by which a first figure is better than a second."""
        return rules.lower if self.lower_is_better else rules.higher

    @property
    def sign(self) -> float:
        """By what to multiply a difference so that a gain is positive."""
        return -1.0 if self.lower_is_better else 1.0


def _table1(metric: str, title: str, benchmark: str, images: int, *, score: str = "", percent: bool = True) -> Quantity:
    return Quantity(
        metric, title, "Table 1", benchmark, score, lower_is_better=True, percent=percent, published_images=images
    )


MCE = _table1("mce", "mCE", "imagenet-c", 3_750_000, score="mce")
REL_MCE = _table1("rel_mce", "rel. mCE", "imagenet-c", 3_750_000, score="rel_mce")
MFR = _table1("mfr", "mFR", "imagenet-p", 500_000)
MT5D = _table1("mt5d", "mT5D", "imagenet-p", 500_000)
MEAN_TOP5_DISTANCE = _table1(
    "mean_top5_distance", "mean top-5 distance (unnormalised)", "imagenet-p", 500_000, percent=False
)

IMAGENET_TOP1 = Quantity(
    "imagenet_top1", "ImageNet top-1 accuracy", "Table 2", "imagenet", "top1", published_images=50_000
)

SHAPE_BIAS = Quantity("shape_bias", "shape bias", "Table 3", "cue-conflict", "shape_bias", published_images=1201)

IMAGENET_A_TOP1 = Quantity(
    "imagenet_a_top1", "ImageNet-A top-1 accuracy", "Table 4", "imagenet-a", "top1", published_images=7500
)
RMS_CE = Quantity(
    "rms_ce", "ImageNet-A RMS-CE", "Table 4", "imagenet-a", "rms_ce", lower_is_better=True, published_images=7500
)
AURRA = Quantity("aurra", "ImageNet-A AURRA", "Table 4", "imagenet-a", "aurra", published_images=7500)


def transfer_accuracy(eps: float) -> Quantity:
    """Top-1 accuracy on adversarial images made on resnext50_32x4d at this eps, 10 steps (2.3, Figure 1a)."""
    return Quantity(
        "transfer_accuracy",
        f"top-1 under transferred attack at eps {eps:g}",
        "Table 2" if eps == 0.06 else "Figure 1a",
        "imagenet",
        condition=f"eps={eps:g}",
        published_images=50_000,
    )


def whitebox_accuracy(eps: float, steps: int) -> Quantity:
    """Top-1 accuracy under the white-box attack at this eps after so many steps (2.3, Figures 1b and 1c)."""
    return Quantity(
        "whitebox_accuracy",
        f"top-1 after {steps} PGD steps at eps {eps:g}",
        ("Table 2" if steps in (10, 50) else "Figure 1c") if eps == 0.06 else "Figure 1b",
        "imagenet",
        condition=f"eps={eps:g} steps={steps}",
        published_images=25_000,
    )
