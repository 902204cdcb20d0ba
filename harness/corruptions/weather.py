"""Snow, frost, fog and spatter of ImageNet-C, and the layers that they lay over an image.

Sources: Hendrycks and Dietterich 2019 with the authors' `make_imagenet_c.py` for what is computed, and for how, the
libraries that it calls: SciPy (`zoom`), ImageMagick (`MotionBlurImage`), scikit-image (`gaussian`) and OpenCV (`Canny`,
`distanceTransform`, `blur`, `equalizeHist`, `filter2D`). Brightness is in `digital.py`, beside saturation.
"""

from collections.abc import Sequence

import torch

from harness.corruptions.blur import Border, clipped_zoom, directional_blur, gaussian_filter, pad
from harness.corruptions.draws import Draws
from harness.corruptions.textures import frost_textures

_GREY = (0.299, 0.587, 0.114)
_PALE_TURQUOISE = (175, 238, 238)
_MUD = (63, 42, 20)
# OpenCV's thresholds of an edge: of its weakest pixel, and of one that it must have.
_WEAK, _STRONG = 50, 150
# tan(22.5 degrees), with so many bits after the point.
_TANGENT_BITS = 15
_TANGENT = 13573
_FAR = 20


def snow(
    images: torch.Tensor,
    draws: Draws,
    *,
    mean: float,
    deviation: float,
    zoom: float,
    threshold: float,
    radius: float,
    sigma: float,
    share: float,
) -> torch.Tensor:
    """Whiten the image, and add a layer of falling flakes and the same layer turned by 180 degrees.

    share x + (1 - share) max(x, 1.5 grey + 0.5) + flakes + turned flakes, the flakes falling at an angle drawn between
    -135 and -45 degrees.

    Source: `snow` of make_imagenet_c.py.
    """
    side = images.shape[-1]
    noise = draws.normal(side, side) * deviation + mean
    angles = draws.uniform(low=-135.0, high=-45.0).tolist()
    flakes = directional_blur(snow_layer(noise, zoom, threshold), radius, sigma, angles).double() / 255
    return (whitened(images.float() / 255, share).double() + flakes + flakes.rot90(2, (-2, -1))) * 255


def frost(images: torch.Tensor, draws: Draws, *, image_share: float, frost_share: float, stride: int) -> torch.Tensor:
    """Add a random piece of one of five frost textures: image_share x + frost_share piece.

    Of the textures every `stride`-th pixel is taken. They are this project's own, so the result is not the published
    one: see `textures.py`.

    Source: `frost` of make_imagenet_c.py.
    """
    side = images.shape[-1]
    textures = frost_textures().to(images.device)[..., stride // 2 :: stride, stride // 2 :: stride]
    which = draws.integers(0, len(textures)).tolist()
    tops = draws.integers(0, textures.shape[-2] - side).tolist()
    lefts = draws.integers(0, textures.shape[-1] - side).tolist()
    pieces = torch.stack(
        [
            textures[texture, :, top : top + side, left : left + side]
            for texture, top, left in zip(which, tops, lefts, strict=True)
        ]
    )
    return images.double() * image_share + pieces.double() * frost_share


def fog(images: torch.Tensor, draws: Draws, *, strength: float, decay: float) -> torch.Tensor:
    """Add a cloud and dim: (x + strength cloud) m / (m + strength), m the image's largest value.

    Source: `fog` of make_imagenet_c.py.
    """
    side = images.shape[-1]
    unit = images.double() / 255
    largest = unit.amax((1, 2, 3), keepdim=True)
    cloud = plasma(draws, 1 << (side - 1).bit_length(), decay)[:, None, :side, :side]
    return (unit + cloud * strength) * largest / (largest + strength) * 255


def spatter(
    images: torch.Tensor,
    draws: Draws,
    *,
    mean: float,
    deviation: float,
    sigma: float,
    threshold: float,
    strength: float,
    mud: bool,
) -> torch.Tensor:
    """Splash water that shines at its rims, or mud that covers.

    Drops are where smoothed noise is above `threshold`. Water is added, `strength` times a weight of largest value 1,
    in pale turquoise. Mud replaces the image where the drops, smoothed by `strength` pixels, are at least 0.8, in that
    share. All in single precision.

    Source: `spatter` of make_imagenet_c.py. Where there is no drop at all, its images turn out black; here they stay
    as they are.
    """
    side = images.shape[-1]
    liquid = gaussian_filter(draws.normal(side, side) * deviation + mean, sigma)
    liquid = torch.where(liquid < threshold, 0.0, liquid)
    unit = images.float() / 255
    if mud:
        cover = gaussian_filter((liquid > threshold).double(), strength)
        cover = torch.where(cover < 0.8, 0.0, cover)[:, None]
        return ((unit * (1 - cover)).float() + (_colour(_MUD, unit) * cover).float()) * 255
    levels = (liquid * 255).long().to(torch.uint8)
    weight = levels.float() * rims(levels).float()
    largest = weight.amax((1, 2), keepdim=True)
    weight = weight / torch.where(largest == 0, 1.0, largest) * strength
    return (unit + weight[:, None] * _colour(_PALE_TURQUOISE, unit)).clamp(max=1) * 255


def snow_layer(noise: torch.Tensor, zoom: float, threshold: float) -> torch.Tensor:
    """Make flakes of noise: zoomed, 0 below the threshold, cut off at 1.

    Args:
        noise: float64 (n, side, side).
        zoom: At least 1.
        threshold: Below which there is no flake.

    Returns:
        uint8 (n, 1, side, side).
    """
    flakes = clipped_zoom(noise, zoom)
    flakes = torch.where(flakes < threshold, 0.0, flakes).clamp(0, 1)
    return (flakes * 255).to(torch.uint8)[:, None]


def whitened(unit: torch.Tensor, share: float) -> torch.Tensor:
    """Mix with a brighter grey: share x + (1 - share) max(x, 1.5 grey + 0.5), grey 0.299 r + 0.587 g + 0.114 b.

    Args:
        unit: float32 (n, 3, h, w) in [0, 1].
        share: Of the image.
    """
    red, green, blue = (unit[:, channel, None] * weight for channel, weight in enumerate(_GREY))
    return unit * share + torch.maximum(unit, (red + green + blue) * 1.5 + 0.5) * (1 - share)


def plasma(draws: Draws, side: int, decay: float) -> torch.Tensor:
    """Draw a cloud by the diamond-square algorithm on a torus.

    From one point at 0, points between four others get their mean plus w uniform(-w, w), first those in the middle of
    squares and then those in the middle of diamonds; w is 100 and falls by `decay` each time that the squares are
    halved.

    Source: `plasma_fractal` of make_imagenet_c.py.

    Args:
        draws: Of the images.
        side: A power of 2.
        decay: Of w.

    Returns:
        float64 (n, side, side), from 0 to 1.
    """
    cloud = torch.zeros(draws.count, side, side, dtype=torch.float64, device=draws.device)
    step, wobble = side, 100.0

    def perturbed(sums: torch.Tensor) -> torch.Tensor:
        return sums / 4 + draws.uniform(*sums.shape[1:], low=-wobble, high=wobble) * wobble

    while step >= 2:
        half = step // 2
        corners = cloud[:, ::step, ::step]
        pairs = corners + corners.roll(-1, 1)
        cloud[:, half::step, half::step] = perturbed(pairs + pairs.roll(-1, 2))
        middles = cloud[:, half::step, half::step]
        cloud[:, ::step, half::step] = perturbed(middles + middles.roll(1, 1) + (corners + corners.roll(-1, 2)))
        cloud[:, half::step, ::step] = perturbed(middles + middles.roll(1, 2) + (corners + corners.roll(-1, 1)))
        step, wobble = half, wobble / decay
    cloud -= cloud.amin((1, 2), keepdim=True)
    return cloud / cloud.amax((1, 2), keepdim=True)


def rims(drops: torch.Tensor) -> torch.Tensor:
    """Say how much drops of water shine where: distance from their edges, equalised and lit from one side.

    Args:
        drops: uint8 (n, h, w), 0 where there is no drop.

    Returns:
        int64 (n, h, w), levels of 0 to 255.
    """
    distance = _box_sums(_distances(_edges(drops)).double()) * (1 / 9)
    shine = _equalised(distance.float().long())
    lit = _correlated(shine, ((-2, -1, 0), (-1, 1, 1), (0, 1, 2)), "reflect_101").clamp(0, 255)
    return (2 * _box_sums(lit) + 9) // 18


def _colour(levels: tuple[int, int, int], like: torch.Tensor) -> torch.Tensor:
    return (torch.tensor(levels, dtype=torch.float64, device=like.device) / 255).to(like.dtype)[:, None, None]


def _edges(images: torch.Tensor) -> torch.Tensor:
    """Find edges as OpenCV's `Canny` does: where the Sobel gradient is largest across the edge.

    A pixel is one whose |dx| + |dy| is above 50 and above that of its two neighbours along the gradient, of which the
    direction is rounded to multiples of 45 degrees; and which is joined by such pixels to one above 150.

    Args:
        images: uint8 (n, h, w).

    Returns:
        bool, of the same shape.
    """
    levels = images.long()
    dx = _correlated(levels, ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)), "nearest")
    dy = _correlated(levels, ((-1, -2, -1), (0, 0, 0), (1, 2, 1)), "nearest")
    size = dx.abs() + dy.abs()
    flat = dx.abs() * _TANGENT
    steep = flat + (dx.abs() << _TANGENT_BITS + 1)
    rise = dy.abs() << _TANGENT_BITS
    above, below, left, right, above_left, above_right, below_left, below_right = (
        _shifted(size, down, across, 0)
        for down, across in ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))
    )
    falls = (dx ^ dy) < 0
    diagonal = torch.where(
        falls, (size > above_right) & (size > below_left), (size > above_left) & (size > below_right)
    )
    largest = torch.where(
        rise < flat,
        (size > left) & (size >= right),
        torch.where(rise > steep, (size > above) & (size >= below), diagonal),
    )
    candidates = largest & (size > _WEAK)
    edges = candidates & (size > _STRONG)
    while True:
        joined = candidates & (_box_sums(edges.long(), "nearest") > 0)
        if torch.equal(joined, edges):
            return edges
        edges = joined


def _distances(edges: torch.Tensor) -> torch.Tensor:
    """Measure how far each pixel is from an edge, at most 20, as OpenCV's `distanceTransform` of 5 x 5 does.

    Along shortest paths whose steps to one of the 16 nearest directions count 1, 1.4 and 2.1969.

    Args:
        edges: bool (n, h, w).

    Returns:
        float32, of the same shape; 20 where there is no edge.
    """
    # In ten-thousandths, which are whole: sums are exact.
    one = 10_000
    lengths = {1: one, 2: 14_000, 5: 21_969}
    steps = [(down, across) for down in range(-2, 3) for across in range(-2, 3)]
    far = _FAR * one
    distance = torch.where(edges, 0, torch.tensor(far, device=edges.device))
    while True:
        nearest = distance
        for down, across in steps:
            length = lengths.get(down**2 + across**2)
            if length is not None:
                nearest = torch.minimum(nearest, _shifted(distance, down, across, far) + length)
        if torch.equal(nearest, distance):
            return (distance / one).float()
        distance = nearest


def _equalised(levels: torch.Tensor) -> torch.Tensor:
    """Spread levels so that each is the share of pixels up to it, as OpenCV's `equalizeHist` does.

    Args:
        levels: int64 (n, h, w), of 0 to 255.

    Returns:
        int64, of the same shape; where there is but one level, it stays.
    """
    flat = levels.flatten(1)
    counts = torch.zeros(len(flat), 256, dtype=torch.int64, device=levels.device)
    counts.scatter_add_(1, flat, torch.ones_like(flat))
    lowest = flat.amin(1, keepdim=True)
    rest = flat.shape[1] - counts.gather(1, lowest)
    scale = torch.tensor(255.0) / rest.clamp(min=1).float()
    above = counts.cumsum(1) - counts.gather(1, lowest)
    table = (above.clamp(min=0).float() * scale).round().long()
    return torch.where(rest == 0, flat, table.gather(1, flat)).view_as(levels)


def _box_sums(images: torch.Tensor, border: Border = "reflect_101") -> torch.Tensor:
    """Sum the 3 x 3 pixels around each."""
    return _correlated(images, ((1, 1, 1), (1, 1, 1), (1, 1, 1)), border)


def _correlated(images: torch.Tensor, kernel: Sequence[Sequence[int]], border: Border) -> torch.Tensor:
    """Correlate (n, h, w) with 3 x 3 whole weights."""
    height, width = images.shape[-2:]
    padded = pad(pad(images, -2, 1, border), -1, 1, border)
    total = torch.zeros_like(images)
    for down, row in enumerate(kernel):
        for across, weight in enumerate(row):
            if weight:
                total += padded[:, down : down + height, across : across + width] * weight
    return total


def _shifted(images: torch.Tensor, down: int, across: int, beyond: int) -> torch.Tensor:
    """Give each pixel of (n, h, w) the value that many pixels further down and across, `beyond` past the edge."""
    height, width = images.shape[-2:]
    reach = max(abs(down), abs(across))
    padded = torch.nn.functional.pad(images, (reach, reach, reach, reach), value=beyond)
    return padded[:, reach + down : reach + down + height, reach + across : reach + across + width]
