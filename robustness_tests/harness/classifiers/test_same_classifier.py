"""The same weights are the same classifier: by name and by path, in any precision, at each build."""

import http.client
import sys

import pytest

from harness.errors import DataMissing, UsageError

MODULE = """
import torch
from torch import nn
def linear(classes=1000): return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, classes))
def half(): return linear().half()
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "own_models.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "python:own_models"
    sys.modules.pop("own_models", None)


@pytest.fixture
def images():
    import torch

    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_weights_in_half_precision_take_float_images(module, images):
    import torch

    from harness.classifiers.loading import load

    assert load(f"{module}:half").logits(images.double()).dtype is torch.float32


def test_untrained_weights_have_one_identity_and_leave_the_generator_alone(module):
    import torch

    from harness.classifiers.loading import identity, load
    from harness.classifiers.spec import parse_spec

    spec = parse_spec(f"{module}:linear")
    before = torch.get_rng_state()
    assert identity(spec) == identity(spec)
    assert identity(spec)["weights"] == f"sha256:{load(spec).weights_sha256}"
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", ["regnet_y_128gf", "vit_h_14"])
def test_weights_of_another_recipe_are_no_default(name):
    from harness.classifiers.loading import load

    with pytest.raises(UsageError, match=f"unknown weights of {name} 'IMAGENET1K_V1'; known: .*SWAG"):
        load(f"torchvision:{name}")


@pytest.mark.filterwarnings("ignore:The default weight initialization:FutureWarning")
def test_the_same_file_is_the_same_classifier_by_name_and_by_path(tmp_path, monkeypatch):
    import torch

    from harness.classifiers import loading
    from harness.torchvision_ops import import_torchvision

    state = import_torchvision().models.googlenet(weights=None, init_weights=False).state_dict()
    file = tmp_path / "googlenet.pth"
    torch.save(state, file)
    monkeypatch.setattr(loading, "fetch", lambda url, prefix: file)
    monkeypatch.setattr(loading, "_pinned", lambda url: loading.file_sha256(file)[:8])
    by_name, by_path = (loading.load(f"torchvision:googlenet{end}") for end in ("", f"@{file}"))
    assert by_name.weights_sha256 == by_path.weights_sha256
    assert by_name.module.model.transform_input is by_path.module.model.transform_input is True
    other = tmp_path / "other.pth"
    torch.save({**state, "fc.bias": state["fc.bias"] + 1}, other)
    assert loading.load(f"torchvision:googlenet@{other}").module.model.transform_input is False


def test_a_download_that_is_cut_off_says_so(tmp_path, monkeypatch):
    import torch

    from harness.classifiers.weights import fetch

    def cut_off(*args, **kwargs):
        raise http.client.IncompleteRead(b"")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", cut_off)
    with pytest.raises(DataMissing, match="https://host.invalid/x-0123abcd.pth"):
        fetch("https://host.invalid/x-0123abcd.pth", "0123abcd")
