"""Accuracies: clean, and along an attack's steps and eps."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from harness.metrics._common import require_kind, require_not_empty, require_same_images


def top1_accuracy(predictions: npt.NDArray[np.integer], labels: npt.NDArray[np.integer]) -> float:
    """Share of images whose predicted class is the label.

    Args:
        predictions: (n,) class indices.
        labels: (n,) class indices, in the same label space.

    Returns:
        Accuracy in [0, 1].

    Raises:
        ValueError: shapes differ or the arrays don't hold class indices.
        UndefinedMetric: no image.
    """
    require_kind("integer", predictions=predictions, labels=labels)
    require_same_images(predictions=predictions, labels=labels)
    return float(np.mean(predictions == labels))


def topk_accuracy(ranked: npt.NDArray[np.integer], labels: npt.NDArray[np.integer]) -> float:
    """Share of images whose label is among the k classes given for them.

    Args:
        ranked: (n, k) class indices, in any order within an image.
        labels: (n,) class indices, in the same label space.

    Returns:
        Accuracy in [0, 1].

    Raises:
        ValueError: shapes don't fit or the arrays don't hold class indices.
        UndefinedMetric: no image, or k is 0.
    """
    require_kind("integer", ranked=ranked, labels=labels)
    if ranked.ndim != 2:
        raise ValueError(f"ranked must have the shape (images, k), got {ranked.shape}")
    require_not_empty(ranked=ranked)
    require_same_images(ranked=ranked[:, 0], labels=labels)
    return float(np.mean((ranked == labels[:, np.newaxis]).any(axis=1)))


def accuracy_after_steps(
    clean_correct: npt.NDArray[np.bool_], first_success: npt.NDArray[np.integer], steps: Sequence[int]
) -> npt.NDArray[np.float64]:
    """Accuracy after k steps of the published targeted attack, for each k.

    Share of images whose clean prediction is right AND whose random target was not reached within k steps: the
    attack stops at its first success, and where it has none the clean image is scored. One run gives the whole
    curve (Fig. 1c), which can only fall with k. This is not accuracy on perturbed images.

    Args:
        clean_correct: (n,) bool, whether the unattacked image is classified right.
        first_success: (n,) step, counted from 1, after which the target was first predicted; 0 for never.
        steps: the k to look at, each from 0 (the clean accuracy) to the number of steps the attack ran. A larger k
            can't be told from "never": it repeats the last accuracy.

    Returns:
        (len(steps),) accuracies in [0, 1], in the order of `steps`.

    Raises:
        ValueError: shapes differ, `clean_correct` isn't bool, or a step is negative.
        UndefinedMetric: no image.
    """
    require_kind("bool", clean_correct=clean_correct)
    require_kind("integer", first_success=first_success)
    require_same_images(clean_correct=clean_correct, first_success=first_success)
    if first_success.min() < 0:
        raise ValueError(f"first_success counts steps from 1, with 0 for never; got {first_success.min()}")
    if any(k < 0 for k in steps):
        raise ValueError(f"steps must not be negative, got {list(steps)}")
    never = first_success == 0
    return np.array([np.mean(clean_correct & (never | (first_success > k))) for k in steps], dtype=np.float64)


def accuracy_over_eps(correct: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Accuracy at each eps (Fig. 1a and 1b); each eps is a run of its own.

    Args:
        correct: (n_eps, n) bool, whether an image counts as right at an eps.

    Returns:
        (n_eps,) accuracies in [0, 1].

    Raises:
        ValueError: not two-dimensional, or not bool.
        UndefinedMetric: no eps or no image.
    """
    require_kind("bool", correct=correct)
    if correct.ndim != 2:
        raise ValueError(f"correct must have the shape (eps, images), got {correct.shape}")
    require_not_empty(correct=correct)
    return np.asarray(correct.mean(axis=1), dtype=np.float64)
