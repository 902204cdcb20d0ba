"""Measures in this process: finds what the store lacks, runs the classifier on just that, keeps every chunk."""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.benchmarks.dataset import Dataset
from harness.benchmarks.images import Batch, FileFacts, Fitting, batches, is_unchanged
from harness.benchmarks.order import chunk_size, prefix_order
from harness.engines.memory import keep_freed_memory
from harness.errors import ClassifierError, HarnessError, NotMeasured, in_one_line
from harness.metrics.shape_bias import CATEGORIES, CATEGORY_INDICES
from harness.protocols.classify import Classify, NonFiniteLogits, Questions
from harness.records.schema import CLASSIFY_SCHEMA, FILE_FACTS, Columns
from harness.records.store import RecordStore, Run, RunKey

if TYPE_CHECKING:
    from harness.classifiers.classifier import Classifier
    from harness.classifiers.spec import Spec

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        device: `cpu`, `cuda`, `cuda:1` ...
        precision: `fp32`, `tf32` or `bf16`.
        batch_size: Images a batch; None for 32 on a CPU and 256 on a GPU.
        workers: Decoding processes.
        seed: Seed of the order in which images are seen.
        images: Only the first so many of that order; None for all.
        measure: False to judge from the store alone.
    """

    device: str = "cpu"
    precision: str = "fp32"
    batch_size: int | None = None
    workers: int = 2
    seed: int = 0
    images: int | None = None
    measure: bool = True


def default_workers() -> int:
    """Give the number of decoding processes: one a core that this process may use, 16 at most."""
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 16)


def classified(
    dataset: Dataset,
    spec: "Spec",
    load: "Callable[[], Classifier]",
    store: RecordStore,
    settings: Settings,
) -> tuple[Run, int]:
    """Bring the store to hold a classifier's records of a benchmark's first images, measuring only what it lacks.

    Args:
        dataset: The opened benchmark.
        spec: Which classifier.
        load: Gives the classifier; called only when something must be measured, or to hash weights of no file.
        store: Where records are kept.
        settings: How to measure.

    Returns:
        The run, and how many images of its order were asked for.

    Raises:
        NotMeasured: Records are missing and `settings.measure` is false.
        DataError, CheckpointError, ClassifierError, RecordsError: As named; what was measured before is kept.
    """
    run = store.run(run_key(dataset, spec, settings, load))
    images = len(dataset) if settings.images is None else min(settings.images, len(dataset))
    is_current = _freshness(dataset, settings.seed) if settings.measure else None
    if len(lacking := run.missing(images, is_current)) == 0:
        return run, images
    if not settings.measure:
        raise NotMeasured(
            f"{len(lacking):,} of {images:,} records of {spec.label} on {dataset.benchmark} are not in {store.root}; "
            "measure them without --claims-only"
        )
    with run.lock():
        todo = run.missing(images, is_current)
        if len(todo):
            _measure(run, todo, dataset, load(), settings)
    return run, images


def run_key(
    dataset: Dataset, spec: "Spec", settings: Settings, load: "Callable[[], Classifier] | None" = None
) -> RunKey:
    """Name everything that the records of a classifier on a benchmark depend on."""
    from harness.classifiers.loading import identity

    return RunKey(
        benchmark=dataset.benchmark,
        subject=spec.label,
        identity={
            **identity(spec, load),
            "data": dataset.fingerprint,
            "protocol": f"classify/{CLASSIFY_SCHEMA}",
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


def _measure(
    run: Run, positions: NDArray[np.int64], dataset: Dataset, classifier: "Classifier", settings: Settings
) -> None:
    import torch

    on_cpu = settings.device == "cpu"
    if on_cpu:
        keep_freed_memory()
    preprocessing = classifier.spec.preprocessing
    protocol = Classify(
        classifier.logits,
        Questions(
            own_classes=dataset.own_classes,
            categories=[CATEGORY_INDICES[name] for name in CATEGORIES] if dataset.categories else None,
        ),
        device=torch.device(settings.device),
        precision=settings.precision,
    )
    fitting = Fitting(preprocessing.resize, preprocessing.crop, preprocessing.interpolation)
    order = prefix_order(len(dataset), settings.seed)
    writer = _ChunkWriter(run)
    progress = _Progress(f"{classifier.spec.label} on {dataset.benchmark}", len(positions))
    done = 0
    try:
        for batch in batches(
            dataset,
            order[positions],
            fitting,
            batch_size=settings.batch_size or (32 if on_cpu else 256),
            workers=settings.workers,
        ):
            cells, images = np.divmod(np.array(batch.indices), len(dataset.images))
            try:
                answers = protocol(batch.pixels, dataset.labels[images])
            except NonFiniteLogits as error:
                raise ClassifierError(
                    f"{classifier.spec.text}: NaN or infinite logits for {dataset.path(batch.indices[error.place])}; "
                    "check its weights and its mean and std"
                ) from error
            except HarnessError:
                raise
            except Exception as error:  # whatever the classifier's own code raises
                shape = tuple(batch.pixels.shape)
                raise ClassifierError(
                    f"{classifier.spec.text} fails on images of shape {shape} ({in_one_line(error)})"
                ) from error
            where = positions[done : done + len(batch.indices)]
            writer.add({**_context(dataset, batch, where, cells, images), **answers})
            done += len(batch.indices)
            progress.tell(done)
    finally:
        writer.flush()


def _context(
    dataset: Dataset, batch: Batch, positions: NDArray[np.int64], cells: NDArray[np.int64], images: NDArray[np.int64]
) -> Columns:
    """Give the columns that say which image each record is of."""
    names = {"image": dataset.images, **dataset.categories}
    return {
        "position": positions,
        "cell": np.array([dataset.cells[cell] for cell in cells], dtype=object),
        "digest": np.array([file.digest for file in batch.files], dtype=np.uint64),
        "size": np.array([file.size for file in batch.files], dtype=np.int64),
        "modified": np.array([file.modified for file in batch.files], dtype=np.int64),
        **{name: np.array([values[image] for image in images], dtype=object) for name, values in names.items()},
    }


class _ChunkWriter:
    """Holds records back until a chunk is full, then puts them into the store."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._held: list[Columns] = []

    def add(self, columns: Columns) -> None:
        self._held.append(columns)
        first, last = (int(self._held[0]["position"][0]), int(columns["position"][-1]))
        if (last + 1) // self._run.key.chunk > first // self._run.key.chunk:
            self.flush()

    def flush(self) -> None:
        """Write all that is held, chunk by chunk; what is cut off in the middle is completed by a later write."""
        if not self._held:
            return
        rows = {name: np.concatenate([columns[name] for columns in self._held]) for name in self._held[0]}
        self._held.clear()
        chunks = rows["position"] // self._run.key.chunk
        for chunk in np.unique(chunks):
            self._run.append({name: values[chunks == chunk] for name, values in rows.items()})


class _Progress:
    """Says every ten seconds how far a long measurement is, at which rate and for how much longer."""

    def __init__(self, what: str, images: int) -> None:
        self._what = what
        self._images = images
        self._start = self._said = time.monotonic()

    def tell(self, done: int) -> None:
        now = time.monotonic()
        if now - self._said >= 10:
            self._said = now
            rate = done / (now - self._start)
            log.info(
                "%s: %s of %s images, %.0f/s, %.0f s left",
                self._what,
                f"{done:,}",
                f"{self._images:,}",
                rate,
                (self._images - done) / rate,
            )
