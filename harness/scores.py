"""From records to named numbers: which metrics a benchmark has, and how each is read off its records.

This is where records meet metrics. A sample holds, of one classifier's records on one benchmark, just the few
bytes an image that its scores read; so millions of records are judged in little memory.
"""

import functools
import math
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import recorded
from harness.errors import NotMeasured, unknown
from harness.metrics import calibration, corruption, shape_bias
from harness.records.schema import Columns
from harness.verdicts.estimates import JACKKNIFE_GROUPS, Estimate, jackknife, proportion

# The author's 1201 stimuli hold one image without conflict, which his run counted as shape and as texture.
STRAY_STIMULUS = "bicycle6-bicycle3"

CELLS = tuple((name, severity) for name in corruption.CORRUPTIONS for severity in corruption.SEVERITIES)

Sample = Mapping[str, NDArray[Any]]
Samples = Mapping[str, Sample]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Score:
    """A metric of a benchmark.

    Attributes:
        name: As printed and as in `--json`, e.g. `top1`.
        needs: Benchmarks whose samples it reads; the first is its own.
        value: From the samples of those benchmarks to the number; ValueError where they are too small.
        percent: Whether it is printed in percent.
        count: For shares of independent images: from the samples to (hits, images), which gives an exact interval.
        bounds: The least and the greatest value that it can have.
        is_count: It is a number of images itself, with no interval of its own.
    """

    name: str
    needs: tuple[str, ...]
    value: Callable[[Samples], float]
    percent: bool = True
    count: Callable[[Samples], tuple[int, int]] | None = None
    is_count: bool = False
    bounds: tuple[float, float] = (0.0, 1.0)


# The records' columns that `make_sample` reads, by benchmark.
_ALWAYS = ("image", "digest")
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "imagenet": (*_ALWAYS, "label", "own_prediction", "top5"),
    "imagenet-c": (*_ALWAYS, "label", "own_prediction", "cell"),
    "imagenet-a": (*_ALWAYS, "label", "own_prediction", "own_confidence"),
    "cue-conflict": (*_ALWAYS, "own_prediction", "shape", "texture", "category_probabilities"),
}


def make_sample(benchmark: str, chunks: Iterable[Columns]) -> Sample:
    """Boil a benchmark's records down to what its scores read, chunk by chunk."""
    parts = [_boil_down(benchmark, columns) for columns in chunks]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _boil_down(benchmark: str, columns: Columns) -> Columns:
    images = columns["image"]
    sample: Columns = {
        "digest": columns["digest"],
        # An image's group is the same in every cell and on every benchmark.
        "group": np.array([zlib.crc32(image.encode()) % JACKKNIFE_GROUPS for image in images], dtype=np.uint8),
    }
    if benchmark == "cue-conflict":
        place = {name: index for index, name in enumerate(shape_bias.CATEGORIES)}
        sample["shape"] = np.array([place[name] for name in columns["shape"]], dtype=np.int8)
        sample["texture"] = np.array([place[name] for name in columns["texture"]], dtype=np.int8)
        sample["stray"] = np.array([STRAY_STIMULUS in image for image in images], dtype=bool)
        sample["by_class"] = shape_bias.decide_by_class(columns["own_prediction"]).astype(np.int8)
        sample["by_category"] = shape_bias.decide_by_category(columns["category_probabilities"]).astype(np.int8)
        return sample
    sample["correct"] = columns["own_prediction"] == columns["label"]
    if benchmark == "imagenet":
        sample["in_top5"] = (columns["top5"] == columns["label"][:, None]).any(axis=1)
    elif benchmark == "imagenet-c":
        place = {f"{name}/{severity}": index for index, (name, severity) in enumerate(CELLS)}
        sample["cell"] = np.array([place[cell] for cell in columns["cell"]], dtype=np.uint8)
    elif benchmark == "imagenet-a":
        sample["confidence"] = columns["own_confidence"]
    return sample


def _share(name: str, benchmark: str, hit: str) -> Score:
    def count(samples: Samples) -> tuple[int, int]:
        hits = samples[benchmark][hit]
        return int(hits.sum()), len(hits)

    def value(samples: Samples) -> float:
        hits, images = count(samples)
        if images == 0:
            raise ValueError(f"{name}: no images")
        return hits / images

    # The 75 corrupted copies of an image are no 75 images: there the jackknife, which leaves out all of them at once.
    return Score(name, (benchmark,), value, count=None if benchmark == "imagenet-c" else count)


def corruption_means(sample: Sample) -> dict[str, float]:
    """Average the error of each corruption over its five severities.

    Raises:
        ValueError: One of the 75 cells has no image.
    """
    images = np.bincount(sample["cell"], minlength=len(CELLS))
    if not images.all():
        raise ValueError(
            f"{len(sample['cell']):,} of its (cell, image) pairs reach {np.count_nonzero(images)} of the 75 cells; "
            "mCE needs all, so ask for more with --images"
        )
    wrong = np.bincount(sample["cell"], weights=~sample["correct"], minlength=len(CELLS))
    errors = {cell: float(wrong[place] / images[place]) for place, cell in enumerate(CELLS)}
    return corruption.mean_over_severities(errors)


def _mce(samples: Samples) -> float:
    return corruption.mce(corruption_means(samples["imagenet-c"]), recorded.alexnet_corruption_errors())


def _relative_mce(samples: Samples) -> float:
    clean = samples["imagenet"]["correct"]
    if not len(clean):
        raise ValueError("rel_mce: no clean images")
    return corruption.relative_mce(
        corruption_means(samples["imagenet-c"]),
        1 - float(clean.mean()),
        recorded.alexnet_corruption_errors(),
        recorded.alexnet_clean_error(),
    )


def _calibration(name: str, metric: Callable[[NDArray[np.float64], Mask], float]) -> Score:
    def value(samples: Samples) -> float:
        sample = samples["imagenet-a"]
        return metric(sample["confidence"].astype(np.float64), sample["correct"])

    return Score(name, ("imagenet-a",), value)


def _shape_scores(rule: str, suffix: str) -> list[Score]:
    """Build the scores of one decision rule.

    `by_class`, the published rule, counts the images that the author used: those with a conflict, and the stray one
    without, as shape and as texture. `by_category`, Geirhos' rule, counts those with a conflict.
    """

    def counts(samples: Samples) -> shape_bias.ShapeBias:
        sample = samples["cue-conflict"]
        used = sample["shape"] != sample["texture"]
        if rule == "by_class":
            used = used | sample["stray"]
        if not used.any():
            raise ValueError("no image has a shape and a texture of different categories")
        return shape_bias.shape_bias(sample[rule][used], sample["shape"][used], sample["texture"][used])

    def bias(samples: Samples) -> float:
        return counts(samples).value

    def hits(samples: Samples) -> tuple[int, int]:
        counted = counts(samples)
        return counted.shape_hits, counted.shape_hits + counted.texture_hits

    def shape_hits(samples: Samples) -> float:
        return counts(samples).shape_hits

    def texture_hits(samples: Samples) -> float:
        return counts(samples).texture_hits

    needs = ("cue-conflict",)
    return [
        Score(f"shape_bias{suffix}", needs, bias, count=hits),
        Score(f"shape_hits{suffix}", needs, shape_hits, percent=False, is_count=True),
        Score(f"texture_hits{suffix}", needs, texture_hits, percent=False, is_count=True),
    ]


SCORES: Mapping[str, Mapping[str, Score]] = {
    benchmark: {score.name: score for score in scores}
    for benchmark, scores in {
        "imagenet": [_share("top1", "imagenet", "correct"), _share("top5", "imagenet", "in_top5")],
        "imagenet-c": [
            Score("mce", ("imagenet-c",), _mce, bounds=(0.0, math.inf)),
            Score("rel_mce", ("imagenet-c", "imagenet"), _relative_mce, bounds=(-math.inf, math.inf)),
            _share("top1", "imagenet-c", "correct"),
        ],
        "imagenet-a": [
            _share("top1", "imagenet-a", "correct"),
            _calibration("rms_ce", functools.partial(calibration.rms_calibration_error, form="published")),
            _calibration("rms_ce_corrected", functools.partial(calibration.rms_calibration_error, form="corrected")),
            _calibration("aurra", calibration.aurra),
        ],
        "cue-conflict": [*_shape_scores("by_class", ""), *_shape_scores("by_category", "_geirhos")],
    }.items()
}


def find_score(benchmark: str, name: str) -> Score:
    """Look a benchmark's metric up by name; the known ones are listed where there is none."""
    scores = SCORES[benchmark]
    if name not in scores:
        raise unknown(f"metric of {benchmark}", name, scores)
    return scores[name]


def estimate(score: Score, samples: Samples, *, alpha: float) -> Estimate:
    """Compute a score and its interval.

    Raises:
        NotMeasured: The samples are too small for this metric; says why.
    """
    images = len(samples[score.needs[0]]["group"])
    try:
        if score.is_count:
            return Estimate.exact(score.value(samples), images)
        if score.count is not None:
            return replace(proportion(*score.count(samples), alpha), images=images)
        return combination([(1.0, score, samples)], alpha=alpha)
    except ValueError as error:
        raise NotMeasured(f"{score.needs[0]}: {error}") from error


def difference(score: Score, first: Samples, second: Samples, *, alpha: float) -> Estimate:
    """Compute a score's difference between two classifiers, first minus second, paired image by image.

    Raises:
        NotMeasured: The samples are too small for this metric, or are not of the same images.
    """
    return combination([(1.0, score, first), (-1.0, score, second)], alpha=alpha)


def combination(terms: Sequence[tuple[float, Score, Samples]], *, alpha: float) -> Estimate:
    """Compute a weighted sum of scores, such as the difference of two gains, with one interval.

    Rows of the same image are left out together in all terms, so what they share cancels.

    Raises:
        NotMeasured: The samples are too small for one of the metrics, or two samples of a benchmark are not of the
            same images in the same order.
    """
    seen: dict[str, Sample] = {}
    for _, score, samples in terms:
        for name in score.needs:
            if not np.array_equal(seen.setdefault(name, samples[name])["digest"], samples[name]["digest"]):
                raise NotMeasured(f"{name}: the classifiers did not see the same images; measure them again")

    def statistic(kept: Mask) -> float:
        return sum(
            weight * score.value({name: _keep(samples[name], kept) for name in score.needs})
            for weight, score, samples in terms
        )

    images = min(len(samples[score.needs[0]]["group"]) for _, score, samples in terms)
    scale = sum(abs(weight) for weight, _, _ in terms)
    try:
        found = jackknife(statistic, groups=JACKKNIFE_GROUPS, images=images, scale=scale, alpha=alpha)
    except ValueError as error:
        raise NotMeasured(f"{terms[0][1].needs[0]}: {error}") from error
    extremes = [sorted((weight * score.bounds[0], weight * score.bounds[1])) for weight, score, _ in terms]
    least, greatest = sum(low for low, _ in extremes), sum(high for _, high in extremes)
    return replace(found, low=max(found.low, least), high=min(found.high, greatest))


def _keep(sample: Sample, kept_groups: Mask) -> Sample:
    """Keep the rows of the groups that are kept."""
    if kept_groups.all():
        return sample
    rows = kept_groups[sample["group"]]
    return {name: values[rows] for name, values in sample.items()}
