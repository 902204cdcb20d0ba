"""Random starts and targets belong to an image, a seed and a restart, and to nothing else."""

import numpy as np
import pytest

from harness.protocols.draws import unit_start, wrong_class

NAME = "n01440764/ILSVRC2012_val_00000293.JPEG"
SHAPE = (3, 8, 8)
OTHERS = {
    "seed": (1, NAME, 0),
    "image": (0, NAME.replace("293", "294"), 0),
    "restart": (0, NAME, 1),
}


def test_the_stream_is_the_one_that_records_were_made_with():
    assert unit_start(0, NAME, 1, (3, 1, 1)).ravel().tolist() == pytest.approx(
        [-0.95195270, 0.47748360, 0.67934120], abs=1e-7
    )
    assert [wrong_class(seed, NAME, 0) for seed in range(4)] == [628, 506, 980, 784]


def test_draws_do_not_depend_on_what_was_drawn_before():
    first = unit_start(0, NAME, 0, SHAPE), wrong_class(0, NAME, 7)
    np.random.seed(3)
    for number in range(5):
        unit_start(number, "another", 1, SHAPE)
        wrong_class(number, "another", 7)
    again = unit_start(0, NAME, 0, SHAPE), wrong_class(0, NAME, 7)
    assert np.array_equal(first[0], again[0])
    assert first[1] == again[1]


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_another_seed_image_or_restart_starts_elsewhere(other):
    here, there = unit_start(0, NAME, 0, SHAPE), unit_start(*other, SHAPE)
    assert (here != there).all()
    assert abs(np.corrcoef(here.ravel(), there.ravel())[0, 1]) < 0.3


def test_a_seed_and_a_restart_that_add_up_to_the_same_are_not_the_same():
    assert (unit_start(1, NAME, 0, SHAPE) != unit_start(0, NAME, 1, SHAPE)).all()
    assert (unit_start(1, "2.png", 0, SHAPE) != unit_start(12, ".png", 0, SHAPE)).all()


def test_starts_are_uniform_in_the_unit_box():
    starts = np.stack([unit_start(5, f"{number}.png", 0, (3, 16, 16)) for number in range(200)])
    assert (starts.dtype, starts.shape) == (np.float32, (200, 3, 16, 16))
    assert -1 <= starts.min() < -0.999
    assert 0.999 < starts.max() <= 1
    # Of 153,600 uniform numbers: four standard errors of the mean, of the mean square, and of a tenth's share.
    assert abs(starts.mean()) < 4 * 0.577 / 153_600**0.5
    assert abs((starts**2).mean() - 1 / 3) < 4 * 0.298 / 153_600**0.5
    shares = np.histogram(starts, bins=10, range=(-1, 1))[0] / starts.size
    assert np.abs(shares - 0.1).max() < 4 * 0.3 / 153_600**0.5


def test_starts_have_the_shape_that_was_asked_for():
    assert unit_start(0, NAME, 0, (3, 5, 7)).shape == (3, 5, 7)


@pytest.mark.parametrize("label", [0, 4, 9])
def test_targets_are_all_classes_but_the_label_each_as_often(label):
    targets = [wrong_class(0, f"{number}.png", label, range(10)) for number in range(1500)]
    counts = np.bincount(targets, minlength=10)
    assert len(counts) == 10
    assert counts[label] == 0
    assert np.abs(np.delete(counts, label) - 1500 / 9).max() < 4 * (1500 * (1 / 9) * (8 / 9)) ** 0.5


def test_targets_are_drawn_from_the_classes_that_there_are():
    targets = {wrong_class(0, f"{number}.png", 404, (8, 404, 999)) for number in range(50)}
    assert targets == {8, 999}


def test_there_are_1000_classes_unless_said_otherwise():
    targets = [wrong_class(0, f"{number}.png", 500) for number in range(1000)]
    assert 0 <= min(targets) < 10
    assert 990 <= max(targets) < 1000
    assert 500 not in targets


def test_targets_depend_on_seed_and_image():
    images = [f"{number}.png" for number in range(50)]
    here = [wrong_class(0, image, 7) for image in images]
    assert sum(a == wrong_class(1, image, 7) for a, image in zip(here, images, strict=True)) < 3
    assert len(set(here)) > 40


def test_the_target_is_drawn_apart_from_the_start():
    # Were both one stream, the target would be a function of the start's first number.
    first = np.array([unit_start(0, f"{number}.png", 0, (1,))[0] for number in range(500)])
    targets = np.array([wrong_class(0, f"{number}.png", 999) for number in range(500)])
    assert abs(np.corrcoef(first, targets)[0, 1]) < 0.2
