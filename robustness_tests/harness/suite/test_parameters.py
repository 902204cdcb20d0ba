"""Studies and classifiers as parameters: which tests there are, in which order, and what they will need."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from harness.classifiers.spec import parse_spec
from harness.studies.live import Attacks
from harness.studies.quantities import IMAGENET_TOP1, transfer_accuracy, whitebox_accuracy
from harness.suite.parameters import (
    Cast,
    dearest_first,
    drop_unanswerable,
    expect_failures,
    measuring_plan,
    parametrize,
    published_cast,
    soundness_first,
)

BIG, SMALL, BASE, SURROGATE = "resnext101_32x48d_wsl", "resnext50_32x4d", "resnext101_32x8d", "alexnet"
CAST = Cast("paper", parse_spec(BASE), (parse_spec(SMALL), parse_spec(BIG)), "full", parse_spec(SURROGATE))


class Item:
    """As much of a pytest item as parameters are read from."""

    def __init__(self, name, *marks, **params):
        self.name = name
        self.marks = [mark.mark for mark in marks]
        self.callspec = SimpleNamespace(params=params)

    def __repr__(self):
        return self.name

    def iter_markers(self, name):
        return (mark for mark in self.marks if mark.name == name)

    def get_closest_marker(self, name):
        return next(self.iter_markers(name), None)

    def add_marker(self, mark):
        self.marks.append(mark.mark)


class Asked:
    """As much of a metafunc as tests are made from; keeps what it is asked to make."""

    def __init__(self, *names, claim=True, studies=()):
        self.fixturenames = names
        marks = [pytest.mark.studies(*studies).mark] if studies else []
        self.definition = SimpleNamespace(
            get_closest_marker=lambda name: claim or None,
            iter_markers=lambda name: [mark for mark in marks if mark.name == name],
        )
        self.ids = self.rows = self.marks = None

    def parametrize(self, names, rows, *, indirect, scope):
        assert (indirect, scope) == (["study"], "session")
        self.names = names
        self.ids = [row.id for row in rows]
        self.rows = [row.values for row in rows]
        self.marks = [[mark.name for mark in row.marks] for row in rows]


def planned(items, casts, attacks=Attacks()):  # noqa: B008
    return {
        spec.text: needs
        for spec, needs in measuring_plan(items, casts, {cast.study: attacks.needs for cast in casts}).items()
    }


def names(items):
    return [item.name for item in items]


@pytest.mark.parametrize(
    ("asked", "ids"),
    [
        (("study",), ["paper"]),
        (("study", "subject"), [f"paper-{SMALL}", f"paper-{BIG}"]),
        (("study", "classifier"), [f"paper-{BASE}", f"paper-{SMALL}", f"paper-{BIG}"]),
        (("study", "surrogate"), [f"paper-{SURROGATE}"]),
        (("study", "narrower", "wider"), [f"paper-{SMALL}-{BIG}"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_a_test_is_made_for_each_that_it_takes(asked, ids):
    metafunc = Asked(*asked, "verdict")
    parametrize(metafunc, [CAST])
    assert metafunc.names == asked
    assert metafunc.ids == ids
    assert {row[0] for row in metafunc.rows} == {"paper"}
    assert metafunc.marks == [["full"]] * len(ids)


def test_each_study_brings_its_own_mark():
    metafunc = Asked("study", "subject")
    parametrize(metafunc, [published_cast(), CAST])
    assert metafunc.marks == [["quick"]] * 4 + [["full"]] * 2


@pytest.mark.parametrize("metafunc", [Asked("subject"), Asked("study", claim=False)], ids=["no_study", "no_claim"])
def test_other_tests_are_let_alone(metafunc):
    parametrize(metafunc, [CAST])
    assert metafunc.rows is None


def test_a_test_can_name_the_only_studies_that_it_is_asked_of():
    metafunc = Asked("study", "subject", claim=False, studies=["published"])
    parametrize(metafunc, [published_cast(), CAST])
    assert {row[0] for row in metafunc.rows} == {"published"}


CANDIDATE = Cast(
    "candidate", None, (parse_spec(BIG),), "candidate", parse_spec(SURROGATE), parse_spec("alexnet"),
    against=parse_spec(SMALL), like="mine",
)  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "ids"),
    [
        (("study",), ["candidate"]),
        (("study", "subject"), [f"candidate-{BIG}"]),
        (("study", "classifier"), [f"candidate-{BIG}"]),
        (("study", "extreme"), [f"candidate-{BIG}"]),
        (("study", "candidate"), [f"candidate-{BIG}"]),
        (("study", "candidate", "against"), [f"candidate-{BIG}-{SMALL}"]),
        (("study", "baseline"), []),
        (("study", "surrogate"), []),
        (("study", "normaliser"), []),
        (("study", "narrower", "wider"), []),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
@pytest.mark.parametrize("cast", [CANDIDATE, replace(CANDIDATE, baseline=parse_spec(BASE))], ids=["", "with_baseline"])
def test_nothing_is_asked_of_those_that_a_candidate_is_compared_with(cast, asked, ids):
    metafunc = Asked(*asked)
    parametrize(metafunc, [cast])
    assert metafunc.ids == ids


def test_only_a_candidate_is_asked_what_candidates_are():
    metafunc = Asked("study", "candidate")
    parametrize(metafunc, [published_cast(), CAST, CANDIDATE])
    assert metafunc.ids == [f"candidate-{BIG}"]


def test_likeness_is_asked_where_it_is_said_to_whom():
    for cast, ids in ((CANDIDATE, [f"candidate-{BIG}"]), (replace(CANDIDATE, like=""), [])):
        metafunc = Asked("study", "candidate", "likeness")
        parametrize(metafunc, [cast])
        assert metafunc.ids == ids


def test_a_baseline_is_measured_for_claims_and_not_for_what_is_asked_of_the_candidate_alone():
    cast = replace(CANDIDATE, baseline=parse_spec(BASE))
    of_both = Item("claim", pytest.mark.needs("imagenet-c"), study="candidate", subject=BIG)
    alone = Item("alone", pytest.mark.needs("imagenet"), study="candidate", candidate=BIG)
    beside = Item("beside", pytest.mark.needs("imagenet-a"), study="candidate", candidate=BIG, against=SMALL)
    assert planned([of_both, alone, beside], [cast]) == {
        BIG: ["imagenet-c", "imagenet", "imagenet-a"],
        BASE: ["imagenet-c"],
        SMALL: ["imagenet-a"],
    }
    assert planned([of_both], [CANDIDATE]) == {BIG: ["imagenet-c"]}


def test_a_test_that_no_study_has_a_classifier_for_is_dropped():
    items = [Item("kept", study="paper"), Item("dropped", study=object()), Item("of_no_claim")]
    drop_unanswerable(items)
    assert names(items) == ["kept", "of_no_claim"]


def test_soundness_is_asked_first():
    items = [Item(claim, pytest.mark.claim(claim)) for claim in ("C1", "H1", "T1", "H2", "N1")]
    soundness_first(items)
    assert names(items) == ["H1", "H2", "C1", "T1", "N1"]


def test_a_known_failure_is_expected_where_all_its_parameters_match():
    known = pytest.mark.known_failure(study="paper", subject=BIG, reason="a slip")
    items = [
        Item("match", known, study="paper", subject=BIG, quantity="mce"),
        Item("other_subject", known, study="paper", subject=SMALL),
        Item("other_study", known, study="published", subject=BIG),
        Item("not_known", study="paper", subject=BIG),
    ]
    expect_failures(items)
    expected = {item.name: mark for item in items for mark in item.iter_markers("xfail")}
    assert list(expected) == ["match"]
    assert expected["match"].kwargs == {"reason": "a slip", "raises": AssertionError, "strict": True}


def test_dearest_classifiers_come_first_and_all_else_before_them():
    items = [
        Item("cheap", study="paper", subject=SMALL),
        Item("study_alone", study="paper"),
        Item("dear", study="paper", subject=BIG),
        Item("middling", study="paper", classifier=BASE),
        Item("published", study="published", subject=BIG),
        Item("step", study="paper", narrower=SMALL, wider=BIG),
        Item("of_no_claim"),
        Item("cheap_again", study="paper", classifier=SMALL),
    ]
    dearest_first(items, [published_cast(), CAST])
    assert names(items) == [
        *("published", "of_no_claim", "dear", "step", "middling", "cheap", "cheap_again", "study_alone")
    ]


def test_the_plan_lists_what_each_classifier_is_needed_for():
    items = [
        Item("c", pytest.mark.needs("imagenet-c", "imagenet"), study="paper", subject=SMALL),
        Item("a", pytest.mark.needs("imagenet-a"), pytest.mark.needs("imagenet"), study="paper", classifier=BIG),
        Item("published", pytest.mark.needs("imagenet-p"), study="published", subject=BIG),
        Item("of_no_claim", pytest.mark.needs("imagenet-p")),
    ]
    assert planned(items, [published_cast(), CAST]) == {
        SMALL: ["imagenet-c", "imagenet"],
        BIG: ["imagenet-a", "imagenet"],
        BASE: ["imagenet-c", "imagenet", "imagenet-a"],
    }


def test_a_test_of_the_whole_study_needs_every_classifier():
    item = Item("widest", pytest.mark.needs("cue-conflict"), study="paper")
    assert planned([item], [CAST]) == {name: ["cue-conflict"] for name in (SMALL, BIG, BASE)}


def test_a_test_about_a_quantity_needs_the_attack_that_it_is_measured_under():
    quantity = whitebox_accuracy(0.06, 10)
    curve = (IMAGENET_TOP1, transfer_accuracy(0.02))
    items = [
        Item("one", study="paper", subject=SMALL, quantity=quantity),
        Item("curve", study="paper", surrogate=SURROGATE, curve=curve),
    ]
    attack, transfer = quantity.attack, replace(curve[1].attack, surrogate=SMALL)
    assert planned(items, [CAST], Attacks(surrogate=SMALL)) == {
        SMALL: [attack],
        SURROGATE: ["imagenet", transfer],
        BASE: [attack, "imagenet", transfer],
    }


def test_attacks_that_the_author_did_not_run_are_no_tests_of_the_published_study():
    standard, published = whitebox_accuracy(0.06, 10, "standard"), whitebox_accuracy(0.06, 10)
    items = [
        Item("kept", study="published", quantity=published),
        Item("dropped", study="published", quantity=standard),
        Item("dropped_too", study="published", curve=(IMAGENET_TOP1, standard)),
        Item("live", study="paper", quantity=standard),
        Item("of_no_claim"),
    ]
    drop_unanswerable(items)
    assert names(items) == ["kept", "live", "of_no_claim"]
