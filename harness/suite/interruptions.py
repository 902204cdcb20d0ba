"""What becomes of a run that is stopped, or whose workers die."""

import atexit
from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from harness.stopping import Stopping, end_at_once, require_going_on

if TYPE_CHECKING:
    from xdist.scheduler import Scheduling
    from xdist.workermanage import WorkerController


class Interruptions:
    """A plugin that stops a run at once, its workers too, and has what a lost worker was at done by another.

    Args:
        config: pytest's configuration; signals are given back when it is done with.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._stopping = Stopping()
        self._stopping.begin()
        config.add_cleanup(self._stopping.end)
        self._shows_all = config.option.fulltrace
        self._is_worker = hasattr(config, "workerinput")
        self._crashed: set[str] = set()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self) -> None:
        """Begin no further test once a stop was asked for."""
        require_going_on()

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Keep of the way to where a run was stopped its last step: pytest takes seconds to lay all of it out."""
        if not self._shows_all:
            excinfo.traceback = excinfo.traceback[-1:]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_unconfigure(self) -> Generator[None, object, object]:
        """Let signals end what is left to do, which nothing is lost by.

        A process that is stopped is ended once all is said: to tidy up after torch takes seconds.
        """
        self._stopping.end()
        result = yield
        if self._stopping.number is not None:
            if self._is_worker:
                end_at_once(pytest.ExitCode.INTERRUPTED)
            atexit.register(end_at_once, pytest.ExitCode.INTERRUPTED)
        return result

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodeready(self, node: "WorkerController") -> None:
        """Stop a worker too where this process is stopped."""
        if pid := _pid(node):
            self._stopping.others.add(pid)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: "WorkerController") -> None:
        """Leave a worker alone that has ended."""
        self._stopping.others.discard(_pid(node))

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, sched: "Scheduling") -> None:
        """Have another worker run the test that a worker died in: once, for it may be what kills them."""
        if crashitem not in self._crashed:
            self._crashed.add(crashitem)
            sched.mark_test_pending(crashitem)


def _pid(node: "WorkerController") -> int:
    """Give a worker's process; 0 where it runs on another machine."""
    popen = getattr(node.gateway._io, "popen", None)
    return popen.pid if popen else 0
