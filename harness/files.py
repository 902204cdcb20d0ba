"""Files that are whole or not there: written beside their place, then renamed into it."""

import os
from contextlib import suppress
from pathlib import Path


def replace_whole(path: Path, data: bytes) -> None:
    """Write a file, flushed to disk before it takes the place of an older one; a failed write leaves that as it was.

    Raises:
        OSError: It can't be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        with suppress(OSError):
            beside.unlink()
        raise
