import json

import pytest

from harness.report.board import Pins, lay_out

PEOPLE = {"published": ("small", "wide_8d", "wide_16d")}


def board(*entries, rerun=("-m", "quick"), pins=None, people=PEOPLE):
    return lay_out(entries, people, rerun, pins or Pins())


def cell(laid_out):
    ((topic,),) = [laid_out.topics]
    (claim,) = topic.claims
    (found,) = claim.cells.values()
    return found


@pytest.mark.parametrize(
    ("verdicts", "verdict", "words"),
    [
        (["holds", "holds"], "holds", "holds 2 of 2"),
        (["holds", "not_run"], "holds", "holds 1 of 2"),
        (["holds", "undecided", "not_run"], "undecided", "undecided 1 of 3"),
        (["undecided", "fails", "holds", "fails"], "fails", "fails 2 of 4"),
        (["not_run"], "not_run", "not run 1 of 1"),
    ],
)
def test_a_cell_shows_the_worst_of_what_is_known(entry, verdicts, verdict, words):
    found = cell(board(*(entry(verdict=each) for each in verdicts)))
    assert (found.verdict, found.words, len(found.proofs)) == (verdict, words, len(verdicts))


def test_failures_are_good_news_or_expected_where_all_of_them_are(entry):
    good, other = entry(verdict="fails", is_good_news=True), entry(verdict="fails", expected="a slip")
    assert cell(board(good, entry())).words == "fails 1 of 2 (good news)"
    assert cell(board(other)).words == "fails 1 of 1 (expected)"
    both = cell(board(good, other))
    assert (both.is_good_news, both.is_expected) == (False, False)


def test_columns_are_the_studys_classifiers_in_its_order_and_all_others(entry):
    laid_out = board(
        entry(subject="wide_16d"),
        entry(subject="somebody else"),
        entry(subject="wide_8d"),
        entry(study="live", subject="python:m:f@a.pt"),
        people={**PEOPLE, "live": ("python:m:f@a.pt",)},
    )
    assert [(column.study, column.short) for column in laid_out.columns] == [
        ("published", "8d"),
        ("published", "16d"),
        ("published", "others"),
        ("live", "f@a"),
    ]
    assert laid_out.studies == ["published", "live"]
    assert len({column.key for column in laid_out.columns}) == 4


def test_claims_stand_below_what_they_are_about(entry):
    laid_out = board(
        entry(claim="C1", topic="Table 1"), entry(claim="C2", topic="Table 2"), entry(claim="C3", topic="Table 1")
    )
    assert [(topic.title, [claim.id for claim in topic.claims]) for topic in laid_out.topics] == [
        ("Table 1", ["C1", "C3"]),
        ("Table 2", ["C2"]),
    ]


def test_a_claim_says_what_most_of_its_tests_say(entry):
    ((claim,),) = [
        topic.claims
        for topic in board(
            entry(statement="C1: rare."), *(entry(statement=f"C1: {words}.") for words in ["often", "often"])
        ).topics
    ]
    assert (claim.statement, claim.also) == ("often.", ("rare.",))
    assert claim.totals == {"holds": 3}


def test_a_proof_says_value_interval_and_what_runs_it_again(entry):
    (proof,) = cell(board(entry(), rerun=("-m", "full", "--data-root=/my data"))).proofs
    assert (proof.value, proof.needs, proof.interval) == ("50 %", "< 60 %", "45 % to 55 %, at error rate 0.001")
    assert proof.command == (
        "pytest -m full '--data-root=/my data' 'robustness_tests/test_table1.py::test_it[published-wide-mce]'"
    )
    assert proof.name == "mce"


def test_a_proof_without_interval_says_so(entry):
    exact, unknown = (cell(board(entry(interval=each))).proofs[0] for each in ([0.5, 0.5], None))
    assert exact.interval == "exact"
    assert unknown.interval.startswith("none")


@pytest.fixture
def pins(tmp_path):
    pin = {"value": 0.5, "tolerance": 0.01, "images": 300, "protocol": "classify", "data": {}}
    other = {**pin, "value": 0.7}
    folder = tmp_path / "snapshots" / "test_pinned"
    folder.mkdir(parents=True)
    for name, value in (("published-wide-form", pin), ("published-wider-form", other)):
        document = {"figures": {"mce": value, "mfr eps=1": other}, "recorded_with": {}}
        (folder / f"test_it[{name}].json").write_text(json.dumps(document))
    (folder / "notes.json").write_text("no pins")
    return Pins.read(tmp_path / "snapshots")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, "50 % ± 1 % on 300 images, met"),
        ({"value": 0.52}, "50 % ± 1 % on 300 images, missed"),
        ({"images": 20}, "50 % ± 1 % on 300 images, not compared: these are 20"),
        ({"quantity": "mfr eps=1", "metric": "mfr"}, "70 % ± 1 % on 300 images, missed"),
        ({"quantity": "", "metric": "mfr"}, ""),
        ({"study": "live"}, ""),
        ({"value": None}, ""),
    ],
)
def test_a_proof_is_held_against_the_pin_of_its_own_figure(entry, pins, said, words):
    (proof,) = cell(board(entry(**said), pins=pins)).proofs
    assert proof.pin == words
