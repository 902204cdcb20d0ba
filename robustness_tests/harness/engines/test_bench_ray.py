"""What a cluster costs: one actor against this process, on chunks of about two seconds. Run with `-m bench -n 0`."""

import importlib.util
import os
from dataclasses import replace

import pytest

from data_fixtures.photographs import save_squeezenet, write_photographs
from data_fixtures.timing import best_times
from harness.benchmarks.catalog import DataRoots, open_benchmark
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
    return save_squeezenet(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = write_photographs(tmp_path_factory.mktemp("data"), CHUNK * CHUNKS)
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
