"""Names of tensors: what stands before them is taken off, copies are told apart, what is left aside is said."""

import logging
import re
from collections import OrderedDict

import pytest

from harness.classifiers.loading import load
from harness.classifiers.names import without_common_prefix
from harness.classifiers.weights import load_state, read_state_and_place
from harness.errors import CheckpointError


def network():
    from torch import nn

    layers = {"conv": nn.Conv2d(3, 4, 3), "norm": nn.BatchNorm2d(4), "head": nn.Linear(4, 5)}
    return nn.Sequential(OrderedDict(layers))


def state(value=0.0):
    """A state of the network whose weights all have one value."""
    import torch

    return {name: torch.full_like(tensor, value) for name, tensor in network().state_dict().items()}


def behind(prefix, value=0.0):
    return {f"{prefix}{name}": tensor for name, tensor in state(value).items()}


def loaded(tmp_path, content, prefix=None):
    """Load a checkpoint into the network; gives the one value of its weights."""
    import torch

    torch.save(content, tmp_path / "w.pth")
    module = network()
    found, before = read_state_and_place(tmp_path / "w.pth", prefix)
    load_state(module, found, "w.pth", before=before)
    (value,) = {float(number) for parameter in module.parameters() for number in parameter.detach().flatten()}
    return value


def refusal(tmp_path, content, prefix=None):
    with pytest.raises(CheckpointError) as caught:
        loaded(tmp_path, content, prefix)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "model.", "net.", "backbone.", "_orig_mod.", "module._orig_mod.", "model._orig_mod.", "a.b.c."],
)
@pytest.mark.parametrize("wrapper", [None, "state_dict", "net", "ema_state_dict", "ema"])
def test_whatever_stands_before_all_names_is_taken_off(tmp_path, prefix, wrapper):
    content = behind(prefix, 3.0)
    assert loaded(tmp_path, {wrapper: content, "epoch": 3} if wrapper else content) == 3.0


def test_a_part_that_was_compiled_keeps_its_name(tmp_path):
    renamed = {name.replace("conv.", "conv._orig_mod."): tensor for name, tensor in state(2.0).items()}
    assert loaded(tmp_path, renamed) == 2.0


def test_what_lies_beside_the_prefix_is_told_and_left(tmp_path, caplog):
    import torch

    content = {**behind("model.", 1.0), "loss.weight": torch.ones(3), "head_of_teacher.bias": torch.ones(2)}
    assert loaded(tmp_path, content) == 1.0
    assert "behind model. are taken; 2 others are not (loss.weight, head_of_teacher.bias)" in caplog.text


def test_the_average_that_torch_keeps_is_loaded(tmp_path, caplog):
    import torch
    from torch.optim.swa_utils import AveragedModel

    module = network()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(4.0)
    average = AveragedModel(module)
    average.update_parameters(module)
    assert loaded(tmp_path, average.state_dict()) == 4.0
    assert "1 others are not (n_averaged)" in caplog.text


@pytest.mark.parametrize(
    ("content", "asked"),
    [
        pytest.param({"state_dict": state(1.0), "state_dict_ema": state(2.0)}, "state_dict_ema", id="timm"),
        pytest.param({"model": state(1.0), "model_ema": behind("module.", 2.0)}, "model_ema", id="torchvision"),
        pytest.param({"model": state(1.0), "ema": {"shadow": state(2.0)}}, "ema.shadow", id="nested"),
        pytest.param({**state(1.0), **behind("ema.", 2.0)}, "ema", id="beside"),
        pytest.param({**behind("model.", 1.0), **behind("model_ema.module.", 2.0)}, "model_ema", id="both-behind"),
        pytest.param({**behind("student.", 1.0), **behind("teacher.", 2.0)}, "teacher.", id="teacher"),
        pytest.param(
            {"state_dict": {**behind("model.", 1.0), **behind("ema_model.", 2.0)}, "epoch": 3},
            "state_dict.ema_model",
            id="lightning",
        ),
        pytest.param(
            {"model": {**behind("module.model.", 1.0), **behind("module.model_ema.", 2.0)}},
            "model.module.model_ema",
            id="parallel",
        ),
        pytest.param(
            {**behind("_orig_mod.model.", 1.0), **behind("_orig_mod.ema.", 2.0)}, "_orig_mod.ema", id="compiled"
        ),
        pytest.param({"model": {"state_dict": state(1.0), "ema": state(2.0)}}, "model.ema", id="wrapped-twice"),
        pytest.param({"state_dict": state(1.0), "callbacks": {"ema": state(2.0)}}, "callbacks.ema", id="callback"),
        pytest.param(
            {"state_dict": behind("model.", 1.0), "callbacks": {"EMA": {"decay": 0.9, "ema_weights": state(2.0)}}},
            "callbacks.EMA.ema_weights",
            id="callbacks-state",
        ),
    ],
)
def test_the_weights_are_taken_before_their_average_which_can_be_asked_for(tmp_path, caplog, content, asked):
    assert loaded(tmp_path, content) == 1.0
    (hint,) = re.findall(r"by \?prefix=(\S+)", caplog.text)
    assert loaded(tmp_path, content, prefix=hint) == 2.0
    assert loaded(tmp_path, content, prefix=asked) == 2.0


def test_of_two_copies_that_are_no_averages_neither_is_taken(tmp_path):
    content = {**behind("one.", 1.0), **behind("other.", 2.0)}
    line = refusal(tmp_path, content)
    assert "more than once, behind one. and other.; choose by ?prefix=one" in line
    assert loaded(tmp_path, content, prefix="other") == 2.0


@pytest.mark.parametrize("wrapper", ["", "state_dict", "model"])
def test_of_two_copies_in_an_entry_the_one_that_is_suggested_can_be_asked_for(tmp_path, wrapper):
    content = {**behind("module.model.", 1.0), **behind("module.other.", 2.0)}
    content = {wrapper: content} if wrapper else content
    (hint,) = re.findall(r"\?prefix=(\S+)", refusal(tmp_path, content))
    assert loaded(tmp_path, content, prefix=hint) in (1.0, 2.0)


def test_an_entry_of_another_name_is_suggested_and_can_be_asked_for(tmp_path):
    content = {"state_dict": {"best": behind("module.", 1.0), "history": {"loss": [1]}}}
    (hint,) = re.findall(r"\?prefix=(\S+)", refusal(tmp_path, content))
    assert hint == "state_dict.best"
    assert loaded(tmp_path, content, prefix=hint) == 1.0


def test_numbers_beside_the_tensors_are_told_and_left(tmp_path, caplog):
    assert loaded(tmp_path, {"state_dict": {**state(1.0), "step": 7, "lr": 0.1, "note": None}}) == 1.0
    assert "what is no tensor is left aside (step, lr, note)" in caplog.text


def test_an_average_in_an_entry_of_its_own_is_taken_where_there_is_nothing_else(tmp_path):
    assert loaded(tmp_path, {"ema": {"model": state(2.0), "decay": 0.9}, "epoch": 1}) == 2.0


def test_other_layers_of_the_same_names_are_no_copies(tmp_path):
    import torch

    torch.save({"one.weight": torch.ones(2, 2), "other.weight": torch.ones(3, 3)}, tmp_path / "w.pth")
    layer = torch.nn.Linear(4, 4, bias=False)
    with pytest.raises(CheckpointError, match=r"1 missing \(weight\); 2 unexpected \(one.weight, other.weight\)"):
        load_state(layer, read_state_and_place(tmp_path / "w.pth")[0], "w.pth")


def test_a_prefix_that_no_name_has_is_answered_with_those_there_are(tmp_path):
    line = refusal(tmp_path, {"student": state(), "teacher": state()}, prefix="studnet")
    assert "has no tensors behind 'studnet.' (?prefix=); its names begin with student, teacher" in line


def test_behind_a_prefix_it_is_told_which_wanted_name_is_missing(tmp_path):
    content = behind("model.")
    content.pop("model.head.bias")
    line = refusal(tmp_path, content)
    assert "does not fit the architecture: 1 missing (head.bias); all others fit: save the whole state_dict" in line


def test_a_prefix_is_not_taken_off_where_half_of_the_wanted_names_are_missing(tmp_path):
    content = {f"model.{name}": tensor for name, tensor in state().items() if name.startswith(("conv", "head"))}
    assert len(content) == 4
    content.pop("model.head.bias")
    assert "missing (conv.weight" in refusal(tmp_path, content)


def test_names_that_the_architecture_has_none_of_are_still_refused_beside_the_others(tmp_path):
    import torch

    content = {**behind("model."), "model.attention.weight": torch.ones(2)}
    assert "1 unexpected (attention.weight)" in refusal(tmp_path, content)


def test_nothing_is_said_of_a_plain_checkpoint(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    assert loaded(tmp_path, state(1.0)) == 1.0
    assert caplog.text == ""


def test_without_wanted_names_nothing_is_changed():
    assert without_common_prefix({"a.b": 1}, {}, "w.pth") == {"a.b": 1}


def test_a_prefix_is_part_of_a_spec_and_of_what_records_are_found_by(tmp_path):
    import torch

    from data_fixtures.classifiers import reads_colours, reads_the_next_class
    from harness.classifiers.loading import identity
    from harness.classifiers.spec import parse_spec

    content = {"student": reads_colours().state_dict(), "teacher": reads_the_next_class().state_dict()}
    torch.save(content, tmp_path / "w.pth")
    text = f"python:data_fixtures.classifiers:reads_colours@{tmp_path}/w.pth?prefix="
    images = torch.full((1, 3, 4, 4), (12 + 25 * 3) / 255)
    one, other = (load(f"{text}{prefix}&mean=0,0,0&std=1,1,1") for prefix in ("student", "teacher"))
    assert int(other.logits(images).argmax()) == int(one.logits(images).argmax()) + 1
    assert identity(parse_spec(f"{text}student")) != identity(parse_spec(f"{text}teacher"))
