"""What a store is told to hold, what is found damaged in it, and what is taken away."""

import errno
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from data_fixtures.records import cut_short, empty, flip_a_bit, key, read, rows, same
from harness.errors import RecordsError
from harness.records import upkeep
from harness.records.store import RecordStore
from harness.records.upkeep import checked, collected, listed


@pytest.fixture
def store(tmp_path):
    return RecordStore(tmp_path)


@pytest.fixture
def run(store):
    run = store.run(key(protocol="classify/1", precision="fp32"))
    run.append(rows(0, 10))
    return run


def chunk(run, place):
    return next(run.folder.glob(f"{place:05d}-*"))


def left(run):
    return sorted(path.name for path in run.folder.iterdir() if path.name != ".lock")


def bytes_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_is_listed_with_what_it_is_and_has(store, run):
    os.utime(chunk(run, 1), (2e9, 2e9))
    (found,) = listed(store)
    assert (found.key, found.folder) == (run.key, f"imagenet/{run.folder.name}")
    assert (found.of("protocol"), found.of("precision"), found.of("nothing")) == ("classify/1", "fp32", "")
    assert found.images == 10
    assert found.bytes == sum(path.stat().st_size for path in run.folder.iterdir())
    assert found.written == datetime(2033, 5, 18, 3, 33, 20, tzinfo=UTC)
    assert not found.is_in_use
    with run.lock():
        assert [each.is_in_use for each in listed(store)] == [True]


@pytest.mark.parametrize(
    ("described", "why"),
    [
        (None, "has no run.json; measuring again writes it"),
        ("{", "run.json was cut short or altered"),
        ("[]", "run.json was cut short or altered"),
        ('{"benchmark": "imagenet"}', "run.json was cut short or altered"),
        ('{"format": 2}', "has format 2, written by a newer harness"),
    ],
)
def test_a_run_whose_key_can_not_be_read_is_listed_as_damaged(store, run, described, why):
    path = run.folder / "run.json"
    if described is None:
        path.unlink()
    else:
        path.write_text(described)
    (found,) = listed(store)
    assert (found.key, found.images) == (None, 10)
    assert why in found.damage
    (damage,) = checked(run.folder).damages
    assert not damage.is_garbage
    assert why.partition(";")[0].removeprefix("run.json ") in damage.what


def test_a_description_of_another_run_is_damage(store, run):
    described = json.loads((run.folder / "run.json").read_text())
    described["identity"]["seed"] = "1"
    (run.folder / "run.json").write_text(json.dumps(described))
    (found,) = listed(store)
    assert "was altered, or is another run's" in found.damage


def test_a_store_that_is_not_there_has_no_runs(tmp_path):
    assert listed(RecordStore(tmp_path / "none")) == []
    assert list(collected(RecordStore(tmp_path / "none"))) == []


def test_a_whole_run_is_found_whole(run):
    found = checked(run.folder)
    assert (found.chunks, found.records, found.damages) == (3, 10, ())
    assert found.bytes == sum(path.stat().st_size for path in run.folder.glob("*.parquet"))


@pytest.mark.parametrize("damage", [cut_short, flip_a_bit, empty])
def test_a_damaged_chunk_is_named(run, damage):
    damaged = chunk(run, 1)
    damage(damaged)
    found = checked(run.folder)
    assert [(each.path, each.is_garbage) for each in found.damages] == [(damaged, True)]
    assert "its checksum is not that of its name" in found.damages[0].what
    assert (found.chunks, found.records) == (2, 6)


def test_records_at_other_positions_than_their_file_s_are_named(run):
    wrong = chunk(run, 1)
    named_after_another_chunk = wrong.with_name(wrong.name.replace("00001-", "00007-"))
    wrong.rename(named_after_another_chunk)
    (found,) = checked(run.folder).damages
    assert (found.path, found.is_garbage) == (named_after_another_chunk, True)
    assert found.what == "its positions are not 28 to 31 of the seeded order"


def test_a_file_of_another_program_is_named(run):
    run.put(1, 4, b"no parquet")
    (found,) = checked(run.folder).damages
    assert (found.path, found.is_garbage) == (chunk(run, 1), True)


def _unreadable(monkeypatch, path):
    real = Path.read_bytes

    def read_bytes(each):
        if each == path:
            raise OSError(errno.EIO, "Input/output error")
        return real(each)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)


def test_a_chunk_that_can_not_be_read_is_named_and_never_deleted(store, run, monkeypatch):
    path = chunk(run, 1)
    _unreadable(monkeypatch, path)
    (found,) = checked(run.folder).damages
    assert (found.path, found.what, found.is_garbage) == (path, "can't be read (Input/output error)", False)
    (taken,) = collected(store)
    assert (taken.path, taken.is_left) == (path, True)
    assert path.exists()


def _litter(run):
    """Leave what a gc is for; gives it with its size."""
    flip_a_bit(chunk(run, 1))
    temporary = run.folder / ".00002-2.0123456789abcdef.parquet.4711"
    temporary.write_bytes(b"half")
    described = run.folder / ".run.json.4711"
    described.write_bytes(b"{")
    paces = run.folder / "paces.json"
    paces.write_bytes(b"{")
    run.keep_findings("grounds", {"accuracy": 0.5})
    findings = run.folder / "findings.json"
    findings.write_bytes(findings.read_bytes().replace(b"0.5", b"0.6"))
    run_of_part = RecordStore(run.folder.parents[1] / "other").run(run.key)
    run_of_part.append(rows(8, 9))
    part = chunk(run_of_part, 2)
    superseded = run.folder / part.name
    superseded.write_bytes(part.read_bytes())
    part.unlink()
    litter = (chunk(run, 1), temporary, described, paces, findings, superseded)
    return {path: path.stat().st_size for path in litter}


def test_what_no_run_can_use_is_deleted_and_all_else_is_kept(run):
    store = RecordStore(run.folder.parents[1])
    litter = _litter(run)
    (run.folder / "notes.txt").write_text("somebody's own")
    (store.root / "imagenet" / "readme").write_text("no run")
    assert {taken.path: taken.bytes for taken in collected(store)} == litter
    assert sorted(path.name[:8] for path in run.folder.iterdir() if path.name != ".lock") == [
        "00000-4.", "00002-2.", "notes.tx", "run.json"
    ]  # fmt: skip
    assert (store.root / "imagenet" / "readme").exists()
    assert run.missing(10).tolist() == [4, 5, 6, 7]
    run.append(rows(4, 8))
    assert same(read(run, 10), rows(0, 10))
    assert list(collected(store)) == []


def test_a_dry_run_says_the_same_and_touches_nothing(run):
    store = RecordStore(run.folder.parents[1])
    _litter(run)
    store.run(key(seed="5"))._prepare()
    before = bytes_of(store.root)
    said = list(collected(store, dry_run=True))
    assert bytes_of(store.root) == before
    assert list(collected(store)) == said
    assert len(said) == 7


def test_a_run_without_records_goes_with_its_folder_and_that_of_its_benchmark(store, run):
    other = store.run(key(benchmark="imagenet-a"))
    with other.lock():
        other.add_pace("cpu", 1, 1.0)
        other.keep_findings("grounds", {"accuracy": 0.5})
    size = sum(path.stat().st_size for path in other.folder.iterdir())
    (taken,) = collected(store)
    assert (taken.path, taken.why, taken.bytes) == (other.folder, "a run without records", size)
    assert [path.name for path in store.root.iterdir()] == ["imagenet"]


def test_a_run_all_of_whose_chunks_are_damaged_goes_and_is_measured_anew(store, run):
    for path in run.folder.glob("*.parquet"):
        empty(path)
    assert len(list(collected(store))) == 4
    assert not run.folder.exists()
    with run.lock():
        run.append(rows(0, 10))
    assert same(read(run, 10), rows(0, 10))


def test_records_of_a_run_that_lost_its_description_are_kept(store, run):
    (run.folder / "run.json").write_text("")
    assert list(collected(store)) == []
    assert same(read(store.run(run.key), 10), rows(0, 10))


def test_a_run_of_another_format_is_left_alone(store, run):
    (run.folder / "run.json").write_text('{"format": 2}')
    flip_a_bit(chunk(run, 1))
    (run.folder / ".run.json.4711").write_text("{")
    before = bytes_of(store.root)
    list(collected(store))
    assert bytes_of(store.root).items() >= before.items()


def test_folders_that_are_no_runs_are_never_touched(tmp_path):
    folder = tmp_path / "imagenet" / "val"
    folder.mkdir(parents=True)
    (folder / "00001-4.0123456789abcdef.parquet").write_text("somebody's own")
    (tmp_path / "imagenet" / f"a-{16 * '0'}").write_text("a file")
    before = bytes_of(tmp_path)
    assert list(collected(RecordStore(tmp_path))) == []
    assert bytes_of(tmp_path) == before


HOLDS = """
import sys
from pathlib import Path
from data_fixtures.records import key
from harness.records.store import RecordStore

with RecordStore(Path(sys.argv[1])).run(key(protocol="classify/1", precision="fp32")).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_run_that_a_process_is_at_is_left_alone_until_it_dies(store, run, dry_run):
    temporary = run.folder / ".00002-2.0123456789abcdef.parquet.4711"
    temporary.write_bytes(b"half")
    command = [sys.executable, "-c", HOLDS, str(store.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        (taken,) = collected(store, dry_run=dry_run)
        assert (taken.path, taken.why, taken.is_left) == (run.folder, "a process is at it", True)
        assert temporary.exists()
        holder.kill()
        holder.wait()
    (taken,) = collected(store, dry_run=dry_run)
    assert (taken.path, taken.is_left) == (temporary, False)


def test_what_can_not_be_deleted_is_one_line(store, run, monkeypatch):
    empty(chunk(run, 0))

    def fails(path, missing_ok=False):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(upkeep.Path, "unlink", fails)
    with pytest.raises(RecordsError, match="00000-4.*can't be written .Read-only file system"):
        list(collected(store))
