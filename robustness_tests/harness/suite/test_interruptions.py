"""Signals: who has them while a run goes on, and who when it is told and kept."""

import signal
from types import SimpleNamespace

import pytest

from harness.suite.interruptions import Interruptions


@pytest.fixture
def config():
    """What of pytest's configuration matters; signals are given back however a test ends."""
    cleanups = []
    yield SimpleNamespace(option=SimpleNamespace(fulltrace=False), add_cleanup=cleanups.append)
    for cleanup in cleanups:
        cleanup()


def test_what_is_left_to_do_after_all_is_told_is_ended_by_signals_as_ever(config):
    before = signal.getsignal(signal.SIGTERM)
    interruptions = Interruptions(config)
    assert signal.getsignal(signal.SIGTERM) != before
    unconfiguring = interruptions.pytest_unconfigure()
    next(unconfiguring)
    assert signal.getsignal(signal.SIGTERM) == before
    with pytest.raises(StopIteration):
        unconfiguring.send(None)
