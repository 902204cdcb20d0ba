"""The live study: figures of known classifiers on known data, each classifier loaded once."""

import pytest

from data_fixtures.colours import write_cue_conflict, write_imagenet, write_imagenet_a, write_imagenet_c
from harness import recorded
from harness.benchmarks.catalog import DataRoots
from harness.classifiers.spec import parse_spec
from harness.engines.local import Settings
from harness.errors import DataError, DataMissing, NotMeasured
from harness.metrics.corruption import CORRUPTIONS, SEVERITIES
from harness.records.store import RecordStore
from harness.studies import quantities
from harness.studies.live import Laboratory, LiveStudy

RIGHT = "python:data_fixtures.classifiers:reads_colours?mean=0,0,0&std=1,1,1"
WRONG = RIGHT.replace("reads_colours", "reads_the_next_class")
CLASSES = range(6, 26)
# Errors of the classifier that is right: 1, 2 ... 5 of 20 images at severities 1 to 5.
LEFT_WRONG = {(corruption, severity): severity for corruption in CORRUPTIONS for severity in SEVERITIES}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_imagenet(root / "imagenet", CLASSES, per_class=3, seen_as=lambda index, place: 500 if index == 6 else index)
    write_imagenet_c(root / "imagenet-c", CLASSES, per_class=1, wrong=LEFT_WRONG)
    write_imagenet_a(root / "imagenet-a", per_class=1)
    stimuli = {f"cat{place}-dog{place}": "cat" if place < 3 else "dog" if place < 10 else "oven" for place in range(12)}
    write_cue_conflict(root / "cue-conflict", stimuli)
    return root


@pytest.fixture(scope="module")
def loads():
    return []


@pytest.fixture(scope="module")
def study(data, tmp_path_factory, loads):
    from harness.classifiers import loading

    plan = {parse_spec(text): ["imagenet", "imagenet-c", "imagenet-a", "cue-conflict"] for text in (RIGHT, WRONG)}
    laboratory = Laboratory(DataRoots(data), RecordStore(tmp_path_factory.mktemp("records")), Settings(workers=0), plan)
    load = loading.load
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loading, "load", lambda spec, device="cpu": loads.append(spec.text) or load(spec, device))
        yield LiveStudy("paper", parse_spec(WRONG), [parse_spec(RIGHT)], laboratory, alpha=1e-3)


def value(study, quantity, subject=RIGHT):
    return study.figure(quantity, subject).estimate.value


def test_accuracy_is_what_was_painted(study):
    estimate = study.figure(quantities.IMAGENET_TOP1, RIGHT).estimate
    assert (estimate.value, estimate.images) == (57 / 60, 60)
    assert 0.75 < estimate.low < 57 / 60 < estimate.high < 1
    assert value(study, quantities.IMAGENET_TOP1, WRONG) == 0


def test_mce_is_what_was_painted(study):
    alexnet = recorded.alexnet_corruption_errors()
    assert value(study, quantities.MCE) == pytest.approx(sum(0.15 / error for error in alexnet.values()) / 15)
    clean, alexnet_clean = 3 / 60, recorded.alexnet_clean_error()
    expected = sum((0.15 - clean) / (error - alexnet_clean) for error in alexnet.values()) / 15
    assert value(study, quantities.REL_MCE) == pytest.approx(expected)


def test_shape_bias_is_what_was_painted(study):
    assert value(study, quantities.SHAPE_BIAS) == 3 / 10


def test_imagenet_a_is_decided_among_its_classes(study):
    assert value(study, quantities.IMAGENET_A_TOP1) == 1
    assert value(study, quantities.AURRA) == 1
    assert value(study, quantities.RMS_CE) < 0.01


def test_each_classifier_is_loaded_once(study, loads):
    for quantity in (quantities.IMAGENET_TOP1, quantities.MCE, quantities.SHAPE_BIAS, quantities.IMAGENET_A_TOP1):
        for subject in (RIGHT, WRONG):
            study.figure(quantity, subject)
    assert sorted(loads) == sorted([RIGHT, WRONG])


def test_differences_are_paired(study):
    # Every single image is right for one and wrong for the other, or wrong for both: no luck of the draw in between.
    comparison = study.compare(quantities.MCE, RIGHT, WRONG)
    assert comparison.difference.value == pytest.approx(
        value(study, quantities.MCE) - value(study, quantities.MCE, WRONG)
    )
    assert comparison.difference.high < 0


def test_a_classifier_does_not_differ_from_itself(study):
    difference = study.compare(quantities.IMAGENET_TOP1, RIGHT, RIGHT).difference
    assert difference.value == 0
    assert difference.high == pytest.approx(2 * 7.6009 / 60, rel=1e-4)  # ln(2 / alpha) / n for each side, and no more


def test_quoted_rows_are_compared_as_exact(study):
    comparison = study.compare(quantities.SHAPE_BIAS, RIGHT, "Humans (Geirhos et al., 2019)")
    assert comparison.second.estimate.value == 0.959
    assert comparison.difference.value == pytest.approx(0.3 - 0.959)


def test_gains_are_of_the_subject_over_the_baseline(study):
    comparison = study.gain(quantities.IMAGENET_A_TOP1, RIGHT, times=2, over=quantities.IMAGENET_TOP1)
    assert comparison.first.estimate.value == pytest.approx(1 - value(study, quantities.IMAGENET_A_TOP1, WRONG))
    assert comparison.second.estimate.value == pytest.approx(2 * 57 / 60)


def test_what_no_protocol_measures_is_not_measured(study):
    with pytest.raises(NotMeasured, match="judged on published figures only"):
        study.figure(quantities.MFR, RIGHT)
    with pytest.raises(NotMeasured, match="judged on published figures only"):
        study.flip_probabilities(RIGHT)


def test_missing_data_is_said_before_anything_is_loaded(data, tmp_path):
    laboratory = Laboratory(DataRoots(tmp_path), RecordStore(tmp_path / "records"), Settings(workers=0))
    study = LiveStudy("paper", parse_spec("resnext101_32x8d"), [parse_spec(RIGHT)], laboratory, alpha=1e-3)
    with pytest.raises(DataMissing, match="imagenet: no folder"):
        study.figure(quantities.IMAGENET_TOP1, "resnext101_32x8d")


def test_bad_data_of_one_benchmark_does_not_keep_others_from_being_measured(data, tmp_path):
    write_imagenet(tmp_path / "imagenet", [0], per_class=1)
    (tmp_path / "cue-conflict").mkdir()
    plan = {parse_spec(RIGHT): ["cue-conflict", "imagenet"]}
    laboratory = Laboratory(DataRoots(tmp_path), RecordStore(tmp_path / "records"), Settings(workers=0), plan)
    study = LiveStudy("paper", parse_spec(WRONG), [parse_spec(RIGHT)], laboratory, alpha=1e-3)
    assert value(study, quantities.IMAGENET_TOP1) == 1
    with pytest.raises(DataError, match="cue-conflict: no image"):
        study.figure(quantities.SHAPE_BIAS, RIGHT)


def test_a_subset_with_an_empty_cell_gives_no_mce(data, tmp_path):
    laboratory = Laboratory(DataRoots(data), RecordStore(tmp_path), Settings(workers=0, images=60))
    study = LiveStudy("paper", parse_spec(WRONG), [parse_spec(RIGHT)], laboratory, alpha=1e-3)
    with pytest.raises(NotMeasured, match="60 of its .cell, image. pairs reach .* of the 75 cells; mCE needs all"):
        study.figure(quantities.MCE, RIGHT)
