"""Files that are whole or not there: written beside their place, then renamed into it."""

import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path

from harness.errors import HarnessError

# What file systems answer that flush no folders.
_CAN_NOT_FLUSH = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EBADF)


def replace_whole(path: Path, data: bytes, *, durable: bool = True, flush_name: bool = True) -> None:
    """Write a file whole before it takes the place of an older one; a failed write leaves that as it was.

    Args:
        path: Where.
        data: What.
        durable: Whether it and its name are flushed to disk: a file that a loss of power must not take away.
        flush_name: False for one of many in a folder, which is flushed by `flush_folder` after the last.

    Raises:
        OSError: It can't be written.
    """
    # Drawn, for processes of other machines that share a folder may have the same id.
    beside = path.with_name(f".{path.name}.{secrets.randbits(48)}")
    try:
        with beside.open("wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:  # Ctrl-C too
        with suppress(OSError):
            beside.unlink()
        raise
    if durable and flush_name:
        flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Flush the names in a folder to disk, where its file system can do so.

    Raises:
        OSError: The disk fails, or is full.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # a folder that may be written and not listed
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CAN_NOT_FLUSH:
            raise
    finally:
        os.close(descriptor)


def put_whole(path: Path, data: bytes) -> None:
    """Write a file that a user asked for whole, and make its folder.

    Args:
        path: Where.
        data: What.

    Raises:
        HarnessError: It can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_whole(path, data, durable=False)
    except OSError as error:
        raise HarnessError(f"{path} can't be written ({error.strerror}); name another place") from error
