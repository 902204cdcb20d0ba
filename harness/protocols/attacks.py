"""Attacks by name, with every parameter that their outcome depends on (paper, sections 2.3 and 3.2).

Two forms of one attack, each white-box or transferred from a surrogate. All are L-inf projected gradient descent on
pixels in [0, 1], from a uniform random start, with the sign of the gradient as its direction.

`published` is what the author's runs did: towards one random wrong class by cross-entropy, stopping at the first
iterate that is taken for it, and scoring the clean image where none is. "Accuracy after k steps" is the share of
images that are classified right and whose target was not reached within k steps; it is no accuracy on perturbed images.

`standard` is what the field asks for since (Carlini et al., 2019): away from the label, by cross-entropy and by margin
loss, each from two random starts or more, and an image counts as robust only if no iterate of any of them is
misclassified.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product
from typing import NamedTuple

from harness.errors import UsageError, unknown

EPS = 0.06
STEP_SIZE = 2 / 255
LADDER = (10, 20, 30, 40, 50)
RESTARTS = 2
MOST_STEPS = 32_767
SURROGATE = "resnext50_32x4d"
FORMS = ("published", "standard")
READINGS = ("absolute", "relative")
NAMES = tuple(f"{kind}-{form}" for kind in ("pgd", "transfer") for form in FORMS)

# Bumped whenever the outcome of an attack or the meaning of its records changes; part of what records are found by.
ATTACK_SCHEMA = 2


class Tags(NamedTuple):
    """What must be equal for two accuracies under attack to be compared.

    Attributes:
        targeted: Towards which class the attack goes, if it does.
        early_stop: Whether it stops at its first success.
        fallback: What is scored where it fails, if not its own image.
        scored: Which image is scored, and what makes it count as robust.
        transfer: The surrogate that the images were made on; empty for white-box.
    """

    targeted: str
    early_stop: bool
    fallback: str
    scored: str
    transfer: str = ""

    def as_words(self) -> dict[str, str]:
        """Give the tags as text, for records and reports."""
        return {
            "targeted": self.targeted or "no",
            "early_stop": "yes" if self.early_stop else "no",
            "fallback": self.fallback or "none",
            "scored": self.scored,
            **({"transferred_from": self.transfer} if self.transfer else {}),
        }


class Pursuit(NamedTuple):
    """One of the runs that an attack consists of: its loss, and which of its random starts it takes."""

    loss: str
    restart: int


@dataclass(frozen=True)
class Attack:
    """An attack on ImageNet's validation images.

    Attributes:
        form: `published` or `standard`.
        eps: Largest change of a pixel, in (0, 1].
        step_size: How far a pixel moves a step, in (0, 1].
        ladder: Steps after which the outcome is recorded, increasing; the last is the length of the attack.
        restarts: Random starts a loss; 1 in the published form.
        surrogate: Spec of the classifier on which images are made for all others; empty for a white-box attack.
        reading: `absolute`, as the author's runs read eps; `relative`, as the paper's text does: times the largest
            pixel of the image.
        follow: Standard white-box form only: follow fooled images to the end, so that the accuracy at the last
            iterate is known beside that at the worst.

    Raises:
        UsageError: A parameter is out of range, or does not go with the form.
    """

    form: str = "standard"
    eps: float = EPS
    step_size: float = STEP_SIZE
    ladder: tuple[int, ...] = LADDER
    restarts: int = 0
    surrogate: str = ""
    reading: str = "absolute"
    follow: bool = False

    benchmark = "imagenet"

    def __post_init__(self) -> None:
        """Check every parameter, and fill in the form's own number of restarts."""
        if self.form not in FORMS:
            raise unknown("form of an attack", self.form, FORMS)
        if self.reading not in READINGS:
            raise unknown("reading of eps", self.reading, READINGS)
        for name, value in (("eps", self.eps), ("step size", self.step_size)):
            if not 0 < value <= 1:
                raise UsageError(f"{name} {value:g} is not in (0, 1]; pixels are, so 8/255 is 0.0314")
        if not self.ladder or min(self.ladder) < 1 or max(self.ladder) > MOST_STEPS:
            raise UsageError(f"steps {_listed(self.ladder) or 'none'}: an attack takes 1 to {MOST_STEPS:,} steps")
        if any(after <= before for before, after in pairwise(self.ladder)):
            raise UsageError(f"steps {_listed(self.ladder)} do not increase; name each once, in order")
        if self.form == "published" and self.restarts not in (0, 1):
            raise UsageError("the published attack has one start an image; restarts are the standard one's")
        if self.restarts < 0:
            raise UsageError(f"restarts {self.restarts}: an attack takes at least 1 start")
        if self.follow and (self.form == "published" or self.surrogate):
            raise UsageError("only the standard white-box attack can follow fooled images: others stop or go on anyway")
        object.__setattr__(self, "restarts", self.restarts or (1 if self.form == "published" else RESTARTS))

    def __str__(self) -> str:
        return f"{self.benchmark} under {self.name}, eps {in_255ths(self.eps)}"

    @property
    def name(self) -> str:
        """The protocol's name, e.g. `pgd-published`."""
        return f"{'transfer' if self.surrogate else 'pgd'}-{self.form}"

    @property
    def steps(self) -> int:
        """The length of the attack."""
        return self.ladder[-1]

    @property
    def targeted(self) -> bool:
        """Whether it goes towards a random wrong class."""
        return self.form == "published"

    @cached_property
    def pursuits(self) -> tuple[Pursuit, ...]:
        """The runs that it consists of, in the order of their columns in records."""
        losses = ("cross_entropy",) if self.form == "published" else ("cross_entropy", "margin")
        return tuple(Pursuit(loss, restart) for loss, restart in product(losses, range(self.restarts)))

    def crossings(self, steps: int | None = None) -> float:
        """Tell how often so many steps, its own by default, laid end to end cross the box, which is 2 eps wide."""
        return (steps or self.steps) * self.step_size / (2 * self.eps)

    @property
    def tags(self) -> Tags:
        """What must be equal for its figures to be compared with others."""
        if self.form == "published":
            return Tags("random class", True, "clean image", "first iterate taken for the target", self.surrogate)
        scored = "every step of the ladder" if self.surrogate else "every iterate"
        return Tags("", False, "", f"{scored}, of all losses and restarts; all must be right", self.surrogate)

    @property
    def identity(self) -> dict[str, str]:
        """Name all that its records depend on, the classifiers' weights and the seed aside."""
        return {
            "protocol": f"{self.name}/{ATTACK_SCHEMA}",
            "eps": f"{self.eps!r} {self.reading}",
            "step_size": repr(self.step_size),
            "ladder": _listed(self.ladder),
            "pursuits": ", ".join(f"{pursuit.loss} {pursuit.restart}" for pursuit in self.pursuits),
            "followed": "yes" if self.follow else "no",
            # The surrogate is told by its weights, which whoever keeps the records adds.
            **self.tags._replace(transfer="").as_words(),
        }

    def describe(self, steps: int | None = None) -> str:
        """Say in words what is done, up to a number of steps, its own by default."""
        reading = " of the image's largest pixel" if self.reading == "relative" else ""
        what = f"{self.name}: L-inf PGD, eps {in_255ths(self.eps)}{reading}, step {in_255ths(self.step_size)}, "
        what += f"{steps or self.steps} steps, "
        if self.form == "published":
            what += "random target, stops at first success, scores the clean image on failure"
        else:
            losses = "cross-entropy and margin loss"
            at = "steps of the ladder" if self.surrogate else "iterates"
            what += f"untargeted, {losses}, {self.restarts} starts each, worst case over {at}, losses and starts"
        return f"{what}, made on {self.surrogate}" if self.surrogate else what


def named_attack(name: str, *, surrogate: str = SURROGATE, **parameters: object) -> Attack:
    """Make an attack by its protocol's name, e.g. `transfer-standard`.

    Args:
        name: One of `NAMES`.
        surrogate: Spec on which transferred attacks are made; unused by white-box ones.
        **parameters: Of `Attack`, e.g. `eps`.

    Raises:
        UsageError: There is no such protocol, or a parameter is out of range.
    """
    if name not in NAMES:
        raise unknown("protocol", name, NAMES)
    kind, form = name.split("-")
    return Attack(form, surrogate=surrogate if kind == "transfer" else "", **parameters)  # type: ignore[arg-type]


def ladder_up_to(steps: int) -> tuple[int, ...]:
    """Give the ladder of an attack that is so many steps long: every tenth step, and the last.

    >>> ladder_up_to(25)
    (10, 20, 25)
    """
    return (*range(10, steps, 10), steps)


def in_255ths(number: float) -> str:
    """Print a size in pixels' units, as 255ths where these are rounder.

    >>> in_255ths(2 / 255), in_255ths(0.06), in_255ths(0.1 / 255)
    ('2/255', '0.06', '0.1/255')
    """
    is_round = math.isclose(float(f"{number:g}"), number, rel_tol=1e-9)
    return f"{number:g}" if is_round else f"{number * 255:g}/255"


def _listed(ladder: tuple[int, ...]) -> str:
    return ",".join(map(str, ladder))
