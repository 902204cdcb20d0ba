"""ImageNet-C's corruptions made in the plainest way, one by one, with the libraries that the published script calls.

An oracle for `harness.corruptions`: nothing of it is used here but the random numbers, which are handed in. OpenCV and
ImageMagick are not at hand, so what they compute is written out in numpy and SciPy, loops and all.

Each function takes uint8 pixels (h, w, 3), the image's random numbers and its arguments by their names, and gives
levels from 0 to 255 and beyond.
"""

import io
import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage, stats
from skimage import color

Pixels = NDArray[np.uint8]
Values = NDArray[np.floating]
Draw = Callable[..., NDArray[np.generic]]
"""Gives the image's next numbers: draw("normal", h, w), draw("uniform", low=0, high=9), draw("integers", 0, 5)."""


def corrupted(name: str, pixels: Pixels, draw: Draw, arguments: Mapping[str, float]) -> Pixels:
    """Corrupt by the function of that name, and cut down to whole levels."""
    return np.uint8(np.clip(globals()[name](pixels, draw, **arguments), 0, 255))


def gaussian_noise(pixels: Pixels, draw: Draw, *, sigma: float) -> Values:
    """Compute x + sigma z."""
    return (pixels / 255 + sigma * _per_value(draw("normal", 3, *pixels.shape[:2]))) * 255


def shot_noise(pixels: Pixels, draw: Draw, *, photons: float) -> Values:
    """Poisson numbers, by SciPy's quantiles."""
    uniform = _per_value(draw("uniform", 3, *pixels.shape[:2]))
    counts = stats.poisson.ppf(uniform, np.maximum(pixels, 1) / 255 * photons)
    return np.where(pixels == 0, 0, counts) / photons * 255


def impulse_noise(pixels: Pixels, draw: Draw, *, share: float) -> Values:
    """Salt where the number is in the lower half of the share, pepper in the upper."""
    uniform = _per_value(draw("uniform", 3, *pixels.shape[:2]))
    return np.select([uniform < share / 2, uniform < share], [255.0, 0.0], pixels.astype(float))


def speckle_noise(pixels: Pixels, draw: Draw, *, sigma: float) -> Values:
    """Compute x + x sigma z."""
    return (pixels / 255 + pixels / 255 * (sigma * _per_value(draw("normal", 3, *pixels.shape[:2])))) * 255


def gaussian_blur(pixels: Pixels, draw: Draw, *, sigma: float) -> Values:
    """Blur by SciPy."""
    return ndimage.gaussian_filter(pixels / 255, (sigma, sigma, 0), mode="nearest") * 255


def glass_blur(pixels: Pixels, draw: Draw, *, sigma: float, delta: int, iterations: int) -> Values:
    """Go through the pixels one by one, and give each one its neighbour's colour of the moment."""
    side = len(pixels)
    blurred = np.uint8(gaussian_blur(pixels, draw, sigma=sigma)).tolist()
    for _ in range(iterations):
        right, down = draw("integers", -delta, delta, 2, side - 2 * delta, side - 2 * delta).tolist()
        for y in range(side - delta, delta, -1):
            for x in range(side - delta, delta, -1):
                dy, dx = down[y - delta - 1][x - delta - 1], right[y - delta - 1][x - delta - 1]
                blurred[y][x] = blurred[y + dy][x + dx]
    return gaussian_blur(np.uint8(blurred), draw, sigma=sigma)


def defocus_blur(pixels: Pixels, draw: Draw, *, radius: float, alias_blur: float) -> Values:
    """Correlate with a softened disk, by SciPy."""
    reach, blur = (8, 1) if radius <= 8 else (radius, 2)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disk = np.float32(x**2 + y**2 <= radius**2)
    disk /= disk.sum()
    weights = np.exp(-(np.arange(-blur, blur + 1) ** 2) / (2 * alias_blur**2))
    for axis in (1, 0):
        disk = ndimage.correlate1d(disk, weights / weights.sum(), axis, mode="mirror")
    return _correlated(pixels / 255, disk[:, :, None]) * 255


def motion_blur(pixels: Pixels, draw: Draw, *, radius: float, sigma: float) -> Values:
    """Blur towards a direction."""
    return along_a_line(pixels, radius, sigma, float(draw("uniform", low=-45, high=45)))


def zoom_blur(pixels: Pixels, draw: Draw, *, stop: float, step: float) -> Values:
    """Average zooms by SciPy."""
    unit = (pixels / 255).astype(np.float32)
    factors = np.arange(1, stop, step)
    total = np.zeros_like(unit)
    for factor in factors:
        total += clipped_zoom(unit, factor)
    return (unit + total) / np.float32(len(factors) + 1) * 255


def snow(
    pixels: Pixels,
    draw: Draw,
    *,
    mean: float,
    deviation: float,
    zoom: float,
    threshold: float,
    radius: float,
    sigma: float,
    share: float,
) -> Values:
    """Flakes of zoomed noise, falling, over a whitened image."""
    flakes = clipped_zoom(draw("normal", *pixels.shape[:2])[..., None] * deviation + mean, zoom)
    flakes[flakes < threshold] = 0
    falling = along_a_line(np.uint8(flakes.clip(0, 1) * 255), radius, sigma, float(draw("uniform", low=-135, high=-45)))
    unit = pixels / 255
    grey = (unit @ [0.299, 0.587, 0.114])[..., None]
    white = share * unit + (1 - share) * np.maximum(unit, 1.5 * grey + 0.5)
    return (white + (falling / 255.0) + falling[::-1, ::-1] / 255.0) * 255


def frost(pixels: Pixels, draw: Draw, *, image_share: float, frost_share: float, stride: int) -> Values:
    """Add a piece of a texture; the textures are those of the harness."""
    from harness.corruptions.textures import frost_textures

    side = len(pixels)
    texture = frost_textures()[int(draw("integers", 0, 5))].numpy().transpose(1, 2, 0)
    texture = texture[stride // 2 :: stride, stride // 2 :: stride]
    top, left = (int(draw("integers", 0, len(texture) - side)) for _ in range(2))
    return image_share * pixels.astype(float) + frost_share * texture[top : top + side, left : left + side]


def fog(pixels: Pixels, draw: Draw, *, strength: float, decay: float) -> Values:
    """Add a cloud whose points are computed one by one."""
    side = 2 ** math.ceil(math.log2(len(pixels)))
    cloud = np.zeros((side, side))
    step, wobble = side, 100.0
    while step > 1:
        half, points = step // 2, side // step
        # In the middle of a square, then of diamonds over and beside its corner.
        for at, corners in (
            ((half, half), ((-1, -1), (-1, 1), (1, -1), (1, 1))),
            ((0, half), ((-1, 0), (1, 0), (0, -1), (0, 1))),
            ((half, 0), ((-1, 0), (1, 0), (0, -1), (0, 1))),
        ):
            wobbles = wobble * draw("uniform", points, points, low=-wobble, high=wobble)
            for i in range(points):
                for j in range(points):
                    y, x = at[0] + i * step, at[1] + j * step
                    near = [cloud[(y + dy * half) % side, (x + dx * half) % side] for dy, dx in corners]
                    cloud[y, x] = sum(near) / 4 + wobbles[i, j]
        step, wobble = half, wobble / decay
    cloud = (cloud - cloud.min()) / np.ptp(cloud)
    unit = pixels / 255
    foggy = unit + strength * cloud[: len(pixels), : len(pixels), None]
    return foggy * unit.max() / (unit.max() + strength) * 255


def brightness(pixels: Pixels, draw: Draw, *, increase: float) -> Values:
    """Raise V, by scikit-image."""
    hsv = color.rgb2hsv(pixels / 255)
    hsv[..., 2] = np.clip(hsv[..., 2] + increase, 0, 1)
    return color.hsv2rgb(hsv) * 255


def saturate(pixels: Pixels, draw: Draw, *, factor: float, increase: float) -> Values:
    """Change S, by scikit-image."""
    hsv = color.rgb2hsv(pixels / 255)
    hsv[..., 1] = np.clip(hsv[..., 1] * factor + increase, 0, 1)
    return color.hsv2rgb(hsv) * 255


def contrast(pixels: Pixels, draw: Draw, *, factor: float) -> Values:
    """Move towards the mean."""
    unit = pixels / 255
    mean = unit.mean(axis=(0, 1))
    return ((unit - mean) * factor + mean) * 255


def elastic_transform(pixels: Pixels, draw: Draw, *, alpha: float, sigma: float, affine: float) -> Values:
    """Warp by a solved affine map, and then by a smooth field."""
    side = len(pixels)
    shifts = draw("uniform", 3, 2, low=-affine, high=affine)
    noise = draw("uniform", 2, side, side, low=-1, high=1)
    middle, third = side // 2, side // 3
    points = np.array(
        [[middle + third, middle + third], [middle + third, middle - third], [middle - third, middle - third]], float
    )
    homogeneous = np.hstack([points, np.ones((3, 1))])
    forth = np.linalg.solve(homogeneous, points + shifts).T
    back = np.linalg.inv(np.vstack([forth, [0, 0, 1]]))[:2]
    rows, columns = np.mgrid[:side, :side]
    # Each contribution to a place is rounded to 1/1024, and the place to 1/32.
    x, y = (
        np.floor((np.rint(a * columns * 1024) + np.rint((b * rows + c) * 1024)) / 32 + 0.5) / 32 for a, b, c in back
    )
    unit = pixels.astype(np.float32) / np.float32(255)
    warped = _sampled(unit, y, x, "mirror")
    right, down = (ndimage.gaussian_filter(field, sigma, mode="reflect", truncate=3) * alpha for field in noise)
    return _sampled(warped, rows + down.astype(np.float32), columns + right.astype(np.float32), "reflect") * 255


def pixelate(pixels: Pixels, draw: Draw, *, share: float) -> Values:
    """Shrink and enlarge by Pillow."""
    side = len(pixels)
    small = Image.fromarray(pixels).resize((int(side * share),) * 2, Image.Resampling.BOX)
    return np.asarray(small.resize((side, side), Image.Resampling.BOX), float)


def jpeg_compression(pixels: Pixels, draw: Draw, *, quality: int) -> Values:
    """Write and read by Pillow."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file), float)


def spatter(
    pixels: Pixels,
    draw: Draw,
    *,
    mean: float,
    deviation: float,
    sigma: float,
    threshold: float,
    strength: float,
    mud: bool,
) -> Values:
    """Water that shines at its rims, or mud that covers."""
    liquid = ndimage.gaussian_filter(draw("normal", *pixels.shape[:2]) * deviation + mean, sigma, mode="nearest")
    liquid[liquid < threshold] = 0
    unit = pixels / 255
    if mud:
        cover = ndimage.gaussian_filter(np.where(liquid > threshold, 1.0, 0.0), strength, mode="nearest")
        cover = np.where(cover < 0.8, 0, cover)[..., None]
        return unit * (1 - cover) * 255 + np.array([63, 42, 20]) * cover
    drops = np.uint8(liquid * 255)
    weight = drops * rims(drops).astype(float)
    return (unit + (weight / weight.max() * strength)[..., None] * np.array([175, 238, 238]) / 255) * 255


def rims(drops: Pixels) -> NDArray[np.int64]:
    """Say how much drops shine where, (h, w)."""
    near = np.minimum(chamfer_distances(edges(drops)), 20)
    levels = np.floor(_correlated(near, np.full((3, 3), 1 / 9)) + 1e-9).astype(int)
    counts = np.bincount(levels.ravel(), minlength=256)
    lowest = levels.min()
    up_to = counts.cumsum() - counts[lowest]
    spread = np.rint(up_to * (255 / max(levels.size - counts[lowest], 1))).astype(int)[levels]
    lit = _correlated(spread, np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])).clip(0, 255)
    return np.rint(_correlated(lit, np.ones((3, 3), int)) / 9).astype(int)


def edges(levels: Pixels) -> NDArray[np.bool_]:
    """Find edges pixel by pixel, as Canny's thresholds of 50 and 150 say, (h, w)."""
    whole = levels.astype(int)
    dx = ndimage.correlate(whole, np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]), mode="nearest")
    dy = ndimage.correlate(whole, np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]]), mode="nearest")
    size = np.pad(np.abs(dx) + np.abs(dy), 1)
    found = np.zeros(levels.shape, bool)
    for y, x in np.argwhere(size[1:-1, 1:-1] > 50):
        gx, gy = int(dx[y, x]), int(dy[y, x])
        here = size[y + 1, x + 1]
        angle = math.degrees(math.atan2(abs(gy), abs(gx)))
        if angle < 22.5:
            found[y, x] = here > size[y + 1, x] and here >= size[y + 1, x + 2]
        elif angle > 67.5:
            found[y, x] = here > size[y, x + 1] and here >= size[y + 2, x + 1]
        else:
            turn = 1 if gx * gy >= 0 else -1
            found[y, x] = here > size[y, x + 1 - turn] and here > size[y + 2, x + 1 + turn]
    parts, _ = ndimage.label(found, np.ones((3, 3)))
    strong = np.unique(parts[found & (size[1:-1, 1:-1] > 150)])
    return np.isin(parts, strong[strong > 0])


def chamfer_distances(found: NDArray[np.bool_]) -> Values:
    """Measure distances to the nearest edge within 20 pixels, from each of the places around it, (h, w)."""
    height, width = found.shape
    padded = np.pad(found, 20)
    nearest = np.full(found.shape, np.inf)
    for dy in range(-20, 21):
        for dx in range(-20, 21):
            long, short = max(abs(dy), abs(dx)), min(abs(dy), abs(dx))
            # Straight steps and knight's moves, or knight's moves and diagonal steps.
            length = (
                long - 2 * short + 2.1969 * short
                if long >= 2 * short
                else 2.1969 * (long - short) + 1.4 * (2 * short - long)
            )
            there = padded[20 + dy : 20 + dy + height, 20 + dx : 20 + dx + width]
            nearest[there & (nearest > length)] = length
    return nearest


def along_a_line(pixels: Pixels, radius: float, sigma: float, angle: float) -> Pixels:
    """Blur by half a Gaussian towards an angle in degrees, clockwise from the right, (h, w, channels)."""
    taps = 2 * math.ceil(radius) + 1
    weights = [math.exp(-(tap**2) / (2 * sigma**2)) for tap in range(taps)]
    height, width = pixels.shape[:2]
    total = np.zeros(pixels.shape)
    for tap, weight in enumerate(weights):
        right = math.ceil(tap * math.cos(math.radians(angle)) - 0.5)
        down = math.ceil(tap * math.sin(math.radians(angle)) - 0.5)
        rows = np.clip(np.arange(height) + down, 0, height - 1)
        columns = np.clip(np.arange(width) + right, 0, width - 1)
        total += weight / sum(weights) * pixels[rows][:, columns]
    return np.uint8(np.floor(np.floor(total * 257 + 0.5) / 257))


def clipped_zoom(values: Values, factor: float) -> Values:
    """Zoom into the middle of (side, side, channels), by SciPy."""
    side = len(values)
    crop = math.ceil(side / factor)
    top = (side - crop) // 2
    zoomed = ndimage.zoom(values[top : top + crop, top : top + crop], (factor, factor, 1), order=1)
    trim = (len(zoomed) - side) // 2
    return zoomed[trim : trim + side, trim : trim + side]


def _per_value(numbers: NDArray[np.generic]) -> Values:
    """Bring (3, h, w) into the order of pixels."""
    return np.moveaxis(numbers, 0, -1)


def _correlated(values: NDArray[np.generic], kernel: NDArray[np.generic]) -> NDArray[np.generic]:
    return ndimage.correlate(values, kernel, mode="mirror")


def _sampled(values: Values, rows: Values, columns: Values, mode: str) -> Values:
    """Interpolate each channel of (h, w, channels) at these places, by SciPy."""
    channels = np.moveaxis(values, -1, 0)
    sampled = [ndimage.map_coordinates(channel, [rows, columns], order=1, mode=mode) for channel in channels]
    return np.stack(sampled, axis=-1)
