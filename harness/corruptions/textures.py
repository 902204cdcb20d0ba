"""Frost for ImageNet-C's `frost`: five textures of ice crystals, drawn by rule.

The published benchmark lays photographs of frost over its images, found on the web, whose licences are not stated. None
of them is here. These textures are made of what frost on a window looks like, needles and feathers of ice over a cloudy
ground, and each has the mean and the standard deviation of each colour that one of the photographs has. So brightness,
contrast and colour cast are as published, and the pattern is not: errors on `frost` are near the published ones, not
the same, and docs/corruptions.md says how near. Compare classifiers on `frost` where they saw the same files.
"""

import functools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

SIDE = 640
"""Of a texture, in pixels."""


@dataclass(frozen=True)
class _Frost:
    """How one texture looks.

    Attributes:
        means: Of red, green and blue, in levels.
        deviations: Likewise.
        crystals: How many needles of ice grow.
        length: Of the longest, in pixels.
        feathered: Whether needles branch to both sides, at 60 degrees.
        ice: Share of the needles in the pattern; the rest is cloud.
        roughness: Exponent by which the cloud's amplitude falls with spatial frequency.
    """

    means: tuple[float, float, float]
    deviations: tuple[float, float, float]
    crystals: int
    length: int
    feathered: bool
    ice: float
    roughness: float


# Means and deviations are those of frost1.png to frost5.jpg of the published generator; its second comes twice.
_FROSTS = (
    _Frost((77.7, 149.1, 165.7), (26.9, 16.5, 15.3), 9000, 40, False, 0.4, 1.3),
    _Frost((200.8, 205.4, 214.5), (21.4, 22.1, 22.6), 9000, 70, False, 0.42, 1.4),
    _Frost((200.8, 205.4, 214.5), (21.4, 22.1, 22.6), 9000, 70, False, 0.42, 1.4),
    _Frost((137.6, 152.8, 165.2), (28.5, 28.5, 29.9), 20000, 20, False, 0.55, 1.2),
    _Frost((112.4, 123.4, 134.8), (44.4, 43.3, 41.7), 1200, 70, True, 0.54, 1.4),
)


@functools.cache
def frost_textures() -> torch.Tensor:
    """Draw the five textures; once a process, they are always the same.

    Returns:
        uint8, shape (5, 3, side, side).
    """
    return torch.from_numpy(np.stack([_texture(frost, number) for number, frost in enumerate(_FROSTS)]))


def _texture(frost: _Frost, number: int) -> NDArray[np.uint8]:
    """Draw one texture, shape (3, side, side)."""
    rng = np.random.RandomState(number)
    ice, cloud = _normalised(_needles(rng, frost)), _normalised(_cloud(rng, frost.roughness))
    pattern = _normalised(_normalised(frost.ice * ice + (1 - frost.ice) * cloud).clip(-3, 3))
    levels = np.array(frost.means)[:, None, None] + np.array(frost.deviations)[:, None, None] * pattern
    return levels.round().clip(0, 255).astype(np.uint8)


def _needles(rng: np.random.RandomState, frost: _Frost) -> NDArray[np.float64]:
    """Draw needles of ice, lit more or less, that grow in bunches from points on the glass, each bunch in a fan."""
    count, bunches = frost.crystals, frost.crystals // 8
    bunch = rng.randint(bunches, size=count)
    roots = rng.uniform(0, SIDE, (bunches, 2))[bunch] + rng.normal(0, frost.length / 2, (count, 2))
    angles = rng.uniform(0, 2 * np.pi, bunches)[bunch] + rng.normal(0, 0.4, count)
    lengths = frost.length * rng.uniform(0.2, 1, count)
    lights = rng.normal(0.3, 1, count)
    ice = _lines(roots, angles, lengths, lights)
    if frost.feathered:
        for along in np.arange(0.05, 0.95, 4 / frost.length):
            feet = roots + (along * lengths)[:, None] * np.stack([np.sin(angles), np.cos(angles)], axis=1)
            for side in (-np.pi / 3, np.pi / 3):
                ice += _lines(feet, angles + side, (1 - along) * lengths / 3, lights)
    return ice


def _lines(
    roots: NDArray[np.float64], angles: NDArray[np.float64], lengths: NDArray[np.float64], lights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Draw lines that taper off, on a square whose edges meet; where they cross, they add up."""
    steps = np.arange(0, lengths.max(), 0.5)
    rows = np.floor(roots[:, :1] + steps * np.sin(angles)[:, None]).astype(int) % SIDE
    columns = np.floor(roots[:, 1:] + steps * np.cos(angles)[:, None]).astype(int) % SIDE
    taper = (1 - steps / lengths[:, None]).clip(0)
    light = np.zeros(SIDE * SIDE)
    np.add.at(light, rows * SIDE + columns, lights[:, None] * taper)
    return light.reshape(SIDE, SIDE)


def _cloud(rng: np.random.RandomState, roughness: float) -> NDArray[np.float64]:
    """Draw noise whose amplitude falls with spatial frequency."""
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE))
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((SIDE, SIDE))) * frequency**-roughness
    return np.fft.irfft2(spectrum, (SIDE, SIDE))


def _normalised(pattern: NDArray[np.float64]) -> NDArray[np.float64]:
    normalised: NDArray[np.float64] = (pattern - pattern.mean()) / pattern.std()
    return normalised
