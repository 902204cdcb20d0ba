"""The study `paper`: real classifiers measured on real data, each loaded once, all figures from records."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from harness.benchmarks.catalog import DataRoots, open_benchmark
from harness.benchmarks.dataset import Dataset
from harness.engines.local import Settings, classified
from harness.errors import HarnessError, NotMeasured
from harness.records.store import RecordStore
from harness.scores import (
    COLUMNS,
    Sample,
    Samples,
    Score,
    combination,
    corruption_means,
    estimate,
    find_score,
    make_sample,
)
from harness.studies.quantities import MCE, MFR, Quantity
from harness.studies.study import Study, Term, is_quoted, quoted
from harness.verdicts.estimates import Estimate
from harness.verdicts.rules import Figure

if TYPE_CHECKING:
    from harness.classifiers.classifier import Classifier
    from harness.classifiers.spec import Spec

T = TypeVar("T")


class Laboratory:
    """Measures classifiers on benchmarks, through the store, and hands out samples of their records.

    A classifier is loaded when the first figure that needs it is asked for; everything that is planned for it is then
    measured before it is let go, so each is loaded at most once. Nothing is loaded whose records are complete.

    Args:
        roots: Where benchmarks lie.
        store: Where records are kept.
        settings: How to measure.
        plan: Per classifier's spec text, the benchmarks that will be asked for.
    """

    def __init__(
        self,
        roots: DataRoots,
        store: RecordStore,
        settings: Settings,
        plan: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        self.settings = settings
        self._roots = roots
        self._store = store
        self._plan = {text: list(benchmarks) for text, benchmarks in (plan or {}).items()}
        self._datasets: dict[str, Dataset | HarnessError] = {}
        self._samples: dict[tuple[str, str], Sample | Exception] = {}

    def dataset(self, benchmark: str) -> Dataset:
        """Open a benchmark, once; what is wrong with it is raised each time it is asked for."""
        if benchmark not in self._datasets:
            try:
                self._datasets[benchmark] = open_benchmark(benchmark, self._roots)
            except HarnessError as error:
                self._datasets[benchmark] = error
        return _or_raise(self._datasets[benchmark])

    def samples(self, spec: "Spec", benchmarks: Sequence[str]) -> Samples:
        """Give a classifier's samples on some benchmarks, measuring whatever of its plan is not measured yet."""
        for benchmark in benchmarks:
            self.dataset(benchmark)
        if any((spec.text, benchmark) not in self._samples for benchmark in benchmarks):
            self._measure(spec, dict.fromkeys([*benchmarks, *self._plan.get(spec.text, ())]))
        return {benchmark: _or_raise(self._samples[spec.text, benchmark]) for benchmark in benchmarks}

    def _measure(self, spec: "Spec", benchmarks: Iterable[str]) -> None:
        classifier: Classifier | None = None

        def load_once() -> "Classifier":
            nonlocal classifier
            if classifier is None:
                from harness.classifiers.loading import load

                classifier = load(spec, device=self.settings.device)
            return classifier

        for benchmark in benchmarks:
            if (spec.text, benchmark) not in self._samples:
                try:
                    dataset = self.dataset(benchmark)
                    run, images = classified(dataset, spec, load_once, self._store, self.settings)
                    sample: Sample | Exception = make_sample(benchmark, run.read(images, COLUMNS[benchmark]))
                except Exception as error:  # kept, and raised again for each figure that needs this sample
                    sample = error
                self._samples[spec.text, benchmark] = sample


class LiveStudy(Study):
    """Claims about classifiers that are measured now.

    Args:
        name: What the study is called in verdicts.
        baseline: The classifier that subjects are compared with.
        subjects: The classifiers that claims are about, narrowest first.
        laboratory: Where they are measured.
        alpha: Level of the intervals, both tails together.
    """

    def __init__(
        self, name: str, baseline: "Spec", subjects: Sequence["Spec"], laboratory: Laboratory, *, alpha: float
    ) -> None:
        self.name = name
        self.baseline = baseline.text
        self.subjects = tuple(spec.text for spec in subjects)
        self._specs = {spec.text: spec for spec in (baseline, *subjects)}
        self._laboratory = laboratory
        self._alpha = alpha

    def figure(self, quantity: Quantity, subject: str) -> Figure:
        """Measure a classifier's figure, or quote the paper's where the subject is one of its quoted rows."""
        if is_quoted(subject):
            return quoted(quantity, subject)
        score, samples = self._score_and_samples(quantity, subject)
        settings = self._laboratory.settings
        return Figure(
            quantity.metric,
            quantity.title,
            quantity.where,
            subject,
            estimate(score, samples, alpha=self._alpha),
            f"classify, {settings.precision}, seed {settings.seed}",
            quantity.percent,
        )

    def combine(self, terms: Sequence[Term]) -> Estimate:
        """Estimate a weighted sum with what the terms share cancelled; quoted rows are taken as exact."""
        constant = sum(
            weight * quoted(quantity, row).estimate.value for weight, quantity, row in terms if is_quoted(row)
        )
        live = [
            (weight, *self._score_and_samples(quantity, row)) for weight, quantity, row in terms if not is_quoted(row)
        ]
        if not live:
            return Estimate.exact(constant)
        if len(live) == 1:
            # Against an exact number the figure's own interval decides, so that a verdict never contradicts it.
            ((weight, score, samples),) = live
            own = estimate(score, samples, alpha=self._alpha)
            low, high = sorted((weight * own.low, weight * own.high))
            total = Estimate(weight * own.value, low, high, own.images)
        else:
            total = combination(live, alpha=self._alpha)
        return Estimate(total.value + constant, total.low + constant, total.high + constant, total.images)

    def corruption_errors(self, subject: str) -> dict[str, float]:
        """Measure a classifier's error of each corruption, averaged over severities."""
        _, samples = self._score_and_samples(MCE, subject)
        try:
            return corruption_means(samples["imagenet-c"])
        except ValueError as error:
            raise NotMeasured(f"imagenet-c: {error}") from error

    def flip_probabilities(self, subject: str) -> dict[str, float]:
        """Say that no protocol measures flips yet."""
        raise _published_only(MFR)

    def _score_and_samples(self, quantity: Quantity, subject: str) -> tuple[Score, Samples]:
        if not quantity.score:
            raise _published_only(quantity)
        score = find_score(quantity.benchmark, quantity.score)
        return score, self._laboratory.samples(self._specs[subject], score.needs)


def _published_only(quantity: Quantity) -> NotMeasured:
    return NotMeasured(f"{quantity.metric} is judged on published figures only; no protocol measures it yet")


def _or_raise(found: T | Exception) -> T:
    if isinstance(found, Exception):
        raise found
    return found
