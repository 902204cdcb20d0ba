"""Scores of attacks, on records made by hand."""

import numpy as np
import pytest

from harness.errors import NotMeasured, UsageError
from harness.protocols.attacks import Attack
from harness.scores import OneLook, columns_of, find_score, make_sample, scores_of
from harness.verdicts.estimates import proportion

PUBLISHED = Attack("published", ladder=(10, 20))
STANDARD = Attack("standard", ladder=(5, 10))
TRANSFER = Attack("standard", ladder=(5, 10), surrogate="alexnet")
FOLLOWED = Attack("standard", ladder=(5, 10), restarts=1, follow=True)
RIGHT, WRONG = 7, 8


def records(attack, first_fooled, ladder, *, clean=None, followed=None, **measured):
    """Records of images whose label is 7.

    Args:
        attack: Under which attack.
        first_fooled: Per image and pursuit.
        ladder: Per image and step of the ladder, whether it is right.
        clean: Per image, whether it is right when clean; all but those of which `first_fooled` is -1 by default.
        followed: Per image, pursuit and step of the ladder, whether it is right.
        **measured: Of the columns that say how the attack went, those that matter.
    """
    first_fooled = np.array(first_fooled, dtype=np.int16)
    clean = first_fooled[:, 0] >= 0 if clean is None else np.array(clean)
    was_attacked = (first_fooled >= 0).astype(np.float32)
    absent = np.where(was_attacked, 0, np.nan).astype(np.float32)
    count = len(first_fooled)
    columns = {
        "image": np.array([f"{place}.png" for place in range(count)], dtype=object),
        "digest": np.arange(count, dtype=np.uint64),
        "label": np.full(count, RIGHT, dtype=np.int16),
        "clean_prediction": np.where(clean, RIGHT, WRONG).astype(np.int16),
        "first_fooled": first_fooled,
        "ladder_prediction": np.where(ladder, RIGHT, WRONG).astype(np.int16),
        "loss_start": absent,
        "loss_end": absent + (-1 if attack.targeted else 1),
        "zero_gradient": absent.copy(),
        "moved": absent + 2 * attack.eps,
        "linf": np.full(count, attack.eps, dtype=np.float32) * was_attacked[:, 0],
        "outside": np.zeros(count, dtype=np.float32),
        **{name: np.array(values, dtype=np.float32) for name, values in measured.items()},
    }
    if followed is not None:
        columns["followed_prediction"] = np.where(followed, RIGHT, WRONG).reshape(count, -1).astype(np.int16)
    assert set(columns) == set(columns_of(attack))
    return columns


def sample(attack, columns):
    return {attack: make_sample(attack, [columns])}


def values(attack, columns):
    samples, scores = sample(attack, columns), scores_of(attack)
    return {name: scores[name].value(samples) for name in scores if attack.restarts > 1 or name != "restart_spread"}


@pytest.fixture
def published():
    """Five images: never fooled, at step 10, at step 11, at step 1, and one that is wrong when clean."""
    ladder = [(True, True), (False, False), (True, False), (False, False), (False, False)]
    return records(PUBLISHED, [[0], [10], [11], [1], [-1]], ladder)


def test_published_accuracies_count_images_whose_target_was_not_reached(published):
    found = values(PUBLISHED, published)
    assert found["top1"] == 4 / 5
    assert found["accuracy_after_10_steps"] == 2 / 5
    assert found["accuracy_after_20_steps"] == 1 / 5
    assert found["success_rate_after_10_steps"] == 2 / 4
    assert found["success_rate_after_20_steps"] == 3 / 4


@pytest.mark.parametrize(("steps", "accuracy"), [(1, 3 / 5), (9, 3 / 5), (10, 2 / 5), (11, 1 / 5), (20, 1 / 5)])
def test_accuracies_beside_the_ladder_are_known_too(published, steps, accuracy):
    score = find_score(PUBLISHED, f"accuracy_after_{steps}_steps")
    assert score.value(sample(PUBLISHED, published)) == accuracy


@pytest.mark.parametrize(
    ("attack", "name"),
    [
        (PUBLISHED, "accuracy_after_0_steps"),
        (PUBLISHED, "accuracy_after_21_steps"),
        (PUBLISHED, "accuracy_after_steps"),
        (TRANSFER, "accuracy_after_7_steps"),
        (STANDARD, "final_accuracy_after_10_steps"),
        (PUBLISHED, "restart_spread"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_what_the_records_cannot_tell_is_unknown(attack, name):
    with pytest.raises(UsageError, match=f"unknown metric of imagenet under {attack.name}, eps 0.06 '{name}'; known: "):
        find_score(attack, name)


def test_standard_accuracies_are_the_worst_case_over_losses_and_restarts():
    # Pursuits: cross-entropy from two starts, margin from two starts.
    columns = records(
        STANDARD,
        [[0, 0, 0, 0], [7, 0, 0, 0], [0, 0, 0, 5], [0, 2, 9, 0], [-1] * 4, [0, 0, 3, 0]],
        [(True, True), (True, False), (False, False), (False, False), (False, False), (False, False)],
    )
    found = values(STANDARD, columns)
    assert found["accuracy_after_5_steps"] == 2 / 6
    assert found["accuracy_after_10_steps"] == 1 / 6
    assert found["accuracy_after_10_steps_cross_entropy"] == 3 / 6
    assert found["accuracy_after_10_steps_margin"] == 2 / 6
    # From the first start 2 of 6 survive both losses, from the second 3 of 6; from both, 1 of 6.
    assert found["restart_spread"] == pytest.approx((2 + 3) / 2 / 6 - 1 / 6)


def test_transferred_accuracies_are_those_of_the_scored_images():
    # The first is right all along, the second was wrong when clean and became right: published transfer may do that.
    attack = Attack("published", ladder=(5, 10), surrogate="alexnet")
    columns = records(
        attack,
        [[0], [3], [3], [7]],
        [(True, True), (True, True), (False, False), (True, False)],
        clean=[True, False, True, True],
    )
    found = values(attack, columns)
    assert found["top1"] == 3 / 4
    assert found["accuracy_after_5_steps"] == 3 / 4
    assert found["accuracy_after_10_steps"] == 2 / 4
    assert found["success_rate_after_5_steps"] == 1 / 3
    assert found["success_rate_after_10_steps"] == 2 / 3
    assert "restart_spread" not in found


def test_final_accuracies_are_of_the_very_iterate_and_never_below_the_worst_case():
    # Fooled at step 2 by one of two pursuits, at which step it is right again at 10; never fooled; wrong when clean.
    columns = records(
        FOLLOWED,
        [[2, 0], [0, 0], [-1, -1]],
        [(False, False), (True, True), (False, False)],
        followed=[[(False, True), (True, True)], [(True, True)] * 2, [(False, False)] * 2],
    )
    found = values(FOLLOWED, columns)
    assert found["final_accuracy_after_5_steps"] == found["accuracy_after_5_steps"] == 1 / 3
    assert (found["final_accuracy_after_10_steps"], found["accuracy_after_10_steps"]) == (2 / 3, 1 / 3)


def test_a_pursuit_that_ends_wrong_makes_the_final_accuracy_wrong():
    columns = records(FOLLOWED, [[0, 8]], [(True, False)], followed=[[(True, True), (True, False)]])
    found = values(FOLLOWED, columns)
    assert (found["final_accuracy_after_5_steps"], found["final_accuracy_after_10_steps"]) == (1, 0)


def test_zero_gradients_count_attacked_images_with_next_to_none_under_some_loss():
    nan = [np.nan] * 4
    columns = records(
        STANDARD,
        [[0] * 4, [0] * 4, [0] * 4, [3] * 4, [-1] * 4],
        [(True, True)] * 3 + [(False, False)] * 2,
        zero_gradient=[[0.2, 0, 0, 0], [0.95, 0.5, 0, 0], [0, 0, 0, 1], [0.89, 0.89, 0, 0], nan],
    )
    assert values(STANDARD, columns)["zero_gradient"] == 2 / 4


def test_what_tells_whether_the_box_was_used_and_kept_to():
    columns = records(
        PUBLISHED,
        [[0], [4], [-1], [0]],
        [(True, True), (False, False), (False, False), (True, True)],
        linf=[0.06, 0.0539, 0.0, 0.0601],
        outside=[0, 0, 0, 0.25],
        loss_start=[[5.0], [4.0], [np.nan], [3.0]],
        loss_end=[[4.0], [1.0], [np.nan], [3.5]],
    )
    found = values(PUBLISHED, columns)
    assert found["unused_eps"] == 1 / 3
    assert found["beyond_eps"] == pytest.approx(0.0001, abs=1e-6)
    assert found["outside"] == 0.25
    assert found["loss_gain"] == pytest.approx((1 + 3 - 0.5) / 3)  # a targeted attack goes down its loss
    assert found["astray"] == 1 / 3


def test_an_image_is_unmoved_that_stays_near_the_start_in_every_run_for_the_steps_taken():
    # The box is 0.12 wide, ten steps of 2/255 reach 0.078 and three reach 0.024: near means below four tenths of that.
    nan = [np.nan] * 4
    columns = records(
        STANDARD,
        [[0] * 4, [0] * 4, [3] * 4, [3] * 4, [0, 0, 0, 3], [-1] * 4],
        [(True, True)] * 2 + [(False, False)] * 4,
        moved=[[0.031] * 4, [0.031, 0.031, 0.031, 0.032], [0.009] * 4, [0.01] * 4, [0.03] * 3 + [0.009], nan],
    )
    assert values(STANDARD, columns)["unmoved"] == 3 / 5


def test_followed_images_have_taken_all_steps():
    columns = records(FOLLOWED, [[1, 1]], [(False, False)], followed=[[(False, False)] * 2], moved=[[0.031, 0.031]])
    assert values(FOLLOWED, columns)["unmoved"] == 1


def test_a_box_narrower_than_the_steps_reach_is_the_way_there_is():
    attack = Attack("standard", eps=0.01, ladder=(5, 10))
    for moved, unmoved in ((0.0079, 1), (0.0081, 0)):
        columns = records(attack, [[0] * 4], [(True, True)], moved=[[moved] * 4])
        assert values(attack, columns)["unmoved"] == unmoved


def masked(masked_images, images=200, wrong=0):
    """Records of images of which the first so many are without any gradient, and survive."""
    zero = np.zeros((images, 4))
    zero[:masked_images] = 1
    first = np.where(np.arange(images)[:, None] < masked_images, 0, np.full((images, 4), 2))
    survives = np.repeat(np.arange(images)[:, None] < masked_images, 2, axis=1)
    if wrong:
        first[-wrong:], zero[-wrong:] = -1, np.nan
    return records(STANDARD, first, survives, zero_gradient=zero)


ACCURACIES = (
    *("accuracy_after_5_steps", "accuracy_after_10_steps", "success_rate_after_5_steps"),
    *("accuracy_after_10_steps_cross_entropy", "accuracy_after_10_steps_margin"),
)


@pytest.mark.parametrize("name", ACCURACIES)
def test_accuracies_of_masked_gradients_are_refused(name):
    samples = sample(STANDARD, masked(3, wrong=50))
    with pytest.raises(NotMeasured, match="gradient masking: 3 of 150 attacked images survive for want of a gradient"):
        OneLook(0.05).estimate(find_score(STANDARD, name), samples)
    assert OneLook(0.05).estimate(find_score(STANDARD, "top1"), samples).value == 150 / 200
    assert OneLook(0.05).estimate(find_score(STANDARD, "zero_gradient"), samples).value == 3 / 150


@pytest.mark.parametrize("name", ACCURACIES)
def test_one_masked_image_of_a_hundred_is_let_pass(name):
    samples = sample(STANDARD, masked(2))
    assert OneLook(0.05).estimate(find_score(STANDARD, name), samples).images == 200


def test_one_loss_with_a_gradient_is_enough():
    # As for large logits: cross-entropy is blind, the margin loss is not.
    columns = masked(0)
    columns["zero_gradient"][:, :2] = 1
    samples = sample(STANDARD, columns)
    assert OneLook(0.05).estimate(find_score(STANDARD, "accuracy_after_10_steps"), samples).value == 0
    assert find_score(STANDARD, "zero_gradient").value(samples) == 1


def test_at_the_limit_a_comparison_has_an_interval_as_well():
    samples = sample(STANDARD, masked(2))
    found = OneLook(0.05).difference(find_score(STANDARD, "accuracy_after_10_steps"), samples, samples)
    assert found.value == 0
    assert found.high < 0.1


@pytest.mark.parametrize("way", [0, -1])
def test_survivors_whose_loss_did_not_move_the_way_of_the_attack_are_refused(way):
    columns = records(STANDARD, np.zeros((10, 4)), np.ones((10, 2)))
    columns["loss_end"] = columns["loss_start"] + way
    with pytest.raises(NotMeasured, match="10 of 10 attacked images survive, of whose runs 100 % or more under each"):
        OneLook(0.05).estimate(find_score(STANDARD, "accuracy_after_10_steps"), sample(STANDARD, columns))


@pytest.mark.parametrize(
    ("cross_entropy", "margin", "led"), [(2, 3, None), (9, 1, None), (0, 20, None), (4, 3, "15"), (20, 20, "100")]
)
def test_one_loss_must_lead_the_way_in_nine_tenths_of_the_survivors_runs(cross_entropy, margin, led):
    columns = records(STANDARD, np.zeros((10, 4)), np.ones((10, 2)))
    for runs, stray in ((slice(0, 2), cross_entropy), (slice(2, 4), margin)):
        ends = columns["loss_end"][:, runs]
        ends[np.unravel_index(np.arange(stray), ends.shape)] = -1
    samples = sample(STANDARD, columns)
    score = find_score(STANDARD, "accuracy_after_10_steps")
    if led is None:
        assert OneLook(0.05).estimate(score, samples).value == 1
    else:
        with pytest.raises(NotMeasured, match=f"of whose runs {led} % or more under each loss moved it the wrong way"):
            OneLook(0.05).estimate(score, samples)


def test_a_gradient_at_a_few_pixels_is_none():
    columns = masked(3)
    columns["zero_gradient"][:3] = 0.95
    with pytest.raises(NotMeasured, match="gradient masking: 3 of 200"):
        OneLook(0.05).estimate(find_score(STANDARD, "accuracy_after_10_steps"), sample(STANDARD, columns))


def test_masked_gradients_are_refused_in_comparisons_too():
    samples = sample(STANDARD, masked(100))
    with pytest.raises(NotMeasured, match="gradient masking: 100 of 200 attacked images survive"):
        OneLook(0.05).difference(find_score(STANDARD, "accuracy_after_10_steps"), samples, samples)


def test_shares_have_exact_intervals_of_their_own_images(published):
    samples = sample(PUBLISHED, published)
    found = OneLook(0.05).estimate(find_score(PUBLISHED, "accuracy_after_10_steps"), samples)
    assert found == proportion(2, 5, 0.05)
    success = OneLook(0.05).estimate(find_score(PUBLISHED, "success_rate_after_10_steps"), samples)
    assert success == proportion(2, 4, 0.05)


def test_numbers_that_describe_the_attacked_images_have_none(published):
    samples = sample(PUBLISHED, published)
    for name in ("beyond_eps", "outside", "loss_gain"):
        assert OneLook(0.05).estimate(find_score(PUBLISHED, name), samples).is_exact


def test_differences_are_paired_image_by_image():
    rng = np.random.default_rng(0)
    first = np.where(rng.random(1000) < 0.5, 0, 3)
    second = np.where(np.arange(1000) < 30, 3 - first, first)
    score = find_score(PUBLISHED, "accuracy_after_10_steps")
    samples = [
        sample(PUBLISHED, records(PUBLISHED, steps[:, None], np.repeat(steps[:, None] == 0, 2, axis=1)))
        for steps in (first, second)
    ]
    found = OneLook(0.05).difference(score, *samples)
    assert found.value == pytest.approx((first == 0).mean() - (second == 0).mean())
    alone = [OneLook(0.05).estimate(score, each) for each in samples]
    assert found.high - found.low < 0.5 * sum(each.high - each.low for each in alone)


def test_a_difference_of_losses_is_not_squeezed_into_that_of_shares():
    ends = ([[9.0], [9.0]], [[2.0], [2.0]])
    samples = [
        sample(PUBLISHED, records(PUBLISHED, [[0], [0]], [(True, True)] * 2, loss_start=[[10.0], [10.0]], loss_end=end))
        for end in ends
    ]
    found = OneLook(0.05).difference(find_score(PUBLISHED, "loss_gain"), *samples)
    assert found.value == pytest.approx(1 - 8)
    assert found.low <= found.value <= found.high


def test_where_no_image_is_right_there_is_no_success_to_speak_of():
    samples = sample(STANDARD, records(STANDARD, [[-1] * 4] * 3, [(False, False)] * 3))
    assert find_score(STANDARD, "accuracy_after_10_steps").value(samples) == 0
    for name in ("success_rate_after_5_steps", "loss_gain", "zero_gradient"):
        with pytest.raises(NotMeasured, match="no image .*is classified right when clean"):
            OneLook(0.05).estimate(find_score(STANDARD, name), samples)


def test_one_start_says_how_to_get_more():
    attack = Attack("standard", ladder=(5, 10), restarts=1)
    samples = sample(attack, records(attack, [[0, 0]], [(True, True)]))
    with pytest.raises(NotMeasured, match="attack with --restarts 2 or more"):
        OneLook(0.05).estimate(find_score(attack, "restart_spread"), samples)


@pytest.mark.parametrize(
    "attack", [PUBLISHED, STANDARD, TRANSFER, FOLLOWED], ids=["published", "standard", "transfer", "followed"]
)
def test_a_score_is_of_its_attack_and_found_under_its_name(attack):
    for name, score in scores_of(attack).items():
        assert (score.name, score.needs) == (name, (attack,))
        assert find_score(attack, name).name == name


def test_samples_of_chunks_are_the_sample_of_all(published):
    halves = [{name: part[rows] for name, part in published.items()} for rows in (slice(2), slice(2, 5))]
    whole, joined = make_sample(PUBLISHED, [published]), make_sample(PUBLISHED, halves)
    assert all(np.array_equal(whole[name], joined[name], equal_nan=whole[name].dtype.kind == "f") for name in whole)
