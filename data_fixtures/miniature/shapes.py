"""Silhouettes of the 16 categories, and of the clutter that lies about: tables of 128 x 128 points.

A shape is an implicit function: what is inside is told from a point's coordinates by additions, multiplications,
divisions and comparisons alone, whose results IEEE 754 fixes to the last bit. So a table is the same on any platform.
"""

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from harness.metrics.shape_bias import CATEGORIES

SIDE = 128
"""Of a table, in points. A silhouette keeps within the circle or the square of side 2 around the middle."""

CLUTTER = ("disc", "square", "triangle", "bar")
"""Shapes of things that belong to no category; their tables come after those of the categories."""

Inside = NDArray[np.bool_]
"""Shape (side, side), rows first: whether each point is inside."""


class _Plane:
    """The square from -1 to 1 in both directions, y downwards, and what can be cut out of it."""

    def __init__(self) -> None:
        middles = (2 * np.arange(SIDE) + 1 - SIDE) / SIDE
        self.x, self.y = np.broadcast_arrays(middles[None, :], middles[:, None])

    def disc(self, x: float, y: float, radius: float) -> Inside:
        return self.ellipse(x, y, radius, radius)

    def ellipse(self, x: float, y: float, across: float, down: float) -> Inside:
        return np.asarray(np.square((self.x - x) / across) + np.square((self.y - y) / down) < 1)

    def box(self, left: float, top: float, right: float, bottom: float) -> Inside:
        return np.asarray((self.x > left) & (self.x < right) & (self.y > top) & (self.y < bottom))

    def rod(self, x0: float, y0: float, x1: float, y1: float, radius: float) -> Inside:
        """All that is nearer than the radius to the line from one point to the other."""
        dx, dy = x1 - x0, y1 - y0
        along = (((self.x - x0) * dx + (self.y - y0) * dy) / (dx * dx + dy * dy)).clip(0, 1)
        away = np.square(self.x - x0 - along * dx) + np.square(self.y - y0 - along * dy)
        return np.asarray(away < radius * radius)

    def polygon(self, *corners: tuple[float, float]) -> Inside:
        """Convex, its corners going round clockwise as they are seen."""
        inside = np.ones((SIDE, SIDE), bool)
        for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
            inside &= (x1 - x0) * (self.y - y0) - (y1 - y0) * (self.x - x0) > 0
        return inside


def _airplane(on: _Plane) -> Inside:
    wings = on.polygon((0, -0.5), (0.98, 0.2), (0.98, 0.52), (0, 0.3))
    wings |= on.polygon((0, 0.3), (-0.98, 0.52), (-0.98, 0.2), (0, -0.5))
    tail = on.polygon((0, 0.45), (0.52, 0.75), (0.52, 0.98), (0, 0.88))
    tail |= on.polygon((0, 0.88), (-0.52, 0.98), (-0.52, 0.75), (0, 0.45))
    return on.rod(0, -0.73, 0, 0.75, 0.24) | wings | tail


def _bear(on: _Plane) -> Inside:
    head = on.disc(0, -0.45, 0.38) | on.disc(-0.36, -0.79, 0.19) | on.disc(0.36, -0.79, 0.19)
    arms = on.rod(-0.3, 0.1, -0.78, -0.06, 0.18) | on.rod(0.3, 0.1, 0.78, -0.06, 0.18)
    legs = on.rod(-0.25, 0.5, -0.5, 0.78, 0.2) | on.rod(0.25, 0.5, 0.5, 0.78, 0.2)
    return head | on.ellipse(0, 0.25, 0.46, 0.48) | arms | legs


def _bicycle(on: _Plane) -> Inside:
    wheels = np.zeros((SIDE, SIDE), bool)
    for x in (-0.54, 0.54):
        wheels |= on.disc(x, 0.34, 0.47) & ~on.disc(x, 0.34, 0.2)
    frame = on.rod(-0.54, 0.34, -0.15, -0.32, 0.14) | on.rod(-0.15, -0.32, 0.38, -0.32, 0.14)
    return wheels | frame | on.rod(0.54, 0.34, 0.3, -0.7, 0.14) | on.rod(0.3, -0.72, 0.66, -0.72, 0.14)


def _bird(on: _Plane) -> Inside:
    wings = np.zeros((SIDE, SIDE), bool)
    for x in (-0.5, 0.5):
        wings |= on.ellipse(x, 0.15, 0.49, 0.68) & ~on.ellipse(1.1 * x, 0.72, 0.42, 0.74)
    return wings | on.ellipse(0, 0.22, 0.2, 0.56)


def _boat(on: _Plane) -> Inside:
    hull = on.polygon((-0.97, 0.35), (0.97, 0.35), (0.6, 0.88), (-0.6, 0.88))
    sails = on.polygon((0.1, -0.95), (0.85, 0.22), (0.1, 0.22)) | on.polygon((-0.1, -0.7), (-0.1, 0.22), (-0.7, 0.22))
    return hull | sails | on.box(-0.1, -0.95, 0.1, 0.4)


def _bottle(on: _Plane) -> Inside:
    shoulders = on.polygon((-0.2, -0.45), (0.2, -0.45), (0.52, -0.02), (-0.52, -0.02))
    return on.box(-0.52, -0.03, 0.52, 0.97) | shoulders | on.box(-0.2, -0.97, 0.2, -0.4)


def _car(on: _Plane) -> Inside:
    cabin = on.polygon((-0.4, -0.52), (0.3, -0.52), (0.66, -0.05), (-0.62, -0.05))
    window = on.polygon((-0.3, -0.38), (-0.08, -0.38), (-0.08, -0.1), (-0.44, -0.1))
    wheels = on.disc(-0.52, 0.4, 0.27) | on.disc(0.52, 0.4, 0.27)
    return (cabin & ~window) | on.rod(-0.8, 0.14, 0.8, 0.14, 0.2) | wheels


def _cat(on: _Plane) -> Inside:
    ears = on.polygon((-0.72, -0.95), (-0.05, -0.4), (-0.7, 0.1)) | on.polygon((0.72, -0.95), (0.7, 0.1), (0.05, -0.4))
    eyes = on.disc(-0.28, 0.02, 0.15) | on.disc(0.28, 0.02, 0.15)
    return (on.ellipse(0, 0.2, 0.74, 0.66) | ears) & ~eyes


def _chair(on: _Plane) -> Inside:
    legs = on.box(-0.72, -0.97, -0.36, 0.97) | on.box(0.36, 0, 0.72, 0.97)
    return legs | on.box(-0.72, -0.08, 0.72, 0.36)


def _clock(on: _Plane) -> Inside:
    hands = on.rod(0, 0, 0, -0.5, 0.12) | on.rod(0, 0, 0.34, 0.2, 0.12)
    return (on.disc(0, 0, 0.95) & ~on.disc(0, 0, 0.6)) | hands


def _dog(on: _Plane) -> Inside:
    legs = on.box(-0.76, 0.1, -0.46, 0.84) | on.box(0.16, 0.1, 0.46, 0.84)
    head = on.rod(0.3, 0.05, 0.5, -0.42, 0.24) | on.rod(0.52, -0.42, 0.8, -0.34, 0.18)
    ear = on.polygon((0.26, -0.95), (0.62, -0.5), (0.34, -0.4))
    return on.rod(-0.47, 0.12, 0.18, 0.12, 0.3) | legs | head | ear | on.rod(-0.68, 0, -0.86, -0.55, 0.12)


def _elephant(on: _Plane) -> Inside:
    legs = on.box(-0.76, 0.1, -0.42, 0.88) | on.box(-0.02, 0.1, 0.32, 0.88)
    trunk = on.rod(0.7, -0.2, 0.8, 0.55, 0.13) | on.rod(0.8, 0.6, 0.88, 0.68, 0.11)
    return on.ellipse(-0.22, -0.12, 0.66, 0.54) | on.disc(0.46, -0.35, 0.4) | legs | trunk


def _keyboard(on: _Plane) -> Inside:
    keys = np.zeros((SIDE, SIDE), bool)
    for x in (-0.66, -0.22, 0.22, 0.66):
        for y in (-0.26, 0.14):
            keys |= on.box(x - 0.13, y - 0.11, x + 0.13, y + 0.11)
    return on.box(-0.98, -0.52, 0.98, 0.62) & ~keys & ~on.box(-0.5, 0.38, 0.5, 0.5)


def _knife(on: _Plane) -> Inside:
    blade = on.polygon((-0.32, -0.98), (0.06, -0.8), (0.34, -0.3), (0.34, 0.24), (-0.32, 0.24))
    return blade | on.box(-0.55, 0.2, 0.55, 0.42) | on.rod(0, 0.4, 0, 0.78, 0.2)


def _oven(on: _Plane) -> Inside:
    knobs = on.disc(-0.45, -0.6, 0.15) | on.disc(0, -0.6, 0.15) | on.disc(0.45, -0.6, 0.15)
    return on.box(-0.85, -0.92, 0.85, 0.92) & ~on.box(-0.45, -0.15, 0.45, 0.5) & ~knobs


def _truck(on: _Plane) -> Inside:
    wheels = on.disc(-0.6, 0.52, 0.25) | on.disc(0, 0.52, 0.25) | on.disc(0.66, 0.52, 0.25)
    cab = on.polygon((0.4, -0.22), (0.74, -0.22), (0.97, 0.12), (0.97, 0.46), (0.4, 0.46))
    return on.box(-0.97, -0.72, 0.3, 0.46) | cab | on.box(-0.9, 0.28, 0.9, 0.46) | wheels


_CATEGORY_SHAPES: dict[str, Callable[[_Plane], Inside]] = {
    "airplane": _airplane,
    "bear": _bear,
    "bicycle": _bicycle,
    "bird": _bird,
    "boat": _boat,
    "bottle": _bottle,
    "car": _car,
    "cat": _cat,
    "chair": _chair,
    "clock": _clock,
    "dog": _dog,
    "elephant": _elephant,
    "keyboard": _keyboard,
    "knife": _knife,
    "oven": _oven,
    "truck": _truck,
}


@functools.cache
def shape_tables() -> NDArray[np.uint8]:
    """Draw all silhouettes; once a process.

    Returns:
        uint8 of shape (20, side, side), read-only: 255 inside, 0 outside, and 0 all along the border; the 16
        categories in their order, then `CLUTTER`.
    """
    on = _Plane()
    drawn = [_CATEGORY_SHAPES[category](on) for category in CATEGORIES]
    drawn += [
        on.disc(0, 0, 0.8),
        on.box(-0.7, -0.7, 0.7, 0.7),
        on.polygon((0, -0.9), (0.8, 0.6), (-0.8, 0.6)),
        on.box(-0.96, -0.16, 0.96, 0.16),
    ]
    tables = np.stack(drawn).astype(np.uint8) * np.uint8(255)
    tables[:, [0, -1]] = 0
    tables[:, :, [0, -1]] = 0
    tables.flags.writeable = False
    return tables
