"""Scores: what each benchmark's records are read for, on records made by hand."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from harness import recorded
from harness.errors import NotMeasured, UsageError
from harness.metrics.perturbation import PERTURBATIONS
from harness.metrics.shape_bias import CATEGORIES, CATEGORY_INDICES
from harness.protocols.needs import Normaliser
from harness.scores import OneLook, find_score, make_sample, scores_of
from harness.suite.pins import tolerance_of
from harness.verdicts.estimates import proportion


def imagenet(correct, in_top5=None, names=None):
    """Records of images whose label is 7, of which some are right."""
    correct = np.asarray(correct)
    in_top5 = correct if in_top5 is None else np.asarray(in_top5)
    count = len(correct)
    top5 = np.tile(np.arange(100, 105, dtype=np.int16), (count, 1))
    top5[in_top5, 4] = 7
    return {
        "image": np.array(names or [f"n/{place}.png" for place in range(count)], dtype=object),
        "digest": np.arange(count, dtype=np.uint64),
        "label": np.full(count, 7, dtype=np.int16),
        "own_prediction": np.where(correct, 7, 8).astype(np.int16),
        "top5": top5,
    }


def stimuli(rows, top5=None):
    """Records from (image, shape, texture, category by class, category by probability), and classes of the top 5."""
    images, shapes, textures, by_class, by_category = zip(*rows, strict=True)
    return {
        "image": np.array(images, dtype=object),
        "digest": np.arange(len(rows), dtype=np.uint64),
        "own_prediction": np.array([CATEGORY_INDICES[name][0] for name in by_class], dtype=np.int16),
        "top5": np.array(top5 or [range(5)] * len(rows), dtype=np.int16),
        "shape": np.array(shapes, dtype=object),
        "texture": np.array(textures, dtype=object),
        "category_probabilities": np.eye(16, dtype=np.float32)[[CATEGORIES.index(name) for name in by_category]],
    }


def sample(benchmark, columns):
    return {benchmark: make_sample(benchmark, [columns])}


def test_top1_and_top5_are_shares_with_exact_intervals():
    samples = sample("imagenet", imagenet([True] * 6 + [False] * 4, [True] * 9 + [False]))
    found = OneLook(0.05).estimate(find_score("imagenet", "top1"), samples)
    assert found == proportion(6, 10, 0.05)
    assert OneLook(0.05).estimate(find_score("imagenet", "top5"), samples).value == 0.9


def test_published_rule_counts_the_stray_stimulus_and_no_other_without_conflict():
    samples = sample(
        "cue-conflict",
        stimuli(
            [
                ("cat1-dog1.png", "cat", "dog", "cat", "cat"),
                ("cat2-dog1.png", "cat", "dog", "dog", "cat"),
                ("cat3-dog1.png", "cat", "dog", "dog", "bear"),
                ("cat4-dog1.png", "cat", "dog", "oven", "dog"),
                ("bicycle6-bicycle3.webp", "bicycle", "bicycle", "bicycle", "bicycle"),
                ("dog1-dog2.png", "dog", "dog", "dog", "dog"),
            ]
        ),
    )
    found = {name: score.value(samples) for name, score in scores_of("cue-conflict").items()}
    assert (found["shape_hits"], found["texture_hits"]) == (1 + 1, 2 + 1)
    assert found["shape_bias"] == 2 / 5
    assert (found["shape_hits_geirhos"], found["texture_hits_geirhos"]) == (2, 1)
    assert found["shape_bias_geirhos"] == 2 / 3


def test_an_image_moves_shape_bias_by_one_of_those_that_are_decided():
    seen = ["cat", "dog", "car"] * 20
    columns = stimuli([(f"cat{place}-dog1.png", "cat", "dog", each, each) for place, each in enumerate(seen)])
    found = OneLook(0.001).estimate(find_score("cue-conflict", "shape_bias"), sample("cue-conflict", columns))
    assert (found.value, found.images, found.counted) == (0.5, 60, 40)
    assert tolerance_of(found) == 1.5 / 40


def test_top5_may_hold_a_class_of_either_cue_or_of_both_or_of_none():
    cats, dogs, fish = CATEGORY_INDICES["cat"], CATEGORY_INDICES["dog"], range(5)  # fish belong to no category
    rows = [
        ("cat1-dog1.png", [fish[0], fish[1], fish[2], fish[3], cats[0]]),
        ("cat2-dog1.png", [cats[3], cats[1], fish[0], cats[2], fish[1]]),  # three of the shape, counted once
        ("cat3-dog1.png", [dogs[0], cats[1], fish[0], fish[1], fish[2]]),
        ("cat4-dog1.png", [*fish]),
        ("cat5-dog1.png", [CATEGORY_INDICES["bear"][0], *fish[:4]]),
        # Without a conflict, so that they count for nothing, the stray one included.
        ("bicycle6-bicycle3.webp", [CATEGORY_INDICES["bicycle"][0], *fish[:4]]),
        ("dog1-dog2.png", [dogs[0], *fish[:4]]),
    ]
    cues = {"c": ("cat", "dog"), "b": ("bicycle", "bicycle"), "d": ("dog", "dog")}
    columns = stimuli([(name, *cues[name[0]], "cat", "cat") for name, _ in rows], [top5 for _, top5 in rows])
    samples = sample("cue-conflict", columns)
    for name, hits in (("shape_in_top5", 3), ("texture_in_top5", 1)):
        assert OneLook(0.05).estimate(find_score("cue-conflict", name), samples) == proportion(hits, 5, 0.05), name
    alone = sample("cue-conflict", {name: values[-2:] for name, values in columns.items()})
    with pytest.raises(NotMeasured, match="no image has a shape and a texture of different categories"):
        OneLook(0.05).estimate(find_score("cue-conflict", "shape_in_top5"), alone)


def test_imagenet_a_scores_on_records_by_hand():
    confidence = np.linspace(0.3, 0.9, 300).astype(np.float32)
    columns = {
        "image": np.array([f"{place}.png" for place in range(300)], dtype=object),
        "digest": np.arange(300, dtype=np.uint64),
        "label": np.zeros(300, dtype=np.int16),
        "own_prediction": np.where(np.arange(300) < 100, 1, 0).astype(np.int16),  # the least confident 100 are wrong
        "own_confidence": confidence,
    }
    found = {n: s.value(sample("imagenet-a", columns)) for n, s in scores_of("imagenet-a").items()}
    gaps = [abs(float(part.mean()) - right) for part, right in zip(np.split(confidence, 3), (0, 1, 1), strict=True)]
    assert found["top1"] == pytest.approx(2 / 3)
    assert found["rms_ce"] == pytest.approx(np.sqrt((gaps[0] ** 2 + gaps[1] ** 2) / 3), rel=1e-6)
    assert found["rms_ce_corrected"] == pytest.approx(np.sqrt(sum(gap**2 for gap in gaps) / 3), rel=1e-6)
    # Right for the first 200 answers, then 200 right of ever more.
    assert found["aurra"] == pytest.approx((200 + sum(200 / k for k in range(201, 301))) / 300)


def test_samples_of_chunks_are_the_sample_of_all():
    columns = imagenet([True, False, True, True])
    halves = [{name: values[part] for name, values in columns.items()} for part in (slice(2), slice(2, 4))]
    whole, joined = make_sample("imagenet", [columns]), make_sample("imagenet", halves)
    assert all(np.array_equal(whole[name], joined[name]) for name in whole)


def test_difference_of_the_same_images_is_tighter_than_that_of_strangers():
    rng = np.random.default_rng(0)
    first = rng.random(2000) < 0.6
    second = np.where(np.arange(2000) < 60, ~first, first)
    score = find_score("imagenet", "top1")
    samples = [sample("imagenet", imagenet(correct)) for correct in (first, second)]
    paired = OneLook(0.05).difference(score, *samples)
    assert paired.value == pytest.approx(first.mean() - second.mean())
    alone = [OneLook(0.05).estimate(score, one) for one in samples]
    assert paired.high - paired.low < 0.5 * sum(one.high - one.low for one in alone)


def test_different_images_are_not_compared():
    score = find_score("imagenet", "top1")
    first, second = (sample("imagenet", imagenet([True] * 10)) for _ in range(2))
    second["imagenet"]["digest"] = second["imagenet"]["digest"] + 1
    with pytest.raises(NotMeasured, match="did not see the same images"):
        OneLook(0.05).difference(score, first, second)


def test_weighted_sums_are_of_their_terms():
    score = find_score("imagenet", "top1")
    samples = sample("imagenet", imagenet([True] * 60 + [False] * 40))
    found = OneLook(0.05).combination([(2.0, score, samples), (-0.5, score, samples)])
    assert found.value == pytest.approx(1.5 * 0.6)


def jackknife_by_hand(terms, alpha):
    """Leave out one group of 50 after another in a plain loop; gives the value and half the interval's width."""
    from scipy.stats import t

    def total(out):
        found = 0
        for weight, score, samples in terms:
            some = {}
            for need, columns in samples.items():
                rows = [row for row, group in enumerate(columns["group"]) if group != out]
                some[need] = {name: values[rows] for name, values in columns.items()}
            found += weight * score.value(some)
        return found

    left_out = [total(group) for group in range(50)]
    squares = sum((each - sum(left_out) / 50) ** 2 for each in left_out)
    images = min(len(samples[score.needs[0]]["group"]) for _, score, samples in terms)
    scale = sum(abs(weight) * score.scale_of(samples) for weight, score, samples in terms)
    half = t.ppf(1 - alpha / 2, 49) * math.sqrt(49 / 50 * squares) + scale * math.log(2 / alpha) / images
    return total(None), half


def test_intervals_are_those_of_a_plain_loop():
    rng = np.random.default_rng(0)
    first, second, alexnet = (sequences(rng, per_perturbation=80, alexnet=place == 2) for place in range(3))
    own = [sample("imagenet-p", columns) for columns in (first, second)]
    beside = {Normaliser("imagenet-p"): make_sample("imagenet-p", [alexnet])}
    mfr, distance = find_score("imagenet-p", "mfr"), find_score("imagenet-p", "mean_top5_distance")
    known = OneLook(0.05)
    for terms in (
        [(1.0, mfr, own[0] | beside)],
        [(1.0, distance, own[0])],
        [(1.0, mfr, own[0] | beside), (-1.0, mfr, own[1] | beside)],
        [(2.0, mfr, own[0] | beside), (-0.5, distance, own[1])],
    ):
        value, half = jackknife_by_hand(terms, 0.05)
        for found in (OneLook(0.05).combination(terms), known.combination(terms)):
            assert found.value == pytest.approx(value)
            # An end beyond what the number can be is cut off there.
            assert found.high == pytest.approx(value + half)
            assert len(terms) == 1 or found.low == pytest.approx(value - half)


@pytest.fixture
def counted():
    """A score that is a mean, and the list of how many images were looked at, call by call."""
    calls = []

    def value(samples):
        calls.append(len(samples["imagenet"]["correct"]))
        return float(samples["imagenet"]["correct"].mean())

    return replace(find_score("imagenet", "top1"), value=value, count=None), calls


def test_replicates_are_computed_once_for_a_score_and_its_samples(counted):
    score, calls = counted
    first, second = (sample("imagenet", imagenet(np.arange(200) % each > 0)) for each in (2, 5))
    known = OneLook(0.05)
    once = known.estimate(score, first)
    assert len(calls) == 51  # of all, and without each of 50 groups
    assert (calls[0], sum(calls)) == (200, 200 * 50)
    assert known.estimate(score, first) == once
    known.estimate(score, dict(first))
    assert len(calls) == 51
    both = [(1.0, score, first), (-1.0, score, second)]
    paired = known.combination(both)
    assert len(calls) == 2 * 51
    known.combination([(weight, score, samples) for weight, _, samples in both])
    known.estimate(score, second)
    assert len(calls) == 2 * 51
    assert paired == OneLook(0.05).combination(both)
    assert len(calls) == 4 * 51  # nothing is kept where nobody keeps it


def test_replicates_of_other_scores_and_other_samples_are_others(counted):
    score, calls = counted
    first, known = sample("imagenet", imagenet(np.arange(200) % 2 > 0)), OneLook(0.05)
    known.estimate(score, first)
    known.estimate(replace(score, name="another"), first)
    known.estimate(score, sample("imagenet", imagenet(np.arange(200) % 2 > 0)))
    assert len(calls) == 3 * 51
    mfr, rng = find_score("imagenet-p", "mfr"), np.random.default_rng(0)
    own = sample("imagenet-p", sequences(rng, per_perturbation=80))
    beside = {Normaliser("imagenet-p"): make_sample("imagenet-p", [sequences(rng, 80, alexnet=True)])}
    alone, normalised = known.estimate(mfr, own), known.estimate(mfr, own | beside)
    assert normalised.value == pytest.approx(mfr.value(own | beside))
    assert alone.value != normalised.value


def test_too_few_images_say_what_is_lacking():
    columns = {
        "image": np.array(["1.png"], dtype=object),
        "digest": np.zeros(1, dtype=np.uint64),
        "label": np.zeros(1, dtype=np.int16),
        "own_prediction": np.zeros(1, dtype=np.int16),
        "own_confidence": np.ones(1, dtype=np.float32),
    }
    with pytest.raises(NotMeasured, match="imagenet-a: .*200"):
        OneLook(0.05).estimate(find_score("imagenet-a", "rms_ce"), sample("imagenet-a", columns))


def test_unknown_metric_lists_the_known():
    with pytest.raises(UsageError, match="unknown metric of imagenet 'top-1'; known: top1, top5"):
        find_score("imagenet", "top-1")


def sequences(rng, per_perturbation=4, alexnet=False):
    """Records of ImageNet-P whose frames change between few classes."""
    cells = [name for name in PERTURBATIONS for _ in range(per_perturbation)]
    frames = [41 if name == "translate" else 31 for name in cells]
    top5 = np.full((len(cells), 41, 5), -1, dtype=np.int16)
    for row, count in enumerate(frames):
        for frame in range(count):
            top5[row, frame] = rng.permutation(7 if alexnet else 6)[:5]
    images = [f"n/{place}.mp4" for _ in PERTURBATIONS for place in range(per_perturbation)]
    return {
        "image": np.array(images, dtype=object),
        "digest": np.arange(len(cells), dtype=np.uint64),
        "cell": np.array(cells, dtype=object),
        "frames": np.array(frames, dtype=np.int16),
        "top5": top5.reshape(len(cells), -1),
    }


def flips_and_distances_by_loops(columns):
    """Compare each frame with its reference by plain loops; gives both means a perturbation."""
    found = {}
    for cell, frames, flat in zip(columns["cell"], columns["frames"], columns["top5"], strict=True):
        ranking = flat.reshape(-1, 5).tolist()[:frames]
        flips = distance = 0
        for place in range(1, frames):
            before, after = ranking[0 if "noise" in cell else place - 1], ranking[place]
            flips += before[0] != after[0]
            for i, one in enumerate(before):
                distance += abs(i - (after.index(one) if one in after else 5))
        found.setdefault(cell, []).append((flips / (frames - 1), distance / (frames - 1)))
    return {cell: np.mean(values, axis=0) for cell, values in found.items()}


def test_imagenet_p_scores_meet_plain_loops():
    columns = sequences(np.random.default_rng(0))
    by_hand = flips_and_distances_by_loops(columns)
    shuffled = np.random.default_rng(1).permutation(len(columns["cell"]))
    samples = {
        "imagenet-p": make_sample(
            "imagenet-p",
            [{name: values[rows] for name, values in columns.items()} for rows in np.array_split(shuffled, 3)],
        )
    }
    scores = scores_of("imagenet-p")
    published = recorded.alexnet_flip_probabilities()
    assert len(by_hand) == 10
    assert scores["mean_flip_probability"].value(samples) == pytest.approx(np.mean([f for f, _ in by_hand.values()]))
    assert scores["mean_top5_distance"].value(samples) == pytest.approx(np.mean([d for _, d in by_hand.values()]))
    mfr = np.mean([flips / published[name] for name, (flips, _) in by_hand.items()])
    assert scores["mfr"].value(samples) == pytest.approx(mfr)
    for name, (flips, distance) in by_hand.items():
        assert scores[f"flip_probability_{name}"].value(samples) == pytest.approx(flips)
        assert scores[f"top5_distance_{name}"].value(samples) == pytest.approx(distance)


def test_the_error_of_a_corruption_is_the_mean_over_its_severities():
    cells = [f"{name}/{severity}" for name in ("fog", "snow") for severity in range(1, 6) for _ in range(10 * severity)]
    columns = imagenet(np.arange(len(cells)) % 10 < 3) | {"cell": np.array(cells, dtype=object)}
    columns["own_prediction"][np.array(cells) == "fog/5"] = 8  # all wrong
    samples = sample("imagenet-c", columns)
    assert find_score("imagenet-c", "error_fog").value(samples) == pytest.approx((4 * 0.7 + 1) / 5)
    assert find_score("imagenet-c", "error_snow").value(samples) == pytest.approx(0.7)
    with pytest.raises(NotMeasured, match="no image of frost/1; ask for more with --images"):
        OneLook(0.05).estimate(find_score("imagenet-c", "error_frost"), samples)


@pytest.mark.parametrize(("name", "place"), [("mfr", 0), ("mt5d", 1)])
def test_metrics_are_divided_by_the_normalisers_of_the_same_images_where_these_are_given(name, place):
    rng = np.random.default_rng(0)
    columns, alexnet = sequences(rng), sequences(rng, alexnet=True)
    by_hand, others = flips_and_distances_by_loops(columns), flips_and_distances_by_loops(alexnet)
    samples = sample("imagenet-p", columns) | {Normaliser("imagenet-p"): make_sample("imagenet-p", [alexnet])}
    score = find_score("imagenet-p", name)
    expected = np.mean([by_hand[cell][place] / others[cell][place] for cell in by_hand])
    assert score.value(samples) == pytest.approx(expected)
    # The most that one sequence can change: from 0 to 1, or to 15, over what it is divided by.
    most = (1, 15)[place] * np.mean([1 / others[cell][place] for cell in others])
    assert score.scale_of(samples) == pytest.approx(most)
    alone = {Normaliser("imagenet-p"): samples["imagenet-p"]} | sample("imagenet-p", columns)
    assert score.value(alone) == pytest.approx(1)
    # What the classifier and its normaliser share cancels, so that a classifier's ratio to itself is known exactly.
    widths = [found.high - found.low for found in (OneLook(0.05).estimate(score, each) for each in (alone, samples))]
    assert widths[0] < widths[1]


def test_flips_need_all_ten_perturbations():
    columns = sequences(np.random.default_rng(0))
    some = {name: values[columns["cell"] != "tilt"] for name, values in columns.items()}
    for name in ("mfr", "mean_flip_probability", "mean_top5_distance"):
        with pytest.raises(NotMeasured, match="36 of its sequences reach 9 of the 10 perturbations; mFR needs all"):
            OneLook(0.05).estimate(find_score("imagenet-p", name), sample("imagenet-p", some))


def test_mt5d_waits_for_alexnets_distances(monkeypatch, tmp_path):
    columns = sequences(np.random.default_rng(0))
    score, samples = find_score("imagenet-p", "mt5d"), sample("imagenet-p", columns)
    monkeypatch.setattr(recorded, "ALEXNET_TOP5_DISTANCES", tmp_path / "pins.json")
    with pytest.raises(NotMeasured, match="AlexNet's top-5 distances.* not pinned here yet; pytest -m full"):
        OneLook(0.05).estimate(score, samples)
    of_all = {"tolerance": 0.0, "images": 50_000, "protocol": "classify", "data": {}}
    pins = {name: {"value": 2.0 + place, **of_all} for place, name in enumerate(PERTURBATIONS)}
    (tmp_path / "pins.json").write_text(json.dumps({"figures": pins, "recorded_with": {}}))
    by_hand = flips_and_distances_by_loops(columns)
    expected = np.mean([by_hand[name][1] / (2 + place) for place, name in enumerate(PERTURBATIONS)])
    assert OneLook(0.05).estimate(score, samples).value == pytest.approx(expected)


def test_an_image_is_the_same_in_every_format():
    names = [f"n01440764/{place}" for place in range(300)]
    groups = [
        make_sample("imagenet", [imagenet([True] * 300, names=[f"{name}{suffix}" for name in names])])["group"]
        for suffix in (".JPEG", ".png", ".mp4")
    ]
    assert np.array_equal(groups[0], groups[1])
    assert np.array_equal(groups[0], groups[2])
    assert len(set(groups[0].tolist())) == 50
