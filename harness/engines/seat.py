"""What an actor of a cluster does: it holds the classifiers of one work on one device, and answers chunk by chunk."""

import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.engines.engine import Answer, Work
from harness.errors import CheckpointError, HarnessError, UsageError
from harness.records.schema import Columns, joined

if TYPE_CHECKING:
    from harness.classifiers.classifier import Classifier
    from harness.classifiers.spec import Spec


@dataclass(frozen=True)
class Job:
    """A work on its way to other processes.

    Attributes:
        number: Which of the driver's.
        work: What is asked.
        identities: By a classifier's spec, what records of it are kept under (`harness.classifiers.loading.identity`).
    """

    number: int
    work: Work
    identities: Mapping[str, Mapping[str, str]]


@dataclass
class Reply:
    """What came of a chunk.

    Attributes:
        node: On which machine.
        answer: The columns of each classifier; empty where there is an error.
        error: What the user is to be told.
        warnings: What the harness warned of meanwhile.
    """

    node: str
    answer: list[Columns] = field(default_factory=list)
    error: HarnessError | None = None
    warnings: list[str] = field(default_factory=list)


class Seat:
    """The actor.

    Args:
        folder: Where the driver runs; gone to, where it is there too.
        path: Where the driver finds modules.
        threads: Of each operation on a CPU.
        workers: Decoding processes of each chunk.
    """

    def __init__(self, folder: str, path: Sequence[str], threads: int, workers: int) -> None:
        import torch

        with suppress(OSError):
            os.chdir(folder)
        sys.path += [each for each in path if each not in sys.path]
        torch.set_num_threads(threads)
        self._workers = workers
        self._beginning = Lock()
        self._job: Job | None = None
        self._answer: Answer | None = None
        self._loaded: dict[Spec, Classifier] = {}

    def ready(self) -> Reply:
        """Say on which machine this process has started."""
        return Reply(socket.gethostname())

    def answer(self, number: int, held: Sequence[Any], positions: NDArray[np.int64]) -> Reply:
        """Answer a job for the positions of one chunk.

        Args:
            number: Of the job.
            held: The reference to it, in a list: so it is fetched only when it is another one than before.
            positions: Of one chunk, ascending.
        """
        reply = self.ready()
        with _collecting(reply.warnings):
            try:
                answer = self._begun(number, held)
                reply.answer = [joined(parts) for parts in zip(*answer(positions), strict=True)]
            except HarnessError as error:
                reply.error = error
        return reply

    def _begun(self, number: int, held: Sequence[Any]) -> Answer:
        """Give the function that answers a job, begun once; of classifiers those are kept that it asks too."""
        with self._beginning:
            if self._job is None or self._job.number != number or self._answer is None:
                import ray

                self._job, self._answer = ray.get(held[0]), None
                work = self._job.work
                self._loaded = {spec: self._loaded[spec] for spec in work.specs if spec in self._loaded}
                self._answer = work.begin(self._load, workers=self._workers)
            return self._answer

    def _load(self, spec: "Spec") -> "Classifier":
        from harness.classifiers.loading import identity, load

        assert self._job
        device = self._job.work.device
        if spec not in self._loaded:
            _require_device(device)
            classifier = load(spec, device=device)
            expected, found = self._job.identities[spec.text], identity(spec, lambda _: classifier)
            if other := sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name)):
                raise CheckpointError(
                    f"{spec.text}: on {socket.gethostname()} its {' and '.join(other)} differ from those of "
                    "the machine that asks; bring the same files to every node"
                )
            self._loaded[spec] = classifier
        return self._loaded[spec]


def _require_device(device: str) -> None:
    """See that a GPU that the cluster counts is one that torch sees.

    Raises:
        UsageError: It is none.
    """
    import torch

    if device != "cpu" and not torch.cuda.is_available():
        raise UsageError(
            f"the cluster counts GPUs on {socket.gethostname()}, and torch sees none there; mend its driver, or give "
            "--device cpu"
        )


@contextmanager
def _collecting(warnings: list[str]) -> Iterator[None]:
    """Take down what the harness warns of."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            warnings.append(record.getMessage())

    handler, logger = Handler(logging.WARNING), logging.getLogger("harness")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
