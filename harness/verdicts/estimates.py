"""Numbers with intervals.

A figure from a whole benchmark, as published ones are, is exact: its interval is the number itself. A figure from
a sample has an interval at level 1 - alpha: Clopper-Pearson for shares of images, else a grouped jackknife.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

JACKKNIFE_GROUPS = 50


@dataclass(frozen=True)
class Estimate:
    """A number and the interval in which the true one lies at level 1 - alpha.

    Attributes:
        value: The number; a fraction unless its metric says otherwise.
        low: Lower end of the interval.
        high: Upper end of the interval.
        images: How many images it was measured on; 0 where the source does not say.
    """

    value: float
    low: float
    high: float
    images: int

    @classmethod
    def exact(cls, value: float, images: int = 0) -> "Estimate":
        """Make the estimate of a number that no sampling blurs."""
        return cls(value, value, value, images)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Its interval; None where there were too few images for one."""
        return (self.low, self.high) if math.isfinite(self.high - self.low) else None

    @property
    def is_exact(self) -> bool:
        """Whether no sampling blurs it."""
        return self.low == self.value == self.high


def proportion(hits: int, images: int, alpha: float) -> Estimate:
    """Estimate a share of images with its exact binomial interval (Clopper & Pearson, 1934).

    Args:
        hits: How many images have the property, in 0..images.
        images: How many were looked at, at least 1.
        alpha: Both tails together, in (0, 1).
    """
    from scipy.stats import beta

    low = beta.ppf(alpha / 2, hits, images - hits + 1) if hits else 0.0
    high = beta.ppf(1 - alpha / 2, hits + 1, images - hits) if hits < images else 1.0
    return Estimate(hits / images, float(low), float(high), images)


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


def jackknife(values: NDArray[np.float64], *, images: int, scale: float, alpha: float) -> Estimate:
    """Estimate any smooth function of the records from what it is with one group of images left out at a time.

    Half-width = t * se + scale * ln(2 / alpha) / images, where se^2 = (G - 1) / G * sum_g (theta_(g) - mean)^2
    (delete-a-group jackknife; Shao & Tu, 1995, section 2.3) and t is Student's quantile with G - 1 degrees of
    freedom. The second term is the rule of three at this alpha: it keeps a handful of images that happen to agree
    from looking like certainty.

    Args:
        values: As `leave_one_out` gives them; of a sum, the sum of its terms', for both sides of a pair are in one
            group.
        images: How many images were looked at.
        scale: What one image could change at most if it stood alone, in the metric's units (1 for shares).
        alpha: Both tails together, in (0, 1).

    Returns:
        The number; its interval is unbounded where a group can't be left out (too few images).
    """
    from scipy.stats import t

    value, left_out, groups = float(values[0]), values[1:], len(values) - 1
    if not np.isfinite(left_out).all():
        return Estimate(value, -math.inf, math.inf, images)
    error = math.sqrt((groups - 1) / groups * float(np.sum((left_out - left_out.mean()) ** 2)))
    half = float(t.ppf(1 - alpha / 2, groups - 1)) * error + scale * math.log(2 / alpha) / images
    return Estimate(value, value - half, value + half, images)
