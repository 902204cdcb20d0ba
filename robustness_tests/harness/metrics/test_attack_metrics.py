"""The metrics of attacks against hand-worked cases and counting loops."""

import numpy as np
import pytest

from harness.errors import NotMeasured
from harness.metrics.attack import astray, earliest, loss_gain, restart_spread


def test_the_earliest_step_of_several_runs_by_hand():
    runs = np.array([[3, 1, 2], [0, 0, 7], [0, 0, 0], [-1, -1, -1], [5, 0, 5]], dtype=np.int16)
    assert earliest(runs).tolist() == [1, 7, 0, 0, 5]


def test_the_earliest_step_meets_a_loop():
    runs = np.random.default_rng(0).integers(-1, 6, (300, 4))
    expected = [min([step for step in row if step > 0], default=0) for row in runs.tolist()]
    assert earliest(runs).tolist() == expected


def test_one_run_is_its_own_worst_case():
    assert earliest(np.array([[4], [0], [-1]])).tolist() == [4, 0, 0]


def test_restart_spread_by_hand():
    # Of four images the last is wrong when clean. From either start two of three are left, from both but one.
    correct = np.array([True, True, True, False])
    first_fooled = np.array([[2, 0], [0, 9], [0, 0], [-1, -1]])
    assert restart_spread(correct, first_fooled) == pytest.approx(2 / 4 - 1 / 4)


def test_restart_spread_meets_a_loop():
    rng = np.random.default_rng(1)
    correct, first_fooled = rng.random(500) < 0.8, rng.integers(0, 2, (500, 3))
    first_fooled[~correct] = -1
    alone = [sum(correct[i] and not first_fooled[i, run] for i in range(500)) / 500 for run in range(3)]
    worst = sum(correct[i] and not first_fooled[i].any() for i in range(500)) / 500
    assert restart_spread(correct, first_fooled) == pytest.approx(sum(alone) / 3 - worst)


def test_starts_that_fool_the_same_images_have_no_spread():
    first_fooled = np.array([[1, 9], [0, 0], [4, 2]])
    assert restart_spread(np.array([True, True, True]), first_fooled) == 0


def test_loss_gain_is_the_mean_over_images_and_runs_that_were_attacked():
    start = np.array([[1.0, 2.0], [0.5, 0.0], [np.nan, np.nan]])
    end = np.array([[4.0, 3.0], [0.0, 2.5], [np.nan, np.nan]])
    assert loss_gain(start, end, targeted=False) == pytest.approx((3 + 1 - 0.5 + 2.5) / 4)
    assert loss_gain(start, end, targeted=True) == pytest.approx(-(3 + 1 - 0.5 + 2.5) / 4)


def test_runs_go_astray_whose_loss_stays_or_moves_the_other_way():
    start = np.array([[1.0, 2.0], [0.5, 0.0], [3.0, 3.0], [np.nan, np.nan]])
    end = np.array([[4.0, 2.0], [0.0, 2.5], [3.1, 9.0], [np.nan, np.nan]])
    assert astray(start, end, targeted=False) == 2 / 6
    assert astray(start, end, targeted=True) == 5 / 6


INTEGERS, FLOATS, RIGHT = np.zeros((3, 2), dtype=np.int64), np.zeros((3, 2)), np.ones(3, dtype=np.bool_)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: earliest(FLOATS), "first_fooled must be of kind integer, got float64"),
        (lambda: earliest(INTEGERS[:, 0]), r"first_fooled must have the shape \(images, runs\), got \(3,\)"),
        (lambda: restart_spread(RIGHT[:2], INTEGERS), "clean_correct has 2, worst has 3"),
        (lambda: restart_spread(RIGHT, INTEGERS[:, 0]), r"first_fooled must have the shape \(images, runs\)"),
        (lambda: loss_gain(INTEGERS, FLOATS, targeted=False), "loss_start must be of kind floating, got int64"),
        (lambda: loss_gain(FLOATS, FLOATS[:2], targeted=False), "loss_start has 6, loss_end has 4"),
    ],
    ids=["probabilities", "flat", "lengths", "flat-restarts", "whole-losses", "losses"],
)
def test_refuses(call, message: str):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: earliest(INTEGERS[:0]), "first_fooled is empty"),
        (lambda: earliest(INTEGERS[:, :0]), "first_fooled is empty"),
        (lambda: restart_spread(RIGHT[:0], INTEGERS[:0]), "is empty"),
        (lambda: restart_spread(RIGHT, INTEGERS[:, :1]), "one random start an image has no spread; .*--restarts 2"),
        (lambda: loss_gain(FLOATS[:0], FLOATS[:0], targeted=False), "empty|no image was attacked"),
        (lambda: astray(FLOATS * np.nan, FLOATS, targeted=True), "no image was attacked: none is classified right"),
        (lambda: loss_gain(FLOATS * np.nan, FLOATS, targeted=False), "no image was attacked: none is classified right"),
    ],
    ids=["images", "runs", "spread-of-none", "one-start", "losses-of-none", "none-astray", "none-attacked"],
)
def test_what_does_not_exist_is_not_measured(call, message: str):
    with pytest.raises(NotMeasured, match=message):
        call()
