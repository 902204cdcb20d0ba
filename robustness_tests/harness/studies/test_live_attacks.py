"""The live study under attack: images are made once for all, and nobody keeps others from their figures."""

from dataclasses import replace

import pytest

from data_fixtures.colours import write_imagenet
from harness.benchmarks.catalog import DataRoots
from harness.benchmarks.order import prefix_order
from harness.classifiers.spec import parse_spec
from harness.engines.measuring import measured
from harness.engines.settings import Settings
from harness.errors import ClassifierError
from harness.protocols.attacks import Attack
from harness.records.store import RecordStore
from harness.scores import find_score
from harness.studies import quantities
from harness.studies.laboratory import Laboratory
from harness.studies.live import Attacks, LiveStudy
from harness.verdicts.rules import higher

pytestmark = pytest.mark.usefixtures("one_thread")

RIGHT = "python:data_fixtures.classifiers:reads_colours?mean=0,0,0&std=1,1,1&resize=16&crop=16"
NEXT = RIGHT.replace("reads_colours", "reads_the_next_class")
NAN = RIGHT.replace("reads_colours", "gives_nan")
SURROGATE = RIGHT + "&interpolation=bicubic"
TRANSFER = Attack("published", eps=0.5, step_size=0.05, ladder=(5, 10), surrogate=SURROGATE)
WHITE_BOX = Attack("standard", ladder=(5, 10), restarts=1)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_imagenet(root / "imagenet", range(10), per_class=2, seen_as=lambda index, place: 4 if index == 3 else index)
    return root


@pytest.fixture
def loads(monkeypatch):
    """The specs that were loaded, in order."""
    from harness.classifiers import loading

    loaded, load = [], loading.load
    monkeypatch.setattr(loading, "load", lambda spec, device="cpu": loaded.append(spec.text) or load(spec, device))
    return loaded


@pytest.fixture
def passes(monkeypatch):
    """What was measured, in order: the attack's name and the classifiers of each pass."""
    found = []

    def watched(dataset, need, specs, *rest, **options):
        found.append((getattr(need, "name", need), [spec.text for spec in specs]))
        return measured(dataset, need, specs, *rest, **options)

    monkeypatch.setattr("harness.studies.laboratory.measured", watched)
    return found


@pytest.fixture
def laboratory(data, tmp_path):
    def laboratory(plan, **settings):
        specs = {parse_spec(text): needs for text, needs in plan.items()}
        return Laboratory(DataRoots(data), RecordStore(tmp_path / "records"), Settings(workers=0, **settings), specs)

    return laboratory


def right_after(laboratory, text, attack, steps):
    score = find_score(attack, f"accuracy_after_{steps}_steps")
    return score.value(laboratory.samples(parse_spec(text), score.needs))


def test_a_transferred_attack_is_made_once_for_all_that_are_planned(laboratory, loads, passes):
    asked = laboratory({text: [TRANSFER] for text in (RIGHT, NEXT, SURROGATE)})
    asked.samples(parse_spec(NEXT), [TRANSFER])
    assert passes == [("transfer-published", [NEXT, RIGHT, SURROGATE])]
    assert sorted(loads) == sorted([NEXT, RIGHT, SURROGATE])
    for text in (RIGHT, NEXT, SURROGATE):
        asked.samples(parse_spec(text), [TRANSFER])
    assert len(passes) == 1


def test_each_classifier_is_loaded_once_for_all_attacks_on_it(laboratory, loads, passes):
    needs = ["imagenet", WHITE_BOX, TRANSFER, Attack("standard", ladder=(3,), surrogate=SURROGATE)]
    asked = laboratory(dict.fromkeys((RIGHT, NEXT), needs))
    for text in (RIGHT, NEXT):
        asked.samples(parse_spec(text), needs)
    assert sorted(loads) == sorted([RIGHT, NEXT, SURROGATE])
    assert [name for name, _ in passes] == [
        *("imagenet", "pgd-standard", "transfer-published", "transfer-standard"),
        *("imagenet", "pgd-standard"),
    ]


def test_a_white_box_attack_is_on_one_classifier_at_a_time(laboratory, passes):
    asked = laboratory({text: [WHITE_BOX] for text in (RIGHT, NEXT)})
    asked.samples(parse_spec(RIGHT), [WHITE_BOX])
    assert passes == [("pgd-standard", [RIGHT])]


def test_one_that_is_not_planned_for_is_measured_all_the_same(laboratory, passes):
    asked = laboratory({RIGHT: ["imagenet"]})
    assert right_after(asked, NEXT, TRANSFER, 10) == 0
    assert passes == [("transfer-published", [NEXT])]


def test_a_broken_classifier_does_not_keep_others_from_being_measured(laboratory):
    asked = laboratory({text: [TRANSFER] for text in (RIGHT, NAN, NEXT)})
    with pytest.raises(ClassifierError, match="NaN or infinite logits") as caught:
        asked.samples(parse_spec(NAN), [TRANSFER])
    assert NAN in str(caught.value)
    assert NEXT not in str(caught.value)  # it was given a pass of its own, so that the blame is on it alone
    alone = laboratory({})
    for text in (RIGHT, NEXT):
        assert right_after(asked, text, TRANSFER, 10) == right_after(alone, text, TRANSFER, 10)
    assert right_after(asked, RIGHT, TRANSFER, 5) > 0


def test_one_that_can_not_be_loaded_does_not_keep_others_from_being_measured(laboratory):
    broken = RIGHT.replace("reads_colours", "no_such_callable")
    asked = laboratory({text: [TRANSFER] for text in (RIGHT, broken)})
    assert right_after(asked, RIGHT, TRANSFER, 5) > 0
    with pytest.raises(Exception, match="unknown callable in data_fixtures.classifiers 'no_such_callable'"):
        asked.samples(parse_spec(broken), [TRANSFER])


def test_a_broken_surrogate_is_named_to_each(laboratory):
    attack = Attack("published", ladder=(1,), surrogate=NAN)
    asked = laboratory({text: [attack] for text in (RIGHT, NEXT)})
    for text in (RIGHT, NEXT):
        with pytest.raises(ClassifierError, match="images made on python:data_fixtures.classifiers:gives_nan"):
            asked.samples(parse_spec(text), [attack])


def test_the_surrogate_and_the_restarts_are_those_that_were_asked_for():
    attacks = Attacks(surrogate=SURROGATE, restarts=5)
    published, standard = quantities.transfer_accuracy(0.06), quantities.transfer_accuracy(0.06, "standard")
    white_box = quantities.whitebox_accuracy(0.06, 10, "standard")
    assert published.attack.surrogate == standard.attack.surrogate == "resnext50_32x4d"
    assert attacks.need(published) == Attack("published", surrogate=SURROGATE)
    assert attacks.need(standard) == Attack("standard", surrogate=SURROGATE, restarts=5)
    assert attacks.need(white_box) == Attack("standard", restarts=5)
    assert attacks.need(quantities.whitebox_accuracy(0.06, 10)) == Attack("published")
    assert attacks.needs(standard) == (Attack("standard", surrogate=SURROGATE, restarts=5),)
    assert attacks.needs(quantities.IMAGENET_TOP1) == ("imagenet",)


def test_maximizing_images_are_searched_for_as_long_as_was_asked_for():
    quantity = quantities.of_maximizing_images("maximized", "units that were maximized")
    assert Attacks(maximizing_steps=5).need(quantity) == replace(quantity.maximize, steps=5)
    assert Attacks().need(quantity) == quantity.maximize
    attacked = quantities.whitebox_accuracy(0.06, 10)
    assert Attacks(maximizing_steps=5).need(attacked) == Attacks().need(attacked)


def test_the_papers_surrogate_and_two_restarts_are_the_default():
    assert Attacks().need(quantities.transfer_accuracy(0.06, "standard")) == Attack(
        "standard", surrogate="resnext50_32x4d"
    )
    assert Attacks().need(quantities.whitebox_accuracy(0.1, 10, "standard")).restarts == 2


@pytest.fixture
def study(laboratory):
    return LiveStudy(
        "paper", parse_spec(NEXT), [parse_spec(RIGHT)], laboratory({}), alpha=1e-3, attacks=Attacks(SURROGATE, 1)
    )


def test_figures_say_how_they_were_measured(study):
    figure = study.figure(quantities.whitebox_accuracy(0.06, 10), RIGHT)
    assert figure.tags == Attack("published").tags.as_words()
    assert figure.protocol == f"{Attack('published').describe(10)}, fp32, seed 0"
    assert (figure.estimate.value, figure.estimate.images) == (0.9, 20)
    transferred = study.figure(quantities.transfer_accuracy(0.06), SURROGATE)
    assert transferred.tags["transferred_from"] == SURROGATE
    assert f"made on {SURROGATE}, which is the classifier itself" in transferred.protocol


def test_standard_figures_are_what_colours_allow(study):
    # 15.3 levels fool where colours lie 25 apart, 2.55 and 10.2 do not.
    accuracies = [
        study.figure(quantities.whitebox_accuracy(eps, 50, "standard"), RIGHT).estimate.value
        for eps in (0.01, 0.04, 0.06)
    ]
    assert accuracies == [0.9, 0.9, 0]
    standard = quantities.whitebox_accuracy(0.06, 50, "standard")
    published = quantities.whitebox_accuracy(0.06, 50)
    drop = study.across(published, standard, RIGHT)
    assert drop.difference.value == pytest.approx(study.figure(published, RIGHT).estimate.value)


def test_box_crossings_are_of_the_steps_behind_the_figure(study):
    quantity = quantities.whitebox_accuracy(0.06, 10)
    assert study.box_crossings(quantity, RIGHT).estimate.value == pytest.approx(10 * 2 / 255 / 0.12)


# By which the first images, and not the last ones, are those of class 3.
SEED = 1


@pytest.fixture
def few(data, tmp_path):
    """A study of 20 clean images, of which fewer are attacked the more the larger eps is."""
    images = {0.01: 12, 0.06: 8}
    laboratory = Laboratory(
        DataRoots(data),
        RecordStore(tmp_path / "records"),
        Settings(workers=0, seed=SEED),
        prefix=lambda classifier, need: 20 if need == "imagenet" else images[need.eps],
    )
    return LiveStudy(
        "paper", parse_spec(NEXT), [parse_spec(RIGHT)], laboratory, alpha=1e-3, attacks=Attacks(SURROGATE, 1)
    )


def right_of_the_first(images):
    """The share of images that are right, of the first of the seeded order; class 3 is painted wrong."""
    labels = prefix_order(20, SEED)[:images] // 2
    return (labels != 3).mean()


def test_a_curve_is_of_the_images_that_both_points_were_measured_on(few):
    mild, strong = (quantities.whitebox_accuracy(eps, 50, "standard") for eps in (0.01, 0.06))
    assert len({right_of_the_first(images) for images in (20, 12, 8)}) == 3
    first, second = few.curve([quantities.IMAGENET_TOP1, mild, strong], RIGHT)
    # 2.55 levels fool nobody, and 15.3 all that were right.
    for comparison, images in ((first, 12), (second, 8)):
        estimates = comparison.first.estimate, comparison.second.estimate, comparison.difference
        assert [estimate.images for estimate in estimates] == [images] * 3
    assert first.first.estimate.value == first.second.estimate.value == pytest.approx(right_of_the_first(12))
    assert first.difference.value == 0
    assert second.second.estimate.value == pytest.approx(right_of_the_first(8))
    assert second.difference.value == pytest.approx(-right_of_the_first(8))
    assert first.second.subject == "its ImageNet top-1 accuracy"


def test_either_side_of_a_comparison_may_be_of_fewer_images(few):
    strong = quantities.whitebox_accuracy(0.06, 50, "standard")
    ways = few.across(quantities.IMAGENET_TOP1, strong, RIGHT), few.across(strong, quantities.IMAGENET_TOP1, RIGHT)
    assert ways[0].difference.value == -ways[1].difference.value == pytest.approx(right_of_the_first(8))
    assert {each.estimate.images for way in ways for each in (way.first, way.second)} == {8}
    # What is compared with nothing is of all images that were asked for.
    assert few.figure(quantities.IMAGENET_TOP1, RIGHT).estimate.images == 20
    assert few.figure(quantities.IMAGENET_TOP1, RIGHT).estimate.value == pytest.approx(right_of_the_first(20))


def test_why_unlike_figures_are_compared_is_told_with_the_verdict(study):
    accuracy, row = quantities.whitebox_accuracy(0.06, 10), "ALP (InceptionV3)"
    comparison = study.compare(accuracy, RIGHT, row, unlike="other metrics")
    assert comparison.note == "other metrics"
    assert "other metrics" in str(higher(comparison))
    assert study.compare(accuracy, RIGHT, NEXT, unlike="other metrics").note == ""
