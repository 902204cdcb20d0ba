"""Whose turn it is to have a classifier loaded, of several processes on one machine that share a store.

Who has it loaded measures all that is planned of it. So another process that needs its records waits for that, but not
for long: what takes longer is shared, and it loads the classifier too.
"""

import hashlib
import time
from collections.abc import Container
from contextlib import ExitStack
from pathlib import Path

from harness.classifiers.spec import Spec
from harness.records.locks import held, shared_folder
from harness.stopping import require_going_on

_POLL = 0.05


class Turns:
    """The turns of one process.

    Args:
        store: The folder of the store that is shared.
        patience: How long to wait for another process, in seconds; 0 to take no turns at all.
    """

    def __init__(self, store: Path, patience: float) -> None:
        self._store = store
        self._patience = patience
        self._held: dict[Spec, ExitStack] = {}

    @property
    def are_taken(self) -> bool:
        """Whether processes take turns at all."""
        return self._patience > 0

    def wait(self, spec: Spec) -> None:
        """Wait until no other process has a classifier loaded, or patience ends; then it is this one's turn."""
        if not self.are_taken or spec in self._held:
            return
        until = time.monotonic() + self._patience
        while not self._take(spec) and time.monotonic() < until:
            require_going_on()
            time.sleep(_POLL)

    def give_back(self, kept: Container[Spec]) -> None:
        """End the turns on all classifiers but those that stay loaded."""
        for spec in [spec for spec in self._held if spec not in kept]:
            self._held.pop(spec).close()

    def _take(self, spec: Spec) -> bool:
        turn = ExitStack()
        try:
            turn.enter_context(held(self._file(spec), wait=False))
        except BlockingIOError:
            return False
        except OSError:  # no locks here, so no turns
            return True
        self._held[spec] = turn
        return True

    def _file(self, spec: Spec) -> Path:
        named = hashlib.sha256(f"{self._store.absolute()}\n{spec.text}".encode()).hexdigest()[:16]
        return shared_folder("turns") / named
