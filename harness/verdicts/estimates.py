"""Numbers with intervals.

A figure from a whole benchmark, as published ones are, is exact: its interval is the number itself. A figure from
a sample has an interval at level 1 - alpha that is right if it is looked at once: for shares of images an exact one
(Clopper-Pearson, or hypergeometric where the benchmark's size is known), else a grouped jackknife, and a bootstrap for
what is no smooth function of means. `harness.verdicts.betting` has those that may be looked at after every image.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

JACKKNIFE_GROUPS = 50


class Estimate(ABC):
    """A number and the interval in which the true one lies at level 1 - alpha.

    Attributes:
        value: The number; a fraction unless its metric says otherwise.
        images: How many images it was measured on; 0 where the source does not say.
    """

    value: float
    images: int
    no_interval: str = "too few images for an interval"

    @property
    @abstractmethod
    def low(self) -> float:
        """Lower end of the interval."""

    @property
    @abstractmethod
    def high(self) -> float:
        """Upper end of the interval."""

    @staticmethod
    def exact(value: float, images: int = 0) -> "Fixed":
        """Make the estimate of a number that no sampling blurs."""
        return Fixed.of(value, value, value, images)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Its interval; None where there is none, for the reason that `no_interval` names."""
        return (self.low, self.high) if math.isfinite(self.high - self.low) else None

    @property
    def is_exact(self) -> bool:
        """Whether no sampling blurs it."""
        return self.low == self.value == self.high

    @abstractmethod
    def scaled(self, factor: float, shift: float = 0.0) -> "Estimate":
        """Multiply the number by a factor, not 0, and add a shift to it."""

    def needed(self, bound: float, among: float = 1) -> float:
        """Tell from how many images it would be known on which side of a number it lies; infinite where none tell.

        Args:
            bound: The number.
            among: Of how many such questions, which are only right together, this is one.
        """
        return math.inf

    def is_above(self, bound: float) -> bool:
        """Whether the whole interval lies above a number."""
        return self.low > bound

    def is_below(self, bound: float) -> bool:
        """Whether the whole interval lies below a number."""
        return self.high < bound

    def is_at_least(self, bound: float) -> bool:
        """Whether the whole interval lies at a number or above it."""
        return self.low >= bound

    def is_at_most(self, bound: float) -> bool:
        """Whether the whole interval lies at a number or below it."""
        return self.high <= bound


@dataclass(frozen=True)
class Fixed(Estimate):
    """An estimate whose interval is computed.

    Attributes:
        ends: Lower and upper end of the interval.
        counted: Of how many of the images the number is a share, such as those decided by shape or texture; 0 for all.
    """

    value: float
    ends: tuple[float, float]
    images: int
    counted: int = field(default=0, compare=False)

    @classmethod
    def of(cls, value: float, low: float, high: float, images: int) -> "Fixed":
        """Make an estimate of a number and the ends of its interval."""
        return cls(value, (low, high), images)

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.ends[0]

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.ends[1]

    def within(self, least: float, greatest: float) -> "Fixed":
        """Cut its interval to what the number can be."""
        return replace(self, ends=(max(self.low, least), min(self.high, greatest)))

    def needed(self, bound: float, among: float = 1) -> float:
        """Tell from how many images it is known: its own if it is exact."""
        return self.images if self.is_exact else math.inf

    def scaled(self, factor: float, shift: float = 0.0) -> "Fixed":
        """Multiply the number by a factor and add a shift to it."""
        low, high = sorted((factor * self.low, factor * self.high))
        return replace(self, value=factor * self.value + shift, ends=(low + shift, high + shift))


def proportion(hits: int, images: int, alpha: float, population: int | None = None) -> Fixed:
    """Estimate a share of images with its exact interval.

    Both tails are excluded at alpha / 2: of the binomial distribution (Clopper & Pearson, 1934), or of the
    hypergeometric one where the images are drawn from so many without replacement; of all of them it is the number.

    Args:
        hits: How many images have the property, in 0..images.
        images: How many were looked at, at least 1.
        alpha: Both tails together, in (0, 1).
        population: Of how many they were drawn; None for infinitely many.
    """
    if population is None:
        from scipy.special import betainccinv, betaincinv

        low = betaincinv(hits, images - hits + 1, alpha / 2) if hits else 0.0
        high = betainccinv(hits + 1, images - hits, alpha / 2) if hits < images else 1.0
        return Fixed.of(hits / images, float(low), float(high), images)
    from scipy.stats import hypergeom

    def fewest(found: int) -> int:
        """Give the fewest in the population of which at least so many are found with a chance above alpha / 2."""
        refused, kept = found - 1, found + population - images
        while kept - refused > 1:
            middle = (kept + refused) // 2
            if hypergeom.sf(found - 1, population, middle, images) > alpha / 2:
                kept = middle
            else:
                refused = middle
        return kept

    low, high = fewest(hits), population - fewest(images - hits)
    return Fixed.of(hits / images, low / population, high / population, images)


def leave_one_out(statistic: Callable[[NDArray[np.bool_]], float], groups: int) -> NDArray[np.float64]:
    """Compute a number of all groups of images, and with each left out.

    Args:
        statistic: Takes the mask of groups to keep, shape (groups,), and gives the number; all records of one image
            belong to one group.
        groups: How many groups there are, at least 2.

    Returns:
        Shape (1 + groups,): of all, then without each; these are NaN where a group can't be left out (too few images).
    """
    value = statistic(np.ones(groups, dtype=bool))
    try:
        left_out = [statistic(np.arange(groups) != group) for group in range(groups)]
    except ValueError:
        left_out = [math.nan] * groups
    return np.array([value, *left_out])


def draw_again(
    statistic: Callable[[NDArray[np.int64]], float], images: int, *, replicates: int = 400
) -> NDArray[np.float64]:
    """Compute a number of all images, and of as many drawn from them again with replacement (Efron, 1979).

    The draws are seeded and depend on the number of images alone: numbers of the same images are drawn alike.

    Args:
        statistic: From the places of the images kept, shape (images,), with repeats, to the number.
        images: How many images there are, at least 2.
        replicates: How often they are drawn again.

    Returns:
        Shape (1 + replicates,): of all, then of each draw.
    """
    draws = np.random.RandomState(0)
    again = [statistic(draws.randint(images, size=images)) for _ in range(replicates)]
    return np.array([statistic(np.arange(images)), *again])


def bootstrap(values: NDArray[np.float64], *, images: int, alpha: float) -> Fixed:
    """Estimate any function of images from what it is of images drawn from them again: the bootstrap.

    Half-width = z * se, where se is the standard deviation over the draws and z the normal quantile at 1 - alpha / 2
    (the standard interval; Efron & Tibshirani, 1993, section 13.2). Its level is approximate.

    Args:
        values: As `draw_again` gives them; of a sum, the sum of its terms'.
        images: How many images were looked at.
        alpha: Both tails together, in (0, 1).
    """
    from scipy.special import ndtri

    value = float(values[0])
    half = float(ndtri(1 - alpha / 2)) * float(np.std(values[1:], ddof=1))
    return Fixed.of(value, value - half, value + half, images)


def jackknife(
    values: NDArray[np.float64], *, images: int, scale: float, alpha: float, population: int | None = None
) -> Fixed:
    """Estimate any smooth function of the records from what it is with one group of images left out at a time.

    Half-width = (t * se + scale * ln(2 / alpha) / images) * sqrt(1 - images / population), where
    se^2 = (G - 1) / G * sum_g (theta_(g) - mean)^2 (delete-a-group jackknife; Shao & Tu, 1995, section 2.3) and t is
    Student's quantile with G - 1 degrees of freedom. The second term is the rule of three at this alpha: it keeps a
    handful of images that happen to agree from looking like certainty. The root is the finite-population correction
    (Cochran, 1977, section 2.6): of all images the number is exact.

    Args:
        values: As `leave_one_out` gives them; of a sum, the sum of its terms', for both sides of a pair are in one
            group.
        images: How many images were looked at.
        scale: What one image could change at most if it stood alone, in the metric's units (1 for shares).
        alpha: Both tails together, in (0, 1).
        population: Of how many images they were drawn without replacement; None for infinitely many.

    Returns:
        The number; its interval is unbounded where a group can't be left out (too few images).
    """
    from scipy.special import stdtrit

    value, left_out, groups = float(values[0]), values[1:], len(values) - 1
    if images == population:
        return Estimate.exact(value, images)
    if not np.isfinite(left_out).all():
        return Fixed.of(value, -math.inf, math.inf, images)
    error = math.sqrt((groups - 1) / groups * float(np.sum((left_out - left_out.mean()) ** 2)))
    half = float(stdtrit(groups - 1, 1 - alpha / 2)) * error + scale * math.log(2 / alpha) / images
    if population is not None:
        half *= math.sqrt(1 - images / population)
    return Fixed.of(value, value - half, value + half, images)
