"""Accuracies against hand-worked cases and counting loops."""

import numpy as np
import pytest

from harness.errors import NotMeasured
from harness.metrics.accuracy import accuracy_after_steps, accuracy_over_eps, top1_accuracy, topk_accuracy


def test_top1_counts_the_right_ones():
    assert top1_accuracy(np.array([3, 1, 4, 1]), np.array([3, 1, 2, 0])) == 0.5


def test_top1_of_a_perfect_and_of_a_useless_classifier():
    labels = np.arange(7)
    assert top1_accuracy(labels, labels) == 1.0
    assert top1_accuracy(labels + 1, labels) == 0.0


def test_topk_finds_the_label_at_any_place():
    ranked = np.array([[3, 0, 1], [5, 6, 7], [2, 9, 8], [1, 2, 3]])
    assert topk_accuracy(ranked, np.array([1, 5, 4, 9])) == 0.5


def test_topk_of_one_class_is_top1():
    rng = np.random.default_rng(0)
    predictions, labels = rng.integers(0, 4, (2, 200))
    assert topk_accuracy(predictions[:, np.newaxis], labels) == top1_accuracy(predictions, labels)


def test_topk_never_falls_with_k():
    rng = np.random.default_rng(1)
    ranked = rng.random((300, 10)).argsort(axis=1)
    labels = rng.integers(0, 10, 300)
    accuracies = [topk_accuracy(ranked[:, :k], labels) for k in range(1, 11)]
    assert accuracies == sorted(accuracies)
    assert accuracies[-1] == 1.0


class TestAfterSteps:
    """Target never reached; reached at step 1; at step 3; never, but clean one wrong; step 2, clean one wrong."""

    CLEAN_CORRECT = np.array([True, True, True, False, False])
    FIRST_SUCCESS = np.array([0, 1, 3, 0, 2])

    @pytest.mark.parametrize(
        ("k", "accuracy"),
        [(0, 3 / 5), (1, 2 / 5), (2, 2 / 5), (3, 1 / 5), (50, 1 / 5)],
        ids=lambda value: f"{value:g}",
    )
    def test_hand_worked(self, k: int, accuracy: float):
        assert accuracy_after_steps(self.CLEAN_CORRECT, self.FIRST_SUCCESS, [k]).tolist() == [accuracy]

    def test_keeps_the_order_of_the_steps(self):
        assert accuracy_after_steps(self.CLEAN_CORRECT, self.FIRST_SUCCESS, [3, 1]).tolist() == [1 / 5, 2 / 5]

    def test_meets_a_replay_of_the_attack_step_by_step(self):
        rng = np.random.default_rng(2)
        clean_correct, first_success = rng.random(200) < 0.8, rng.integers(0, 51, 200)
        survivors = np.array([bool(right) for right in clean_correct])
        replayed = []
        for step in range(1, 51):
            for image in range(200):
                if first_success[image] == step:
                    survivors[image] = False
            replayed.append(survivors.sum() / 200)
        assert accuracy_after_steps(clean_correct, first_success, range(1, 51)).tolist() == replayed

    def test_starts_at_the_clean_accuracy_and_never_rises(self):
        rng = np.random.default_rng(3)
        clean_correct, first_success = rng.random(500) < 0.7, rng.integers(0, 51, 500)
        curve = accuracy_after_steps(clean_correct, first_success, range(51))
        assert curve[0] == clean_correct.mean()
        assert (np.diff(curve) <= 0).all()

    def test_of_an_attack_that_never_succeeds_is_the_clean_accuracy(self):
        never = np.zeros(5, dtype=np.int64)
        assert accuracy_after_steps(self.CLEAN_CORRECT, never, [10, 50]).tolist() == [3 / 5, 3 / 5]


def test_over_eps_is_the_accuracy_of_each_row():
    correct = np.array([[True, True, True, False], [True, False, False, False], [False] * 4])
    assert accuracy_over_eps(correct).tolist() == [0.75, 0.25, 0.0]


THREE, FOUR = np.zeros(3, dtype=np.int64), np.zeros(4, dtype=np.int64)
RIGHT = np.ones(3, dtype=np.bool_)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: top1_accuracy(THREE, FOUR), "predictions has 3, labels has 4"),
        (lambda: top1_accuracy(THREE[:, np.newaxis], THREE), r"predictions must have the shape \(images,\)"),
        (lambda: top1_accuracy(THREE / 2, THREE), "predictions must be of kind integer, got float64"),
        (lambda: topk_accuracy(THREE, THREE), r"ranked must have the shape \(images, k\)"),
        (lambda: topk_accuracy(np.zeros((4, 5), dtype=np.int64), THREE), "ranked has 4, labels has 3"),
        (lambda: accuracy_after_steps(RIGHT, FOUR, [1]), "clean_correct has 3, first_success has 4"),
        (lambda: accuracy_after_steps(THREE, THREE, [1]), "clean_correct must be of kind bool"),
        (lambda: accuracy_after_steps(RIGHT, THREE - 1, [1]), "with 0 for never; got -1"),
        (lambda: accuracy_after_steps(RIGHT, THREE, [5, -1]), "steps must not be negative"),
        (lambda: accuracy_over_eps(RIGHT), r"correct must have the shape \(eps, images\)"),
    ],
    ids=[
        "lengths",
        "two-dimensional",
        "probabilities",
        "ranked-flat",
        "ranked-length",
        "steps-length",
        "classes-for-hits",
        "negative-success",
        "negative-step",
        "eps-flat",
    ],
)
def test_refuses(call, message: str):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: top1_accuracy(THREE[:0], THREE[:0]),
        lambda: topk_accuracy(np.zeros((0, 5), dtype=np.int64), THREE[:0]),
        lambda: topk_accuracy(np.zeros((3, 0), dtype=np.int64), THREE),
        lambda: accuracy_after_steps(RIGHT[:0], THREE[:0], [1]),
        lambda: accuracy_over_eps(np.zeros((6, 0), dtype=np.bool_)),
    ],
    ids=["top1", "topk", "no-k", "after-steps", "over-eps"],
)
def test_no_image_has_no_accuracy(call):
    with pytest.raises(NotMeasured, match="is empty"):
        call()
