"""Measures: finds what the store lacks, has an engine compute just that, keeps every chunk."""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.benchmarks.dataset import Dataset
from harness.benchmarks.images import FileFacts, is_unchanged
from harness.benchmarks.order import chunk_size, prefix_order
from harness.classifiers.spec import parse_spec
from harness.engines.engine import Load, Work
from harness.engines.examining import Examination
from harness.engines.settings import Settings
from harness.errors import NotMeasured, ShardDone
from harness.protocols.attacks import Attack
from harness.protocols.maximizing import Maximize
from harness.protocols.needs import Need
from harness.records.schema import CLASSIFY_SCHEMA, FILE_FACTS, SEQUENCES_SCHEMA, Columns, joined
from harness.records.store import RecordStore, Run, RunKey
from harness.stopping import require_going_on

if TYPE_CHECKING:
    from harness.classifiers.spec import Spec

log = logging.getLogger(__name__)

# Of the other benchmarks as published, records are of all 1000 classes.
_OF_SOME_CLASSES = ("imagenet-a", "cue-conflict")


def measured(
    dataset: Dataset,
    need: Need,
    specs: "Sequence[Spec]",
    load: Load,
    store: RecordStore,
    settings: Settings,
    *,
    wait: bool = True,
) -> list[tuple[Run, int]]:
    """Bring the store to hold classifiers' records of a benchmark's first images, measuring only what it lacks.

    Args:
        dataset: The opened benchmark.
        need: What is asked of them.
        specs: Which classifiers; several only for a transferred attack, whose images are made once for all.
        load: Gives a classifier; called only when something must be measured, or to hash weights of no file.
        store: Where records are kept.
        settings: How to measure.
        wait: Whether to wait for what another process is measuring.

    Returns:
        Per classifier its run, and how many images of the run's order were asked for.

    Raises:
        NotMeasured: Records are missing and `settings.measure` is false, or the classifier that an attack follows has
            no gradients.
        Busy: Another process is measuring one of them, and `wait` is false.
        DataError, CheckpointError, ClassifierError, RecordsError, DecoderLost: As named; what was measured before
            is kept.
    """
    if isinstance(need, Maximize):
        from harness.engines.maximizing import maximized

        return [maximized(dataset, need, spec, load, store, settings, wait=wait) for spec in specs]
    runs = [store.run(run_key(dataset, need, spec, settings, load)) for spec in specs]
    images = len(dataset) if settings.images is None else min(settings.images, len(dataset))
    is_current = _freshness(dataset, settings.seed) if settings.measure and not settings.is_checked else None

    def lacking(run: Run) -> NDArray[np.int64]:
        return settings.own(run.missing(images, is_current), run.key.chunk)

    missing = list(map(lacking, runs))
    if any(map(len, missing)) and not settings.measure:
        spec, first = next((spec, first) for spec, first in zip(specs, missing, strict=True) if len(first))
        what = dataset.benchmark if isinstance(need, str) else f"{dataset.benchmark} under {need.name}"
        raise NotMeasured(
            f"{len(first):,} of {images:,} records of {spec.label} on {what} are not in {store.root}; "
            "measure them without --claims-only"
        )
    if any(map(len, missing)):
        # Two specs may name the same classifier, which is measured once.
        different = {run.folder: (spec, run) for spec, run in zip(specs, runs, strict=True)}
        with ExitStack() as locks:
            for folder in sorted(different):  # in one order everywhere, so that no two wait in a ring
                locks.enter_context(different[folder][1].lock(wait=wait, part=settings.part))
            lanes = [Lane(spec, run, lacking(run)) for spec, run in different.values()]
            lanes = [lane for lane in lanes if len(lane.positions)]
            if lanes:
                work = Examination(dataset, need, tuple(lane.spec for lane in lanes), settings)
                done, seconds = fill(lanes, work, load, settings)
                for lane in lanes:
                    lane.run.add_pace(settings.pace_name, done, seconds / len(lanes))
    require_all(settings, images, runs[0].key.chunk)
    return [(run, images) for run in runs]


def require_all(settings: Settings, images: int, chunk: int) -> None:
    """See that not only a shard's share of a run was measured.

    Args:
        settings: How it was measured.
        images: How many records the run was to have.
        chunk: How many records a chunk of it holds.

    Raises:
        ShardDone: It was.
    """
    if settings.shard:
        raise ShardDone(str(settings.shard), len(settings.own(np.arange(images), chunk)))


def run_key(dataset: Dataset, need: str | Attack, spec: "Spec", settings: Settings, load: Load | None = None) -> RunKey:
    """Name everything that the records of a classifier on a benchmark depend on."""
    from harness.classifiers.loading import identity

    named = identity(spec, load)
    if isinstance(need, str):
        named["protocol"] = f"sequences/{SEQUENCES_SCHEMA}" if dataset.frames else f"classify/{CLASSIFY_SCHEMA}"
    else:
        named |= need.identity
        if need.surrogate:
            surrogate = identity(parse_spec(need.surrogate), load)
            named |= {f"surrogate.{key}": value for key, value in surrogate.items()}
    if dataset.own_classes is not None and dataset.benchmark not in _OF_SOME_CLASSES:
        named["classes"] = ",".join(map(str, dataset.own_classes))
    return RunKey(
        benchmark=dataset.benchmark,
        subject=spec.label if isinstance(need, str) else f"{spec.label}-{need.name}-{need.eps:g}",
        identity={
            **named,
            "data": dataset.fingerprint,
            "seed": str(settings.seed),
            "precision": settings.precision,
        },
        pairs=len(dataset),
        chunk=chunk_size(len(dataset)),
    )


def _freshness(dataset: Dataset, seed: int) -> Callable[[Columns], bool]:
    """Give the check whether all images of a chunk still are those that its records are of; says which is not."""
    order = prefix_order(len(dataset), seed)
    said: set[Path] = set()

    def is_current(columns: Columns) -> bool:
        for position, *facts in zip(columns["position"], *(columns[name] for name in FILE_FACTS), strict=True):
            path = dataset.path(int(order[position]))
            if not is_unchanged(path, FileFacts(*map(int, facts))):
                if path not in said:
                    log.warning(
                        "%s: %s changed since it was measured; its chunk is measured again", dataset.benchmark, path
                    )
                    said.add(path)
                return False
        return True

    return is_current


@dataclass(frozen=True)
class Lane:
    """A classifier's share of a pass over images.

    Attributes:
        spec: Which classifier.
        run: Where its records go.
        positions: Of the images that it lacks, ascending.
    """

    spec: "Spec"
    run: Run
    positions: NDArray[np.int64]


def fill(lanes: Sequence[Lane], work: Work, load: Load, settings: Settings) -> tuple[int, float]:
    """Have a work answered for all that its classifiers lack; what was answered before an error is kept.

    Args:
        lanes: What each of them lacks, in the order in which the work asks them.
        work: What is asked.
        load: Gives a classifier in this process.
        settings: How to measure.

    Returns:
        How many positions were asked for, and the seconds that it took once the classifiers were loaded.
    """
    positions = np.unique(np.concatenate([lane.positions for lane in lanes]))
    keeper = _Keeper(lanes)
    try:
        settings.engine.compute(work, positions, load, keeper)
    finally:
        keeper.flush()
    return len(positions), time.monotonic() - keeper.began


class _Keeper:
    """Sorts answers by classifier, and puts of each what it lacks into the store."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = [(lane, _ChunkWriter(lane.run)) for lane in lanes]
        self.start()

    def start(self) -> None:
        """Note that everything is loaded."""
        self.began = time.monotonic()

    def add(self, answer: list[Columns]) -> None:
        """Take in the columns of each classifier; nothing more once a stop was asked for."""
        require_going_on()
        for (lane, writer), columns in zip(self._lanes, answer, strict=True):
            lacks = np.isin(columns["position"], lane.positions, assume_unique=True)
            if lacks.any():
                writer.add({name: values[lacks] for name, values in columns.items()})

    def flush(self) -> None:
        """Put all that was taken in into the store."""
        for _, writer in self._lanes:
            writer.flush()


class _ChunkWriter:
    """Holds records back until a chunk is full or half a minute has passed, then puts them into the store."""

    SECONDS = 30.0

    def __init__(self, run: Run) -> None:
        self._run = run
        self._held: list[Columns] = []
        self._flushed = time.monotonic()

    def add(self, columns: Columns) -> None:
        self._held.append(columns)
        first, last = (int(self._held[0]["position"][0]), int(columns["position"][-1]))
        is_full = (last + 1) // self._run.key.chunk > first // self._run.key.chunk
        if is_full or time.monotonic() - self._flushed > self.SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write all that is held; what is cut off in the middle is completed by a later write."""
        self._flushed = time.monotonic()
        if not self._held:
            return
        rows = joined(self._held)
        self._held.clear()
        self._run.append(rows)
