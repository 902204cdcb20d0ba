"""Noise of ImageNet-P: a clean frame, and 30 that each have noise of their own.

Source: Hendrycks and Dietterich 2019 with the authors' `make_imagenet_p.py`.
"""

import torch

from harness.corruptions.draws import Draws
from harness.corruptions.noise import poisson
from harness.perturbations.geometry import middle

_NOISY = 30


def gaussian_noise(photograph: torch.Tensor, draws: Draws, side: int, *, sigma: float) -> torch.Tensor:
    """Add normal noise: x + sigma e, with e standard normal, of x in [0, 1], in single precision.

    Source: `gaussian_noise` of make_imagenet_p.py.
    """
    clean = middle(photograph, side)
    unit = clean.float() / 255
    return _frames(clean, unit + sigma * draws.normal(_NOISY, *clean.shape)[0].float())


def shot_noise(photograph: torch.Tensor, draws: Draws, side: int, *, photons: int) -> torch.Tensor:
    """Count photons, white being so many of them: P / photons, with P Poisson of mean photons x, of x in [0, 1].

    Source: `shot_noise` of make_imagenet_p.py.
    """
    clean = middle(photograph, side)
    uniform = draws.uniform(_NOISY, *clean.shape)[0]
    return _frames(clean, poisson(clean.expand(uniform.shape), uniform, photons).double() / photons)


def speckle_noise(photograph: torch.Tensor, draws: Draws, side: int) -> torch.Tensor:
    """Add noise in proportion to the value: x + 0.05 x e, with e standard normal, of x in [0, 1].

    Source: `speckle_noise` of make_imagenet_p.py, one of the validation perturbations.
    """
    clean = middle(photograph, side)
    unit = clean.double() / 255
    return _frames(clean, unit + unit * (0.05 * draws.normal(_NOISY, *clean.shape)[0]))


def _frames(clean: torch.Tensor, noisy: torch.Tensor) -> torch.Tensor:
    """Put the clean frame before the noisy ones, which are clipped to [0, 1] and cut down to whole levels."""
    return torch.cat([clean[None], (noisy.clamp(0, 1) * 255).to(torch.uint8)])
