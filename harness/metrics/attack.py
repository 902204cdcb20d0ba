"""Attacks: when an image was first fooled, over several runs, and what tells whether an attack can be trusted."""

import numpy as np
import numpy.typing as npt

from harness.metrics._common import UndefinedMetric, require_kind, require_not_empty, require_same_images


def earliest(first_fooled: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    """Step at which any of several runs first fooled an image: the worst case over losses and restarts.

    Args:
        first_fooled: (n, runs) steps from 1; 0 or less where a run did not fool the image.

    Returns:
        (n,) steps from 1; 0 where none did.

    Raises:
        ValueError: not two-dimensional, or no whole numbers.
        UndefinedMetric: no image or no run.
    """
    require_kind("integer", first_fooled=first_fooled)
    if first_fooled.ndim != 2:
        raise ValueError(f"first_fooled must have the shape (images, runs), got {first_fooled.shape}")
    require_not_empty(first_fooled=first_fooled)
    never = np.iinfo(first_fooled.dtype).max
    found = np.where(first_fooled > 0, first_fooled, never).min(axis=1)
    return np.where(found == never, 0, found)


def restart_spread(clean_correct: npt.NDArray[np.bool_], first_fooled: npt.NDArray[np.integer]) -> float:
    """Mean accuracy under one random start less the worst case over all of them.

    How much of an attack is luck of the draw: near 0 where one start would have done (Carlini et al., 2019, on random
    restarts).

    Args:
        clean_correct: (n,) bool, whether the unattacked image is classified right.
        first_fooled: (n, restarts) step at which the attack from a start first fooled the image; 0 for never.

    Returns:
        A difference of accuracies in [0, 1].

    Raises:
        ValueError: shapes differ.
        UndefinedMetric: fewer than two restarts, or no image.
    """
    if first_fooled.ndim == 2 and first_fooled.shape[1] < 2:
        raise UndefinedMetric("one random start an image has no spread; attack with --restarts 2 or more")
    worst = earliest(first_fooled)
    require_same_images(clean_correct=clean_correct, worst=worst)
    survived = clean_correct[:, np.newaxis] & (first_fooled <= 0)
    return float(survived.mean() - np.mean(clean_correct & (worst == 0)))


def astray(loss_start: npt.NDArray[np.floating], loss_end: npt.NDArray[np.floating], *, targeted: bool) -> float:
    """Share of runs in which an attack's loss did not move the attack's way, from its random start to its last iterate.

    Near 0 where gradients tell the way; about a half where they are noise, or belong to other images.

    Args:
        loss_start: (n, runs) loss at the start; NaN where an image was not attacked.
        loss_end: (n, runs) loss at the last iterate, likewise.
        targeted: whether the attack goes down the loss, towards a class, or up.

    Returns:
        A share in [0, 1].

    Raises:
        ValueError: shapes differ.
        UndefinedMetric: no image was attacked.
    """
    return float(np.mean(_ways(loss_start, loss_end, targeted=targeted) <= 0))


def loss_gain(loss_start: npt.NDArray[np.floating], loss_end: npt.NDArray[np.floating], *, targeted: bool) -> float:
    """Mean way of an attack's loss in the attack's direction, from its random start to its last iterate.

    Args:
        loss_start: (n, runs) loss at the start; NaN where an image was not attacked.
        loss_end: (n, runs) loss at the last iterate, likewise.
        targeted: whether the attack goes down the loss, towards a class, or up.

    Returns:
        Positive where the attack moved the loss its way, in nats or logits.

    Raises:
        ValueError: shapes differ.
        UndefinedMetric: no image was attacked.
    """
    return float(_ways(loss_start, loss_end, targeted=targeted).mean()) + 0.0


def _ways(
    loss_start: npt.NDArray[np.floating], loss_end: npt.NDArray[np.floating], *, targeted: bool
) -> npt.NDArray[np.floating]:
    """Give by how much the loss of each run moved the attack's way."""
    require_kind("floating", loss_start=loss_start, loss_end=loss_end)
    require_same_images(loss_start=loss_start.ravel(), loss_end=loss_end.ravel())
    rise: npt.NDArray[np.floating] = (loss_end - loss_start)[np.isfinite(loss_start)]
    if len(rise) == 0:
        raise UndefinedMetric("no image was attacked: none is classified right when clean")
    return -1 * rise if targeted else rise
