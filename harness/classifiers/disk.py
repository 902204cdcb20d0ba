"""The file of a checkpoint or a program: there, whole, and the same from the first byte read to the last."""

import functools
import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import CheckpointError

_LFS_POINTER = b"version https://git-lfs"
# Files that were written to within so many seconds may still be growing.
_RECENT = 60
_TEXT_STARTS = (b"<!doctype", b"<html", b"<?xml", b"<head")


def check_file(path: Path) -> Path:
    """Give the path back if it is a file that may be a checkpoint or a program.

    Raises:
        CheckpointError: It is not there, is a folder, is empty, can't be read, or is a web page or a pointer of Git LFS
            in a file's place.
    """
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; expected a weights file (.safetensors, .pt or .pth) or a program")
    if not path.is_file():
        raise CheckpointError(f"no weights file {path}; check the path after @")
    if path.stat().st_size == 0:
        raise CheckpointError(f"{path} is empty; {get_again(path)}")
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise CheckpointError(f"{path} can't be read ({error.strerror}); check its permissions") from error
    if start.startswith(_LFS_POINTER):
        raise CheckpointError(f"{path} is a pointer of Git LFS and not the file itself; get it by git lfs pull")
    if start.lstrip().lower().startswith(_TEXT_STARTS):
        raise CheckpointError(f"{path} is not a checkpoint but a web page; look into it, and get the file again")
    return path


def get_again(path: Path) -> str:
    """Say what to do about a file that is not whole: wait, where somebody has just written to it."""
    _, modified = _size_and_time(path)
    ago = time.time() - modified / 1e9
    if ago > _RECENT:
        return "get it again"
    return f"get it again, or wait if it is still being written (it was written to {max(0, round(ago))} s ago)"


@contextmanager
def unchanged(path: Path) -> Iterator[None]:
    """Read a file within, and be sure that it was no other one at the end than at the beginning.

    Raises:
        CheckpointError: As `check_file`, or its size or its time of writing changed meanwhile.
    """
    before = _size_and_time(check_file(path))
    try:
        yield
    except CheckpointError as error:
        if before != _size_and_time(path):
            raise _being_written(path) from error
        raise
    if before != _size_and_time(path):
        raise _being_written(path)


def file_sha256(path: Path) -> str:
    """Hash a file's bytes; the same file is hashed once a process.

    Returns:
        64 hex digits.

    Raises:
        CheckpointError: There is no such file, it can't be read, or it is being written.
    """
    size, modified = _size_and_time(check_file(path))
    try:
        with unchanged(path):
            return _file_sha256(path.absolute(), size, modified)
    except OSError as error:
        raise CheckpointError(f"{path} can't be read ({error.strerror}); check its permissions") from error


@functools.cache
def _file_sha256(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:  # taken away
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


def _being_written(path: Path) -> CheckpointError:
    return CheckpointError(f"{path} is being written (it changed while it was read); wait until it is complete")
