"""Verdicts as Markdown: what a CI job shows of `verdicts.json`."""

import pytest

from harness.cli import main
from harness.report.document import Document
from harness.suite import markdown


def entry(verdict, **fields):
    return {
        **{
            "claim": "C13",
            "test": "test_table3.py::test_it",
            "study": "candidate",
            "subject": "mine",
            "metric": "bias",
        },
        **{"statement": "C13: it has a higher shape bias.", "value": 0.25, "bound": 0.5, "interval": [0.2, 0.3]},
        **{"alpha": 0.001, "images": 1200, "protocol": "classify", "reason": None, "relation": "> 50 %"},
        **{"margin": -0.25, "percent": True, "tags": {}, "is_drawn": False, "images_needed": None},
        **{"is_good_news": False, "expected": None, "verdict": verdict, **fields},
    }


def document(*entries):
    return Document("pytest -m candidate", {"torch": "2.9", "data": {"imagenet": "missing"}, "seed": 0}, entries)


def rows(text):
    """Give the cells of the table's rows, without its heading."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines[2:]]


def test_totals_and_how_it_was_asked_are_said():
    text = markdown.summary_of(document(entry("holds"), entry("fails"), entry("undecided")))
    assert text.startswith("### Robustness claims: 1 holds, 1 fails, 1 undecided, 0 not run\n")
    assert "`pytest -m candidate`" in text
    assert "torch 2.9, seed 0" in text


def test_what_does_not_hold_is_listed_what_asks_for_something_first():
    good = entry("fails", is_good_news=True)
    known = entry("fails", expected="trained against it")
    absent = entry("not_run", value=None, reason="no folder")
    text = markdown.summary_of(document(entry("holds"), good, known, absent, entry("undecided"), entry("fails")))
    assert [row[0] for row in rows(text)] == ["**fails**", "undecided", "fails, as expected", "fails: good news"]
    assert rows(text)[0][1:] == ["C13: it has a higher shape bias.", "`mine`", "25 %", "> 50 %"]


def test_the_claims_table_is_folded_up_and_has_what_holds_too():
    folded = markdown.summary_of(document(entry("holds"))).partition("<details>")[2]
    assert folded.endswith("</details>")
    assert "C13    candidate  bias    holds 1/1" in folded


def test_where_all_holds_there_is_no_list():
    assert rows(markdown.summary_of(document(entry("holds")))) == []


def test_a_value_that_is_not_there_is_left_empty():
    text = markdown.summary_of(document(entry("undecided", value=None, relation="", reason="the budget is spent")))
    assert rows(text.replace("|  |", "| none |").replace("|  |", "| none |"))[0][3:] == ["none", "none"]


def test_a_bar_does_not_end_a_cell():
    text = markdown.summary_of(document(entry("fails", statement="C13: |x| is large.")))
    assert "C13: \\|x\\| is large." in text


def test_it_fits_into_a_comment_however_much_fails():
    entries = [
        entry("fails", subject=f"classifier {place}", metric=f"metric {place}", reason="r" * 90)
        for place in range(2000)
    ]
    text = markdown.summary_of(document(*entries))
    assert len(text) < 65_536
    assert len(rows(text.partition("<details>")[0])) == 50
    assert "and 1950 more" in text
    assert text.endswith("```\n\n</details>")


@pytest.mark.parametrize("name", ["", "verdicts.json"])
def test_the_command_takes_the_folder_or_the_file(tmp_path, capsys, name):
    document(entry("holds")).write(tmp_path)
    assert main(["verdicts", str(tmp_path / name)]) == 0
    assert capsys.readouterr().out.startswith("### Robustness claims: 1 holds")


def test_a_folder_without_a_report_is_exit_code_1_and_one_line(tmp_path, capsys):
    assert main(["verdicts", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        f"harness: {tmp_path} is no report: there is no verdicts.json; pytest --report={tmp_path} writes one\n"
    )
