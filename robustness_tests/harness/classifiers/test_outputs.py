"""Logits are found among what a model gives, or chosen by a spec; else what there is is listed."""

import dataclasses
from collections import OrderedDict, namedtuple

import pytest

from harness.classifiers.outputs import logits_among
from harness.classifiers.spec import parse_spec
from harness.errors import ClassifierError, UsageError

SHAPE = (2, 1000)
Pair = namedtuple("Pair", ["features", "scores"])


def logits():
    import torch

    return torch.arange(2000.0).reshape(2, 1000)


def features():
    import torch

    return torch.ones(2, 64)


@dataclasses.dataclass
class Answer:
    hidden: object
    scores: object


class Plain:
    def __init__(self, **values):
        self.__dict__.update(values)


def forms():
    yield "tensor", lambda: logits()
    yield "tuple", lambda: (features(), logits())
    yield "list", lambda: [logits(), features(), None]
    yield "nested-features", lambda: (logits(), [features(), features()])
    yield "mapping", lambda: OrderedDict(features=features(), out=logits())
    yield "named-tuple", lambda: Pair(features(), logits())
    yield "dataclass", lambda: Answer(features(), logits())
    yield "object", lambda: Plain(a=features(), b=logits(), c=3)
    yield "loss-first", lambda: (features().sum(), logits())


FORMS = dict(forms())


@pytest.mark.parametrize("form", FORMS)
def test_the_only_tensor_of_the_right_shape_is_taken(form):
    import torch

    assert torch.equal(logits_among(FORMS[form](), SHAPE, None, "it"), logits())


@pytest.mark.parametrize("make", [dict, lambda **parts: Plain(**parts), OrderedDict], ids=["dict", "object", "ordered"])
def test_what_is_called_logits_goes_before_others_of_the_same_shape(make):
    import torch

    answer = make(auxiliary=logits() + 1, logits=logits())
    assert torch.equal(logits_among(answer, SHAPE, None, "it"), logits())


@pytest.mark.parametrize(
    ("answer", "output"),
    [
        (lambda: (logits() + 1, logits()), "1"),
        (lambda: {"aux": logits() + 1, "main": logits()}, "main"),
        (lambda: {0: logits() + 1, 1: logits()}, "1"),
        (lambda: Pair(logits() + 1, logits()), "scores"),
        (lambda: Answer(logits() + 1, logits()), "scores"),
        (lambda: Plain(logits=logits() + 1, head=logits()), "head"),
    ],
    ids=["place", "key", "number", "name", "field", "attribute"],
)
def test_an_output_is_chosen_by_place_key_or_attribute(answer, output):
    import torch

    assert torch.equal(logits_among(answer(), SHAPE, output, "it"), logits())


def refusal(answer, output=None):
    with pytest.raises(ClassifierError) as caught:
        logits_among(answer, SHAPE, output, "python:a:b")
    line = str(caught.value)
    assert line.startswith("python:a:b gives ")
    assert "\n" not in line
    return line


def test_two_of_the_same_shape_are_listed_with_the_way_to_choose():
    line = refusal((logits(), logits(), features(), "text"))
    assert "2 tensors of shape (2, 1000), expected one: 0 (2, 1000), 1 (2, 1000), 2 (2, 64); choose" in line
    assert "choose by ?output=KEY, such as ?output=0" in line


def test_none_of_the_right_shape_is_listed_too():
    assert "0 tensors of shape (2, 1000), expected one: out (2, 64)" in refusal({"out": features()})


def test_an_output_that_is_not_there_is_answered_with_those_there_are():
    assert "no tensor 'logit': logits (2, 1000); choose by ?output=" in refusal(
        {"logits": logits(), "loss": 0.5}, "logit"
    )


def test_an_output_of_a_single_tensor_can_not_be_chosen():
    assert "one tensor of shape (2, 1000); leave out ?output=0" in refusal(logits(), "0")


def test_what_holds_no_tensor_is_refused():
    assert refusal(None) == "python:a:b gives a NoneType, expected one tensor of logits"


def test_a_classifier_takes_the_output_that_its_spec_names():
    import torch
    from torch import nn

    from harness.classifiers.classifier import Classifier

    class Two(nn.Module):
        def forward(self, batch):
            one = torch.arange(1000.0).expand(len(batch), -1)
            return {"one": one, "other": -one}

    spec = parse_spec("python:a.module:build?output=other")
    classifier = Classifier.freeze(spec, Two(), "0" * 64, "cpu")
    assert classifier.logits(torch.rand(2, 3, 4, 4)).argmax(1).tolist() == [0, 0]


def test_an_output_is_part_of_what_records_are_found_by_where_it_is_chosen():
    from harness.classifiers.loading import identity

    assert "output" not in identity(parse_spec("alexnet"))
    assert identity(parse_spec("alexnet?output=1"))["output"] == "1"


def test_an_empty_output_is_refused():
    with pytest.raises(UsageError, match="output=: expected the place or the key of an output"):
        parse_spec("alexnet?output=")


@pytest.mark.parametrize(
    ("answer", "output"),
    [
        (lambda: {"out": (features(), logits())}, "out.1"),
        (lambda: [{"a": features(), "b": {"c": logits()}}], "0.b.c"),
        (lambda: {"a.b": logits(), "a": {"b": features()}}, "a.b"),
        (lambda: {"a.b": (features(), logits())}, "a.b.1"),
    ],
    ids=["pair-in-mapping", "deep", "dots-in-keys-first", "dots-in-keys"],
)
def test_an_answer_within_an_answer_is_named_by_dots(answer, output):
    import torch

    assert torch.equal(logits_among(answer(), SHAPE, output, "it"), logits())
    if "a.b" not in output:
        assert torch.equal(logits_among(answer(), SHAPE, None, "it"), logits())


def test_what_is_suggested_among_nested_answers_can_be_asked_for():
    import torch

    def answer():
        return {"out": (features(), logits()), "aux": [logits() + 1]}

    for output in (None, "out", "nope"):
        with pytest.raises(ClassifierError) as caught:
            logits_among(answer(), SHAPE, output, "it")
        assert "out.0 (2, 64), out.1 (2, 1000), aux.0 (2, 1000)" in str(caught.value)
        key = str(caught.value).rpartition("?output=")[2]
        assert torch.equal(logits_among(answer(), SHAPE, key, "it"), logits())
