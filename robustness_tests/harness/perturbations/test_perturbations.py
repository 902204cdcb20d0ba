"""Each perturbation against the plainest way to make its frames, and what all of them must keep to."""

import functools

import numpy as np
import pytest

from data_fixtures import perturbed
from data_fixtures.pictures import picture
from harness.benchmarks import imagenet_p
from harness.errors import UsageError
from harness.metrics.perturbation import PERTURBATIONS, VALIDATION_PERTURBATIONS

ALL = PERTURBATIONS + VALIDATION_PERTURBATIONS
RANDOM = ("gaussian_noise", "shot_noise", "snow", "spatter", "speckle_noise")
BEYOND_THE_MIDDLE = ("translate", "rotate", "tilt", "scale", "shear")


# Mean and standard deviation over a whole sequence, in levels, as generator 1 makes it.
PINNED = {
    "gaussian_noise": (132.9688, 39.8210),
    "shot_noise": (132.9856, 40.4426),
    "motion_blur": (133.2401, 38.8480),
    "zoom_blur": (133.0441, 38.6570),
    "brightness": (132.2437, 53.3834),
    "translate": (133.6054, 39.3504),
    "rotate": (132.7974, 39.7702),
    "tilt": (133.0335, 40.0023),
    "scale": (100.6402, 66.8570),
    "snow": (164.8766, 38.0990),
    "spatter": (134.2835, 39.4281),
    "speckle_noise": (132.9632, 39.6755),
    "gaussian_blur": (132.9568, 38.9958),
    "shear": (133.1075, 39.2142),
}
# Spatter takes ten times as long as any other, and draws as snow does.
QUICK = tuple(name for name in ALL if name != "spatter")
SCRIPTS = {"224": perturbed.IMAGENET_P, "32": perturbed.CIFAR_10_P}
by_set = pytest.mark.parametrize("parameters", SCRIPTS)


@pytest.fixture(autouse=True)
def _one_thread():
    """Many small steps, which threads that wait for one another would only slow down."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@functools.cache
def photograph(width=300, height=256, seed=3):
    """A picture with all of black to white in it, (h, w, 3)."""
    levels = np.asarray(picture(seed, max(width, height)), float)[:height, :width]
    return ((levels - levels.min()) / np.ptp(levels) * 255).round().astype(np.uint8)


def photograph_for(parameters):
    """A photograph of which frames are made with a set of parameters; CIFAR-10's are no larger than its frames."""
    return photograph() if parameters == "224" else photograph(32, 32)


def as_tensor(pixels):
    import torch

    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)


def made_of(images, name, ids, seed=0, **parameters):
    """Sequences of images, each (frames, h, w, 3)."""
    from harness.perturbations import perturb

    sequences = perturb([as_tensor(image) for image in images], name, ids, seed=seed, **parameters)
    return sequences.permute(0, 1, 3, 4, 2).numpy()


@functools.cache
def frames_of(name, parameters="224"):
    """Frames of the photograph."""
    return made_of([photograph_for(parameters)], name, ["n01440764/a"], parameters=parameters)[0]


def made_plainly(name, parameters, *arguments):
    """A frame of the photograph, by the oracle."""
    return getattr(perturbed, name)(photograph_for(parameters), *arguments, SCRIPTS[parameters])


def some_of(frames):
    """A few of a sequence's places, the first and the last among them."""
    return sorted({place for place in (0, 1, 14, 15, 24, 30) if place < len(frames)} | {len(frames) - 1})


@functools.cache
def in_a_batch(name):
    """Frames of the photograph's middle and of the photograph, made together.

    Where nothing is random, with another seed and another id, which then must not matter.
    """
    seed, image_id = (0, "n01440764/a") if name in RANDOM else (1, "n01440764/b")
    return made_of([perturbed.crop(photograph(), SCRIPTS["224"]), photograph()], name, [image_id] * 2, seed=seed)


def drawn(name, kind, *shape):
    """The random numbers that a perturbation of the photograph draws first."""
    from harness.corruptions.draws import Draws

    return getattr(Draws(f"perturbation/{name}", 0, ["n01440764/a"]), kind)(*shape)[0].numpy()


def assert_nearly_equal(frames, expected, *, differing=0.0):
    """Equal but for a share of values that may be off by a level, where a sum came out a last bit other."""
    distances = np.abs(frames.astype(int) - expected)
    assert np.mean(distances > 0) <= differing
    assert distances.max() <= 1


@by_set
@pytest.mark.parametrize("name", ALL)
def test_frames_are_as_many_and_as_large_as_published(name, parameters):
    published = {"224": {"translate": 41}, "32": {"translate": 16, "motion_blur": 21}}[parameters]
    count, side = published.get(name, 31), int(parameters)
    frames = frames_of(name, parameters)
    assert (frames.shape, frames.dtype) == ((count, side, side, 3), np.uint8)
    listed = dict(zip(imagenet_p.CELLS, imagenet_p.frames_of(side), strict=True))
    assert listed.get(name, 31) == count


@pytest.mark.parametrize("name", ALL)
def test_frames_are_those_of_this_version_of_the_generator(name):
    from harness.perturbations import GENERATOR

    assert GENERATOR == 1
    frames = frames_of(name)
    assert (frames.mean(), frames.std()) == pytest.approx(PINNED[name], abs=2e-4)


@by_set
@pytest.mark.parametrize("name", ["translate", "brightness", "gaussian_blur"])
def test_frames_are_those_made_plainly(name, parameters):
    frames = frames_of(name, parameters)
    for frame in some_of(frames):
        assert_nearly_equal(frames[frame], made_plainly(name, parameters, frame))


@by_set
@pytest.mark.parametrize(
    ("name", "differing"),
    # Where pixels come from whole fractions of pixels, as when scaling to a half, values are often whole, and a last
    # bit decides whether they are cut down to the level below.
    [("rotate", 1e-3), ("tilt", 1e-3), ("motion_blur", 1e-3), ("scale", 0.1), ("shear", 0.02), ("zoom_blur", 0.01)],
)
def test_frames_are_nearly_those_made_plainly(name, differing, parameters):
    frames = frames_of(name, parameters)
    for frame in some_of(frames):
        assert_nearly_equal(frames[frame], made_plainly(name, parameters, frame), differing=differing)


@by_set
@pytest.mark.parametrize("name", ["gaussian_noise", "speckle_noise"])
def test_noise_is_that_of_the_numbers_drawn(name, parameters):
    frames, side = frames_of(name, parameters), int(parameters)
    noise = drawn(name, "normal", 30, 3, side, side).transpose(0, 2, 3, 1)
    for frame in (1, 2, 30):
        expected = made_plainly(name, parameters, noise[frame - 1])
        assert_nearly_equal(frames[frame], expected, differing=1e-5)


@by_set
def test_shot_noise_is_that_of_the_numbers_drawn(parameters):
    side = int(parameters)
    uniform = drawn("shot_noise", "uniform", 30, 3, side, side).transpose(0, 2, 3, 1)
    expected = made_plainly("shot_noise", parameters, uniform[6])
    assert_nearly_equal(frames_of("shot_noise", parameters)[7], expected, differing=1e-5)


@by_set
def test_snow_is_that_of_the_numbers_drawn(parameters):
    flakes = drawn("snow", "normal", int(parameters), int(parameters))
    for frame in (0, 7, 15, 30):
        expected = made_plainly("snow", parameters, frame, flakes)
        assert_nearly_equal(frames_of("snow", parameters)[frame], expected, differing=1e-3)


def test_spatter_runs_down_as_the_numbers_drawn_say():
    import torch

    from harness.corruptions.weather import rims

    frames = [0, 1, 30]
    levels = perturbed.water_levels(frames, drawn("spatter", "normal", 224, 224))
    for frame, level in zip(frames, levels, strict=True):
        shine = level * rims(torch.from_numpy(level)[None])[0].numpy().astype(np.float32)
        weight = (shine / shine.max() * np.float32(0.6))[..., None]
        unit = made_plainly("crop", "224") / np.float32(255)
        water = np.array([175, 238, 238], np.float32) / np.float32(255)
        expected = (np.minimum(unit + weight * water, 1) * 255).astype(np.uint8)
        assert_nearly_equal(frames_of("spatter")[frame], expected, differing=1e-3)


@pytest.mark.parametrize(
    ("parameters", "name", "frame"),
    [
        *(("224", name, 0) for name in ("gaussian_noise", "shot_noise", "speckle_noise", "zoom_blur")),
        *(("224", "translate", 20), ("224", "rotate", 15), ("224", "scale", 24), ("224", "shear", 15)),
        *(("32", name, 0) for name in ("gaussian_noise", "shot_noise", "zoom_blur")),
        *(("32", "translate", 7), ("32", "rotate", 15), ("32", "scale", 15)),
    ],
)
def test_the_frame_that_is_not_perturbed_is_the_middle_of_the_photograph(parameters, name, frame):
    assert np.array_equal(frames_of(name, parameters)[frame], made_plainly("crop", parameters))


@pytest.mark.parametrize("name", ["gaussian_noise", "shot_noise", "speckle_noise"])
def test_noisy_frames_are_independent_and_centred(name):
    frames = frames_of(name).astype(float)
    unit = frames[0] / 255
    middling = (unit > 0.3) & (unit < 0.7)
    # Values are cut down to whole levels: half a level is lost, and the variance of a cut, 1/12, comes in.
    errors = (frames[1:] - frames[0])[:, middling]
    spread = {"gaussian_noise": 0.03, "speckle_noise": 0.05 * unit, "shot_noise": np.sqrt(unit / 300)}[name]
    variance = np.mean(np.broadcast_to(spread, unit.shape)[middling] ** 2) * 255**2 + 1 / 12
    assert errors.mean() == pytest.approx(-0.5, abs=0.03)
    assert errors.var() == pytest.approx(variance, rel=0.01)
    assert abs(np.corrcoef(errors)[np.triu_indices(30, 1)]).max() < 0.03


@pytest.mark.parametrize("name", ["gaussian_noise", "snow"])
def test_what_is_random_belongs_to_the_seed_and_the_id(name):
    usual = frames_of(name)
    other_seed = made_of([photograph()], name, ["n01440764/a"], seed=1)[0]
    other_id = made_of([photograph()], name, ["n01440764/b"])[0]
    assert all(np.mean(usual != other) > 0.1 for other in (other_seed, other_id))
    assert np.mean(other_seed != other_id) > 0.1


@pytest.mark.parametrize("name", QUICK)
def test_a_sequence_is_the_same_in_any_batch_and_with_any_seed_where_nothing_is_random(name):
    assert np.array_equal(in_a_batch(name)[1], frames_of(name))


@pytest.mark.parametrize("name", QUICK)
def test_what_lies_beyond_the_middle_is_seen_only_where_the_image_moves(name):
    of_middle, of_whole = in_a_batch(name).astype(int)
    distances = np.abs(of_middle - of_whole)
    if name in BEYOND_THE_MIDDLE:
        assert distances.max() > 50
    elif name == "zoom_blur":  # the middle it zooms about is a number of other last bits
        assert distances[:, 2:-2, 2:-2].max() <= 1
    else:
        assert not distances.any()


def test_a_stack_of_images_is_perturbed_like_a_list():
    import torch

    from harness.perturbations import perturb

    images = [as_tensor(photograph(224, 224, seed=seed)) for seed in (1, 2)]
    assert torch.equal(perturb(torch.stack(images), "translate", "ab"), perturb(images, "translate", "ab"))


@pytest.mark.parametrize(
    ("images", "ids", "message"),
    [
        pytest.param(np.zeros((1, 3, 223, 224), np.uint8), ["a"], "at least 224 pixels", id="small"),
        pytest.param(np.zeros((1, 3, 224, 224), np.float32), ["a"], "must be uint8", id="float"),
        pytest.param(np.zeros((1, 1, 224, 224), np.uint8), ["a"], r"\(3, h, w\)", id="grey"),
        pytest.param(np.zeros((2, 3, 224, 224), np.uint8), ["a"], "zip", id="too_few_ids"),
    ],
)
def test_images_of_another_kind_are_refused(images, ids, message):
    import torch

    from harness.perturbations import perturb

    with pytest.raises(ValueError, match=message):
        perturb(torch.from_numpy(images), "translate", ids)


def test_an_unknown_perturbation_names_the_known_ones():
    from harness.perturbations import perturb

    with pytest.raises(UsageError, match="unknown perturbation 'motion'; known: motion_blur"):
        perturb([as_tensor(photograph())], "motion", ["a"])


def test_an_unknown_parameter_set_names_the_known_ones():
    from harness.perturbations import perturb

    with pytest.raises(UsageError, match="unknown parameter set '64'; known: 224, 32"):
        perturb([as_tensor(photograph())], "translate", ["a"], parameters="64")


def test_images_must_be_as_large_as_the_frames_of_their_parameter_set():
    import torch

    from harness.perturbations import perturb

    assert perturb(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), "translate", "a", parameters="32").shape[1] == 16
    with pytest.raises(ValueError, match="at least 32 pixels"):
        perturb(torch.zeros(1, 3, 31, 32, dtype=torch.uint8), "translate", "a", parameters="32")
