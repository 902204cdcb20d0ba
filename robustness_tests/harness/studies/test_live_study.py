"""The live study: figures of known classifiers on known data, each classifier loaded once."""

import re

import pytest

from data_fixtures.colours import (
    colour_of,
    write_cue_conflict,
    write_imagenet,
    write_imagenet_a,
    write_imagenet_c,
    write_imagenet_p,
)
from harness import recorded
from harness.benchmarks.catalog import DataRoots
from harness.classifiers.spec import parse_spec
from harness.engines.settings import Settings
from harness.errors import DataError, DataMissing, NotMeasured
from harness.metrics.corruption import CORRUPTIONS, SEVERITIES
from harness.records.store import RecordStore
from harness.studies import quantities
from harness.studies.laboratory import Laboratory
from harness.studies.live import Attacks, LiveStudy
from harness.studies.study import WSL
from robustness_tests import test_pinned_figures

RIGHT = "python:data_fixtures.classifiers:reads_colours?mean=0,0,0&std=1,1,1"
WRONG = RIGHT.replace("reads_colours", "reads_the_next_class")
# Wrong about all clean images, and right about those of ImageNet-C about which RIGHT is wrong.
REVERSED = RIGHT.replace("reads_colours", "reads_the_class_before")
# Takes class 112 for class 111.
CONFUSED = RIGHT.replace("data_fixtures.classifiers:reads_colours", f"{__name__}:confuses_two")
CLASSES = range(6, 26)
# Errors of the classifier that is right: 1, 2 ... 5 of 20 images at severities 1 to 5.
LEFT_WRONG = {(corruption, severity): severity for corruption in CORRUPTIONS for severity in SEVERITIES}


def confuses_two():
    """Make a classifier that sees nothing in the colour of class 112, and what is closest to it in class 111."""
    import torch

    from data_fixtures.classifiers import ReadsColours

    model = ReadsColours()
    with torch.no_grad():
        model.colours[111] += 0.1 * (torch.tensor(colour_of(112)) - torch.tensor(colour_of(111))) / 255
        model.colours[112] = -9
    return model


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
            study.provenance(quantity, subject)
    assert sorted(loads) == sorted([RIGHT, WRONG])


def test_figures_rest_on_their_images_and_weights(study):
    found = study.provenance(quantities.MCE, RIGHT)
    assert (found.study, found.data.keys(), found.weights.keys()) == ("paper", {"imagenet-c"}, {"reads_colours"})
    assert found.settings == {"precision": "fp32", "seed": "0"}
    assert found.labels == {RIGHT: "reads_colours"}
    other = study.provenance(quantities.IMAGENET_A_TOP1, WRONG)
    assert other.data.keys() == {"imagenet-a"}
    assert all(re.fullmatch("sha256:[0-9a-f]{16}", each) for each in (*found.data.values(), *other.data.values()))
    assert found.data["imagenet-c"] != other.data["imagenet-a"]
    assert re.fullmatch("sha256:[0-9a-f]{64}", found.weights["reads_colours"])
    assert study.provenance(quantities.IMAGENET_TOP1, "Humans (Geirhos et al., 2019)").data == {}


def test_figures_of_transferred_attacks_rest_on_the_surrogate_too(data, tmp_path):
    laboratory = Laboratory(DataRoots(data), RecordStore(tmp_path), Settings(workers=0, images=5, seed=3))
    attacks = Attacks(surrogate=WRONG)
    live = LiveStudy("paper", parse_spec(WRONG), [parse_spec(RIGHT)], laboratory, alpha=1e-3, attacks=attacks)
    found = live.provenance(quantities.transfer_accuracy(0.06), RIGHT)
    assert found.weights.keys() == {"reads_colours", "reads_the_next_class"}
    assert found.settings["seed"] == "3"
    assert live.provenance(quantities.whitebox_accuracy(0.06, 10), RIGHT).weights.keys() == {"reads_colours"}
    with pytest.raises(DataMissing):
        live.provenance(quantities.MFR, RIGHT)


def test_figures_of_other_images_rest_on_other_data(study, tmp_path):
    write_imagenet(tmp_path / "imagenet", CLASSES, per_class=2)
    laboratory = Laboratory(DataRoots(tmp_path), RecordStore(tmp_path / "records"), Settings(workers=0))
    other = LiveStudy("paper", parse_spec(WRONG), [parse_spec(RIGHT)], laboratory, alpha=1e-3)
    here, there = (each.provenance(quantities.IMAGENET_TOP1, RIGHT) for each in (study, other))
    assert here.data.keys() == there.data.keys()
    assert here.data != there.data
    assert here.weights == there.weights


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


def test_quantities_of_other_benchmarks_are_each_of_their_own_images(study):
    comparison = study.across(quantities.IMAGENET_A_TOP1, quantities.IMAGENET_TOP1, RIGHT)
    assert (comparison.first.estimate.images, comparison.second.estimate.images) == (200, 60)
    assert comparison.difference.value == pytest.approx(1 - 57 / 60)


@pytest.fixture
def with_roles(data, study):
    """A study in which two play parts of the paper's: of a classifier, and of a row that it quotes."""
    roles = {WSL[0]: parse_spec(RIGHT), "Humans (Geirhos et al., 2019)": parse_spec(REVERSED)}
    return LiveStudy("in parts", parse_spec(WRONG), [parse_spec(RIGHT)], study._laboratory, alpha=1e-3, roles=roles)


def test_parts_are_played_by_whom_the_roles_say(with_roles):
    assert with_roles.player(WSL[0]) == RIGHT
    human = with_roles.player("Humans (Geirhos et al., 2019)")
    assert human == REVERSED
    # It is measured as anyone, and no number is quoted.
    found = with_roles.compare(quantities.SHAPE_BIAS, RIGHT, human)
    assert found.second.estimate.value == value(with_roles, quantities.SHAPE_BIAS, REVERSED)
    for row in (WSL[1], "ResNet-50 (Geirhos et al., 2019)", RIGHT):
        with pytest.raises(NotMeasured, match=f"^nobody plays the part of {re.escape(row)} in this study$"):
            with_roles.player(row)


def test_without_roles_everyone_plays_themselves(study):
    for row in (RIGHT, WRONG, study.surrogate, "Humans (Geirhos et al., 2019)"):
        assert study.player(row) == row
    with pytest.raises(NotMeasured, match=f"^the claim is about {WSL[1]}$"):
        study.player(WSL[1])


def test_gains_are_of_the_subject_over_the_baseline(study):
    comparison = study.gain(quantities.IMAGENET_A_TOP1, RIGHT, times=2, over=quantities.IMAGENET_TOP1)
    assert comparison.first.estimate.value == pytest.approx(1 - value(study, quantities.IMAGENET_A_TOP1, WRONG))
    assert comparison.second.estimate.value == pytest.approx(2 * 57 / 60)


@pytest.fixture
def normalised(data, tmp_path):
    """Give a function that makes a study with a normaliser, each time from the same store."""

    def study():
        laboratory = Laboratory(DataRoots(data), RecordStore(tmp_path), Settings(workers=0), normaliser=REVERSED)
        return LiveStudy("paper", parse_spec(REVERSED), [parse_spec(RIGHT)], laboratory, alpha=1e-3)

    return study


def test_fewer_images_are_divided_by_published_errors_until_the_normaliser_was_measured(normalised):
    figure = normalised().figure(quantities.MCE, RIGHT)
    published = sum(0.15 / error for error in recorded.alexnet_corruption_errors().values()) / 15
    assert figure.estimate.value == pytest.approx(published)
    assert figure.protocol.startswith(
        "classify, normalised by AlexNet as published, on all images, though these are others; measure "
        "reads_the_class_before on them, with the same options, to divide by it"
    )
    normalised().corruption_errors(REVERSED)
    found = normalised()
    figure = found.figure(quantities.MCE, RIGHT)
    assert figure.estimate.value == pytest.approx(0.15 / 0.85)
    assert "normalised by reads_the_class_before on the same images" in figure.protocol
    assert list(found.alexnet_corruption_errors(RIGHT).values()) == pytest.approx([0.85] * 15)
    # The clean images of the normaliser are not measured yet: half of its errors would be no normaliser.
    assert "AlexNet as published" in found.figure(quantities.REL_MCE, RIGHT).protocol


def test_relative_errors_are_divided_by_the_normalisers_own(normalised):
    for quantity in (quantities.MCE, quantities.IMAGENET_TOP1):
        normalised().figure(quantity, REVERSED)
    # It is wrong about all clean images, so that corruptions lower its errors, by which nothing can be divided.
    with pytest.raises(NotMeasured, match="AlexNet's rise over its clean error on gaussian_noise is -0.15"):
        normalised().figure(quantities.REL_MCE, RIGHT)
    assert normalised().alexnet_clean_error(RIGHT) == 1


def always_normalised(root, records, normaliser):
    laboratory = Laboratory(
        DataRoots(root), RecordStore(records), Settings(workers=0), normaliser=normaliser, always_normalise=True
    )
    return LiveStudy("paper", parse_spec(WRONG), [parse_spec(RIGHT)], laboratory, alpha=1e-3)


def test_the_normaliser_is_measured_where_this_is_asked_for(data, tmp_path):
    study = always_normalised(data, tmp_path, REVERSED)
    figure = study.figure(quantities.MCE, RIGHT)
    assert figure.estimate.value == pytest.approx(0.15 / 0.85)
    assert "normalised by reads_the_class_before on the same images" in figure.protocol
    # By itself, it is exactly as robust as itself.
    assert value(study, quantities.MCE, REVERSED) == 1


@pytest.fixture(scope="module")
def sequence_data(tmp_path_factory):
    """Sequences of which frames 3 and 4 show the next class, but those of `tilt` alternate."""
    root = tmp_path_factory.mktemp("sequences")
    write_imagenet_p(
        root / "imagenet-p",
        [111, 444],
        seen_as=lambda name, index, frame: index + (frame % 2 if name == "tilt" else frame in (3, 4)),
    )
    return root


@pytest.fixture(scope="module")
def sequences(sequence_data, tmp_path_factory):
    """A study of the sequences."""
    store = RecordStore(tmp_path_factory.mktemp("records"))
    laboratory = Laboratory(DataRoots(sequence_data), store, Settings(workers=0), normaliser=REVERSED)
    return LiveStudy("paper", parse_spec(WRONG), [parse_spec(RIGHT)], laboratory, alpha=1e-3)


def test_sequences_are_divided_by_the_normalisers_own_flips_and_distances(sequence_data, tmp_path):
    study = always_normalised(sequence_data, tmp_path, CONFUSED)
    # Of each perturbation's two sequences the normaliser sees one flip, and the other two do.
    figure = study.figure(quantities.MFR, RIGHT)
    assert figure.estimate.value == pytest.approx(2)
    assert "normalised by confuses_two on the same images" in figure.protocol
    of_normaliser, own = study.top5_distances(CONFUSED), study.top5_distances(RIGHT)
    assert set(own.values()).isdisjoint(of_normaliser.values())
    expected = sum(own[name] / of_normaliser[name] for name in own) / 10
    assert value(study, quantities.MT5D) == pytest.approx(expected)
    assert value(study, quantities.MFR, CONFUSED) == value(study, quantities.MT5D, CONFUSED) == pytest.approx(1)


def test_flip_probabilities_are_what_was_painted(sequences):
    flips = sequences.flip_probabilities(RIGHT)
    assert flips.pop("tilt") == 1
    assert flips.pop("translate") == 2 / 40
    assert list(flips.values()) == pytest.approx([2 / 30] * 8)
    figure = sequences.figure(quantities.MFR, RIGHT)
    known = recorded.alexnet_flip_probabilities()
    expected = sum(found / known[name] for name, found in sequences.flip_probabilities(RIGHT).items()) / 10
    assert (figure.estimate.value, figure.estimate.images) == (pytest.approx(expected), 20)
    assert figure.protocol.startswith("classify, normalised by AlexNet as published, on all images, though")
    assert sequences.compare(quantities.MFR, RIGHT, WRONG).difference.value == 0
    distances = sequences.top5_distances(RIGHT)
    assert sequences.figure(quantities.MEAN_TOP5_DISTANCE, RIGHT).estimate.value == pytest.approx(
        sum(distances.values()) / 10
    )


@pytest.fixture
def pin(sequences, monkeypatch):
    """Give a function that asks to pin the distances of the normaliser; gives what was compared, and the verdict."""

    def pin(known, *, whole=True):
        class Pinned:
            def __eq__(self, found):
                compared.append(found)
                return True

        compared, judged = [], []
        monkeypatch.setattr(recorded, "alexnet_flip_probabilities", lambda: known)
        monkeypatch.setattr(LiveStudy, "is_whole", lambda self, benchmark: whole)
        test_pinned_figures.test_alexnet_top5_distances_are_the_pinned_ones(
            sequences, RIGHT, lambda judgement: judged.append(judgement) or judgement, Pinned()
        )
        return compared, judged

    return pin


def test_distances_are_pinned_where_flip_probabilities_are_the_published_ones(sequences, pin):
    (compared,), (judgement,) = pin(
        {name: value - 0.0009 for name, value in sequences.flip_probabilities(RIGHT).items()}
    )
    assert {name: each.value for name, each in compared.items()} == sequences.top5_distances(RIGHT)
    assert {(each.tolerance, each.images, each.provenance.study) for each in compared.values()} == {(1e-9, 2, "paper")}
    assert judgement.verdict == "holds"


def test_distances_of_another_pipeline_are_not_pinned(sequences, pin):
    known = sequences.flip_probabilities(RIGHT)
    with pytest.raises(AssertionError, match="fails: 6.667 % for 6.867 % within 0.1 %"):
        pin({**known, "snow": known["snow"] + 0.002})


def test_distances_of_a_subset_are_not_pinned(sequences, pin):
    known = sequences.flip_probabilities(RIGHT)
    with pytest.raises(NotMeasured, match="pinned from all published sequences of ImageNet-P"):
        pin(known, whole=False)


def test_missing_sequences_are_said_where_to_get(study):
    for ask in (lambda: study.figure(quantities.MFR, RIGHT), lambda: study.flip_probabilities(RIGHT)):
        with pytest.raises(DataMissing, match="no folder .*; get it with python -m harness fetch imagenet-p"):
            ask()


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
