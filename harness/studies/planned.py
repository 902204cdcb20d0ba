"""How many images a claim may take, by recorded figures alone: nothing is measured."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from harness import recorded
from harness.metrics.perturbation import MAX_TOP5_DISTANCE
from harness.protocols.needs import benchmark_of
from harness.studies.live import Attacks
from harness.studies.published import PublishedStudy, is_recorded, recorded_figure
from harness.studies.quantities import Quantity
from harness.studies.study import Study, Term
from harness.verdicts.betting import log_wealth_wanted
from harness.verdicts.estimates import Estimate
from harness.verdicts.rules import Figure

# On how many of the images that shape bias is asked of a decision falls for the shape or the texture, about.
_DECIDED = 0.5


class Expected(Estimate):
    """A recorded number, and how many images would tell on which side of a bound it lies.

    For numbers that vary by v from image to image, a bet at the best stake against a number at a distance of d grows by
    about d^2 / (2 v) an image (Waudby-Smith & Ramdas, 2024, section 5); it is won at log(2 / alpha), and the stakes
    that are not the best cost log 12 more. Of a benchmark of N, n / (1 + n / N) are needed where n of infinitely many
    would be.

    Args:
        value: The number.
        variance: From image to image, in the metric's units squared; infinite where all images are needed.
        alpha: Both tails together.
        images: How many images may be looked at.
        population: How many the benchmark has; None where those that are there are only some of it.
    """

    def __init__(self, value: float, variance: float, alpha: float, images: int, population: int | None) -> None:
        self.value = value
        self.variance = variance
        self.alpha = alpha
        self.images = images
        self.population = population

    @property
    def low(self) -> float:
        """The number: what is recorded counts as known."""
        return self.value

    @property
    def high(self) -> float:
        """The number: what is recorded counts as known."""
        return self.value

    def scaled(self, factor: float, shift: float = 0.0) -> "Expected":
        """Multiply the number by a factor, not 0, and add a shift to it."""
        return Expected(
            factor * self.value + shift, factor**2 * self.variance, self.alpha, self.images, self.population
        )

    def needed(self, bound: float, among: float = 1) -> float:
        """Tell from about how many images it would be known on which side of a bound it lies."""
        distance, everything = abs(self.value - bound), math.inf if self.population is None else self.population
        if not distance or not math.isfinite(self.variance):
            return everything
        wanted = 2 * self.variance / distance**2 * log_wealth_wanted(self.alpha, among)
        return max(1.0, wanted / (1 + wanted / everything))


class PlannedStudy(Study):
    """Claims about classifiers of which figures are recorded, before any of their images is looked at.

    Two classifiers are taken to be wrong independently of one another, so differences come out as at most as clear as
    they will be: images are hard for both.

    Args:
        planned: The study that is planned.
        attacks: How attacks are run there.
        alpha: The error rate of a verdict.
        extent: From a benchmark's name to how many of its images may be looked at, and how many it has, None where not
            all are there; NotMeasured where it is not.
    """

    def __init__(
        self,
        planned: Study,
        attacks: Attacks,
        *,
        alpha: float,
        extent: Callable[[str], tuple[int, int | None]],
    ) -> None:
        self.name = planned.name
        self.baseline = planned.baseline
        self.subjects = planned.subjects
        self.surrogate = planned.surrogate
        self._attacks = attacks
        self._alpha = alpha
        self._extent = extent
        self._published = PublishedStudy()

    def figure(self, quantity: Quantity, subject: str) -> Figure:
        """Give a classifier's recorded figure, with what is expected of measuring it."""
        if is_recorded(subject):
            return recorded_figure(quantity, subject)
        found = self._published.figure(quantity, subject)
        extent = self._extent(benchmark_of(self._attacks.need(quantity)))
        expected = Expected(found.estimate.value, self._variance(quantity, subject), self._alpha, *extent)
        return replace(found, estimate=expected)

    def combine(self, terms: Sequence[Term]) -> Estimate:
        """Sum figures up, as if each varied by itself."""
        figures = [(weight, self.figure(quantity, row).estimate) for weight, quantity, row in terms]
        value = sum(weight * each.value for weight, each in figures)
        live = [(weight, each) for weight, each in figures if isinstance(each, Expected)]
        if not live:
            return Estimate.exact(value)
        variance = sum(weight**2 * each.variance for weight, each in live)
        least = min((each for _, each in live), key=lambda each: each.images)
        return Expected(value, variance, self._alpha, least.images, least.population)

    def corruption_errors(self, subject: str) -> dict[str, float]:
        """Give the recorded error of each corruption."""
        return self._published.corruption_errors(subject)

    def flip_probabilities(self, subject: str) -> dict[str, float]:
        """Give the recorded flip probability of each perturbation."""
        return self._published.flip_probabilities(subject)

    def _variance(self, quantity: Quantity, subject: str) -> float:
        """Tell how much what an image adds to a figure varies, from recorded means; at most so much for sequences."""
        value = self._published.figure(quantity, subject).estimate.value
        if quantity.metric == "mce":
            return _weighted(self.corruption_errors(subject), recorded.alexnet_corruption_errors())
        if quantity.metric == "rel_mce":
            clean = recorded.alexnet_clean_error()
            rises = {name: error - clean for name, error in recorded.alexnet_corruption_errors().items()}
            return _weighted(self.corruption_errors(subject), rises)
        if quantity.metric == "mfr":
            return _weighted(self.flip_probabilities(subject), recorded.alexnet_flip_probabilities())
        if quantity.metric in ("mt5d", "mean_top5_distance"):
            distances = recorded.by_condition("author_results", subject, "top5_distance")
            by = recorded.alexnet_top5_distances() if quantity.metric == "mt5d" else dict.fromkeys(distances, 1.0)
            return _weighted(distances, by, most=MAX_TOP5_DISTANCE)
        if quantity.metric == "shape_bias":
            return value * (1 - value) / _DECIDED
        if quantity.metric in ("rms_ce", "aurra"):
            return math.inf
        return value * (1 - value)


def _weighted(means: Mapping[str, float], by: Mapping[str, float], most: float = 1.0) -> float:
    """Give the greatest variance of numbers in 0..most with these means by cell, each divided by its cell's number."""
    first = np.mean([means[name] / by[name] for name in by])
    second = np.mean([most * means[name] / by[name] ** 2 for name in by])
    return float(second - first**2)
