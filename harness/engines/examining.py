"""Asks classifiers about a benchmark's images: to classify them, whole sequences of them, or under attack."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.benchmarks.batches import Batch, batches
from harness.benchmarks.dataset import Dataset
from harness.benchmarks.images import Fitting
from harness.benchmarks.order import chunk_size, prefix_order
from harness.classifiers.spec import parse_spec
from harness.engines.backing_off import BackingOff, Begun, Examine
from harness.engines.blame import blaming
from harness.engines.engine import Answer, Load
from harness.engines.memory import keep_freed_memory
from harness.engines.settings import Settings
from harness.metrics.shape_bias import CATEGORIES, CATEGORY_INDICES
from harness.progress import Progress
from harness.protocols.arrays import Finish
from harness.protocols.attacks import Attack
from harness.protocols.classify import Classify, Questions
from harness.protocols.sequences import ClassifySequences
from harness.records.schema import Columns

if TYPE_CHECKING:
    from harness.classifiers.classifier import Classifier
    from harness.classifiers.spec import Spec

T = TypeVar("T")

_Ask = Callable[[Batch, NDArray[np.int16]], Finish]


@dataclass(frozen=True)
class Examination:
    """What is asked of classifiers on a benchmark.

    Attributes:
        dataset: The opened benchmark.
        need: What is asked.
        asked: Which classifiers; several share the images, which are decoded, or made on a surrogate, once for all.
        settings: How to measure.
    """

    dataset: Dataset
    need: str | Attack
    asked: "tuple[Spec, ...]"
    settings: Settings

    @property
    def title(self) -> str:
        """Name classifiers, benchmark and attack."""
        attack = self._attack
        under = f" under {attack.name}, eps {attack.eps:g}" if attack else ""
        return f"{', '.join(spec.label for spec in self.asked)} on {self.dataset.benchmark}{under}"

    @property
    def unit(self) -> str:
        """Say whether images or sequences are counted."""
        return "sequences" if self.dataset.frames else "images"

    @property
    def chunk(self) -> int:
        """How many pairs a chunk of records holds."""
        return chunk_size(len(self.dataset))

    @property
    def device(self) -> str:
        """Where its classifiers live."""
        return self.settings.device

    @property
    def specs(self) -> "tuple[Spec, ...]":
        """Those that are asked, and the one that attacks are made on."""
        return tuple(dict.fromkeys((self._eyes, *self.asked)))

    @cached_property
    def _attack(self) -> Attack | None:
        return None if isinstance(self.need, str) else self.need

    @cached_property
    def _eyes(self) -> "Spec":
        """The classifier for which images are prepared: where attacks transfer, the surrogate."""
        attack = self._attack
        return parse_spec(attack.surrogate) if attack and attack.surrogate else self.asked[0]

    def packed(self) -> "Examination":
        """Leave out the pixels that are kept, and the engine."""
        return replace(self, dataset=replace(self.dataset, decoded={}), settings=self.settings.packed())

    def begin(self, load: Load, *, workers: int | None = None) -> Answer:
        """Load the classifiers, and give the function from positions to records.

        It may be called from several threads, which compute in turns and decode beside one another.

        Args:
            load: Gives a classifier.
            workers: Decoding processes of each call; None for as many as the settings say.
        """
        if self.settings.device == "cpu":
            keep_freed_memory()
        turn = Lock()
        fitting = Fitting.of(self._eyes.preprocessing)
        order = prefix_order(len(self.dataset), self.settings.seed)
        decoders = self.settings.workers if workers is None else workers
        who = " and ".join(spec.text for spec in self.asked)
        if self._attack and self._attack.surrogate:
            who = f"images made on {self._attack.surrogate} and scored on {who}"
        examine = BackingOff(self._examiner(load), who)

        def begin(positions: NDArray[np.int64]) -> Iterator[tuple[Batch, Begun]]:
            for batch in batches(
                self.dataset,
                order[positions],
                fitting,
                batch_size=max(1, self._at_once // max(self.dataset.frames, default=1)),
                workers=decoders,
                keep=self.settings.keep_pixels,
                pin=self.settings.device != "cpu",
            ):
                images = self._images(batch)
                with turn, self._blaming(who, batch):
                    begun = examine(batch, self.dataset.labels[images], [self.dataset.images[each] for each in images])
                yield batch, begun

        def answer(positions: NDArray[np.int64]) -> Iterator[list[Columns]]:
            done = 0
            with Progress(self.title, len(positions), self.unit) as progress:
                # A GPU always has a batch to go on with while this process takes in the one before.
                for batch, begun in held_back(begin(positions), by=0 if self.settings.device == "cpu" else 1):
                    with self._blaming(who, batch):
                        answers = begun()
                    context = self._context(batch, positions[done : done + len(batch.indices)])
                    yield [{**context, **columns} for columns in answers]
                    done += len(batch.indices)
                    progress.tell(done)

        return answer

    @property
    def _at_once(self) -> int:
        """How many images a classifier is given at once; on a GPU as many of these as fit."""
        by_device = 32 if self.settings.device == "cpu" else 512 if isinstance(self.need, str) else 256
        return self.settings.batch_size or by_device

    def _examiner(self, load: Load) -> Examine:
        """Load what a pass needs, and give what is to be done with each of its batches."""
        import torch

        from harness.classifiers.gradients import require_gradient

        need, dataset, settings = self.need, self.dataset, self.settings
        how: dict[str, Any] = {"device": torch.device(settings.device), "precision": settings.precision}
        draws: dict[str, Any] = {"seed": settings.seed, "classes": dataset.own_classes}
        if isinstance(need, str):
            asks = [self._question(load(spec), how) for spec in self.asked]
            return lambda batch, labels, names: _all([ask(batch, labels) for ask in asks])
        if need.surrogate:
            from harness.protocols.transfer import Scored, Transfer

            require_gradient(load(self._eyes))
            scored = [Scored(load(spec).module, spec.preprocessing.crop) for spec in (self._eyes, *self.asked)]
            transfer = Transfer(scored[0], scored[1:], need, **draws, **how)
            return lambda batch, labels, names: _known(transfer(batch.pixels, labels, names))
        from harness.protocols.whitebox import WhiteBox

        (classifier,) = map(load, self.asked)
        require_gradient(classifier)
        attack = WhiteBox(classifier.module, need, **draws, **how)
        return lambda batch, labels, names: _known([attack(batch.pixels, labels, names)])

    def _question(self, classifier: "Classifier", how: Mapping[str, Any]) -> _Ask:
        """Give what begins to ask a classifier about a batch of images or of sequences, and their labels."""
        dataset = self.dataset
        if dataset.frames:
            sequences = ClassifySequences(classifier.logits, max(dataset.frames), at_once=self._at_once, **how)
            return lambda batch, labels: sequences.begin(batch.pixels, labels, batch.frames)
        categories = [CATEGORY_INDICES[name] for name in CATEGORIES] if dataset.categories else None
        classify = Classify(classifier.logits, Questions(dataset.own_classes, categories), **how)
        return lambda batch, labels: classify.begin(batch.pixels, labels)

    def _images(self, batch: Batch) -> NDArray[np.int64]:
        """Give the indices of a batch's images among those of the benchmark, whatever their cells."""
        return np.array(batch.indices) % len(self.dataset.images)

    def _blaming(self, who: str, batch: Batch) -> AbstractContextManager[None]:
        what = f"images of shape {tuple(batch.pixels.shape)}"
        return blaming(who, lambda place: self.dataset.path(batch.indices[place]), what)

    def _context(self, batch: Batch, positions: NDArray[np.int64]) -> Columns:
        """Give the columns that say which image each record is of."""
        names = {"image": self.dataset.images, **self.dataset.categories}
        cells, images = np.divmod(np.array(batch.indices), len(self.dataset.images))
        return {
            "position": positions,
            "cell": np.array([self.dataset.cells[cell] for cell in cells], dtype=object),
            "digest": np.array([file.digest for file in batch.files], dtype=np.uint64),
            "size": np.array([file.size for file in batch.files], dtype=np.int64),
            "modified": np.array([file.modified for file in batch.files], dtype=np.int64),
            **{name: np.array([values[image] for image in images], dtype=object) for name, values in names.items()},
        }


def held_back(begun: Iterator[T], by: int) -> Iterator[T]:
    """Give each thing that was begun once so many more have been begun; all that was, where the next one fails.

    >>> list(held_back(iter("abc"), by=2))
    ['a', 'b', 'c']
    """
    held: deque[T] = deque()
    try:
        for each in begun:
            held.append(each)
            if len(held) > by:
                yield held.popleft()
    except Exception:
        yield from held
        raise
    yield from held


def _all(begun: Sequence[Finish]) -> Begun:
    """Wait for each classifier in turn."""
    return lambda: [finish() for finish in begun]


def _known(columns: list[Columns]) -> Begun:
    """Give what was waited for already."""
    return lambda: columns
