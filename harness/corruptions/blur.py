"""Blurs of ImageNet-C, and the filters that they and other corruptions are made of.

Sources: Hendrycks and Dietterich 2019 with the authors' `make_imagenet_c.py` for what is computed, and for how, the
libraries that it calls: SciPy (`gaussian_filter`, `zoom`), ImageMagick (`MotionBlurImage`) and OpenCV (`filter2D`).

Every value comes out the same, to the last bit, whatever the batch, the number of threads or the device. Filters
therefore use only operations that IEEE 754 rounds in one way, in a fixed order; those that sum in an order of their
own, matrix products and Fourier transforms, are given weights on a grid so coarse that their sums are exact.
"""

import functools
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from harness.corruptions.draws import Draws

Border = Literal["nearest", "reflect_101"]
"""What lies beyond the edge of abcd: `nearest` dddd, `reflect_101` cba."""

# A 16-bit quantum of ImageMagick holds an 8-bit level 257 times.
_QUANTA_PER_LEVEL = 257


def gaussian_blur(images: torch.Tensor, draws: Draws, *, sigma: float) -> torch.Tensor:
    """Convolve with a Gaussian of `sigma` pixels, cut off at 4 sigma; beyond the edge lies the edge's pixel.

    Source: `gaussian_blur` of make_imagenet_c.py, which calls `skimage.filters.gaussian`.
    """
    return gaussian_filter(images.double() / 255, sigma) * 255


def glass_blur(images: torch.Tensor, draws: Draws, *, sigma: float, delta: int, iterations: int) -> torch.Tensor:
    """Blur, give each pixel the colour of a neighbour `iterations` times, and blur again.

    Pixels are visited from the last to the first, rows and columns from side - delta down to delta + 1; the neighbour
    is up to `delta` before and `delta` - 1 after in either direction, and shows what it was given if it was visited
    before. The blurs have `sigma` pixels; the first one's result is cut down to whole levels.

    Source: `glass_blur` of make_imagenet_c.py. It is written as a swap, but its right-hand side holds views: by the
    time that the second pixel is assigned, the first one already has the second one's colour. So nothing is swapped.
    """
    blurred = (gaussian_filter(images.double() / 255, sigma) * 255).to(torch.uint8)
    rows = range(delta + 1, blurred.shape[-2] - delta + 1)
    columns = range(delta + 1, blurred.shape[-1] - delta + 1)
    for _ in range(iterations):
        shift = draws.integers(-delta, delta, 2, len(rows), len(columns))
        source = copied_from(shift[:, 1], shift[:, 0], rows, columns, blurred.shape[-2:])
        blurred = blurred.flatten(2).gather(2, source.flatten(1)[:, None].expand(-1, 3, -1)).view_as(blurred)
    return gaussian_filter(blurred.double() / 255, sigma) * 255


def defocus_blur(images: torch.Tensor, draws: Draws, *, radius: float, alias_blur: float) -> torch.Tensor:
    """Convolve with a disk of `radius` pixels whose rim is softened by a Gaussian of `alias_blur` pixels.

    Source: `defocus_blur` of make_imagenet_c.py, which calls OpenCV's `filter2D`. Beyond the edge lies the
    mirror image.
    """
    return filter_2d(images, disk_kernel(radius, alias_blur))


def motion_blur(images: torch.Tensor, draws: Draws, *, radius: int, sigma: float) -> torch.Tensor:
    """Blur along a direction drawn between -45 and 45 degrees, by half a Gaussian of `sigma` pixels.

    Source: `motion_blur` of make_imagenet_c.py, which calls ImageMagick.
    """
    return directional_blur(images, radius, sigma, draws.uniform(low=-45.0, high=45.0).tolist())


def zoom_blur(images: torch.Tensor, draws: Draws, *, stop: float, step: float) -> torch.Tensor:
    """Average an image with itself, zoomed by 1, 1 + step and so on below `stop`.

    The image itself is counted beside its zoom by 1, so twice. All in single precision, as published.

    Source: `zoom_blur` of make_imagenet_c.py.
    """
    unit = images.float() / 255
    factors = [float(factor) for factor in np.arange(1, stop, step)]
    by_column = unit.movedim(-1, 0).contiguous().movedim(0, -1)
    total = clipped_zoom(by_column, factors[0])
    for factor in factors[1:]:
        total += clipped_zoom(by_column, factor)
    return (unit + total) / (len(factors) + 1) * 255


def gaussian_weights(sigma: float, truncate: float = 4.0) -> list[float]:
    """Give half a Gaussian, from its centre outwards: w[0] + 2 (w[1] + ... + w[r]) = 1, r = round(truncate sigma).

    Source: SciPy's `gaussian_filter1d`.
    """
    radius = int(truncate * sigma + 0.5)
    if radius == 0:
        return [1.0]
    places = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 / (sigma * sigma) * places**2)
    return [float(weight) for weight in (weights / weights.sum())[radius:]]


def gaussian_filter(images: torch.Tensor, sigma: float, *, truncate: float = 4.0) -> torch.Tensor:
    """Convolve the last two axes with a Gaussian, rows first; beyond the edge lies the edge's pixel.

    Terms are added in SciPy's order, so float64 results are those of `scipy.ndimage.gaussian_filter`, mode "nearest".

    Args:
        images: (..., h, w), of a floating type.
        sigma: In pixels.
        truncate: Where the Gaussian is cut off, in sigmas.
    """
    weights = gaussian_weights(sigma, truncate)
    for axis in (-2, -1):
        side, radius = images.shape[axis], len(weights) - 1
        padded = pad(images, axis, radius, "nearest")
        images = padded.narrow(axis, radius, side) * weights[0]
        pair = torch.empty_like(images)
        for distance in range(radius, 0, -1):
            before, after = (padded.narrow(axis, radius + step, side) for step in (-distance, distance))
            images += torch.add(before, after, out=pair).mul_(weights[distance])
    return images


def wide_gaussian_filter(fields: torch.Tensor, sigma: float, *, truncate: float) -> torch.Tensor:
    """Convolve the last two axes with a Gaussian that may be wider than they are; the image is mirrored at the edge.

    What `scipy.ndimage.gaussian_filter` computes with mode "reflect", as two products with a matrix. Values and
    weights are rounded to multiples of 2**-26, so that all products and sums are exact; that costs 1e-8.

    Args:
        fields: (..., side, side), float64 in [-1, 1].
        sigma: In pixels; 0 leaves the fields as they are.
        truncate: Where the Gaussian is cut off, in sigmas.
    """
    matrix = torch.from_numpy(_reflecting_matrix(fields.shape[-1], sigma, truncate)).to(fields.device)
    return _on_grid(matrix @ _on_grid(fields, 26), 26) @ matrix.T


def disk_kernel(radius: float, alias_blur: float) -> torch.Tensor:
    """Draw a disk of weight 1 and soften it by a Gaussian of `alias_blur` pixels.

    17 x 17 weights and a Gaussian of 3 x 3 up to a radius of 8; beyond, 2 radius + 1 and 5 x 5. As in OpenCV's
    `GaussianBlur`, weights are rounded to single precision, and the disk's mirror image lies beyond its square.

    Source: `disk` of make_imagenet_c.py.

    Returns:
        float64 weights, shape (side, side), side odd.
    """
    reach, blur = (8, 1) if radius <= 8 else (int(radius), 2)
    places = np.arange(-reach, reach + 1)
    disk = (places[:, None] ** 2 + places**2 <= radius**2).astype(np.float32)
    disk /= disk.sum()
    weights = np.exp(-0.5 / alias_blur**2 * np.arange(-blur, blur + 1) ** 2)
    weights = (weights / weights.sum()).astype(np.float32)[blur:]
    disk = np.pad(disk, blur, mode="reflect")
    for axis in (1, 0):
        disk = np.moveaxis(disk, axis, 0)
        shifted = [disk[shift : shift + len(places)] for shift in range(2 * blur + 1)]
        disk = shifted[blur] * weights[0]
        for distance in range(1, blur + 1):
            disk = disk + (shifted[blur - distance] + shifted[blur + distance]) * weights[distance]
        disk = np.moveaxis(disk, 0, axis)
    return torch.from_numpy(disk.astype(np.float64))


def filter_2d(images: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Correlate with a kernel; beyond the edge lies the mirror image, edge not doubled (OpenCV's `filter2D`).

    Goes through a Fourier transform, and rounds what comes out of it to the grid that the exact result lies on.

    Args:
        images: uint8 (n, c, h, w).
        kernel: float64 (side, side), side odd and less than twice the images' sides; its weights are rounded to
            multiples of 2**-36.

    Returns:
        float64 levels of the same shape.
    """
    height, width = images.shape[-2:]
    reach = kernel.shape[0] // 2
    padded = images.double()
    for axis in (-2, -1):
        padded = pad(padded, axis, reach, "reflect_101")
    size = tuple(_quick_to_transform(side) for side in padded.shape[-2:])
    weights = torch.fft.rfft2(_on_grid(kernel.to(images.device), 36), s=size)
    filtered = torch.fft.irfft2(torch.fft.rfft2(padded, s=size) * weights.conj(), s=size)
    return _on_grid(filtered[..., :height, :width], 36)


def directional_blur(images: torch.Tensor, radius: float, sigma: float, angles: Sequence[float]) -> torch.Tensor:
    """Blur along a line that starts at each pixel, by half a Gaussian.

    Tap i of the 2 ceil(radius) + 1 has weight exp(-i^2 / (2 sigma^2)), normalised, and lies at
    (ceil(i cos - 1/2), ceil(i sin - 1/2)) to the right and down; beyond the edge lies the edge's pixel. The sum is
    rounded to a 16-bit quantum, 257 a level, and cut down to whole levels.

    Source: ImageMagick's `MotionBlurImage`, 6.9.11 with 16-bit quanta, through PNG.

    Args:
        images: uint8 (n, c, h, w).
        radius: Half the number of taps, in pixels.
        sigma: Of the Gaussian, in pixels.
        angles: Of each image, in degrees, clockwise from the right.

    Returns:
        uint8, of the same shape.
    """
    height, width = images.shape[-2:]
    taps = np.arange(2 * math.ceil(radius) + 1)
    weights = np.exp(-(taps**2) / (2 * sigma**2))
    weights /= weights.sum()
    reach = len(taps)
    padded = images.float()
    for axis in (-2, -1):
        padded = pad(padded, axis, reach, "nearest")
    blurred = torch.zeros(images.shape, device=images.device)
    for image, source, angle in zip(blurred, padded, angles, strict=True):
        right = np.ceil(taps * math.cos(math.radians(angle)) - 0.5).astype(int) + reach
        down = np.ceil(taps * math.sin(math.radians(angle)) - 0.5).astype(int) + reach
        for weight, x, y in zip(weights.tolist(), right.tolist(), down.tolist(), strict=True):
            image += source[:, y : y + height, x : x + width] * weight
    return (blurred + 0.5 / _QUANTA_PER_LEVEL).floor().to(torch.uint8)


def clipped_zoom(images: torch.Tensor, factor: float) -> torch.Tensor:
    """Zoom into the middle, bilinearly, and cut out what was there before.

    The middle ceil(side / factor) pixels are stretched to round(that x factor), corner pixels to corner pixels; of
    these the middle `side` are kept, the odd one of them off at the end.

    Source: `clipped_zoom` of make_imagenet_c.py, which calls SciPy's `zoom` of order 1.

    Args:
        images: (..., side, side), of a floating type.
        factor: At least 1.
    """
    side = images.shape[-1]
    crop = math.ceil(side / factor)
    size = round(crop * factor)
    place = (torch.arange(side, dtype=torch.float64) + (size - side) // 2) * ((crop - 1) / (size - 1))
    before = place.floor()
    share = (place - before).to(images.device, images.dtype)
    before = before.long().to(images.device) + (side - crop) // 2
    after = (before + 1).clamp(max=side - 1)
    share = share.view(-1, *[1] * (images.dim() - 1))
    for _ in ("columns", "rows"):
        # The axis at hand goes to the front, where picking from it copies whole blocks.
        images = images.movedim(-1, 0).contiguous()
        near = images.index_select(0, before)
        images = images.index_select(0, after).sub_(near).mul_(share).add_(near)
    return images.movedim((0, 1), (-2, -1))


def copied_from(
    down: torch.Tensor, right: torch.Tensor, rows: range, columns: range, shape: Sequence[int]
) -> torch.Tensor:
    """Say which pixel's colour each pixel has once pixels were copied one after another, the last one first.

    Pixel (y, x) is given the colour that (y + down, x + right) has by then. A pixel visited earlier, one further on,
    has its new colour for good, any other its old one: so each pixel follows its neighbours until one was not visited
    before it. All pixels follow at once, and each round doubles how far they have come.

    Args:
        down: int64 (n, rows, columns), of the pixels that are visited.
        right: Likewise.
        rows: Those that are visited.
        columns: Likewise.
        shape: Of the image, (h, w).

    Returns:
        int64 (n, h, w): y w + x of the pixel whose first colour it has.
    """
    height, width = shape
    here = torch.arange(height * width, device=down.device).view(height, width)
    inside = (slice(None), slice(rows.start, rows.stop), slice(columns.start, columns.stop))
    source = here.repeat(len(down), 1, 1)
    source[inside] += down * width + right
    visited = torch.zeros(height, width, dtype=torch.bool, device=down.device)
    visited[inside[1:]] = True
    source, here = source.flatten(1), here.flatten()
    follows = (source > here) & visited.flatten()[source]
    while follows.any():
        follows, source = (
            follows & follows.gather(1, source),
            torch.where(follows, source.gather(1, source), source),
        )
    return source.view(-1, height, width)


@functools.lru_cache(maxsize=16)
def _reflecting_matrix(side: int, sigma: float, truncate: float) -> NDArray[np.float64]:
    """Give the matrix that convolves a column with a Gaussian, in multiples of 2**-26, shape (side, side)."""
    weights = gaussian_weights(sigma, truncate)
    radius = len(weights) - 1
    # NumPy's word for a mirror that doubles the edge.
    sources = np.pad(np.arange(side), radius, mode="symmetric")
    matrix = np.zeros((side, side))
    for shift in range(-radius, radius + 1):
        np.add.at(matrix, (np.arange(side), sources[radius + shift :][:side]), weights[abs(shift)])
    return (matrix * 2.0**26).round() / 2.0**26


def pad(images: torch.Tensor, axis: int, reach: int, border: Border) -> torch.Tensor:
    """Lengthen an axis at both ends by `reach` pixels, of what lies beyond its edges; `reflect_101` goes once over."""
    side = images.shape[axis]
    if border == "nearest":
        sizes = [-1] * images.dim()
        sizes[axis] = reach
        before, after = (images.narrow(axis, edge, 1).expand(sizes) for edge in (0, side - 1))
    else:
        before, after = (images.narrow(axis, start, reach).flip(axis) for start in (1, side - 1 - reach))
    return torch.cat([before, images, after], axis)


def _on_grid(values: torch.Tensor, bits: int) -> torch.Tensor:
    """Round to multiples of 2**-bits, so that products, and sums of them, need no more than the 53 bits of float64."""
    return (values * 2.0**bits).round() / 2.0**bits


def _quick_to_transform(side: int) -> int:
    """Find the next size whose Fourier transform is quick: with no prime factor beyond 5."""
    while True:
        rest = side
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return side
        side += 1
