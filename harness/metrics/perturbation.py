"""ImageNet-P: flip probability, top-5 distance, mFR and mT5D (paper, section 2.2; Hendrycks and Dietterich 2019).

Every frame but the first is compared with a reference frame of its sequence: frame 0 for the noise perturbations, whose
frames are independent, and the frame before it for all others, whose frames move on.
"""

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from harness.metrics._common import (
    UndefinedMetric,
    mean,
    ratios,
    require_exactly,
    require_kind,
    require_not_empty,
    require_within,
)

PERTURBATIONS = (
    "gaussian_noise",
    "shot_noise",
    "motion_blur",
    "zoom_blur",
    "brightness",
    "translate",
    "rotate",
    "tilt",
    "scale",
    "snow",
)
"""The ten that mFR and mT5D are means over, in their canonical order."""

VALIDATION_PERTURBATIONS = ("spatter", "speckle_noise", "gaussian_blur", "shear")
"""Held out for validation by the benchmark's authors, never part of mFR or mT5D."""

MAX_TOP5_DISTANCE = 15
"""Distance of two rankings that share none of their first five classes: 5 + 4 + 3 + 2 + 1."""

_PLACES = 5
_RANKS_AXES = ("sequences", "frames", "classes")


def is_noise(perturbation: str) -> bool:
    """Whether a perturbation's frames are compared with frame 0 rather than with the frame before.

    Args:
        perturbation: its name; one of difficulty 2 or 3 (`gaussian_noise_2`) is as good.
    """
    return "noise" in perturbation


def flip_probabilities(predictions: npt.NDArray[np.integer], *, noise: bool) -> npt.NDArray[np.float64]:
    """Share of each sequence's frames that are classified other than their reference frame.

    Args:
        predictions: (n_sequences, n_frames) class indices, at least two frames.
        noise: compare with frame 0 instead of the frame before; see `is_noise`.

    Returns:
        (n_sequences,) flip probabilities in [0, 1].

    Raises:
        ValueError: not two-dimensional, fewer than two frames, or no class indices.
        UndefinedMetric: no sequence.
    """
    _require_axes(predictions, "predictions", "sequences", "frames")
    _require_pairs(predictions)
    return np.asarray((predictions[:, 1:] != _references(predictions, noise=noise)).mean(axis=1), dtype=np.float64)


def flip_probability(predictions: npt.NDArray[np.integer], *, noise: bool) -> float:
    """Flip probability of one perturbation: the mean over pairs in a sequence, then over sequences.

    Args:
        predictions: (n_sequences, n_frames) class indices, at least two frames.
        noise: compare with frame 0 instead of the frame before; see `is_noise`.

    Returns:
        Flip probability in [0, 1].

    Raises:
        ValueError, UndefinedMetric: as `flip_probabilities`.
    """
    return float(flip_probabilities(predictions, noise=noise).mean())


def top5_of_ranks(ranks: npt.NDArray[np.integer]) -> npt.NDArray[np.intp]:
    """Find the five first-ranked classes of each frame.

    Args:
        ranks: (n_sequences, n_frames, n_classes) rank of each class, ordinal and counted from 1 for the class of the
            highest logit; at least five classes.

    Returns:
        (n_sequences, n_frames, 5) class indices, first-ranked first.

    Raises:
        ValueError: not three-dimensional, no integers, or a frame that doesn't hold each rank from 1 to 5 once.
        UndefinedMetric: no frame.
    """
    _require_axes(ranks, "ranks", *_RANKS_AXES)
    by_place = _classes_by_place(ranks.reshape(-1, ranks.shape[2]))
    return np.ascontiguousarray(by_place.T).reshape(*ranks.shape[:2], _PLACES)


def top5_distances(top5: npt.NDArray[np.integer], *, noise: bool) -> npt.NDArray[np.float64]:
    """Top-5 distance of each sequence, from the five first-ranked classes of its frames.

    With r_i the rank in the later frame of the class ranked i in the reference frame, the distance of a pair is the sum
    over i = 1..5 of |(i - 1) - min(r_i - 1, 5)|. All ranks past the fifth count alike, so five classes a frame say
    as much as the whole ranking.

    Args:
        top5: (n_sequences, n_frames, 5) class indices, first-ranked first, at least two frames.
        noise: compare with frame 0 instead of the frame before; see `is_noise`.

    Returns:
        (n_sequences,) mean distance over a sequence's pairs, in [0, 15].

    Raises:
        ValueError: shapes don't fit, fewer than two frames, or no class indices.
        UndefinedMetric: no sequence.
    """
    _require_axes(top5, "top5", "sequences", "frames", "5 classes")
    _require_pairs(top5)
    if top5.shape[2] != _PLACES:
        raise ValueError(f"top5 must hold 5 classes a frame, got {top5.shape[2]}")
    same = _references(top5, noise=noise)[..., :, np.newaxis] == top5[:, 1:, np.newaxis, :]
    place = np.where(same.any(axis=-1), same.argmax(axis=-1), _PLACES)
    return np.asarray(np.abs(place - np.arange(_PLACES)).sum(axis=-1).mean(axis=-1), dtype=np.float64)


def top5_distance_of_ranks(ranks: npt.NDArray[np.integer], *, noise: bool, block: int = 64) -> npt.NDArray[np.float64]:
    """Top-5 distance of each sequence, from whole rankings; the figures of `top5_distances`.

    Sorts nothing: one pass finds the five classes of the reference frames (of frame 0 alone for noise), and only their
    ranks are read in the later frames. For noise, all that is checked of the later frames is therefore that
    those ranks are at least 1.

    Args:
        ranks: (n_sequences, n_frames, n_classes) rank of each class, ordinal and counted from 1 for the class of the
            highest logit; at least two frames and five classes. May be a memory map.
        noise: compare with frame 0 instead of the frame before; see `is_noise`.
        block: sequences looked at in one go; bounds the memory, changes no figure.

    Returns:
        (n_sequences,) mean distance over a sequence's pairs, in [0, 15].

    Raises:
        ValueError: not three-dimensional, fewer than two frames, no integers, a frame looked at doesn't hold each
            rank from 1 to 5 once or has a rank below 1, or `block` is below 1.
        UndefinedMetric: no sequence.
    """
    _require_axes(ranks, "ranks", *_RANKS_AXES)
    _require_pairs(ranks)
    if block < 1:
        raise ValueError(f"block must be at least 1 sequence, got {block}")
    starts = range(0, len(ranks), block)
    return np.concatenate([_top5_distances_of_block(np.asarray(ranks[i : i + block]), noise=noise) for i in starts])


class SequenceMean:
    """Mean over sequences that come in chunks, so that memory doesn't grow with their number.

    >>> flips = SequenceMean()
    >>> flips.update(flip_probabilities(np.array([[7, 7, 8]]), noise=False))
    >>> flips.update(flip_probabilities(np.array([[7, 8, 7], [7, 7, 7]]), noise=False))
    >>> flips.count, flips.mean
    (3, 0.5)
    """

    def __init__(self) -> None:
        self.count = 0
        self._total = 0.0

    def update(self, values: npt.NDArray[np.floating]) -> None:
        """Take in the values of some more sequences.

        Args:
            values: (n,) one finite value a sequence; n may be 0.

        Raises:
            ValueError: not one-dimensional, or a value is NaN or infinite.
        """
        if values.ndim != 1:
            raise ValueError(f"values must have the shape (sequences,), got {values.shape}")
        total = float(values.sum(dtype=np.float64))
        if not math.isfinite(total):
            raise ValueError("values must be finite, got NaN or infinity")
        self._total += total
        self.count += len(values)

    @property
    def mean(self) -> float:
        """Mean of all values so far.

        Raises:
            UndefinedMetric: there are none yet.
        """
        if not self.count:
            raise UndefinedMetric("no sequence yet: a mean over nothing has no value")
        return self._total / self.count


def mfr(flip: Mapping[str, float], alexnet: Mapping[str, float]) -> float:
    """Mean flip rate: the mean over perturbations of FP_p / FP_p(AlexNet).

    Args:
        flip: flip probability of each of the ten perturbations, in [0, 1].
        alexnet: AlexNet's, likewise.

    Returns:
        mFR, at least 0; AlexNet's own is 1. The paper prints it times 100.

    Raises:
        UndefinedMetric: a perturbation is missing, or AlexNet never flips on one.
        ValueError: other perturbations are there, or a value isn't a fraction.
    """
    return _mean_ratio(flip, alexnet, "flip probability", 1)


def mt5d(distance: Mapping[str, float], alexnet: Mapping[str, float]) -> float:
    """Mean top-5 distance: the mean over perturbations of T5D_p / T5D_p(AlexNet).

    Args:
        distance: top-5 distance of each of the ten perturbations, in [0, 15].
        alexnet: AlexNet's, likewise.

    Returns:
        mT5D, at least 0; AlexNet's own is 1. The paper prints it times 100.

    Raises:
        UndefinedMetric: a perturbation is missing, or AlexNet's distance on one is 0.
        ValueError: other perturbations are there, or a value lies outside [0, 15].
    """
    return _mean_ratio(distance, alexnet, "top-5 distance", MAX_TOP5_DISTANCE)


def mean_top5_distance(distance: Mapping[str, float]) -> float:
    """Mean of the ten top-5 distances, not normalised: what can be compared without AlexNet's, which are unpublished.

    Args:
        distance: top-5 distance of each of the ten perturbations, in [0, 15].

    Returns:
        Mean distance in [0, 15].

    Raises:
        UndefinedMetric: a perturbation is missing.
        ValueError: other perturbations are there, or a value lies outside [0, 15].
    """
    _require_perturbations(distance, "top-5 distance", MAX_TOP5_DISTANCE)
    return mean(distance.values())


def _references(frames: npt.NDArray[np.integer], *, noise: bool) -> npt.NDArray[np.integer]:
    """Take the reference frame of each later one: frames are on axis 1, of which noise leaves one to broadcast."""
    return frames[:, :1] if noise else frames[:, :-1]


def _top5_distances_of_block(ranks: npt.NDArray[np.integer], *, noise: bool) -> npt.NDArray[np.float64]:
    n_sequences, n_frames, n_classes = ranks.shape
    # A copy without the last frame would cost more than looking at it does.
    scanned = ranks[:, :1] if noise else ranks
    classes = _classes_by_place(scanned.reshape(-1, n_classes)).reshape(_PLACES, n_sequences, -1)
    references = classes if noise else classes[:, :, :-1]
    later_frames = np.arange(n_sequences * n_frames).reshape(n_sequences, n_frames)[:, 1:]
    ranks_later = ranks.reshape(-1).take(references + later_frames * n_classes)
    if ranks_later.min() < 1:
        raise ValueError(f"ranks are counted from 1, got {ranks_later.min()}: a frame that was never written?")
    places = np.minimum(ranks_later, _PLACES + 1).astype(np.int8)
    own_places = np.arange(1, _PLACES + 1, dtype=np.int8)[:, np.newaxis, np.newaxis]
    return np.asarray(np.abs(places - own_places).sum(axis=0).mean(axis=1), dtype=np.float64)


def _classes_by_place(rankings: npt.NDArray[np.integer]) -> npt.NDArray[np.intp]:
    """Find the class at each of the first five places, (rankings, classes) -> (5, rankings), without sorting."""
    n_rankings, n_classes = rankings.shape
    ranks = rankings.reshape(-1)
    found = np.flatnonzero(ranks <= _PLACES)
    place = ranks[found].astype(np.intp) - 1
    ranking = found // n_classes
    by_place = np.full((_PLACES, n_rankings), -1)
    if found.size == by_place.size and place.min() >= 0:
        by_place[place, ranking] = found - ranking * n_classes
    # As many entries as places: whichever ranking has one twice leaves another empty.
    if by_place.min() < 0:
        raise ValueError("every frame must hold each rank from 1 to 5 once: ranks are ordinal, counted from 1")
    return by_place


def _require_axes(array: npt.NDArray[np.integer], name: str, *axes: str) -> None:
    require_kind("integer", **{name: array})
    if array.ndim != len(axes):
        raise ValueError(f"{name} must have the shape ({', '.join(axes)}), got {array.shape}")
    require_not_empty(**{name: array})


def _require_pairs(frames: npt.NDArray[np.integer]) -> None:
    if frames.shape[1] < 2:
        raise ValueError("a sequence must have at least two frames to compare, got 1")


def _mean_ratio(values: Mapping[str, float], alexnet: Mapping[str, float], what: str, highest: float) -> float:
    _require_perturbations(values, what, highest)
    _require_perturbations(alexnet, f"AlexNet's {what}", highest)
    return mean(ratios(values, alexnet, what).values())


def _require_perturbations(values: Mapping[str, float], what: str, highest: float) -> None:
    require_exactly(PERTURBATIONS, values, what)
    require_within(highest, what, values)
