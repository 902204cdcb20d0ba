"""What an engine is: what computes the records that runs lack, in this process or in others."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.records.schema import Columns

if TYPE_CHECKING:
    from harness.classifiers.classifier import Classifier
    from harness.classifiers.spec import Spec

# Gives the classifier of a spec, loaded.
Load = Callable[["Spec"], "Classifier"]

# From ascending positions of a seeded order to the records of these: batch by batch, the columns of each classifier.
Answer = Callable[[NDArray[np.int64]], Iterator[list[Columns]]]


class Work(Protocol):
    """A question about images of a seeded order, complete in itself: it is pickled for other processes.

    Its answer to a chunk depends on nothing but the work and the chunk.
    """

    @property
    def title(self) -> str:
        """What is measured of what, for the log."""

    @property
    def unit(self) -> str:
        """What its positions are, for the log."""

    @property
    def chunk(self) -> int:
        """How many positions a chunk of records holds."""

    @property
    def device(self) -> str:
        """Where its classifiers live: `cpu`, `cuda`, `cuda:1` ..."""

    @property
    def specs(self) -> "tuple[Spec, ...]":
        """All classifiers that are loaded for it."""

    def packed(self) -> "Work":
        """Give the work without what is of use in this process alone."""

    def begin(self, load: Load, *, workers: int | None = None) -> Answer:
        """Load its classifiers, and give the function that answers.

        Args:
            load: Gives a classifier.
            workers: Decoding processes of each call; None for as many as the settings say.
        """


class Keeper(Protocol):
    """Takes answers in and puts them into the store."""

    def start(self) -> None:
        """Note that everything is loaded: what comes now is measuring."""

    def add(self, answer: list[Columns]) -> None:
        """Take in the columns of each classifier; of a chunk its rows in order."""

    def flush(self) -> None:
        """Put all that was taken in into the store."""


class Engine(Protocol):
    """Computes what a work asks of positions."""

    @property
    def is_local(self) -> bool:
        """Whether that is done in this process."""

    def device(self, asked: str) -> str:
        """Turn `auto` into a device that is there.

        Raises:
            UsageError: The one that is asked for is not.
        """

    def own_device(self, device: str) -> str:
        """Say where this process puts a classifier that it needs itself, where measuring is done on a device."""

    def compute(self, work: Work, positions: NDArray[np.int64], load: Load, keeper: Keeper) -> None:
        """Answer a work for positions, and have the answers kept as they come.

        Args:
            work: What is asked.
            positions: Of which images, ascending.
            load: Gives a classifier in this process.
            keeper: Keeps the answers; what it was given before an error is kept too.

        Raises:
            HarnessError: Whatever the work raises, or the engine can't go on.
        """

    def close(self) -> None:
        """Let go of all that it holds."""
