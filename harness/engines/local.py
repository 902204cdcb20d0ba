"""Measures in this process: finds what the store lacks, runs the classifier on just that, keeps every chunk."""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.benchmarks.batches import Batch, batches, watching_decoders
from harness.benchmarks.dataset import Dataset
from harness.benchmarks.images import FileFacts, Fitting, is_unchanged
from harness.benchmarks.order import chunk_size, prefix_order
from harness.classifiers.spec import parse_spec
from harness.engines.blame import blaming
from harness.engines.memory import keep_freed_memory
from harness.engines.settings import Load, Settings
from harness.errors import NotMeasured
from harness.metrics.shape_bias import CATEGORIES, CATEGORY_INDICES
from harness.progress import Progress
from harness.protocols.attacks import Attack
from harness.protocols.classify import Classify, Questions
from harness.protocols.maximizing import Maximize
from harness.protocols.needs import Need
from harness.protocols.sequences import ClassifySequences
from harness.records.schema import CLASSIFY_SCHEMA, FILE_FACTS, SEQUENCES_SCHEMA, Columns
from harness.records.store import RecordStore, Run, RunKey

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
    lacking = [run.missing(images, is_current) for run in runs]
    if not any(map(len, lacking)):
        return [(run, images) for run in runs]
    if not settings.measure:
        spec, missing = next((spec, missing) for spec, missing in zip(specs, lacking, strict=True) if len(missing))
        what = dataset.benchmark if isinstance(need, str) else f"{dataset.benchmark} under {need.name}"
        raise NotMeasured(
            f"{len(missing):,} of {images:,} records of {spec.label} on {what} are not in {store.root}; "
            "measure them without --claims-only"
        )
    # Two specs may name the same classifier, which is measured once.
    different = {run.folder: (spec, run) for spec, run in zip(specs, runs, strict=True)}
    with ExitStack() as locks:
        for folder in sorted(different):  # in one order everywhere, so that no two wait in a ring
            locks.enter_context(different[folder][1].lock(wait=wait))
        lanes = [Lane(spec, run, run.missing(images, is_current)) for spec, run in different.values()]
        lanes = [lane for lane in lanes if len(lane.positions)]
        if lanes:
            _measure(lanes, dataset, need, load, settings)
    return [(run, images) for run in runs]


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


# From a batch, its labels and its images' names to the columns of each lane.
_Examine = Callable[[Batch, NDArray[np.int16], list[str]], list[Columns]]


@watching_decoders()
def _measure(lanes: Sequence[Lane], dataset: Dataset, need: str | Attack, load: Load, settings: Settings) -> None:
    on_cpu = settings.device == "cpu"
    if on_cpu:
        keep_freed_memory()
    attack = None if isinstance(need, str) else need
    eyes = parse_spec(attack.surrogate) if attack and attack.surrogate else lanes[0].spec
    examine = _examiner(need, dataset, lanes, eyes, load, settings)
    fitting = Fitting(eyes.preprocessing.resize, eyes.preprocessing.crop, eyes.preprocessing.interpolation)
    order = prefix_order(len(dataset), settings.seed)
    positions = np.unique(np.concatenate([lane.positions for lane in lanes]))
    writers = [_ChunkWriter(lane.run) for lane in lanes]
    who = " and ".join(lane.spec.text for lane in lanes)
    if attack and attack.surrogate:
        who = f"images made on {attack.surrogate} and scored on {who}"
    labels = ", ".join(lane.spec.label for lane in lanes)
    under = f" under {attack.name}, eps {attack.eps:g}" if attack else ""
    unit = "sequences" if dataset.frames else "images"
    progress = Progress(f"{labels} on {dataset.benchmark}{under}", len(positions), unit)
    done, began = 0, time.monotonic()
    try:
        for batch in batches(
            dataset,
            order[positions],
            fitting,
            batch_size=max(1, _at_once(need, settings) // max(dataset.frames, default=1)),
            workers=settings.workers,
            keep=settings.keep_pixels,
        ):
            cells, images = np.divmod(np.array(batch.indices), len(dataset.images))
            names = [dataset.images[image] for image in images]
            with blaming(who, _paths(dataset, batch), f"images of shape {tuple(batch.pixels.shape)}"):
                answers = examine(batch, dataset.labels[images], names)
            where = positions[done : done + len(batch.indices)]
            context = _context(dataset, batch, where, cells, images)
            for lane, writer, columns in zip(lanes, writers, answers, strict=True):
                lacks = np.isin(where, lane.positions, assume_unique=True)
                if lacks.any():
                    writer.add({name: values[lacks] for name, values in {**context, **columns}.items()})
            done += len(batch.indices)
            progress.tell(done)
    finally:
        for writer in writers:
            writer.flush()
    for lane in lanes:
        lane.run.add_pace(settings.device, len(positions), (time.monotonic() - began) / len(lanes))


def _at_once(need: str | Attack, settings: Settings) -> int:
    """Tell how many images a classifier is given at once."""
    by_device = 32 if settings.device == "cpu" else 256 if isinstance(need, str) else 64
    return settings.batch_size or by_device


def _examiner(
    need: str | Attack, dataset: Dataset, lanes: Sequence[Lane], eyes: "Spec", load: Load, settings: Settings
) -> _Examine:
    """Load what a pass needs, and give what is to be done with each of its batches."""
    import torch

    from harness.classifiers.gradients import require_gradient

    how: dict[str, Any] = {"device": torch.device(settings.device), "precision": settings.precision}
    draws: dict[str, Any] = {"seed": settings.seed, "classes": dataset.own_classes}
    if dataset.frames:
        (classifier,) = (load(lane.spec) for lane in lanes)
        at_once = _at_once(need, settings)
        sequences = ClassifySequences(classifier.logits, max(dataset.frames), at_once=at_once, **how)
        return lambda batch, labels, names: [sequences(batch.pixels, labels, batch.frames)]
    if isinstance(need, str):
        (classifier,) = (load(lane.spec) for lane in lanes)
        categories = [CATEGORY_INDICES[name] for name in CATEGORIES] if dataset.categories else None
        classify = Classify(classifier.logits, Questions(dataset.own_classes, categories), **how)
        return lambda batch, labels, names: [classify(batch.pixels, labels)]
    if need.surrogate:
        from harness.protocols.transfer import Scored, Transfer

        require_gradient(load(eyes))
        scored = [Scored(load(spec).module, spec.preprocessing.crop) for spec in (eyes, *(lane.spec for lane in lanes))]
        transfer = Transfer(scored[0], scored[1:], need, **draws, **how)
        return lambda batch, labels, names: transfer(batch.pixels, labels, names)
    from harness.protocols.whitebox import WhiteBox

    (classifier,) = (load(lane.spec) for lane in lanes)
    require_gradient(classifier)
    attack = WhiteBox(classifier.module, need, **draws, **how)
    return lambda batch, labels, names: [attack(batch.pixels, labels, names)]


def _paths(dataset: Dataset, batch: Batch) -> Callable[[int], Path]:
    return lambda place: dataset.path(batch.indices[place])


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
        """Write all that is held, chunk by chunk; what is cut off in the middle is completed by a later write."""
        self._flushed = time.monotonic()
        if not self._held:
            return
        rows = {name: np.concatenate([columns[name] for columns in self._held]) for name in self._held[0]}
        self._held.clear()
        chunks = rows["position"] // self._run.key.chunk
        for chunk in np.unique(chunks):
            self._run.append({name: values[chunks == chunk] for name, values in rows.items()})
