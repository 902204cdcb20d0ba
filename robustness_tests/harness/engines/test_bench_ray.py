"""What a cluster costs: one actor against this process, on chunks of about two seconds. Run with `-m bench -n 0`."""

import importlib.util
import os
from dataclasses import replace

import numpy as np
import pytest

from data_fixtures.colours import write_imagenet
from data_fixtures.timing import best_times
from harness.benchmarks.catalog import DataRoots, open_benchmark
from harness.classifiers.spec import parse_spec
from harness.engines.cluster import Cluster
from harness.engines.measuring import measured
from harness.engines.settings import Settings
from harness.records.store import RecordStore

pytestmark = [
    pytest.mark.bench,
    pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="needs Ray: pip install -e '.[cluster]'"),
    pytest.mark.usefixtures("one_thread"),
]

CHUNK, CHUNKS = 64, 3
SETTINGS = Settings(workers=0, batch_size=16)


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    """A SqueezeNet with random weights."""
    import torch
    from safetensors.torch import save_file

    from harness.torchvision_ops import import_torchvision

    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "squeezenet.safetensors"
    save_file(import_torchvision().models.squeezenet1_1(weights=None).state_dict(), file)
    return parse_spec(f"torchvision:squeezenet1_1@{file}")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """JPEG photographs of ordinary size and detail."""
    from PIL import Image

    root = tmp_path_factory.mktemp("data")
    write_imagenet(root / "imagenet", [0], per_class=1)
    folder = root / "imagenet" / "val" / "n01440764"
    rng = np.random.default_rng(0)
    for place in range(CHUNK * CHUNKS):
        coarse = Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8))
        coarse.resize((500, 375), Image.Resampling.BICUBIC).save(folder / f"{place:04d}.jpg", quality=90)
    (folder / "0000.png").unlink()
    return open_benchmark("imagenet", DataRoots(root))


@pytest.fixture
def cluster(monkeypatch):
    """A cluster of one actor on one core."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0})
    engine = Cluster()
    engine.connect()
    yield engine
    engine.close()


def test_one_actor_takes_at_most_5_percent_longer_than_this_process(
    benchmark, spec, dataset, cluster, monkeypatch, tmp_path
):
    from harness.classifiers.loading import load

    for module in ("measuring", "examining"):
        monkeypatch.setattr(f"harness.engines.{module}.chunk_size", lambda pairs: CHUNK)
    classifier = load(spec)
    runs = iter(range(10**6))

    def measure(settings):
        store = RecordStore(tmp_path / str(next(runs)))
        ((run, images),) = measured(dataset, "imagenet", [spec], lambda spec: classifier, store, settings)
        assert len(run.chunks()) == CHUNKS
        assert images == CHUNK * CHUNKS

    def here():
        measure(SETTINGS)

    def there():
        measure(replace(SETTINGS, engine=cluster))

    there()  # the actor starts and loads the classifier
    time_here, time_there = best_times([here, there], 5)
    benchmark.extra_info["of_this_process"] = time_there / time_here
    benchmark.extra_info["seconds_a_chunk"] = time_here / CHUNKS
    benchmark.pedantic(there, rounds=1)
    assert time_there <= 1.05 * time_here
