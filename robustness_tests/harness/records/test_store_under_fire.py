"""Full disks, dying disks, stores of other layouts, half made folders: one clear line, and nothing lost."""

import errno
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from data_fixtures.records import key, read, rows, same
from harness import files
from harness.errors import RecordsError
from harness.records.store import RecordStore

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="mounts of Linux")


@pytest.fixture
def run(tmp_path):
    run = RecordStore(tmp_path / "store").run(key())
    run.append(rows(0, 4))
    return run


@pytest.fixture
def mounted(tmp_path):
    """Mount a file system in memory of a megabyte; only root may."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True)
    except OSError:
        pytest.skip("no mount command")
    if done.returncode:
        pytest.skip("only root may mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_file_and_folder_are_flushed_before_the_older_file_goes(run, monkeypatch):
    """In this order a loss of power leaves the old chunk or the new one."""
    did = []

    def noting(name, real):
        def note(what, *more, **how):
            path = Path(os.readlink(f"/proc/self/fd/{what}")) if isinstance(what, int) else Path(what)
            did.append(
                (name, path.name.partition("-")[0].lstrip(".") if name != "flush" or path.is_file() else "folder")
            )
            return real(what, *more, **how)

        return note

    run = RecordStore(run.folder.parent.parent).run(key())
    run.append(rows(4, 6))
    monkeypatch.setattr(os, "fsync", noting("flush", os.fsync))
    monkeypatch.setattr(Path, "replace", noting("rename", Path.replace))
    monkeypatch.setattr(Path, "unlink", noting("delete", Path.unlink))
    run.append(rows(6, 8))
    assert did == [("flush", "00001"), ("rename", "00001"), ("flush", "folder"), ("delete", "00001")]


def test_a_folder_that_can_not_be_flushed_is_no_error(tmp_path, monkeypatch):
    def refuses(descriptor):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refuses)
    files.flush_folder(tmp_path)


@LINUX
def test_a_full_disk_is_one_line_and_the_same_goes_on_after_space_is_freed(mounted):
    run = RecordStore(mounted / "store").run(key())
    with run.lock():
        run.append(rows(0, 2))
    ballast = mounted / "ballast"
    with pytest.raises(OSError, match="No space left"):
        ballast.write_bytes(bytes(2 * 10**6))
    before = names(run.folder)
    told = r"can't be written .No space left on device.; what was kept before it is whole; free space, and the same"
    with pytest.raises(RecordsError, match=told):
        run.append(rows(2, 4))
    other = RecordStore(mounted / "store").run(key(seed="1"))
    with pytest.raises(RecordsError, match=told), other.lock():
        pytest.fail("locked on a full disk")
    assert names(run.folder) == before
    assert same(read(run, 2), rows(0, 2))
    assert run.missing(4).tolist() == [2, 3]
    ballast.unlink()
    run.append(rows(2, 4))
    with other.lock():
        other.append(rows(0, 4))
    assert same(read(run, 4), rows(0, 4))
    assert same(read(other, 4), rows(0, 4))


@LINUX
def test_a_read_only_store_is_read_and_one_line_names_the_option_when_it_must_be_written(mounted):
    run = RecordStore(mounted / "store").run(key())
    run.append(rows(0, 4))
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
    assert run.missing(4).size == 0
    assert same(read(run, 4), rows(0, 4))
    told = r"can't be written .Read-only file system.*name another store with --records DIR"
    with pytest.raises(RecordsError, match=told), run.lock():
        pytest.fail("locked on a read-only store")
    with pytest.raises(RecordsError, match=told):
        run.append(rows(4, 8))


LIMITED = """
import resource, sys
from pathlib import Path
from data_fixtures.records import key, rows
from harness.records.store import RecordStore

resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
RecordStore(Path(sys.argv[1])).run(key()).append(rows(4, 8))
"""


def test_a_write_that_the_system_really_cuts_off_leaves_what_was_there(run):
    before = names(run.folder)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(run.folder.parent.parent)], capture_output=True, text=True
    )
    assert "RecordsError" in done.stderr
    assert "can't be written (File too large); what was kept before it is whole; free space" in done.stderr
    assert names(run.folder) == before
    assert same(read(run, 4), rows(0, 4))
    run.append(rows(4, 8))
    assert same(read(run, 8), rows(0, 8))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("at", ["os.fsync", "pathlib.Path.replace"])
def test_no_space_and_no_quota_are_told_alike(run, monkeypatch, code, at):
    def fails(*_, **__):
        raise OSError(code, os.strerror(code))

    before = names(run.folder)
    with monkeypatch.context() as broken:
        broken.setattr(at, fails)
        with pytest.raises(RecordsError, match=f"{os.strerror(code)}.*free space, and the same command goes on"):
            run.append(rows(4, 8))
    assert names(run.folder) == before
    run.append(rows(4, 8))
    assert same(read(run, 8), rows(0, 8))


def test_no_space_for_a_forecast_is_told_and_stops_nothing(run, monkeypatch, caplog):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    run.add_pace("cpu", 10, 1.0)
    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", full)
        run.add_pace("cpu", 10, 1.0)
    assert "paces.json can't be written (No space left on device)" in caplog.text
    assert run.pace("cpu") == 0.1
    assert names(run.folder) == sorted(["run.json", "paces.json", *(path.name for path in run.folder.glob("0*"))])


def test_ctrl_c_in_a_write_leaves_no_half_file(run, monkeypatch):
    def interrupted(descriptor):
        raise KeyboardInterrupt

    before = names(run.folder)
    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.append(rows(4, 8))
    assert names(run.folder) == before


@pytest.mark.parametrize("dying", [1, 2, 3])
def test_a_disk_that_fails_at_a_read_is_one_line_and_loses_nothing(run, monkeypatch, dying):
    run.append(rows(4, 10))
    before = names(run.folder)
    reads, real = [], Path.read_bytes

    def read_bytes(path):
        reads.append(path)
        if len(reads) == dying:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return real(path)

    again = RecordStore(run.folder.parent.parent).run(run.key)
    again.missing(0)  # the description is read
    with monkeypatch.context() as broken:
        broken.setattr(Path, "read_bytes", read_bytes)
        with pytest.raises(RecordsError, match=r"0000\d-\d.*parquet can't be read .Input/output error.; mend it"):
            read(again, 10)
    assert len(reads) >= dying
    assert names(run.folder) == before
    assert same(read(again, 10), rows(0, 10))


def test_a_failing_read_of_what_a_write_adds_to_loses_nothing(run, monkeypatch):
    run.append(rows(4, 6))
    before = names(run.folder)

    def fails(path):
        raise OSError(errno.EIO, "Input/output error", str(path))

    with monkeypatch.context() as broken:
        broken.setattr(Path, "read_bytes", fails)
        with pytest.raises(RecordsError, match="can't be read .Input/output error"):
            run.append(rows(6, 8))
    assert names(run.folder) == before
    run.append(rows(6, 8))
    assert same(read(run, 8), rows(0, 8))


def _describe(run, **changed):
    path = run.folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def test_a_run_says_which_format_it_has(run):
    assert json.loads((run.folder / "run.json").read_text())["format"] == 1


def test_a_run_from_before_formats_were_said_is_read(run):
    path = run.folder / "run.json"
    described = json.loads(path.read_text())
    del described["format"]
    path.write_text(json.dumps(described))
    again = RecordStore(run.folder.parent.parent).run(key())
    assert same(read(again, 4), rows(0, 4))


@pytest.mark.parametrize(
    ("layout", "told"),
    [
        (2, "has format 2, written by a newer harness than this one, which reads 1; update the harness"),
        (0, "has the old format 0, this harness reads 1; delete it to measure anew"),
    ],
)
def test_a_run_of_another_format_is_refused_and_left_as_it_is(run, layout, told):
    _describe(run, format=layout)
    before = {name: (run.folder / name).read_bytes() for name in names(run.folder)}

    def uses():
        again = RecordStore(run.folder.parent.parent).run(key())
        yield lambda: again.missing(4)
        yield lambda: read(again, 4)
        yield lambda: again.append(rows(4, 8))
        yield again.lock().__enter__

    for use in uses():
        with pytest.raises(RecordsError, match=f"{run.folder} {told}"):
            use()
    assert {name: (run.folder / name).read_bytes() for name in names(run.folder)} == before


def test_records_of_another_schema_are_not_read_and_that_is_said(tmp_path, caplog):
    store = RecordStore(tmp_path)
    old = store.run(key(protocol="classify/1"))
    old.append(rows(0, 4))
    for other in (key(protocol="classify/2", weights="9"), key(protocol="sequences/2"), key(protocol="classify/1")):
        store.run(other).missing(4)
    assert caplog.text == ""
    new = store.run(key(protocol="classify/2"))
    assert new.missing(4).tolist() == [0, 1, 2, 3]
    assert (
        f"{old.folder} is of schema classify/1 and is not read, for this harness records classify/2; "
        "its images are measured again" in caplog.text
    )
    new.append(rows(0, 4))
    caplog.clear()
    assert new.missing(4).size == 0
    assert caplog.text == ""


@pytest.mark.parametrize("left", ["no folder", "empty folder", "no description", "half a description", "another's"])
def test_a_half_made_run_is_completed(tmp_path, left, caplog):
    store = RecordStore(tmp_path)
    run = store.run(key())
    if left != "no folder":
        run.folder.mkdir(parents=True)
    if left == "no description":
        run.append(rows(0, 4))
        (run.folder / "run.json").unlink()
    if left == "half a description":
        (run.folder / "run.json").write_text('{"benchmark": "imag')
    if left == "another's":
        store.run(key(seed="9")).append(rows(0, 4))
        (run.folder / "run.json").write_bytes((store.run(key(seed="9")).folder / "run.json").read_bytes())
    run = store.run(key())
    with caplog.at_level(logging.WARNING), run.lock():
        for start in range(0, 8, 4):
            run.append(rows(start, start + 4))
    assert ("it is written anew" in caplog.text) == (left in ("half a description", "another's"))
    assert json.loads((run.folder / "run.json").read_text())["identity"] == run.key.identity
    assert same(read(store.run(key()), 8), rows(0, 8))


WRITES = """
import sys
from pathlib import Path
from data_fixtures.records import key, rows
from harness.records.store import RecordStore

run = RecordStore(Path(sys.argv[1])).run(key(pairs=80))
while True:
    with run.lock():
        missing = run.missing(80)
        if not len(missing):
            break
        first = int(missing[0])
        run.append(rows(first, first + 2))
        print(first, flush=True)
"""


def test_two_processes_fill_one_run_and_write_nothing_twice(tmp_path):
    command = [sys.executable, "-c", WRITES, str(tmp_path)]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    wrote = [int(line) for writer in writers for line in writer.communicate(timeout=120)[0].split()]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert sorted(wrote) == list(range(0, 80, 2))
    run = RecordStore(tmp_path).run(key(pairs=80))
    assert same(read(run, 80), rows(0, 80))
    assert len(list(run.folder.glob("*.parquet"))) == 20


def test_a_writer_that_is_killed_at_any_moment_leaves_whole_records(tmp_path):
    """What it printed as written is there; another one goes on, and the outcome is that of one writer."""
    command = [sys.executable, "-c", WRITES, str(tmp_path)]
    for lines in (1, 5, 9):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            for _ in range(lines):
                last = int(writer.stdout.readline())
            writer.kill()
        run = RecordStore(tmp_path).run(key(pairs=80))
        assert same(read(run, last + 2), rows(0, last + 2))
    subprocess.run(command, check=True, capture_output=True)
    assert same(read(run, 80), rows(0, 80))
