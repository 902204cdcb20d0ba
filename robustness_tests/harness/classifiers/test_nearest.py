"""Weights of another architecture than the one that is named: which it is is said."""

import time

import pytest

from harness.classifiers.loading import load
from harness.classifiers.nearest import nearest_architecture
from harness.errors import CheckpointError


def model(name, **options):
    from harness.torchvision_ops import import_torchvision

    options |= {"init_weights": False} if name == "googlenet" else {}
    return import_torchvision().models.get_model(name, weights=None, **options)


@pytest.mark.parametrize(
    "name", ["resnet18", "squeezenet1_1", "mobilenet_v3_small", "regnet_y_400mf", "shufflenet_v2_x0_5"]
)
def test_torchvisions_architectures_are_recognised(name):
    assert nearest_architecture(model(name).state_dict()) == f"it fits torchvision:{name}"


def test_an_architecture_with_other_classes_is_recognised():
    found = nearest_architecture(model("shufflenet_v2_x0_5", num_classes=10).state_dict())
    assert found == "it fits torchvision:shufflenet_v2_x0_5 but for its classes, of which it has 10"


def test_an_architecture_of_timms_is_recognised():
    from harness.torchvision_ops import import_torchvision

    import_torchvision()
    timm = pytest.importorskip("timm")
    state = timm.create_model("resnet50d", pretrained=False).state_dict()
    assert nearest_architecture(state) == "it fits timm:resnet50d"


def test_what_is_near_none_is_answered_with_nothing_and_soon():
    import torch

    began = time.monotonic()
    assert nearest_architecture({"a.weight": torch.ones(3, 4)}) == ""
    assert time.monotonic() - began < 5


def test_a_near_architecture_is_named_with_the_share_of_its_tensors():
    import torch

    state = dict(model("resnet18").state_dict())
    state["extra.weight"] = state.pop("fc.weight")
    weights = [name for name in state if not name.endswith("num_batches_tracked")]
    share = 100 * (len(weights) - 1) // len(weights)
    assert nearest_architecture(state).endswith(f", with {share} % of its tensors")
    state["conv1.weight"] = torch.ones(1)
    assert nearest_architecture(state).endswith(f", with {100 * (len(weights) - 2) // len(weights)} % of its tensors")


def refusal(tmp_path, state, spec):
    import torch

    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(CheckpointError) as caught:
        load(spec.format(tmp_path / "w.pth"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_suggestion_ends_the_message(tmp_path):
    line = refusal(tmp_path, model("squeezenet1_1").state_dict(), "torchvision:resnet18@{}")
    assert "does not fit the architecture: " in line
    assert line.endswith("check the name before @; it fits torchvision:squeezenet1_1")


@pytest.mark.parametrize(
    ("classes", "says"),
    [
        (
            10,
            "has 10 classes (classifier.1.weight, classifier.1.bias), the architecture 1000; the spec asks for 1000; "
            "10 classes are fewer than ImageNet's 1000",
        ),
        (999, "the spec asks for 1000; 999 classes are fewer than ImageNet's 1000, all of which are asked for"),
        (1001, "the spec asks for 1000; if class 0 is background, say ?classes=1001"),
        (1005, "the spec asks for 1000; say which are ImageNet's by ?wnids=FILE, with one wnid a line, 1005 lines"),
    ],
)
def test_a_wrong_number_of_classes_is_told_as_such(tmp_path, classes, says):
    state = model("squeezenet1_1", num_classes=classes).state_dict()
    assert says in refusal(tmp_path, state, "torchvision:squeezenet1_1@{}")


@pytest.mark.parametrize(
    ("built", "found", "query", "says"),
    [
        (1000, 1001, "?classes=1001", "the spec asks for 1001, so have the architecture built with 1001"),
        (1000, 1000, "?classes=1001", ""),
        (1001, 1000, "?classes=1001", "the spec asks for 1001; for 1000, leave out ?classes= and ?wnids="),
        (1001, 1000, "", "the spec asks for 1000, so have the architecture built with 1000"),
        (1001, 999, "", "the spec asks for 1000, so have it built with 1000; 999 classes are fewer"),
    ],
)
def test_what_is_asked_already_is_not_suggested(tmp_path, monkeypatch, built, found, query, says):
    import torch

    text = "from torch import nn\ndef build(): return nn.Sequential(nn.Flatten(), nn.Linear(3, {}))"
    (tmp_path / f"heads_{built}_{found}.py").write_text(text.format(built))
    monkeypatch.syspath_prepend(tmp_path)
    state = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, found)).state_dict()
    spec = f"python:heads_{built}_{found}:build@{{}}{query}"
    if not says:
        torch.save(state, tmp_path / "w.pth")
        assert load(spec.format(tmp_path / "w.pth")).weights_precision == "fp32"
        return
    line = refusal(tmp_path, state, spec)
    assert f"has {found} classes (1.weight, 1.bias), the architecture {built}; {says}" in line
    assert ("?classes=1001" in line) <= (found == 1001 and not query)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: state.pop("features.0.bias"), "1 missing (features.0.bias)"),
        (lambda state: state.update(step=state["features.0.bias"]), "1 unexpected (step)"),
        (lambda state: state.update({name: each.char() for name, each in state.items()}), "52 not in floating point"),
    ],
    ids=["missing", "extra", "int8"],
)
def test_the_architecture_that_was_named_is_never_suggested(tmp_path, change, says):
    state = dict(model("squeezenet1_1").state_dict())
    change(state)
    line = refusal(tmp_path, state, "torchvision:squeezenet1_1@{}")
    assert says in line
    assert "squeezenet" not in line.replace(str(tmp_path), "")


def test_a_python_callable_is_answered_with_the_architecture_that_fits(tmp_path, monkeypatch):
    text = "import torch\ndef build(): return torch.nn.Linear(3, 1000)"
    (tmp_path / "one_layer.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    line = refusal(tmp_path, model("squeezenet1_1").state_dict(), "python:one_layer:build@{}")
    assert line.endswith("check the name before @; it fits torchvision:squeezenet1_1")
