"""Perturbations of ImageNet-P that something falls or runs down in: snow, and spatter of water.

Sources: Hendrycks and Dietterich 2019 with the authors' `make_imagenet_p.py` for what is computed; the filters are
those of ImageNet-C (`harness.corruptions`).
"""

import torch

from harness.corruptions.blur import directional_blur, gaussian_filter
from harness.corruptions.draws import Draws
from harness.corruptions.weather import rims, snow_layer, whitened
from harness.perturbations.geometry import middle

_PALE_TURQUOISE = (175, 238, 238)
# What a row takes of the row below it, of its own, of the one above and of the one above that.
_RUN = (0.05, 0.1, 0.15, 0.7)


def snow(photograph: torch.Tensor, draws: Draws, side: int, *, zoom: int, radius: int, sigma: float) -> torch.Tensor:
    """Whiten, and let flakes fall from a direction that turns: -150, -146 ... -30 degrees.

    Of flakes drawn from N(0.05, 0.3), zoomed, those of 0.5 and more are kept, and blurred along a line by half a
    Gaussian. They and their half turn are added to 0.85 x + 0.15 max(x, 1.5 grey + 0.5), of x in [0, 1].

    Source: `snow` of make_imagenet_p.py.
    """
    unit = middle(photograph, side).double()[None] / 255
    flakes = snow_layer(draws.normal(side, side) * 0.3 + 0.05, zoom, 0.5)
    angles = [frame * 4.0 - 150 for frame in range(31)]
    layers = directional_blur(flakes.expand(31, -1, -1, -1), radius, sigma, angles).double() / 255
    return ((whitened(unit, 0.85) + layers + layers.rot90(2, (-2, -1))).clamp(0, 1) * 255).to(torch.uint8)


def spatter(photograph: torch.Tensor, draws: Draws, side: int) -> torch.Tensor:
    """Splash water that shines at its rims, and let it run down.

    Drops are where noise drawn from N(0.65, 0.27) and smoothed by 3.7 pixels is 0.69 and more. From frame to frame they
    are averaged with what is above and below: 0.05 of one row below, 0.1 of the same, 0.15 of one and 0.7 of two rows
    above. Water is added, 0.6 times a weight of largest value 1, in pale turquoise, in single precision.

    Source: `spatter` of make_imagenet_p.py, one of the validation perturbations. Where there is no drop at all, its
    frames turn out black; here they stay as they are.
    """
    liquid = gaussian_filter(draws.normal(side, side)[0] * 0.27 + 0.65, 3.7)
    liquid = torch.where(liquid < 0.69, 0.0, liquid)
    layers = [liquid]
    for _ in range(30):
        above = torch.nn.functional.pad(layers[-1], (0, 0, 2, 1))
        layers.append(sum(weight * above[3 - row : side + 3 - row] for row, weight in enumerate(_RUN)))  # type: ignore[arg-type]
    levels = (torch.stack(layers) * 255).to(torch.uint8)
    weight = levels.float() * rims(levels).float()
    largest = weight.amax((1, 2), keepdim=True)
    weight = weight / torch.where(largest == 0, 1.0, largest) * 0.6
    water = torch.tensor(_PALE_TURQUOISE, dtype=torch.float32, device=weight.device)[:, None, None] / 255
    return ((middle(photograph, side).float() / 255 + weight[:, None] * water).clamp(max=1) * 255).to(torch.uint8)
