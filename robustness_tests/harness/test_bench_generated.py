"""Speed of benchmarks that are made on the way to the classifier, in one process. Run with `-m bench -n 0`."""

import time
from functools import partial

import numpy as np
import pytest
from PIL import Image

from data_fixtures.colours import write_imagenet
from data_fixtures.timing import best_times
from harness.benchmarks.batches import batches
from harness.benchmarks.generated import open_generated
from harness.benchmarks.images import Fitting
from harness.benchmarks.order import prefix_order

pytestmark = pytest.mark.bench

IMAGES, BATCH = 192, 8


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """ImageNet-C of photographs of ordinary size and detail, generated as it is asked for."""
    root = write_imagenet(tmp_path_factory.mktemp("photographs"), [0], per_class=8)
    rng = np.random.default_rng(0)
    for path in sorted(root.rglob("*.png")):
        coarse = Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8))
        coarse.resize((500, 375), Image.Resampling.BICUBIC).save(path)
    return open_generated("imagenet-c", root)


def test_streaming_takes_the_longer_of_generating_and_classifying(benchmark, dataset):
    """A classifier that is as slow as the generator, and needs no core as one on a GPU, hides behind it."""
    order = prefix_order(len(dataset), 0)[:IMAGES]

    def stream(seconds_a_batch=0.0):
        for _ in batches(dataset, order, Fitting(), batch_size=BATCH, workers=1):
            time.sleep(seconds_a_batch)

    (generating,) = best_times([stream], 2)
    a_batch = generating / (IMAGES / BATCH)
    both = best_times([lambda: stream(a_batch)], 2)[0]
    benchmark.extra_info["of_the_sum"] = both / (2 * generating)
    benchmark.extra_info["images_per_second"] = IMAGES / both
    benchmark.pedantic(stream, rounds=1)
    assert both < 0.7 * 2 * generating


def test_the_dearest_corruptions_beside_the_plain_way_to_make_them(benchmark, dataset):
    """Those that the libraries which the published script calls take longest for, at severity 3, an image at a time."""
    import torch

    from data_fixtures import plain_corruptions
    from harness.corruptions import corrupt
    from harness.corruptions.draws import Draws
    from harness.corruptions.parameters import PARAMETERS

    names = ("zoom_blur", "elastic_transform", "brightness", "shot_noise", "glass_blur")
    with Image.open(dataset.path(0)) as photograph:
        pixels = np.array(photograph.convert("RGB").resize((224, 224)))
    images = torch.from_numpy(pixels).permute(2, 0, 1)[None]

    def plainly(name):
        draws = Draws(f"corruption/{name}/3", 0, ["a"])

        def draw(kind, *shape, **limits):
            return getattr(draws, kind)(*shape, **limits)[0].numpy()

        plain_corruptions.corrupted(name, pixels, draw, PARAMETERS["224"][name][2])

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        both = [
            partial(made, name) for name in names for made in (plainly, lambda name: corrupt(images, name, 3, ["a"]))
        ]
        times = best_times(both, 3)
        benchmark.pedantic(both[1], rounds=1)
    finally:
        torch.set_num_threads(threads)
    for name, plain, own in zip(names, times[::2], times[1::2], strict=True):
        benchmark.extra_info[f"{name}_times_as_fast"] = plain / own
    benchmark.extra_info["times_as_fast"] = sum(times[::2]) / sum(times[1::2])
    assert sum(times[::2]) > 5 * sum(times[1::2])
