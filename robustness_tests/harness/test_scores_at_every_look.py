"""Scores that are looked at again and again: what each image adds, what is known of samples, what is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest

from harness.errors import NotMeasured, TooFewImages
from harness.metrics.corruption import CORRUPTIONS
from harness.metrics.perturbation import PERTURBATIONS
from harness.protocols.attacks import Attack
from harness.protocols.needs import Normaliser
from harness.scores import EveryLook, OneLook, find_score, main_score, scores_of
from harness.verdicts.betting import Boundless, DrawnMean, DrawnShare

SIZES = {"imagenet": 600, "imagenet-c": 75 * 12, "imagenet-p": 10 * 30, "imagenet-a": 400, "cue-conflict": 500}


def facts(images, rng):
    return {
        "group": rng.integers(0, 50, images).astype(np.uint8),
        "digest": np.arange(images, dtype=np.uint64),
    }


def sample(benchmark, seed=0, right=0.6):
    """What scores read off a benchmark of which all cells are equally large, in a random order."""
    rng, images = np.random.default_rng(seed), SIZES[benchmark]
    found = {**facts(images, rng), "correct": rng.random(images) < right, "in_top5": rng.random(images) < 0.9}
    if benchmark in ("imagenet-c", "imagenet-p"):
        cells = 75 if benchmark == "imagenet-c" else 10
        found["cell"] = np.random.default_rng(99).permutation(np.arange(images) % cells).astype(np.uint8)
    if benchmark == "imagenet-p":
        found |= {"flips": rng.random(images) ** 4, "distances": 15 * rng.random(images) ** 2}
    if benchmark == "imagenet-a":
        found["confidence"] = rng.random(images).astype(np.float32)
    if benchmark == "cue-conflict":
        cues = {name: np.random.default_rng(place).integers(0, 16, images) for place, name in enumerate("st")}
        found |= {
            "shape": cues["s"],
            "texture": cues["t"],
            "stray": np.arange(images) == np.argmax(cues["s"] == cues["t"]),
        }
        pick = rng.integers(0, 3, images)
        for rule in ("by_class", "by_category"):
            found[rule] = np.where(pick == 0, cues["s"], np.where(pick == 1, cues["t"], rng.integers(0, 16, images)))
        found |= {f"{cue}_in_top5": rng.random(images) < 0.4 for cue in ("shape", "texture")}
    return found


def samples_of(score, seed=0, right=0.6, alexnet=True):
    found = {need: sample(need, seed, right) for need in score.needs}
    if alexnet:
        by_benchmark = {"imagenet": 0.7}  # right oftener on clean images than on any other
        found |= {each: sample(each.benchmark, 7, by_benchmark.get(each.benchmark, 0.1)) for each in score.beside}
    return found


def first(samples, images):
    return {
        need: values if isinstance(need, Normaliser) else {name: column[:images] for name, column in values.items()}
        for need, values in samples.items()
    }


SPLIT = [
    pytest.param(benchmark, name, id=f"{benchmark}-{name}")
    for benchmark in SIZES
    for name, score in scores_of(benchmark).items()
    if score.parts or score.ratio
]


@pytest.mark.parametrize(("need", "name"), SPLIT)
def test_what_images_add_is_the_score(need, name):
    score = find_score(need, name)
    samples = samples_of(score)
    if score.ratio:
        hits, misses = (float(np.sum(each)) for each in score.ratio(samples)[1:])
        found = hits / (hits + misses)
    else:
        parts = score.parts(samples)
        found = sum(float(part.values.mean()) for part in parts)
        for part in parts:
            assert part.bounds[0] <= part.values.min() <= part.values.max() <= part.bounds[1]
    assert found == pytest.approx(score.value(samples), rel=1e-12)


def test_every_metric_that_claims_are_decided_by_is_split_but_for_those_of_calibration():
    left = {
        name for benchmark in SIZES for name, score in scores_of(benchmark).items() if not (score.parts or score.ratio)
    }
    assert left - {
        "rms_ce",
        "rms_ce_corrected",
        "aurra",
    } == {f"{cue}_hits{rule}" for cue in ("shape", "texture") for rule in ("", "_geirhos")}  # counts, of what was seen


def test_bounds_of_mce_are_those_of_the_corruption_that_alexnet_does_best():
    score = find_score("imagenet-c", "mce")
    alexnet = sample("imagenet-c", right=0.0)
    cells = np.flatnonzero(alexnet["cell"] // 5 == CORRUPTIONS.index("fog"))
    alexnet["correct"][cells[: len(cells) // 2]] = True  # AlexNet errs at half of fog, and at all else
    samples = {"imagenet-c": sample("imagenet-c"), Normaliser("imagenet-c"): alexnet}
    (part,) = score.parts(samples)
    assert part.bounds == (0.0, 2.0)
    assert set(np.unique(part.values)) == {0.0, 1.0, 2.0}


def test_of_all_images_a_figure_is_exact_and_of_some_it_is_not():
    score = find_score("imagenet", "top1")
    samples = samples_of(score)
    for estimator in (EveryLook(1e-3, SIZES.get), OneLook(1e-3, SIZES.get)):
        found = estimator.estimate(score, samples)
        assert (found.is_exact, found.value, found.images) == (True, score.value(samples), 600)
        part = estimator.estimate(score, first(samples, 500))
        assert part.low < part.value < part.high
        assert part.low < found.value < part.high
        assert not part.is_exact


def test_a_difference_is_of_what_the_pair_of_images_adds():
    score = find_score("imagenet-c", "mce")
    pair = [samples_of(score, seed, right) for seed, right in ((0, 0.7), (1, 0.4))]
    found = EveryLook(0.01, lambda need: 10**6).difference(score, *pair)
    values = score.parts(pair[0])[0].values - score.parts(pair[1])[0].values
    high = score.parts(pair[0])[0].bounds[1]
    by_hand = DrawnMean(values, bounds=(-high, high), alpha=0.01, population=10**6)
    assert (found.low, found.high) == pytest.approx((by_hand.low, by_hand.high))
    assert found.value == pytest.approx(score.value(pair[0]) - score.value(pair[1]))
    assert found.is_below(0)


def test_separate_benchmarks_are_separate_urns_at_their_share_of_alpha():
    top1, of_a = find_score("imagenet", "top1"), find_score("imagenet-a", "top1")
    terms = [(1.0, of_a, samples_of(of_a)), (-2.0, top1, samples_of(top1))]
    found = EveryLook(0.02, lambda need: 10**5).combination(terms, constant=0.5)
    alone = [EveryLook(0.01, lambda need: 10**5).estimate(score, samples) for _, score, samples in terms]
    assert found.low == pytest.approx(alone[0].low - 2 * alone[1].high + 0.5)
    assert found.high == pytest.approx(alone[0].high - 2 * alone[1].low + 0.5)


def test_an_urn_that_is_empty_takes_no_share_of_alpha():
    top1, of_a = find_score("imagenet", "top1"), find_score("imagenet-a", "top1")
    known, drawn = samples_of(top1), samples_of(of_a)
    population = {"imagenet": 600, "imagenet-a": 5000}.get
    found = EveryLook(0.02, population).combination([(1.0, of_a, drawn), (-2.0, top1, known)])
    alone = EveryLook(0.02, population).estimate(of_a, drawn)
    assert found.low == pytest.approx(alone.low - 2 * top1.value(known))
    assert found.high == pytest.approx(alone.high - 2 * top1.value(known))


def test_rel_mce_of_all_clean_images_rests_on_the_corrupted_ones_alone():
    score = find_score("imagenet-c", "rel_mce")
    samples = samples_of(score, alexnet=False)
    half = {**samples, "imagenet-c": first(samples, 450)["imagenet-c"]}
    found = EveryLook(0.02, {"imagenet": 600, "imagenet-c": 900}.get).estimate(score, half)
    assert found.low < score.value(samples) < found.high
    corrupted, clean = score.parts(half)
    alone = DrawnMean(corrupted.values, bounds=corrupted.bounds, alpha=0.02, population=900)
    assert found.high - found.low == pytest.approx(alone.high - alone.low)
    assert found.low == pytest.approx(alone.low + clean.values.mean())


def test_shape_bias_is_a_share_of_what_counts():
    score = find_score("cue-conflict", "shape_bias")
    samples = samples_of(score)
    found = EveryLook(0.01, lambda need: 1201).estimate(score, samples)
    _, hits, misses = score.ratio(samples)
    by_hand = DrawnShare(hits, misses, alpha=0.01, population=1201)
    assert (found.value, found.low, found.high) == (score.value(samples), by_hand.low, by_hand.high)
    assert (hits & misses).sum() == (samples["cue-conflict"]["by_class"] == samples["cue-conflict"]["shape"])[
        samples["cue-conflict"]["stray"]
    ].sum()


@pytest.mark.parametrize("name", ["rms_ce", "rms_ce_corrected", "aurra"])
def test_what_has_no_bound_is_known_of_all_images_or_not_at_all(name):
    score = find_score("imagenet-a", name)
    samples, estimator = samples_of(score), EveryLook(0.01, SIZES.get)
    part = estimator.estimate(score, first(samples, 300))
    assert isinstance(part, Boundless)
    assert part.interval is None
    assert not any((part.is_above(-9), part.is_below(9), part.is_at_least(-9), part.is_at_most(9)))
    assert part.needed(0.5) == 400
    assert estimator.estimate(score, samples).is_exact


@pytest.mark.parametrize("name", ["rms_ce", "aurra"])
def test_calibration_is_bootstrapped_on_the_same_images_for_both_sides(name):
    score = find_score("imagenet-a", name)
    one, other = samples_of(score, 0), samples_of(score, 1)
    alone, same = OneLook(0.05).estimate(score, one), OneLook(0.05).difference(score, one, one)
    assert alone.low < alone.value < alone.high
    assert (same.value, same.low, same.high) == (0, 0, 0)
    draws = np.random.RandomState(0)
    values = []
    for _ in range(400):
        places = draws.randint(400, size=400)
        again = [
            {"imagenet-a": {key: column[places] for key, column in each["imagenet-a"].items()}} for each in (one, other)
        ]
        values.append(score.value(again[0]) - score.value(again[1]))
    found = OneLook(0.05).difference(score, one, other)
    assert (found.high - found.low) / 2 == pytest.approx(1.959964 * np.std(values, ddof=1), rel=1e-6)


def test_too_few_images_may_be_mended_by_more_but_not_by_more_of_none():
    score = find_score("imagenet-c", "error_fog")
    samples = first(samples_of(score), 30)
    estimator = EveryLook(0.01, SIZES.get)
    assert estimator.estimate(score, samples).images == 30  # what images add is known, though cells are missing
    ratio = find_score("cue-conflict", "shape_bias")
    none = sample("cue-conflict")
    none["texture"] = none["shape"]
    none["stray"][:] = False
    with pytest.raises(TooFewImages, match="different categories"):
        estimator.estimate(ratio, {"cue-conflict": {name: column[:100] for name, column in none.items()}})


def test_an_alexnet_that_can_not_be_divided_by_is_said_before_more_is_drawn():
    score = find_score("imagenet-c", "rel_mce")
    samples = samples_of(score)
    samples[Normaliser("imagenet")] = sample("imagenet", 7, right=0.0)
    with pytest.raises(NotMeasured, match="AlexNet's rise over its clean error on gaussian_noise is") as raised:
        EveryLook(0.01, lambda need: 10**6).estimate(score, samples)
    assert not isinstance(raised.value, TooFewImages)


def test_records_of_other_images_are_refused():
    score = find_score("imagenet", "top1")
    one, other = samples_of(score), samples_of(score, 1)
    other["imagenet"]["digest"] = other["imagenet"]["digest"][::-1]
    for estimator in (EveryLook(0.01, SIZES.get), OneLook(0.01)):
        with pytest.raises(NotMeasured, match="did not see the same images"):
            estimator.difference(score, one, other)


def test_a_check_that_fails_is_no_matter_of_more_images():
    def check(samples):
        raise ValueError("gradient masking")

    score = replace(find_score("imagenet", "top1"), check=check)
    with pytest.raises(NotMeasured, match="gradient masking") as raised:
        EveryLook(0.01, SIZES.get).estimate(score, samples_of(score))
    assert not isinstance(raised.value, TooFewImages)


def test_some_of_a_known_number_of_images_have_a_finite_population_interval():
    mfr = find_score("imagenet-p", "mfr")
    samples = samples_of(mfr)
    part = {**samples, "imagenet-p": first(samples, 225)["imagenet-p"]}
    endless, known = OneLook(0.05).estimate(mfr, part), OneLook(0.05, SIZES.get).estimate(mfr, part)
    assert known.high - known.value == pytest.approx((endless.high - endless.value) * math.sqrt(1 - 225 / 300))
    top1 = find_score("imagenet", "top1")
    seen = first(samples_of(top1), 450)
    endless, known = OneLook(0.05).estimate(top1, seen), OneLook(0.05, SIZES.get).estimate(top1, seen)
    assert known.high - known.low == pytest.approx((endless.high - endless.low) * math.sqrt(1 - 450 / 600), rel=0.05)


def test_the_metric_that_a_need_is_known_by():
    names = {benchmark: main_score(benchmark).name for benchmark in SIZES}
    assert names == {
        "imagenet": "top1",
        "imagenet-c": "mce",
        "imagenet-p": "mfr",
        "imagenet-a": "top1",
        "cue-conflict": "shape_bias",
    }
    assert main_score(Attack("standard", eps=0.06, ladder=(10, 20))).name == "accuracy_after_20_steps"


def test_all_perturbations_weigh_alike_in_the_mean_flip_probability():
    score = find_score("imagenet-p", "mean_flip_probability")
    samples = samples_of(score)
    (part,) = score.parts(samples)
    by_cell = [part.values[samples["imagenet-p"]["cell"] == place].mean() for place in range(len(PERTURBATIONS))]
    assert np.mean(by_cell) == pytest.approx(score.value(samples))
