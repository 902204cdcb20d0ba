"""Measures classifiers through the store: each loaded once, everything planned for it in one go."""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.benchmarks.catalog import DataRoots, open_benchmark
from harness.benchmarks.dataset import Dataset
from harness.benchmarks.images import Fitting
from harness.benchmarks.order import prefix_order
from harness.classifiers.loading import identity
from harness.classifiers.spec import Spec, parse_spec
from harness.engines.measuring import measured, run_key
from harness.engines.memory import free_bytes
from harness.engines.settings import Settings
from harness.errors import ComputingLost, DataError, DecoderLost, HarnessError, NotMeasured, RecordsError, ShardDone
from harness.figures import draw_maximizing_images
from harness.protocols.attacks import Attack
from harness.protocols.maximizing import Maximize
from harness.protocols.needs import Need, Normaliser, benchmark_of
from harness.records.schema import Columns, joined
from harness.records.store import Busy, RecordStore, Run
from harness.scores import (
    Estimator,
    EveryLook,
    OneLook,
    Sample,
    Samples,
    Score,
    columns_of,
    make_sample,
)
from harness.studies.drawing import Drawing
from harness.studies.quantities import Quantity
from harness.studies.study import Provenance
from harness.studies.turns import Turns

if TYPE_CHECKING:
    from harness.changed import Changed
    from harness.classifiers.classifier import Classifier
    from harness.classifiers.tensors import TensorSummary
    from harness.diagnosis import Diagnosis

T = TypeVar("T")


class Supply(Protocol):
    """Puts a benchmark into its place."""

    def __call__(self, benchmark: str, *, wait: bool) -> str:
        """Put a benchmark into its place; gives the sha256 of all its files.

        Raises:
            Busy: Another process is at it and `wait` is false.
        """


# Errors that no classifier is to blame for.
_OF_NO_CLASSIFIER = (ComputingLost, DataError, DecoderLost, RecordsError)

# Of the memory that is free, how much the weights of all classifiers of one pass may take.
_WEIGHTS = 0.25

# Whose errors ImageNet-C's and ImageNet-P's metrics are divided by.
NORMALISER = "alexnet"
# By whose errors on which benchmarks.
NORMALISED = ("imagenet", "imagenet-c", "imagenet-p")


class Laboratory:
    """Measures classifiers on benchmarks and under attack, through the store, and hands out samples of their records.

    A classifier is loaded when the first figure that needs it is asked for; everything that is planned for it is then
    measured before it is let go, so each is loaded at most once. Nothing is loaded whose records are complete. The
    images of a transferred attack are made once, for all classifiers that are planned to be attacked with them.

    Args:
        roots: Where benchmarks lie.
        store: Where records are kept.
        settings: How to measure.
        plan: Per classifier, what will be asked of it.
        normaliser: The classifier by whose errors on the same images others are divided, where its records are there;
            AlexNet.
        pictures: A folder into which maximizing images are drawn; None to draw none.
        supply: Puts a benchmark into its place before it is opened; None where benchmarks lie there.
        prefix: From a classifier and a need to how many images of the seeded order it is asked of; None for as many as
            the settings say.
        always_normalise: Whether the normaliser is measured where its records are not there.
        drawing: How far a claim looks, where it looks again and again until it is decided; None to look once, at all.
        summarised: Of which classifiers `tensors` will be asked: they are summarised while they are loaded.
        patience: How long to wait for another process that has a classifier loaded before the two share what is
            planned of it, in seconds.
        shares_passes: Whether classifiers that are planned to classify a benchmark share one pass over its images,
            which are decoded once: those that take images of one size, as many as there is memory for.
    """

    def __init__(
        self,
        roots: DataRoots,
        store: RecordStore,
        settings: Settings,
        plan: Mapping[Spec, Iterable[Need]] | None = None,
        normaliser: str = NORMALISER,
        pictures: Path | None = None,
        *,
        supply: Supply | None = None,
        prefix: Callable[[Spec, Need], int] | None = None,
        always_normalise: bool = False,
        drawing: Drawing | None = None,
        summarised: Iterable[Spec] = (),
        patience: float = 0.0,
        shares_passes: bool = False,
    ) -> None:
        self.settings = settings
        self._drawing = drawing
        self._shortened: dict[tuple[int, int], tuple[Sample, Sample]] = {}
        self._supply = supply
        self._prefix = prefix
        self._always_normalise = always_normalise
        self.normaliser = parse_spec(normaliser)
        self._beside: dict[Normaliser, Sample | None] = {}
        self._pictures = pictures
        self._roots = roots
        self._store = store
        self._plan = {spec: list(needs) for spec, needs in (plan or {}).items()}
        self._datasets: dict[str, Dataset | HarnessError] = {}
        self._samples: dict[tuple[Spec, Need], Sample | Exception] = {}
        self._loaded: dict[Spec, Classifier] = {}
        self._listings: dict[str, str] = {}
        self._read: dict[Path, tuple[Run, int]] = {}
        self._weights: dict[Spec, str] = {}
        self._summarised = frozenset(summarised)
        self._shares_passes = shares_passes and settings.engine.is_local and not drawing and not prefix
        self._turns = Turns(store.root, patience if settings.measure else 0.0)
        self._tensors: dict[Spec, tuple[TensorSummary, ...]] = {}
        self._diagnoses: dict[Spec, Diagnosis] = {}

    def dataset(self, benchmark: str, *, wait: bool = True) -> Dataset:
        """Open a benchmark, once; what is wrong with it is raised each time it is asked for.

        Raises:
            Busy: Another process is putting it in its place, and `wait` is false.
        """
        if benchmark not in self._datasets:
            try:
                contents = self._supply(benchmark, wait=wait) if self._supply else ""
                dataset = open_benchmark(benchmark, self._roots)
                self._listings[benchmark] = dataset.fingerprint
                # Files that are checked as a whole are not looked at one by one: their hash tells them from others.
                self._datasets[benchmark] = replace(dataset, fingerprint=dataset.fingerprint + contents)
            except HarnessError as error:
                self._datasets[benchmark] = error
        return _or_raise(self._datasets[benchmark])

    def samples_for(self, score: Score, spec: Spec) -> Samples:
        """Give the samples that a score of a classifier reads, the normaliser's among them."""
        return {**self.samples(spec, score.needs), **self._normalisers(score)}

    def samples(self, spec: Spec, needs: Sequence[Need]) -> Samples:
        """Give a classifier's samples, measuring whatever of its plan no process has measured yet or is at.

        While another process is at what is needed, this one measures what is planned of other classifiers, unless they
        are loaded in turns; then it waits.
        """
        if self._drawing:
            return {need: self._look(spec, need, self._drawing) for need in needs}
        for need in needs:
            with suppress(Busy):
                self.dataset(benchmark_of(need), wait=False)
        if self._unknown(spec, needs):
            self._turns.wait(spec)
            self._measure_unknown(spec, [*needs, *self._plan.get(spec, ())], wait=False)
            self._let_go()
            if not self._turns.are_taken:
                self._measure_others(spec, needs)
            self._measure_unknown(spec, needs, wait=True)
            self._let_go()
        return {need: _or_raise(self._samples[spec, need]) for need in needs}

    def _unknown(self, spec: Spec, needs: Iterable[Need]) -> list[Need]:
        """Give what of a classifier is not known yet, neither a sample nor why there is none."""
        return [need for need in dict.fromkeys(needs) if (spec, need) not in self._samples]

    def _measure_unknown(self, spec: Spec, needs: Iterable[Need], *, wait: bool) -> None:
        """Measure what of a classifier is not known yet; without waiting, what no other process is at."""
        for need in self._unknown(spec, needs):
            with suppress(Busy):
                self._measure(spec, need, wait=wait)

    def _measure_others(self, spec: Spec, needs: Sequence[Need]) -> None:
        """Measure other things that are planned, last ones first, until what is needed is there or nothing is left."""
        if not self._unknown(spec, needs):
            return
        self._unload(self._loaded)  # others are at what is left of it
        for _ in self.measure_backwards():
            self._measure_unknown(spec, needs, wait=False)
            if not self._unknown(spec, needs):
                return

    def _look(self, spec: Spec, need: Need, drawing: Drawing) -> Sample:
        """Give a classifier's sample of as many images as the claim looks at now, measuring what is not known yet."""
        depth = drawing.depth(spec, need, self.population(need), self.stored)
        if self._lacks(spec, need, depth):
            held = self._samples.get((spec, need))
            known = 0 if held is None or isinstance(held, Exception) else len(held["group"])
            with drawing.measuring(spec, need, depth - known):
                self._measure(spec, need, wait=True)
        return self.first_of(_or_raise(self._samples[spec, need]), depth)

    def _lacks(self, spec: Spec, need: Need, images: int | None = None) -> bool:
        """Tell whether a sample is not known, or not of so many images."""
        held = self._samples.get((spec, need))
        if held is None or isinstance(held, Exception) or images is None:
            return held is None
        return len(held["group"]) < images

    def first_of(self, sample: Sample, images: int) -> Sample:
        """Keep of a sample the first images of the seeded order, the same object each time that it is asked for."""
        if len(sample["group"]) <= images:
            return sample
        key = id(sample), images
        if key not in self._shortened:
            # Kept with what it was cut from, so that no other sample can come to lie there.
            self._shortened[key] = sample, {name: values[:images] for name, values in sample.items()}
        return self._shortened[key][1]

    def begin(self) -> None:
        """Begin with another claim, which looks at few images first where it may look again."""
        if self._drawing:
            self._drawing.begin()
            self._shortened.clear()

    def deepen(self) -> bool:
        """Look at more images of all that the claim has asked for; tells whether there are any."""
        return self._drawing is not None and self._drawing.deepen(self.stored)

    def limit(self) -> str:
        """Say what keeps a claim from looking at more images; empty where that is that there are none."""
        return self._drawing.limit() if self._drawing else ""

    def population(self, need: Need) -> int:
        """Count the images of which samples are drawn."""
        return len(self.dataset(benchmark_of(need)))

    def estimator(self, alpha: float) -> Estimator:
        """Give how numbers get their intervals here."""
        return EveryLook(alpha, self.population) if self._drawing else OneLook(alpha, self._published_images)

    def extent(self, benchmark: str) -> tuple[int, int | None]:
        """Count the images that may be looked at, and those of the benchmark, None where not all are there."""
        return self.asked(benchmark), self._published_images(benchmark)

    def _published_images(self, need: Need) -> int | None:
        """Count a benchmark's images where they are those that were published, and not some of unknown origin."""
        dataset = self.dataset(benchmark_of(need))
        return len(dataset) if dataset.is_whole else None

    def asked(self, need: Need) -> int:
        """Count the images that are looked at at most, of a benchmark or under an attack."""
        images = 1 if isinstance(need, Maximize) else self.population(need)
        return images if self.settings.images is None else min(images, self.settings.images)

    def stored(self, spec: Spec, need: Need) -> int:
        """Count the first images of the seeded order that the store knows of a classifier."""
        dataset = self.dataset(benchmark_of(need))
        if isinstance(need, Maximize):
            return 0
        missing = self._run_of(spec, need, dataset).missing(len(dataset))
        return int(missing[0]) if len(missing) else len(dataset)

    def pace(self, spec: Spec, need: Need) -> float | None:
        """Give the seconds that an image took a classifier on this device so far; None where it was never run."""
        if isinstance(need, Maximize):
            return None
        return self._run_of(spec, need, self.dataset(benchmark_of(need))).pace(self.settings.pace_name)

    def _run_of(self, spec: Spec, need: str | Attack, dataset: Dataset) -> Run:
        return self._store.run(run_key(dataset, need, spec, self.settings, self._load))

    def provenance(self, score: Score, spec: Spec) -> Provenance:
        """Say what a score of a classifier rests on: which images, and all weights that have a part in it.

        Images are told by their listing, whoever encoded their files: encoders differ from machine to machine.

        Raises:
            HarnessError: A benchmark or weights are not there.
        """
        specs = [
            spec,
            *(parse_spec(need.surrogate) for need in score.needs if isinstance(need, Attack) and need.surrogate),
        ]
        specs += [self.normaliser] if self._normalisers(score) else []
        weights = {each.label: self.weights_of(each) for each in specs}
        self._let_go()
        names = dict.fromkeys(benchmark_of(need) for need in score.needs)
        for name in names:
            self.dataset(name)
        return Provenance(
            data={name: f"sha256:{self._listings[name][:16]}" for name in names},
            weights=weights,
            settings={"precision": self.settings.precision, "seed": str(self.settings.seed)},
            labels={each.text: each.label for each in specs},
        )

    def is_whole(self, benchmarks: Sequence[str]) -> bool:
        """Tell whether all published images of benchmarks are there and asked for."""
        is_all = self._drawing is not None or self.settings.images is None
        return is_all and all(self.dataset(benchmark).is_whole for benchmark in benchmarks)

    def is_published(self, quantity: Quantity) -> bool:
        """Tell whether the images at hand are those of a quantity's published figures, or drawn from them."""
        dataset = self.dataset(quantity.benchmark)
        return dataset.is_whole or (dataset.generator is None and len(dataset) == quantity.published_images)

    def normalised_by(self, score: Score) -> str:
        """Say in words what a score divides by; empty where it divides by nothing that could differ."""
        if not score.beside:
            return ""
        if self._normalisers(score):
            return f"{self.normaliser.label} on the same images"
        if self.is_whole([each.benchmark for each in score.beside]):
            return "AlexNet as published"
        return (
            f"AlexNet as published, on all images, though these are others; measure {self.normaliser.label} on them, "
            "with the same options, to divide by it"
        )

    def _normalisers(self, score: Score) -> Samples:
        """Give the normaliser's samples of the very images that a score reads: all that it asks for, or none.

        On all published images the published errors of AlexNet are what the metric is defined by.
        """
        if self.is_whole([each.benchmark for each in score.beside]):
            return {}
        found: dict[Need | Normaliser, Sample] = {}
        for each in score.beside:
            if each not in self._beside:
                self._beside[each] = self._find_normaliser(each.benchmark)
            if (sample := self._beside[each]) is not None:
                found[each] = sample
        return found if len(found) == len(score.beside) else {}

    def _find_normaliser(self, benchmark: str) -> Sample | None:
        """Read the normaliser's records of a benchmark, if they are in the store."""
        if self._always_normalise:
            return self.samples(self.normaliser, [benchmark])[benchmark]
        # Where images are drawn, what is divided by must be known of all of them.
        images = None if self._drawing else self._settings_for(self.normaliser, benchmark).images
        settings = replace(self.settings, images=images, measure=False)
        dataset = self.dataset(benchmark)
        try:
            ((run, images),) = measured(dataset, benchmark, [self.normaliser], self._load, self._store, settings)
        except HarnessError:  # never measured, or its weights are not there to be told by
            return None
        return make_sample(benchmark, run.read(images, columns_of(benchmark)))

    def _settings_for(self, spec: Spec, need: Need) -> Settings:
        """Say how something is measured: of fewer images, where it is asked of fewer."""
        if self._drawing:
            images = self._drawing.depth(spec, need, self.population(need), self.stored)
            is_checked = self.settings.is_checked or (spec, need) in self._samples
            return replace(self.settings, images=images, is_checked=is_checked)
        if self._prefix is None:
            return self.settings
        most = self._prefix(spec, need)
        return replace(self.settings, images=most if self.settings.images is None else min(most, self.settings.images))

    def _measure(self, spec: Spec, need: Need, *, wait: bool) -> None:
        """Measure one thing of a classifier, and of all that are planned to share its images.

        Raises:
            Busy: Another process is at it, and `wait` is false.
        """
        together = [spec, *self._sharing(spec, need)]
        try:
            found = self._run(together, need, wait=wait)
        except Busy:
            raise
        except ShardDone as done:
            found = [done] * len(together)
        except Exception as error:  # kept, and raised again for each figure that needs this sample
            found, is_alone, together = [error], len(together) == 1, [spec]
            if not is_alone and not isinstance(error, _OF_NO_CLASSIFIER):  # one of the others may be to blame
                try:
                    found = self._run(together, need, wait=True)
                except Exception as own:
                    found = [own]
        self._samples |= {(each, need): sample for each, sample in zip(together, found, strict=True)}

    def _sharing(self, spec: Spec, need: Need) -> list[Spec]:
        """Name the other classifiers that are asked about the same images in the same pass."""
        images = self._settings_for(spec, need).images if self._drawing else None
        planned = (other for other, needs in self._plan.items() if need in needs and other != spec)
        others = [other for other in planned if self._lacks(other, need, images)]
        if isinstance(need, Attack):
            return others if need.surrogate else []
        if isinstance(need, Maximize) or not self._shares_passes or not others:
            return []
        fitting, own = Fitting.of(spec.preprocessing), self._missing(spec, need)
        if not len(own):
            return []
        alike = (other for other in others if Fitting.of(other.preprocessing) == fitting)
        # Who lacks other images would be asked about more than these.
        return self._with_room(spec, [each for each in alike if np.array_equal(own, self._missing(each, need))])

    def _missing(self, spec: Spec, need: str) -> NDArray[np.int64]:
        """Give the positions that are to be measured; none where something is wrong, which is not for here to say."""
        nothing = np.empty(0, dtype=np.int64)
        if not self.settings.measure:
            return nothing
        try:
            run = self._run_of(spec, need, self.dataset(need))
            return self.settings.own(run.missing(self.asked(need)), run.key.chunk)
        except HarnessError:
            return nothing

    def _with_room(self, spec: Spec, others: Sequence[Spec]) -> list[Spec]:
        """Choose of some classifiers, which are loaded, as many as there is memory for beside one."""
        room = free_bytes(self.settings.own_device) * _WEIGHTS - self._size(spec)
        found: list[Spec] = []
        for other in others if room > 0 else ():
            was_loaded = other in self._loaded
            if (size := self._size(other)) <= room:
                room -= size
                found.append(other)
            elif not was_loaded:
                self._loaded.pop(other, None)
        return found

    def _size(self, spec: Spec) -> float:
        """Tell how much memory a classifier takes, loaded; infinite where it can't be, which its own turn tells."""
        try:
            return self._load(spec).bytes
        except HarnessError:
            return math.inf

    def _run(self, specs: Sequence[Spec], need: Need, *, wait: bool) -> list[Sample | Exception]:
        dataset = self.dataset(benchmark_of(need), wait=wait)
        runs = measured(dataset, need, specs, self._load, self._store, self._settings_for(specs[0], need), wait=wait)
        self._read |= {run.folder: (run, images) for run, images in runs}
        if isinstance(need, Maximize) and self._pictures:
            for spec, (run, images) in zip(specs, runs, strict=True):
                path = self._pictures / f"maximizing-{spec.label}.png"
                draw_maximizing_images(need, run.read(images), path, spec.label)
        return [self._extended(spec, need, run, images) for spec, (run, images) in zip(specs, runs, strict=True)]

    def _extended(self, spec: Spec, need: Need, run: Run, images: int) -> Sample:
        """Read a sample, or what the one that is known lacks."""
        held = self._samples.get((spec, need))
        if held is None or isinstance(held, Exception):
            return make_sample(need, run.read(images, columns_of(need)))
        more = make_sample(need, run.read(images, columns_of(need), start=len(held["group"])))
        return {name: np.concatenate([held[name], more[name]]) for name in held}

    def draw(self, spec: Spec, need: Maximize, path: Path) -> None:
        """Draw a classifier's maximizing images into a PNG, made first where the store lacks them.

        Raises:
            HarnessError: As `samples`, or the file can't be written.
        """
        ((run, images),) = measured(self.dataset(need.benchmark), need, [spec], self._load, self._store, self.settings)
        draw_maximizing_images(need, run.read(images), path, spec.label)

    def used(self, since: datetime) -> "Used":
        """Count the records that were read so far, and those of them that were there before a time."""
        new = sum(min(images, run.written(since.timestamp())) for run, images in self._read.values())
        records = sum(images for _, images in self._read.values())
        return Used(records, records - new)

    def records(self, spec: Spec, need: Need, columns: Sequence[str] | None = None) -> Columns:
        """Read columns of all records that are asked for of a classifier, all columns by default; measures nothing.

        Raises:
            NotMeasured: There are none.
        """
        settings = replace(self._settings_for(spec, need), measure=False)
        dataset = self.dataset(benchmark_of(need))
        ((run, images),) = measured(dataset, need, [spec], self._load, self._store, settings)
        return joined(list(run.read(images, columns)))

    def measure_shard(self) -> "Share":
        """Measure a shard's share of all that is planned, once; what another process is at comes last.

        The normaliser is asked too where it always is.
        """
        if self._always_normalise:
            asked = {need for needs in self._plan.values() for need in needs if isinstance(need, str)}
            own = self._plan.setdefault(self.normaliser, [])
            own += sorted(asked.intersection(NORMALISED).difference(own))
        for wait in (False, True):
            for spec, needs in self._plan.items():
                self._measure_unknown(spec, needs, wait=wait)
                self._let_go()
        outcomes = list(self._samples.values())
        done = [outcome for outcome in outcomes if isinstance(outcome, ShardDone)]
        return Share(len(done), sum(outcome.images for outcome in done), len(outcomes) - len(done))

    def require(self, spec: Spec, need: Need) -> None:
        """See that something of a classifier was measured, or a shard's share of it.

        Raises:
            HarnessError: Why it was not.
        """
        outcome = self._samples.get((spec, need))
        if isinstance(outcome, Exception) and not isinstance(outcome, ShardDone):
            raise outcome

    def measure_backwards(self) -> Iterator[tuple[Spec, Need]]:
        """Measure all that is planned, last things first, passing over what another process is at.

        Yields:
            What was looked at, whatever came of it: who asks for its samples is told.
        """
        for spec in reversed(self._plan):
            if self._unknown(spec, self._plan[spec]):
                self._turns.wait(spec)
            for need in reversed(self._plan[spec]):
                self._measure_unknown(spec, [need], wait=False)
                yield spec, need
            self._let_go()

    def _load(self, spec: Spec) -> "Classifier":
        if spec not in self._loaded:
            from harness.classifiers.loading import load

            self._loaded[spec] = load(spec, device=self.settings.own_device)
            if spec in self._summarised:
                self._summarise(spec)
        return self._loaded[spec]

    def diagnosis(self, spec: Spec, reference: Spec | None = None) -> "Diagnosis":
        """Tell what other readings of a classifier's images and classes would do, once.

        It is kept beside the classifier's records, and read from there while the images that it was made on are as they
        were.

        Args:
            spec: Which classifier.
            reference: A classifier that is known to be good, whose answers are read from the store, if they are there.

        Raises:
            NotMeasured: It is not kept, and nothing may be measured.
        """
        if spec not in self._diagnoses:
            from harness.diagnosis import Diagnosis

            dataset = self.dataset("imagenet")
            predictions = self._predictions(reference) if reference else None
            grounds = self._grounds(dataset, predictions)
            run = self._run_of(spec, "imagenet", dataset)
            known = run.findings(grounds)
            if isinstance(known, dict):
                self._diagnoses[spec] = Diagnosis.from_json(known)
            else:
                self._diagnoses[spec] = self._diagnose(spec, dataset, predictions)
                run.keep_findings(grounds, self._diagnoses[spec].as_json())
            self._let_go()
        return self._diagnoses[spec]

    def _diagnose(self, spec: Spec, dataset: Dataset, predictions: NDArray[np.integer] | None) -> "Diagnosis":
        from harness.diagnosis import diagnose_dataset

        if not self.settings.measure:
            raise NotMeasured("what other readings would do is not recorded, and nothing may be measured")
        return diagnose_dataset(
            dataset,
            self._load(spec),
            images=self._diagnosed_images,
            seed=self.settings.seed,
            reference_predictions=predictions,
            workers=self.settings.workers,
        )

    @property
    def _diagnosed_images(self) -> int:
        from harness.diagnosis import MOST_IMAGES

        return min(MOST_IMAGES, self.asked("imagenet"))

    def _grounds(self, dataset: Dataset, predictions: NDArray[np.integer] | None) -> str:
        """Tell what a diagnosis depends on beyond what a run's key says: which images they are now, whose answers help.

        Raises:
            DataError: An image is not there any more.
        """
        from harness.diagnosis import FORM

        order = prefix_order(len(dataset), self.settings.seed)[: self._diagnosed_images]
        try:
            stats = [path.stat() for path in (dataset.path(int(index)) for index in order)]
        except OSError as error:
            raise DataError(f"imagenet: {error.filename} can't be read ({error.strerror})") from error
        files = [(stat.st_size, stat.st_mtime_ns) for stat in stats]
        helps = None if predictions is None else predictions.tolist()
        return hashlib.sha256(json.dumps([FORM, files, helps]).encode()).hexdigest()[:16]

    def _predictions(self, spec: Spec) -> NDArray[np.integer] | None:
        """Read a classifier's top-1 of the photographs from the store; None where it was never run."""
        dataset = self.dataset("imagenet")
        images = self.stored(spec, "imagenet")
        columns = [part["top5"][:, 0] for part in self._run_of(spec, "imagenet", dataset).read(images, ("top5",))]
        return np.concatenate(columns) if columns else None

    def changed(self, need: Need, before: Spec, now: Spec) -> "Changed":
        """List the images that changed between two classifiers, of those of which the store has both.

        Raises:
            NotMeasured: There are none, or what was asked can't be compared image by image.
        """
        from harness.changed import changed_images, columns_of

        columns = columns_of(need)
        assert not isinstance(need, Maximize)  # which columns_of refuses
        images = min(self.asked(need), *(self.stored(spec, need) for spec in (before, now)))
        runs = (self._run_of(spec, need, self.dataset(benchmark_of(need))) for spec in (before, now))
        old, new = (run.read(images, columns) for run in runs)
        return changed_images(need, old, new, names=(before.label, now.label))

    def tensors(self, spec: Spec) -> "tuple[TensorSummary, ...]":
        """Summarise a classifier's tensors, once: it takes loading it, if that is not done anyway."""
        if spec not in self._tensors:
            self._load(spec)
            self._summarise(spec)
            self._let_go()
        return self._tensors[spec]

    def _summarise(self, spec: Spec) -> None:
        from harness.classifiers.tensors import summarize_classifier

        self._tensors[spec] = summarize_classifier(self._loaded[spec])

    def weights_of(self, spec: Spec) -> str:
        """Give the hash of a classifier's weights, found once: it may take loading it."""
        if spec not in self._weights:
            self._weights[spec] = identity(spec, self._load)["weights"]
        return self._weights[spec]

    def _unload(self, specs: Iterable[Spec]) -> None:
        for spec in list(specs):
            self.weights_of(spec)
            del self._loaded[spec]

    def _let_go(self) -> None:
        """Let go of each classifier of which nothing more is planned, on which no more images will be made either."""
        left = [
            (spec, need) for spec, needs in self._plan.items() for need in needs if (spec, need) not in self._samples
        ]
        needed = {spec.text for spec, _ in left}
        needed |= {need.surrogate for _, need in left if isinstance(need, Attack)}
        self._unload(spec for spec in self._loaded if spec.text not in needed)
        self._turns.give_back(self._loaded)


@dataclass(frozen=True)
class Used:
    """What figures were read from.

    Attributes:
        records: How many records.
        cached: How many of them were there before a certain time.
    """

    records: int
    cached: int


@dataclass(frozen=True)
class Share:
    """What came of a shard's share.

    Attributes:
        runs: Of how many runs it is in the store.
        images: How many records that are.
        failed: Of how many runs it could not be measured.
    """

    runs: int
    images: int
    failed: int


def _or_raise(found: T | Exception) -> T:
    if isinstance(found, Exception):
        raise found
    return found
