"""Textures of the 16 categories, of things of no category, and of backgrounds: tiles of 256 x 256 points.

A tile's opposite edges meet, and 8 of its points are a pixel at scale 1, so that it is 32 pixels wide. Everything is
computed in integers, so a tile is the same on any platform.
"""

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from harness.metrics.shape_bias import CATEGORIES

SIDE = 256
"""Of a tile, in points."""

POINTS_A_PIXEL = 8
"""At scale 1."""

FOREIGN = ("plain", "crosses", "scales", "shades")
"""Textures that belong to no category; their tiles come after those of the categories."""

NEUTRAL = ("plain ground", "clouds", "mist", "slope")
"""Textures of backgrounds, with nothing in them that a texture of a category has; they come last."""

Values = NDArray[np.int64]
"""Shape (side, side), rows first."""

_X, _Y = np.broadcast_arrays(np.arange(SIDE)[None, :], np.arange(SIDE)[:, None])


def _phase(across: int, down: int, moved: Values | int = 0) -> Values:
    """Run from 0 to 255 so many times over the tile in each direction; `moved` is added first, in 256ths."""
    return np.asarray((across * _X + down * _Y + moved) % SIDE)


def _swing(phase: Values) -> Values:
    """Go from 0 up to 128 and down again, as phase goes round."""
    return np.asarray(128 - abs(phase - 128))


def _smooth_swing(phase: Values) -> Values:
    """Swing between -64 and 64 in two parabolas, which a sine can hardly be told from."""
    half = phase % 128
    arc = half * (128 - half) // 64
    return np.asarray(np.where(phase < 128, arc, -arc))


def _noise(number: int, across: int, down: int) -> Values:
    """Draw values of 0 to 255 in cells of so many points, blended into one another."""
    random = np.frombuffer(np.random.RandomState(number).bytes(SIDE * SIDE), np.uint8).astype(np.int64)
    cells = random.reshape(SIDE, SIDE)[: SIDE // down, : SIDE // across]
    values: Values = cells.repeat(down, axis=0).repeat(across, axis=1)
    return _box_mean(_box_mean(values, across, down), across, down)


def _box_mean(values: Values, across: int, down: int) -> Values:
    """Average over boxes, round the edges of the tile."""
    for axis, width in ((1, across), (0, down)):
        wrapped = np.concatenate([values, values.take(np.arange(width), axis)], axis).cumsum(axis)
        values = (wrapped.take(np.arange(width, SIDE + width), axis) - wrapped.take(np.arange(SIDE), axis)) // width
    return values


def _upper_half(values: Values) -> Values:
    """255 where a value is above the tile's median, 0 elsewhere."""
    return np.asarray(np.where(values > np.sort(values, axis=None)[SIDE * SIDE // 2], 255, 0))


def _stretched(values: Values) -> Values:
    """Stretch so that most values fill 0 to 255."""
    ordered = np.sort(values, axis=None)
    low, high = ordered[SIDE * SIDE // 20], ordered[-SIDE * SIDE // 20]
    return np.asarray(((values - low) * 255 // (high - low)).clip(0, 255))


def _where(inside: NDArray[np.bool_]) -> Values:
    return np.asarray(np.where(inside, 255, 0))


def _lattice(across: int, down: int) -> Values:
    """Squared distance, in points, to the nearest knot of a lattice whose every other row is moved by half."""
    column, row = 256 // across, 256 // down
    nearest = np.full((SIDE, SIDE), SIDE * SIDE)
    for j in range(-1, down + 1):
        for i in range(-1, across + 1):
            x, y = i * column + (j % 2) * (column // 2) + column // 4, j * row + row // 2
            nearest = np.minimum(nearest, np.square(_X - x) + np.square(_Y - y))
    return nearest


def _cracks(number: int, grid: int, width: int) -> NDArray[np.bool_]:
    """Where two of the seeds scattered over the tile are about equally near."""
    cell = SIDE // grid
    moved = np.frombuffer(np.random.RandomState(number).bytes(2 * grid * grid), np.uint8).astype(np.int64)
    moved = moved.reshape(2, grid, grid) * cell // 320
    away = []
    for j in range(-1, grid + 1):
        for i in range(-1, grid + 1):
            x, y = (i * cell + moved[0, j % grid, i % grid], j * cell + moved[1, j % grid, i % grid])
            away.append(np.square(_X - x) + np.square(_Y - y))
    nearest = np.partition(np.stack(away), 1, axis=0)[:2]
    # sqrt is exact to the last bit, as IEEE 754 wants it.
    first, second = np.sqrt(nearest[0]), np.sqrt(nearest[1])
    return np.asarray(second - first < width)


def _rings() -> Values:
    """Rings around the middles of a lattice of squares."""
    x, y = _X % 128 - 64, _Y % 128 - 64
    return _where(np.floor(np.sqrt(np.square(x) + np.square(y))).astype(np.int64) % 34 < 17)


def _bricks() -> Values:
    """Bricks two times as wide as high, every other row moved by half."""
    row = _Y * 6 // SIDE
    mortar = (_phase(0, 6) < 72) | ((_phase(3, 0, row % 2 * 128)) < 40)
    return _where(~mortar)


def _fish_scales() -> Values:
    below = _lattice(4, 8)
    return _where((below > 400) & (below < 900))


_CATEGORY_TEXTURES: dict[str, Callable[[], Values]] = {
    "airplane": lambda: _where(_phase(0, 8) < 128),
    "bear": lambda: _stretched(_noise(1, 8, 8)),
    "bicycle": lambda: _where((_phase(4, 4) > 80) & (_phase(4, -4) > 80)),
    "bird": lambda: _where(_phase(0, 6, 2 * _swing(_phase(5, 0))) < 128),
    "boat": lambda: _where(_phase(6, 0, 2 * _smooth_swing(_phase(0, 3))) < 128),
    "bottle": lambda: _where(_phase(5, 0) < 128),
    "car": lambda: _where((_phase(5, 0) < 128) ^ (_phase(0, 5) < 128)),
    "cat": lambda: _where(_phase(6, 6) < 128),
    "chair": lambda: _stretched(_noise(8, 64, 8)),
    "clock": _rings,
    "dog": lambda: _upper_half(_box_mean(_noise(10, 16, 16), 16, 16)),
    "elephant": lambda: _where(~_cracks(11, 5, 14)),
    "keyboard": lambda: _where((_phase(5, 0) < 150) & (_phase(0, 5) < 150)),
    "knife": lambda: _upper_half(_noise(13, 8, 128)),
    "oven": _bricks,
    "truck": lambda: _where(_lattice(5, 6) < 256),
}

_OTHERS: dict[str, Callable[[], Values]] = {
    "plain": lambda: np.full((SIDE, SIDE), 128),
    "crosses": lambda: _where(
        ((abs(_phase(4, 0) - 128) < 32) & (abs(_phase(0, 4) - 128) < 90))
        | ((abs(_phase(0, 4) - 128) < 32) & (abs(_phase(4, 0) - 128) < 90))
    ),
    "scales": _fish_scales,
    "shades": lambda: _phase(0, 5) * 255 // 256,
    "plain ground": lambda: np.full((SIDE, SIDE), 128),
    "clouds": lambda: _stretched(_noise(21, 64, 64)),
    "mist": lambda: _stretched(_noise(22, 32, 32) + _noise(23, 64, 64)),
    "slope": lambda: 2 * _swing(_phase(1, 0)) * 255 // 256,
}


@functools.cache
def texture_tiles() -> NDArray[np.uint8]:
    """Draw all tiles; once a process.

    Returns:
        uint8 of shape (24, side, side), read-only: how much of the first of two colours is at each point, 255 for all;
        the 16 categories in their order, then `FOREIGN`, then `NEUTRAL`.
    """
    drawn = [_CATEGORY_TEXTURES[category]() for category in CATEGORIES]
    drawn += [_OTHERS[name]() for name in FOREIGN + NEUTRAL]
    tiles = np.stack(drawn).astype(np.uint8)
    tiles.flags.writeable = False
    return tiles
