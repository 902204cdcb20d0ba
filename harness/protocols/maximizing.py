"""Which maximizing images are made: the parameters that their records depend on (paper, sections 2.4 and 3.3)."""

from dataclasses import dataclass

from harness.errors import UsageError
from harness.protocols.attacks import in_255ths

STEPS = 500
STEP_SIZE = 1 / 255
SHOWN_UNITS = 5
PHOTOGRAPHS = 2

# Bumped whenever what is made or the meaning of its records changes; part of what records are found by.
MAXIMIZE_SCHEMA = 1


@dataclass(frozen=True)
class Maximize:
    """Images that maximize units of the penultimate layer, from photographs and from noise.

    The features that the last layer reads are taken for logits, and projected gradient descent goes down the
    cross-entropy to one of them, without a bound on the perturbation, until its softmax probability is above
    `probability` and on to the last step. What the author's runs show is the iterate nearest to its seed of those that
    meet the criterion, not the last one; both are recorded.

    Attributes:
        units: Which units; empty for `SHOWN_UNITS` that are drawn from all.
        seeds: Files of the seed images; empty for the benchmark's first `PHOTOGRAPHS` in its seeded order.
        noise: How many seeds of noise there are beside them.
        steps: Length of the search.
        step_size: How far a pixel moves a step.
        probability: Above which softmax probability a unit counts as maximized.

    Raises:
        UsageError: A parameter is out of range.
    """

    units: tuple[int, ...] = ()
    seeds: tuple[str, ...] = ()
    noise: int = 1
    steps: int = STEPS
    step_size: float = STEP_SIZE
    probability: float = 1 - 1e-6

    benchmark = "imagenet"
    name = "maximize"

    def __post_init__(self) -> None:
        """Check every parameter."""
        if self.steps < 1:
            raise UsageError(f"steps {self.steps}: maximizing a unit takes at least 1 step")
        if not 0 < self.step_size <= 1:
            raise UsageError(f"step size {self.step_size:g} is not in (0, 1]; pixels are, so 1/255 is 0.00392")
        if len(set(self.units)) < len(self.units):
            raise UsageError(f"units {','.join(map(str, self.units))}: name each once")
        if len(set(self.seeds)) < len(self.seeds):
            raise UsageError(f"seed images {', '.join(self.seeds)}: name each once")

    def __str__(self) -> str:
        return "imagenet, maximizing images"

    @property
    def unit_count(self) -> int:
        """How many units there are."""
        return len(self.units) or SHOWN_UNITS

    @property
    def photographs(self) -> int:
        """How many of the seeds are photographs; they come before the noise."""
        return len(self.seeds) or PHOTOGRAPHS

    @property
    def seed_count(self) -> int:
        """How many seeds there are, noise included."""
        return self.photographs + self.noise

    @property
    def identity(self) -> dict[str, str]:
        """Name all that its records depend on, the classifier's weights, the seed images and the seed aside."""
        return {
            "protocol": f"{self.name}/{MAXIMIZE_SCHEMA}",
            "units": ",".join(map(str, self.units)) or f"{SHOWN_UNITS} drawn",
            "noise": str(self.noise),
            "steps": str(self.steps),
            "step_size": repr(self.step_size),
            "probability": repr(self.probability),
        }

    def describe(self) -> str:
        """Say in words what is made."""
        return (
            f"maximize: {self.unit_count} penultimate units from {self.photographs} photographs and {self.noise} of "
            f"noise, unbounded PGD, step {in_255ths(self.step_size)}, {self.steps} steps, softmax over units above "
            f"{self.probability:.6f}"
        )
