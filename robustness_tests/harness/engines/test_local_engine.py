"""Measuring: only what the store lacks is computed, and nothing that was computed is lost."""

import logging
import os
from dataclasses import replace

import numpy as np
import pytest

from data_fixtures.colours import write_cue_conflict, write_image, write_imagenet, write_imagenet_a
from harness.benchmarks import batches as decoding
from harness.benchmarks.catalog import DataRoots, open_benchmark
from harness.benchmarks.order import prefix_order
from harness.classifiers.loading import load
from harness.classifiers.spec import parse_spec
from harness.engines import examining
from harness.engines.examining import held_back
from harness.engines.measuring import measured, run_key
from harness.engines.settings import Settings
from harness.errors import ClassifierError, DataError, NotMeasured
from harness.records.store import RecordStore

RIGHT = "python:data_fixtures.classifiers:reads_colours?mean=0,0,0&std=1,1,1"
SETTINGS = Settings(workers=0, batch_size=7)


class Counting:
    """Loads a classifier, counting how often, and counts the images that it sees."""

    def __init__(self, text=RIGHT):
        self.spec = parse_spec(text)
        self.loads = 0
        self.images = 0
        self._classifier = None

    def __call__(self, spec=None):
        from harness.classifiers.loading import load

        if self._classifier is None:
            self.loads += 1
            self._classifier = load(self.spec)
            self._classifier.module.register_forward_hook(lambda module, inputs, output: self._count(inputs[0]))
        return self._classifier

    def _count(self, images):
        self.images += len(images)


class Breaking(Counting):
    """Has a classifier whose own code raises."""

    def _count(self, images):
        raise RuntimeError("too small")


@pytest.fixture
def store(tmp_path):
    return RecordStore(tmp_path / "records")


@pytest.fixture
def dataset(tmp_path):
    """40 images, class k in the colour of class k, but class 3 in that of class 4."""
    write_imagenet(
        tmp_path / "imagenet", range(20), per_class=2, seen_as=lambda index, place: 4 if index == 3 else index
    )
    return open_benchmark("imagenet", DataRoots(tmp_path))


def records(run, images):
    chunks = list(run.read(images))
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def measure(dataset, store, classifier, **settings):
    return records(*ask(dataset, store, classifier, replace(SETTINGS, **settings)))


def ask(dataset, store, classifier, settings=SETTINGS):
    ((run, images),) = measured(dataset, dataset.benchmark, [classifier.spec], classifier, store, settings)
    return run, images


def test_records_say_what_was_seen(dataset, store):
    found = measure(dataset, store, Counting())
    order = prefix_order(40, seed=0)
    assert found["image"].tolist() == [dataset.images[index] for index in order]
    assert found["label"].tolist() == [index // 2 for index in order]
    assert found["own_prediction"].tolist() == [4 if index // 2 == 3 else index // 2 for index in order]
    assert (found["label_rank"] == 1).sum() == 38
    assert found["confidence"].min() > 0.99
    assert len(set(found["digest"])) == 19  # as many different files as colours


def test_a_second_run_loads_and_computes_nothing(dataset, store, tmp_path):
    from safetensors.torch import save_file

    save_file(Counting()().module.model.state_dict(), tmp_path / "colours.safetensors")
    text = RIGHT.replace("?", f"@{tmp_path}/colours.safetensors?")
    first, second = Counting(text), Counting(text)
    before = measure(dataset, store, first)
    after = measure(dataset, store, second)
    assert (first.loads, first.images) == (1, 40)
    assert (second.loads, second.images) == (0, 0)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_more_images_are_measured_on_top_of_fewer(dataset, store):
    few, more = Counting(), Counting()
    measure(dataset, store, few, images=10)
    found = measure(dataset, store, more, images=25)
    assert (few.images, more.images) == (10, 15)
    assert found["position"].tolist() == list(range(25))


def test_records_do_not_depend_on_batch_size_or_workers(dataset, tmp_path):
    found = [
        measure(dataset, RecordStore(tmp_path / str(place)), Counting(), batch_size=batch_size, workers=workers)
        for place, (batch_size, workers) in enumerate([(40, 0), (1, 0), (16, 2)])
    ]
    for other in found[1:]:
        assert all(np.array_equal(found[0][name], other[name]) for name in other if "confidence" not in name)
        assert np.allclose(found[0]["confidence"], other["confidence"], atol=1e-5)


@pytest.fixture(params=[0, 1], ids=["at_once", "one_ahead"])
def ahead(request, monkeypatch):
    """Take answers in at once, as of a CPU, or when the next batch is begun, as of a GPU."""
    monkeypatch.setattr(examining, "held_back", lambda begun, by: held_back(begun, by=request.param))
    return request.param


def test_records_do_not_depend_on_what_is_begun_before_they_are_taken_in(dataset, tmp_path, ahead):
    found = measure(dataset, RecordStore(tmp_path / "ahead"), Counting())
    assert [int(label) for label in found["own_prediction"]] == [
        label + (label == 3) for label in found["label"].tolist()
    ]
    assert found["position"].tolist() == list(range(40))


def test_what_was_begun_is_given_before_what_failed_is_told():
    given, begun = [], []

    def begin():
        for each in range(5):
            if each == 3:
                raise DataError("broken")
            begun.append(each)
            yield each

    taken = held_back(begin(), by=2)
    assert (next(taken), begun) == (0, [0, 1, 2])
    with pytest.raises(DataError, match="broken"):
        given.extend(taken)
    assert given == [1, 2]


def test_classifiers_of_one_pass_are_asked_about_each_image_once_and_recorded_as_alone(dataset, tmp_path, reads):
    specs = [parse_spec(RIGHT), parse_spec(RIGHT.replace("reads_colours", "reads_the_next_class"))]
    store = RecordStore(tmp_path / "together")
    together = measured(dataset, "imagenet", specs, load, store, SETTINGS)
    assert len(reads) == len(set(reads)) == 40
    for spec, (run, images) in zip(specs, together, strict=True):
        alone = measured(dataset, "imagenet", [spec], load, RecordStore(tmp_path / "alone"), SETTINGS)[0][0]
        assert run.key == alone.key
        assert records(run, images).keys() == records(alone, images).keys()
        for name, values in records(alone, images).items():
            assert np.array_equal(records(run, images)[name], values), name


def test_a_classifier_that_joins_a_pass_gets_only_what_it_lacks(dataset, store):
    first, second = parse_spec(RIGHT), parse_spec(RIGHT.replace("reads_colours", "reads_the_next_class"))
    measured(dataset, "imagenet", [first], load, store, replace(SETTINGS, images=25))
    (one, _), (other, _) = measured(dataset, "imagenet", [first, second], load, store, SETTINGS)
    for run in (one, other):
        assert records(run, 40)["position"].tolist() == list(range(40))
        assert len(list(run.folder.glob("*.parquet"))) == 1


def test_what_was_measured_before_a_bad_image_is_kept(dataset, store, ahead):
    order = prefix_order(40, seed=0)
    bad = dataset.path(order[23])
    good = bad.read_bytes()
    bad.write_bytes(b"x" * len(good))  # the same size: the listing, and so the run, stays the same
    with pytest.raises(DataError, match=f"{bad} is not an image"):
        measure(dataset, store, Counting())
    bad.write_bytes(good)
    again = Counting()
    assert len(measure(dataset, store, again)["image"]) == 40
    assert again.images == 40 - 21  # three batches of 7 came before the bad one's


def test_a_run_that_is_stopped_goes_on_from_there(dataset, store):
    class Stopping(Counting):
        def _count(self, images):
            super()._count(images)
            if self.images > 20:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(dataset, store, Stopping())
    again = Counting()
    measure(dataset, store, again)
    assert again.images == 40 - 14


def test_chunks_are_kept_one_by_one(tmp_path, store):
    write_imagenet(tmp_path / "imagenet", range(300), per_class=1)
    dataset = open_benchmark("imagenet", DataRoots(tmp_path))
    run, _ = ask(dataset, store, Counting(), Settings(workers=0, batch_size=100))
    assert sorted(path.name[:9] for path in run.folder.glob("*.parquet")) == ["00000-256", "00001-44."]
    assert records(run, 300)["position"].tolist() == list(range(300))


@pytest.fixture
def reads(monkeypatch):
    """The files that were decoded, in order."""
    found, read_image = [], decoding.read_image
    monkeypatch.setattr(decoding, "read_image", lambda path: found.append(path) or read_image(path))
    return found


@pytest.mark.parametrize(
    ("keep", "other", "decoded"),
    [
        pytest.param({"keep_pixels": True}, "", 40, id="kept"),
        pytest.param({"keep_pixels": True}, "&resize=100&crop=90", 80, id="kept_for_another_size"),
        pytest.param({}, "", 80, id="by_default"),
    ],
)
def test_files_are_decoded_once_for_all_of_one_size_where_pixels_are_kept(dataset, store, reads, keep, other, decoded):
    second = Counting(RIGHT.replace("reads_colours", "reads_the_next_class") + other)
    measure(dataset, store, Counting(), **keep)
    found = measure(dataset, store, second, **keep)
    assert (len(reads), len(set(reads)), second.images) == (decoded, 40, 40)
    alone = measure(replace(dataset, decoded={}), RecordStore(store.root / "alone"), second)
    assert all(np.array_equal(found[name], alone[name]) for name in alone)
    assert bool(dataset.decoded) == bool(keep)


def test_an_image_that_changed_is_said_and_its_chunk_alone_measured_again(tmp_path, store, caplog):
    write_imagenet(tmp_path / "imagenet", range(300), per_class=1)
    dataset = open_benchmark("imagenet", DataRoots(tmp_path))
    measure(dataset, store, Counting(), batch_size=100)
    changed = dataset.path(prefix_order(300, seed=0)[280])
    write_image(changed, 999, size=(32, 32))
    again = Counting()
    with caplog.at_level(logging.WARNING):
        found = measure(dataset, store, again, batch_size=100)
    assert again.images == 300 - 256
    assert found["own_prediction"][280] == 999
    assert f"imagenet: {changed} changed since it was measured" in caplog.text


def test_images_that_were_only_copied_are_not_measured_again(dataset, store):
    measure(dataset, store, Counting())
    for index in range(len(dataset)):
        os.utime(dataset.path(index), ns=(0, 0))
    again = Counting()
    measure(dataset, store, again)
    assert again.images == 0


def test_what_a_classifiers_own_code_raises_is_one_line(dataset, store):
    with pytest.raises(
        ClassifierError, match=r"reads_colours.* fails on images of shape .7, 3, 16, 16. .RuntimeError: too"
    ):
        measure(dataset, store, Breaking(RIGHT + "&resize=16&crop=16"))


def test_altered_records_are_measured_again_and_this_is_said(dataset, store, caplog):
    classifier = Counting()
    run, _ = ask(dataset, store, classifier)
    (chunk,) = run.folder.glob("*.parquet")
    chunk.write_bytes(chunk.read_bytes()[:-1])
    with caplog.at_level(logging.WARNING):
        assert len(measure(dataset, store, Counting())["image"]) == 40
    assert "cut short or altered" in caplog.text


def test_judging_from_the_store_alone_measures_nothing(dataset, store):
    classifier = Counting()
    measure(dataset, store, classifier, images=10)
    assert len(measure(dataset, store, classifier, images=10, measure=False)["image"]) == 10
    with pytest.raises(NotMeasured, match=r"10 of 20 records of .* on imagenet are not in .*without --claims-only"):
        measure(dataset, store, classifier, images=20, measure=False)
    assert classifier.loads == 1


def test_nan_logits_name_the_classifier_and_an_image(dataset, store):
    text = RIGHT.replace("reads_colours", "gives_nan")
    first = dataset.path(prefix_order(40, seed=0)[0])
    with pytest.raises(ClassifierError, match="gives_nan.*: NaN or infinite logits for") as caught:
        measure(dataset, store, Counting(text))
    assert str(first) in str(caught.value)


def test_wrong_number_of_logits_is_refused(dataset, store):
    with pytest.raises(ClassifierError, match="10"):
        measure(dataset, store, Counting(RIGHT.replace("reads_colours", "gives_ten_logits")))


def test_background_class_is_dropped(dataset, store):
    found = measure(dataset, store, Counting(RIGHT.replace("reads_colours", "with_background") + "&classes=1001"))
    assert (found["label_rank"] == 1).sum() == 38


def test_imagenet_a_is_decided_among_its_200_classes(tmp_path, store):
    # Images in the colour of class 0, which is not one of the 200: the nearest colour among them decides.
    write_imagenet_a(tmp_path / "imagenet-a", per_class=1, seen_as=lambda index, place: 0)
    dataset = open_benchmark("imagenet-a", DataRoots(tmp_path))
    found = measure(dataset, store, Counting())
    assert set(found["top5"][:, 0]) == {0}
    assert set(found["own_prediction"]) <= set(dataset.own_classes)


def test_cue_conflict_keeps_categories_and_their_probabilities(tmp_path, store):
    write_cue_conflict(tmp_path / "cue-conflict", {"cat1-dog1": "cat", "bear1-oven2": "oven"})
    found = measure(open_benchmark("cue-conflict", DataRoots(tmp_path)), store, Counting())
    by_image = dict(zip(found["image"], found["category_probabilities"], strict=True))
    assert by_image["bear1-oven2.png"].argmax() == 14  # oven is 14th of the 16, alphabetically from 0
    assert by_image["cat1-dog1.png"][7] == pytest.approx(1 / 6, rel=1e-3)  # all on one of cat's six classes
    assert dict(zip(found["image"], found["shape"], strict=True))["bear1-oven2.png"] == "bear"


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"precision": "bf16"},
        {"spec": RIGHT + "&resize=300"},
        {"spec": RIGHT.replace("reads_colours", "gives_nan")},
    ],
    ids=["seed", "precision", "preprocessing", "classifier"],
)
def test_records_of_another_setting_are_not_taken(dataset, change):
    change = dict(change)
    other = parse_spec(change.pop("spec", RIGHT))
    assert (
        run_key(dataset, "imagenet", parse_spec(RIGHT), SETTINGS).digest
        != run_key(dataset, "imagenet", other, replace(SETTINGS, **change)).digest
    )


def test_records_do_not_depend_on_how_they_were_computed(dataset):
    key = run_key(dataset, "imagenet", parse_spec(RIGHT), SETTINGS)
    otherwise = replace(SETTINGS, batch_size=1, workers=9, images=3)
    assert key.digest == run_key(dataset, "imagenet", parse_spec(RIGHT), otherwise).digest
