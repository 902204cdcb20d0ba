"""ImageNet-P's perturbations, made from photographs: sequences of frames that move on by little, or differ by noise.

Frames come in the order and with the parameters that were published (Hendrycks and Dietterich 2019; the authors'
ImageNet-P/create_p/make_imagenet_p.py). What is random is drawn for each image by itself, so a sequence depends on the
photograph, its id, the perturbation and the seed, and on no batch, order, device or worker. docs/imagenet_p.md says in
what they differ from the published sequences.
"""

from collections.abc import Callable, Mapping, Sequence

import torch

from harness.corruptions.draws import Draws
from harness.errors import unknown
from harness.metrics.perturbation import PERTURBATIONS, VALIDATION_PERTURBATIONS
from harness.perturbations import blur, geometry, noise, weather
from harness.perturbations.parameters import PARAMETERS, SIDES

GENERATOR = 1
"""Counts up whenever the frames of a perturbation change, be it by a bit."""

_FUNCTIONS: Mapping[str, Callable[..., torch.Tensor]] = {
    "gaussian_noise": noise.gaussian_noise,
    "shot_noise": noise.shot_noise,
    "motion_blur": blur.motion_blur,
    "zoom_blur": geometry.zoom_blur,
    "brightness": blur.brightness,
    "translate": geometry.translate,
    "rotate": geometry.rotate,
    "tilt": geometry.tilt,
    "scale": geometry.scale,
    "snow": weather.snow,
    "spatter": weather.spatter,
    "speckle_noise": noise.speckle_noise,
    "gaussian_blur": blur.gaussian_blur,
    "shear": geometry.shear,
}


def perturb(
    images: torch.Tensor | Sequence[torch.Tensor],
    perturbation: str,
    ids: Sequence[str],
    *,
    seed: int = 0,
    parameters: str = "224",
) -> torch.Tensor:
    """Make a sequence of each photograph, at difficulty 1.

    A photograph is wanted whole, resized so that its shorter side is 256 pixels and not cropped: `translate`, `rotate`,
    `scale`, `shear` and `tilt` bring into sight what lies beyond its middle 224 x 224, and black where it ends. All
    other perturbations see the middle alone. For frames of 32 pixels a photograph is of that size itself.

    Args:
        images: uint8 (n, 3, h, w), RGB, or n of (3, h, w) where their sizes differ; at least as large as the frames.
        perturbation: One of the ten, or of the four for validation (`harness.metrics.perturbation`).
        ids: Names each image; what is random belongs to its name.
        seed: Of all that is random, in 0..2**32-1.
        parameters: `224` for frames of 224 x 224 pixels (ImageNet-P), `32` for frames of 32 x 32 (CIFAR-10-P).

    Returns:
        uint8 (n, frames, 3, side, side), RGB, on the images' device; as many frames as
        `harness.benchmarks.imagenet_p.frames_of` says.

    Raises:
        UsageError: No perturbation or parameter set has that name.
        ValueError: Images are of another type or too small, or there are none, or more or fewer ids.
    """
    if perturbation not in _FUNCTIONS:
        raise unknown("perturbation", perturbation, (*PERTURBATIONS, *VALIDATION_PERTURBATIONS))
    if parameters not in PARAMETERS:
        raise unknown("parameter set", parameters, PARAMETERS)
    if not len(images):
        raise ValueError("no images to perturb")
    sequences, side, arguments = [], SIDES[parameters], PARAMETERS[parameters].get(perturbation, {})
    for image, name in zip(images, ids, strict=True):
        if image.dtype != torch.uint8 or image.ndim != 3 or len(image) != 3 or min(image.shape[1:]) < side:
            raise ValueError(
                f"images must be uint8 (3, h, w) of at least {side} pixels, got {image.dtype} {image.shape}"
            )
        draws = Draws(f"perturbation/{perturbation}", seed, [name], image.device)
        sequences.append(_FUNCTIONS[perturbation](image, draws, side, **arguments))
    return torch.stack(sequences)
