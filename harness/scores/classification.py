"""The metrics that classification is read for, benchmark by benchmark."""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import recorded
from harness.errors import NotMeasured
from harness.metrics import calibration, corruption, perturbation, shape_bias
from harness.protocols.needs import Need, Normaliser
from harness.records.schema import Columns
from harness.scores.score import ALWAYS, Mask, Part, Ratio, Sample, Samples, Score, common_part

# The author's 1201 stimuli hold one image without conflict, which his run counted as shape and as texture.
STRAY_STIMULUS = "bicycle6-bicycle3"

CELLS = tuple((name, severity) for name in corruption.CORRUPTIONS for severity in corruption.SEVERITIES)

# The greatest that can be known of a sequence, by its name in samples.
_MOST = {"flips": 1.0, "distances": float(perturbation.MAX_TOP5_DISTANCE)}

# The records' columns that `make_sample` reads, by benchmark.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "imagenet": (*ALWAYS, "label", "own_prediction", "top5"),
    "imagenet-c": (*ALWAYS, "label", "own_prediction", "cell"),
    "imagenet-p": (*ALWAYS, "cell", "frames", "top5"),
    "imagenet-a": (*ALWAYS, "label", "own_prediction", "own_confidence"),
    "cue-conflict": (*ALWAYS, "own_prediction", "top5", "shape", "texture", "category_probabilities"),
}


def boil_down(benchmark: str, columns: Columns) -> Columns:
    """Reduce a chunk of records to what the benchmark's scores read."""
    images = columns["image"]
    sample = common_part(columns)
    if benchmark == "cue-conflict":
        place = {name: index for index, name in enumerate(shape_bias.CATEGORIES)}
        sample["shape"] = np.array([place[name] for name in columns["shape"]], dtype=np.int8)
        sample["texture"] = np.array([place[name] for name in columns["texture"]], dtype=np.int8)
        sample["stray"] = np.array([STRAY_STIMULUS in image for image in images], dtype=bool)
        sample["by_class"] = shape_bias.decide_by_class(columns["own_prediction"]).astype(np.int8)
        in_top5 = shape_bias.category_of(columns["top5"].reshape(-1, 5))
        for cue in ("shape", "texture"):
            sample[f"{cue}_in_top5"] = (in_top5 == sample[cue][:, None]).any(axis=1)
        sample["by_category"] = shape_bias.decide_by_category(columns["category_probabilities"]).astype(np.int8)
        return sample
    if benchmark == "imagenet-p":
        return {**sample, **_flips_and_distances(columns)}
    sample["correct"] = columns["own_prediction"] == columns["label"]
    if benchmark == "imagenet":
        sample["in_top5"] = (columns["top5"] == columns["label"][:, None]).any(axis=1)
    elif benchmark == "imagenet-c":
        place = {f"{name}/{severity}": index for index, (name, severity) in enumerate(CELLS)}
        sample["cell"] = np.array([place[cell] for cell in columns["cell"]], dtype=np.uint8)
    elif benchmark == "imagenet-a":
        sample["confidence"] = columns["own_confidence"]
    return sample


def _flips_and_distances(columns: Columns) -> Columns:
    """Give each sequence's place among the perturbations, its flip probability, and its top-5 distance."""
    place = {name: index for index, name in enumerate(perturbation.PERTURBATIONS)}
    cells = np.array([place[cell] for cell in columns["cell"]], dtype=np.uint8)
    flips, distances = np.zeros(len(cells)), np.zeros(len(cells))
    for cell, frames in {(int(cell), int(frames)) for cell, frames in zip(cells, columns["frames"], strict=True)}:
        rows = (cells == cell) & (columns["frames"] == frames)
        top5 = columns["top5"][rows].reshape(rows.sum(), -1, 5)[:, :frames]
        noise = perturbation.is_noise(perturbation.PERTURBATIONS[cell])
        flips[rows] = perturbation.flip_probabilities(top5[:, :, 0], noise=noise)
        distances[rows] = perturbation.top5_distances(top5, noise=noise)
    return {"cell": cells, "flips": flips, "distances": distances}


def _share(name: str, benchmark: str, hit: str) -> Score:
    def count(samples: Samples) -> tuple[int, int]:
        hits = samples[benchmark][hit]
        return int(hits.sum()), len(hits)

    def value(samples: Samples) -> float:
        hits, images = count(samples)
        if images == 0:
            raise ValueError(f"{name}: no images")
        return hits / images

    def parts(samples: Samples) -> list[Part]:
        return [Part(benchmark, samples[benchmark][hit].astype(np.float64), (0.0, 1.0))]

    # The 75 corrupted copies of an image are no 75 images: there the jackknife, which leaves out all of them at once.
    return Score(name, (benchmark,), value, count=None if benchmark == "imagenet-c" else count, parts=parts)


def _weighted(
    need: Need, values: NDArray[Any], weights: NDArray[np.float64], places: NDArray[Any], most: float
) -> Part:
    """Give the part of a score that weighs what is known of images by their cells.

    Args:
        need: Of what the samples are.
        values: What is known of each image, in 0..most.
        weights: Of each cell; a weighted mean over equally large cells is the mean of value times weight.
        places: Each image's cell.
        most: The greatest that can be known of an image.
    """
    ends = most * weights
    return Part(need, values * weights[places], (min(0.0, float(ends.min())), max(0.0, float(ends.max()))))


def _wrong_in_cells(samples: Samples, by_corruption: Mapping[str, float]) -> Part:
    """Give the part of a score that weighs errors on ImageNet-C by their corruptions."""
    sample = samples["imagenet-c"]
    weights = np.array([by_corruption.get(name, 0.0) for name, _ in CELLS])
    return _weighted("imagenet-c", ~sample["correct"], weights, sample["cell"], 1.0)


def _in_perturbations(samples: Samples, what: str, by_perturbation: Mapping[str, float]) -> Part:
    """Give the part of a score that weighs what is known of sequences by their perturbations."""
    sample = samples["imagenet-p"]
    weights = np.array([by_perturbation.get(name, 0.0) for name in perturbation.PERTURBATIONS])
    return _weighted("imagenet-p", sample[what], weights, sample["cell"], _MOST[what])


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


def _error_of(corruption_name: str) -> Score:
    """Build the score of one corruption's error, averaged over its severities."""
    places = [place for place, (name, _) in enumerate(CELLS) if name == corruption_name]

    def value(samples: Samples) -> float:
        cells, correct = samples["imagenet-c"]["cell"], samples["imagenet-c"]["correct"]
        shares = []
        for place in places:
            here = correct[cells == place]
            if not len(here):
                raise ValueError(f"no image of {'/'.join(map(str, CELLS[place]))}; ask for more with --images")
            shares.append(1 - float(here.mean()))
        return sum(shares) / len(shares)

    def seen(samples: Samples) -> int:
        return int(np.isin(samples["imagenet-c"]["cell"], places).sum())

    def parts(samples: Samples) -> list[Part]:
        return [_wrong_in_cells(samples, {corruption_name: float(len(corruption.CORRUPTIONS))})]

    return Score(f"error_{corruption_name}", ("imagenet-c",), value, seen=seen, parts=parts)


def _of_perturbation(name: str, what: str, called: str, **options: Any) -> Score:
    """Build the score of one perturbation's mean flip probability or top-5 distance."""
    place = perturbation.PERTURBATIONS.index(name)

    def value(samples: Samples) -> float:
        here = samples["imagenet-p"][what][samples["imagenet-p"]["cell"] == place]
        if not len(here):
            raise ValueError(f"no sequence of {name}; ask for more with --images")
        return float(here.mean())

    def seen(samples: Samples) -> int:
        return int((samples["imagenet-p"]["cell"] == place).sum())

    def parts(samples: Samples) -> list[Part]:
        weights = {name: float(len(perturbation.PERTURBATIONS))}
        return [_in_perturbations(samples, what, weights)]

    return Score(f"{called}_{name}", ("imagenet-p",), value, seen=seen, parts=parts, **options)


def alexnet_corruption_errors(samples: Samples) -> dict[str, float]:
    """Give the errors that mCE is normalised by: AlexNet's on the same images where they are at hand, or published."""
    alexnet = samples.get(Normaliser("imagenet-c"))
    return corruption_means(alexnet) if alexnet else recorded.alexnet_corruption_errors()


def alexnet_clean_error(samples: Samples) -> float:
    """Give the clean error that rel. mCE is normalised by, likewise."""
    alexnet = samples.get(Normaliser("imagenet"))
    return _clean_error(alexnet) if alexnet else recorded.alexnet_clean_error()


def alexnet_flip_probabilities(samples: Samples) -> dict[str, float]:
    """Give the flip probabilities that mFR is normalised by, likewise."""
    alexnet = samples.get(Normaliser("imagenet-p"))
    return perturbation_means(alexnet, "flips") if alexnet else recorded.alexnet_flip_probabilities()


def _mce(samples: Samples) -> float:
    return corruption.mce(corruption_means(samples["imagenet-c"]), alexnet_corruption_errors(samples))


def _inverses(values: Mapping[str, float], what: str) -> dict[str, float]:
    """Give by what to multiply instead of dividing by AlexNet's.

    Raises:
        NotMeasured: One can't be divided by, whatever else is measured.
    """
    for name, value in values.items():
        if value <= 0:
            raise NotMeasured(f"AlexNet's {what} on {name} is {value:g}, which can't be divided by")
    return {name: 1 / value for name, value in values.items()}


def _mce_parts(samples: Samples) -> list[Part]:
    return [_wrong_in_cells(samples, _inverses(alexnet_corruption_errors(samples), "error"))]


def _clean_error(sample: Sample) -> float:
    if not len(sample["correct"]):
        raise ValueError("rel_mce: no clean images")
    return 1 - float(sample["correct"].mean())


def _relative_mce(samples: Samples) -> float:
    return corruption.relative_mce(
        corruption_means(samples["imagenet-c"]),
        _clean_error(samples["imagenet"]),
        alexnet_corruption_errors(samples),
        alexnet_clean_error(samples),
    )


def _relative_mce_parts(samples: Samples) -> list[Part]:
    """Split rel. mCE into errors when corrupted less errors when clean, each over what AlexNet's error rises by."""
    clean = alexnet_clean_error(samples)
    rises = {name: error - clean for name, error in alexnet_corruption_errors(samples).items()}
    weights = _inverses(rises, "rise over its clean error")
    mean = sum(weights.values()) / len(weights)
    wrong = ~samples["imagenet"]["correct"]
    off = Part("imagenet", -mean * wrong, (min(0.0, -mean), max(0.0, -mean)))
    return [_wrong_in_cells(samples, weights), off]


def perturbation_means(sample: Sample, what: str) -> dict[str, float]:
    """Average what is known of sequences over those of each of ImageNet-P's perturbations.

    Args:
        sample: Of ImageNet-P.
        what: `flips` for flip probabilities, `distances` for top-5 distances.

    Raises:
        ValueError: One of the ten perturbations has no sequence.
    """
    names = perturbation.PERTURBATIONS
    sequences = np.bincount(sample["cell"], minlength=len(names))
    if not sequences.all():
        raise ValueError(
            f"{len(sample['cell']):,} of its sequences reach {np.count_nonzero(sequences)} of the 10 perturbations; "
            "mFR needs all, so ask for more with --images"
        )
    sums = np.bincount(sample["cell"], weights=sample[what], minlength=len(names))
    return {name: float(sums[place] / sequences[place]) for place, name in enumerate(names)}


def _mean_flip_probability(samples: Samples) -> float:
    return sum(perturbation_means(samples["imagenet-p"], "flips").values()) / len(perturbation.PERTURBATIONS)


def _mfr(samples: Samples) -> float:
    return perturbation.mfr(perturbation_means(samples["imagenet-p"], "flips"), alexnet_flip_probabilities(samples))


def _parts_of_perturbations(
    what: str, weights: Callable[[Samples], Mapping[str, float]]
) -> Callable[[Samples], list[Part]]:
    def parts(samples: Samples) -> list[Part]:
        return [_in_perturbations(samples, what, weights(samples))]

    return parts


def _alike(samples: Samples) -> Mapping[str, float]:
    return dict.fromkeys(perturbation.PERTURBATIONS, 1.0)


def _by_flips(samples: Samples) -> Mapping[str, float]:
    return _inverses(alexnet_flip_probabilities(samples), "flip probability")


def _by_distances(samples: Samples) -> Mapping[str, float]:
    return _inverses(alexnet_top5_distances(samples), "top-5 distance")


def _mean_top5_distance(samples: Samples) -> float:
    return perturbation.mean_top5_distance(perturbation_means(samples["imagenet-p"], "distances"))


def alexnet_top5_distances(samples: Samples) -> dict[str, float]:
    """Give the distances that mT5D is normalised by, likewise; those of all images are pinned and not published.

    Raises:
        NotMeasured: AlexNet's are neither at hand nor pinned.
    """
    alexnet = samples.get(Normaliser("imagenet-p"))
    return perturbation_means(alexnet, "distances") if alexnet else recorded.alexnet_top5_distances()


def _mt5d(samples: Samples) -> float:
    distances = perturbation_means(samples["imagenet-p"], "distances")
    return perturbation.mt5d(distances, alexnet_top5_distances(samples))


def _mean_inverse(values: Mapping[str, float]) -> float:
    return sum(1 / value if value else math.inf for value in values.values()) / len(values)


def _mfr_scale(samples: Samples) -> float:
    return _mean_inverse(alexnet_flip_probabilities(samples))


def _mt5d_scale(samples: Samples) -> float:
    return perturbation.MAX_TOP5_DISTANCE * _mean_inverse(alexnet_top5_distances(samples))


def _calibration(name: str, metric: Callable[[NDArray[np.float64], Mask], float]) -> Score:
    def value(samples: Samples) -> float:
        sample = samples["imagenet-a"]
        return metric(sample["confidence"].astype(np.float64), sample["correct"])

    return Score(name, ("imagenet-a",), value, is_smooth=False)


def _shape_scores(rule: str, suffix: str) -> list[Score]:
    """Build the scores of one decision rule.

    `by_class`, the published rule, counts the images that the author used: those with a conflict, and the stray one
    without, as shape and as texture. `by_category`, Geirhos' rule, counts those with a conflict.
    """

    def used_in(sample: Sample) -> Mask:
        conflict = np.asarray(sample["shape"] != sample["texture"])
        return conflict | sample["stray"] if rule == "by_class" else conflict

    def counts(samples: Samples) -> shape_bias.ShapeBias:
        sample = samples["cue-conflict"]
        used = used_in(sample)
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

    def ratio(samples: Samples) -> Ratio:
        counts(samples)
        sample = samples["cue-conflict"]
        by_shape, by_texture = (used_in(sample) & (sample[rule] == sample[cue]) for cue in ("shape", "texture"))
        return Ratio("cue-conflict", by_shape, by_texture)

    needs = ("cue-conflict",)
    return [
        Score(f"shape_bias{suffix}", needs, bias, count=hits, ratio=ratio),
        Score(f"shape_hits{suffix}", needs, shape_hits, percent=False, is_plain=True),
        Score(f"texture_hits{suffix}", needs, texture_hits, percent=False, is_plain=True),
    ]


def _in_top5(cue: str) -> Score:
    """Build the score of how many images with a conflict have a class of one cue's category among their top 5.

    Top 5 of all classes, unrestricted: an image can match by both cues, or by none (paper, Figure 4).
    """

    def count(samples: Samples) -> tuple[int, int]:
        sample = samples["cue-conflict"]
        used = sample["shape"] != sample["texture"]
        if not used.any():
            raise ValueError("no image has a shape and a texture of different categories")
        return int((sample[f"{cue}_in_top5"] & used).sum()), int(used.sum())

    def value(samples: Samples) -> float:
        hits, images = count(samples)
        return hits / images

    def ratio(samples: Samples) -> Ratio:
        count(samples)
        sample = samples["cue-conflict"]
        used = sample["shape"] != sample["texture"]
        return Ratio("cue-conflict", used & sample[f"{cue}_in_top5"], used & ~sample[f"{cue}_in_top5"])

    return Score(f"{cue}_in_top5", ("cue-conflict",), value, count=count, of_some=True, ratio=ratio)


_DISTANCE: dict[str, Any] = {
    "percent": False,
    "bounds": (0.0, perturbation.MAX_TOP5_DISTANCE),
    "scale": perturbation.MAX_TOP5_DISTANCE,
}

SCORES: Mapping[str, Mapping[str, Score]] = {
    benchmark: {score.name: score for score in scores}
    for benchmark, scores in {
        "imagenet": [_share("top1", "imagenet", "correct"), _share("top5", "imagenet", "in_top5")],
        "imagenet-c": [
            Score(
                "mce",
                ("imagenet-c",),
                _mce,
                beside=(Normaliser("imagenet-c"),),
                bounds=(0.0, math.inf),
                parts=_mce_parts,
            ),
            Score(
                "rel_mce",
                ("imagenet-c", "imagenet"),
                _relative_mce,
                beside=(Normaliser("imagenet-c"), Normaliser("imagenet")),
                bounds=(-math.inf, math.inf),
                parts=_relative_mce_parts,
            ),
            _share("top1", "imagenet-c", "correct"),
            *map(_error_of, corruption.CORRUPTIONS),
        ],
        "imagenet-p": [
            Score(
                "mfr",
                ("imagenet-p",),
                _mfr,
                beside=(Normaliser("imagenet-p"),),
                bounds=(0.0, math.inf),
                scale=_mfr_scale,
                parts=_parts_of_perturbations("flips", _by_flips),
            ),
            Score(
                "mt5d",
                ("imagenet-p",),
                _mt5d,
                beside=(Normaliser("imagenet-p"),),
                bounds=(0.0, math.inf),
                scale=_mt5d_scale,
                parts=_parts_of_perturbations("distances", _by_distances),
            ),
            Score(
                "mean_flip_probability",
                ("imagenet-p",),
                _mean_flip_probability,
                parts=_parts_of_perturbations("flips", _alike),
            ),
            Score(
                "mean_top5_distance",
                ("imagenet-p",),
                _mean_top5_distance,
                parts=_parts_of_perturbations("distances", _alike),
                **_DISTANCE,
            ),
            *(_of_perturbation(name, "flips", "flip_probability") for name in perturbation.PERTURBATIONS),
            *(_of_perturbation(name, "distances", "top5_distance", **_DISTANCE) for name in perturbation.PERTURBATIONS),
        ],
        "imagenet-a": [
            _share("top1", "imagenet-a", "correct"),
            _calibration("rms_ce", functools.partial(calibration.rms_calibration_error, form="published")),
            _calibration("rms_ce_corrected", functools.partial(calibration.rms_calibration_error, form="corrected")),
            _calibration("aurra", calibration.aurra),
        ],
        "cue-conflict": [
            *_shape_scores("by_class", ""),
            *_shape_scores("by_category", "_geirhos"),
            _in_top5("shape"),
            _in_top5("texture"),
        ],
    }.items()
}
