"""Making maximizing images: a chunk a seed, nothing twice, every failure one line."""

import json

import numpy as np
import pytest

from data_fixtures.pictures import write_pictures
from harness.benchmarks.catalog import DataRoots, open_benchmark
from harness.classifiers.spec import parse_spec
from harness.cli import main
from harness.engines.measuring import measured
from harness.engines.settings import Settings
from harness.errors import ClassifierError, NotMeasured
from harness.protocols.maximizing import Maximize
from harness.records.store import Busy, RecordStore

pytestmark = pytest.mark.usefixtures("one_thread")

FINE = "python:data_fixtures.features:fine_filters?resize=32&crop=32&mean=0,0,0&std=1,1,1"
NEED = Maximize(units=(1, 4), steps=6)


class Loading:
    """Loads a classifier, counting how often, and the images that it sees; breaks at a given count."""

    def __init__(self, breaks_at=None):
        self.loads = self.images = 0
        self.breaks_at = breaks_at

    def __call__(self, spec):
        from harness.classifiers.loading import load

        self.loads += 1
        classifier = load(spec)
        classifier.module.register_forward_hook(lambda module, inputs, output: self._count(inputs[0]))
        return classifier

    def _count(self, images):
        self.images += len(images)
        if self.breaks_at is not None and self.images > self.breaks_at:
            raise RuntimeError("out of breath")


@pytest.fixture
def store(tmp_path):
    return RecordStore(tmp_path / "records")


@pytest.fixture
def dataset(tmp_path):
    write_pictures(tmp_path / "data" / "imagenet" / "val" / "n01440764", 4)
    return open_benchmark("imagenet", DataRoots(tmp_path / "data"))


def make(dataset, store, load, need=NEED, text=FINE, **settings):
    ((run, images),) = measured(dataset, need, [parse_spec(text)], load, store, Settings(workers=0, **settings))
    chunks = list(run.read(images))
    return run, {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def test_records_say_which_seed_and_which_unit(dataset, store):
    _, found = make(dataset, store, Loading())
    assert found["position"].tolist() == list(range(6))
    assert found["unit"].tolist() == [1, 4] * 3
    assert found["photograph"].tolist() == [True] * 4 + [False] * 2
    assert len(set(found["image"][:4])) == 2
    assert found["image"][4:].tolist() == ["noise-0"] * 2
    assert found["digest"].tolist() == [value for value in found["digest"][::2] for _ in range(2)]


def test_what_another_process_makes_is_busy_for_who_does_not_wait(dataset, store):
    load = Loading()
    run, _ = make(dataset, store, load)
    for chunk in run.folder.glob("*.parquet"):
        chunk.unlink()
    seen = load.images
    with run.lock(), pytest.raises(Busy):
        measured(dataset, NEED, [parse_spec(FINE)], load, store, Settings(workers=0), wait=False)
    assert load.images == seen


def test_a_second_run_makes_nothing(dataset, store, tmp_path):
    from safetensors.torch import save_file

    from harness.classifiers.loading import load

    save_file(load(FINE).module.model.state_dict(), tmp_path / "fine.safetensors")
    text = FINE.replace("?", f"@{tmp_path}/fine.safetensors?")
    first, second = Loading(), Loading()
    _, before = make(dataset, store, first, text=text)
    _, after = make(dataset, store, second, text=text)
    assert (first.loads, second.loads) == (1, 0)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_what_was_made_before_a_failure_is_kept_and_not_made_again(dataset, store, tmp_path):
    # Two images a step, 7 looks a seed, and two looks at black images at the beginning: it breaks at the second seed.
    with pytest.raises(ClassifierError, match="fine_filters.* fails on maximizing images .RuntimeError: out of"):
        make(dataset, store, Loading(breaks_at=20))
    again = Loading()
    _, resumed = make(dataset, store, again)
    _, whole = make(dataset, RecordStore(tmp_path / "other"), Loading())
    assert again.images < 2 + 3 * 14
    assert all(np.array_equal(resumed[name], whole[name]) for name in whole)


@pytest.mark.parametrize(
    "change", [{"need": Maximize(units=(1, 4), steps=7)}, {"seed": 1}, {"text": FINE + "&penultimate=head"}]
)
def test_other_images_are_other_records(dataset, store, change):
    assert make(dataset, store, Loading())[0].folder != make(dataset, store, Loading(), **change)[0].folder


def test_seed_images_may_be_named(dataset, store, tmp_path):
    (path,) = write_pictures(tmp_path / "mine", 1)
    _, found = make(dataset, store, Loading(), Maximize(units=(1, 4), seeds=(str(path),), noise=0, steps=2))
    assert found["image"].tolist() == [str(path)] * 2


def test_what_is_not_there_is_not_made_where_nothing_is_measured(dataset, store):
    with pytest.raises(NotMeasured, match="maximizing images of fine_filters are not in .*without --claims-only"):
        make(dataset, store, Loading(), measure=False)


def test_too_few_photographs_are_said(tmp_path, store):
    write_pictures(tmp_path / "one" / "imagenet" / "val" / "n01440764", 1)
    with pytest.raises(NotMeasured, match="maximizing images begin with 2 photographs"):
        make(open_benchmark("imagenet", DataRoots(tmp_path / "one")), store, Loading())


@pytest.fixture
def run(dataset, tmp_path, capsys):
    def run(*arguments):
        options = ("--data-root", str(tmp_path / "data"), "--records", str(tmp_path / "records"))
        code = main(["measure", FINE, "imagenet", "--protocol", "maximize", *arguments, *options])
        return code, *capsys.readouterr()

    return run


def test_they_are_measured_from_the_command_line(run):
    code, out, _ = run("--units", "1,4", "--steps", "8", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["protocol"] == "maximize"
    assert found["metrics"]["maximized"] == {"value": 1, "interval": [1, 1], "images": 6}
    assert found["metrics"]["ssim_to_seed_smallest"]["value"] > 0.9
    assert "8 steps" in found["attack"]


def test_the_grid_is_a_picture(run, tmp_path):
    from PIL import Image

    path = tmp_path / "pictures" / "grid.png"
    assert run("--units", "1,4", "--steps", "6", "--grid", str(path))[0] == 0
    with Image.open(path) as image:
        assert image.format == "PNG"
        levels = np.asarray(image.convert("L"))
    assert levels.shape[0] > levels.shape[1] > 300
    assert 0.2 < (levels < 250).mean() < 0.9  # pictures on a white ground


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--units", "1,99"), "unit 99 does not exist"),
        (("--units", "x"), "--units 'x' is not a whole number"),
        (("--steps", "0"), "--steps '0' is not a whole number"),
        (("--eps", "0.1"), "--eps does not go with --protocol maximize; it is for pgd-published, "),
        (("--protocol", "pgd-standard", "--units", "1"), "--units does not go with --protocol pgd-standard"),
    ],
    ids=lambda value: "-".join(value).replace("--", "") if isinstance(value, tuple) else "",
)
def test_usage_is_exit_code_2_and_one_line(run, arguments, message):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_seed_image_that_is_not_there_is_one_line(run):
    code, _, err = run("--seed-images", "/nowhere/a.png")
    assert code == 1
    assert "/nowhere/a.png" in err
    assert err.count("\n") == 1
