"""A score's number with its interval: of one classifier, of two, or of a weighted sum; for one look, or for many."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from harness.errors import NotMeasured, TooFewImages
from harness.protocols.needs import Need, Normaliser
from harness.scores.score import Mask, Ratio, Sample, Samples, Score
from harness.verdicts.betting import Boundless, Drawn, DrawnMean, DrawnShare, DrawnShareDifference, DrawnSum
from harness.verdicts.estimates import (
    JACKKNIFE_GROUPS,
    Estimate,
    Fixed,
    bootstrap,
    draw_again,
    jackknife,
    leave_one_out,
    proportion,
)

Values = NDArray[np.float64]

Term = tuple[float, Score, Samples]
"""A weight, a score, and the samples that it is read off."""

# From a need to how many images there are of which samples of it are drawn; None for no known number.
Population = Callable[[Need], int | None]


class Estimator(ABC):
    """Turns samples into numbers with intervals.

    Args:
        alpha: Level of the intervals, both tails together.
        population: Of how many images samples are drawn without replacement; by default no known number.
    """

    def __init__(self, alpha: float, population: Population = lambda need: None) -> None:
        self._alpha = alpha
        self._population = population

    @abstractmethod
    def estimate(self, score: Score, samples: Samples) -> Estimate:
        """Compute a score and its interval.

        Raises:
            NotMeasured: The samples are too small for this metric; says why.
        """

    @abstractmethod
    def combination(self, terms: Sequence[Term], constant: float = 0.0) -> Estimate:
        """Compute a weighted sum of scores, such as the difference of two gains, with one interval.

        Rows of the same image are paired in all terms, so what they share cancels. A sum of numbers that describe the
        very images that were seen has no interval.

        Args:
            terms: What is summed up.
            constant: What is added to it.

        Raises:
            NotMeasured: The samples are too small for one of the metrics, or two samples of a benchmark are not of the
                same images in the same order.
        """

    def difference(self, score: Score, first: Samples, second: Samples) -> Estimate:
        """Compute a score's difference between two classifiers, first minus second, paired image by image.

        Raises:
            NotMeasured: The samples are too small for this metric, or are not of the same images.
        """
        return self.combination([(1.0, score, first), (-1.0, score, second)])

    def is_all(self, need: Need, samples: Samples) -> bool:
        """Tell whether samples are of all images that there are."""
        return len(samples[need]["group"]) == self._population(need)

    def is_known(self, score: Score, samples: Samples) -> bool:
        """Tell whether a score is exact: of the very images that were seen, or of all that there are."""
        return score.is_plain or all(self.is_all(need, samples) for need in score.needs)


class OneLook(Estimator):
    """Intervals that hold if they are looked at once: exact ones of shares, else the jackknife, or the bootstrap.

    Of all images of a known number a figure is exact.
    """

    def __init__(self, alpha: float, population: Population = lambda need: None) -> None:
        super().__init__(alpha, population)
        self._known: dict[tuple[object, ...], tuple[Samples, Values]] = {}

    def estimate(self, score: Score, samples: Samples) -> Estimate:
        """Compute a score; for a share of images with its exact interval."""
        if score.is_plain or score.count is None:
            return self.combination([(1.0, score, samples)])
        (need,) = score.needs
        images = score.images(samples)
        try:
            if score.check:
                score.check(samples)
            hits, among = score.count(samples)
        except ValueError as error:
            raise NotMeasured(f"{need}: {error}") from error
        everything = self._population(need)
        if everything is not None and self.is_all(need, samples):
            return Estimate.exact(hits / among, images)
        share = proportion(hits, among, self._alpha, everything if among == images else None)
        return share if score.of_some else replace(share, images=images, counted=among)

    def combination(self, terms: Sequence[Term], constant: float = 0.0) -> Estimate:
        """Compute a weighted sum, by leaving out groups of images or, of what is not smooth, by drawing them again."""
        _require_pairs(terms)
        images = min(score.images(samples) for _, score, samples in terms)
        try:
            for _, score, samples in terms:
                if score.check:
                    score.check(samples)
            if all(self.is_known(score, samples) for _, score, samples in terms):
                return Estimate.exact(_value(terms) + constant, images)
            if all(score.is_smooth for _, score, _ in terms):
                found = self._jackknifed(terms, images)
            else:
                found = self._bootstrapped(terms)
        except ValueError as error:
            raise NotMeasured(f"{terms[0][1].needs[0]}: {error}") from error
        extremes = [sorted((weight * score.bounds[0], weight * score.bounds[1])) for weight, score, _ in terms]
        return found.within(sum(low for low, _ in extremes), sum(high for _, high in extremes)).scaled(1.0, constant)

    def _jackknifed(self, terms: Sequence[Term], images: int) -> Fixed:
        scale = sum(abs(weight) * score.scale_of(samples) for weight, score, samples in terms)
        values = sum((weight * self._left_out(score, samples) for weight, score, samples in terms), np.zeros(1))
        population = self._least_known(terms, images)
        return jackknife(values, images=images, scale=scale, alpha=self._alpha, population=population)

    def _least_known(self, terms: Sequence[Term], images: int) -> int | None:
        """Give of how many images those seen are as large a share as of any benchmark that the terms are read off."""
        shares = []
        for _, score, samples in terms:
            for need in score.needs:
                everything = self._population(need)
                if everything is None:
                    return None
                shares.append(len(samples[need]["group"]) / everything)
        return math.ceil(images / min(shares))

    def _bootstrapped(self, terms: Sequence[Term]) -> Fixed:
        """Draw the same images again for all terms, which are of one benchmark."""
        needs = {need for _, score, _ in terms for need in score.needs}
        if len(needs) > 1:
            raise ValueError("a sum over several benchmarks has no bootstrap here")
        (need,) = needs
        images = len(terms[0][2][need]["group"])
        values = sum(
            (weight * self._known_of("drawn again", score, samples, _drawn_again) for weight, score, samples in terms),
            np.zeros(1),
        )
        return bootstrap(values, images=images, alpha=self._alpha)

    def _left_out(self, score: Score, samples: Samples) -> Values:
        """Give a score of all images, and without each group of them; see `leave_one_out`.

        Raises:
            ValueError: The samples are too small for this score.
        """
        return self._known_of("left out", score, samples, _leave_one_out)

    def _known_of(
        self, how: str, score: Score, samples: Samples, compute: Callable[[Score, Samples], Values]
    ) -> Values:
        """Compute something of a score and its samples once."""
        read = _read(score, samples)
        key = (how, score.name, *read, *(id(samples[name]) for name in read))
        if key not in self._known:
            # Kept with its samples, so that no others can come to lie where they lie.
            self._known[key] = samples, compute(score, samples)
        return self._known[key][1]


class EveryLook(Estimator):
    """Intervals that hold at all looks together (`harness.verdicts.betting`); samples are drawn in a random order.

    Each benchmark that a sum is read off is an urn of its own, and known at its own share of alpha. Of all images a
    figure is exact. Of a metric to which one image may add without a known bound nothing is said before that.
    """

    def estimate(self, score: Score, samples: Samples) -> Estimate:
        """Compute a score and its interval."""
        return self.combination([(1.0, score, samples)])

    def combination(self, terms: Sequence[Term], constant: float = 0.0) -> Estimate:
        """Compute a weighted sum of scores and its interval."""
        _require_pairs(terms)
        images = min(len(samples[need]["group"]) for _, score, samples in terms for need in score.needs)
        for _, score, samples in terms:
            try:
                if score.check:
                    score.check(samples)
            except ValueError as error:
                raise NotMeasured(f"{score.needs[0]}: {error}") from error
        known = [term for term in terms if self.is_known(*term[1:])]
        unknown = [term for term in terms if not self.is_known(*term[1:])]
        try:
            constant += _value(known)
            if not unknown:
                return Estimate.exact(constant, images)
            if any(score.parts is None and score.ratio is None for _, score, _ in unknown):
                return Boundless(_value(unknown) + constant, images, self._everything(unknown))
            return self._drawn(unknown, constant)
        except ValueError as error:
            raise TooFewImages(f"{terms[0][1].needs[0]}: {error}") from error

    def _everything(self, terms: Sequence[Term]) -> int | None:
        """Count the images of the largest benchmark that terms are read off; None where one is not known."""
        counts = [self._population(need) for _, score, _ in terms for need in score.needs]
        return None if None in counts else max(count for count in counts if count is not None)

    def _drawn(self, terms: Sequence[Term], constant: float) -> Estimate:
        """Sum up what each benchmark tells."""
        sums: dict[Need, tuple[Values, float, float]] = {}
        shares = []
        for weight, score, samples in terms:
            if score.ratio:
                shares.append((weight, score.ratio(samples)))
                continue
            assert score.parts is not None
            for part in score.parts(samples):
                values, low, high = sums.get(part.need, (np.zeros(len(part.values)), 0.0, 0.0))
                ends = sorted(weight * bound for bound in part.bounds)
                sums[part.need] = values + weight * part.values, low + ends[0], high + ends[1]
        exact = {
            need: float(values.mean()) for need, (values, _, _) in sums.items() if len(values) == self._population(need)
        }
        constant += sum(exact.values())
        urns = [need for need in sums if need not in exact]
        pair = _difference_of(shares)
        alpha = self._alpha / (len(urns) + (1 if pair else len(shares)))
        drawn: list[Drawn] = []
        if pair:
            times, first, second = pair
            counts = (first.hits, first.misses), (second.hits, second.misses)
            population = self._population(first.need)
            drawn.append(DrawnShareDifference(*counts, alpha=alpha, population=population).scaled(times))
            shares = []
        for need in urns:
            values, low, high = sums[need]
            drawn.append(DrawnMean(values, bounds=(low, high), alpha=alpha, population=self._population(need)))
        for weight, ratio in shares:
            share = DrawnShare(ratio.hits, ratio.misses, alpha=alpha, population=self._population(ratio.need))
            drawn.append(share.scaled(weight))
        whole = drawn[0] if len(drawn) == 1 else DrawnSum(drawn, self._alpha)
        return self._shown(whole.scaled(1.0, constant), terms, constant - sum(exact.values()))

    def _shown(self, drawn: Drawn, terms: Sequence[Term], constant: float) -> Drawn:
        """Show what the scores say, a mean over cells, where each cell was seen; else what the images say alike."""
        with suppress(ValueError):
            drawn.value = _value(terms) + constant
        return drawn


def _difference_of(shares: Sequence[tuple[float, Ratio]]) -> tuple[float, Ratio, Ratio] | None:
    """See whether shares are the multiple of a difference between two of the same images: how often, and of which."""
    if len(shares) != 2 or shares[0][1].need != shares[1][1].need or shares[0][0] != -shares[1][0]:
        return None
    (times, first), (_, second) = shares
    return times, first, second


def _require_pairs(terms: Sequence[Term]) -> None:
    """See that samples of a benchmark are of the same images in the same order.

    Raises:
        NotMeasured: They are not.
    """
    seen: dict[Need, Sample] = {}
    for _, score, samples in terms:
        for name in score.needs:
            if not np.array_equal(seen.setdefault(name, samples[name])["digest"], samples[name]["digest"]):
                raise NotMeasured(f"{name}: the classifiers did not see the same images; measure them again")


def _value(terms: Sequence[Term]) -> float:
    return sum(weight * score.value(samples) for weight, score, samples in terms)


def _read(score: Score, samples: Samples) -> tuple[Need | Normaliser, ...]:
    """Name the samples that a score reads: what it needs, and what it reads beside that where it is at hand."""
    return (*score.needs, *(name for name in score.beside if name in samples))


def _leave_one_out(score: Score, samples: Samples) -> Values:
    read = _read(score, samples)

    def statistic(kept: Mask) -> float:
        return score.value({name: _keep(samples[name], kept) for name in read})

    return leave_one_out(statistic, JACKKNIFE_GROUPS)


def _drawn_again(score: Score, samples: Samples) -> Values:
    (need,) = score.needs

    def statistic(places: NDArray[np.int64]) -> float:
        return score.value({need: _rows(samples[need], places)})

    return draw_again(statistic, len(samples[need]["group"]))


def _keep(sample: Sample, kept_groups: Mask) -> Sample:
    """Keep the rows of the groups that are kept."""
    if kept_groups.all():
        return sample
    return _rows(sample, kept_groups[sample["group"]])


def _rows(sample: Sample, rows: NDArray[np.generic]) -> Sample:
    return {name: values[rows] for name, values in sample.items()}
