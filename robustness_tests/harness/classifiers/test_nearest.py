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
        (10, "has 10 classes (classifier.1.weight, classifier.1.bias), expected 1000; it takes one of ImageNet's 1000"),
        (1001, "expected 1000; if class 0 is background, add ?classes=1001"),
        (1005, "expected 1000; say which are ImageNet's by ?wnids=FILE"),
    ],
)
def test_a_wrong_number_of_classes_is_told_as_such(tmp_path, classes, says):
    state = model("squeezenet1_1", num_classes=classes).state_dict()
    assert says in refusal(tmp_path, state, "torchvision:squeezenet1_1@{}")
