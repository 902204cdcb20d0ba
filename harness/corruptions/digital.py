"""Contrast, colour, elastic, pixelation and JPEG of ImageNet-C, and the colour space and resampling they stand on.

Sources: Hendrycks and Dietterich 2019 with the authors' `make_imagenet_c.py` for what is computed, and for how, the
libraries that it calls: scikit-image (HSV), OpenCV (`warpAffine`), SciPy (`map_coordinates`) and Pillow (BOX, JPEG).
"""

import io
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from harness.corruptions.blur import wide_gaussian_filter
from harness.corruptions.draws import Draws

# OpenCV places a warped pixel to 1/32 of a pixel, by coordinates in 1/1024 that are summed before they are cut down.
_WARP_BITS = 10
_PLACE_BITS = 5
# Pillow's weights have this many bits after the point.
_RESIZE_BITS = 22


def contrast(images: torch.Tensor, draws: Draws, *, factor: float) -> torch.Tensor:
    """Move each value towards the mean of its channel: mean + factor (x - mean).

    Source: `contrast` of make_imagenet_c.py.
    """
    unit = images.double() / 255
    # Whole levels are summed, not fractions: the sum is the same in any order.
    sums = images.sum(dim=(-2, -1), keepdim=True)
    means = sums.double() / 255 / (images.shape[-2] * images.shape[-1])
    return ((unit - means) * factor + means) * 255


def brightness(images: torch.Tensor, draws: Draws, *, increase: float) -> torch.Tensor:
    """Add to the value V of HSV, cut off at 1.

    Source: `brightness` of make_imagenet_c.py.
    """
    return brightened(images.double() / 255, increase) * 255


def saturate(images: torch.Tensor, draws: Draws, *, factor: float, increase: float) -> torch.Tensor:
    """Scale the saturation S of HSV and add to it, cut off at 0 and 1.

    Source: `saturate` of make_imagenet_c.py.
    """
    hue, saturation, value = rgb_to_hsv(images.double() / 255)
    return hsv_to_rgb(hue, (saturation * factor + increase).clamp(0, 1), value) * 255


def elastic_transform(images: torch.Tensor, draws: Draws, *, alpha: float, sigma: float, affine: float) -> torch.Tensor:
    """Move three points by up to `affine` pixels, and each pixel by `alpha` times a smooth random field.

    The points are the middle plus (third, third), (third, -third) and (-third, -third) of a side; the affine map
    that takes them to where they are moved is applied first. The field's two components are uniform noise in
    [-1, 1), smoothed by a Gaussian of `sigma` pixels that is cut off at 3 sigma.

    Source: `elastic_transform` of make_imagenet_c.py.
    """
    side = images.shape[-1]
    shifts = draws.uniform(3, 2, low=-affine, high=affine)
    noise = draws.uniform(2, side, side, low=-1.0, high=1.0)
    warped = warp_affine(images.float() / 255, _affine_map(side // 2, side // 3, shifts.float()))
    right, down = (wide_gaussian_filter(noise, sigma, truncate=3.0) * alpha).float().double().unbind(1)
    places = torch.arange(side, dtype=torch.float64, device=images.device)
    return sample_bilinearly(warped, places[:, None] + down, places + right) * 255


def pixelate(images: torch.Tensor, draws: Draws, *, share: float) -> torch.Tensor:
    """Shrink to int(share of the side) pixels a side by averaging boxes, and enlarge to squares again.

    Source: `pixelate` of make_imagenet_c.py, which calls Pillow's `resize` with BOX both ways.
    """
    side = images.shape[-1]
    return enlarge_boxes(shrink_boxes(images, int(side * share)), side)


def jpeg_compression(images: torch.Tensor, draws: Draws, *, quality: int) -> torch.Tensor:
    """Write as JPEG of this quality, colour at half resolution, and read again.

    Goes through Pillow on the CPU.

    Source: `jpeg_compression` of make_imagenet_c.py.
    """
    read = []
    for image in images.permute(0, 2, 3, 1).contiguous().cpu().numpy():
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        read.append(np.array(Image.open(file)))
    return torch.from_numpy(np.stack(read)).permute(0, 3, 1, 2).to(images.device)


def brightened(unit: torch.Tensor, increase: float) -> torch.Tensor:
    """Add to the value V of HSV, cut off at 0 and 1.

    Args:
        unit: (n, 3, h, w), float64 in [0, 1].
        increase: May be negative.
    """
    hue, saturation, value = rgb_to_hsv(unit)
    return hsv_to_rgb(hue, saturation, (value + increase).clamp(0, 1))


def rgb_to_hsv(unit: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Turn RGB into hue, saturation and value, as `skimage.color.rgb2hsv` does.

    V is the largest component and S = (V - smallest) / V. H is a sixth of (g - b) / (V - smallest) where red is
    largest, of 2 + (b - r) / ... where green and of 4 + (r - g) / ... where blue is, modulo 1; the last of these
    that are largest counts. Greys have S = H = 0.

    Args:
        unit: (n, 3, h, w), float64 in [0, 1].

    Returns:
        H, S and V, each (n, h, w) in [0, 1].
    """
    red, green, blue = unit.unbind(1)
    value = unit.amax(1)
    spread = value - unit.amin(1)
    grey = spread == 0
    divisor = torch.where(grey, 1.0, spread)
    hue = torch.where(
        blue == value,
        4 + (red - green) / divisor,
        torch.where(green == value, 2 + (blue - red) / divisor, (green - blue) / divisor),
    )
    hue = (hue / 6).remainder(1.0)
    saturation = spread / torch.where(grey, 1.0, value)
    return torch.where(grey, 0.0, hue), saturation, value


def hsv_to_rgb(hue: torch.Tensor, saturation: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Turn hue, saturation and value into RGB, as `skimage.color.hsv2rgb` does.

    With f = 6 H - floor(6 H): p = V (1 - S), q = V (1 - f S), t = V (1 - (1 - f) S), and (V, t, p), (q, V, p),
    (p, V, t), (p, q, V), (t, p, V), (V, p, q) in the sixths of the circle.

    Returns:
        (n, 3, h, w), in [0, 1].
    """
    sixth = (hue * 6).floor()
    rest = hue * 6 - sixth
    p = value * (1 - saturation)
    q = value * (1 - rest * saturation)
    t = value * (1 - (1 - rest) * saturation)
    choices = torch.stack([value, t, p, q])
    # Where red, green and blue stand among these four, in each sixth.
    table = torch.tensor([[0, 3, 2, 2, 1, 0], [1, 0, 0, 3, 2, 2], [2, 2, 1, 0, 0, 3]], device=hue.device)
    place = table[:, sixth.long() % 6]
    return choices.gather(0, place).transpose(0, 1)


def warp_affine(images: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Take each pixel bilinearly from where an affine map's inverse puts it, to 1/32 of a pixel.

    Beyond the edge lies the mirror image, edge not doubled. Source: OpenCV's `warpAffine`, up to version 4: a row's and
    a column's share of a place are each rounded to 1/1024, and their sum to 1/32.

    Args:
        images: float32 (n, c, h, w).
        maps: float64 (n, 2, 3): x and y, of (x, y, 1).

    Returns:
        float32, of the same shape.
    """
    height, width = images.shape[-2:]
    (a, b, c), (d, e, f) = (row[:, :, None, None].unbind(1) for row in maps.unbind(1))
    scale = 1 / (a * e - b * d)
    a, b, d, e = e * scale, -b * scale, -d * scale, a * scale
    c, f = -a * c - b * f, -d * c - e * f
    columns = torch.arange(width, dtype=torch.float64, device=images.device)
    rows = torch.arange(height, dtype=torch.float64, device=images.device)[:, None]
    one, drop = 2**_WARP_BITS, _WARP_BITS - _PLACE_BITS

    def place(by_column: torch.Tensor, by_row: torch.Tensor, start: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        across = (by_column * columns * one).round()
        along = ((by_row * rows + start) * one).round()
        in_32ths = (across + along + 2 ** (drop - 1)).long() >> drop
        return in_32ths >> _PLACE_BITS, (in_32ths & (2**_PLACE_BITS - 1)).float() / 2**_PLACE_BITS

    left, right = place(a, b, c)
    top, down = place(d, e, f)
    return _interpolated(
        images,
        [_mirrored_101(top + step, height) for step in (0, 1)],
        [_mirrored_101(left + step, width) for step in (0, 1)],
        down,
        right,
    )


def sample_bilinearly(images: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Interpolate at any places; beyond the edge lies the mirror image, edge doubled.

    Source: SciPy's `map_coordinates` of order 1, mode "reflect".

    Args:
        images: float32 (n, c, h, w).
        rows: float64 (n, h, w), in pixels.
        columns: Likewise.

    Returns:
        float32, of the images' shape.
    """
    height, width = images.shape[-2:]
    images = images.double()
    rows, columns = _mirrored(rows, height), _mirrored(columns, width)
    top, left = rows.floor(), columns.floor()
    return _interpolated(
        images,
        [(top.long() + step).clamp(0, height - 1) for step in (0, 1)],
        [(left.long() + step).clamp(0, width - 1) for step in (0, 1)],
        rows - top,
        columns - left,
    ).float()


def shrink_boxes(images: torch.Tensor, size: int) -> torch.Tensor:
    """Average the pixels whose centres lie in each of size x size boxes, columns first, rounding to levels twice.

    Source: Pillow's `resize` with BOX, to the bit: weights are rounded to multiples of 2**-22.

    Args:
        images: uint8 (..., side, side).
        size: At most the side.

    Returns:
        uint8 (..., size, size).
    """
    side = images.shape[-1]
    scale = side / size
    first, weights = [], []
    for box in range(size):
        centre = (box + 0.5) * scale
        start, stop = int(centre - scale / 2 + 0.5), min(int(centre + scale / 2 + 0.5), side)
        inside = [-0.5 < (pixel + 0.5 - centre) / scale <= 0.5 for pixel in range(start, stop)]
        first.append(start)
        weights.append([int(within / sum(inside) * 2**_RESIZE_BITS + 0.5) for within in inside])
    most = max(map(len, weights))
    index = torch.tensor(first, device=images.device)
    table = torch.tensor([row + [0] * (most - len(row)) for row in weights], dtype=torch.int32, device=images.device)
    for axis in (-1, -2):
        total = torch.tensor(2 ** (_RESIZE_BITS - 1), dtype=torch.int32, device=images.device)
        for tap in range(most):
            weight = table[:, tap] if axis == -1 else table[:, tap, None]
            total = total + images.index_select(axis, (index + tap).clamp(max=side - 1)) * weight
        images = (total >> _RESIZE_BITS).to(torch.uint8)
    return images


def enlarge_boxes(images: torch.Tensor, side: int) -> torch.Tensor:
    """Take each of side x side pixels from the box that its centre lies in, as Pillow's `resize` with BOX does."""
    size = images.shape[-1]
    index = torch.tensor([int((place + 0.5) * (size / side)) for place in range(side)], device=images.device)
    return images.index_select(-2, index).index_select(-1, index)


def _affine_map(middle: int, third: int, shifts: torch.Tensor) -> torch.Tensor:
    """Find the map that moves the three points of `elastic_transform` by these shifts, float32 (n, 3 points, x and y).

    The points are the corners of a right angle, so columns of the map are differences of where they go to.

    Returns:
        float64 (n, 2, 3).
    """
    high, low = middle + third, middle - third
    points = torch.tensor([[high, high], [high, low], [low, low]], device=shifts.device)
    first, corner, last = (points + shifts).double().unbind(1)
    by_x, by_y = (corner - last) / (2 * third), (first - corner) / (2 * third)
    return torch.stack([by_x, by_y, corner - by_x * high - by_y * low], dim=2)


def _interpolated(
    images: torch.Tensor,
    rows: Sequence[torch.Tensor],
    columns: Sequence[torch.Tensor],
    down: torch.Tensor,
    right: torch.Tensor,
) -> torch.Tensor:
    """Weigh four pixels: those in the upper or lower of two rows and the left or right of two columns.

    Args:
        images: (n, c, h, w), of a floating type.
        rows: Two of int64 (n, h, w).
        columns: Likewise.
        down: The lower row's weight, (n, h, w), of the images' type.
        right: Likewise, the right column's.
    """
    pixels = images.flatten(2)
    total = torch.zeros_like(pixels)
    for y, weight_y in zip(rows, (1 - down, down), strict=True):
        for x, weight_x in zip(columns, (1 - right, right), strict=True):
            index = (y * images.shape[-1] + x).flatten(1)[:, None].expand(-1, images.shape[1], -1)
            total += pixels.gather(2, index).mul_((weight_y * weight_x).flatten(1)[:, None])
    return total.view_as(images)


def _mirrored(places: torch.Tensor, side: int) -> torch.Tensor:
    """Bring places beyond the edge back inside by mirrors half a pixel beyond the outermost centres."""
    places = places - (places / (2 * side)).floor() * (2 * side)
    return torch.where(places >= side, 2 * side - 1 - places, places)


def _mirrored_101(places: torch.Tensor, side: int) -> torch.Tensor:
    """Bring whole places beyond the edge back inside by mirrors in the outermost centres."""
    places = places.remainder(2 * (side - 1))
    return torch.minimum(places, 2 * (side - 1) - places)
