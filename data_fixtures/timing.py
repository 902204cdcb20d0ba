"""Times functions side by side, in turns, so that a machine that slows down slows all of them."""

import time
from collections.abc import Callable, Sequence


def best_times(functions: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Give the shortest time of each function in seconds, after one run of each that is not counted."""
    for function in functions:
        function()
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds):
        for function, taken in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            taken.append(time.perf_counter() - start)
    return [min(taken) for taken in times]
