"""Flip probability, top-5 distance, mFR and mT5D against hand-worked cases and a naive re-implementation."""

import math
import tracemalloc
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from harness.errors import NotMeasured
from harness.metrics.perturbation import (
    MAX_TOP5_DISTANCE,
    PERTURBATIONS,
    VALIDATION_PERTURBATIONS,
    SequenceMean,
    flip_probabilities,
    flip_probability,
    is_noise,
    mean_top5_distance,
    mfr,
    mt5d,
    top5_distance_of_ranks,
    top5_distances,
    top5_of_ranks,
)

both_kinds = pytest.mark.parametrize("noise", [True, False], ids=["noise", "consecutive"])


def ranks_of(logits: npt.NDArray[np.floating]) -> npt.NDArray[np.uint16]:
    """Rank each class, 1 for the highest logit, by counting the classes above it."""
    above = (logits[..., np.newaxis, :] > logits[..., :, np.newaxis]).sum(axis=-1)
    return (above + 1).astype(np.uint16)


def random_ranks(n: int, frames: int, classes: int, *, moves: float = 1.0) -> npt.NDArray[np.uint16]:
    """Rankings of frames that resemble one another the more, the smaller `moves` is."""
    rng = np.random.default_rng(0)
    return ranks_of(rng.normal(size=(n, 1, classes)) + moves * rng.normal(size=(n, frames, classes)))


def naive_distance(ranks: npt.NDArray[np.integer], *, noise: bool) -> list[float]:
    """The formula, class by class: place i of the reference frame against the class's place in the later frame."""
    per_sequence = []
    for frames in ranks.tolist():
        distances = []
        for t in range(1, len(frames)):
            reference, later = frames[0 if noise else t - 1], frames[t]
            distances.append(sum(abs((i - 1) - min(later[reference.index(i)] - 1, 5)) for i in range(1, 6)))
        per_sequence.append(sum(distances) / len(distances))
    return per_sequence


class TestFlips:
    #           differs from frame 0: 2 of 4, from the frame before: 3 of 4; none; all of 4, 1 of 4
    PREDICTIONS = np.array([[7, 8, 7, 7, 9], [3, 3, 3, 3, 3], [1, 2, 2, 2, 2]])

    def test_noise_compares_with_frame_0(self):
        assert flip_probabilities(self.PREDICTIONS, noise=True).tolist() == [2 / 4, 0, 4 / 4]
        assert flip_probability(self.PREDICTIONS, noise=True) == pytest.approx(6 / 12)

    def test_others_compare_with_the_frame_before(self):
        assert flip_probabilities(self.PREDICTIONS, noise=False).tolist() == [3 / 4, 0, 1 / 4]
        assert flip_probability(self.PREDICTIONS, noise=False) == pytest.approx(4 / 12)

    @both_kinds
    def test_two_frames_have_the_one_pair(self, noise: bool):
        assert flip_probabilities(np.array([[1, 2], [4, 4]]), noise=noise).tolist() == [1.0, 0.0]

    @both_kinds
    def test_meets_a_loop_over_pairs(self, noise: bool):
        predictions = np.random.default_rng(1).integers(0, 3, (20, 31))
        looped = [
            sum(frames[t] != frames[0 if noise else t - 1] for t in range(1, 31)) / 30
            for frames in predictions.tolist()
        ]
        assert flip_probabilities(predictions, noise=noise).tolist() == pytest.approx(looped)

    @both_kinds
    def test_does_not_depend_on_how_classes_are_numbered(self, noise: bool):
        rng = np.random.default_rng(2)
        predictions, renumbered = rng.integers(0, 50, (20, 31)), rng.permutation(50)
        once = flip_probabilities(predictions, noise=noise)
        assert (flip_probabilities(renumbered[predictions], noise=noise) == once).all()


class TestTop5OfRanks:
    def test_hand_worked(self):
        ranks = np.array([[[6, 1, 3, 2, 7, 5, 4], [1, 2, 3, 4, 5, 6, 7]]], dtype=np.uint16)
        assert top5_of_ranks(ranks).tolist() == [[[1, 3, 2, 6, 5], [0, 1, 2, 3, 4]]]

    @pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.int64], ids=lambda dtype: dtype.__name__)
    def test_meets_a_sort(self, dtype: type[np.integer]):
        ranks = random_ranks(3, 4, 200).astype(dtype)
        assert (top5_of_ranks(ranks) == ranks.argsort(axis=2)[..., :5]).all()

    def test_takes_five_classes(self):
        assert top5_of_ranks(np.array([[[5, 4, 3, 2, 1]]])).tolist() == [[[4, 3, 2, 1, 0]]]


SWAPPED_FIRST_TWO = [1, 0, 2, 3, 4]
HAND_WORKED = {
    "identical": ([0, 1, 2, 3, 4], 0),
    "disjoint": ([5, 6, 7, 8, 9], MAX_TOP5_DISTANCE),
    "first-two-swapped": (SWAPPED_FIRST_TWO, 2),
    "first-and-fifth-swapped": ([4, 1, 2, 3, 0], 8),
    "fifth-replaced": ([0, 1, 2, 3, 9], 1),
    "first-replaced": ([9, 1, 2, 3, 4], 5),
    "first-falls-out-others-move-up": ([1, 2, 3, 4, 9], 5 + 4),
    "new-first-others-move-down": ([9, 0, 1, 2, 3], 5),
    "reversed": ([4, 3, 2, 1, 0], 4 + 2 + 0 + 2 + 4),
}


class TestTop5Distance:
    @pytest.mark.parametrize(("later", "distance"), HAND_WORKED.values(), ids=HAND_WORKED)
    @both_kinds
    def test_hand_worked(self, later: list[int], distance: int, noise: bool):
        first_fives = [[0, 1, 2, 3, 4], later]
        orders = [[*five, *(c for c in range(12) if c not in five)] for five in first_fives]
        ranks = np.argsort(orders, axis=1) + 1
        assert top5_distances(np.array([first_fives]), noise=noise).tolist() == [distance]
        assert top5_distance_of_ranks(ranks[np.newaxis], noise=noise).tolist() == [distance]

    def test_the_reference_is_frame_0_for_noise_and_moves_on_for_others(self):
        same, other = [0, 1, 2, 3, 4], [5, 6, 7, 8, 9]
        top5 = np.array([[same, other, other, same]])
        assert top5_distances(top5, noise=True).tolist() == [(15 + 15 + 0) / 3]
        assert top5_distances(top5, noise=False).tolist() == [(15 + 0 + 15) / 3]

    @both_kinds
    @pytest.mark.parametrize("moves", [0.05, 0.5, 50.0], ids=["alike", "related", "unrelated"])
    @pytest.mark.parametrize("classes", [5, 6, 10, 300], ids=lambda n: f"{n}-classes")
    def test_lists_and_rankings_meet_the_formula(self, noise: bool, moves: float, classes: int):
        ranks = random_ranks(7, 5, classes, moves=moves)
        expected = naive_distance(ranks, noise=noise)
        assert any(expected)
        assert top5_distance_of_ranks(ranks, noise=noise).tolist() == pytest.approx(expected)
        assert top5_distances(top5_of_ranks(ranks), noise=noise).tolist() == pytest.approx(expected)

    @both_kinds
    @pytest.mark.parametrize("block", [1, 3, 7, 100])
    def test_does_not_depend_on_the_block(self, noise: bool, block: int):
        ranks = random_ranks(7, 4, 50)
        expected = naive_distance(ranks, noise=noise)
        assert top5_distance_of_ranks(ranks, noise=noise, block=block).tolist() == pytest.approx(expected)

    @both_kinds
    def test_takes_rankings_that_do_not_lie_in_one_piece(self, noise: bool):
        ranks = random_ranks(4, 9, 50)
        strided = ranks[::2, ::2]
        assert not strided.flags.c_contiguous
        assert top5_distance_of_ranks(strided, noise=noise).tolist() == pytest.approx(
            naive_distance(strided, noise=noise)
        )

    @both_kinds
    def test_does_not_depend_on_how_classes_are_numbered(self, noise: bool):
        ranks = random_ranks(5, 6, 80, moves=0.3)
        renumbered = ranks[..., np.random.default_rng(3).permutation(80)]
        once = top5_distance_of_ranks(ranks, noise=noise)
        assert (top5_distance_of_ranks(renumbered, noise=noise) == once).all()

    def test_does_not_write_to_its_input(self):
        ranks = random_ranks(2, 3, 20)
        ranks.flags.writeable = False
        assert len(top5_distance_of_ranks(ranks, noise=False)) == 2


class TestBadRanks:
    def spoilt(self, spoil) -> npt.NDArray[np.int64]:
        ranks = random_ranks(3, 4, 20).astype(np.int64)
        spoil(ranks)
        return ranks

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda ranks: np.subtract(ranks, 1, out=ranks),
            lambda ranks: ranks[1, 0].fill(1),
            lambda ranks: np.place(ranks[1, 0], ranks[1, 0] == 5, 4),
            lambda ranks: np.place(ranks[1, 0], ranks[1, 0] == 6, 5),
            lambda ranks: np.place(ranks[1, 0], ranks[1, 0] == 5, 6),
            lambda ranks: np.place(ranks[1, 0], ranks[1, 0] == 5, 0),
            lambda ranks: np.place(ranks[1, 0], ranks[1, 0] == 5, -1),
        ],
        ids=["from-0", "constant", "a-tie", "a-tie-for-fifth", "a-gap", "one-0", "one-negative"],
    )
    @both_kinds
    def test_are_refused(self, spoil, noise: bool):
        ranks = self.spoilt(spoil)
        with pytest.raises(ValueError, match="each rank from 1 to 5 once"):
            top5_distance_of_ranks(ranks, noise=noise)
        with pytest.raises(ValueError, match="each rank from 1 to 5 once"):
            top5_of_ranks(ranks)

    def test_two_bad_frames_do_not_make_up_for_each_other(self):
        ranks = self.spoilt(lambda ranks: None)
        ranks[0, 0][ranks[0, 0] == 5] = 6
        ranks[0, 1][ranks[0, 1] == 6] = 5
        with pytest.raises(ValueError, match="each rank from 1 to 5 once"):
            top5_of_ranks(ranks)

    @both_kinds
    def test_of_a_frame_never_written_are_refused(self, noise: bool):
        ranks = random_ranks(3, 4, 20)
        ranks[2, 3] = 0
        with pytest.raises(ValueError, match="ranks are"):
            top5_distance_of_ranks(ranks, noise=noise)

    def test_of_fewer_than_five_classes_are_refused(self):
        with pytest.raises(ValueError, match="each rank from 1 to 5 once"):
            top5_of_ranks(np.array([[[1, 2, 3, 4]]]))


FRAMES = np.zeros((2, 3), dtype=np.int64)
RANKS = random_ranks(2, 3, 6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: flip_probability(FRAMES[0], noise=True), r"must have the shape \(sequences, frames\), got \(3,\)"),
        (lambda: flip_probability(RANKS, noise=True), r"must have the shape \(sequences, frames\)"),
        (lambda: flip_probability(FRAMES[:, :1], noise=True), "at least two frames"),
        (lambda: flip_probability(FRAMES / 2, noise=True), "predictions must be of kind integer"),
        (lambda: top5_of_ranks(RANKS[0]), r"must have the shape \(sequences, frames, classes\)"),
        (lambda: top5_of_ranks(RANKS / 1), "ranks must be of kind integer"),
        (lambda: top5_distances(FRAMES, noise=True), r"must have the shape \(sequences, frames, 5 classes\)"),
        (lambda: top5_distances(RANKS, noise=True), "top5 must hold 5 classes a frame, got 6"),
        (lambda: top5_distances(RANKS[:, :1, :5], noise=True), "at least two frames"),
        (lambda: top5_distance_of_ranks(RANKS[:, :1], noise=True), "at least two frames"),
        (lambda: top5_distance_of_ranks(RANKS, noise=True, block=0), "block must be at least 1"),
    ],
    ids=[
        "flips-flat",
        "flips-of-ranks",
        "flips-one-frame",
        "flips-probabilities",
        "ranks-flat",
        "ranks-floating",
        "top5-flat",
        "top5-of-six",
        "top5-one-frame",
        "ranks-one-frame",
        "block-0",
    ],
)
def test_refuses(call, message: str):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: flip_probability(FRAMES[:0], noise=False),
        lambda: top5_of_ranks(RANKS[:0]),
        lambda: top5_distances(RANKS[:0, :, :5], noise=False),
        lambda: top5_distance_of_ranks(RANKS[:0], noise=False),
        lambda: SequenceMean().mean,
    ],
    ids=["flips", "top5", "distance-of-lists", "distance-of-ranks", "sequence-mean"],
)
def test_no_sequence_has_no_figure(call):
    with pytest.raises(NotMeasured):
        call()


class TestSequenceMean:
    def test_meets_the_mean_of_all_at_once(self):
        values = np.random.default_rng(4).random(1000)
        streamed = SequenceMean()
        for chunk in np.split(values, [1, 1, 300, 999]):
            streamed.update(chunk)
        assert streamed.count == 1000
        assert streamed.mean == pytest.approx(values.mean(), rel=1e-12)

    def test_sums_single_precision_in_double(self):
        streamed = SequenceMean()
        streamed.update(np.full(100_000, 0.1, dtype=np.float32))
        assert streamed.mean == pytest.approx(float(np.float32(0.1)), rel=1e-12)

    @pytest.mark.parametrize("value", [math.nan, math.inf], ids=str)
    def test_refuses_what_would_spoil_the_mean_and_keeps_it(self, value: float):
        streamed = SequenceMean()
        streamed.update(np.array([0.25, 0.75]))
        with pytest.raises(ValueError, match="must be finite"):
            streamed.update(np.array([0.5, value]))
        assert (streamed.count, streamed.mean) == (2, 0.5)

    def test_refuses_other_than_one_value_a_sequence(self):
        with pytest.raises(ValueError, match=r"must have the shape \(sequences,\)"):
            SequenceMean().update(np.ones((2, 3)))


class TestMemory:
    """Python's own count of allocations; what a memory map reads is not among them, nor are the file's pages."""

    FRAMES, CLASSES, BLOCK = 6, 1000, 8

    def write(self, path: Path, n: int) -> np.memmap:
        ranks = np.memmap(path, dtype=np.uint16, mode="w+", shape=(n, self.FRAMES, self.CLASSES))
        rng = np.random.default_rng(5)
        for sequence in ranks:
            sequence[:] = rng.permuted(np.tile(np.arange(1, self.CLASSES + 1), (self.FRAMES, 1)), axis=1)
        ranks.flush()
        return np.memmap(path, dtype=np.uint16, mode="r", shape=ranks.shape)

    def peak(self, run) -> int:
        run()
        tracemalloc.start()
        try:
            run()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    @both_kinds
    def test_of_a_memory_map_does_not_grow_with_the_sequences(self, tmp_path: Path, noise: bool):
        few, many = self.write(tmp_path / "few", self.BLOCK), self.write(tmp_path / "many", 25 * self.BLOCK)
        peaks = [
            self.peak(lambda ranks=ranks: top5_distance_of_ranks(ranks, noise=noise, block=self.BLOCK))
            for ranks in (few, many)
        ]
        results = 2 * many.shape[0] * np.dtype(np.float64).itemsize
        overhead_of_25_small_arrays = 25 * 256
        assert peaks[1] - peaks[0] < results + overhead_of_25_small_arrays
        assert peaks[1] < many.nbytes / 20

    def test_of_a_stream_does_not_grow_with_the_chunks(self):
        chunk = random_ranks(4, 5, 100)

        def stream(n_chunks: int) -> SequenceMean:
            streamed = SequenceMean()
            for ranks in (chunk.copy() for _ in range(n_chunks)):
                streamed.update(top5_distance_of_ranks(ranks, noise=False))
            return streamed

        assert stream(50).count == 50 * 4
        assert stream(50).mean == pytest.approx(stream(1).mean)
        assert self.peak(lambda: stream(50)) < 1.2 * self.peak(lambda: stream(2))


ALEXNET_FLIPS = {name: 0.05 + 0.02 * i for i, name in enumerate(PERTURBATIONS)}
ALEXNET_DISTANCES = {name: 1.0 + 0.5 * i for i, name in enumerate(PERTURBATIONS)}


class TestOverPerturbations:
    def test_the_names_are_ten_and_4_others(self):
        assert len(set(PERTURBATIONS)) == 10
        assert len(set(VALIDATION_PERTURBATIONS)) == 4
        assert not set(PERTURBATIONS) & set(VALIDATION_PERTURBATIONS)

    def test_which_are_noise(self):
        names = (*PERTURBATIONS, *VALIDATION_PERTURBATIONS, "gaussian_noise_3")
        assert [n for n in names if is_noise(n)] == [
            "gaussian_noise",
            "shot_noise",
            "speckle_noise",
            "gaussian_noise_3",
        ]

    def test_alexnets_own_are_one(self):
        assert mfr(ALEXNET_FLIPS, ALEXNET_FLIPS) == 1.0
        assert mt5d(ALEXNET_DISTANCES, ALEXNET_DISTANCES) == 1.0

    def test_hand_worked(self):
        """Nine perturbations at half of AlexNet's, tilt at three times: a mean of ratios over perturbations."""
        alexnet = dict.fromkeys(PERTURBATIONS, 0.2)
        values = dict.fromkeys(PERTURBATIONS, 0.1) | {"tilt": 0.6}
        assert mfr(values, alexnet) == pytest.approx((9 * 0.5 + 3) / 10)
        assert mt5d(values, alexnet) == pytest.approx((9 * 0.5 + 3) / 10)
        assert mean_top5_distance(values) == pytest.approx((9 * 0.1 + 0.6) / 10)

    def test_do_not_depend_on_the_order_of_the_names(self):
        backwards = dict(reversed(ALEXNET_DISTANCES.items()))
        halves = {name: distance / 2 for name, distance in ALEXNET_DISTANCES.items()}
        assert mt5d(halves, backwards) == 0.5
        assert mean_top5_distance(backwards) == mean_top5_distance(ALEXNET_DISTANCES)

    def test_mean_top5_distance_is_not_normalised(self):
        assert mean_top5_distance(ALEXNET_DISTANCES) == pytest.approx(1.0 + 0.5 * 4.5)

    @pytest.mark.parametrize(
        "call",
        [
            lambda changed: mfr(changed, ALEXNET_FLIPS),
            lambda changed: mfr(ALEXNET_FLIPS, changed),
            lambda changed: mt5d(changed, ALEXNET_FLIPS),
            lambda changed: mt5d(ALEXNET_FLIPS, changed),
            mean_top5_distance,
        ],
        ids=["mfr", "mfr-alexnet", "mt5d", "mt5d-alexnet", "mean_top5_distance"],
    )
    def test_exactly_the_ten(self, call):
        with pytest.raises(NotMeasured, match=r"missing: tilt$"):
            call({name: flip for name, flip in ALEXNET_FLIPS.items() if name != "tilt"})
        with pytest.raises(ValueError, match=r"unknown: spatter$"):
            call(ALEXNET_FLIPS | {"spatter": 0.1})
        with pytest.raises(ValueError, match="tilt is nan"):
            call(ALEXNET_FLIPS | {"tilt": math.nan})
        with pytest.raises(ValueError, match=r"tilt is 15\.5"):
            call(ALEXNET_FLIPS | {"tilt": 15.5})

    def test_percent_is_refused(self):
        with pytest.raises(ValueError, match="not percent"):
            mfr({name: 100 * flip for name, flip in ALEXNET_FLIPS.items()}, ALEXNET_FLIPS)

    @pytest.mark.parametrize("metric", [mfr, mt5d], ids=["mfr", "mt5d"])
    def test_an_alexnet_that_never_moves_can_not_be_divided_by(self, metric):
        with pytest.raises(NotMeasured, match="on tilt is 0, which can't be divided by"):
            metric(ALEXNET_FLIPS, ALEXNET_FLIPS | {"tilt": 0.0})
