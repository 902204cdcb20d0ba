"""Perturbations of ImageNet-P that blur or brighten what the middle of a photograph shows.

Sources: Hendrycks and Dietterich 2019 with the authors' `make_imagenet_p.py` for what is computed; the filters and the
colour space are those of ImageNet-C (`harness.corruptions`).
"""

import torch

from harness.corruptions.blur import directional_blur, gaussian_filter
from harness.corruptions.digital import brightened
from harness.corruptions.draws import Draws
from harness.perturbations.geometry import middle


def motion_blur(photograph: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Blur along a line by half a Gaussian of 3 pixels, radius 10, in the directions -120, -116 ... 0 degrees.

    Source: `motion_blur` of make_imagenet_p.py, which calls ImageMagick.
    """
    angles = [(frame - 30) * 4.0 for frame in range(31)]
    return directional_blur(middle(photograph).expand(31, -1, -1, -1), 10, 3, angles)


def gaussian_blur(photograph: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Convolve with a Gaussian of 0.25, 0.285 ... 1.3 pixels, cut off at 6 sigma.

    Beyond the edge lies the edge's pixel.

    Source: `gaussian_blur` of make_imagenet_p.py, one of the validation perturbations, which calls scikit-image.
    """
    unit = middle(photograph).double() / 255
    frames = [gaussian_filter(unit, 0.25 + 0.035 * frame, truncate=6.0) for frame in range(31)]
    return (torch.stack(frames) * 255).to(torch.uint8)


def brightness(photograph: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Add -0.3, -0.28 ... 0.3 to the value V of HSV, cut off at 0 and 1.

    Source: `brightness` of make_imagenet_p.py, which calls scikit-image.
    """
    unit = middle(photograph).double()[None] / 255
    frames = [brightened(unit, (frame - 15) * 2 / 100) for frame in range(31)]
    return (torch.cat(frames) * 255).to(torch.uint8)
