"""Where timm's configuration of a model asks for other preprocessing than a spec, both are named."""

import logging

import pytest

from harness.classifiers.configuration import differences
from harness.classifiers.loading import load
from harness.classifiers.spec import Preprocessing, parse_spec

USUAL = {
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "input_size": (3, 224, 224),
    "crop_pct": 0.875,
    "interpolation": "bilinear",
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, {}),
        ({"mean": [0.5, 0.5, 0.5]}, {"mean": ("0.5,0.5,0.5", "0.485,0.456,0.406")}),
        ({"std": (0.2290001, 0.224, 0.225)}, {}),
        ({"crop_pct": 0.9}, {"resize": ("248", "256")}),
        ({"crop_pct": 0.95}, {"resize": ("235", "256")}),
        ({"crop_pct": 1.0}, {"resize": ("224", "256")}),
        ({"input_size": (3, 299, 299)}, {"resize": ("341", "256"), "crop": ("299", "224")}),
        ({"interpolation": "bicubic"}, {"interpolation": ("bicubic", "bilinear")}),
        ({"interpolation": "random"}, {}),
    ],
)
def test_each_difference_is_found(change, expected):
    assert differences(Preprocessing(), {**USUAL, **change}) == expected


def test_what_a_configuration_lacks_does_not_differ():
    assert differences(Preprocessing(resize=300, crop=280), {}) == {}


@pytest.fixture
def model(tmp_path):
    from safetensors.torch import save_file

    from harness.torchvision_ops import import_torchvision

    import_torchvision()
    timm = pytest.importorskip("timm")
    made = timm.create_model("mobilenetv3_small_050", pretrained=False)
    save_file(made.state_dict(), tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


def test_the_text_to_add_silences_the_warning(model, caplog):
    caplog.set_level(logging.WARNING)
    text = f"timm:mobilenetv3_small_050@{model}"
    load(text)
    (line,) = [each.getMessage() for each in caplog.records]
    assert "timm's configuration of mobilenetv3_small_050 has " in line
    assert "interpolation bicubic instead of bilinear" in line
    caplog.clear()
    load(f"{text}?{line.rpartition('add ?')[2]}")
    assert not caplog.records


def test_the_text_to_add_is_that_of_a_spec():
    found = differences(Preprocessing(), {**USUAL, "mean": (0.5, 0.5, 0.25), "input_size": (3, 160, 160)})
    spec = parse_spec("alexnet?" + "&".join(f"{key}={theirs}" for key, (theirs, _) in found.items()))
    assert differences(spec.preprocessing, {**USUAL, "mean": (0.5, 0.5, 0.25), "input_size": (3, 160, 160)}) == {}
