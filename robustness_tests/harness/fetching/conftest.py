"""Fixtures of the tests of fetching."""

import pytest

from harness.fetching import unpack
from harness.fetching.download import Patience


@pytest.fixture
def hasty():
    """Servers that are borne with for no time at all."""
    return Patience(connect=5.0, silence=1.0, tries=4, first_wait=0.01, longest_wait=0.05)


@pytest.fixture
def unsynced(monkeypatch):
    """Leave other tests' data alone: a sync waits for every process on the machine."""
    monkeypatch.setattr(unpack.os, "sync", lambda: None)
