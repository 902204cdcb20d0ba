"""ImageNet-C's corruptions, from images: 15 in its score and 4 extra, at 5 severities, for 224 and for 32 pixels.

One corruption is one small function in `noise`, `blur`, `weather` or `digital`, with its formula and its source; its
arguments at each severity are in `parameters`. What is random comes from generators that belong to an image
(`draws`), so an image is corrupted in the same way whatever its batch, its order, the device or the worker.
docs/corruptions.md says what differs from the published files.
"""

from collections.abc import Callable, Mapping, Sequence

import torch

from harness.corruptions import blur, digital, noise, weather
from harness.corruptions.draws import Draws
from harness.corruptions.parameters import PARAMETERS, SIDES
from harness.errors import DataError, UsageError, unknown
from harness.metrics.corruption import CORRUPTIONS, EXTRA_CORRUPTIONS, SEVERITIES

GENERATOR = 1
"""Goes up whenever any output changes."""

NAMES = CORRUPTIONS + EXTRA_CORRUPTIONS
"""All that can be generated: the 15 of the benchmark, and the 4 extra."""

FUNCTIONS: Mapping[str, Callable[..., torch.Tensor]] = {
    "gaussian_noise": noise.gaussian_noise,
    "shot_noise": noise.shot_noise,
    "impulse_noise": noise.impulse_noise,
    "defocus_blur": blur.defocus_blur,
    "glass_blur": blur.glass_blur,
    "motion_blur": blur.motion_blur,
    "zoom_blur": blur.zoom_blur,
    "snow": weather.snow,
    "frost": weather.frost,
    "fog": weather.fog,
    "brightness": digital.brightness,
    "contrast": digital.contrast,
    "elastic_transform": digital.elastic_transform,
    "pixelate": digital.pixelate,
    "jpeg_compression": digital.jpeg_compression,
    "speckle_noise": noise.speckle_noise,
    "gaussian_blur": blur.gaussian_blur,
    "spatter": weather.spatter,
    "saturate": digital.saturate,
}
"""What computes each: of uint8 images (n, 3, h, w), their draws and its arguments, levels from 0 to 255 and beyond."""


def corrupt(
    images: torch.Tensor, corruption: str, severity: int, ids: Sequence[str], *, seed: int = 0, parameters: str = "224"
) -> torch.Tensor:
    """Corrupt a batch of images.

    What comes out for an image depends on its pixels, its id, the corruption, the severity and the seed, and on nothing
    else: the same on every device and in every batch, to the last bit.

    Args:
        images: uint8, shape (n, 3, h, w), on any device.
        corruption: One of `NAMES`.
        severity: 1 to 5.
        ids: Names each image; what is random for it goes by this.
        seed: Of all that is random.
        parameters: `224` for images of 224 x 224 pixels (ImageNet-C), `32` for images of 32 x 32 (CIFAR-10-C).

    Returns:
        uint8, same shape and device. Fractions of a level are cut off, as in the published files.

    Raises:
        UsageError: No such corruption, severity or parameter set.
        DataError: The images are of another size than the parameters are for.
        ValueError: The images aren't uint8 (n, 3, h, w), or there isn't an id for each.
    """
    if corruption not in FUNCTIONS:
        raise unknown("corruption", corruption, NAMES)
    if severity not in SEVERITIES:
        raise UsageError(f"{corruption}: unknown severity {severity}; known: {', '.join(map(str, SEVERITIES))}")
    if parameters not in PARAMETERS:
        raise unknown("parameter set", parameters, PARAMETERS)
    if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[1] != 3:
        raise ValueError(f"images of dtype {images.dtype} and shape {tuple(images.shape)}; want uint8 (n, 3, h, w)")
    if len(ids) != len(images):
        raise ValueError(f"{len(ids)} ids for {len(images)} images")
    height, width = images.shape[-2:]
    side = SIDES[parameters]
    if (height, width) != (side, side):
        raise DataError(
            f"{corruption}/{severity}: images are {height} x {width} pixels and parameters {parameters!r} are for "
            f"{side} x {side}; resize and crop them first"
        )
    arguments = PARAMETERS[parameters][corruption][severity - 1]
    corrupted = torch.empty_like(images, memory_format=torch.contiguous_format)
    # A processor is quickest on what fits its cache: one image. Other devices take the batch whole.
    step = 1 if images.device.type == "cpu" else max(len(images), 1)
    for start in range(0, len(images), step):
        part = slice(start, start + step)
        draws = Draws(f"corruption/{corruption}/{severity}", seed, ids[part], images.device)
        corrupted[part] = FUNCTIONS[corruption](images[part], draws, **arguments).clamp(0, 255).to(torch.uint8)
    return corrupted
