"""Locks: one owner at a time, and none that is dead."""

import os
import signal
import subprocess
import sys
import time

import pytest

from harness.records.locks import held, is_held

HOLDS = """
import sys, time
from pathlib import Path
from harness.records.locks import held

with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""

# The worker sleeps on after its parent was killed, as a worker that decodes images may do.
HOLDS_AND_FORKS = """
import os, sys, time
from pathlib import Path
from harness.records.locks import held

with held(Path(sys.argv[1])):
    worker = os.fork()
    if worker:
        print(worker, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def lock(tmp_path):
    return tmp_path / "run" / ".lock"


def started(program, lock):
    process = subprocess.Popen([sys.executable, "-c", program, str(lock)], stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


def killed(process):
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_lock_has_one_owner_and_is_free_afterwards(lock):
    assert not is_held(lock)
    assert not lock.exists()
    with held(lock):
        assert is_held(lock)
        with pytest.raises(BlockingIOError), held(lock, wait=False):
            pytest.fail("two hold it")
    assert not is_held(lock)
    with held(lock, wait=False):
        pass


def test_a_killed_owner_holds_nothing(lock):
    process, _ = started(HOLDS, lock)
    assert is_held(lock)
    killed(process)
    with held(lock, wait=False):
        pass


def test_a_worker_that_outlives_its_killed_parent_holds_nothing(lock):
    process, worker = started(HOLDS_AND_FORKS, lock)
    try:
        assert is_held(lock)
        killed(process)
        os.kill(int(worker), 0)
        _wait_until(lambda: not is_held(lock))  # it may have been forked just now
        with held(lock, wait=False):
            pass
    finally:
        os.kill(int(worker), signal.SIGKILL)


def test_a_child_that_leaves_the_block_does_not_let_go_for_its_parent(lock):
    with held(lock):
        with held(lock.with_name("other")):
            child = os.fork()
            if not child:
                os._exit(int(any(map(_closes_an_inherited_lock, range(3, 64)))))
            assert os.waitpid(child, 0)[1] == 0
        assert is_held(lock)


def _closes_an_inherited_lock(descriptor):
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}").endswith((".lock", "other"))
    except OSError:
        return False


def test_whoever_waited_for_a_deleted_lock_takes_the_new_one(lock):
    """The owner deletes the folder, as a clean-up does; who waited must not hold a file that nobody else can see."""
    with held(lock):
        waiting, _ = _started_waiting(lock)
        lock.unlink()
        lock.parent.rmdir()
    try:
        assert waiting.stdout.readline() == "held\n"
        assert is_held(lock)
    finally:
        killed(waiting)


def _started_waiting(lock):
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(lock)], stdout=subprocess.PIPE, text=True)
    _wait_until(lambda: str(lock) in _open_files(process.pid))
    time.sleep(0.1)
    return process, None


def _open_files(pid):
    folder = f"/proc/{pid}/fd"
    found = []
    for name in os.listdir(folder):
        try:
            found.append(os.readlink(f"{folder}/{name}"))
        except OSError:
            continue
    return found


def _wait_until(is_so, seconds=20):
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)
