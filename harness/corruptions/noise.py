"""Noise of ImageNet-C, independent in every pixel and channel.

Source: Hendrycks and Dietterich 2019 with the authors' `make_imagenet_c.py`.
"""

import functools
import math

import numpy as np
import torch
from numpy.typing import NDArray

from harness.corruptions.draws import Draws


def gaussian_noise(images: torch.Tensor, draws: Draws, *, sigma: float) -> torch.Tensor:
    """Add sigma times a standard normal number: x + sigma z.

    Source: `gaussian_noise` of make_imagenet_c.py.
    """
    return (images.double() / 255 + draws.normal(*images.shape[1:]) * sigma) * 255


def shot_noise(images: torch.Tensor, draws: Draws, *, photons: float) -> torch.Tensor:
    """Count photons, where white is `photons` of them on average: Poisson(x photons) / photons.

    Source: `shot_noise` of make_imagenet_c.py.
    """
    return poisson(images, draws.uniform(*images.shape[1:]), photons).double() / photons * 255


def impulse_noise(images: torch.Tensor, draws: Draws, *, share: float) -> torch.Tensor:
    """Replace this share of the values, half of them by 1 and half by 0.

    Source: `impulse_noise` of make_imagenet_c.py, which calls `skimage.util.random_noise`. That draws twice, whether a
    value is replaced and by what; here one draw says both.
    """
    drawn = draws.uniform(*images.shape[1:])
    return images.masked_fill(drawn < share, 0).masked_fill(drawn < share / 2, 255)


def speckle_noise(images: torch.Tensor, draws: Draws, *, sigma: float) -> torch.Tensor:
    """Add noise in proportion to the value: x + x sigma z.

    Source: `speckle_noise` of make_imagenet_c.py.
    """
    unit = images.double() / 255
    return (unit + unit * (draws.normal(*images.shape[1:]) * sigma)) * 255


def poisson(images: torch.Tensor, uniform: torch.Tensor, photons: float) -> torch.Tensor:
    """Turn uniform numbers u into Poisson ones of mean x photons, x = level / 255.

    By inversion: the least k with P(at most k) > u. A guide that knows u to 1/1024 says where to begin, which for most
    is where to end.

    Args:
        images: uint8, of any shape.
        uniform: float64 in [0, 1), of the same shape.
        photons: Mean at level 255, at most 700.

    Returns:
        int64, of the same shape.
    """
    at_most, guide = (torch.from_numpy(each).to(images.device) for each in _distributions(photons))
    level, drawn = images.flatten().long(), uniform.flatten()
    counts = guide.take(level * guide.shape[1] + (drawn * guide.shape[1]).long())
    row = level * at_most.shape[1]
    # Those that have further to go.
    rest = (at_most.take(row + counts) <= drawn).nonzero()[:, 0]
    while len(rest):
        counts[rest] += 1
        rest = rest[at_most.take(row.take(rest) + counts.take(rest)) <= drawn.take(rest)]
    return counts.view(images.shape)


@functools.lru_cache(maxsize=16)
def _distributions(photons: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Tabulate P(at most k) of Poisson numbers of mean level / 255 x photons, and the quantiles of 0/1024, 1/1024, ...

    Returns:
        Shapes (256, k) and (256, 1024).
    """
    most = math.ceil(photons + 12 * math.sqrt(photons) + 12)
    means = np.arange(256) / 255 * photons
    factors = np.hstack([np.exp(-means)[:, None], means[:, None] / np.arange(1, most)])
    at_most = np.cumprod(factors, axis=1).cumsum(axis=1)
    at_most[:, -1] = 1
    shares = np.arange(1024) / 1024
    return at_most, np.stack([np.searchsorted(row, shares, side="right") for row in at_most])
