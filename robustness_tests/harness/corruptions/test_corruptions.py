"""Each corruption against the plainest way to make it, and what all of them must keep to."""

import functools
import inspect

import numpy as np
import pytest

from data_fixtures.pictures import picture
from harness.errors import DataError, UsageError
from harness.metrics.corruption import CORRUPTIONS, EXTRA_CORRUPTIONS, SEVERITIES

NAMES = CORRUPTIONS + EXTRA_CORRUPTIONS
SETS = ("224", "32")
# The share of values that may be off by a level, where a sum that comes out a last bit other is cut down to another
# whole level: what single precision rounds in another order, and, in defocus blur, white and black areas.
DIFFERING = {
    "defocus_blur": 0.15,
    "elastic_transform": 0.01,
    "motion_blur": 1e-3,
    "snow": 1e-3,
    "spatter": 1e-3,
    "zoom_blur": 1e-3,
}

pytestmark = pytest.mark.usefixtures("one_thread")


@functools.cache
def photograph(side):
    """A picture with all of black to white in it, and areas that are white, black and grey, (h, w, 3)."""
    levels = np.asarray(picture(3, side), float)
    levels = (levels - levels.min()) / np.ptp(levels) * 255
    levels[: side // 4, : side // 3] = 255
    levels[-side // 5 :, : side // 4] = 0
    levels[-side // 4 :, -side // 4 :] = 77
    return levels.round().astype(np.uint8)


def grey(level, side=224):
    return np.full((side, side, 3), level, np.uint8)


def corrupt_pixels(pixels, name, severity, **options):
    """Corrupt pixels (h, w, 3)."""
    import torch

    from harness.corruptions import corrupt

    images = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
    return corrupt(images, name, severity, ["n01440764/a"], **options)[0].permute(1, 2, 0).numpy()


def arguments(parameters, name, severity):
    from harness.corruptions.parameters import PARAMETERS

    return PARAMETERS[parameters][name][severity - 1]


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("parameters", SETS)
def test_images_are_those_made_plainly(parameters, name, severity):
    from data_fixtures import plain_corruptions
    from harness.corruptions.draws import Draws

    pixels = photograph(int(parameters))
    draws = Draws(f"corruption/{name}/{severity}", 0, ["n01440764/a"])

    def draw(kind, *shape, **bounds):
        return getattr(draws, kind)(*shape, **bounds)[0].numpy()

    expected = plain_corruptions.corrupted(name, pixels, draw, arguments(parameters, name, severity))
    distances = np.abs(corrupt_pixels(pixels, name, severity, parameters=parameters).astype(int) - expected)
    assert distances.max() <= 1
    assert np.mean(distances > 0) <= DIFFERING.get(name, 0)


def test_every_corruption_has_arguments_that_its_function_takes_at_five_severities():
    from harness.corruptions import FUNCTIONS
    from harness.corruptions.parameters import PARAMETERS

    assert tuple(FUNCTIONS) == NAMES
    for parameters in SETS:
        assert tuple(PARAMETERS[parameters]) == NAMES
        for name, function in FUNCTIONS.items():
            taken = set(inspect.signature(function).parameters) - {"images", "draws"}
            assert [set(row) for row in PARAMETERS[parameters][name]] == [taken] * 5


# By hand: (what is asked of the levels, what it must be, how far a sample may be off) for the level and the severity.
@pytest.mark.parametrize(
    ("name", "severity", "level", "statistic", "expected", "tolerance"),
    [
        # 0.08 x 255, where nothing is clipped; cutting down to whole levels takes half a level off the mean.
        ("gaussian_noise", 1, 128, "std", 20.4, 0.2),
        ("gaussian_noise", 1, 128, "mean", 127.5, 0.2),
        # sqrt(x / photons) x 255 with x = 51 / 255 and 60 photons.
        ("shot_noise", 1, 51, "std", 14.72, 0.2),
        # 3 photons at most, so levels are 0, 85, 170, 255; none of them with probability exp(-3 x 51 / 255).
        ("shot_noise", 5, 51, "share of 0", 0.5488, 0.005),
        ("impulse_noise", 5, 100, "share of 255", 0.135, 0.004),
        ("impulse_noise", 5, 100, "share of 0", 0.135, 0.004),
        ("impulse_noise", 5, 100, "share of 100", 0.73, 0.005),
        # 0.15 x 100.
        ("speckle_noise", 1, 100, "std", 15.0, 0.2),
        # A grey's V is its level: 100 + 0.1 x 255 = 125.5.
        ("brightness", 1, 100, "max", 125, 0),
        ("brightness", 5, 200, "min", 255, 0),
        # The kernel of radius 8 adds up to 1.013: the disk's rim is mirrored at the edge of its square.
        ("defocus_blur", 4, 200, "min", 202, 0),
        ("defocus_blur", 1, 200, "min", 199, 0),
        # Between flakes, 0.55 x 100 + 0.45 x (1.5 x 100 + 127.5).
        ("snow", 5, 100, "min", 0.55 * 100 + 0.45 * (150 + 127.5), 1),
        # Water and mud leave most of an image as it is.
        ("spatter", 1, 100, "median", 100, 0),
        ("spatter", 4, 100, "median", 100, 0),
    ],
)
def test_greys_come_out_as_worked_out_by_hand(name, severity, level, statistic, expected, tolerance):
    levels = corrupt_pixels(grey(level), name, severity).astype(float)
    counted = statistic.removeprefix("share of ")
    value = getattr(np, statistic)(levels) if counted == statistic else np.mean(levels == int(counted))
    assert value == pytest.approx(expected, abs=tolerance)


def test_fog_dims_to_what_its_strength_says():
    # The cloud goes from 0 to 1 over the whole map, most of which is in the image: (x + c cloud) x / (x + c).
    foggy = corrupt_pixels(grey(51), "fog", 1) / 255
    assert foggy.min() == pytest.approx(0.2 * 0.2 / 1.7, abs=0.02)
    assert 0.1 < foggy.max() <= 0.2


def test_spatter_without_a_drop_leaves_an_image_as_it_is():
    import torch

    from harness.corruptions.draws import Draws
    from harness.corruptions.weather import spatter

    images = torch.from_numpy(photograph(32).copy()).permute(2, 0, 1)[None]
    dry = {"mean": 0.1, "deviation": 0.01, "sigma": 1, "threshold": 0.9, "strength": 0.6}
    levels = spatter(images, Draws("dry", 0, ["a"]), mud=False, **dry)
    np.testing.assert_allclose(levels.numpy(), images.numpy(), atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_severity_changes_images(name):
    results = [corrupt_pixels(photograph(32), name, severity, parameters="32").tobytes() for severity in SEVERITIES]
    assert len(set(results)) == 5


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"corruption": "gausian_noise"}, UsageError, "unknown corruption 'gausian_noise'; known: gaussian_noise, "),
        ({"severity": 0}, UsageError, "fog: unknown severity 0; known: 1, 2, 3, 4, 5"),
        ({"severity": 6}, UsageError, "fog: unknown severity 6; known: 1, 2, 3, 4, 5"),
        ({"parameters": "64"}, UsageError, "unknown parameter set '64'; known: "),
        ({"side": 256}, DataError, "fog/3: images are 256 x 256 pixels and parameters '224' are for 224 x 224; resize"),
        ({"side": 224, "parameters": "32"}, DataError, "parameters '32' are for 32 x 32"),
        ({"ids": ["a"]}, ValueError, "1 ids for 2 images"),
        ({"channels": 1}, ValueError, r"shape \(2, 1, 224, 224\); want uint8 \(n, 3, h, w\)"),
        ({"dtype": "float32"}, ValueError, "dtype torch.float32"),
    ],
    ids=["corruption", "severity-0", "severity-6", "set", "size", "size-of-set", "ids", "channels", "dtype"],
)
def test_what_can_not_be_corrupted_is_an_error_that_says_why(options, error, words):
    import torch

    from harness.corruptions import corrupt

    given = {"corruption": "fog", "severity": 3, "ids": ["a", "b"], "parameters": "224"}
    given |= {key: value for key, value in options.items() if key in given}
    side = options.get("side", 224)
    dtype = getattr(torch, options.get("dtype", "uint8"))
    images = torch.zeros(2, options.get("channels", 3), side, side, dtype=dtype)
    with pytest.raises(error, match=words):
        corrupt(images, given["corruption"], given["severity"], given["ids"], parameters=given["parameters"])


def test_no_images_give_no_images():
    import torch

    from harness.corruptions import corrupt

    assert corrupt(torch.zeros(0, 3, 224, 224, dtype=torch.uint8), "snow", 1, []).shape == (0, 3, 224, 224)
