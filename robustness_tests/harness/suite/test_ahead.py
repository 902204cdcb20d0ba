"""The second process: it measures a plan that it is handed, and is not started where there is no core for it."""

import pickle
from functools import partial
from pathlib import Path

import pytest

from data_fixtures.miniature.study import miniature, spec
from harness.engines.settings import Settings
from harness.records.store import RecordStore
from harness.suite import ahead

SEED = 7


@pytest.fixture
def handed(tmp_path):
    """Hand over a plan of one classifier; gives what the process is called with, and the store."""
    plan = {spec("baseline"): ["cue-conflict"]}
    file = tmp_path / "plan"
    file.write_bytes(pickle.dumps((partial(miniature, SEED), tmp_path / "records", Settings(), plan)))
    return [str(file), str(tmp_path / "said")], RecordStore(tmp_path / "records")


def test_it_measures_what_is_planned_and_removes_the_plan(handed, one_thread):
    arguments, store = handed
    ahead.main(arguments)
    assert [folder.parent.name for folder in store.runs()] == ["cue-conflict"]
    assert not Path(arguments[0]).exists()
    assert Path(arguments[1]).read_text(encoding="utf-8") == ""


def test_it_writes_down_what_it_warns_of(handed, one_thread):
    arguments, store = handed
    plan = Path(arguments[0]).read_bytes()
    ahead.main(arguments)
    chunk = next(store.runs()[0].glob("*.parquet"))
    chunk.write_bytes(chunk.read_bytes()[:-1])
    Path(arguments[0]).write_bytes(plan)
    ahead.main(arguments)
    (said,) = Path(arguments[1]).read_text(encoding="utf-8").splitlines()
    assert said == f"records: {chunk} was cut short or altered; its images are measured again"


def test_it_ends_when_whoever_started_it_has_gone(handed, monkeypatch):
    arguments, _ = handed
    parents = iter([1, 2, 3])
    monkeypatch.setattr("os.getppid", lambda: next(parents))
    monkeypatch.setattr("harness.studies.live.Laboratory._measure", lambda *arguments, **how: None)
    ahead.main(arguments)
    assert next(parents) == 3  # looked once after the first thing, and not again


def test_one_core_is_left_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(ahead, "default_workers", lambda: 1)
    assert ahead.start(miniature(SEED), tmp_path, Settings(), {}) is None
