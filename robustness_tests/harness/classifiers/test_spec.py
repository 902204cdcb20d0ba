"""Specs: every form is read, every wrong part is one line that names it and what is known, nearest first."""

import pytest

from harness.classifiers.catalog import CATALOG
from harness.classifiers.spec import INTERPOLATIONS, SOURCES, Preprocessing, Spec, parse_spec, split_specs
from harness.errors import UsageError


@pytest.mark.parametrize(
    ("text", "source", "name", "weights", "label"),
    [
        ("alexnet", "paper", "alexnet", None, "alexnet"),
        ("resnext101_32x48d_wsl", "paper", "resnext101_32x48d_wsl", None, "resnext101_32x48d_wsl"),
        ("alexnet@runs/3/best.pth", "paper", "alexnet", "runs/3/best.pth", "alexnet@best"),
        ("torchvision:squeezenet1_0", "torchvision", "squeezenet1_0", None, "squeezenet1_0"),
        ("torchvision:resnet50@IMAGENET1K_V2", "torchvision", "resnet50", "IMAGENET1K_V2", "resnet50@IMAGENET1K_V2"),
        ("torchvision:resnet18@a b/c d.safetensors", "torchvision", "resnet18", "a b/c d.safetensors", "resnet18@c_d"),
        ("torchvision:resnet18@me@home/w.pt", "torchvision", "resnet18", "me@home/w.pt", "resnet18@w"),
        ("timm:mobilenetv1_100@w.pth", "timm", "mobilenetv1_100", "w.pth", "mobilenetv1_100@w"),
        ("hf:timm/resnet18.a1_in1k", "hf", "timm/resnet18.a1_in1k", None, "timm_resnet18.a1_in1k"),
        ("hub:owner/repo:entry", "hub", "owner/repo:entry", None, "entry"),
        ("hub:owner/repo:v0.1:entry", "hub", "owner/repo:v0.1:entry", None, "entry"),
        ("hub:owner/repo:feature/x:entry@w.pt", "hub", "owner/repo:feature/x:entry", "w.pt", "entry@w"),
        ("python:my.models:build", "python", "my.models:build", None, "build"),
        ("python:my.models:build@/w/é.pth", "python", "my.models:build", "/w/é.pth", "build@_"),
    ],
)
def test_every_form_of_a_spec_is_read(text, source, name, weights, label):
    spec = parse_spec(f"  {text}\n")
    assert spec == Spec(text, source, name, weights, Preprocessing())
    assert spec.label == label


def test_the_defaults_are_those_of_imagenet():
    assert Preprocessing() == Preprocessing(
        256, 224, "bilinear", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), classes=1000
    )


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", Preprocessing()),
        ("resize=320", Preprocessing(resize=320)),
        ("crop=192", Preprocessing(crop=192)),
        ("resize=299&crop=299", Preprocessing(resize=299, crop=299)),
        ("interpolation=bicubic", Preprocessing(interpolation="bicubic")),
        ("mean=0.5,0.5,.5", Preprocessing(mean=(0.5, 0.5, 0.5))),
        ("std=1,1,2.5e-1", Preprocessing(std=(1, 1, 0.25))),
        ("classes=1001", Preprocessing(classes=1001)),
        (
            "classes=1001&mean=0,0,1&std=1,1,1&resize=64&crop=64&interpolation=bilinear",
            Preprocessing(64, 64, "bilinear", (0, 0, 1), (1, 1, 1), 1001),
        ),
    ],
)
def test_every_key_is_read(query, expected):
    spec = parse_spec(f"timm:resnet18@w.pth?{query}")
    assert spec.preprocessing == expected
    assert (spec.name, spec.weights) == ("resnet18", "w.pth")


def refusal(text):
    with pytest.raises(UsageError) as caught:
        parse_spec(text)
    line = str(caught.value)
    assert "\n" not in line
    return line


def listed(line):
    return line.partition("known: ")[2].partition(";")[0].split(", ")


@pytest.mark.parametrize(
    ("text", "word", "nearest", "known"),
    [
        ("alexnte", "classifier 'alexnte'", "alexnet", CATALOG),
        ("resnext101_32x16d-wsl", "classifier 'resnext101_32x16d-wsl'", "resnext101_32x16d_wsl", CATALOG),
        ("alexnte@w.pth?crop=9", "classifier 'alexnte'", "alexnet", CATALOG),
        ("torchvison:resnet18", "source of a classifier 'torchvison'", "torchvision", SOURCES),
        ("Hub:a/b:c", "source of a classifier 'Hub'", "hub", SOURCES),
        ("alexnet?croop=224", "key in 'alexnet?croop=224' 'croop'", "crop", None),
        ("alexnet?interpolation=bicubik", "interpolation 'bicubik'", "bicubic", INTERPOLATIONS),
    ],
)
def test_an_unknown_word_is_answered_with_the_known_ones_nearest_first(text, word, nearest, known):
    line = refusal(text)
    assert f"unknown {word}" in line
    assert listed(line)[0] == nearest
    assert set(listed(line)) == set(
        known
        or ("resize", "crop", "interpolation", "mean", "std", "classes", "wnids", "penultimate", "output", "prefix")
    )


@pytest.mark.parametrize("text", ["alexnte", "hub:a/b", "alexnet@", "timm:"])
def test_a_spec_of_another_form_is_told_the_form(text):
    assert "hub:OWNER/REPO[:BRANCH]:ENTRY" in refusal(text) or "SOURCE:NAME[@WEIGHTS]" in refusal(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "lacks a name"),
        ("  ", "lacks a name"),
        ("@w.pth", "lacks a name"),
        ("?crop=64", "lacks a name"),
        ("timm:", "lacks a name"),
        ("timm:@w.pth", "lacks a name"),
        ("alexnet@", "lacks its weights after @"),
        ("timm:resnet18@?crop=64", "lacks its weights after @"),
        ("hub:owner/repo", "hub:OWNER/REPO[:BRANCH]:ENTRY"),
        ("hub:repo:entry", "hub:OWNER/REPO[:BRANCH]:ENTRY"),
        ("hub:owner/repo:branch:entry:more", "hub:OWNER/REPO[:BRANCH]:ENTRY"),
        ("hub:owner/repo::entry", "hub:OWNER/REPO[:BRANCH]:ENTRY"),
        ("python:my_package.models", "python:package.module:callable"),
        ("python:my_package/models.py:build", "python:package.module:callable"),
        ("python:.models:build", "python:package.module:callable"),
        ("python:my_package:models:build", "python:package.module:callable"),
    ],
)
def test_a_missing_part_is_named(text, says):
    assert says in refusal(text)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("crop=big", "crop=big: expected a number of pixels"),
        ("crop=0", "crop=0: expected a number of pixels"),
        ("resize=-1", "resize=-1: expected a number of pixels"),
        ("crop=²", "crop=²: expected a number of pixels"),
        ("crop", "crop=: expected a number of pixels"),
        ("crop=257", "crop 257 is larger than resize 256"),
        ("resize=200", "crop 224 is larger than resize 200"),
        ("mean=0.5", "mean=0.5: expected three comma-separated numbers"),
        ("mean=0.5,0.5", "mean=0.5,0.5: expected three comma-separated numbers"),
        ("mean=1,1,1,1", "mean=1,1,1,1: expected three comma-separated numbers"),
        ("mean=a,b,c", "mean=a,b,c: expected three comma-separated numbers"),
        ("mean=nan,0,0", "mean=nan,0,0: expected three comma-separated numbers"),
        ("std=1,1,inf", "std=1,1,inf: expected three comma-separated numbers"),
        ("std=1,1,0", "std=1,1,0: expected three numbers above 0"),
        ("std=1,-1,1", "std=1,-1,1: expected three numbers above 0"),
        ("mean=123.7,116.3,103.5", "mean=123.7,116.3,103.5: expected numbers for RGB in [0, 1]; divide by 255"),
        ("classes=10", "classes=10: expected 1000, or 1001"),
        ("crop=64&crop=32", "crop is given twice"),
    ],
)
def test_a_wrong_value_is_named(query, says):
    line = refusal(f"alexnet?{query}")
    assert says in line
    assert f"'alexnet?{query}'" in line


@pytest.mark.parametrize(
    ("text", "specs"),
    [
        ("alexnet", ["alexnet"]),
        ("alexnet,timm:a@w.pt,hub:a/b:c", ["alexnet", "timm:a@w.pt", "hub:a/b:c"]),
        (" alexnet , ,resnext50_32x4d,", ["alexnet", "resnext50_32x4d"]),
        ("", []),
        ("alexnet?mean=0.5,0.5,0.5", ["alexnet?mean=0.5,0.5,0.5"]),
        ("a?mean=0,-1,1e-3&std=.5,.5,.5,b", ["a?mean=0,-1,1e-3&std=.5,.5,.5", "b"]),
        ("a?std=1,1,1&crop=64,b?mean=0,0,0,c", ["a?std=1,1,1&crop=64", "b?mean=0,0,0", "c"]),
    ],
)
def test_commas_split_specs_but_not_the_numbers_of_a_mean(text, specs):
    assert split_specs(text) == specs
