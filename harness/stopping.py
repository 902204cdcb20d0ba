"""Ends a run at once when Ctrl-C or SIGTERM asks it to: what was measured is kept, and a line says so."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import ClassVar, NoReturn

KEPT = "what was measured is kept, the same command goes on from there"

_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
# Seconds after which a signal is sent again that Python was told of and has not handled.
_INSISTS_AFTER = 0.2
_NO_SIGNAL = b"\0"


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


@contextmanager
def unbroken() -> Iterator[None]:
    """Have a stop wait until this is done, as processes begin: what is not known yet to have begun can't be ended."""
    holder = Stopping.holder
    if holder is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    holder.is_held = True
    try:
        yield
    finally:
        holder.is_held = False
        holder.stop_again()


class Stopping:
    """Turns the first SIGINT or SIGTERM into a KeyboardInterrupt whose message says which it was; ignores later ones.

    What is being measured then puts what it holds into the store on its way out, which a second signal must not cut
    short. Decoding processes hold nothing that is kept, and are ended at once.

    Attributes:
        number: Of the signal that came; None before.
        others: Process ids to pass the signal on to, as SIGTERM.
        is_held: Whether what is going on is not to be broken off.
        holder: Who has the signals in this process; None for nobody.
    """

    holder: "ClassVar[Stopping | None]" = None

    def __init__(self) -> None:
        self.number: int | None = None
        self.others: set[int] = set()
        self.is_held = False
        self._owner = os.getpid()
        self._before: dict[int, object] = {}
        self._insistence: _Insistence | None = None

    def begin(self) -> None:
        """Take the signals over, but for those that whoever started this process has it ignore."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _NAMES:
            if signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._stop)
        Stopping.holder = self
        self._insistence = _Insistence(lambda: self.number is None and Stopping.holder is self)

    def end(self) -> None:
        """Give the signals back."""
        while self._before:
            signal.signal(*self._before.popitem())  # type: ignore[arg-type]
        if Stopping.holder is self:
            Stopping.holder = None
        if self._insistence:
            self._insistence.end()
            self._insistence = None

    def stop_again(self) -> None:
        """End the decoding processes and raise what a signal raises, if one came.

        Raises:
            KeyboardInterrupt: With what is to be said of it.
        """
        if self.number is not None and os.getpid() == self._owner:
            for child in multiprocessing.active_children():
                child.kill()
            raise KeyboardInterrupt(f"stopped by {_NAMES[signal.Signals(self.number)]}; {KEPT}")

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:  # a process that was forked from this one, to decode
            os._exit(128 + number)
        if self.number is not None:
            return
        self.number = number
        for other in self.others:
            with suppress(ProcessLookupError):
                os.kill(other, signal.SIGTERM)
        if not self.is_held:
            self.stop_again()


class _Insistence:
    """A thread that sends a signal again which Python was told of and has not handled.

    Python handles signals between its steps. One that comes just before a system call, or to another thread than the
    main one, does not end that call, which for a batch may last seconds and elsewhere for ever.

    Args:
        is_wanted: Whether a signal that came is still to be handled.
    """

    def __init__(self, is_wanted: Callable[[], bool]) -> None:
        self._is_wanted = is_wanted
        self._main = threading.get_ident()
        self._told, self._tell = os.pipe()
        os.set_blocking(self._tell, False)
        self._before = signal.set_wakeup_fd(self._tell, warn_on_full_buffer=False)
        threading.Thread(target=self._insist, daemon=True).start()

    def end(self) -> None:
        """Have signals told to whoever was told before."""
        signal.set_wakeup_fd(self._before)
        os.write(self._tell, _NO_SIGNAL)

    def _insist(self) -> None:
        while (told := os.read(self._told, 1)) != _NO_SIGNAL:
            if (number := told[0]) not in _NAMES:
                continue
            time.sleep(_INSISTS_AFTER)
            while self._is_wanted():
                signal.pthread_kill(self._main, number)
                time.sleep(_INSISTS_AFTER)
        os.close(self._told)
        os.close(self._tell)


def _tell_nobody() -> None:
    """Keep what a process that was forked is sent from being taken for what this one is."""
    if Stopping.holder:
        signal.set_wakeup_fd(-1)


os.register_at_fork(after_in_child=_tell_nobody)
