"""Files that are whole or not there: written beside their place, then renamed into it."""

import os
from contextlib import suppress
from pathlib import Path

from harness.errors import HarnessError


def replace_whole(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file whole before it takes the place of an older one; a failed write leaves that as it was.

    Args:
        path: Where.
        data: What.
        durable: Whether it is flushed to disk first: a file that a loss of power must not leave empty.

    Raises:
        OSError: It can't be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        with suppress(OSError):
            beside.unlink()
        raise


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
