"""Studies of classifiers that are measured now: each loaded once, all figures from records."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from harness.benchmarks.dataset import Dataset
from harness.classifiers.spec import Spec, parse_spec
from harness.errors import NotMeasured
from harness.protocols.attacks import SURROGATE, Attack
from harness.protocols.needs import Need
from harness.records.schema import Columns
from harness.scores import (
    Sample,
    Samples,
    Score,
    alexnet_clean_error,
    alexnet_corruption_errors,
    alexnet_flip_probabilities,
    corruption_means,
    find_score,
    perturbation_means,
)
from harness.studies.laboratory import Laboratory, Share, Used
from harness.studies.published import AS_PUBLISHED, is_recorded, recorded_figure
from harness.studies.quantities import MCE, MFR, REL_MCE, Quantity
from harness.studies.study import Provenance, Study, Term, require
from harness.verdicts.estimates import Estimate
from harness.verdicts.rules import Comparison, Figure

if TYPE_CHECKING:
    from harness.classifiers.tensors import TensorSummary
    from harness.diagnosis import Diagnosis


@dataclass(frozen=True)
class Attacks:
    """How attacks are run, where the paper leaves it open.

    Attributes:
        surrogate: Spec on which transferred attacks are made.
        restarts: Random starts a loss of the standard attacks; 0 for their own number.
        maximizing_steps: Length of the search for maximizing images; 0 for its own.
    """

    surrogate: str = SURROGATE
    restarts: int = 0
    maximizing_steps: int = 0

    def need(self, quantity: Quantity) -> Need:
        """Give what must be asked of a classifier to know a quantity."""
        attack = quantity.attack
        if quantity.maximize and self.maximizing_steps:
            return replace(quantity.maximize, steps=self.maximizing_steps)
        if attack is None:
            return quantity.maximize or quantity.benchmark
        if attack.form == "standard":
            attack = replace(attack, restarts=self.restarts)
        return replace(attack, surrogate=self.surrogate) if attack.surrogate else attack

    def needs(self, quantity: Quantity) -> tuple[Need, ...]:
        """Name all that must be asked of a classifier to know a quantity; nothing where that is no benchmark's."""
        if not quantity.score:
            return ()
        return find_score(self.need(quantity), quantity.score).needs


class LiveStudy(Study):
    """Claims about classifiers that are measured now.

    Args:
        name: What the study is called in verdicts.
        baseline: The classifier that subjects are compared with; None for the paper's, by its recorded figures.
        subjects: The classifiers that claims are about, narrowest first.
        laboratory: Where they are measured.
        alpha: Level of the intervals, both tails together.
        attacks: How attacks are run, where the paper leaves it open.
        roles: By the paper's name for a classifier or a quoted row, who plays its part; None where all play themselves.
        others: Whom subjects are compared with beside, the first of them known to be good.
    """

    def __init__(
        self,
        name: str,
        baseline: Spec | None,
        subjects: Sequence[Spec],
        laboratory: Laboratory,
        *,
        alpha: float,
        attacks: Attacks = Attacks(),
        roles: Mapping[str, Spec] | None = None,
        others: Sequence[Spec] = (),
    ) -> None:
        self.name = name
        self.baseline = baseline.text if baseline else AS_PUBLISHED
        self.subjects = tuple(spec.text for spec in subjects)
        self.surrogate = attacks.surrogate
        self._roles = roles
        self._estimator = laboratory.estimator(alpha)
        beside = (parse_spec(attacks.surrogate), laboratory.normaliser, *(roles or {}).values(), *others)
        self._specs = {spec.text: spec for spec in (*beside, *((baseline,) if baseline else ()), *subjects)}
        self._known_good = others[0] if others else None
        self._laboratory = laboratory
        self._attacks = attacks

    def measure_shard(self) -> Share:
        """Measure a shard's share of all that is planned."""
        return self._laboratory.measure_shard()

    def measure_what_is_left(self) -> None:
        """Measure all that is planned and that no other process is at."""
        for _ in self._laboratory.measure_backwards():
            pass

    def require(self, asked: Mapping[Spec, Sequence[Need]]) -> None:
        """See that what is asked of classifiers was measured, or a shard's share of it.

        Raises:
            HarnessError: Why some of that was not.
        """
        for spec, needs in asked.items():
            for need in needs:
                self._laboratory.require(spec, need)

    def player(self, row: str) -> str:
        """Name who plays a part, by the study's roles where it has any."""
        if self._roles is None:
            return super().player(row)
        require(row in self._roles, f"nobody plays the part of {row} in this study")
        return self._roles[row].text

    def begin(self) -> None:
        """Begin with another claim."""
        self._laboratory.begin()

    def look_further(self) -> bool:
        """Look at more images of all that the claim has asked for; tells whether there are more."""
        return self._laboratory.deepen()

    def limit(self) -> str:
        """Say what keeps a claim from looking further; empty where there is nothing left to look at."""
        return self._laboratory.limit()

    def figure(self, quantity: Quantity, subject: str) -> Figure:
        """Measure a classifier's figure, or give the recorded one of a row that is recorded."""
        if is_recorded(subject):
            return recorded_figure(quantity, subject)
        return self._figure(quantity, subject, *self._score_and_samples(quantity, subject))

    def provenance(self, quantity: Quantity, subject: str) -> Provenance:
        """Say what a classifier's figure rests on: images, weights, seed and precision."""
        if is_recorded(subject):
            return super().provenance(quantity, subject)
        score = find_score(self._attacks.need(quantity), quantity.score)
        return replace(self._laboratory.provenance(score, self._specs[subject]), study=self.name)

    def compare(self, quantity: Quantity, first: str, second: str, *, unlike: str = "") -> Comparison:
        """Compare two classifiers, or a classifier with a recorded row, by one quantity."""
        found = super().compare(quantity, first, second, unlike=unlike)
        return _noting(found, self._of_other_images([quantity], second))

    def gain(self, quantity: Quantity, subject: str, *, times: float, over: Quantity) -> Comparison:
        """Compare a subject's gain over the baseline in one quantity with a multiple of its gain in another."""
        found = super().gain(quantity, subject, times=times, over=over)
        return _noting(found, self._of_other_images([quantity, over], self.baseline))

    def _of_other_images(self, quantities: Sequence[Quantity], row: str) -> str:
        """Say of which benchmarks the published baseline's figures are of other images than those that are here."""
        if row != AS_PUBLISHED:
            return ""
        other = [each for each in quantities if not self._laboratory.is_published(each)]
        if not other:
            return ""
        names = ", ".join(dict.fromkeys(each.benchmark for each in other))
        return f"the figures of {row} are of the published images of {names}, and these are others"

    def across(self, first: Quantity, second: Quantity, subject: str) -> Comparison:
        """Compare two quantities of one classifier; of one benchmark's on the images that were seen for both."""
        asked = [self._score_and_samples(quantity, subject) for quantity in (first, second)]
        if first.benchmark == second.benchmark:
            fewest = min(len(samples[need]["group"]) for score, samples in asked for need in score.needs)
            asked = [(score, self._first_of(samples, dict.fromkeys(score.needs, fewest))) for score, samples in asked]
        (before, of_before), (after, of_after) = asked
        terms = [(1.0, before, of_before), (-1.0, after, of_after)]
        return Comparison(
            self._figure(first, subject, before, of_before),
            replace(self._figure(second, subject, after, of_after), subject=f"its {second.title}"),
            self._estimator.combination(terms),
        )

    def _first_of(self, samples: Samples, most: Mapping[Need, int]) -> Samples:
        """Keep of the samples of some needs the first images of the seeded order."""
        return {**samples, **{need: self._laboratory.first_of(samples[need], images) for need, images in most.items()}}

    def _figure(self, quantity: Quantity, subject: str, score: Score, samples: Samples) -> Figure:
        settings = self._laboratory.settings
        need = self._attacks.need(quantity)
        tags = {}
        if isinstance(need, Attack):
            how, tags = need.describe(quantity.steps), need.tags.as_words()
            if need.surrogate == subject:
                how += ", which is the classifier itself"
        elif isinstance(need, str):
            how = "classify"
            if by := self._laboratory.normalised_by(score):
                how += f", normalised by {by}"
        else:
            how = need.describe()
        return Figure(
            quantity.metric,
            quantity.title,
            quantity.where,
            subject,
            self._estimator.estimate(score, samples),
            f"{how}, {settings.precision}, seed {settings.seed}",
            quantity.percent,
            tags,
        )

    def combine(self, terms: Sequence[Term]) -> Estimate:
        """Estimate a weighted sum on the images seen for all, what terms share cancelled; recorded rows are exact."""
        constant = sum(
            weight * recorded_figure(quantity, row).estimate.value
            for weight, quantity, row in terms
            if is_recorded(row)
        )
        live = [
            (weight, *self._score_and_samples(quantity, row)) for weight, quantity, row in terms if not is_recorded(row)
        ]
        if not live:
            return Estimate.exact(constant)
        if len(live) == 1:
            # Against an exact number the figure's own interval decides, so that a verdict never contradicts it.
            ((weight, score, samples),) = live
            own = self._estimator.estimate(score, samples)
            return own.scaled(weight, constant)
        seen: dict[Need, list[int]] = {}
        for _, score, samples in live:
            for need in score.needs:
                seen.setdefault(need, []).append(len(samples[need]["group"]))
        live = [
            (weight, score, self._first_of(samples, {need: min(seen[need]) for need in score.needs}))
            for weight, score, samples in live
        ]
        return self._estimator.combination(live, constant)

    def corruption_errors(self, subject: str) -> dict[str, float]:
        """Measure a classifier's error of each corruption, averaged over severities."""
        return self._means(MCE, subject, lambda samples: corruption_means(samples["imagenet-c"]))

    def flip_probabilities(self, subject: str) -> dict[str, float]:
        """Measure a classifier's flip probability on each perturbation."""
        return self._means(MFR, subject, lambda samples: perturbation_means(samples["imagenet-p"], "flips"))

    def is_whole(self, benchmark: str) -> bool:
        """Tell whether a benchmark's published images are there, and all are asked for."""
        return self._laboratory.is_whole([benchmark])

    def is_published(self, quantity: Quantity) -> bool:
        """Tell whether the images at hand are those of a quantity's published figures, or drawn from them."""
        return self._laboratory.is_published(quantity)

    def diagnosis(self, subject: str) -> "Diagnosis":
        """Tell what other readings of a classifier's images and classes would do; whom it must not fall short of helps.

        Raises:
            NotMeasured: Nothing may be measured.
        """
        return self._laboratory.diagnosis(self._specs[subject], self._known_good)

    def tensors(self, subject: str) -> "tuple[TensorSummary, ...]":
        """Summarise a classifier's tensors."""
        return self._laboratory.tensors(self._specs[subject])

    def used(self, since: datetime) -> Used:
        """Count the records that were read so far, and those of them that were there before a time."""
        return self._laboratory.used(since)

    def sample(self, need: Need, subject: str) -> Sample:
        """Give what is known of a classifier on each image of a benchmark, as scores read it.

        Raises:
            HarnessError: It is not to be had; says why.
        """
        return self._laboratory.samples(self._specs[subject], [need])[need]

    def need(self, quantity: Quantity) -> Need:
        """Give what must be asked of a classifier to know a quantity."""
        return self._attacks.need(quantity)

    def records(self, quantity: Quantity, subject: str, columns: Sequence[str] | None = None) -> Columns:
        """Read columns of a classifier's records of what a quantity rests on, all by default; measures nothing.

        Raises:
            HarnessError: They are not to be had; says why.
        """
        return self._laboratory.records(self._specs[subject], self.need(quantity), columns)

    def dataset(self, benchmark: str) -> Dataset:
        """Open a benchmark.

        Raises:
            HarnessError: It is not there, or not as it should be.
        """
        return self._laboratory.dataset(benchmark)

    def population(self, quantity: Quantity) -> int:
        """Count the images of which a quantity's are drawn."""
        return self._laboratory.population(self._attacks.need(quantity))

    def top5_distances(self, subject: str) -> dict[str, float]:
        """Measure a classifier's top-5 distance on each perturbation."""
        return self._means(MFR, subject, lambda samples: perturbation_means(samples["imagenet-p"], "distances"))

    def alexnet_corruption_errors(self, subject: str) -> dict[str, float]:
        """Give what mCE is normalised by: on a subset AlexNet's errors on the same images, where they were measured."""
        return self._means(MCE, subject, alexnet_corruption_errors)

    def alexnet_clean_error(self, subject: str) -> float:
        """Give what rel. mCE is normalised by beside, likewise."""
        _, samples = self._score_and_samples(REL_MCE, subject)
        return alexnet_clean_error(samples)

    def alexnet_flip_probabilities(self, subject: str) -> dict[str, float]:
        """Give what mFR is normalised by, likewise."""
        return self._means(MFR, subject, alexnet_flip_probabilities)

    def _means(
        self, quantity: Quantity, subject: str, means: Callable[[Samples], dict[str, float]]
    ) -> dict[str, float]:
        """Read means by cell off a classifier's samples.

        Raises:
            NotMeasured: They are not to be had, or a cell has no image.
        """
        _, samples = self._score_and_samples(quantity, subject)
        try:
            return means(samples)
        except ValueError as error:
            raise NotMeasured(f"{quantity.benchmark}: {error}") from error

    def missed_outcomes(self, quantity: Quantity) -> Figure:
        """Run an attack on planted classifiers, as it is run on others here."""
        import torch

        from harness.protocols.planted import attack_planted

        need, settings = self._attacks.need(quantity), self._laboratory.settings
        assert isinstance(need, Attack)
        how = {"device": torch.device(settings.own_device), "precision": settings.precision, "seed": settings.seed}
        outcomes = attack_planted(need, **how)  # type: ignore[arg-type]
        missed = outcomes.fooled != outcomes.can_be_fooled
        return Figure(
            quantity.metric,
            quantity.title,
            quantity.where,
            "planted classifiers",
            Estimate.exact(float(missed.mean()), len(missed)),
            f"{need.describe()}, {settings.precision}, seed {settings.seed}",
            tags=need.tags.as_words(),
        )

    def _score_and_samples(self, quantity: Quantity, subject: str) -> tuple[Score, Samples]:
        score = find_score(self._attacks.need(quantity), quantity.score)
        return score, self._laboratory.samples_for(score, self._specs[subject])


def _noting(comparison: Comparison, note: str) -> Comparison:
    return replace(comparison, note="; ".join(filter(None, (comparison.note, note))))
