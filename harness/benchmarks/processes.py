"""What the processes beside this one read or make, by torch's DataLoader, told without its pitfalls."""

import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

from harness.errors import DataError, DecoderLost
from harness.stopping import unbroken
from harness.torchvision_ops import import_torchvision

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

T = TypeVar("T")

# How torch's messages begin that tell of a process that was lost.
_LOST = ("DataLoader worker (pid", "Pin memory thread exited")


def given(loader: "DataLoader[T | DataError]", what: str, goes_on: str) -> Iterator[T]:
    """Give what a loader's processes give.

    Args:
        loader: It; an error that its processes hand over, which torch would wrap in a text of its own, is raised.
        what: What they do, as in `decodes images`.
        goes_on: What is to be said where one is lost: what is kept, and what to do.

    Raises:
        DataError: One was handed over; all that comes before it was given.
        DecoderLost: A process was ended from outside.
    """
    try:
        for each in _undisturbed(loader):
            if isinstance(each, DataError):
                raise each
            yield each
    except (RuntimeError, ConnectionError, EOFError) as error:  # the last two where it was handing over
        if isinstance(error, RuntimeError) and not str(error).startswith(_LOST):
            raise
        raise DecoderLost(
            f"a process that {what} was ended from outside, as systems do that run out of memory; {goes_on}"
        ) from error


def _undisturbed(loader: "DataLoader[T | DataError]") -> "Iterator[T | DataError]":
    """Begin to read, and take back the handler by which torch tells of the end of a process.

    It would raise that in the midst of whatever this process is doing, a write of records too. Without it whoever
    waits is told, 5 seconds later at most.
    """
    if loader.num_workers:
        import_torchvision()  # which each of them would else do by itself
    with unbroken():
        before = signal.getsignal(signal.SIGCHLD)
        read = iter(loader)
        if threading.current_thread() is threading.main_thread():
            is_torchs = before is None or str(getattr(before, "__module__", "")).startswith("torch.")
            signal.signal(signal.SIGCHLD, signal.SIG_DFL if is_torchs else before)
    return read
