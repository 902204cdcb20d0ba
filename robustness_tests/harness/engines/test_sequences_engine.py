"""Sequences of frames, measured from their videos: read in workers, recorded one by one, and resumed."""

import json
import re

import numpy as np
import pytest

from data_fixtures.colours import write_imagenet_p
from harness.benchmarks.catalog import DataRoots, open_benchmark
from harness.benchmarks.order import prefix_order
from harness.classifiers.spec import parse_spec
from harness.cli import main
from harness.engines.measuring import measured
from harness.engines.settings import Settings
from harness.errors import ClassifierError, DataError
from harness.metrics.perturbation import PERTURBATIONS
from harness.records.store import RecordStore

RIGHT = "python:data_fixtures.classifiers:reads_colours?mean=0,0,0&std=1,1,1"
CLASSES = (111, 444)


def seen_as(perturbation, index, frame):
    """Show the next class in frames 3 and 4, of the second class in frame 10 too."""
    return index + (frame in (3, 4) or (index == 444 and frame == 10))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_imagenet_p(root / "imagenet-p", CLASSES, seen_as=seen_as)
    return root


@pytest.fixture
def ask(root, tmp_path):
    """Give a function that measures sequences and gives their records, whole."""
    from harness.classifiers.loading import load

    def ask(text=RIGHT, **settings):
        dataset = open_benchmark("imagenet-p", DataRoots(root))
        spec, store = parse_spec(text), RecordStore(tmp_path / "records")
        ((run, count),) = measured(
            dataset, "imagenet-p", [spec], load, store, Settings(**{"workers": 0, "batch_size": 40, **settings})
        )
        chunks = list(run.read(count))
        return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}

    return ask


def test_records_say_what_each_frame_was_taken_for(ask):
    columns = ask()
    assert columns["position"].tolist() == list(range(20))
    order = prefix_order(20, 0)
    assert columns["cell"].tolist() == [PERTURBATIONS[index // 2] for index in order]
    for row in range(20):
        frames, label = columns["frames"][row], columns["label"][row]
        assert frames == (41 if columns["cell"][row] == "translate" else 31)
        predicted = columns["top5"][row].reshape(41, 5)[:, 0]
        assert predicted[:frames].tolist() == [seen_as("", label, frame) for frame in range(frames)]
        assert (predicted[frames:] == -1).all()


@pytest.mark.parametrize("options", [{"workers": 2}, {"batch_size": 1}, {"batch_size": 500}, {"images": 13}])
def test_records_do_not_depend_on_workers_or_batches(ask, options):
    whole = ask()
    part = ask(seed=0, precision="fp32", **options)
    count = options.get("images", 20)
    for name, values in whole.items():
        assert np.array_equal(values[:count], part[name]), name


def test_a_run_that_saw_some_goes_on_with_the_others(ask, monkeypatch):
    from harness.protocols.sequences import ClassifySequences

    ask(images=6)
    seen, begin = [], ClassifySequences.begin

    def counting(self, pixels, labels, frames):
        seen.extend(frames)
        return begin(self, pixels, labels, frames)

    monkeypatch.setattr(ClassifySequences, "begin", counting)
    ask()
    assert len(seen) == 14


def test_a_classifier_of_another_size_gets_resized_frames(ask):
    small = ask(RIGHT + "&crop=64")
    assert np.array_equal(small["top5"][:, 0], ask()["top5"][:, 0])


def test_a_sequence_that_is_too_short_is_named(ask, root):
    video = sorted((root / "imagenet-p" / "tilt").rglob("*.mp4"))[0]
    other = sorted((root / "imagenet-p" / "translate").rglob("*.mp4"))[0]
    kept = video.read_bytes()
    try:
        video.write_bytes(other.read_bytes())
        with pytest.raises(DataError, match=f"{video} holds more than 31 frames"):
            ask()
        video.write_bytes(kept[: len(kept) // 2])
        with pytest.raises(DataError, match=str(video)):
            ask()
    finally:
        video.write_bytes(kept)


def test_frames_without_a_number_are_blamed_on_their_sequence(ask):
    with pytest.raises(ClassifierError, match=r"NaN or infinite logits for .*imagenet-p/.*\.mp4"):
        ask(RIGHT.replace("reads_colours", "gives_nan"))


def test_metrics_are_those_of_what_was_painted(root, tmp_path, capsys):
    arguments = ["measure", RIGHT, "imagenet-p", f"--data-root={root}", f"--records={tmp_path}", "--json"]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    # With frame 0 compared, 2 frames of 30 differ, or 3; with the frame before, it changes there and back, or twice so.
    noise, others, longer = (2 + 3) / 60, (2 + 4) / 60, (2 + 4) / 80
    flips = (2 * noise + 7 * others + longer) / 10
    assert found["metrics"]["mean_flip_probability"]["value"] == pytest.approx(flips)
    assert found["metrics"]["mfr"]["images"] == 20
    assert found["available"] == 20
    assert "AlexNet as published, on all images, though these are others" in found["normalised_by"]
    assert "not pinned here yet" in found["not_measured"]["mt5d"]
    assert main([*arguments[:-1], f"--normaliser={RIGHT}"]) == 0
    out = capsys.readouterr().out
    assert "normalised by reads_colours on the same images" in out
    assert re.search(r"^mfr +100 % +.20 images", out, re.MULTILINE)
