"""Measuring under attack: records say what was done, nothing is computed twice, and nothing is lost."""

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_fixtures.colours import write_imagenet
from harness.benchmarks.catalog import DataRoots, open_benchmark
from harness.benchmarks.order import prefix_order
from harness.classifiers.spec import parse_spec
from harness.engines.measuring import measured, run_key
from harness.engines.settings import Settings
from harness.errors import ClassifierError, DataError, NotMeasured
from harness.protocols.attacks import Attack
from harness.protocols.draws import wrong_class
from harness.records.store import RecordStore

pytestmark = pytest.mark.usefixtures("one_thread")

RIGHT = "python:data_fixtures.classifiers:reads_colours?mean=0,0,0&std=1,1,1&resize=16&crop=16"
NEXT = RIGHT.replace("reads_colours", "reads_the_next_class")
SETTINGS = Settings(workers=0, batch_size=7)

# Colours lie 25 levels apart, so that 12.5 levels fool: not 8, but 15.3 do, which takes 7 steps of 2 levels or more.
NEAR = Attack("standard", eps=8 / 255, ladder=(5, 15), restarts=1)
FAR = Attack("standard", eps=15.3 / 255, ladder=(5, 10, 15), restarts=1)
# Reaches the target of some images and not of others.
TARGETED = Attack("published", eps=0.5, step_size=0.05, ladder=(5, 10, 20))
TRANSFERRED, FAR_TRANSFERRED = replace(TARGETED, surrogate=RIGHT), replace(FAR, surrogate=RIGHT)


class Loads:
    """Loads classifiers, counting how often each, and the images that each sees.

    Args:
        stops_at: The classifier whose module is interrupted once it has seen more than some images.
        after: How many.
    """

    def __init__(self, stops_at="", after=0):
        self.times = Counter()
        self.images = Counter()
        self._stops_at, self._after = stops_at, after
        self._loaded = {}

    def __call__(self, spec):
        from harness.classifiers.loading import load

        if spec not in self._loaded:
            self.times[spec.text] += 1
            self._loaded[spec] = load(spec)
            self._loaded[spec].module.register_forward_hook(
                lambda module, inputs, output: self._count(spec.text, len(inputs[0]))
            )
        return self._loaded[spec]

    def _count(self, text, images):
        self.images[text] += images
        if text == self._stops_at and self.images[text] > self._after:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """40 images, class k in the colour of class k, but class 3 in that of class 4."""
    root = tmp_path_factory.mktemp("data")
    write_imagenet(root / "imagenet", range(20), per_class=2, seen_as=lambda index, place: 4 if index == 3 else index)
    return open_benchmark("imagenet", DataRoots(root))


@pytest.fixture
def store(tmp_path):
    return RecordStore(tmp_path / "records")


@pytest.fixture
def weights(tmp_path):
    """A file of the weights of the classifier that is right: what is named by a file is hashed without being loaded."""
    from safetensors.torch import save_file

    from data_fixtures.classifiers import reads_colours

    save_file(reads_colours().state_dict(), tmp_path / "colours.safetensors")
    return f"@{tmp_path}/colours.safetensors?"


def measure(dataset, store, attack, *texts, load=None, **settings):
    """Measure classifiers in one pass; gives the records of each."""
    specs = [parse_spec(text) for text in texts or (RIGHT,)]
    runs = measured(dataset, attack, specs, load or Loads(), store, replace(SETTINGS, **settings))
    return [joined(run.read(images)) for run, images in runs]


def joined(chunks):
    chunks = list(chunks)
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def assert_same(first, second):
    assert set(first) == set(second)
    for name, values in first.items():
        assert np.array_equal(values, second[name], equal_nan=values.dtype.kind == "f"), name


def test_records_say_which_images_were_attacked(dataset, store):
    (found,) = measure(dataset, store, FAR)
    order = prefix_order(40, seed=0)
    assert found["position"].tolist() == list(range(40))
    assert found["image"].tolist() == [dataset.images[index] for index in order]
    assert found["label"].tolist() == [index // 2 for index in order]
    assert len(set(found["digest"])) == 19
    assert set(found["cell"]) == {""}


def test_a_reader_of_colours_is_fooled_by_more_than_half_the_way_to_the_next_colour(dataset, store):
    (near,), (far,) = (measure(dataset, store, attack) for attack in (NEAR, FAR))
    right = far["label"] != 3
    assert (far["clean_prediction"] == np.where(right, far["label"], 4)).all()
    assert (near["first_fooled"][right] == 0).all()
    assert ((far["first_fooled"][right] >= 7) & (far["first_fooled"][right] <= 10)).all()
    assert (far["first_fooled"][~right] == -1).all()
    assert (near["ladder_prediction"] == near["clean_prediction"][:, None]).all()
    assert ((far["ladder_prediction"] == far["label"][:, None]) == right[:, None] * [True, False, False]).all()
    # A neighbour's colour differs by one in one digit or more, never by two.
    fooled_as = far["ladder_prediction"][right, -1]
    digits = [[int(digit) for digit in f"{index:03d}"] for index in (*fooled_as, *far["label"][right])]
    moves = np.abs(np.subtract(*np.split(np.array(digits), 2)))
    assert set(moves.max(axis=1)) == {1}


def test_published_targets_are_drawn_for_the_images_path(dataset, store):
    (found,) = measure(dataset, store, TARGETED, seed=4)
    (transferred,) = measure(dataset, store, TRANSFERRED, seed=4)
    expected = [wrong_class(4, image, int(label)) for image, label in zip(found["image"], found["label"], strict=True)]
    assert found["target"].tolist() == transferred["target"].tolist() == expected
    reached = found["first_fooled"][:, 0] > 0
    assert 0 < reached.sum() < 38
    assert (found["ladder_prediction"][reached, -1] == found["target"][reached]).all()
    assert (found["ladder_prediction"][~reached] == found["clean_prediction"][~reached][:, None]).all()


@pytest.mark.parametrize("attack", [TARGETED, TRANSFERRED], ids=lambda attack: attack.name)
def test_published_targets_are_drawn_among_the_datasets_own_classes(dataset, store, attack):
    own, step = tuple(range(20)), replace(attack, ladder=(1,))
    (found,) = measure(replace(dataset, own_classes=own), store, step)
    assert set(found["target"].tolist()) <= set(own)
    assert (found["target"] != found["label"]).all()
    assert len(set(found["target"].tolist())) > 10
    # The same store, and the targets of all 1000 classes are not taken from what was measured before.
    (of_all,) = measure(dataset, store, step)
    assert not set(of_all["target"].tolist()) <= set(own)


def test_a_transferred_image_is_scored_by_whoever_reads_it(dataset, store):
    itself, other = measure(dataset, store, TRANSFERRED, RIGHT, NEXT)
    reached = itself["first_fooled"][:, 0] > 0
    assert reached.any()
    assert (itself["ladder_prediction"][reached, -1] == itself["target"][reached]).all()
    # The other reads every colour as the next class: attacked or clean.
    assert (other["ladder_prediction"] == (itself["ladder_prediction"] + 1) % 1000).all()
    assert (other["clean_prediction"] == itself["clean_prediction"] + 1).all()
    for name in ("first_fooled", "target", "loss_start", "linf"):
        assert np.array_equal(itself[name], other[name])


@pytest.mark.parametrize("attack", [TARGETED, FAR, TRANSFERRED], ids=lambda attack: attack.name)
def test_a_second_run_loads_and_computes_nothing(dataset, store, weights, attack):
    text = RIGHT.replace("?", weights)
    attack = replace(attack, surrogate=text) if attack.surrogate else attack
    first, second = Loads(), Loads()
    (before,), (after,) = (measure(dataset, store, attack, text, load=load) for load in (first, second))
    assert first.times == {text: 1}
    assert first.images[text] > 40
    assert not second.times
    assert_same(before, after)


@pytest.mark.parametrize("attack", [TARGETED, FAR, TRANSFERRED], ids=lambda attack: attack.name)
def test_a_run_that_is_stopped_goes_on_from_there(dataset, store, tmp_path, attack):
    whole = Loads()
    (expected,) = measure(dataset, RecordStore(tmp_path / "other"), attack, load=whole)
    with pytest.raises(KeyboardInterrupt):
        measure(dataset, store, attack, load=Loads(RIGHT, whole.images[RIGHT] // 2))
    run = store.run(run_key(dataset, attack, parse_spec(RIGHT), SETTINGS, Loads()))
    kept = 40 - len(run.missing(40))
    assert kept in (14, 21, 28)  # whole batches of 7
    again = Loads()
    (found,) = measure(dataset, store, attack, load=again)
    assert_same(expected, found)
    assert again.images[RIGHT] < 0.7 * whole.images[RIGHT]


def test_more_images_are_attacked_on_top_of_fewer(dataset, store):
    few, more = Loads(), Loads()
    measure(dataset, store, NEAR, load=few, images=14)
    (found,) = measure(dataset, store, NEAR, load=more, images=21)
    assert found["position"].tolist() == list(range(21))
    assert more.images[RIGHT] < 0.6 * few.images[RIGHT]


def test_records_hardly_depend_on_batch_size_and_not_on_workers(dataset, tmp_path):
    found = [
        measure(dataset, RecordStore(tmp_path / str(place)), FAR, batch_size=batch_size, workers=workers)[0]
        for place, (batch_size, workers) in enumerate([(7, 0), (7, 2), (40, 0), (1, 0)])
    ]
    assert_same(found[0], found[1])
    for other in found[2:]:
        assert np.array_equal(found[0]["clean_prediction"], other["clean_prediction"])
        # Rounding depends on the batch: here and there a pixel goes the other way.
        assert np.abs(found[0]["first_fooled"] - other["first_fooled"]).max() <= 1


@pytest.mark.parametrize(
    "change",
    [
        {"eps": 0.25},
        {"step_size": 0.025},
        {"ladder": (5, 10)},
        {"form": "standard"},
        {"reading": "relative"},
        {"surrogate": NEXT},
        {"surrogate": ""},
        {"seed": 1},
        {"precision": "bf16"},
        {"spec": NEXT},
    ],
    ids=lambda change: "-".join(f"{name}_{value}".partition(":")[0] for name, value in change.items()),
)
def test_records_of_another_attack_are_not_taken(dataset, change):
    settings = {name: value for name, value in change.items() if name in ("seed", "precision")}
    attack = {name: value for name, value in change.items() if name not in ("spec", *settings)}
    here = run_key(dataset, TRANSFERRED, parse_spec(RIGHT), SETTINGS)
    there = run_key(
        dataset,
        replace(TRANSFERRED, **attack),
        parse_spec(change.get("spec", RIGHT)),
        replace(SETTINGS, **settings),
    )
    assert here.digest != there.digest


def test_restarts_and_following_make_other_records(dataset):
    keys = [
        run_key(dataset, attack, parse_spec(RIGHT), SETTINGS).digest
        for attack in (FAR, replace(FAR, restarts=2), replace(FAR, restarts=3), replace(FAR, follow=True))
    ]
    assert len(set(keys)) == 4


@pytest.mark.parametrize("attack", [FAR, TRANSFERRED], ids=lambda attack: attack.name)
def test_records_of_other_classes_are_other_runs(dataset, attack):
    keys = [
        run_key(replace(dataset, own_classes=classes), attack, parse_spec(RIGHT), SETTINGS)
        for classes in (None, (0, 1, 2), (0, 1, 3), (0, 12, 3))
    ]
    assert len({key.digest for key in keys}) == 4
    assert keys[1].identity["classes"] == "0,1,2"
    assert "classes" not in keys[0].identity  # records of published benchmarks are found as before


def test_records_do_not_depend_on_how_they_were_computed(dataset):
    key = run_key(dataset, FAR, parse_spec(RIGHT), SETTINGS)
    otherwise = replace(SETTINGS, batch_size=1, workers=9, images=3)
    assert key.digest == run_key(dataset, FAR, parse_spec(RIGHT), otherwise).digest


def test_the_surrogates_weights_are_part_of_what_records_are_found_by(dataset, weights):
    from safetensors.torch import load_file, save_file

    path = Path(weights.strip("@?"))
    attack = replace(TARGETED, surrogate=RIGHT.replace("?", weights))
    before = run_key(dataset, attack, parse_spec(RIGHT), SETTINGS)
    save_file({name: tensor + 0.01 for name, tensor in load_file(path).items()}, path)
    os.utime(path, ns=(1, 1))  # a clock may not have ticked since
    after = run_key(dataset, attack, parse_spec(RIGHT), SETTINGS)
    assert before.digest != after.digest
    changed = {name for name, value in before.identity.items() if after.identity[name] != value}
    assert changed == {"surrogate.weights"}


@pytest.mark.parametrize("attack", [TRANSFERRED, FAR_TRANSFERRED], ids=lambda attack: attack.name)
def test_classifiers_measured_together_have_the_records_that_each_has_alone(dataset, tmp_path, attack):
    texts = [RIGHT, NEXT, RIGHT + "&interpolation=bicubic"]
    together = measure(dataset, RecordStore(tmp_path / "together"), attack, *texts)
    for text, records in zip(texts, together, strict=True):
        (alone,) = measure(dataset, RecordStore(tmp_path / "alone"), attack, text)
        assert_same(records, alone)


def test_images_are_made_once_for_all(dataset, store):
    load = Loads()
    measure(dataset, store, TRANSFERRED, NEXT, NEXT + "&interpolation=bicubic", load=load)
    alone = Loads()
    measure(dataset, RecordStore(store.root / "other"), TRANSFERRED, NEXT, load=alone)
    assert load.images[RIGHT] == alone.images[RIGHT]
    assert set(load.times.values()) == {1}


def test_only_what_is_lacking_is_scored_and_written(dataset, store):
    (before,) = measure(dataset, store, TRANSFERRED, NEXT)
    run = store.run(run_key(dataset, TRANSFERRED, parse_spec(NEXT), SETTINGS, Loads()))
    written = [(path.name, path.stat().st_mtime_ns) for path in run.folder.glob("*.parquet")]
    load = Loads()
    other = NEXT + "&interpolation=bicubic"
    after, new = measure(dataset, store, TRANSFERRED, NEXT, other, load=load)
    assert load.images[NEXT] == 0
    assert load.images[other] > 0
    assert [(path.name, path.stat().st_mtime_ns) for path in run.folder.glob("*.parquet")] == written
    assert_same(before, after)
    assert np.array_equal(new["ladder_prediction"], before["ladder_prediction"])


def test_classifiers_that_lack_different_images_are_brought_to_the_same(dataset, store, tmp_path):
    measure(dataset, store, TRANSFERRED, RIGHT, images=20)
    measure(dataset, store, TRANSFERRED, NEXT, images=33)
    found = measure(dataset, store, TRANSFERRED, RIGHT, NEXT)
    expected = measure(dataset, RecordStore(tmp_path / "at_once"), TRANSFERRED, RIGHT, NEXT)
    for one, other in zip(found, expected, strict=True):
        assert one["position"].tolist() == list(range(40))
        assert np.array_equal(one["ladder_prediction"], other["ladder_prediction"])
        assert np.abs(one["first_fooled"] - other["first_fooled"]).max() <= 1


def test_judging_from_the_store_alone_says_what_is_missing(dataset, store):
    load = Loads()
    measure(dataset, store, NEAR, load=load, images=10)
    seen = load.images[RIGHT]
    (found,) = measure(dataset, store, NEAR, load=load, images=10, measure=False)
    assert len(found["image"]) == 10
    with pytest.raises(
        NotMeasured, match="10 of 20 records of reads_colours on imagenet under pgd-standard are not in .*--claims-only"
    ):
        measure(dataset, store, NEAR, load=load, images=20, measure=False)
    with pytest.raises(
        NotMeasured, match="40 of 40 records of reads_the_next_class on imagenet under transfer-publish"
    ):
        measure(dataset, store, TRANSFERRED, NEXT, load=load, measure=False)
    assert load.images[RIGHT] == seen


def test_nan_logits_name_the_classifier_and_the_image(dataset, store):
    text = RIGHT.replace("reads_colours", "gives_nan")
    first = dataset.path(prefix_order(40, seed=0)[0])
    with pytest.raises(ClassifierError, match="gives_nan.*: NaN or infinite logits for ") as caught:
        measure(dataset, store, NEAR, text)
    assert str(caught.value).startswith(text)
    assert str(first) in str(caught.value)
    with pytest.raises(ClassifierError, match="NaN or infinite logits for ") as caught:
        measure(dataset, store, TRANSFERRED, text)
    assert str(caught.value).startswith(f"images made on {RIGHT} and scored on {text}: ")


@pytest.mark.parametrize("attack", [NEAR, replace(NEAR, surrogate=RIGHT)], ids=["white_box", "surrogate"])
def test_a_classifier_without_gradients_is_named(dataset, store, attack):
    text = RIGHT.replace("reads_colours", "detaches")
    attack = replace(attack, surrogate=text) if attack.surrogate else attack
    load = Loads()
    with pytest.raises(NotMeasured, match="detaches.* can't be attacked: its logits have no gradient") as caught:
        measure(dataset, store, attack, RIGHT if attack.surrogate else text, load=load)
    assert load.images == {text: 1}, "told before any image is attacked"
    assert "\n" not in str(caught.value)


def test_a_classifier_without_gradients_can_be_transferred_to(dataset, store):
    itself, other = measure(dataset, store, FAR_TRANSFERRED, RIGHT, RIGHT.replace("reads_colours", "detaches"))
    assert np.array_equal(itself["ladder_prediction"], other["ladder_prediction"])


def test_what_a_classifiers_own_code_raises_is_one_line(dataset, store):
    class Breaking(Loads):
        def _count(self, text, images):
            raise RuntimeError("too\nsmall")

    with pytest.raises(ClassifierError, match="fails on images of shape .7, 3, 16, 16. .RuntimeError: too.$"):
        measure(dataset, store, NEAR, load=Breaking())


def test_an_image_that_ends_in_the_middle_of_a_pass_keeps_what_came_before_for_all_classifiers(tmp_path, store):
    write_imagenet(tmp_path / "imagenet", range(20), per_class=1)
    dataset = open_benchmark("imagenet", DataRoots(tmp_path))
    bad = dataset.path(prefix_order(20, seed=0)[15])
    good = bad.read_bytes()
    bad.write_bytes(b"x" * len(good))
    with pytest.raises(DataError, match="is not an image"):
        measure(dataset, store, TRANSFERRED, RIGHT, NEXT)
    for text in (RIGHT, NEXT):
        run = store.run(run_key(dataset, TRANSFERRED, parse_spec(text), SETTINGS, Loads()))
        assert run.missing(20).tolist() == list(range(14, 20))
