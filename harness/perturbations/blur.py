"""Perturbations of ImageNet-P that blur or brighten what the middle of a photograph shows.

Sources: Hendrycks and Dietterich 2019 with the authors' `make_imagenet_p.py` for what is computed; the filters and the
colour space are those of ImageNet-C (`harness.corruptions`).
"""

import torch

from harness.corruptions.blur import directional_blur, gaussian_filter
from harness.corruptions.digital import brightened
from harness.corruptions.draws import Draws
from harness.perturbations.geometry import middle


def motion_blur(
    photograph: torch.Tensor, draws: Draws, side: int, *, radius: int, sigma: float, frames: int, degrees: float
) -> torch.Tensor:
    """Blur along a line by half a Gaussian, in directions that turn by some degrees a frame, up to 0.

    Source: `motion_blur` of make_imagenet_p.py, which calls ImageMagick.
    """
    angles = [(frame - frames + 1) * degrees for frame in range(frames)]
    return directional_blur(middle(photograph, side).expand(frames, -1, -1, -1), radius, sigma, angles)


def gaussian_blur(photograph: torch.Tensor, draws: Draws, side: int) -> torch.Tensor:
    """Convolve with a Gaussian of 0.25, 0.285 ... 1.3 pixels, cut off at 6 sigma.

    Beyond the edge lies the edge's pixel.

    Source: `gaussian_blur` of make_imagenet_p.py, one of the validation perturbations, which calls scikit-image.
    """
    unit = middle(photograph, side).double() / 255
    frames = [gaussian_filter(unit, 0.25 + 0.035 * frame, truncate=6.0) for frame in range(31)]
    return (torch.stack(frames) * 255).to(torch.uint8)


def brightness(photograph: torch.Tensor, draws: Draws, side: int, *, percent: float) -> torch.Tensor:
    """Add -15, -14 ... 15 times some percent to the value V of HSV, cut off at 0 and 1.

    Source: `brightness` of make_imagenet_p.py, which calls scikit-image.
    """
    unit = middle(photograph, side).double()[None] / 255
    frames = [brightened(unit, (frame - 15) * percent / 100) for frame in range(31)]
    return (torch.cat(frames) * 255).to(torch.uint8)
