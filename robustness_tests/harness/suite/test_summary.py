"""How verdicts are gathered, laid out, counted and written."""

from types import SimpleNamespace

import pytest

from harness.suite import summary

ENTRY = {
    "claim": "C1", "test": "t.py::test_it", "study": "paper", "subject": "alexnet", "metric": "mce", "statement": "",
    "verdict": "holds", "value": 0.5, "bound": 0.6, "interval": [0.4, 0.55], "alpha": 0.001, "images": 3750000,
    "protocol": "classify", "reason": None, "relation": "< 60 % (resnext101_32x8d)", "margin": 0.1, "percent": True,
    "expected": None, "is_good_news": False,
}  # fmt: skip


def entry(**fields):
    return {**ENTRY, **fields}


def report(nodeid, *verdicts, when="call", notices=(), **fields):
    properties = [("verdict", verdict) for verdict in verdicts] + [("notice", notice) for notice in notices]
    return SimpleNamespace(nodeid=nodeid, when=when, user_properties=properties, **fields)


def given(**fields):
    """Give an entry as a test hands it in: without the outcome."""
    return {name: value for name, value in entry(**fields).items() if name != "expected"}


def test_verdicts_are_gathered_in_the_order_of_claims():
    reports = [
        report(f"{claim}-{study}", given(claim=claim, study=study, test=test))
        for claim, study, test in [
            *(("N1", "paper", "a"), ("C10", "paper", "a"), ("C2", "published", "a"), ("C2", "paper", "b")),
            ("C18", "paper", "a"),
        ]
    ]
    gathered = [(each["claim"], each["study"]) for each in summary.collect(reports)]
    assert gathered == [("C2", "paper"), ("C2", "published"), ("C10", "paper"), ("C18", "paper"), ("N1", "paper")]


def test_each_test_is_taken_once_with_all_its_verdicts():
    two = [given(metric="mce"), given(metric="rel_mce")]
    reports = [report("t", when="setup"), report("t", *two), report("t", *two, when="teardown")]
    assert [each["metric"] for each in summary.collect(reports)] == ["mce", "rel_mce"]


def test_a_test_that_fails_in_its_setup_is_not_lost():
    reports = [report("t", given(verdict="not_run"), when="setup"), report("u", when="teardown")]
    assert [each["verdict"] for each in summary.collect(reports)] == ["not_run"]


def test_what_was_expected_is_carried_over():
    reports = [report("t", given(test="a"), wasxfail="a slip"), report("u", given(test="b"))]
    assert [each["expected"] for each in summary.collect(reports)] == ["a slip", None]


def test_notices_are_given_once_each_in_order():
    reports = [report("t", notices=["b", "a"]), report("t", notices=["b"], when="teardown"), report("u", notices=["c"])]
    assert summary.notices(reports) == ["b", "a", "c"]


def test_the_case_nearest_to_failing_is_shown():
    lines = summary.table(
        [
            entry(subject="alexnet", margin=0.1),
            entry(subject="resnext50_32x4d", margin=0.01, value=0.59, images=0),
            entry(subject="resnext101_32x8d", margin=0.2),
        ]
    )
    (_, heading), (line, verdict) = lines
    assert (heading, verdict) == ("", "holds")
    assert line.split() == ["C1", "paper", "mce", "holds", "3/3", "resnext50_32x4d", "59", "%", "<", "60", "%"]


def test_of_those_that_fail_the_worst_is_shown_and_each_has_its_note():
    lines = summary.table(
        [
            entry(),
            entry(verdict="fails", subject="resnext50_32x4d", margin=-0.1, reason="difference 10 %"),
            entry(verdict="fails", subject="resnext101_32x8d", margin=-0.3, reason="difference 30 %"),
            entry(verdict="fails", margin=-0.2, expected="a slip", reason="difference 20 %"),
            entry(verdict="undecided", margin=0.01, subject="python:a.b:model?classes=1001", reason="too few"),
        ]
    )
    assert [verdict for _, verdict in lines] == ["", "fails", "note", "note", "note", "undecided", "note", "holds"]
    text = [line.strip() for line, _ in lines]
    assert "fails 3/5" in text[1]
    assert "resnext101_32x8d " in text[1]
    assert text[2:5] == [
        *("resnext50_32x4d: difference 10 %", "resnext101_32x8d: difference 30 %", "alexnet: expected: a slip")
    ]
    assert text[6] == "model: too few"
    assert "holds 1/5" in text[7]


def test_numbers_are_printed_in_their_unit():
    (_, (line, _)) = summary.table([entry(metric="distance", value=1.59012, percent=False, relation="< 2.005")])
    assert "  1.59 " in line
    assert line.endswith("3,750,000")


def test_quoted_rows_keep_their_name():
    (_, (line, _)) = summary.table([entry(subject="Denoising (ResNet-152)")])
    assert "  Denoising (ResNet-152)  " in line


def test_columns_are_aligned():
    lines = [line for line, _ in summary.table([entry(), entry(claim="C10", metric="a_much_longer_metric")])]
    assert len({line.index("paper") for line in lines[1:]} | {lines[0].index("study")}) == 1
    assert len({line.index("< 60") for line in lines[1:]} | {lines[0].index("needs")}) == 1


@pytest.mark.parametrize("width", [60, 80, 100])
def test_on_a_narrow_terminal_no_line_is_broken_and_nothing_is_lost(width):
    wide = {"subject": "resnext101_32x16d_wsl", "metric": "imagenet_a_top1_gain", "relation": "48.79 % within 1e-07 %"}
    lines = summary.table([entry(**wide), entry(**wide, claim="C10", value=0.4567)], width=width)
    text = [line for line, _ in lines]
    assert max(map(len, text)) < width
    assert [line.split()[0] for line in text if not line.startswith(" ")] == ["claim", "C1", "C10"]
    words = " ".join(text).split()
    assert words.count("holds") == 2
    for part in ("45.67", "resnext101_32x16d_wsl", "imagenet_a_top1_gain", "1e-07", "3,750,000"):
        assert part in words


def test_what_a_row_is_about_stays_in_its_first_line():
    lines = [line for line, _ in summary.table([entry(subject="resnext101_32x16d_wsl")], width=60)]
    assert lines[2].split() == ["C1", "paper", "mce", "holds", "1/1"]
    assert lines[3].split()[0] == "resnext101_32x16d_wsl"


def test_those_that_fail_for_one_reason_share_a_note():
    failing = {"verdict": "fails", "margin": -0.1, "expected": "a slip"}
    lines = summary.table([entry(**failing), entry(**failing, subject="resnext50_32x4d")])
    assert [line.strip() for line, verdict in lines if verdict == "note"] == [
        "alexnet, resnext50_32x4d: expected: a slip"
    ]


def test_what_was_not_run_is_told_once_a_reason():
    absent = {"verdict": "not_run", "value": None, "margin": None, "metric": ""}
    lines = summary.table(
        [
            entry(**absent, claim="C1", reason="no folder /d"),
            entry(**absent, claim="C1", test="other", reason="no folder /d"),
            entry(**absent, claim="C4", reason="no folder /d"),
            entry(**absent, claim="C4", reason="no folder /e"),
        ]
    )
    assert lines[1:] == [
        ("not run, paper: C1, C4 (3 verdicts)", "not_run"),
        ("       no folder /d", "note"),
        ("not run, paper: C4 (1 verdict)", "not_run"),
        ("       no folder /e", "note"),
    ]


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_notes_are_wrapped_at_the_width_of_the_terminal(width):
    words = [f"word{place}" for place in range(100)]
    lines = summary.table([entry(verdict="not_run", value=None, margin=None, reason=" ".join(words))], width=width)
    notes = [line for line, verdict in lines if verdict == "note"]
    assert max(map(len, notes)) < width
    assert min(map(len, notes[:-1])) > width - 20
    assert " ".join(notes).split() == words


def test_names_are_not_torn_apart():
    path = "/data/" + "imagenet-c/" * 12
    lines = summary.table([entry(verdict="not_run", value=None, margin=None, reason=f"no {path}")], width=60)
    assert any(path in line for line, _ in lines)


def test_verdicts_are_counted():
    verdicts = ["holds", "holds", "fails", "fails", "undecided", "not_run"]
    entries = [entry(verdict=verdict) for verdict in verdicts]
    assert summary.totals(entries) == "2 holds, 2 fails, 1 undecided, 1 not run"
    entries[2]["expected"] = "a slip"
    assert summary.totals(entries) == "2 holds, 2 fails (1 expected), 1 undecided, 1 not run"
    assert summary.totals([]) == "0 holds, 0 fails, 0 undecided, 0 not run"
