"""Asks a classifier about fewer images at once where its device has no memory for more; no image is lost by that."""

import logging
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from harness.benchmarks.batches import Batch
from harness.errors import NonFinite
from harness.records.schema import Columns, joined

log = logging.getLogger(__name__)

Examine = Callable[[Batch, NDArray[np.int16], list[str]], list[Columns]]
"""From a batch, its labels and its images' names to the columns of each classifier."""


class BackingOff:
    """Asks about a batch as a whole, and in ever smaller parts where memory runs out; later ones in such parts too.

    Args:
        examine: Asks about a batch.
        who: The classifier, as typed.
    """

    def __init__(self, examine: Examine, who: str) -> None:
        self._examine = examine
        self._who = who
        self._most: int | None = None

    def __call__(self, batch: Batch, labels: NDArray[np.int16], names: list[str]) -> list[Columns]:
        """Ask about a batch.

        Args:
            batch: Pixels of n pairs.
            labels: Class indices, shape (n,).
            names: Of the images, n of them.

        Raises:
            NonFinite: As asked; its place is one of this batch.
            OutOfMemoryError: Not even one image fits.
        """
        found: list[list[Columns]] = []
        start, pairs = 0, len(batch.indices)
        while start < pairs:
            stop = min(pairs, start + (self._most or pairs))
            if (answers := self._asked(batch, labels, names, start, stop)) is not None:
                found.append(answers)
                start = stop
        return found[0] if len(found) == 1 else [joined(parts) for parts in zip(*found, strict=True)]

    def _asked(
        self, batch: Batch, labels: NDArray[np.int16], names: list[str], start: int, stop: int
    ) -> list[Columns] | None:
        """Ask about a part of a batch; None where it does not fit, and smaller ones are to be tried."""
        import torch

        try:
            return self._examine(batch.part(start, stop), labels[start:stop], names[start:stop])
        except NonFinite as error:
            raise NonFinite(error.what, error.place + start) from error
        except Exception as error:
            if stop - start == 1 or not _is_out_of_memory(error):
                raise
        # What the error held is free by now.
        torch.cuda.empty_cache()
        self._most = (stop - start) // 2
        log.warning(
            "%s: no memory for %d images at once, going on with %d (--batch-size)", self._who, stop - start, self._most
        )
        return None


def _is_out_of_memory(error: Exception) -> bool:
    """Tell whether memory ran out, a GPU's or the machine's own."""
    import torch

    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
