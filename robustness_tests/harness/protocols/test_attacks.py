"""Attacks as data: the paper's parameters by default, wrong ones refused, and all that matters in the identity."""

import pytest

from harness.errors import UsageError
from harness.protocols.attacks import NAMES, Attack, Pursuit, in_255ths, ladder_up_to, named_attack


def test_the_default_parameters_are_the_papers():
    attack = Attack("published")
    assert (attack.eps, attack.step_size) == (0.06, 2 / 255)
    assert attack.ladder == (10, 20, 30, 40, 50)
    assert (attack.steps, attack.targeted, attack.reading) == (50, True, "absolute")
    assert named_attack("transfer-published").surrogate == "resnext50_32x4d"


def test_the_published_attack_is_one_run_and_the_standard_one_two_losses_from_two_starts():
    assert Attack("published").pursuits == (Pursuit("cross_entropy", 0),)
    assert Attack("standard").pursuits == (
        Pursuit("cross_entropy", 0),
        Pursuit("cross_entropy", 1),
        Pursuit("margin", 0),
        Pursuit("margin", 1),
    )
    assert [pursuit.restart for pursuit in Attack("standard", restarts=3).pursuits] == [0, 1, 2, 0, 1, 2]
    assert (Attack("published").restarts, Attack("standard").restarts) == (1, 2)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        pytest.param({"form": "publshed"}, "unknown form of an attack 'publshed'; known: published, ", id="form"),
        pytest.param({"reading": "absolut"}, "unknown reading of eps 'absolut'; known: absolute, ", id="reading"),
        pytest.param({"eps": 0.0}, r"eps 0 is not in \(0, 1\]; pixels are, so 8/255 is", id="eps_0"),
        pytest.param({"eps": 8.0}, r"eps 8 is not in \(0, 1\]", id="eps_in_levels"),
        pytest.param({"eps": -0.1}, r"eps -0.1 is not in \(0, 1\]", id="eps_below_0"),
        pytest.param({"eps": float("nan")}, r"eps nan is not in \(0, 1\]", id="eps_nan"),
        pytest.param({"step_size": 0.0}, r"step size 0 is not in \(0, 1\]", id="step_0"),
        pytest.param({"step_size": 2.0}, r"step size 2 is not in \(0, 1\]", id="step_in_levels"),
        pytest.param({"ladder": ()}, "steps none: an attack takes 1 to 32,767 steps", id="no_step"),
        pytest.param({"ladder": (0,)}, "steps 0: an attack takes 1 to 32,767 steps", id="0_steps"),
        pytest.param({"ladder": (10, -1)}, "steps 10,-1: an attack takes 1 to 32,767 steps", id="steps_below_0"),
        pytest.param({"ladder": (20, 10)}, "steps 20,10 do not increase; name each once, in order", id="falling"),
        pytest.param({"ladder": (10, 10)}, "steps 10,10 do not increase", id="twice"),
        pytest.param({"restarts": -1}, "restarts -1: an attack takes at least 1 start", id="restarts"),
        pytest.param({"form": "published", "restarts": 2}, "the published attack has one start an image", id="starts"),
        pytest.param({"form": "published", "follow": True}, "only the standard white-box attack can", id="follow"),
        pytest.param({"surrogate": "alexnet", "follow": True}, "only the standard white-box attack can", id="transfer"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused(parameters, message):
    with pytest.raises(UsageError, match=message) as caught:
        Attack(**parameters)
    assert "\n" not in str(caught.value)


def test_the_limits_of_a_parameter_are_accepted():
    attack = Attack("standard", eps=1.0, step_size=1.0, ladder=(1,), restarts=1)
    assert (attack.eps, attack.step_size, attack.steps, attack.restarts) == (1.0, 1.0, 1, 1)


def test_one_start_may_be_said_of_the_published_attack():
    assert Attack("published", restarts=1) == Attack("published")


@pytest.mark.parametrize("name", NAMES)
def test_an_attack_is_found_under_its_name(name):
    attack = named_attack(name, surrogate="alexnet", eps=0.5)
    assert attack.name == name
    assert attack.form == name.partition("-")[2]
    assert attack.surrogate == ("alexnet" if name.startswith("transfer") else "")
    assert attack.eps == 0.5


def test_an_unknown_name_lists_the_known_nearest_first():
    with pytest.raises(UsageError, match="unknown protocol 'pgd-publishd'; known: pgd-published, "):
        named_attack("pgd-publishd")


def test_tags_say_what_makes_two_accuracies_unlike():
    published, standard = Attack("published").tags, Attack("standard").tags
    assert published.as_words() == {
        "targeted": "random class",
        "early_stop": "yes",
        "fallback": "clean image",
        "scored": "first iterate taken for the target",
    }
    assert standard.as_words() == {
        "targeted": "no",
        "early_stop": "no",
        "fallback": "none",
        "scored": "every iterate, of all losses and restarts; all must be right",
    }
    assert Attack("standard", surrogate="alexnet").tags.as_words() == {
        **standard.as_words(),
        "scored": "every step of the ladder, of all losses and restarts; all must be right",
        "transferred_from": "alexnet",
    }


def test_size_and_length_make_no_difference_to_the_tags():
    assert Attack("standard", eps=0.01, ladder=(7,), restarts=5).tags == Attack("standard").tags


@pytest.mark.parametrize(
    "change",
    [
        {"form": "published"},
        {"eps": 0.06 + 1e-12},
        {"step_size": 1 / 255},
        {"ladder": (10, 20, 30, 50)},
        {"ladder": (10, 20, 30, 40, 51)},
        {"restarts": 3},
        {"surrogate": "alexnet"},
        {"reading": "relative"},
        {"follow": True},
    ],
    ids=lambda change: "-".join(f"{name}_{value}" for name, value in change.items()),
)
def test_each_parameter_changes_what_records_are_found_by(change):
    changed = {"form": "standard", **change}
    assert Attack(**changed).identity != Attack("standard").identity


def test_equal_parameters_are_the_same_attack():
    assert Attack("standard", restarts=2).identity == Attack("standard").identity
    assert len({Attack("standard", restarts=2), Attack("standard")}) == 1


@pytest.mark.parametrize("name", NAMES)
def test_identities_are_words(name):
    assert all(isinstance(value, str) and value for value in named_attack(name).identity.values())


def test_the_published_attack_describes_itself():
    assert Attack("published").describe() == (
        "pgd-published: L-inf PGD, eps 0.06, step 2/255, 50 steps, random target, stops at first success, scores the "
        "clean image on failure"
    )


def test_the_standard_attack_describes_itself():
    attack = Attack("standard", eps=8 / 255, surrogate="alexnet", restarts=3, reading="relative")
    assert attack.describe(20) == (
        "transfer-standard: L-inf PGD, eps 8/255 of the image's largest pixel, step 2/255, 20 steps, untargeted, "
        "cross-entropy and margin loss, 3 starts each, worst case over steps of the ladder, losses and starts, made "
        "on alexnet"
    )
    assert "worst case over iterates, losses and starts" in Attack("standard").describe()


def test_an_attack_prints_as_what_is_measured():
    assert str(Attack("published", eps=4 / 255)) == "imagenet under pgd-published, eps 4/255"


@pytest.mark.parametrize(("steps", "crossings"), [(10, 0.6536), (50, 3.268), (None, 3.268)])
def test_crossings_are_of_the_whole_box(steps, crossings):
    # research/attacks.md: 10 steps of 2/255 cover 0.65 of the box at eps 0.06.
    assert Attack("published").crossings(steps) == pytest.approx(crossings, rel=1e-3)


@pytest.mark.parametrize(
    ("steps", "ladder"),
    [(1, (1,)), (10, (10,)), (11, (10, 11)), (20, (10, 20)), (50, (10, 20, 30, 40, 50)), (25, (10, 20, 25))],
    ids=lambda value: str(value) if isinstance(value, int) else "",
)
def test_a_ladder_has_every_tenth_step_and_the_last(steps, ladder):
    assert ladder_up_to(steps) == ladder
    assert Attack(ladder=ladder).steps == steps


@pytest.mark.parametrize(
    ("number", "words"),
    [(1 / 255, "1/255"), (8 / 255, "8/255"), (1.0, "1"), (0.06, "0.06"), (0.5 / 255, "0.5/255"), (0.1, "0.1")],
)
def test_sizes_are_printed_in_levels_where_these_are_rounder(number, words):
    assert in_255ths(number) == words
