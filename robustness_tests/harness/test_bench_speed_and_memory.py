"""Speed and memory of measuring: ratios to bare loops, side by side in one process. Run with `-m bench -n 0`."""

import os
import statistics
import subprocess
import sys
import time

import numpy as np
import pytest

from data_fixtures.colours import write_imagenet
from data_fixtures.photographs import save_squeezenet, write_photographs
from data_fixtures.timing import best_times
from harness.benchmarks.catalog import DataRoots, open_benchmark
from harness.classifiers.spec import parse_spec

pytestmark = pytest.mark.bench

IMAGES = 192
BATCH = 32


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    return save_squeezenet(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def classifier(spec):
    from harness.classifiers.loading import load
    from harness.engines.memory import keep_freed_memory

    keep_freed_memory()  # both sides of every ratio gain from it
    return load(spec)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp("data"), IMAGES)


def ratio(benchmark, bare, ours, rounds=9):
    """Time two functions in turns and give bare / ours, each at its best; benchmark keeps ours and the ratio."""
    time_bare, time_ours = best_times([bare, ours], rounds)
    found = time_bare / time_ours
    benchmark.extra_info["of_the_bare_loop"] = found
    benchmark.extra_info["images_per_second"] = IMAGES / time_ours
    benchmark.pedantic(ours, rounds=1)
    return found


def test_classify_reaches_95_percent_of_a_bare_loop_on_decoded_tensors(benchmark, classifier):
    import torch

    from harness.protocols.classify import Classify, Questions

    pixels = torch.randint(0, 256, (IMAGES, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = np.zeros(BATCH, dtype=np.int16)
    protocol = Classify(classifier.logits, Questions(), device=torch.device("cpu"))
    model, preprocessing = classifier.module.model, classifier.spec.preprocessing
    mean, std = (torch.tensor(values)[:, None, None] for values in (preprocessing.mean, preprocessing.std))

    def bare():
        with torch.inference_mode():
            for start in range(0, IMAGES, BATCH):
                model((pixels[start : start + BATCH].float() / 255 - mean) / std).argmax(1)

    def ours():
        for start in range(0, IMAGES, BATCH):
            protocol(pixels[start : start + BATCH], labels)

    assert ratio(benchmark, bare, ours) >= 0.95


def test_channels_last_are_computed_faster_than_channels_first(benchmark, spec):
    import torch

    from harness.classifiers.loading import load

    images = torch.rand(BATCH, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    ours, usual = load(spec), load(spec)
    usual.module.channels_first()

    def forward(classifier):
        with torch.inference_mode():
            classifier.logits(images)

    def attack(classifier):
        given = images.clone().requires_grad_()
        torch.autograd.grad(classifier.logits(given).sum(), given)

    for how in (forward, attack):
        before, after = best_times([lambda: how(usual), lambda: how(ours)], rounds=5)  # noqa: B023  # called at once
        benchmark.extra_info[f"{how.__name__}_times_as_fast"] = before / after
        assert before / after >= 1.1
    benchmark.pedantic(lambda: forward(ours), rounds=1)


def test_measuring_reaches_90_percent_of_a_bare_dataloader_and_loop(benchmark, classifier, spec, photographs, tmp_path):
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    from harness.engines.measuring import measured
    from harness.engines.settings import Settings
    from harness.records.store import RecordStore
    from harness.torchvision_ops import import_torchvision

    transforms = import_torchvision().transforms
    paths = sorted((photographs / "imagenet").rglob("*.jpg"))
    prepare = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), transforms.PILToTensor()])
    settings = Settings(batch_size=BATCH)
    runs = iter(range(10**6))

    class Files(Dataset):
        def __len__(self):
            return len(paths)

        def __getitem__(self, place):
            return prepare(Image.open(paths[place]).convert("RGB"))

    def bare():
        with torch.inference_mode():
            for pixels in DataLoader(Files(), batch_size=BATCH, num_workers=settings.workers):
                classifier.logits(pixels.float() / 255).argmax(1)

    def ours():
        store = RecordStore(tmp_path / str(next(runs)))
        dataset = open_benchmark("imagenet", DataRoots(photographs))
        measured(dataset, "imagenet", [spec], lambda spec: classifier, store, settings)

    assert ratio(benchmark, bare, ours) >= 0.9


def test_two_classifiers_in_one_pass_take_less_than_in_two(benchmark, photographs, tmp_path):
    """Of quick ones: what is saved is decoding."""
    from harness.engines.settings import Settings
    from harness.records.store import RecordStore
    from harness.studies.laboratory import Laboratory

    quick = "python:data_fixtures.classifiers:reads_colours?mean=0,0,0&std=1,1,1"
    specs = [parse_spec(quick), parse_spec(quick.replace("reads_colours", "reads_the_next_class"))]
    runs = iter(range(10**6))

    def measure(shares_passes):
        store = RecordStore(tmp_path / str(next(runs)))
        plan = {spec: ["imagenet"] for spec in specs}
        asked = Laboratory(DataRoots(photographs), store, Settings(workers=0), plan, shares_passes=shares_passes)
        for spec in specs:
            assert len(asked.samples(spec, ["imagenet"])["imagenet"]["group"]) == IMAGES

    apart, together = best_times([lambda: measure(False), lambda: measure(True)], rounds=5)
    benchmark.extra_info["of_two_passes"] = together / apart
    benchmark.pedantic(lambda: measure(True), rounds=1)
    assert together / apart <= 0.8


# The peak of the process's own memory: getrusage's would be its parent's, if that is larger.
_PEAK = """
import re, sys
from harness.cli import main
assert main(["measure", *sys.argv[1:]]) == 0
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""


def test_peak_memory_does_not_depend_on_the_number_of_images(benchmark, tmp_path):
    write_imagenet(tmp_path / "imagenet", range(1000), per_class=4)
    spec = "python:data_fixtures.classifiers:reads_colours?mean=0,0,0&std=1,1,1"

    def peak(images):
        options = {"--data-root": tmp_path, "--records": tmp_path / f"records{images}", "--images": images}
        command = [
            sys.executable,
            "-c",
            _PEAK,
            spec,
            "imagenet",
            *(f"{flag}={value}" for flag, value in options.items()),
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": "."}
        )
        return int(done.stdout.split()[-1]) / 1024

    few, many = peak(400), benchmark.pedantic(peak, args=(4000,), rounds=1)
    benchmark.extra_info["peak_mib_of_400_and_4000_images"] = [few, many]
    # The allocator's luck moves it by 40 MiB either way; 3600 images kept in memory would be 500 MiB.
    assert many < few + 80


@pytest.mark.parametrize("options", [["--collect-only", "-mquick"], ["--help"]], ids=["quick", "help"])
def test_pytest_starts_within_a_second_and_a_half(benchmark, request, tmp_path, options):
    """What a user types who asks claims; the harness's own tests are collected only where they are asked for."""
    command = [sys.executable, "-m", "pytest", *options, "-q", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}

    def start():
        begun = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True, cwd=request.config.rootpath, env=environment)
        return time.perf_counter() - begun

    start()
    taken = statistics.median(start() for _ in range(5))
    benchmark.extra_info["seconds"] = taken
    benchmark.pedantic(start, rounds=1)
    assert taken < 1.5
