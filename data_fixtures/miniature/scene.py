"""From random numbers to pictures of 32 x 32 pixels: a thing with a shape and a texture, before a background.

Every step from the random numbers on is integer arithmetic, on places in sixths of a pixel, directions in 1024ths of a
turn and levels in 16ths; the one table of cosines is rounded where no platform's last bit matters. So a picture is the
same on any platform, bit for bit. 3 x 3 points a pixel are looked up in the tables of `shapes` and `textures`.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_fixtures.miniature import shapes, textures
from harness.metrics.shape_bias import CATEGORIES

SIDE = 32
"""Of a picture, in pixels."""

NUMBERS = 112
"""How many random numbers a picture takes."""

TURN = 1024
"""Parts of a whole turn in which directions are told."""

BLOCK = 32
"""How many pictures are best drawn at once: what they need fits a processor's cache."""

PIXEL = 6
"""Parts of a pixel in which places are told."""

# Points a pixel in each direction.
_POINTS = 3
# Levels are told in 16ths until the last step.
_FINE = 16
# The bar.
_LAST_SHAPE = len(CATEGORIES) + len(shapes.CLUTTER) - 1

Integers = NDArray[np.int64]
Range = tuple[int, int]
"""From the lowest to the highest, both included; each as likely."""


@dataclass(frozen=True)
class Variation:
    """How much pictures differ, category apart. Lengths in sixths of a pixel, turns in 1024ths, factors in 256ths.

    Attributes:
        radius: Half the side of the square that the silhouette fills.
        offset: Most that the thing's middle lies beside the picture's, in each direction.
        turn: Most that the thing is turned, to either side.
        flips: Whether half of the things are mirrored.
        stretch: Most by which it is wider and lower, or narrower and higher.
        texture_scale: Of the texture; 256 for 8 points a pixel.
        texture_turn: Most that the texture is turned, to either side.
        contrast: Half the difference between the texture's two colours, in levels.
        separation: Between the middle of the two colours and the background's, in luminance, in levels.
        ground: Half the difference between the background's two colours, in levels.
        chroma: Most by which a colour's channels leave its luminance, in levels.
        clutter: Most things of no category behind.
        occluders: Most bars in front.
        light: Most by which light falls off from the middle to a side, in 256ths.
        cast: Most by which a channel is dimmer or brighter, in 256ths.
        fade: What is left of the picture's contrast, in 256ths.
        blurs: Most passes of the blur 1-2-1 in both directions.
        grain: Most noise on a channel of a pixel, in levels, to either side; every other picture has less than a
            fifth of it.
        plain: Of 1000 things, how many have no texture: two colours gone to their middle.
        foreign: Of 1000 things, how many have the texture of no category.
        camouflage: Of 1000 pictures, in how many the background has the texture of another category.
    """

    radius: Range
    offset: int
    turn: int
    texture_scale: Range
    texture_turn: int
    contrast: Range
    separation: Range
    ground: Range = (0, 16)
    chroma: int = 60
    flips: bool = False
    stretch: int = 0
    clutter: int = 0
    occluders: int = 0
    light: int = 0
    cast: int = 0
    fade: Range = (256, 256)
    blurs: int = 0
    grain: int = 0
    plain: int = 0
    foreign: int = 0
    camouflage: int = 0


class _Dice:
    """Turns uniform numbers into integers, one column of them after the other."""

    def __init__(self, uniform: NDArray[np.float64]) -> None:
        self._columns: Iterator[NDArray[np.float64]] = iter(uniform.T)

    def integer(self, low: int, high: int) -> Integers:
        """Each of low..high as likely. A product of two floats and a floor: exact to the last bit by IEEE 754."""
        return np.floor(next(self._columns) * (high - low + 1)).astype(np.int64) + low

    def either_way(self, most: int) -> Integers:
        return self.integer(-most, most)

    def chance(self, of_1000: int) -> NDArray[np.bool_]:
        return np.asarray(self.integer(0, 999) < of_1000)

    def sign(self) -> Integers:
        return 2 * self.integer(0, 1) - 1

    def chroma(self, most: int) -> Integers:
        """Offsets of red, green and blue, shape (n, 3), that leave the luminance where it is, but for rounding."""
        red, blue = self.either_way(most), self.either_way(most)
        # Luminance is 0.299 red + 0.587 green + 0.114 blue (ITU-R BT.601).
        return np.stack([red, -(299 * red + 114 * blue) // 587, blue], axis=1)


@functools.cache
def cosines() -> Integers:
    """Cosines of all directions, in 16384ths, none of them near a half; a sine is the cosine a quarter turn before."""
    exact = np.cos(np.arange(TURN) * (2 * np.pi / TURN)) * 16384
    return np.asarray(np.rint(exact), dtype=np.int64)


def _directions(turn: Integers) -> tuple[Integers, Integers]:
    return cosines()[turn % TURN], cosines()[(turn - TURN // 4) % TURN]


@functools.cache
def _places() -> NDArray[np.int32]:
    """Distance of each point from the middle along one direction, in sixths: shape (3, side), point after point."""
    pixels, points = np.arange(SIDE), np.arange(_POINTS)
    return (PIXEL * pixels[None, :] + 2 * points[:, None] + 1 - PIXEL * SIDE // 2).astype(np.int32)


def look_up(
    table: NDArray[np.uint8],
    which: Integers,
    step: Integers,
    turn: Integers,
    middle: Integers,
    stretch: Integers,
    *,
    mirrored: Integers | None = None,
    tiled: bool,
) -> NDArray[np.int32]:
    """Sample a table, moved, turned and scaled, at 3 x 3 points a pixel.

    Args:
        table: Of shape (tables, side, side).
        which: (n,) the table of each picture.
        step: (n,) how far apart points that are a sixth of a pixel apart are in the table, in 2**-16 of its points.
        turn: (n,) clockwise as it is seen.
        middle: (n, 2) where the table's middle lies from the picture's, across and down, in sixths.
        stretch: (n,) by which the table is wider and lower, in 256ths.
        mirrored: (n,) -1 for left and right exchanged, 1 for not; 1 where it isn't given.
        tiled: Whether the table goes on beyond its borders; else its border does.

    Returns:
        (n, 32, 32), 0 to 256.
    """
    side = table.shape[-1]
    cosine, sine = _directions(turn)
    wide = step * 256 // (256 + stretch) * (1 if mirrored is None else mirrored)
    high = step * 256 // (256 - stretch)
    places = _places()
    index: NDArray[np.int32] | None = None
    # Rows first: what is looked up lies at row * side + column.
    for along_x, along_y in ((-high * sine, high * cosine), (wide * cosine, wide * sine)):
        per_x, per_y = along_x >> 14, along_y >> 14
        start = (side << 15) - per_x * middle[:, 0] - per_y * middle[:, 1]
        across = (per_x.astype(np.int32)[:, None] * places.reshape(1, -1))[:, None, None, :]
        down = (per_y[:, None] * places.reshape(1, -1) + start[:, None]).astype(np.int32)
        place = across + down.reshape(-1, _POINTS, SIDE, 1)
        place >>= 16
        if tiled:
            place &= side - 1
        else:
            np.clip(place, 0, side - 1, out=place)
        if index is None:
            place *= side
            place += (which.astype(np.int32) * (side * side))[:, None, None, None]
            index = place
        else:
            index += place
    assert index is not None
    rows = table.reshape(-1).take(index).sum(axis=1, dtype=np.uint16)
    total = rows[..., :SIDE] + rows[..., SIDE : 2 * SIDE] + rows[..., 2 * SIDE :]
    # From 9 x 255 to 256.
    return np.asarray((total.astype(np.int32) * 457) >> 12)


def _mixed(share: NDArray[np.int32], first: Integers, second: Integers) -> NDArray[np.int32]:
    """Mix two colours of each picture, (n, 3) both, by shares of 0 to 256 of the first, (n, 32, 32)."""
    return np.asarray(_spread(second) + ((_spread(first - second) * share[:, None]) >> 8))


def _spread(numbers: Integers) -> NDArray[np.int32]:
    """Give each picture's number, or its three for red, green and blue, to all its pixels: (n or 1, 3 or 1, 1, 1)."""
    return numbers.astype(np.int32).reshape(len(numbers), -1, 1, 1)


def draw_pictures(
    variation: Variation,
    uniform: NDArray[np.float64],
    noise: NDArray[np.uint8] | None,
    shape: Integers,
    texture: Integers,
) -> NDArray[np.uint8]:
    """Draw pictures, quickest `BLOCK` at a time.

    Args:
        variation: How much they differ.
        uniform: (n, NUMBERS) random numbers in [0, 1), all that is random but the grain.
        noise: (n, 3072) random bytes; None where there is no grain.
        shape: (n,) categories whose silhouettes the things have.
        texture: (n,) categories whose textures they have.

    Returns:
        uint8, shape (n, 32, 32, 3).
    """
    v, dice = variation, _Dice(uniform)
    n_categories = len(CATEGORIES)

    # The colours: luminances that keep their distance, and chroma around them.
    ground_level = dice.integer(56, 200)
    separation, contrast = dice.integer(*v.separation), dice.integer(*v.contrast)
    direction = dice.sign()
    beyond = ground_level + direction * separation
    level = np.where((beyond < 40) | (beyond > 216), ground_level - direction * separation, beyond)
    polarity = dice.sign()
    middle_colour = level[:, None] + dice.chroma(v.chroma)
    half = (polarity * contrast)[:, None] + dice.chroma(v.chroma) // 2
    half = np.where(dice.chance(v.plain)[:, None], 0, half)
    colours = (middle_colour + half) * _FINE, (middle_colour - half) * _FINE

    # The background.
    camouflaged = dice.chance(v.camouflage)
    other = (texture + dice.integer(1, n_categories - 1)) % n_categories
    neutral = n_categories + len(textures.FOREIGN) + dice.integer(0, len(textures.NEUTRAL) - 1)
    ground_colour = ground_level[:, None] + dice.chroma(v.chroma)
    ground_half = (dice.sign() * dice.integer(*v.ground))[:, None]
    picture = _mixed(
        _textured(dice, v, np.where(camouflaged, other, neutral)),
        (ground_colour + ground_half) * _FINE,
        (ground_colour - ground_half) * _FINE,
    )
    if v.clutter:
        count = dice.integer(0, v.clutter)
        for place in range(v.clutter):
            _lay_over(dice, picture, place < count, first_shape=n_categories, reach=(9, 26))

    # The thing.
    foreign = dice.chance(v.foreign)
    worn = np.where(foreign, n_categories + dice.integer(0, len(textures.FOREIGN) - 1), texture)
    surface = _mixed(_textured(dice, v, worn), *colours)
    inside = look_up(
        shapes.shape_tables(),
        shape,
        (shapes.SIDE << 15) // dice.integer(*v.radius),
        dice.either_way(v.turn),
        np.stack([dice.either_way(v.offset), dice.either_way(v.offset)], axis=1),
        dice.either_way(v.stretch),
        mirrored=dice.sign() if v.flips else None,
        tiled=False,
    )
    picture += ((surface - picture) * inside[:, None]) >> 8
    if v.occluders:
        count = dice.integer(0, v.occluders)
        for place in range(v.occluders):
            _lay_over(dice, picture, place < count, first_shape=_LAST_SHAPE, reach=(40, 90))

    return _photographed(dice, v, picture, noise)


def _textured(dice: _Dice, v: Variation, which: Integers) -> NDArray[np.int32]:
    scale = dice.integer(*v.texture_scale)
    step = (textures.POINTS_A_PIXEL << 24) // PIXEL // scale
    phase = np.stack([dice.integer(0, PIXEL * SIDE - 1), dice.integer(0, PIXEL * SIDE - 1)], axis=1)
    turn = dice.either_way(v.texture_turn)
    return look_up(textures.texture_tiles(), which, step, turn, phase, np.zeros_like(turn), tiled=True)


def _lay_over(
    dice: _Dice, picture: NDArray[np.int32], there: NDArray[np.bool_], first_shape: int, reach: Range
) -> None:
    """Lay a plain thing of no category over those pictures where it is there, from the given shape on."""
    which, radius = dice.integer(first_shape, _LAST_SHAPE), dice.integer(*reach)
    turn, stretch = dice.integer(0, TURN - 1), dice.either_way(64)
    middle = np.stack([dice.either_way(PIXEL * SIDE // 2), dice.either_way(PIXEL * SIDE // 2)], axis=1)
    colour = (dice.integer(40, 216)[:, None] + dice.chroma(60)) * _FINE
    (hit,) = there.nonzero()
    if not len(hit):
        return
    inside = look_up(
        shapes.shape_tables(),
        which[hit],
        (shapes.SIDE << 15) // radius[hit],
        turn[hit],
        middle[hit],
        stretch[hit],
        tiled=False,
    )
    below = picture[hit]
    picture[hit] = below + (((_spread(colour[hit]) - below) * inside[:, None]) >> 8)


def _photographed(
    dice: _Dice, v: Variation, picture: NDArray[np.int32], noise: NDArray[np.uint8] | None
) -> NDArray[np.uint8]:
    """Light pictures, and take them with a camera: cast, contrast, blur, grain, and levels from 0 to 255."""
    if v.light:
        ways = np.arange(1 - SIDE, SIDE, 2, dtype=np.int32)
        fall = _spread(dice.either_way(v.light)) * ways + _spread(dice.either_way(v.light)) * ways[:, None]
        picture = (picture * (256 + fall // SIDE)) >> 8
    if v.cast:
        picture = (picture * _spread(256 + np.stack([dice.either_way(v.cast) for _ in range(3)], axis=1))) >> 8
    if v.fade != (256, 256):
        grey, left = _spread(dice.integer(70, 185) * _FINE), _spread(dice.integer(*v.fade))
        picture = grey + (((picture - grey) * left) >> 8)
    if v.blurs:
        passes = dice.integer(0, v.blurs)
        for blurred in range(v.blurs):
            (hit,) = (blurred < passes).nonzero()
            picture[hit] = _blurred(picture[hit])
    if noise is not None:
        grain = noise.astype(np.int32).reshape(picture.shape) - 128
        strength = dice.integer(0, v.grain) * dice.integer(0, 256) // (256 // _FINE)
        picture = picture + ((grain * _spread(strength)) >> 7)
    levels = ((picture + _FINE // 2) // _FINE).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(0, 2, 3, 1))


def _blurred(picture: NDArray[np.int32]) -> NDArray[np.int32]:
    for axis in (2, 3):
        before = picture.take([0, *range(SIDE - 1)], axis)
        after = picture.take([*range(1, SIDE), SIDE - 1], axis)
        picture = np.asarray((before + 2 * picture + after + 2) >> 2)
    return picture
