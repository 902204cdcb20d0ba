"""How far a long measurement is, said to the log."""

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)


class Progress:
    """Says every ten seconds how far a long measurement is, at which rate and for how much longer.

    Args:
        what: What is measured.
        total: Of how many units it consists.
        unit: What is counted.
    """

    SECONDS = 10.0

    def __init__(self, what: str, total: int, unit: str = "images") -> None:
        self._what = what
        self._total = total
        self._unit = unit
        self._start = self._said = time.monotonic()

    def tell(self, done: int) -> None:
        """Note how many units are done."""
        now = time.monotonic()
        if done and now - self._said >= self.SECONDS:
            self._said = now
            rate = done / (now - self._start)
            log.info(
                "%s: %s of %s %s, %s/s, %.0f s left",
                self._what,
                f"{done:,}",
                f"{self._total:,}",
                self._unit,
                f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}",
                (self._total - done) / rate,
            )

    def after(self, before: int) -> Callable[[int], None]:
        """Give a function to note units with, of which so many were done before."""
        return lambda done: self.tell(before + done)
