"""ImageNet-P's and CIFAR-10-P's frames made in the plainest way, one by one, with the published scripts' libraries.

An oracle for `harness.perturbations`: nothing of it is used here but the random numbers, which are handed in. OpenCV
and ImageMagick are not at hand, so what they compute is written out in numpy and SciPy.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
"""Shape (h, w, 3)."""


@dataclass(frozen=True)
class Script:
    """The numbers that a published script has in it, at difficulty 1.

    Attributes:
        side: Of a frame, in pixels.
        sigma: Of Gaussian noise.
        photons: Of shot noise, for white.
        motion: Radius and sigma of motion blur, in pixels, its last frame, and by how many degrees a frame it turns.
        snow: Zoom of the flakes, and radius and sigma of their blur.
        brighter: Percent that brightness gains a frame.
        left: Pixels to the left at which a translation begins.
        tilted: Degrees of tilt a frame.
        scales: Percent at which a scaling begins, and what it gains a frame.
    """

    side: int
    sigma: float
    photons: int
    motion: tuple[int, float, int, int]
    snow: tuple[int, int, float]
    brighter: float
    left: int
    tilted: float
    scales: tuple[float, float]


IMAGENET_P = Script(224, 0.03, 300, (10, 3, 30, 4), (3, 14, 4), 2, 20, 1, (40, 2.5))
CIFAR_10_P = Script(32, 0.02, 700, (6, 1.8, 20, 9), (2, 10, 2), 1.5, 7, 0.75, (70, 2))


def crop(pixels: Pixels, script: Script) -> Pixels:
    """Cut out the middle, a frame's size."""
    top, left = (round((size - script.side) / 2) for size in pixels.shape[:2])
    return pixels[top : top + script.side, left : left + script.side]


def affine(pixels: Pixels, script: Script, *, angle: float = 0, scale: float = 1, shear: float = 0) -> Pixels:
    """Transform by Pillow, with the matrix put together from its factors and inverted by numpy."""
    height, width = pixels.shape[:2]
    a, b = math.radians(angle), math.radians(shear)
    to_middle = np.array([[1, 0, width / 2 + 0.5], [0, 1, height / 2 + 0.5], [0, 0, 1]])
    turn = np.array([[math.cos(a), -math.sin(a + b), 0], [math.sin(a), math.cos(a + b), 0], [0, 0, 1]])
    forth = to_middle @ (turn * [[scale], [scale], [1]]) @ np.linalg.inv(to_middle)
    back = np.linalg.inv(forth)[:2].ravel().tolist()
    image = Image.fromarray(pixels).transform((width, height), Image.Transform.AFFINE, back, Image.Resampling.BILINEAR)
    return crop(np.asarray(image), script)


def translate(pixels: Pixels, frame: int, script: Script) -> Pixels:
    """Move by whole pixels, black coming in."""
    black = np.zeros((pixels.shape[0], 40, 3), np.uint8)
    wide, begin = np.hstack([black, pixels, black]), 40 - (frame - script.left)
    return crop(wide[:, begin : begin + pixels.shape[1]], script)


def rotate(pixels: Pixels, frame: int, script: Script) -> Pixels:
    """Turn by -15 to 15 degrees."""
    return affine(pixels, script, angle=frame - 15)


def scale(pixels: Pixels, frame: int, script: Script) -> Pixels:
    """Scale to ever more percent."""
    begins, gains = script.scales
    return affine(pixels, script, scale=(begins + gains * frame) / 100)


def shear(pixels: Pixels, frame: int, script: Script) -> Pixels:
    """Shear by -15 to 15 degrees."""
    return affine(pixels, script, shear=frame - 15)


def zoom_blur(pixels: Pixels, frame: int, script: Script) -> Pixels:
    """Average frames of a zoom."""
    zooms = [crop(pixels, script), *(affine(pixels, script, scale=1 + 0.004 * i) for i in range(1, frame + 1))]
    total = sum((zoom.astype(np.float32) / np.float32(255) for zoom in zooms), np.float32(0))
    return (total / np.float32(frame + 1) * np.float32(255)).astype(np.uint8)


def tilt(pixels: Pixels, frame: int, script: Script) -> Pixels:
    """Project the image's corners by hand, and sample with SciPy at 32nds of a pixel."""
    from scipy.ndimage import map_coordinates

    height, width = pixels.shape[:2]
    angle, focal = math.radians(script.tilted * (frame - 15)), math.hypot(width, height)

    def project(x: float, y: float) -> tuple[float, float]:
        x, y, z = x - width / 2, y - height / 2, 1.0
        x, z = math.cos(angle) * x - math.sin(angle) * z, math.sin(angle) * x + math.cos(angle) * z
        y, z = math.cos(angle) * y - math.sin(angle) * z, math.sin(angle) * y + math.cos(angle) * z
        z += focal
        return focal * x / z + width / 2, focal * y / z + height / 2

    # The map back, from the eight equations that four corners give.
    rows, wanted = [], []
    for x, y in ((0.0, 0.0), (width, 0.0), (0.0, height), (width, height)):
        u, v = project(x, y)
        rows += [[u, v, 1, 0, 0, 0, -u * x, -v * x], [0, 0, 0, u, v, 1, -u * y, -v * y]]
        wanted += [x, y]
    back = np.append(np.linalg.solve(rows, wanted), 1).reshape(3, 3)
    v, u = np.mgrid[:height, :width]
    x, y, over = (row[0] * u + row[1] * v + row[2] for row in back)
    places = [np.round(y / over * 32) / 32, np.round(x / over * 32) / 32]
    channels = [
        map_coordinates(pixels[..., channel].astype(float), places, order=1, mode="grid-constant")
        for channel in range(3)
    ]
    return crop(np.floor(np.stack(channels, axis=-1) + 0.5).astype(np.uint8), script)


def motion(pixels: Pixels, radius: int, sigma: float, angle: float) -> Pixels:
    """Blur along a line as ImageMagick does, tap by tap, (h, w, c)."""
    height, width = pixels.shape[:2]
    taps = range(2 * radius + 1)
    weights = [math.exp(-(tap**2) / (2 * sigma**2)) for tap in taps]
    total = np.zeros(pixels.shape)
    for tap, weight in zip(taps, weights, strict=True):
        right = math.ceil(tap * math.cos(math.radians(angle)) - 0.5)
        down = math.ceil(tap * math.sin(math.radians(angle)) - 0.5)
        ys = np.clip(np.arange(height) + down, 0, height - 1)
        xs = np.clip(np.arange(width) + right, 0, width - 1)
        total += pixels[ys][:, xs] * (weight / sum(weights))
    return np.floor(total + 0.5 / 257).astype(np.uint8)


def motion_blur(pixels: Pixels, frame: int, script: Script) -> Pixels:
    """Blur in a direction that turns."""
    radius, sigma, last, degrees = script.motion
    return motion(crop(pixels, script), radius, sigma, (frame - last) * degrees)


def gaussian_blur(pixels: Pixels, frame: int, script: Script) -> Pixels:
    """Blur by SciPy."""
    from scipy.ndimage import gaussian_filter

    sigma = 0.25 + 0.035 * frame
    blurred = gaussian_filter(crop(pixels, script) / 255, (sigma, sigma, 0), mode="nearest", truncate=6.0)
    return np.asarray(blurred * 255).astype(np.uint8)


def brightness(pixels: Pixels, frame: int, script: Script) -> Pixels:
    """Brighten by scikit-image."""
    from skimage.color import hsv2rgb, rgb2hsv

    hsv = rgb2hsv(crop(pixels, script) / 255)
    hsv[..., 2] = np.clip(hsv[..., 2] + (frame - 15) * script.brighter / 100, 0, 1)
    return np.asarray(hsv2rgb(hsv) * 255).astype(np.uint8)


def gaussian_noise(pixels: Pixels, normal: NDArray[np.float64], script: Script) -> Pixels:
    """Add noise, given as standard normal numbers of a frame's shape."""
    unit = crop(pixels, script).astype(np.float32) / np.float32(255)
    noise = np.float32(script.sigma) * normal.astype(np.float32)
    return (np.clip(unit + noise, 0, 1) * np.float32(255)).astype(np.uint8)


def speckle_noise(pixels: Pixels, normal: NDArray[np.float64], script: Script) -> Pixels:
    """Add noise in proportion to the value, given as standard normal numbers of a frame's shape."""
    unit = crop(pixels, script) / 255
    return np.asarray(np.clip(unit + unit * (0.05 * normal), 0, 1) * 255).astype(np.uint8)


def shot_noise(pixels: Pixels, uniform: NDArray[np.float64], script: Script) -> Pixels:
    """Count photons by SciPy's inverse of the Poisson distribution, of uniform numbers of a frame's shape."""
    from scipy.stats import poisson

    counts = np.maximum(poisson.ppf(uniform, crop(pixels, script) / 255 * script.photons), 0)
    return (np.clip(counts / script.photons, 0, 1) * 255).astype(np.uint8)


def snow(pixels: Pixels, frame: int, normal: NDArray[np.float64], script: Script) -> Pixels:
    """Let it snow; flakes are given as standard normal numbers, as many as a frame has pixels."""
    from scipy.ndimage import zoom

    side, (larger, radius, sigma) = script.side, script.snow
    size = math.ceil(side / larger)
    top = (side - size) // 2
    flakes = zoom((normal * 0.3 + 0.05)[top : top + size, top : top + size], larger, order=1)
    top = (len(flakes) - side) // 2
    flakes = flakes[top : top + side, top : top + side]
    levels = (np.clip(np.where(flakes < 0.5, 0, flakes), 0, 1) * 255).astype(np.uint8)
    layer = motion(levels[..., None], radius, sigma, frame * 4 - 150) / 255
    unit = crop(pixels, script) / 255
    grey = (unit @ [0.299, 0.587, 0.114])[..., None]
    whitened = 0.85 * unit + 0.15 * np.maximum(unit, grey * 1.5 + 0.5)
    return (np.clip(whitened + layer + layer[::-1, ::-1], 0, 1) * 255).astype(np.uint8)


def water_levels(frames: Sequence[int], normal: NDArray[np.float64]) -> list[NDArray[np.uint8]]:
    """Let water run down, of standard normal numbers of shape (224, 224); gives how much of it is where."""
    from scipy.ndimage import gaussian_filter

    liquid = gaussian_filter(normal * 0.27 + 0.65, 3.7, mode="nearest")
    liquid[liquid < 0.69] = 0
    levels = []
    for frame in range(max(frames) + 1):
        if frame in frames:
            levels.append((liquid * 255).astype(np.uint8))
        columns = [np.convolve(column, [0.05, 0.1, 0.15, 0.7], mode="same") for column in liquid.T]
        liquid = np.stack(columns, axis=1)
    return levels
