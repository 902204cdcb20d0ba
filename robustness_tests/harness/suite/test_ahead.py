"""The second process: it measures a plan that it is handed, and is not started where there is no core for it."""

import pickle
from functools import partial

import pytest

from data_fixtures.miniature.study import miniature, spec
from harness.engines.settings import Settings
from harness.records.store import RecordStore
from harness.suite import ahead

SEED = 7


@pytest.fixture
def handed(tmp_path):
    """Hand over a plan of one classifier; gives the file and the store."""
    plan = {spec("baseline"): ["cue-conflict"]}
    file = tmp_path / "plan"
    file.write_bytes(pickle.dumps((partial(miniature, SEED), tmp_path / "records", Settings(), plan)))
    return file, RecordStore(tmp_path / "records")


def test_it_measures_what_is_planned_and_removes_the_plan(handed, one_thread):
    file, store = handed
    ahead.main([str(file)])
    assert [folder.parent.name for folder in store.runs()] == ["cue-conflict"]
    assert not file.exists()


def test_it_ends_when_whoever_started_it_has_gone(handed, monkeypatch):
    file, _ = handed
    parents = iter([1, 2, 3])
    monkeypatch.setattr("os.getppid", lambda: next(parents))
    monkeypatch.setattr("harness.studies.live.Laboratory._measure", lambda *arguments, **how: None)
    ahead.main([str(file)])
    assert next(parents) == 3  # looked once after the first thing, and not again


def test_one_core_is_left_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(ahead, "default_workers", lambda: 1)
    assert ahead.start(miniature(SEED), tmp_path, Settings(), {}) is None
