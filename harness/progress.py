"""How far a long measurement is: said to the log, and written down for whoever watches this process."""

import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from harness.files import replace_whole

log = logging.getLogger(__name__)

# Where this process writes down how far it is; None where nobody watches it.
_shown_in: Path | None = None


@dataclass(frozen=True)
class State:
    """How far a measurement is.

    Attributes:
        what: What is measured, e.g. `alexnet on imagenet-c`.
        done: How many units are done.
        total: Of how many.
        unit: What is counted.
        seconds: How long it took so far.
    """

    what: str
    done: int
    total: int
    unit: str
    seconds: float

    @property
    def texts(self) -> tuple[str, ...]:
        """Say it, longest first, for lines of different widths."""
        count = f"{self.done:,} of {self.total:,} {self.unit}"
        if not (self.done and self.seconds):
            return f"{self.what}: {count}", f"{self.what}: 0 %"
        rate = self.done / self.seconds
        pace = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
        left = f"{in_words((self.total - self.done) / rate)} left"
        percent = f"{100 * self.done / self.total:.0f} %"
        return f"{self.what}: {count}, {pace}/s, {left}", f"{self.what}: {percent}, {left}"

    def fitted(self, width: int) -> str:
        """Say it in one line of so many characters, with the name cut where nothing else helps."""
        found = next((text for text in self.texts if len(text) <= width), None)
        if found is None:
            end = self.texts[-1].removeprefix(self.what)
            found = f"{self.what[: max(0, width - len(end) - 3)]}...{end}"[:width]
        return found


class Progress:
    """Says every ten seconds how far a long measurement is, at which rate and for how much longer.

    Where somebody watches this process, it is shown from the beginning on, until the context is left or all is done.

    Args:
        what: What is measured.
        total: Of how many units it consists.
        unit: What is counted.
    """

    SECONDS = 10.0
    # How often it is written down at most.
    SHOWN = 0.2

    def __init__(self, what: str, total: int, unit: str = "images") -> None:
        self._what = what
        self._total = total
        self._unit = unit
        self._start = self._said = time.monotonic()
        self._shown = 0.0

    def __enter__(self) -> "Progress":
        self._show(0, self._start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _clear()

    def tell(self, done: int) -> None:
        """Note how many units are done."""
        now = time.monotonic()
        if done >= self._total:
            _clear()
        elif now - self._shown >= self.SHOWN:
            self._show(done, now)
        if done and now - self._said >= self.SECONDS:
            self._said = now
            log.info("%s", self._state(done, now).texts[0])

    def after(self, before: int) -> Callable[[int], None]:
        """Give a function to note units with, of which so many were done before."""
        return lambda done: self.tell(before + done)

    def _state(self, done: int, now: float) -> State:
        return State(self._what, done, self._total, self._unit, now - self._start)

    def _show(self, done: int, now: float) -> None:
        self._shown = now
        if _shown_in:
            with suppress(OSError):  # nothing is lost by it
                replace_whole(_shown_in, json.dumps(asdict(self._state(done, now))).encode(), durable=False)


def show_in(path: Path | None) -> Path | None:
    """Write down from now on how far this process is.

    Args:
        path: In which file; None for nowhere.

    Returns:
        Where that was before.
    """
    global _shown_in
    before, _shown_in = _shown_in, path
    return before


def beside(name: str) -> Path | None:
    """Give a place for another process that is watched as this one is; None where this one is not."""
    return _shown_in.with_name(name) if _shown_in else None


def shown(folder: Path) -> list[State]:
    """Read how far all processes are that write it down in a folder."""
    found = []
    for path in sorted(folder.glob("[!.]*")):
        with suppress(OSError, ValueError):  # gone, by now
            found.append(State(**json.loads(path.read_bytes())))
    return found


def _clear() -> None:
    if _shown_in:
        with suppress(OSError):
            os.unlink(_shown_in)


def in_words(seconds: float) -> str:
    """Print a time in the unit that fits it.

    >>> in_words(45), in_words(90), in_words(5400), in_words(200_000)
    ('45 s', '1.5 min', '1.5 h', '2.3 days')
    """
    units = (("days", 86_400.0), ("h", 3600.0), ("min", 60.0))
    name, size = next(((name, size) for name, size in units if seconds >= size), ("s", 1.0))
    return f"{seconds / size:.1f} {name}" if size > 1 else f"{seconds:.0f} s"
