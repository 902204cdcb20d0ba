"""Ends a run at once when Ctrl-C or SIGTERM asks it to: what was measured is kept, and a line says so."""

import multiprocessing
import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import ClassVar, NoReturn

KEPT = "what was measured is kept, the same command goes on from there"

_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


def end_at_once(code: int) -> NoReturn:
    """End this process, all of which is kept and said: to tidy up after torch alone takes seconds."""
    sys.stdout.flush()
    os._exit(code)


def require_going_on() -> None:
    """Stop here where a stop was asked for and came to nothing: what an object raises while it is deleted is dropped.

    Raises:
        KeyboardInterrupt: As the signal did.
    """
    if Stopping.holder:
        Stopping.holder.stop_again()


class Stopping:
    """Turns the first SIGINT or SIGTERM into a KeyboardInterrupt whose message says which it was; ignores later ones.

    What is being measured then puts what it holds into the store on its way out, which a second signal must not cut
    short. Decoding processes hold nothing that is kept, and are ended at once.

    Attributes:
        number: Of the signal that came; None before.
        others: Process ids to pass the signal on to, as SIGTERM.
        holder: Who has the signals in this process; None for nobody.
    """

    holder: "ClassVar[Stopping | None]" = None

    def __init__(self) -> None:
        self.number: int | None = None
        self.others: set[int] = set()
        self._owner = os.getpid()
        self._before: dict[int, object] = {}

    def begin(self) -> None:
        """Take the signals over, but for those that whoever started this process has it ignore."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _NAMES:
            if signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._stop)
        Stopping.holder = self

    def end(self) -> None:
        """Give the signals back."""
        while self._before:
            signal.signal(*self._before.popitem())  # type: ignore[arg-type]
        if Stopping.holder is self:
            Stopping.holder = None

    def stop_again(self) -> None:
        """Raise once more what a signal raised, if one came."""
        if self.number is not None and os.getpid() == self._owner:
            raise KeyboardInterrupt(f"stopped by {_NAMES[signal.Signals(self.number)]}; {KEPT}")

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:  # a process that was forked from this one, to decode
            os._exit(128 + number)
        if self.number is not None:
            return
        self.number = number
        # In place of torch's handler, which would raise that a decoding process has ended in the midst of a write.
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        for child in multiprocessing.active_children():
            child.terminate()
        for other in self.others:
            with suppress(ProcessLookupError):
                os.kill(other, signal.SIGTERM)
        self.stop_again()
