"""The second process: it measures a plan that it is handed, and is not started where there is no core for it."""

import pickle
from functools import partial

import pytest

from data_fixtures.miniature.study import miniature, spec
from harness import progress
from harness.engines.settings import Settings
from harness.records.store import RecordStore
from harness.suite import ahead

SEED = 7


@pytest.fixture
def handed(tmp_path):
    """Hand over a plan of one classifier; gives the folder that the process is called with, and the store."""
    plan = {spec("baseline"): ["cue-conflict"]}
    (tmp_path / ahead.PLAN).write_bytes(
        pickle.dumps((partial(miniature, SEED), tmp_path / "records", Settings(), plan))
    )
    return tmp_path, RecordStore(tmp_path / "records")


def test_it_measures_what_is_planned(handed, one_thread):
    folder, store = handed
    ahead.main([str(folder)])
    assert [run.parent.name for run in store.runs()] == ["cue-conflict"]
    assert (folder / ahead.SAID).read_text(encoding="utf-8") == ""


def test_it_shows_how_far_it_is_where_it_is_told_to(handed, one_thread, monkeypatch):
    folder, _ = handed
    shown = []
    tell = progress.Progress.tell

    def told(self, done):
        shown.extend(state.what for state in progress.shown(folder / "shown"))
        tell(self, done)

    (folder / "shown").mkdir()
    monkeypatch.setattr(progress.Progress, "tell", told)
    ahead.main([str(folder), str(folder / "shown" / "ahead")])
    assert "resnext_4x8d@baseline on cue-conflict" in shown
    assert progress.shown(folder / "shown") == []


def test_where_it_shows_how_far_it_is_lies_beside_where_its_parent_does(monkeypatch, tmp_path):
    started = []
    monkeypatch.setattr(ahead, "default_workers", lambda: 2)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("subprocess.Popen", lambda command, **how: started.append(command))
    monkeypatch.setattr(progress, "_shown_in", tmp_path / "main")
    ahead.start(miniature(SEED), tmp_path / "records", Settings(), {})
    assert started[0][-1] == str(tmp_path / "ahead")


def test_it_writes_down_what_it_warns_of(handed, one_thread):
    folder, store = handed
    ahead.main([str(folder)])
    chunk = next(store.runs()[0].glob("*.parquet"))
    chunk.write_bytes(chunk.read_bytes()[:-1])
    ahead.main([str(folder)])
    (said,) = (folder / ahead.SAID).read_text(encoding="utf-8").splitlines()
    assert said == f"records: {chunk} was cut short or altered; its images are measured again"


def test_it_ends_when_whoever_started_it_has_gone(handed, monkeypatch):
    folder, _ = handed
    parents = iter([1, 2, 3])
    monkeypatch.setattr("os.getppid", lambda: next(parents))
    monkeypatch.setattr("harness.studies.laboratory.Laboratory._measure", lambda *arguments, **how: None)
    ahead.main([str(folder)])
    assert next(parents) == 3  # looked once after the first thing, and not again


def test_nothing_is_left_of_it_however_early_it_ends(monkeypatch, tmp_path):
    monkeypatch.setattr(ahead, "default_workers", lambda: 2)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    started = ahead.start(miniature(SEED), tmp_path / "records", Settings(), {})
    assert list(tmp_path.iterdir())
    started.close()
    assert list(tmp_path.iterdir()) == []
    assert started.notices() == []


def test_one_core_is_left_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(ahead, "default_workers", lambda: 1)
    assert ahead.start(miniature(SEED), tmp_path, Settings(), {}) is None
