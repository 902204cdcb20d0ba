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
    assert line.endswith("; it fits torchvision:squeezenet1_1")


def test_the_architecture_that_was_named_is_not_suggested(tmp_path):
    """Of a state that lacks a tensor nothing else is nearer; then the name is right, and the file is not."""
    state = model("squeezenet1_1").state_dict()
    del state["classifier.1.bias"]
    line = refusal(tmp_path, state, "torchvision:squeezenet1_1@{}")
    assert "does not fit the architecture: 1 missing (classifier.1.bias)" in line
    assert line.endswith(
        "; no other architecture is nearer, so the file is not whole, or of a changed one; save it anew"
    )


def test_whole_numbers_are_not_taken_for_another_architecture(tmp_path):
    import torch

    state = {name: tensor.to(torch.int8) for name, tensor in model("squeezenet1_1").state_dict().items()}
    line = refusal(tmp_path, state, "torchvision:squeezenet1_1@{}")
    assert "not in floating point (features.0.weight, " in line
    assert line.endswith(
        "if its weights are quantised, dequantise them, or export the classifier as a TorchScript program"
    )


def test_a_callable_of_your_own_gets_a_suggestion_too(tmp_path, monkeypatch):
    (tmp_path / "its_own.py").write_text(
        "from torchvision.models import resnet18\ndef build():\n    return resnet18()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    line = refusal(tmp_path, model("squeezenet1_1").state_dict(), "python:its_own:build@{}")
    assert line.endswith("; it fits torchvision:squeezenet1_1")


@pytest.mark.parametrize(
    ("classes", "says"),
    [
        (
            10,
            "has 10 classes (classifier.1.weight, classifier.1.bias), and the architecture 1000; claims are about all",
        ),
        (1001, "and the architecture 1000; if class 0 is background, add ?classes=1001"),
        (1005, "and the architecture 1000; say which are ImageNet's by ?wnids=FILE"),
    ],
)
def test_a_wrong_number_of_classes_is_told_as_such(tmp_path, classes, says):
    state = model("squeezenet1_1", num_classes=classes).state_dict()
    assert says in refusal(tmp_path, state, "torchvision:squeezenet1_1@{}")


def test_what_a_spec_says_already_is_not_asked_for_again(tmp_path, monkeypatch):
    code = "from torchvision.models import squeezenet1_1\ndef build():\n    return squeezenet1_1()\n"
    (tmp_path / "of_1000.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    state = model("squeezenet1_1", num_classes=1001).state_dict()
    line = refusal(tmp_path, state, "python:of_1000:build@{}?classes=1001")
    assert line.endswith("the architecture 1000; the spec says 1001 too, so have the architecture built with 1001")
