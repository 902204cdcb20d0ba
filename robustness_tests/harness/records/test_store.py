"""The store: what is written is read back, found by what produced it, whole or not at all."""

import json
import logging
import subprocess
import sys
import threading

import pytest

from data_fixtures.records import IDENTITY, cut_short, empty, flip_a_bit, key, read, rows, same
from harness.errors import RecordsError
from harness.records.schema import to_columns, to_table
from harness.records.store import Busy, RecordStore, RunKey


@pytest.fixture
def run(tmp_path):
    run = RecordStore(tmp_path).run(key())
    for start, stop in ((0, 4), (4, 8), (8, 10)):
        run.append(rows(start, stop))
    return run


def test_columns_survive_the_table():
    columns = rows(0, 5)
    back = to_columns(to_table(columns))
    assert same(back, columns)
    assert {name: values.dtype for name, values in back.items()} == {n: v.dtype for n, v in columns.items()}


def test_what_is_written_is_read_back(run):
    assert run.missing(10).size == 0
    assert same(read(run, 10), rows(0, 10))
    assert same(read(run, 5), rows(0, 5))
    assert list(read(run, 10, ["confidence"])) == ["confidence"]


def test_another_session_finds_the_same_records(run, tmp_path):
    assert same(read(RecordStore(tmp_path).run(key()), 10), rows(0, 10))
    assert RecordStore(tmp_path).runs() == [run.folder]


@pytest.mark.parametrize("other", [key(weights="sha256:9"), key(seed="1"), key(pairs=11), key(chunk=8)])
def test_records_of_anything_else_are_not_found(run, tmp_path, other):
    assert RecordStore(tmp_path).run(other).missing(10).tolist() == list(range(10))


def test_the_run_says_in_words_what_it_is(run):
    described = json.loads((run.folder / "run.json").read_text())
    assert described["identity"] == IDENTITY
    assert (described["subject"], described["pairs"], described["chunk"]) == ("a_classifier", 10, 4)


def test_missing_names_what_is_not_there_in_order(tmp_path):
    run = RecordStore(tmp_path).run(key())
    run.append(rows(4, 6))
    assert run.missing(10).tolist() == [0, 1, 2, 3, 6, 7, 8, 9]
    assert run.missing(5).tolist() == [0, 1, 2, 3]


def test_a_chunk_left_in_the_middle_is_completed(tmp_path):
    run = RecordStore(tmp_path).run(key())
    run.append(rows(0, 3))
    run.append(rows(3, 4))
    assert same(read(run, 4), rows(0, 4))
    assert len(list(run.folder.glob("*.parquet"))) == 1


def test_rows_of_many_chunks_are_appended_at_once(tmp_path):
    run = RecordStore(tmp_path).run(key())
    run.append(rows(0, 2))
    run.append(rows(2, 10))
    assert same(read(run, 10), rows(0, 10))
    assert sorted(path.name[:7] for path in run.folder.glob("*.parquet")) == ["00000-4", "00001-4", "00002-2"]


def test_a_chunk_that_lacks_a_column_is_refused_and_not_misread(run):
    with pytest.raises(RecordsError, match=f"{run.folder}/00000-4.* lacks label: it is of another schema"):
        read(run, 10, ["position", "label"])


def test_a_file_of_another_program_is_refused(run):
    run.put(1, 4, b"no parquet")
    with pytest.raises(RecordsError, match="00001-4.* is no table that this harness reads"):
        run.missing(10)


def test_rows_that_do_not_follow_are_refused(tmp_path):
    run = RecordStore(tmp_path).run(key())
    run.append(rows(0, 2))
    with pytest.raises(RecordsError, match="do not follow"):
        run.append(rows(3, 4))
    assert same(read(run, 2), rows(0, 2))


@pytest.mark.parametrize("damage", [cut_short, flip_a_bit, empty], ids=lambda damage: damage.__name__)
def test_damaged_chunk_is_said_and_measured_again(run, caplog, damage):
    damaged = sorted(run.folder.glob("00001-*"))[0]
    damage(damaged)
    with caplog.at_level(logging.WARNING):
        assert run.missing(10).tolist() == [4, 5, 6, 7]
    assert f"{damaged} was cut short or altered; its images are measured again" in caplog.text
    with pytest.raises(RecordsError, match="chunk 1 is not whole"):
        read(run, 10)
    run.append(rows(4, 8))
    assert run.missing(10).size == 0
    assert same(read(run, 10), rows(0, 10))


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    run = RecordStore(tmp_path).run(key())
    run.append(rows(0, 3))
    before = sorted(path.name for path in run.folder.iterdir())
    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", full)
        with pytest.raises(RecordsError, match="can't be written .No space left on device"):
            run.append(rows(3, 4))
    assert sorted(path.name for path in run.folder.iterdir()) == before
    assert same(read(run, 3), rows(0, 3))


def test_a_store_that_can_not_be_made_names_the_option(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RecordsError, match="can't be written .*name another store with --records"):
        RecordStore(tmp_path / "file").run(key()).append(rows(0, 4))


def test_reading_takes_one_chunk_at_a_time(run):
    assert [len(chunk["position"]) for chunk in run.read(9)] == [4, 4, 1]


HOLDS = """
import sys
from pathlib import Path
from harness.records.store import RecordStore, RunKey

with RecordStore(Path(sys.argv[1])).run(RunKey("imagenet", "a_classifier", {}, pairs=10, chunk=4)).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_run_that_another_process_holds_is_busy_until_it_lets_go(tmp_path):
    store = RecordStore(tmp_path)
    run, other = (store.run(RunKey("imagenet", name, {}, pairs=10, chunk=4)) for name in ("a_classifier", "another"))
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Busy, match=str(run.folder)), run.lock(wait=False):
            pytest.fail("two hold it")
        with other.lock(wait=False):  # another run is free
            pass
        threading.Timer(0.5, holder.stdin.close).start()
        with run.lock():  # waits until it is let go
            assert holder.wait(10) == 0
    with run.lock(wait=False):
        run.append(rows(0, 4))
    assert run.missing(4).size == 0


def test_a_chunk_that_another_process_has_just_replaced_is_not_an_error(tmp_path, monkeypatch):
    """Between listing and reading a file it may be replaced: its rows count as missing, and are looked for again."""
    run = RecordStore(tmp_path).run(key())
    run.append(rows(0, 2))
    listed = run._files()
    run.append(rows(2, 4))
    monkeypatch.setattr(run, "_files", lambda: listed)
    assert run.missing(4).tolist() == [0, 1, 2, 3]
    monkeypatch.undo()
    assert run.missing(4).tolist() == []
