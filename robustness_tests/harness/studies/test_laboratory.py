"""The laboratory: data are put in place when they are asked for, and processes share what there is to measure."""

import os
import threading

import numpy as np
import pytest

from data_fixtures.colours import write_cue_conflict, write_imagenet
from harness.benchmarks.catalog import DataRoots
from harness.classifiers.loading import load
from harness.classifiers.spec import parse_spec
from harness.engines.measuring import measured, run_key
from harness.engines.settings import Settings
from harness.errors import ClassifierError, DataError, DataMissing, DecoderLost, NotMeasured, RecordsError
from harness.protocols.attacks import Attack
from harness.records.store import Busy, RecordStore
from harness.studies.laboratory import Laboratory

pytestmark = pytest.mark.usefixtures("one_thread")

RIGHT = parse_spec("python:data_fixtures.classifiers:reads_colours?mean=0,0,0&std=1,1,1&resize=16&crop=16")
NEXT = parse_spec(RIGHT.text.replace("reads_colours", "reads_the_next_class"))
SETTINGS = Settings(workers=0)
ATTACK = Attack("standard", ladder=(1,), restarts=1)


def write(root, benchmark):
    if benchmark == "imagenet":
        write_imagenet(root / "imagenet", range(10), per_class=2)
    else:
        write_cue_conflict(root / "cue-conflict", {f"cat{place}-dog1": "cat" for place in range(6)})


@pytest.fixture
def data(tmp_path):
    for benchmark in ("imagenet", "cue-conflict"):
        write(tmp_path / "data", benchmark)
    return DataRoots(tmp_path / "data")


@pytest.fixture
def store(tmp_path):
    return RecordStore(tmp_path / "records")


def test_a_benchmark_is_put_in_its_place_once_before_it_is_opened(tmp_path, store):
    supplied = []

    def supply(benchmark, *, wait):
        supplied.append(benchmark)
        write(tmp_path / "data", benchmark)
        return "its hash"

    roots = DataRoots(tmp_path / "data")
    with pytest.raises(DataMissing, match="imagenet: no folder"):
        Laboratory(roots, store, SETTINGS).dataset("imagenet")
    asked = Laboratory(roots, store, SETTINGS, supply=supply)
    assert supplied == []
    assert len(asked.dataset("imagenet")) == 20
    assert asked.dataset("imagenet") is asked.dataset("imagenet")
    assert supplied == ["imagenet"]
    assert len(asked.samples(RIGHT, ["cue-conflict"])["cue-conflict"]["group"]) == 6
    assert supplied == ["imagenet", "cue-conflict"]


def test_what_is_wrong_with_a_supply_is_said_each_time_and_keeps_nothing_else_from_being_opened(data, store):
    supplied = []

    def supply(benchmark, *, wait):
        supplied.append(benchmark)
        if benchmark == "imagenet":
            raise DataError("imagenet: the pictures were altered")
        return "its hash"

    asked = Laboratory(data, store, SETTINGS, supply=supply)
    for _ in range(2):
        with pytest.raises(DataError, match="imagenet: the pictures were altered"):
            asked.samples(RIGHT, ["imagenet"])
    assert len(asked.dataset("cue-conflict")) == 6
    assert supplied == ["imagenet", "cue-conflict"]


def test_a_benchmark_that_another_process_puts_in_its_place_is_left_for_last(data, store, asked):
    def supply(benchmark, *, wait):
        if benchmark == "imagenet" and not wait:
            raise Busy(benchmark)
        return "its hash"

    laboratory = Laboratory(data, store, SETTINGS, {RIGHT: ["imagenet", "cue-conflict"]}, supply=supply)
    assert len(laboratory.samples(RIGHT, ["imagenet"])["imagenet"]["group"]) == 20
    assert asked == [["cue-conflict", False, True], ["imagenet", True, True]]
    assert laboratory.dataset("imagenet", wait=False) is laboratory.dataset("imagenet")


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        pytest.param(None, {"imagenet": 20, ATTACK: 7}, id="all"),
        pytest.param(5, {"imagenet": 5, ATTACK: 5}, id="fewer_by_the_settings"),
        pytest.param(13, {"imagenet": 13, ATTACK: 7}, id="the_fewest"),
    ],
)
def test_each_thing_is_asked_of_as_many_images_as_its_prefix_and_the_settings_say(data, store, images, expected):
    settings = Settings(workers=0, images=images)
    asked = Laboratory(data, store, settings, prefix=lambda classifier, need: 7 if need == ATTACK else 50)
    found = asked.samples(RIGHT, [*expected])
    assert {need: len(sample["group"]) for need, sample in found.items()} == expected
    whole = Laboratory(data, store, SETTINGS).samples(RIGHT, ["imagenet"])["imagenet"]
    for sample in found.values():  # the first of the order
        assert sample["digest"].tolist() == whole["digest"][: len(sample["digest"])].tolist()


@pytest.fixture
def asked(monkeypatch):
    """What was tried to be measured, in order, each with whether to wait for others and whether this came to an end."""
    tried = []

    def watched(dataset, need, specs, *rest, wait):
        tried.append([need, wait, False])
        found = measured(dataset, need, specs, *rest, wait=wait)
        tried[-1][2] = True
        return found

    monkeypatch.setattr("harness.studies.laboratory.measured", watched)
    return tried


class Holder(threading.Thread):
    """Measures a run elsewhere: holds it until something has come to an end, or for some seconds at most."""

    def __init__(self, run, has_ended):
        super().__init__(daemon=True)
        self._run, self._has_ended = run, has_ended
        self.held = threading.Event()

    def run(self):
        with self._run.lock():
            self.held.set()
            for _ in range(200):
                if self._has_ended():
                    break
                threading.Event().wait(0.05)


def test_what_another_process_measures_is_left_for_last(data, store, asked):
    laboratory = Laboratory(data, store, SETTINGS, {RIGHT: ["imagenet", ATTACK, "cue-conflict"]})
    key = run_key(laboratory.dataset("imagenet"), "imagenet", RIGHT, SETTINGS, load)
    holder = Holder(RecordStore(store.root).run(key), lambda: ["cue-conflict", False, True] in asked)
    holder.start()
    assert holder.held.wait(10)
    found = laboratory.samples(RIGHT, ["imagenet"])
    holder.join()
    assert asked[:3] == [["imagenet", False, False], [ATTACK, False, True], ["cue-conflict", False, True]]
    assert [(need, is_done) for need, _, is_done in asked if is_done][2:] == [("imagenet", True)]
    assert found["imagenet"]["correct"].all()


def test_while_another_process_measures_others_are_measured_from_the_end(data, store, asked):
    plan = {RIGHT: ["imagenet"], NEXT: ["imagenet", "cue-conflict"]}
    laboratory = Laboratory(data, store, SETTINGS, plan)
    key = run_key(laboratory.dataset("imagenet"), "imagenet", RIGHT, SETTINGS, load)
    holder = Holder(RecordStore(store.root).run(key), lambda: len(asked) > 1)
    holder.start()
    assert holder.held.wait(10)
    found = laboratory.samples(RIGHT, ["imagenet"])
    holder.join()
    assert asked[:2] == [["imagenet", False, False], ["cue-conflict", False, True]]
    assert found["imagenet"]["correct"].all()
    assert len(laboratory.samples(NEXT, ["cue-conflict"])["cue-conflict"]["group"]) == 6
    assert [need for need, _, is_done in asked if is_done].count("cue-conflict") == 1


def test_what_is_not_needed_now_is_not_waited_for(data, store, asked):
    laboratory = Laboratory(data, store, SETTINGS, {RIGHT: ["imagenet", "cue-conflict"]})
    key = run_key(laboratory.dataset("imagenet"), "imagenet", RIGHT, SETTINGS, load)
    holder = Holder(RecordStore(store.root).run(key), lambda: ["cue-conflict", False, True] in asked and is_done)
    is_done = []
    holder.start()
    assert holder.held.wait(10)
    assert len(laboratory.samples(RIGHT, ["cue-conflict"])["cue-conflict"]["group"]) == 6
    is_done.append(True)
    holder.join()
    assert ["imagenet", True, True] not in asked
    assert laboratory.samples(RIGHT, ["imagenet"])["imagenet"]["correct"].all()


def test_nobody_waits_where_nobody_else_measures(data, store, asked):
    laboratory = Laboratory(data, store, SETTINGS, {RIGHT: ["imagenet", "cue-conflict"]})
    laboratory.samples(RIGHT, ["cue-conflict"])
    assert asked == [["cue-conflict", False, True], ["imagenet", False, True]]


def test_a_transferred_attack_of_which_one_part_is_busy_waits_as_a_whole(data, store, asked):
    attack = Attack("published", ladder=(1,), surrogate=RIGHT.text)
    laboratory = Laboratory(data, store, SETTINGS, {spec: [attack, "imagenet"] for spec in (RIGHT, NEXT)})
    key = run_key(laboratory.dataset("imagenet"), attack, NEXT, SETTINGS, load)
    holder = Holder(RecordStore(store.root).run(key), lambda: ["imagenet", False, True] in asked)
    holder.start()
    assert holder.held.wait(10)
    laboratory.samples(RIGHT, [attack])
    holder.join()
    assert asked[:2] == [[attack, False, False], ["imagenet", False, True]]
    assert [need for need, _, is_done in asked if is_done].count(attack) == 1


def test_records_belong_to_the_contents_that_were_supplied(data, store):
    """Files that are checked as a whole are not looked at one by one: other contents are another run."""
    folders = {}
    for contents in ("one", "another", "one"):
        laboratory = Laboratory(data, store, SETTINGS, supply=lambda benchmark, *, wait, contents=contents: contents)
        laboratory.samples(RIGHT, ["cue-conflict"])
        folders[contents] = len(store.runs())
    assert folders == {"one": 2, "another": 2}


BROKEN = parse_spec(RIGHT.text.replace("reads_colours", "gives_nan"))
SMALLER = parse_spec(NEXT.text.replace("resize=16&crop=16", "resize=20&crop=16"))
PLAN = ["imagenet", "cue-conflict", ATTACK]


@pytest.fixture
def passes(monkeypatch):
    """What was measured, in order: what was asked, and of whom in one pass."""
    found = []

    def watched(dataset, need, specs, *rest, **how):
        found.append((need, list(specs)))
        return measured(dataset, need, specs, *rest, **how)

    monkeypatch.setattr("harness.studies.laboratory.measured", watched)
    return found


def measured_alone(data, store, spec, need):
    return Laboratory(data, RecordStore(store.root / "alone"), SETTINGS).samples(spec, [need])[need]


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_classifiers_share_a_pass_over_images_and_none_over_attacks(data, store, passes):
    asked = Laboratory(data, store, SETTINGS, dict.fromkeys((RIGHT, NEXT), PLAN), shares_passes=True)
    for spec in (RIGHT, NEXT):
        for need, sample in asked.samples(spec, PLAN).items():
            assert_same(sample, measured_alone(data, store, spec, need))
    assert [each for each in passes if len(each[1]) > 1] == [(need, [RIGHT, NEXT]) for need in PLAN[:2]]


@pytest.mark.parametrize(
    ("others", "plan", "how"),
    [
        pytest.param([SMALLER], ["imagenet"], {"shares_passes": True}, id="images_of_another_size"),
        pytest.param([NEXT], ["cue-conflict"], {"shares_passes": True}, id="asked_about_others"),
        pytest.param([NEXT], ["imagenet"], {}, id="by_default"),
        pytest.param([NEXT], ["imagenet"], {"shares_passes": True, "prefix": lambda *asked: 7}, id="prefixes"),
    ],
)
def test_what_differs_is_measured_apart(data, store, passes, others, plan, how):
    Laboratory(data, store, SETTINGS, {RIGHT: ["imagenet"]} | dict.fromkeys(others, plan), **how).samples(
        RIGHT, ["imagenet"]
    )
    assert passes == [("imagenet", [RIGHT])]


def test_who_is_in_the_store_already_joins_no_pass_and_is_not_loaded(data, store, passes, monkeypatch):
    Laboratory(data, store, SETTINGS).samples(NEXT, ["imagenet"])
    asked = Laboratory(data, store, SETTINGS, {spec: ["imagenet"] for spec in (RIGHT, NEXT)}, shares_passes=True)
    asked.samples(RIGHT, ["imagenet"])
    asked.samples(NEXT, ["imagenet"])
    assert passes == [("imagenet", [NEXT]), ("imagenet", [RIGHT]), ("imagenet", [NEXT])]


def test_who_lacks_other_images_joins_no_pass_and_is_asked_about_these_alone(data, store, passes, monkeypatch):
    from harness.protocols.classify import Classify

    Laboratory(data, store, Settings(workers=0, images=15)).samples(RIGHT, ["imagenet"])
    seen, begin = [], Classify.begin
    monkeypatch.setattr(Classify, "begin", lambda self, *batch: seen.append(len(batch[1])) or begin(self, *batch))
    asked = Laboratory(data, store, SETTINGS, {spec: ["imagenet"] for spec in (RIGHT, NEXT)}, shares_passes=True)
    asked.samples(RIGHT, ["imagenet"])
    assert sum(seen) == 20 - 15
    asked.samples(NEXT, ["imagenet"])
    assert sum(seen) == 20 - 15 + 20


def test_altered_records_are_told_of_once(data, store, caplog):
    Laboratory(data, store, SETTINGS).samples(RIGHT, ["imagenet"])
    (chunk,) = store.root.rglob("*.parquet")
    chunk.write_bytes(chunk.read_bytes()[:-1])
    asked = Laboratory(data, store, SETTINGS, {spec: ["imagenet"] for spec in (RIGHT, NEXT)}, shares_passes=True)
    assert asked.samples(RIGHT, ["imagenet"])["imagenet"]["correct"].all()
    assert caplog.text.count("was cut short or altered") == 1


@pytest.mark.parametrize("error", [DecoderLost("a decoder was ended"), RecordsError("no space left on the device")])
def test_what_no_classifier_is_to_blame_for_is_told_at_once(data, store, monkeypatch, error):
    tried = []

    def fails(dataset, need, specs, *rest, **how):
        tried.append(list(specs))
        raise error

    monkeypatch.setattr("harness.studies.laboratory.measured", fails)
    asked = Laboratory(data, store, SETTINGS, {spec: ["imagenet"] for spec in (RIGHT, NEXT)}, shares_passes=True)
    with pytest.raises(type(error)) as caught:
        asked.samples(RIGHT, ["imagenet"])
    assert caught.value is error
    assert tried == [[RIGHT, NEXT]]


@pytest.mark.parametrize(("times", "shared_by"), [(0, 1), (2, 2), (3.5, 3), (1000, 4)])
def test_a_pass_is_shared_by_as_many_as_there_is_memory_for(data, store, passes, monkeypatch, times, shared_by):
    """A quarter of what is free is so many times what one classifier takes."""
    free = int(4 * times * load(RIGHT).bytes)
    monkeypatch.setattr("harness.studies.laboratory.free_bytes", lambda device: free)
    specs = [RIGHT, *(parse_spec(NEXT.text.replace("std=1,1,1", f"std=1,1,{last}")) for last in (1.5, 2, 2.5))]
    asked = Laboratory(data, store, SETTINGS, {spec: ["imagenet"] for spec in specs}, shares_passes=True)
    asked.samples(RIGHT, ["imagenet"])
    assert passes == [("imagenet", specs[:shared_by])]


def test_who_fails_in_a_shared_pass_keeps_nobody_from_being_measured(data, store, passes):
    specs = [RIGHT, BROKEN, NEXT]
    asked = Laboratory(data, store, SETTINGS, {spec: ["imagenet"] for spec in specs}, shares_passes=True)
    for spec in (RIGHT, NEXT):
        assert_same(asked.samples(spec, ["imagenet"])["imagenet"], measured_alone(data, store, spec, "imagenet"))
    with pytest.raises(ClassifierError, match=r"gives_nan.*: NaN or infinite logits") as caught:
        asked.samples(BROKEN, ["imagenet"])
    assert "reads_colours" not in str(caught.value)


STORED = Settings(workers=0, measure=False)


def test_a_diagnosis_is_kept_beside_the_records(data, store):
    found = Laboratory(data, store, SETTINGS).diagnosis(NEXT)
    assert found.readings
    assert Laboratory(data, store, STORED).diagnosis(NEXT) == found
    with pytest.raises(NotMeasured, match="is not recorded, and nothing may be measured"):
        Laboratory(data, store, STORED).diagnosis(RIGHT)


def of_another_image(data, store):
    os.utime(next(data.root.glob("imagenet/*/*/*.png")), (1, 1))


def of_another_reference(data, store):
    Laboratory(data, store, SETTINGS).samples(RIGHT, ["imagenet"])


def altered(data, store):
    (path,) = store.root.glob("*/*/findings.json")
    path.write_text(path.read_text(encoding="utf-8").replace("0.", "0.1", 1), encoding="utf-8")


@pytest.mark.parametrize(
    "change", [of_another_image, of_another_reference, altered], ids=lambda change: change.__name__
)
def test_a_diagnosis_is_made_again_once_its_grounds_are_others(data, store, change, caplog):
    found = Laboratory(data, store, SETTINGS).diagnosis(NEXT, RIGHT)
    assert Laboratory(data, store, STORED).diagnosis(NEXT, RIGHT) == found
    change(data, store)
    with pytest.raises(NotMeasured):
        Laboratory(data, store, STORED).diagnosis(NEXT, RIGHT)
    assert caplog.text.count("findings.json was cut short or altered; what it says is found out again") == (
        change is altered
    )
    assert Laboratory(data, store, SETTINGS).diagnosis(NEXT, RIGHT).accuracy == found.accuracy
    assert Laboratory(data, store, STORED).diagnosis(NEXT, RIGHT).accuracy == found.accuracy
