"""How workers of pytest-xdist share the claims on named classifiers: each takes all that is asked of one at once.

So a classifier is loaded by one worker and not by all. What is measured is shared all the same: a worker that has
nothing left to judge measures what others have not come to yet (`harness.studies.laboratory.Laboratory`).
"""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScheduling

from harness.suite.parameters import Cast

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

# As many tests must wait for a worker that is to run the first of them, see xdist's own.
_AHEAD = 2


class ByClassifier(LoadScheduling):  # type: ignore[misc]  # typed, but it does not say so
    """Hands out tests a classifier at a time, in the order in which they were collected: the dearest first.

    Args:
        config: pytest's configuration.
        log: xdist's log.
        unit_of: From a test's node id to the name of the unit that it is handed out with.
    """

    def __init__(self, config: pytest.Config, log: Producer | None, unit_of: Callable[[str], str]) -> None:
        super().__init__(config, log)
        self._unit_of = unit_of

    def check_schedule(self, node: "WorkerController", duration: float = 0) -> None:
        """Give a worker that is about to run out of tests another unit; end it where there is none."""
        if node.shutting_down:
            return
        if not self.pending:
            node.shutdown()
        elif len(self.node2pending[node]) < _AHEAD:
            self._send_tests(node, _AHEAD)

    def _send_tests(self, node: "WorkerController", num: int) -> None:
        """Send the tests of whole units, until the worker has enough to begin."""
        assert self.collection is not None
        while self.pending and len(self.node2pending[node]) < _AHEAD:
            unit = self._unit_of(self.collection[self.pending[0]])
            tests = [index for index in self.pending if self._unit_of(self.collection[index]) == unit]
            sent = set(tests)
            self.pending[:] = [index for index in self.pending if index not in sent]
            self.node2pending[node].extend(tests)
            node.send_runtest_some(tests)


def units(casts: Sequence[Cast]) -> Callable[[str], str]:
    """Give the function that names the unit of a test: its study and classifier; of others, itself.

    Args:
        casts: Who appears in the studies.
    """
    named = sorted((f"{cast.study}-{cast.label(spec)}" for cast in casts for spec in cast.everyone), key=len)
    beginnings = re.compile("|".join(rf"{re.escape(name)}(?=-|$)" for name in reversed(named)))

    def unit_of(nodeid: str) -> str:
        found = beginnings.match(nodeid.partition("[")[2].removesuffix("]"))
        return found.group() if found else nodeid

    return unit_of
