"""A score's number with its interval, of one classifier, of two, or of a weighted sum."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from harness.errors import NotMeasured
from harness.protocols.needs import Need, Normaliser
from harness.scores.score import Mask, Sample, Samples, Score
from harness.verdicts.estimates import JACKKNIFE_GROUPS, Estimate, jackknife, leave_one_out, proportion

Values = NDArray[np.float64]


class Replicates:
    """Scores with each group of images left out, computed once for samples that several estimates are made of."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], tuple[Samples, Values]] = {}

    def of(self, score: Score, samples: Samples) -> Values:
        """Give a score of all images, and without each group of them; see `leave_one_out`.

        Raises:
            ValueError: The samples are too small for this score.
        """
        read = _read(score, samples)
        key = (score.name, *read, *(id(samples[name]) for name in read))
        if key not in self._known:
            # Kept with its samples, so that no others can come to lie where they lie.
            self._known[key] = samples, _leave_one_out(score, samples)
        return self._known[key][1]


def estimate(score: Score, samples: Samples, *, alpha: float, replicates: Replicates | None = None) -> Estimate:
    """Compute a score and its interval.

    Args:
        score: Which.
        samples: What it reads.
        alpha: Level of the interval, both tails together.
        replicates: What is known of scores with groups left out; they are computed anew by default.

    Raises:
        NotMeasured: The samples are too small for this metric; says why.
    """
    images = score.images(samples)
    try:
        if score.check:
            score.check(samples)
        if score.is_plain:
            return Estimate.exact(score.value(samples), images)
        if score.count is not None:
            share = proportion(*score.count(samples), alpha)
            return share if score.of_some else replace(share, images=images)
        return combination([(1.0, score, samples)], alpha=alpha, replicates=replicates)
    except ValueError as error:
        raise NotMeasured(f"{score.needs[0]}: {error}") from error


def difference(score: Score, first: Samples, second: Samples, *, alpha: float) -> Estimate:
    """Compute a score's difference between two classifiers, first minus second, paired image by image.

    Raises:
        NotMeasured: The samples are too small for this metric, or are not of the same images.
    """
    return combination([(1.0, score, first), (-1.0, score, second)], alpha=alpha)


def combination(
    terms: Sequence[tuple[float, Score, Samples]], *, alpha: float, replicates: Replicates | None = None
) -> Estimate:
    """Compute a weighted sum of scores, such as the difference of two gains, with one interval.

    Rows of the same image are left out together in all terms, so what they share cancels. A sum of numbers that
    describe the very images that were seen has no interval.

    Raises:
        NotMeasured: The samples are too small for one of the metrics, or two samples of a benchmark are not of the
            same images in the same order.
    """
    seen: dict[Need, Sample] = {}
    for _, score, samples in terms:
        for name in score.needs:
            if not np.array_equal(seen.setdefault(name, samples[name])["digest"], samples[name]["digest"]):
                raise NotMeasured(f"{name}: the classifiers did not see the same images; measure them again")

    images = min(score.images(samples) for _, score, samples in terms)
    if all(score.is_plain for _, score, _ in terms):
        return _exact(terms, images)
    known = replicates or Replicates()
    try:
        for _, score, samples in terms:
            if score.check:
                score.check(samples)
        scale = sum(abs(weight) * score.scale_of(samples) for weight, score, samples in terms)
        values = sum((weight * known.of(score, samples) for weight, score, samples in terms), np.zeros(1))
        found = jackknife(values, images=images, scale=scale, alpha=alpha)
    except ValueError as error:
        raise NotMeasured(f"{terms[0][1].needs[0]}: {error}") from error
    extremes = [sorted((weight * score.bounds[0], weight * score.bounds[1])) for weight, score, _ in terms]
    least, greatest = sum(low for low, _ in extremes), sum(high for _, high in extremes)
    return replace(found, low=max(found.low, least), high=min(found.high, greatest))


def _read(score: Score, samples: Samples) -> tuple[Need | Normaliser, ...]:
    """Name the samples that a score reads: what it needs, and what it reads beside that where it is at hand."""
    return (*score.needs, *(name for name in score.beside if name in samples))


def _leave_one_out(score: Score, samples: Samples) -> Values:
    read = _read(score, samples)

    def statistic(kept: Mask) -> float:
        return score.value({name: _keep(samples[name], kept) for name in read})

    return leave_one_out(statistic, JACKKNIFE_GROUPS)


def _exact(terms: Sequence[tuple[float, Score, Samples]], images: int) -> Estimate:
    """Sum up numbers that describe the very images that were seen."""
    try:
        return Estimate.exact(sum(weight * score.value(samples) for weight, score, samples in terms), images)
    except ValueError as error:
        raise NotMeasured(f"{terms[0][1].needs[0]}: {error}") from error


def _keep(sample: Sample, kept_groups: Mask) -> Sample:
    """Keep the rows of the groups that are kept."""
    if kept_groups.all():
        return sample
    rows = kept_groups[sample["group"]]
    return {name: values[rows] for name, values in sample.items()}
