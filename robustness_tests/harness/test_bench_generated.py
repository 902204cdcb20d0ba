"""Speed of benchmarks that are made on the way to the classifier, in one process. Run with `-m bench -n 0`."""

import time

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


@pytest.mark.parametrize("size", [1, 16])
def test_all_75_cells_an_image(benchmark, size):
    """What generating costs an image, one at a time as it is streamed, and in batches as it is saved."""
    import torch

    from harness.benchmarks.imagenet_c import CELLS
    from harness.corruptions import corrupt

    generator = torch.Generator().manual_seed(0)
    coarse = torch.randint(0, 256, (size, 3, 28, 28), generator=generator, dtype=torch.uint8).float()
    images = torch.nn.functional.interpolate(coarse, (224, 224), mode="bilinear").to(torch.uint8)
    ids = [str(place) for place in range(size)]

    def all_cells():
        for cell in CELLS:
            corruption, _, severity = cell.partition("/")
            corrupt(images, corruption, int(severity), ids)

    benchmark.pedantic(all_cells, rounds=3, warmup_rounds=1)
    seconds = benchmark.stats.stats.min / size
    benchmark.extra_info["seconds_an_image"] = seconds
    assert seconds < 3
