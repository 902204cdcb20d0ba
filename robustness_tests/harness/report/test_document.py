import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from harness.errors import DataError, HarnessError
from harness.report import document
from harness.report.document import Document, changes, read, remember

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def said(entry):
    """Give the function that makes a run's document from its verdicts."""
    return lambda *verdicts: Document("pytest -m full", {"seed": 3}, verdicts, ("-m", "full"), ("-k", "C1"), "/home")


def test_what_is_written_is_read_again(tmp_path, said, entry):
    whole = said(entry(), entry(claim="C2", verdict="fails"))
    path = whole.write(tmp_path / "a" / "b")
    assert json.loads(path.read_text())["schema"] == 1
    found = read(tmp_path / "a" / "b")
    assert (found.command, found.environment, found.folder) == ("pytest -m full", {"seed": 3}, "/home")
    assert found.verdicts == [entry(), entry(claim="C2", verdict="fails")]
    assert (found.options, found.selection) == (["-m", "full"], ["-k", "C1"])
    assert read(path) == found
    assert found.totals == {"holds": 1, "fails": 1, "undecided": 0, "not_run": 0}


def test_an_older_one_is_replaced_whole(tmp_path, said, entry):
    for claim in ("C1", "C2"):
        said(entry(claim=claim)).write(tmp_path)
    assert os.listdir(tmp_path) == ["verdicts.json"]
    assert [each["claim"] for each in read(tmp_path).verdicts] == ["C2"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path, said):
    (tmp_path / "file").write_text("")
    with pytest.raises(HarnessError, match="verdicts.json can't be written .Not a directory.; name another place"):
        said().write(tmp_path / "file" / "report")


def test_a_full_disk_leaves_the_older_report(tmp_path, said, entry, monkeypatch):
    path = said(entry()).write(tmp_path)

    def refuse(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(path), "replace", refuse)
    with pytest.raises(HarnessError, match="can't be written .No space left on device."):
        said().write(tmp_path)
    assert read(tmp_path).verdicts == [entry()]
    assert os.listdir(tmp_path) == ["verdicts.json"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "is no report: there is no verdicts.json; pytest --report="),
        ("{", "is no JSON"),
        ("[]", "has schema None, and this is 1"),
        ('{"schema": 2}', "has schema 2, and this is 1"),
        ('{"schema": 1, "command": ""}', "lacks what a report has .KeyError.'environment'"),
    ],
)
def test_what_is_no_report_is_told_in_a_line(tmp_path, text, words):
    if text is not None:
        (tmp_path / "verdicts.json").write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_flips_come_first_that_got_worse(said, entry):
    names = ("a", "b", "c", "d")
    was = ("undecided", "holds", "holds", "fails")
    now = ("holds", "fails", "holds", "not_run")
    before, after = (
        said(*(entry(test=name, verdict=verdict) for name, verdict in zip(names, verdicts, strict=True)))
        for verdicts in (was, now)
    )
    found = changes(before, after)
    assert [(each.entry["test"], each.words) for each in found.flips] == [
        ("b", "holds -> fails"),
        ("a", "undecided -> holds"),
        ("d", "fails -> not run"),
    ]
    assert [*found.moves, *found.added, *found.gone] == []


def test_values_that_moved_are_told_the_largest_step_first(said, entry):
    before = said(entry(test="a", value=0.5), entry(test="b", value=0.5), entry(test="c", value=None))
    after = said(entry(test="a", value=0.51), entry(test="b", value=0.4), entry(test="c", value=None))
    assert [each.entry["test"] for each in changes(before, after).moves] == ["b", "a"]


def test_several_verdicts_of_one_test_are_told_apart(said, entry):
    before = said(entry(metric="mce"), entry(metric="mfr"), entry(metric="mfr"))
    after = said(entry(metric="mce"), entry(metric="mfr"), entry(metric="mfr", verdict="fails"))
    (flip,) = changes(before, after).flips
    assert flip.entry["metric"] == "mfr"


def test_a_verdict_that_lost_its_figure_is_the_same_verdict(said, entry):
    found = changes(said(entry()), said(entry(verdict="not_run", metric="", value=None)))
    assert [each.words for each in found.flips] == ["holds -> not run"]
    assert [*found.added, *found.gone] == []


def test_what_is_asked_in_one_run_only_is_told(said, entry):
    found = changes(said(entry(test="a"), entry(test="b")), said(entry(test="b"), entry(test="c")))
    assert [(each.entry["test"], each.words) for each in found.added] == [("c", "not asked -> holds")]
    assert [(each.entry["test"], each.words) for each in found.gone] == [("a", "holds -> not asked")]


def test_history_has_a_line_a_run_that_said_something_else(tmp_path, said, entry):
    first, second = said(entry(value=0.5)), said(entry(value=0.6))
    assert len(remember(tmp_path, first, now=NOW)) == 1
    assert len(remember(tmp_path, replace(first, command="again"), now=NOW + timedelta(1))) == 1
    lines = remember(tmp_path, second, now=NOW + timedelta(2))
    assert [line["time"] for line in lines] == ["2026-03-01T12:00:00+00:00", "2026-03-03T12:00:00+00:00"]
    assert lines[1]["totals"] == {"holds": 1, "fails": 0, "undecided": 0, "not_run": 0}
    ((verdict, value),) = lines[1]["verdicts"].values()
    assert (verdict, value) == ("holds", 0.6)
    assert len((tmp_path / document.HISTORY).read_text().splitlines()) == 2


def test_what_is_no_line_of_history_stays(tmp_path, said, entry):
    path = tmp_path / document.HISTORY
    path.write_text('not a line\n{"time": 3}')
    assert len(remember(tmp_path, said(entry()), now=NOW)) == 1
    kept = path.read_text().splitlines()
    assert kept[:2] == ["not a line", '{"time": 3}']
    assert json.loads(kept[2])["command"] == "pytest -m full"
