"""What each perturbation of ImageNet-P takes beside a photograph, at difficulty 1.

Sources: the authors' `make_imagenet_p.py` for frames of 224 x 224, and `make_cifar_p.py` for frames of 32 x 32
(CIFAR-10-P). Gaussian blur, spatter, speckle noise and shear, which are for validation, are taken at the former's size
for both.
"""

from collections.abc import Mapping
from typing import Any

SIDES: Mapping[str, int] = {"224": 224, "32": 32}
"""Of the frames that each set of parameters is for, in pixels."""

PARAMETERS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "224": {
        "gaussian_noise": {"sigma": 0.03},
        "shot_noise": {"photons": 300},
        "motion_blur": {"radius": 10, "sigma": 3, "frames": 31, "degrees": 4.0},
        "snow": {"zoom": 3, "radius": 14, "sigma": 4},
        "brightness": {"percent": 2},
        "translate": {"first": -20, "last": 20},
        "tilt": {"degrees": 1},
        "scale": {"least": 40, "step": 2.5},
    },
    "32": {
        "gaussian_noise": {"sigma": 0.02},
        "shot_noise": {"photons": 700},
        "motion_blur": {"radius": 6, "sigma": 1.8, "frames": 21, "degrees": 9.0},
        "snow": {"zoom": 2, "radius": 10, "sigma": 2},
        "brightness": {"percent": 1.5},
        "translate": {"first": -7, "last": 8},
        "tilt": {"degrees": 0.75},
        "scale": {"least": 70, "step": 2},
    },
}
"""By the frames' size, the arguments of each perturbation that has any."""
