"""The options of an attack: what is typed becomes the attack, and what makes no sense is told in one line."""

import pytest

from harness.errors import UsageError
from harness.protocols.attacks import NAMES, Attack
from harness.suite.flags import value_of
from harness.suite.options import read_attacks, read_need


def need_of(protocol="pgd-standard", benchmark="imagenet", **given):
    """Read what is asked where only what is given was typed."""
    given = {"protocol": protocol, **given}
    return read_need(lambda option: value_of(option, given.get(option.dest), environment={}), benchmark)


def attacks_of(**given):
    return read_attacks(lambda option: value_of(option, given.get(option.dest), environment={}))


@pytest.mark.parametrize("name", NAMES)
def test_a_protocol_alone_is_the_papers_attack(name):
    surrogate = "resnext50_32x4d" if name.startswith("transfer") else ""
    assert need_of(name) == Attack(name.partition("-")[2], surrogate=surrogate)


def test_without_a_protocol_images_are_classified():
    assert need_of(None) == "imagenet"
    assert need_of("classify", "imagenet-c") == "imagenet-c"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"eps": "0.1"}, {"eps": 0.1}),
        ({"eps": "8/255"}, {"eps": 8 / 255}),
        ({"eps": "1"}, {"eps": 1.0}),
        ({"step_size": "1/255"}, {"step_size": 1 / 255}),
        ({"steps": "20"}, {"ladder": (10, 20)}),
        ({"steps": "25"}, {"ladder": (10, 20, 25)}),
        ({"steps": "7"}, {"ladder": (7,)}),
        ({"steps": "5,15"}, {"ladder": (5, 15)}),
        ({"steps": "5, 15"}, {"ladder": (5, 15)}),
        ({"eps_reading": "relative"}, {"reading": "relative"}),
        ({"restarts": "5"}, {"restarts": 5}),
        ({"follow": True}, {"follow": True}),
    ],
    ids=lambda value: "-".join(f"{name}_{given}" for name, given in value.items()),
)
def test_options_are_read(given, expected):
    assert need_of(**given) == Attack("standard", **expected)


def test_the_surrogate_is_read_for_transferred_attacks():
    spec = "timm:resnet18@w.pth?mean=0,0,0&std=1,1,1"
    assert need_of("transfer-standard", surrogate=f" {spec}").surrogate == spec
    assert attacks_of(surrogate=spec, restarts="3") == attacks_of(surrogate=f"{spec} ", restarts=" 3")
    assert (attacks_of().surrogate, attacks_of(restarts="3").restarts) == ("resnext50_32x4d", 3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"eps": "0"}, "--eps 0 is not in (0, 1]; pixels are, so 8 of 255 levels are 8/255"),
        ({"eps": "2"}, "--eps 2 is not in (0, 1]; pixels are, so 8 of 255 levels are 8/255"),
        ({"eps": "-8/255"}, "--eps -8/255 is not in (0, 1]"),
        ({"eps": "8/0"}, "--eps '8/0' is not a number, e.g. 0.06 or 8/255"),
        ({"eps": "8/255/2"}, "--eps '8/255/2' is not a number"),
        ({"eps": "nan"}, "--eps nan is not in (0, 1]"),
        ({"eps": ""}, "--eps '' is not a number"),
        ({"step_size": "2"}, "--step-size 2 is not in (0, 1]"),
        ({"step_size": "x"}, "--step-size 'x' is not a number"),
        ({"steps": "0"}, "--steps '0' is not a whole number of at least 1"),
        ({"steps": "1.5"}, "--steps '1.5' is not a whole number of at least 1"),
        ({"steps": "10,"}, "--steps '' is not a whole number of at least 1"),
        ({"steps": "20,10"}, "steps 20,10 do not increase; name each once, in order"),
        ({"restarts": "0"}, "--restarts '0' is not a whole number of at least 1"),
        ({"eps_reading": "relativ"}, "unknown value of --eps-reading 'relativ'; known: relative, "),
        ({"protocol": "pgd-published", "restarts": "5"}, "the published attack has one start an image"),
        ({"protocol": "pgd-published", "follow": True}, "only the standard white-box attack can follow fooled images"),
        (
            {"protocol": "transfer-standard", "follow": True},
            "only the standard white-box attack can follow fooled images",
        ),
        (
            {"protocol": "transfer-standard", "surrogate": "resnext50"},
            "unknown classifier 'resnext50'; known: resnext50_32x4d, ",
        ),
        ({"protocol": "pgd"}, "unknown value of --protocol 'pgd'; known: pgd-standard, pgd-published, "),
        (
            {"protocol": "classify", "eps": "0.1"},
            "--eps does not go with --protocol classify; it is for pgd-published, ",
        ),
        ({"protocol": None, "steps": "5"}, "--steps does not go with --protocol classify; it is for pgd-published, "),
        (
            {"protocol": None, "follow": True},
            "--follow does not go with --protocol classify; it is for pgd-published, ",
        ),
        ({"units": "3"}, "--units does not go with --protocol pgd-standard; it is for maximize"),
    ],
    ids=lambda value: "-".join(f"{name}_{given}" for name, given in value.items()) if isinstance(value, dict) else "",
)
def test_what_makes_no_sense_is_told(given, message):
    with pytest.raises(UsageError) as caught:
        need_of(**given)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("other", ["imagenet-a", "imagenet-c", "cue-conflict"])
def test_no_other_benchmark_is_attacked(other):
    with pytest.raises(UsageError, match=f"--protocol pgd-published is for imagenet, not for {other}"):
        need_of("pgd-published", other)
