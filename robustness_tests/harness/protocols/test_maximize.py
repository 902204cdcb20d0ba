"""Maximizing images: against a plain loop, and on features of which it is known what drives them."""

import numpy as np
import pytest

from data_fixtures.pictures import picture
from harness.errors import NonFinite, NotMeasured, UsageError
from harness.protocols.maximizing import Maximize
from harness.scores import OneLook, find_score, make_sample
from harness.verdicts.estimates import Estimate

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = "?resize=32&crop=32&mean=0,0,0&std=1,1,1"
STEPS = Maximize(steps=200)


@pytest.fixture(scope="module")
def seeds():
    """Two pictures with structure at several scales, and noise: uint8, (3, 32, 32)."""
    pictures = [np.asarray(picture(seed)).transpose(2, 0, 1).copy() for seed in (0, 1)]
    return [*pictures, np.random.default_rng(2).integers(0, 256, (3, 32, 32), dtype=np.uint8)]


@pytest.fixture(scope="module")
def build():
    """Give a function from the name of a classifier to what searches its units."""
    import torch

    from harness.classifiers.loading import load
    from harness.protocols.maximize import MaximizeUnits

    def build(name, maximize=STEPS, query=""):
        classifier = load(f"python:data_fixtures.features:{name}{SIZE}{query}")
        return MaximizeUnits(classifier, maximize, device=torch.device("cpu"))

    return build


@pytest.fixture(scope="module")
def numbers(build, seeds):
    """Give a function from the name of a classifier to its metrics, as figures that claims are judged on."""

    def numbers(name):
        search = build(name)
        parts = []
        for place, seed in enumerate(seeds):
            columns = search(seed)
            units = len(columns["unit"])
            parts.append(
                {
                    **columns,
                    "image": np.array([f"seed-{place}"] * units, dtype=object),
                    "digest": np.full(units, place, dtype=np.uint64),
                    "photograph": np.full(units, place < 2),
                }
            )
        sample = make_sample(STEPS, parts)
        return lambda score: OneLook(1e-3).estimate(find_score(STEPS, score), {STEPS: sample})

    return numbers


def naive(module, seed, units, steps, probability):
    """Search unit by unit with a plain loop; features are products of the image with the module's own filters."""
    import torch

    found = []
    for unit in units:
        start = torch.from_numpy(seed)[None] / 255
        image, nearest = start, None
        for step in range(steps + 1):
            pixels = image.clone().requires_grad_()
            features = torch.einsum("nchw,uchw->nu", pixels - 0.5, module.filters)
            activation = features.detach()[0, unit].item()
            far = (image - start).abs().max().item()
            sure = features.detach().double().softmax(1)[0, unit].item() > probability
            if sure and (nearest is None or far < nearest[1]):
                nearest = step, far, image, activation
            if step < steps:
                torch.nn.functional.cross_entropy(features, torch.tensor([unit])).backward()
                image = (image - pixels.grad.sign() / 255).clamp(0, 1)
        found.append((nearest, image, activation))
    return found


def as_levels(image):
    return (image[0] * 255).round().byte().permute(1, 2, 0).flatten().numpy()


@pytest.mark.parametrize("name", ["fine_filters", "coarse_filters"])
def test_a_plain_loop_finds_the_same_images(build, seeds, name):
    from harness.classifiers.loading import load

    module = load(f"python:data_fixtures.features:{name}{SIZE}").module.model
    search = build(name)
    columns = search(seeds[0])
    assert columns["unit"].tolist() == list(search.units)
    expected = naive(module, seeds[0], search.units, STEPS.steps, STEPS.probability)
    for row, (nearest, last, activation) in enumerate(expected):
        assert columns["met_at"][row] == nearest[0]
        assert columns["linf_smallest"][row] == pytest.approx(nearest[1], abs=1e-6)
        assert columns["activation_smallest"][row] == pytest.approx(nearest[3], rel=1e-4)
        assert columns["activation_final"][row] == pytest.approx(activation, rel=1e-4)
        assert (columns["smallest_image"][row] == as_levels(nearest[2])).all()
        assert (columns["final_image"][row] == as_levels(last)).all()
        assert (columns["seed_image"][row] == seeds[0].transpose(1, 2, 0).ravel()).all()


def test_the_image_that_is_shown_is_the_nearest_one_and_not_the_last(build, seeds):
    columns = build("fine_filters")(seeds[0])
    assert (columns["met_at"] < 10).all()
    assert (columns["linf_smallest"] < columns["linf_final"]).all()
    assert (columns["activation_smallest"] > columns["activation_seed"]).all()


def test_features_that_a_breath_moves_are_told_from_features_that_must_be_painted(numbers):
    """C12 in numbers: it holds for random fine filters, and fails on every count for coarse ones."""
    fine, coarse = numbers("fine_filters"), numbers("coarse_filters")
    assert fine("maximized").value == coarse("maximized").value == 1
    assert fine("ssim_to_seed_smallest").value > 0.9 > 0.5 > coarse("ssim_to_seed_smallest").value
    assert fine("ssim_between_units_smallest").value > 0.85 > coarse("ssim_between_units_smallest").value
    assert fine("seed_share_smallest").value > 0.9 > 0.5 > coarse("seed_share_smallest").value
    assert fine("unit_share_smallest").value < 0.05 < coarse("unit_share_smallest").value
    assert fine("difference_to_seed_smallest").value < 0.02 < coarse("difference_to_seed_smallest").value

    def contrast(of):
        return of("ssim_between_units_smallest").value - of("ssim_between_seeds_smallest").value

    assert contrast(fine) > 0.5 > contrast(coarse)


def test_numbers_are_of_these_very_images(numbers):
    found = numbers("fine_filters")("ssim_to_seed_final")
    assert found == Estimate.exact(found.value, images=15)


def test_a_unit_that_is_never_maximized_is_a_failure_and_no_copy_of_the_seed(build, seeds, numbers):
    columns = build("weak_filters")(seeds[0])
    assert (columns["met_at"] == -1).all()
    assert not columns["smallest_image"].any()
    assert np.isnan(columns["linf_smallest"]).all()
    weak = numbers("weak_filters")
    assert weak("maximized").value == 0
    with pytest.raises(NotMeasured, match=r"15 of 15 pairs of a seed and a unit never reached probability 0.999999"):
        weak("ssim_to_seed_smallest")
    assert weak("ssim_to_seed_final").value < 1


def test_units_are_drawn_by_the_seed_and_named_units_kept(build):
    drawn = build("fine_filters").units
    assert len(set(drawn)) == 5
    assert build("fine_filters").units == drawn
    assert build("fine_filters", Maximize(units=(7, 2), steps=1)).units == (7, 2)


def test_a_unit_that_does_not_exist_names_the_range(build):
    with pytest.raises(
        UsageError, match=r"unit 8 does not exist: the penultimate layer of .*fine_filters.* has units 0 to 7"
    ):
        build("fine_filters", Maximize(units=(3, 8)))


def test_features_that_are_not_finite_are_named(build, seeds):
    search = build("fine_filters")
    with pytest.raises(NonFinite, match="features"):
        search(seeds[0] * 1.0 * np.nan)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"steps": 0}, "at least 1 step"),
        ({"step_size": 0}, "step size 0 is not in"),
        ({"units": (1, 1)}, "units 1,1: name each once"),
        ({"seeds": ("a.png", "a.png")}, "seed images a.png, a.png: name each once"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters, message):
    with pytest.raises(UsageError, match=message):
        Maximize(**parameters)


def test_every_parameter_is_part_of_what_records_are_found_by():
    changes = [{"units": (1,)}, {"noise": 2}, {"steps": 3}, {"step_size": 0.1}, {"probability": 0.5}]
    identities = [str(Maximize(**change).identity) for change in ({}, *changes)]
    assert len(set(identities)) == len(identities)
