"""What a candidate is expected to fail: how the file is read, whom it is about, and what is told of it."""

from types import SimpleNamespace

import pytest

from harness.errors import UsageError
from harness.suite import xfails


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "xfails.txt"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def entry(claim, test, verdict="fails", study="candidate"):
    return {"claim": claim, "test": f"t.py::{test}", "verdict": verdict, "study": study}


def test_a_line_is_a_claim_a_comma_and_a_reason(file):
    path = file("# what it was trained for\n\nC10, trained against PGD, as it is known\n  C1[mfr] , few sequences\n")
    assert xfails.read(path) == (
        xfails.ExpectedFailure("C10", "*", "trained against PGD, as it is known", 3),
        xfails.ExpectedFailure("C1", "mfr", "few sequences", 4),
    )


def test_the_mark_that_windows_puts_before_a_text_is_none_of_it(file):
    assert [each.claim for each in xfails.read(file("\ufeffC10, why\n"))] == ["C10"]


def test_a_claims_id_may_be_in_lower_case(file):
    assert [str(each) for each in xfails.read(file("c10[standard], why\nC1, why\n"))] == ["C10[standard]", "C1"]


@pytest.mark.parametrize("line", ["C10", "C10,", ", why", "C10 because, why", "C10[x, why", "C10[], why"])
def test_any_other_line_is_refused_by_its_number(file, line):
    with pytest.raises(UsageError, match=r"xfails\.txt, line 2: .*is not a claim's id, a comma and a reason"):
        xfails.read(file(f"C1, why\n{line}\n"))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"--xfails .*nowhere: can't be read \(No such file"):
        xfails.read(tmp_path / "nowhere")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "x").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="is no text"):
        xfails.read(tmp_path / "x")


@pytest.mark.parametrize(
    ("cases", "covered"),
    [
        ("*", {"mce", "mfr", "eps=0.06"}),
        ("mce", {"mce"}),
        ("m*", {"mce", "mfr"}),
        ("candidate-a-b@c-mfr", {"mfr"}),
        ("ce", set()),
    ],
)
def test_a_pattern_picks_cases_by_how_their_ids_end(cases, covered):
    expected = xfails.ExpectedFailure("C1", cases, "why", 1)
    names = ("mce", "mfr", "eps=0.06")
    assert {name for name in names if expected.covers("C1", f"t.py::test_it[candidate-a-b@c-{name}]")} == covered
    assert not expected.covers("C2", "test_it[candidate-a-b@c-mce]")


def test_only_the_candidate_s_tests_are_expected_to_fail():
    marked = {}

    def item(name, study):
        return SimpleNamespace(
            name=name,
            callspec=SimpleNamespace(params={"study": study}),
            get_closest_marker=lambda _: pytest.mark.claim("C10").mark,
            add_marker=lambda mark: marked.setdefault((name, study), mark.mark.kwargs),
        )

    expected = (xfails.ExpectedFailure("C10", "*", "why", 1),)
    xfails.expect([item("test_it[candidate-a]", "candidate"), item("test_it[paper-a]", "paper")], expected)
    assert marked == {
        ("test_it[candidate-a]", "candidate"): {"reason": "why", "raises": AssertionError, "strict": False}
    }


def test_what_is_of_nothing_and_what_holds_is_told(tmp_path):
    expected = (
        xfails.ExpectedFailure("C10", "*", "trained against PGD", 1),
        xfails.ExpectedFailure("C99", "*", "a slip", 2),
        xfails.ExpectedFailure("C1", "mce", "it fails", 3),
        xfails.ExpectedFailure("C2", "*", "it falls short", 4),
    )
    entries = [
        entry("C10", "test_a[candidate-a-published]", "holds"),
        entry("C10", "test_a[candidate-a-standard]", "fails"),
        entry("C1", "test_b[candidate-a-mce]"),
        entry("C99", "test_c[paper-a]", study="paper"),
        entry("C2", "test_d[candidate-a-x]", "undecided"),
        entry("C2", "test_d[candidate-a-y]", "not_run"),
    ]
    assert xfails.notices(entries, expected, tmp_path / "x.txt") == [
        "x.txt, line 1: C10 was expected to fail (trained against PGD) and holds: test_a[candidate-a-published]",
        "x.txt, line 2: C99 is of nothing that was asked of the candidate; asked were C10, C1, C2",
        "x.txt, line 4: C2 was expected to fail (it falls short) and is not run or undecided",
    ]
