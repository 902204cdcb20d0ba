"""Locks that die with their owner: the kernel lets go of a flock however a process ends, kill -9 included.

A lock is a file; whoever deletes it must hold it. Children that are forked meanwhile let go of it at once, so that a
worker that outlives its parent does not hold what the parent held.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_held: set[int] = set()


@contextmanager
def held(path: Path, *, wait: bool = True, shared: bool = False) -> Iterator[None]:
    """Hold a lock, whose file and folder are made where they are not there.

    Args:
        path: The lock's file.
        wait: Whether to wait for another owner.
        shared: Whether to hold it beside others who share it, against those who don't.

    Raises:
        BlockingIOError: It has another owner, and `wait` is false.
        OSError: It can't be made, or its file system knows no locks.
    """
    descriptor = _taken(path, wait=wait, shared=shared)
    _held.add(descriptor)
    try:
        yield
    finally:
        if descriptor in _held:  # not in a child
            _held.remove(descriptor)
            os.close(descriptor)


def shared_folder(name: str) -> Path:
    """Give the folder of locks on what a machine has and not a store; of this user's processes, which share it."""
    return Path(tempfile.gettempdir()) / f"robustness-{name}-{os.getuid()}"


def is_held(path: Path) -> bool:
    """Tell whether a lock has an owner, without making its file.

    Raises:
        OSError: It can't be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _taken(path: Path, *, wait: bool, shared: bool) -> int:
    """Lock the file that is at the path by then: its last owner may have deleted the one that was waited for."""
    how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # its folder was deleted meanwhile
            continue
        try:
            fcntl.flock(descriptor, how)
            if _is_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _let_go_in_child() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go_in_child)
