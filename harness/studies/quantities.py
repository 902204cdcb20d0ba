"""The quantities that the paper's tables and figures are made of."""

from collections.abc import Callable
from dataclasses import dataclass

from harness.protocols.attacks import EPS, LADDER, SURROGATE, Attack, ladder_up_to
from harness.protocols.maximizing import Maximize
from harness.verdicts import rules
from harness.verdicts.rules import Comparison, Judgement

EPSILONS = (0.01, 0.02, 0.04, 0.06, 0.08, 0.1)
STEPS = LADDER


@dataclass(frozen=True)
class Quantity:
    """Something that can be measured of a classifier.

    Attributes:
        metric: Its key in recorded tables, pins and verdicts.
        title: In words, as messages say it.
        where: The table or figure of the paper that shows it.
        benchmark: Whose images it is measured on.
        score: The benchmark's score that measures it; empty where it is of no benchmark.
        condition: What it is measured under, as in recorded tables.
        lower_is_better: Which way robustness lies.
        percent: Whether it is printed in percent.
        published_images: On how many images the paper's figure rests; 0 if not said.
        attack: Under which attack, with the paper's parameters; None where it is measured under none.
        maximize: Of which maximizing images; None where it is of none.
        steps: After how many of its steps; 0 for none in particular.
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
    attack: Attack | None = None
    maximize: Maximize | None = None
    steps: int = 0

    @property
    def key(self) -> str:
        """Its name among a classifier's figures, e.g. `mce` or `whitebox_accuracy eps=0.06 steps=10`."""
        return " ".join(filter(None, (self.metric, self.condition)))

    @property
    def is_published(self) -> bool:
        """Whether the author's results can answer for it: not for other attacks than his, nor for records of them."""
        return self.maximize is None and (self.attack is None or (self.attack.form == "published" and self.steps > 0))

    @property
    def better(self) -> Callable[[Comparison], Judgement]:
        """The rule by which a first figure is better than a second."""
        return rules.lower if self.lower_is_better else rules.higher

    def no_worse(self, comparison: Comparison, margin: float) -> Judgement:
        """Judge that a first figure is not worse than a second by more than a margin, in the quantity's own unit."""
        return (rules.no_higher if self.lower_is_better else rules.no_lower)(comparison, margin)

    @property
    def sign(self) -> float:
        """By what to multiply a difference so that a gain is positive."""
        return -1.0 if self.lower_is_better else 1.0


def _table1(metric: str, title: str, benchmark: str, images: int, *, score: str, percent: bool = True) -> Quantity:
    return Quantity(
        metric, title, "Table 1", benchmark, score, lower_is_better=True, percent=percent, published_images=images
    )


MCE = _table1("mce", "mCE", "imagenet-c", 3_750_000, score="mce")
REL_MCE = _table1("rel_mce", "rel. mCE", "imagenet-c", 3_750_000, score="rel_mce")
MFR = _table1("mfr", "mFR", "imagenet-p", 500_000, score="mfr")
MT5D = _table1("mt5d", "mT5D", "imagenet-p", 500_000, score="mt5d")
MEAN_TOP5_DISTANCE = _table1(
    "mean_top5_distance",
    "mean top-5 distance (unnormalised)",
    "imagenet-p",
    500_000,
    score="mean_top5_distance",
    percent=False,
)

IMAGENET_TOP1 = Quantity(
    "imagenet_top1", "ImageNet top-1 accuracy", "Table 2", "imagenet", "top1", published_images=50_000
)

SHAPE_BIAS = Quantity("shape_bias", "shape bias", "Table 3", "cue-conflict", "shape_bias", published_images=1201)


def _in_top5(cue: str) -> Quantity:
    name = f"{cue}_in_top5"
    return Quantity(name, f"share of stimuli with their {cue} in the top 5", "Figure 4", "cue-conflict", name)


SHAPE_IN_TOP5, TEXTURE_IN_TOP5 = _in_top5("shape"), _in_top5("texture")


IMAGENET_A_TOP1 = Quantity(
    "imagenet_a_top1", "ImageNet-A top-1 accuracy", "Table 4", "imagenet-a", "top1", published_images=7500
)
RMS_CE = Quantity(
    "rms_ce", "ImageNet-A RMS-CE", "Table 4", "imagenet-a", "rms_ce", lower_is_better=True, published_images=7500
)
AURRA = Quantity("aurra", "ImageNet-A AURRA", "Table 4", "imagenet-a", "aurra", published_images=7500)


def transfer_accuracy(eps: float, form: str = "published") -> Quantity:
    """Top-1 accuracy on adversarial images made on resnext50_32x4d at this eps (2.3, Figure 1a).

    After 10 steps in the published form; in the standard one after 50, which cross the box at every eps of the paper.
    """
    return _under_attack(
        "transfer_accuracy",
        f"top-1 under transferred attack at eps {eps:g}",
        Attack(form, eps=eps, surrogate=SURROGATE),
        steps=10 if form == "published" else LADDER[-1],
        where="Table 2" if eps == EPS else "Figure 1a",
        condition=f"eps={eps:g}",
        images=50_000,
    )


def whitebox_accuracy(eps: float, steps: int, form: str = "published") -> Quantity:
    """Top-1 accuracy under the white-box attack at this eps after so many steps (2.3, Figures 1b and 1c).

    One run of 50 steps answers for fewer; in the published form only eps 0.06 was attacked for more than 10.
    """
    ladder = LADDER if form == "standard" or eps == EPS else ladder_up_to(steps)
    return _under_attack(
        "whitebox_accuracy",
        f"top-1 after {steps} PGD steps at eps {eps:g}",
        Attack(form, eps=eps, ladder=ladder),
        steps=steps,
        where=("Table 2" if steps in (10, 50) else "Figure 1c") if eps == EPS else "Figure 1b",
        condition=f"eps={eps:g} steps={steps}",
        images=25_000,
    )


def of_attack(attack: Attack, score: str, title: str, *, percent: bool = True) -> Quantity:
    """Give what an attack's records say beside its accuracies, such as whether it kept to its budget."""
    return Quantity(
        score, f"{title} under {attack.name} at eps {attack.eps:g}", "Attack", "imagenet", score, percent=percent,
        lower_is_better=True, attack=attack,
    )  # fmt: skip


def missed_outcomes(attack: Attack) -> Quantity:
    """Give how often an attack misses what is known of planted classifiers, whichever are the study's own."""
    title = f"known outcomes that {attack.name} misses"
    return Quantity("missed_outcomes", title, "Attack", "", lower_is_better=True, attack=attack)


def of_maximizing_images(score: str, title: str, *, lower_is_better: bool = False, percent: bool = False) -> Quantity:
    """Give what the images that maximize penultimate units say of a classifier (2.4, Figures 2 and 3)."""
    return Quantity(
        score, title, "Figures 2-3", "imagenet", score, lower_is_better=lower_is_better, percent=percent,
        maximize=Maximize(),
    )  # fmt: skip


def _under_attack(
    metric: str, title: str, attack: Attack, *, steps: int, where: str, condition: str, images: int
) -> Quantity:
    is_published = attack.form == "published"
    return Quantity(
        metric if is_published else f"{metric}_{attack.form}",
        title if is_published else f"{title} ({attack.form})",
        where,
        "imagenet",
        f"accuracy_after_{steps}_steps",
        condition=condition,
        published_images=images,
        attack=attack,
        steps=steps,
    )


PUBLISHED = (
    *(MCE, REL_MCE, MFR, MEAN_TOP5_DISTANCE, SHAPE_BIAS, IMAGENET_A_TOP1, RMS_CE, AURRA),
    *(transfer_accuracy(eps) for eps in EPSILONS),
    *(whitebox_accuracy(eps, 10) for eps in EPSILONS),
    *(whitebox_accuracy(0.06, steps) for steps in STEPS[1:]),
)
"""What the author's results answer for."""

MEASURED = (
    *(IMAGENET_TOP1, MT5D),
    whitebox_accuracy(0.06, 10, "standard"),
    whitebox_accuracy(0.06, 50, "standard"),
    transfer_accuracy(0.06, "standard"),
    *(SHAPE_IN_TOP5, TEXTURE_IN_TOP5),
)
"""What else is known of a classifier by its figures: it has to be measured."""
