import pytest

from harness.report.page import forms_sentences

TEST = "t.py::test_it"


def verdict(entry, form, said, *, eps="0.06", test=TEST, case=""):
    metric = "whitebox_accuracy" + "_standard" * (form == "standard")
    name = f"{test}[live-wide-{case or f'eps_{eps}-{form}'}]"
    return entry(study="live", test=name, metric=metric, verdict=said, quantity=f"{metric} eps={eps} steps=10")


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (("holds", "fails"), "live: the form of the attack decides C1 (1 of 1 verdicts)."),
        (("holds", "holds"), "live: alike in both: C1."),
    ],
)
def test_the_two_forms_of_one_verdict_are_compared(entry, said, sentence):
    pair = [verdict(entry, form, each) for form, each in zip(("published", "standard"), said, strict=True)]
    assert forms_sentences(pair) == [sentence]


def test_verdicts_of_other_tests_and_sizes_are_none_of_a_pair(entry):
    published = verdict(entry, "published", "holds", case="published")
    others = [
        verdict(entry, "standard", "fails", eps="0.1"),
        verdict(entry, "standard", "fails", test="t.py::test_another"),
    ]
    assert forms_sentences([published, *others]) == []
    same = verdict(entry, "standard", "holds", case="standard")
    assert forms_sentences([published, *others, same]) == ["live: alike in both: C1."]
