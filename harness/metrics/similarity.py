"""How much images look alike, and whether a set of them follows its seeds or its units (paper, section 3.3)."""

from itertools import combinations

import numpy as np
import numpy.typing as npt

from harness.metrics._common import UndefinedMetric

Images = npt.NDArray[np.uint8]


def ssim(first: Images, second: Images) -> float:
    """Structural similarity of two images (Wang et al., 2004), with their Gaussian window, by scikit-image.

    Args:
        first: (h, w, 3) uint8, at least 11 x 11 pixels.
        second: (h, w, 3) uint8.

    Returns:
        1 for equal images, around 0 for unrelated ones; the mean over channels.

    Raises:
        ValueError: shapes differ, or are not of colour images of that size.
    """
    from skimage.metrics import structural_similarity

    if first.shape != second.shape or first.ndim != 3 or first.shape[2] != 3:
        raise ValueError(f"two colour images of one size are needed, got shapes {first.shape} and {second.shape}")
    return float(
        structural_similarity(  # type: ignore[no-untyped-call]
            first, second, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=2, data_range=255
        )
    )


def mean_absolute_difference(first: Images, second: Images) -> float:
    """Mean difference of two images' pixels, as a fraction of their range.

    Args:
        first: uint8, any shape.
        second: uint8, the same shape.

    Returns:
        0 for equal images, at most 1.

    Raises:
        ValueError: shapes differ.
    """
    if first.shape != second.shape:
        raise ValueError(f"two images of one size are needed, got shapes {first.shape} and {second.shape}")
    return float(np.abs(first.astype(np.int16) - second.astype(np.int16)).mean() / 255)


def between_units(images: Images) -> float:
    """Mean SSIM of the images of different units from the same seed.

    Args:
        images: (seeds, units, h, w, 3) uint8.

    Raises:
        UndefinedMetric: fewer than two units.
    """
    return _mean_ssim([pair for row in images for pair in combinations(row, 2)], "units")


def between_seeds(images: Images) -> float:
    """Mean SSIM of the images of the same unit from different seeds.

    Args:
        images: (seeds, units, h, w, 3) uint8.

    Raises:
        UndefinedMetric: fewer than two seeds.
    """
    return _mean_ssim([pair for column in images.swapaxes(0, 1) for pair in combinations(column, 2)], "seeds")


def variance_shares(images: Images) -> tuple[float, float]:
    """Shares of the variance between images that their seeds and their units explain (two-way analysis of variance).

    Pixel by pixel, the sum of squares around the mean image splits into what depends on the seed alone, on the unit
    alone, and on both; summed over pixels and divided by the total.

    Args:
        images: (seeds, units, ...) uint8.

    Returns:
        The seeds' share and the units' share, each in [0, 1]; what is left to 1 depends on both.

    Raises:
        UndefinedMetric: all images are equal, or there are fewer than two seeds or units.
    """
    seeds, units = images.shape[:2]
    if min(seeds, units) < 2:
        raise UndefinedMetric(f"variance needs two seeds and two units at least, got {seeds} and {units}")
    numbers = images.reshape(seeds, units, -1).astype(np.float64)
    numbers = numbers - numbers.mean(axis=(0, 1))
    total = float((numbers**2).sum())
    if total == 0:
        raise UndefinedMetric("all images are equal: there is no variance to be explained")
    by_seed = units * float((numbers.mean(axis=1) ** 2).sum())
    by_unit = seeds * float((numbers.mean(axis=0) ** 2).sum())
    return by_seed / total, by_unit / total


def _mean_ssim(pairs: list[tuple[Images, Images]], what: str) -> float:
    if not pairs:
        raise UndefinedMetric(f"images of different {what} are needed, got those of one")
    return float(np.mean([ssim(first, second) for first, second in pairs]))
