"""Shows inside long tests how far they are: beneath pytest's own line on a terminal, now and then a line in a log.

Each process that measures writes how far it is into a file of its own, in a folder of the run that only lives as long
as the run (`harness.progress`); the process with the terminal reads them. So it is told of the workers of pytest-xdist
and of the second process of the miniature in the same way as of itself. Messages of pytest-xdist would do for its
workers alone, by private means, and are handled between tests only; a file is read whatever its process is busy with.

On a terminal the lines are drawn below the one that pytest is writing, and taken away before it goes on: what is left
on the screen at the end is what pytest has written. They are written by a duplicate of the terminal's descriptor, for
during a test pytest captures the original. Where the terminal can't do that, nor shall (NO_COLOR, --color=no, -s), or
there is none, plain lines are written instead.
"""

import os
import shutil
import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from harness import progress

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

# Under which name a worker is told where to write down how far it is.
_WHERE = "progress"

# What moves the cursor. A line below is made by scrolling where there is none, and the cursor stays in its column.
_SCROLL, _UP, _DOWN, _START, _SAVE, _BACK = "\x1bD", "\x1b[{}A", "\x1b[B", "\r", "\x1b7", "\x1b8"
_ERASE_LINE, _ERASE_BELOW = "\x1b[K", "\x1b[J"


def begin(config: pytest.Config) -> None:
    """Have it shown how far a run's long tests are.

    Args:
        config: pytest's configuration, of a worker too.
    """
    worker = getattr(config, "workerinput", None)
    if worker is None:
        config.pluginmanager.register(Watching())
    elif _WHERE in worker:
        progress.show_in(Path(worker[_WHERE]))


class Watching:
    """A plugin that shows how far all processes of a run are, while tests run."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._is_paused = False

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Make the folder for it, before workers are started."""
        config = session.config
        if config.option.collectonly or config.get_verbosity() <= -2:
            return
        self._folder = Path(tempfile.mkdtemp(prefix="robustness-progress-"))
        self._before = progress.show_in(self._folder / "main")

    def pytest_unconfigure(self) -> None:
        """Remove the folder."""
        if self._folder:
            progress.show_in(self._before)
            shutil.rmtree(self._folder, ignore_errors=True)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: "WorkerController") -> None:
        """Tell a worker where to write down how far it is."""
        if self._folder:
            node.workerinput[_WHERE] = str(self._folder / node.gateway.id)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: "WorkerController") -> None:
        """Forget how far a worker was that has ended, or died."""
        if self._folder:
            (self._folder / node.gateway.id).unlink(missing_ok=True)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Watch while tests run."""
        place = place_of(session.config) if self._folder else None
        if place is None:
            return (yield)
        ended = Event()
        thread = Thread(target=self._watch, args=(place, ended), daemon=True)
        thread.start()
        try:
            return (yield)
        finally:
            ended.set()
            thread.join()
            place.close()

    def pytest_enter_pdb(self) -> None:
        """Leave the terminal to the debugger."""
        self._is_paused = True

    def pytest_leave_pdb(self) -> None:
        """Go on after it."""
        self._is_paused = False

    def _watch(self, place: "Place", ended: Event) -> None:
        assert self._folder
        while not ended.wait(place.seconds):
            try:
                place.show([] if self._is_paused else progress.shown(self._folder))
            except OSError:  # the terminal has gone
                return


class Place(Protocol):
    """Where it is shown.

    Attributes:
        seconds: How often.
    """

    seconds: float

    def show(self, states: Sequence[progress.State]) -> None:
        """Show how far processes are, in place of what was shown before."""

    def close(self) -> None:
        """Leave it as it was."""


class Beneath:
    """The lines beneath the one that pytest is writing on a terminal.

    It takes the place of the file that pytest writes to, so as to take its own lines away before anything is written.

    Args:
        writer: What pytest writes with.
        descriptor: The terminal's.
    """

    seconds = 0.5

    def __init__(self, writer: Any, descriptor: int) -> None:
        self._writer, self._file = writer, writer._file
        self._descriptor = descriptor
        self._lock = Lock()
        self._is_drawn = False
        writer._file = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        """Write what pytest has to say, at once, where nothing else is in its way."""
        with self._lock:
            self._erase()
            count: int = self._file.write(text)
            self._file.flush()
            return count

    def show(self, states: Sequence[progress.State]) -> None:
        """Draw a line for each process, as far as there is room."""
        size = os.get_terminal_size(self._descriptor)
        columns = int(os.environ.get("COLUMNS") or size.columns or 80)
        lines = [state.fitted(columns - 1) for state in states[: max(1, (size.lines or 24) - 2)]]
        with self._lock:
            if not lines:
                self._erase()
                return
            drawn = "".join(f"{_DOWN}{_START}{line}{_ERASE_LINE}" for line in lines)
            room = _SCROLL * len(lines) + _UP.format(len(lines))
            self._is_drawn = True
            self._put(f"{room}{_SAVE}{drawn}{_ERASE_BELOW}{_BACK}")

    def close(self) -> None:
        """Take the lines away, and give pytest its file back."""
        with self._lock:
            self._erase()
        self._writer._file = self._file
        os.close(self._descriptor)

    def _erase(self) -> None:
        if self._is_drawn:
            self._is_drawn = False
            self._put(f"{_SAVE}{_DOWN}{_START}{_ERASE_BELOW}{_BACK}")

    def _put(self, text: str) -> None:
        os.write(self._descriptor, text.encode(self._file.encoding, "replace"))


class Between:
    """Lines of their own in a log, between those of pytest.

    Args:
        reporter: pytest's.
        descriptor: Of the log.
    """

    seconds = 30.0

    def __init__(self, reporter: pytest.TerminalReporter, descriptor: int) -> None:
        config = reporter.config
        self._reporter, self._descriptor = reporter, descriptor
        self._is_verbose = config.get_verbosity(pytest.Config.VERBOSITY_TEST_CASES) > 0
        self._has_workers = config.getoption("dist", "no") != "no"
        self._cut_off = ""

    def show(self, states: Sequence[progress.State]) -> None:
        """Write a line for each process."""
        if not states:
            return
        text = "\n".join(f"progress: {state.texts[0]}" for state in states)
        if self._is_verbose:  # where pytest begins with a new line if told that it is not in the line of a test
            text = f"\n{text}"
            self._reporter.currentfspath = -2 if self._has_workers else None
        else:
            line = self._reporter._tw._current_line
            text = f"\n{text}\n" if line and line is not self._cut_off else f"{text}\n"
            self._cut_off = line  # the very object: pytest makes another one as soon as it goes on
        os.write(self._descriptor, text.encode(self._reporter._tw._file.encoding, "replace"))

    def close(self) -> None:
        """Write no more."""
        os.close(self._descriptor)


def place_of(config: pytest.Config) -> Place | None:
    """Find where it can be shown; None where there is nothing that outlives pytest's capturing.

    Args:
        config: pytest's configuration, while nothing is captured.
    """
    reporter: pytest.TerminalReporter | None = config.pluginmanager.getplugin("terminalreporter")
    if reporter is None:
        return None
    writer = reporter._tw
    try:
        descriptor = os.dup(writer._file.fileno())
    except (OSError, ValueError, AttributeError):  # a file that is none of the system's
        return None
    if reporter.isatty() and writer.hasmarkup and config.option.capture != "no":
        return Beneath(writer, descriptor)
    return Between(reporter, descriptor)
