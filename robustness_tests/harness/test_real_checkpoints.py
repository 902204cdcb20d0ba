"""Real ImageNet-trained checkpoints on real images, against counts that other code found and a plain torch loop."""

import re

import numpy as np
import pytest

from harness.metrics.shape_bias import CATEGORIES, CATEGORY_INDICES

pytestmark = pytest.mark.real

HALF = "mean=0.50196,0.50196,0.50196&std=0.50196,0.50196,0.50196"

# Top-1 and top-5 hits among 1000 photographs, measured with plain torchvision.
HITS = {
    "squeezenet": ("torchvision:squeezenet1_0@{}/squeezenet1_0_deepcomp.safetensors", 509, 769),
    "mobilenet_025": (
        "python:real_architectures:mobilenet_v1_025@{}/mobilenet_v1_0.25_128.safetensors?" + HALF,
        459,
        738,
    ),
    "mobilenet_050": (
        "python:real_architectures:mobilenet_v1_050@{}/mobilenet_v1_0.5_160.safetensors?" + HALF,
        694,
        899,
    ),
    "mobilenet_100": (
        "python:real_architectures:mobilenet_v1_100@{}/mobilenet_v1_1.0_224.safetensors?" + HALF,
        807,
        961,
    ),
}


@pytest.fixture(scope="module")
def laboratory(real_data, real_checkpoints, tmp_path_factory):
    from harness.benchmarks.catalog import DataRoots
    from harness.engines.local import Settings
    from harness.records.store import RecordStore
    from harness.studies.live import Laboratory

    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(real_checkpoints)
        yield Laboratory(DataRoots(real_data), RecordStore(tmp_path_factory.mktemp("records")), Settings())


def specs(real_checkpoints, name):
    from harness.classifiers.spec import parse_spec

    return parse_spec(HITS[name][0].format(real_checkpoints))


@pytest.mark.parametrize("name", HITS)
def test_top1_and_top5_hits_are_those_that_plain_torchvision_finds(laboratory, real_checkpoints, name):
    sample = laboratory.samples(specs(real_checkpoints, name), ["imagenet"])["imagenet"]
    _, top1, top5 = HITS[name]
    assert len(sample["correct"]) == 1000
    assert abs(int(sample["correct"].sum()) - top1) <= 2
    assert abs(int(sample["in_top5"].sum()) - top5) <= 2


def test_shape_bias_counts_are_those_of_a_plain_torch_loop(laboratory, real_data, real_checkpoints):
    import torch
    from PIL import Image
    from safetensors.torch import load_file

    from harness.scores import SCORES

    samples = laboratory.samples(specs(real_checkpoints, "mobilenet_025"), ["cue-conflict"])
    found = {name: score.value(samples) for name, score in SCORES["cue-conflict"].items() if score.is_count}

    import real_architectures

    model = real_architectures.mobilenet_v1_025()
    model.load_state_dict(load_file(real_checkpoints / "mobilenet_v1_0.25_128.safetensors"))
    model.eval()
    counts = dict.fromkeys(found, 0)
    classes = [index for category in CATEGORIES for index in CATEGORY_INDICES[category]]
    category_of = {index: category for category in CATEGORIES for index in CATEGORY_INDICES[category]}
    for path in sorted((real_data / "cue-conflict").iterdir()):
        shape, texture = re.fullmatch(r"([a-z]+)\d+-([a-z]+)\d+", path.stem).groups()
        pixels = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)[None] / 255
        with torch.inference_mode():
            logits = model((pixels - 0.50196) / 0.50196)[0]
        by_class = category_of[max(classes, key=lambda index: float(logits[index]))]
        means = {category: float(logits.softmax(0)[list(CATEGORY_INDICES[category])].mean()) for category in CATEGORIES}
        by_category = max(means, key=means.get)
        counts["shape_hits"] += by_class == shape
        counts["texture_hits"] += by_class == texture
        counts["shape_hits_geirhos"] += by_category == shape != texture
        counts["texture_hits_geirhos"] += by_category == texture != shape
    assert found == counts
