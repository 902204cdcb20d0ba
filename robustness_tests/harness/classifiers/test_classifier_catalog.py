"""The paper's classifiers: architectures of the known sizes, weights under the published names."""

import re

import pytest

from harness.classifiers.catalog import CATALOG
from harness.classifiers.loading import cost
from harness.classifiers.spec import parse_spec

# Parameters as timm and torchvision list them.
PARAMETERS = {
    "resnext101_32x8d": 88_791_336,
    "resnext101_32x8d_wsl": 88_791_336,
    "resnext101_32x16d_wsl": 194_026_792,
    "resnext101_32x32d_wsl": 468_530_472,
    "resnext101_32x48d_wsl": 828_411_176,
    "resnext50_32x4d": 25_028_904,
    "alexnet": 61_100_840,
}


def test_it_holds_the_papers_classifiers_and_no_other():
    assert list(CATALOG) == list(PARAMETERS)


@pytest.mark.parametrize("name", CATALOG)
def test_an_architecture_has_as_many_parameters_as_published(name):
    import torch

    from harness.classifiers.loading import _build

    with torch.device("meta"):
        model = _build(parse_spec(name))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert parameters == PARAMETERS[name]
    assert cost(parse_spec(name)) == pytest.approx(parameters / 1e6, abs=0.05)


@pytest.mark.parametrize("name", CATALOG)
def test_a_file_carries_the_beginning_of_its_hash_in_its_name(name):
    entry = CATALOG[name]
    assert re.fullmatch(r".+-([0-9a-f]{8})\.pth", entry.file)[1] == entry.sha256_prefix
    assert entry.url == f"https://download.pytorch.org/models/{entry.file}"


@pytest.mark.parametrize("name", [name for name in CATALOG if not name.endswith("_wsl")])
def test_a_file_is_that_of_torchvisions_v1_weights(name):
    from harness.torchvision_ops import import_torchvision

    assert CATALOG[name].url == import_torchvision().models.get_model_weights(name).IMAGENET1K_V1.url
