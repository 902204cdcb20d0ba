"""What a second worker is worth, and how soon a finished run answers again. Run with `-m bench -n 0`."""

import multiprocessing
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from data_fixtures.photographs import write_photographs

pytestmark = pytest.mark.bench

# Runs of equal length that are shared, and images of each.
RUNS, IMAGES = 6, 96


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp("data"), IMAGES)


def squeezenet(shift):
    """A SqueezeNet with random weights, one of several."""
    import torch

    from harness.torchvision_ops import import_torchvision

    torch.manual_seed(shift)
    return import_torchvision().models.squeezenet1_1(weights=None)


# By the names that specs know them by.
one, two, three, four, five, six = (partial(squeezenet, shift) for shift in range(1, 7))
SPECS = [f"python:{__name__}:{name}" for name in ("one", "two", "three", "four", "five", "six")]


def measure(data, records, ready, begin, done):
    """Measure in one thread what no other process is at, as soon as all are ready."""
    import torch

    from harness.benchmarks.catalog import DataRoots
    from harness.classifiers.loading import load
    from harness.classifiers.spec import parse_spec
    from harness.engines.settings import Settings
    from harness.records.store import RecordStore
    from harness.studies.laboratory import Laboratory

    torch.set_num_threads(1)
    plan = {parse_spec(text): ["imagenet"] for text in SPECS}
    load(next(iter(plan)))
    laboratory = Laboratory(DataRoots(data), RecordStore(records), Settings(workers=0), plan)
    ready.release()
    begin.wait()
    for _ in laboratory.measure_backwards():
        pass
    done.release()


def seconds(data, records, workers):
    """Time so many processes that share all runs."""
    context = multiprocessing.get_context("spawn")
    ready, begin, done = context.Semaphore(0), context.Event(), context.Semaphore(0)
    processes = [context.Process(target=measure, args=(data, records, ready, begin, done)) for _ in range(workers)]
    for process in processes:
        process.start()
    for _ in processes:
        assert ready.acquire(timeout=120)
    begun = time.perf_counter()
    begin.set()
    for _ in processes:
        assert done.acquire(timeout=600)
    taken = time.perf_counter() - begun
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert len(list(Path(records).glob("*/*/00000-96.*.parquet"))) == RUNS
    return taken


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_two_workers_do_1_7_times_the_work_of_one(benchmark, photographs, tmp_path):
    ratios = []
    for place in range(3):
        alone = seconds(photographs, tmp_path / f"one{place}", 1)
        ratios.append(alone / seconds(photographs, tmp_path / f"two{place}", 2))
    benchmark.extra_info["times_as_fast"] = ratios
    benchmark.extra_info["images_per_second_of_one"] = RUNS * IMAGES / alone
    benchmark.pedantic(seconds, (photographs, tmp_path / "two", 2), rounds=1)
    assert max(ratios) >= 1.7


def test_the_quick_tier_answers_again_within_ten_seconds(benchmark, request, tmp_path):
    """The same command on the records of a first run, which is not timed."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "quick", "-n0", f"--records={tmp_path / 'records'}"]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path / "cached")}

    def run():
        begun = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True, cwd=request.config.rootpath, env=environment)
        return time.perf_counter() - begun

    first = run()
    taken = benchmark.pedantic(run, rounds=1)
    benchmark.extra_info["seconds_first_and_again"] = [first, taken]
    assert min(taken, run()) <= 10
