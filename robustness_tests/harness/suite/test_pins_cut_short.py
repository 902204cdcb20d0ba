"""Updates that are cut short, by failures, signals, lost workers or full disks: no pin is lost or half written."""

import errno
import json
import os

import pytest

from harness.suite import pins


@pytest.fixture
def project(pins_project):
    """A project whose figures are pinned; gives a function that runs it again with other figures."""
    pins_project("--snapshot-update").assert_outcomes(passed=2)
    return pins_project


def values(project):
    """Give mCE as it is pinned for each name; every file must be whole."""
    found = {}
    for path in project.folder.iterdir():
        found[path.name] = json.loads(path.read_text(encoding="utf-8"))["figures"]["mce"]["value"]
    return found


A, B = "test_numbers[a].json", "test_numbers[b].json"


@pytest.mark.parametrize(
    ("before", "options", "left"),
    [
        pytest.param("assert name == 'b'", [], {A: 0.25, B: 0.3}, id="failure"),
        pytest.param("assert name == 'b'", ["-x"], {A: 0.25, B: 0.25}, id="x"),
        pytest.param("assert name == 'b'", ["--maxfail=1"], {A: 0.25, B: 0.25}, id="maxfail"),
        pytest.param("if name == 'b': raise OSError('no')", [], {A: 0.3, B: 0.25}, id="error"),
        pytest.param("if name == 'a': pytest.skip('no')", [], {A: 0.25, B: 0.3}, id="skip"),
        pytest.param("if name == 'b': raise KeyboardInterrupt", [], {A: 0.3, B: 0.25}, id="ctrl_c"),
        pytest.param("if name == 'b': pytest.exit('enough')", [], {A: 0.3, B: 0.25}, id="exit"),
        pytest.param("pass", ["-k", "[b]"], {A: 0.25, B: 0.3}, id="k"),
    ],
)
def test_what_an_update_does_not_reach_stays_as_it_was(project, before, options, left):
    project("--snapshot-update", *options, apart="KeyboardInterrupt" in before, before=before, mce=0.3)
    assert values(project) == left


def test_a_killed_process_leaves_what_it_recorded(project):
    project("--snapshot-update", apart=True, before="if name == 'b': os._exit(9)", mce=0.3)
    assert values(project) == {A: 0.3, B: 0.25}


def test_a_process_that_is_killed_while_it_writes_leaves_the_old_file(project):
    killer = "import pathlib; pathlib.Path.replace = lambda *_: os._exit(9)"
    result = project("--snapshot-update", apart=True, before=killer, mce=0.3)
    assert result.ret == 9
    half = [path for path in project.folder.iterdir() if path.name.startswith(".")]
    assert len(half) == 1
    half[0].unlink()
    assert values(project) == {A: 0.25, B: 0.25}


def test_workers_record_what_one_process_would(project):
    names = list("abcdefgh")
    result = project("--snapshot-update", "-n2", apart=True, names=names, mce=0.3)
    result.assert_outcomes(passed=8)
    assert result.ret == 0
    assert values(project) == {f"test_numbers[{name}].json": 0.3 for name in names}


def test_a_lost_worker_loses_no_pins(project):
    names = list("abcdef")
    project("--snapshot-update", names=names)
    result = project("--snapshot-update", "-n2", apart=True, names=names, mce=0.3, before="if name == 'c': os._exit(9)")
    assert result.ret == 1
    others = {f"test_numbers[{name}].json": 0.3 for name in names if name != "c"}
    assert values(project) == {**others, "test_numbers[c].json": 0.25}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_read_only_folder_is_one_line(project):
    project.folder.chmod(0o500)
    try:
        result = project("--snapshot-update", mce=0.3)
    finally:
        project.folder.chmod(0o700)
    result.assert_outcomes(failed=2)
    assert any("can't be written (Permission denied)" in line for line in result.outlines)
    assert values(project) == {A: 0.25, B: 0.25}


def test_a_disk_that_is_full_is_one_line(project, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pins, "replace_whole", full)
    result = project("--snapshot-update", mce=0.3)
    result.assert_outcomes(failed=2)
    assert any("can't be written (No space left on device)" in line for line in result.outlines)
    assert values(project) == {A: 0.25, B: 0.25}
