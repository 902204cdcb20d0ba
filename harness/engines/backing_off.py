"""Asks a classifier about fewer images at once where its device has no memory for more; no image is lost by that."""

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.benchmarks.batches import Batch
from harness.errors import NonFinite
from harness.records.schema import Columns, joined

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

T = TypeVar("T")

Begun = Callable[[], list[Columns]]
"""Waits for what was asked, and gives the columns of each classifier; called once."""

Examine = Callable[[Batch, NDArray[np.int16], list[str]], Begun]
"""Begins to ask about a batch, of which it takes the labels and the images' names too."""

# Between what fits and what does not, no closer look is taken than this share of it.
_CLOSE = 8


class BackingOff:
    """Asks about a batch as a whole, and in smaller parts where memory runs out; in the largest that fit from then on.

    These are found by bisection: half of what did not fit, then what lies between the two, until they are close.

    Args:
        examine: Begins to ask about a batch.
        who: The classifier, as typed.
    """

    def __init__(self, examine: Examine, who: str) -> None:
        self._examine = examine
        self._who = who
        self._fits = 0
        self._fails: int | None = None

    def __call__(self, batch: Batch, labels: NDArray[np.int16], names: list[str]) -> Begun:
        """Begin to ask about a batch.

        Args:
            batch: Pixels of n pairs.
            labels: Class indices, shape (n,).
            names: Of the images, n of them.

        Returns:
            What gives the columns, or raises NonFinite as asked, with a place of this batch.

        Raises:
            OutOfMemoryError: Not even one image fits.
        """
        begun: list[tuple[int, Begun]] = []
        start, pairs = 0, len(batch.indices)
        while start < pairs:
            stop = min(pairs, start + self._most(pairs))
            if (part := self._asked(batch, labels, names, start, stop)) is not None:
                begun.append((start, part))
                start = stop

        def finish() -> list[Columns]:
            found = [_at(start, part) for start, part in begun]
            return found[0] if len(found) == 1 else [joined(parts) for parts in zip(*found, strict=True)]

        return finish

    def _most(self, pairs: int) -> int:
        """Say how many pairs to ask about next."""
        if self._fails is None:
            return pairs
        if self._fails - self._fits <= max(1, self._fits // _CLOSE):
            return self._fits
        return (self._fits + self._fails) // 2

    def _asked(self, batch: Batch, labels: NDArray[np.int16], names: list[str], start: int, stop: int) -> Begun | None:
        """Begin to ask about a part of a batch; None where it does not fit, and smaller ones are to be tried."""
        import torch

        pairs = stop - start
        try:
            begun = _at(start, lambda: self._examine(batch.part(start, stop), labels[start:stop], names[start:stop]))
        except Exception as error:
            if pairs == 1 or not _is_out_of_memory(error):
                raise
        else:
            self._fits = max(self._fits, pairs)
            return begun
        # What the error held is free by now.
        torch.cuda.empty_cache()
        self._fails = pairs
        if pairs <= self._fits:  # which it no longer does, beside what has come since
            self._fits = 0
        log.warning(
            "%s: no memory for %d images at once, going on with %d (--batch-size)", self._who, pairs, self._most(pairs)
        )
        return None


def _at(start: int, ask: Callable[[], T]) -> T:
    """Ask about a part of a batch that begins at some place; names the places of the batch."""
    try:
        return ask()
    except NonFinite as error:
        raise NonFinite(error.what, error.place + start) from error


def in_parts(ask: "Callable[[torch.Tensor], T]", images: "torch.Tensor") -> "Iterator[T]":
    """Ask about images in order: about all at once, or in halves, and halves of these, where memory runs out.

    Raises:
        OutOfMemoryError: Not even one image fits.
    """
    import torch

    try:
        found = ask(images)
    except Exception as error:
        if len(images) == 1 or not _is_out_of_memory(error):
            raise
    else:
        yield found
        return
    torch.cuda.empty_cache()
    for half in images.split(-(-len(images) // 2)):
        yield from in_parts(ask, half)


def _is_out_of_memory(error: Exception) -> bool:
    """Tell whether memory ran out, a GPU's or the machine's own."""
    import torch

    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
