"""The metrics that records of maximizing images are read for: what was reached, and how much the images look alike."""

from collections.abc import Callable, Mapping

import numpy as np

from harness.errors import NotMeasured
from harness.metrics import similarity
from harness.metrics.similarity import Images
from harness.protocols.maximizing import Maximize
from harness.records.schema import MAXIMIZE_COLUMNS, Columns
from harness.scores.score import Mask, Sample, Samples, Score, common_part

# The iterate nearest to its seed of those that met the criterion, which the paper shows, and the last one.
KINDS = ("smallest", "final")

# Numbers of a set of images, for each kind; those that begin so are printed in percent.
_SIMILARITIES = (
    *("ssim_to_seed", "difference_to_seed", "ssim_between_units", "ssim_between_seeds", "seed_share", "unit_share"),
)
_IN_PERCENT = ("maximized", "difference_to_seed", "seed_share", "unit_share")

COLUMNS = tuple(name for name in MAXIMIZE_COLUMNS if name != "position")


def make_sample(maximize: Maximize, columns: Columns) -> Sample:
    """Compute every number, each an array of one; NaN where it does not exist.

    What is said of the nearest images is said of the units that were maximized from every seed.
    """
    grid = (maximize.seed_count, maximize.unit_count)
    side = round((columns["seed_image"].shape[1] // 3) ** 0.5)
    photographs = columns["photograph"].reshape(grid)[:, 0]
    seeds = columns["seed_image"].reshape(*grid, side, side, 3)[:, 0]
    met = (columns["met_at"] >= 0).reshape(grid)
    numbers = {"maximized": float(met.mean()), "activation_seed": float(columns["activation_seed"].mean())}
    for kind in KINDS:
        # An image that does not exist is compared with nothing, and the other images of its unit neither.
        units = np.ones(grid[1], dtype=bool) if kind == "final" else met.all(axis=0)
        images = columns[f"{kind}_image"].reshape(*grid, side, side, 3)[:, units]
        found = _similarities(seeds, images, photographs) if units.any() else dict.fromkeys(_SIMILARITIES, np.nan)
        numbers |= {f"{name}_{kind}": number for name, number in found.items()}
        for name in ("activation", "linf"):
            of_units = columns[f"{name}_{kind}"].reshape(grid)[:, units]
            numbers[f"{name}_{kind}"] = float(of_units.mean()) if units.any() else np.nan
    return {**common_part(columns), **{name: np.array([number]) for name, number in numbers.items()}}


def _similarities(seeds: Images, images: Images, photographs: Mask) -> dict[str, float]:
    """Compare images, shape (seeds, units, h, w, 3), with their seeds and with one another.

    Noise looks like noise to SSIM, whatever is done to it, so that photographs alone are compared by it.
    """
    shown = images[photographs]
    pairs = [(seed, image) for seed, row in zip(seeds[photographs], shown, strict=True) for image in row]
    by_seed, by_unit = _or_nan(lambda: similarity.variance_shares(images), 2)
    return {
        "ssim_to_seed": float(np.mean([similarity.ssim(*pair) for pair in pairs])),
        "difference_to_seed": float(np.mean([similarity.mean_absolute_difference(*pair) for pair in pairs])),
        "ssim_between_units": _or_nan(lambda: (similarity.between_units(shown),), 1)[0],
        "ssim_between_seeds": _or_nan(lambda: (similarity.between_seeds(shown),), 1)[0],
        "seed_share": by_seed,
        "unit_share": by_unit,
    }


def _or_nan(compute: Callable[[], tuple[float, ...]], count: int) -> tuple[float, ...]:
    """Give numbers, or as many NaNs where there are too few seeds or units for them."""
    try:
        return compute()
    except NotMeasured:
        return (np.nan,) * count


def maximize_scores(maximize: Maximize) -> Mapping[str, Score]:
    """Give the metrics of maximizing images by name."""
    names = ["maximized", "activation_seed"]
    for kind in KINDS:
        names += [f"{name}_{kind}" for name in ("activation", "linf", *_SIMILARITIES)]
    return {name: _score(maximize, name) for name in names}


def _score(maximize: Maximize, name: str) -> Score:
    def value(samples: Samples) -> float:
        sample = samples[maximize]
        number = float(sample[name][0])
        if np.isnan(number):
            pairs = len(sample["group"])
            never = round((1 - float(sample["maximized"][0])) * pairs)
            raise ValueError(
                f"in {maximize.steps} steps {never} of {pairs} pairs of a seed and a unit never reached probability "
                f"{maximize.probability}, which leaves too few images to compare"
            )
        return number

    percent = name.startswith(_IN_PERCENT)
    return Score(name, (maximize,), value, percent=percent, is_plain=True)
