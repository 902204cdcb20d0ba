"""How far into each seeded order a claim has looked, and how much further it may look."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from harness.classifiers.spec import Spec
from harness.errors import BudgetSpent
from harness.protocols.needs import Need

FIRST = 64
"""Images of the first look."""

GROWTH, STEP = 1.15, 32
"""By what each look is larger than the one before it, and by how many images at least."""


def next_look(images: int) -> int:
    """Give how many images are looked at after so many."""
    return max(images + STEP, int(images * GROWTH))


class Drawing:
    """The looks of one claim after another, each at a longer prefix of the seeded orders.

    Args:
        most: Of how many images at most anything is asked; None for all there are.
        seconds: For how long may be measured, from now on, all claims together; 0 to measure nothing, None for as long
            as it takes.
    """

    def __init__(self, most: int | None = None, seconds: float | None = None) -> None:
        self._most = most
        self._seconds = seconds
        self._began = time.monotonic()
        self._depths: dict[Need, int] = {}
        self._asked: dict[tuple[Spec, Need], int] = {}
        # Seconds an image, as it was measured last.
        self._pace: dict[tuple[Spec, Need], float] = {}

    def begin(self) -> None:
        """Begin with another claim."""
        self._depths.clear()
        self._asked.clear()

    def depth(self, spec: Spec, need: Need, population: int, stored: Callable[[Spec, Need], int]) -> int:
        """Say at how many images of a classifier a claim looks now.

        Args:
            spec: Which classifier.
            need: What is asked of it.
            population: How many images there are.
            stored: From a classifier and a need to how many of its first images are known already.

        Raises:
            BudgetSpent: None are known and no more may be measured.
        """
        end = self.end(population)
        is_new = (spec, need) not in self._asked
        # What is looked at of one classifier is measured of the others too: else all of it would be in vain.
        may_wait = need not in self._depths or self._seconds == 0
        self._asked[spec, need] = end
        wanted = min(self._depths.setdefault(need, FIRST), end)
        if is_new and may_wait and self.is_spent:
            wanted = min(wanted, stored(spec, need))
            if not wanted:
                raise BudgetSpent(f"{spec.text}: nothing of it is in the store, and {self.limit()}")
            self._depths[need] = wanted
        return wanted

    def end(self, population: int) -> int:
        """Say at how many images of so many a claim may look at all."""
        return population if self._most is None else min(self._most, population)

    def deepen(self, stored: Callable[[Spec, Need], int]) -> bool:
        """Look at more images of all that the claim has asked for, at no fewer than are known of all classifiers.

        Args:
            stored: As for `depth`.

        Returns:
            Whether there is more to look at, within what may be asked and the time that is left.
        """
        deeper = False
        for need in dict.fromkeys(need for _, need in self._asked):
            before, ends = self._depths[need], {spec: end for (spec, each), end in self._asked.items() if each == need}
            known = min(stored(spec, need) for spec in ends)
            more = min(next_look(before) - before, self._affordable(list(ends), need))
            self._depths[need] = min(max(ends.values()), max(known, before + more))
            deeper |= self._depths[need] > before
        return deeper

    @contextmanager
    def measuring(self, spec: Spec, need: Need, images: int) -> Iterator[None]:
        """Take down how long so many images take."""
        began = time.monotonic()
        yield
        self._pace[spec, need] = (time.monotonic() - began) / images

    @property
    def is_spent(self) -> bool:
        """Whether no more may be measured."""
        return self._left() <= 0

    def limit(self) -> str:
        """Say what keeps a claim from looking at more images; empty where that is that there are none."""
        if self._seconds == 0:
            return "nothing is to be measured"
        if self._seconds is not None and self.is_spent:
            return f"the budget of {self._seconds:g} s is spent"
        return "" if self._most is None else f"only the first {self._most:,} are to be looked at"

    def _left(self) -> float:
        return float("inf") if self._seconds is None else self._seconds - (time.monotonic() - self._began)

    def _affordable(self, specs: list[Spec], need: Need) -> int:
        """Tell how many more images of all classifiers the time that is left allows, at the pace so far."""
        left = self._left()
        if left <= 0:
            return 0
        pace = sum(self._pace.get((spec, need), 0.0) for spec in specs)
        return max(1, int(left / pace)) if pace and left < float("inf") else 2**62
