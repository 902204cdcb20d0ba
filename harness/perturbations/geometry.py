"""Perturbations of ImageNet-P that move an image: translate, rotate, scale, shear, tilt, and zoom blur.

All of them move the whole photograph, of which the middle is then cut out, so that what lies beyond the middle comes
into sight; beyond the photograph's own edge everything is black.

Sources: Hendrycks and Dietterich 2019 with the authors' `make_imagenet_p.py` for what is computed, and for how, the
libraries that it calls: torchvision 0.2 and Pillow (`affine`), OpenCV (`warpPerspective`). Only operations that IEEE
754 rounds in one way are used, so that every device gives the same frames.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray

from harness.corruptions.draws import Draws

# OpenCV places a warped pixel to 1/32 of a pixel, which makes bilinear weights multiples of 1/1024.
_PLACE_BITS = 5


def translate(photograph: torch.Tensor, draws: Draws, side: int, *, first: int, last: int) -> torch.Tensor:
    """Move to the right by each whole number of pixels from the first to the last; negative is to the left.

    Source: `translate` of make_imagenet_p.py.
    """
    top, left = _corner(photograph, side)
    most = max(-first, last)
    wide = torch.nn.functional.pad(photograph, (most, most))
    begins = (left + most - shift for shift in range(first, last + 1))
    return torch.stack([wide[:, top : top + side, begin : begin + side] for begin in begins])


def rotate(photograph: torch.Tensor, draws: Draws, side: int) -> torch.Tensor:
    """Turn by -15, -14 ... 15 degrees, clockwise where positive.

    Source: `rotate` of make_imagenet_p.py.
    """
    return torch.stack([affine(photograph, side, angle=angle) for angle in range(-15, 16)])


def scale(photograph: torch.Tensor, draws: Draws, side: int, *, least: float, step: float) -> torch.Tensor:
    """Scale to the least percentage, and to one step more from frame to frame.

    Source: `scale` of make_imagenet_p.py.
    """
    return torch.stack([affine(photograph, side, scale=(frame * step + least) / 100) for frame in range(31)])


def shear(photograph: torch.Tensor, draws: Draws, side: int) -> torch.Tensor:
    """Tilt the vertical by -15, -14 ... 15 degrees.

    Source: `shear` of make_imagenet_p.py, one of the validation perturbations.
    """
    return torch.stack([affine(photograph, side, shear=angle) for angle in range(-15, 16)])


def zoom_blur(photograph: torch.Tensor, draws: Draws, side: int) -> torch.Tensor:
    """Average the photograph over zooms: frame i is the mean of zooms by 1, 1.004 ... 1 + 0.004 i.

    In single precision, as published, and cut down to whole levels.

    Source: `zoom_blur` of make_imagenet_p.py.
    """
    frames = [middle(photograph, side)]
    total = frames[0].float() / 255
    for frame in range(1, 31):
        total += affine(photograph, side, scale=1 + 0.004 * frame).float() / 255
        frames.append((total / (frame + 1) * 255).to(torch.uint8))
    return torch.stack(frames)


def tilt(photograph: torch.Tensor, draws: Draws, side: int, *, degrees: float) -> torch.Tensor:
    """Turn in space, about the vertical and the horizontal axis at once, by -15, -14 ... 15 times some degrees.

    Source: `tilt` of make_imagenet_p.py, which calls OpenCV's `warpPerspective`.
    """
    height, width = photograph.shape[-2:]
    turns = (turned(height, width, degrees * frame) for frame in range(-15, 16))
    return torch.stack([perspective(photograph, turn, side) for turn in turns])


def middle(photograph: torch.Tensor, side: int) -> torch.Tensor:
    """Cut out the middle, as torchvision's `CenterCrop` places it."""
    top, left = _corner(photograph, side)
    return photograph[..., top : top + side, left : left + side]


def affine(
    photograph: torch.Tensor, side: int, *, angle: float = 0, scale: float = 1, shear: float = 0
) -> torch.Tensor:
    """Turn, shear and scale about the middle, bilinearly, and cut out the middle.

    A point at p from the middle goes to s R p, with R = [cos a, -sin(a + b); sin a, cos(a + b)]. The middle is taken to
    be half a pixel right and down of where it is. Values are cut down to whole levels. A pixel that comes from beyond
    the photograph is black; within, what lies beyond the edge is the edge's pixel.

    Source: torchvision 0.2's `functional.affine` and Pillow's `transform`.

    Args:
        photograph: uint8 (c, h, w).
        side: Of the middle, in pixels.
        angle: a, in degrees, clockwise.
        scale: s.
        shear: b, in degrees.

    Returns:
        uint8 (c, side, side).
    """
    height, width = photograph.shape[-2:]
    a, b = math.radians(angle), math.radians(shear)
    over = 1 / scale / (math.cos(a + b) * math.cos(a) + math.sin(a + b) * math.sin(a))
    to_x = (math.cos(a + b) * over, math.sin(a + b) * over)
    to_y = (-math.sin(a) * over, math.cos(a) * over)
    middle_x, middle_y = width * 0.5 + 0.5, height * 0.5 + 0.5
    rows, columns = _places(photograph, side)
    rows, columns = rows + 0.5, columns + 0.5
    x, y = (
        (along * columns + down * rows) + (along * -middle_x + down * -middle_y + stays)
        for (along, down), stays in ((to_x, middle_x), (to_y, middle_y))
    )
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    x, y = x - 0.5, y - 0.5
    left, top = x.floor(), y.floor()
    share_x, share_y = x - left, y - top
    beside = [(left.long() + step).clamp(0, width - 1) for step in (0, 1)]
    pixels = photograph.double().flatten(1)
    between = []
    for step in (0, 1):
        row = (top.long() + step).clamp(0, height - 1) * width
        before, after = (_at(pixels, row + column) for column in beside)
        between.append(before + (after - before) * share_x)
    upper, lower = between
    return torch.where(inside, upper + (lower - upper) * share_y, 0).to(torch.uint8)


def turned(height: int, width: int, angle: float) -> NDArray[np.float64]:
    """Give the projective map of an image's pixels that turning it in space amounts to.

    The image hangs in the plane z = 1 with its middle on the z axis, is turned by `angle` degrees about the vertical
    and then about the horizontal axis, moved away by f = its diagonal, and projected with focal length f.

    Source: the matrices P2 T RX RY P1 of `tilt` in make_imagenet_p.py.

    Returns:
        (3, 3), of (x, y, 1).
    """
    sine, cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    focal = math.sqrt(width**2 + height**2)
    hang = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1], [0, 0, 1]])
    about_x = np.array([[1, 0, 0, 0], [0, cosine, -sine, 0], [0, sine, cosine, 0], [0, 0, 0, 1]])
    about_y = np.array([[cosine, 0, -sine, 0], [0, 1, 0, 0], [sine, 0, cosine, 0], [0, 0, 0, 1]])
    away = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, focal], [0, 0, 0, 1]])
    project = np.array([[focal, 0, width / 2, 0], [0, focal, height / 2, 0], [0, 0, 1, 0]])
    matrix: NDArray[np.float64] = project @ away @ about_x @ about_y @ hang
    return matrix


def perspective(photograph: torch.Tensor, matrix: NDArray[np.float64], side: int) -> torch.Tensor:
    """Map pixels projectively and bilinearly, and cut out the middle; beyond the edge everything is black.

    Where a pixel comes from is rounded to 1/32 of a pixel, and the result to the nearest level.

    Source: OpenCV's `warpPerspective`, up to version 4.

    Args:
        photograph: uint8 (c, h, w).
        matrix: (3, 3), from (x, y, 1) before to after.
        side: Of the middle, in pixels.

    Returns:
        uint8 (c, side, side).
    """
    height, width = photograph.shape[-2:]
    back = _inverse(matrix)
    rows, columns = _places(photograph, side)
    x, y, over = (float(along) * columns + float(down) * rows + float(stays) for along, down, stays in back)
    one = 2**_PLACE_BITS
    x, y = ((place * (one / over)).round().long() for place in (x, y))
    share_x, share_y = x & (one - 1), y & (one - 1)
    x, y = x >> _PLACE_BITS, y >> _PLACE_BITS
    # One black pixel around the image stands for all that lies beyond it.
    pixels = torch.nn.functional.pad(photograph, (1, 1, 1, 1)).int().flatten(1)
    total = torch.full((len(photograph), side, side), one * one // 2, dtype=torch.int32, device=photograph.device)
    for step_y, weight_y in ((1, one - share_y), (2, share_y)):
        row = (y + step_y).clamp(0, height + 1) * (width + 2)
        for step_x, weight_x in ((1, one - share_x), (2, share_x)):
            total += _at(pixels, row + (x + step_x).clamp(0, width + 1)) * (weight_y * weight_x).int()
    return (total >> 2 * _PLACE_BITS).to(torch.uint8)


def _at(pixels: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Look up the pixels (c, h w) at places, (side, side), in reading order."""
    return pixels.index_select(1, places.flatten()).view(-1, *places.shape)


def _corner(photograph: torch.Tensor, side: int) -> tuple[int, int]:
    """Give the row and column at which the middle begins."""
    height, width = photograph.shape[-2:]
    return round((height - side) / 2), round((width - side) / 2)


def _places(photograph: torch.Tensor, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the rows (side, 1) and columns (side,) of the middle's pixels, float64."""
    top, left = _corner(photograph, side)
    places = torch.arange(side, dtype=torch.float64, device=photograph.device)
    return (places + top)[:, None], places + left


def _inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Invert a matrix (3, 3) by its cofactors: a solver's last bits differ between machines."""
    columns = [np.cross(matrix[i - 2], matrix[i - 1]) for i in range(3)]
    inverse: NDArray[np.float64] = np.stack(columns, axis=1) / (matrix[0] @ columns[0])
    return inverse
