"""Merging stores: what is missing is copied, what is the same skipped, what contradicts refused."""

import errno
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from data_fixtures.records import cut_short, key, read, rows, same
from harness.errors import RecordsError, UsageError
from harness.records.merging import merged
from harness.records.store import RecordStore
from harness.records.upkeep import checked


@pytest.fixture
def store(tmp_path):
    """Give a function that makes a store with one run of some rows."""

    def store(name, *pieces, **identity):
        found = RecordStore(tmp_path / name)
        for piece in pieces:
            found.run(key(precision="fp32", **identity)).append(piece)
        return found

    return store


@pytest.fixture
def into(tmp_path):
    return RecordStore(tmp_path / "into")


def run_of(store, **identity):
    return store.run(key(precision="fp32", **identity))


def files_of(store):
    return {
        path.relative_to(store.root): path.read_bytes()
        for path in store.root.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_shards_become_the_store_of_one_machine(store, into):
    whole = store("whole", rows(0, 10))
    shards = store("first", rows(0, 4), rows(8, 10)), store("second", rows(4, 8))
    first, second = merged([shard.root for shard in shards], into)
    assert (first.copied, first.there, first.records) == (2, 0, 6)
    assert (second.copied, second.there, second.records) == (1, 0, 4)
    assert files_of(into) == files_of(whole)
    assert same(read(run_of(into), 10), rows(0, 10))


def test_merging_again_changes_nothing(store, into):
    source = store("source", rows(0, 10))
    list(merged([source.root], into))
    before = files_of(into)
    (again,) = merged([source.root], into)
    assert (again.copied, again.there, again.records, again.is_whole) == (0, 3, 0, True)
    assert files_of(into) == before


def test_other_runs_stay_apart(store, into):
    source = store("source", rows(0, 10))
    store("into", rows(0, 4), seed="1")
    list(merged([source.root], into))
    assert same(read(run_of(into), 10), rows(0, 10))
    assert same(read(run_of(into, seed="1"), 4), rows(0, 4))
    assert run_of(into, seed="1").missing(10).tolist() == [4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize(("mine", "theirs"), [(2, 4), (4, 2)])
def test_the_rest_of_a_chunk_that_is_there_in_part_is_added(store, into, mine, theirs):
    run_of(into).append(rows(0, mine))
    (found,) = merged([store("source", rows(0, theirs)).root], into)
    assert found.records == max(0, theirs - mine)
    assert same(read(run_of(into), 4), rows(0, 4))
    assert len(list(run_of(into).folder.glob("*.parquet"))) == 1


def test_within_noise_what_is_there_is_kept(store, into):
    """Of another machine: the last bits of floating point differ, and when its copy of the files was written."""
    other = rows(0, 4, modified=np.arange(4))
    other["confidence"] = other["confidence"] + np.float32(1e-6)
    run_of(into).append(rows(0, 3))
    (found,) = merged([store("source", other).root], into)
    assert (found.copied, found.records, found.refused) == (1, 1, "")
    merged_columns = read(run_of(into), 4)
    assert same({name: values[:3] for name, values in merged_columns.items()}, rows(0, 3))
    assert merged_columns["confidence"][3] == other["confidence"][3] != rows(3, 4)["confidence"][0]


def _changed(name, place, value):
    columns = rows(0, 10)
    columns[name] = columns[name].copy()
    columns[name][place] = value
    return columns


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("confidence", 0.5, "confidence is 0.5, and 0.05"),
        ("confidence", np.nan, "confidence is nan, and 0.05"),
        ("top5", [5, 6, 7, 9, 8], r"top5 is \[5, 6, 7, 9, 8\], and \[5, 6, 7, 8, 9\]"),
        ("digest", 7, "digest is 7, and 9223372036854775813"),
    ],
)
def test_other_records_of_the_same_images_are_refused_and_nothing_is_copied(store, into, name, value, told):
    run_of(into).append(rows(4, 8))
    before = files_of(into)
    source = store("source", _changed(name, 5, value))
    (found,) = merged([source.root], into)
    assert not found.is_whole
    assert (found.copied, found.records) == (0, 0)
    assert f"{run_of(source).folder}/00001-4." in found.refused
    assert "first of n1/5.png (position 5)" in found.refused
    assert re.search(told, found.refused)
    assert files_of(into) == before


def test_nan_agrees_with_nan(store, into):
    run_of(into).append(_changed("confidence", 1, np.nan))
    other = _changed("confidence", 1, np.nan)
    other["confidence"][3] += np.float32(1e-6)
    (found,) = merged([store("source", other).root], into)
    assert (found.there, found.refused) == (3, "")


def test_coarser_precisions_have_more_noise(tmp_path):
    for precision, is_refused in (("fp32", True), ("bf16", False)):
        stores = [RecordStore(tmp_path / precision / name) for name in ("source", "into")]
        for each, columns in zip(stores, (_changed("confidence", 5, 0.06), rows(0, 10)), strict=True):
            each.run(key(precision=precision)).append(columns)
        (found,) = merged([stores[0].root], stores[1])
        assert bool(found.refused) == is_refused


def test_other_columns_are_refused(store, into):
    columns = rows(0, 4)
    del columns["confidence"]
    run_of(into).append(columns)
    (found,) = merged([store("source", rows(0, 4)).root], into)
    assert "has other columns than the records that are there (confidence)" in found.refused


def test_one_refused_run_keeps_no_other_from_being_merged(store, into):
    run_of(into).append(rows(0, 4))
    store("source", _changed("digest", 0, 1))
    source = store("source", rows(0, 10), seed="1")
    assert sorted(bool(found.refused) for found in merged([source.root], into)) == [False, True]
    assert same(read(run_of(into, seed="1"), 10), rows(0, 10))


def test_damaged_chunks_of_a_source_are_left_out_and_named(store, into):
    source = store("source", rows(0, 10))
    damaged = next(run_of(source).folder.glob("00001-*"))
    cut_short(damaged)
    (found,) = merged([source.root], into)
    assert (found.damaged, found.copied, found.is_whole) == ([damaged], 2, False)
    assert run_of(into).missing(10).tolist() == [4, 5, 6, 7]


def test_records_at_wrong_positions_are_left_out(store, into):
    source = store("source", rows(0, 8))
    moved = next(run_of(source).folder.glob("00001-*"))
    moved = moved.rename(moved.with_name(moved.name.replace("00001-", "00002-")))
    (found,) = merged([source.root], into)
    assert found.damaged == [moved]
    assert run_of(into).missing(10).tolist() == [4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("rows_there", [2, 4])
def test_damaged_chunks_that_are_there_are_replaced(store, into, rows_there):
    run_of(into).append(rows(0, rows_there))
    cut_short(next(run_of(into).folder.glob("*.parquet")))
    (found,) = merged([store("source", rows(0, 4)).root], into)
    assert (found.copied, found.records) == (1, 4)
    assert same(read(run_of(into), 4), rows(0, 4))
    assert checked(run_of(into).folder).damages == ()


@pytest.mark.parametrize("side", ["source", "into"])
def test_runs_of_another_format_are_refused(store, into, side):
    source = store("source", rows(0, 4))
    run_of(into).append(rows(4, 8))
    (run_of(source if side == "source" else into).folder / "run.json").write_text('{"format": 2}')
    (found,) = merged([source.root], into)
    assert "has format 2, written by a newer harness" in found.refused


def test_a_source_that_is_no_store_is_refused_before_anything_is_copied(store, into, tmp_path):
    source = store("source", rows(0, 4))
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    into.root.mkdir()
    for other, told in (("empty", "holds no runs"), ("file", "is no folder"), ("into", "is the store that is merged")):
        with pytest.raises(UsageError, match=told):
            list(merged([source.root, tmp_path / other], into))
    assert files_of(into) == {}


def test_a_full_disk_stops_a_merge_that_goes_on_afterwards(store, into, monkeypatch):
    source = store("source", rows(0, 10))
    real, syncs = os.fsync, []

    def full(descriptor):
        syncs.append(descriptor)
        if len(syncs) > 8:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        with pytest.raises(RecordsError, match="No space left on device.*free space, and the same command goes on"):
            list(merged([source.root], into))
    kept = 10 - len(run_of(into).missing(10))
    assert 0 < kept < 10
    (found,) = merged([source.root], into)
    assert found.records == 10 - kept
    assert same(read(run_of(into), 10), rows(0, 10))


def test_a_source_on_a_dying_disk_is_refused_and_the_others_are_merged(store, into, monkeypatch):
    bad, good = store("bad", rows(0, 4)), store("good", rows(4, 10))
    real = Path.read_bytes

    def read_bytes(path):
        if path.suffix == ".parquet" and bad.root in path.parents:
            raise OSError(errno.EIO, "Input/output error")
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    first, second = merged([bad.root, good.root], into)
    assert "can't be read (Input/output error)" in first.refused
    assert (second.records, second.refused) == (6, "")


MERGES = """
import sys
from pathlib import Path
from harness.records.merging import merged
from harness.records.store import RecordStore

for found in merged([Path(sys.argv[1])], RecordStore(Path(sys.argv[2]))):
    pass
"""


def test_a_killed_merge_goes_on(store, into):
    source = store("source", rows(0, 10))
    for after in (0.2, 0.4, 0.5, 0.6):
        process = subprocess.Popen([sys.executable, "-c", MERGES, str(source.root), str(into.root)])
        threading.Timer(after, process.kill).start()
        process.wait()
        for folder in into.folders():
            assert [damage for damage in checked(folder).damages if damage.is_garbage] == []
    list(merged([source.root], into))
    assert same(read(run_of(into), 10), rows(0, 10))


def test_a_run_that_is_being_measured_is_merged_last_when_it_is_let_go(store, into):
    store("source", rows(0, 10))
    source = store("source", rows(0, 10), seed="1")
    held = sorted(source.folders())[0].name
    busy = next(run for run in (run_of(into), run_of(into, seed="1")) if run.folder.name == held)
    order, is_first_done = [], threading.Event()

    def merge():
        for found in merged([source.root], into):
            order.append(found.source.name)
            is_first_done.set()

    with busy.lock():
        thread = threading.Thread(target=merge)
        thread.start()
        assert is_first_done.wait(20)
        busy.append(rows(0, 4))
    thread.join(20)
    assert order == [folder.name for folder in sorted(source.folders(), reverse=True)]
    assert same(read(busy, 10), rows(0, 10))
