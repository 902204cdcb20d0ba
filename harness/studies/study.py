"""What every study can answer."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from harness import recorded
from harness.errors import NotMeasured
from harness.studies.quantities import Quantity
from harness.verdicts.estimates import Estimate
from harness.verdicts.rules import Comparison, Figure

if TYPE_CHECKING:
    from harness.diagnosis import Diagnosis

BASELINE = "resnext101_32x8d"
WSL = ("resnext101_32x8d_wsl", "resnext101_32x16d_wsl", "resnext101_32x32d_wsl", "resnext101_32x48d_wsl")

Term = tuple[float, Quantity, str]

# What two rows of Table 2, quoted from others, measure: the accuracy at the last iterate of targeted attacks.
_LAST_ITERATE = {"early_stop": "no", "fallback": "none", "scored": "last iterate"}
_QUOTED_TAGS = {
    "ALP (InceptionV3)": {**_LAST_ITERATE, "targeted": "least likely class"},
    "Denoising (ResNet-152)": {**_LAST_ITERATE, "targeted": "random class"},
}


@dataclass(frozen=True)
class Provenance:
    """What figures rest on, beside how they were measured.

    Attributes:
        study: Whose figures they are.
        data: By benchmark, the hash of its images' listing; of recorded figures, nothing.
        weights: By classifier's label, the hash of its weights; of recorded figures, by table, the hash of its rows.
        settings: What else is the same for all figures of a run, e.g. its seed.
        labels: By the spec that a figure's protocol names a classifier by, its label, which holds no path.
    """

    study: str = ""
    data: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    def __or__(self, other: "Provenance") -> "Provenance":
        """Say what a figure rests on that is made of two."""
        return Provenance(
            self.study or other.study,
            {**self.data, **other.data},
            {**self.weights, **other.weights},
            {**self.settings, **other.settings},
            {**self.labels, **other.labels},
        )


class Study(ABC):
    """A baseline, the subjects that are claimed to be more robust, and their figures.

    Attributes:
        name: `published`, `paper`, ...
        baseline: The classifier that subjects are compared with.
        subjects: The classifiers that claims are about, narrowest first.
        surrogate: The classifier that transferred attacks are made on.
    """

    name: str
    baseline: str
    subjects: tuple[str, ...]
    surrogate: str

    def player(self, row: str) -> str:
        """Name who plays the part of one of the paper's classifiers, or of a row that it quotes: by default itself.

        Raises:
            NotMeasured: Nobody does in this study.
        """
        require(is_quoted(row) or row in (self.baseline, *self.subjects, self.surrogate), f"the claim is about {row}")
        return row

    def __repr__(self) -> str:
        return f"<study {self.name}>"

    @abstractmethod
    def figure(self, quantity: Quantity, subject: str) -> Figure:
        """Give a classifier's figure.

        Raises:
            NotMeasured: This study has no such figure; says why.
        """

    def provenance(self, quantity: Quantity, subject: str) -> Provenance:
        """Say what a classifier's figure rests on: by default the recorded tables.

        Raises:
            NotMeasured: This study has no such figure.
        """
        tables = {name: recorded.sha256_of(name) for name in ("alexnet", "author_results", "paper_tables")}
        return Provenance(self.name, weights=tables)

    @abstractmethod
    def combine(self, terms: Sequence[Term]) -> Estimate:
        """Estimate a weighted sum of figures, paired image by image where they come from records.

        Args:
            terms: (weight, quantity, subject) triples.

        Raises:
            NotMeasured: One of the figures is not to be had.
        """

    @abstractmethod
    def corruption_errors(self, subject: str) -> dict[str, float]:
        """Give a classifier's error on each of ImageNet-C's corruptions, averaged over severities.

        Raises:
            NotMeasured: This study has none of it.
        """

    @abstractmethod
    def flip_probabilities(self, subject: str) -> dict[str, float]:
        """Give a classifier's flip probability on each of ImageNet-P's perturbations.

        Raises:
            NotMeasured: This study has none of it.
        """

    def alexnet_corruption_errors(self, subject: str) -> dict[str, float]:
        """Give the errors that a classifier's mCE is normalised by: AlexNet's, as published."""
        return recorded.alexnet_corruption_errors()

    def alexnet_clean_error(self, subject: str) -> float:
        """Give the clean error that a classifier's rel. mCE is normalised by beside."""
        return recorded.alexnet_clean_error()

    def alexnet_flip_probabilities(self, subject: str) -> dict[str, float]:
        """Give the flip probabilities that a classifier's mFR is normalised by."""
        return recorded.alexnet_flip_probabilities()

    def top5_distances(self, subject: str) -> dict[str, float]:
        """Give a classifier's top-5 distance on each of ImageNet-P's perturbations.

        Raises:
            NotMeasured: This study has none of it.
        """
        return recorded.by_condition("author_results", subject, "top5_distance")

    def exact(self, quantity: Quantity, subject: str) -> Figure:
        """Give a figure to hold against a printed one: exact where it was measured on all the images of the paper's."""
        figure = self.figure(quantity, subject)
        if figure.estimate.images != quantity.published_images:
            return figure
        return figure.as_exact()

    def compare(self, quantity: Quantity, first: str, second: str, *, unlike: str = "") -> Comparison:
        """Compare two classifiers, or a classifier with a row that the paper quotes, by one quantity.

        Args:
            quantity: By what.
            first: A classifier.
            second: A classifier or a quoted row.
            unlike: Why two figures are compared that were measured in different ways; empty if they must not be.

        Raises:
            NotMeasured: One of the figures is not to be had, or their tags differ and nobody said why.
        """
        figures = self.figure(quantity, first), self.figure(quantity, second)
        if not unlike:
            require_alike(*figures)
        difference = self.combine([(1.0, quantity, first), (-1.0, quantity, second)])
        return Comparison(*figures, difference, note=unlike if figures[0].unlike(figures[1]) else "")

    def across(self, first: Quantity, second: Quantity, subject: str) -> Comparison:
        """Compare two quantities of one classifier, such as its accuracies on two benchmarks."""
        return Comparison(
            self.figure(first, subject),
            replace(self.figure(second, subject), subject=f"its {second.title}"),
            self.combine([(1.0, first, subject), (-1.0, second, subject)]),
        )

    def curve(self, quantities: Sequence[Quantity], subject: str) -> list[Comparison]:
        """Compare each point of a curve (first) with the one before it (second)."""
        return [self.across(after, before, subject) for before, after in pairwise(quantities)]

    def gain(self, quantity: Quantity, subject: str, *, times: float, over: Quantity) -> Comparison:
        """Compare a subject's gain over the baseline in one quantity (first) with a multiple of its gain in another.

        Gains are positive where the subject is better, in the quantities' own units.
        """
        terms = _gain_terms(quantity, subject, self.baseline, 1.0)
        others = _gain_terms(over, subject, self.baseline, times)
        protocol = self.figure(quantity, subject).protocol
        return Comparison(
            Figure(
                f"{quantity.metric}_gain",
                f"gain in {quantity.title} over {self.baseline}",
                quantity.where,
                subject,
                self.combine(terms),
                protocol,
                quantity.percent,
            ),
            Figure(
                f"{over.metric}_gain",
                f"{times:g} times the gain in {over.title}",
                over.where,
                f"{times:g} times its gain in {over.title}",
                self.combine(others),
                protocol,
                over.percent,
            ),
            self.combine([*terms, *((-weight, what, who) for weight, what, who in others)]),
        )

    def box_crossings(self, quantity: Quantity, subject: str) -> Figure:
        """Tell how often an attack's steps, laid end to end, cross the box: below 1 it can't have searched it.

        Raises:
            NotMeasured: This study has no such figure.
        """
        figure = self.figure(quantity, subject)
        assert quantity.attack is not None
        crossings = Estimate.exact(quantity.attack.crossings(quantity.steps))
        title = f"times that the steps behind {figure.title} cross the box"
        return replace(figure, metric="box_crossings", title=title, estimate=crossings, percent=False)

    def missed_outcomes(self, quantity: Quantity) -> Figure:
        """Run an attack where its outcome is known (`harness.protocols.planted`), and tell how often it differs.

        Raises:
            NotMeasured: This study runs no attacks.
        """
        raise NotMeasured("recorded figures say nothing of how the attack works that would be run today")

    def diagnosis(self, subject: str) -> "Diagnosis":
        """Tell what other readings of a classifier's images and classes would do.

        Raises:
            NotMeasured: This study has no classifier at hand.
        """
        raise NotMeasured("recorded figures say nothing of how else a classifier could be read")

    def is_whole(self, benchmark: str) -> bool:
        """Tell whether figures of a benchmark are of all its images."""
        return True

    def widest(self) -> str:
        """Give the last, widest subject."""
        return self.subjects[-1]


def quoted(quantity: Quantity, row: str) -> Figure:
    """Give a figure as the paper prints it, its own or one that it quotes.

    Raises:
        NotMeasured: The paper prints no such figure.
    """
    found = recorded.table("paper_tables").get((row, quantity.metric, quantity.condition))
    if found is None:
        raise NotMeasured("the paper prints no such figure of this classifier")
    return Figure(
        quantity.metric,
        quantity.title,
        quantity.where,
        row,
        Estimate.exact(found.value, found.images),
        f"as printed in {found.source}",
        quantity.percent,
        {**quantity.attack.tags.as_words(), **_QUOTED_TAGS.get(row, {})} if quantity.attack else {},
    )


def require_alike(first: Figure, second: Figure) -> None:
    """See that two figures were measured in ways that can be compared.

    Raises:
        NotMeasured: Their tags differ; says in which.
    """
    if differs := first.unlike(second):
        raise NotMeasured(f"{first.title} of {first.subject} and of {second.subject} are unlike: {differs}")


def is_quoted(row: str) -> bool:
    """Whether a name is a row that the paper quotes from others, and not one of its own classifiers."""
    return row not in (BASELINE, *WSL) and any(model == row for model, _, _ in recorded.table("paper_tables"))


def require(condition: bool, reason: str) -> None:
    """Say that a claim can't be asked of this study.

    Raises:
        NotMeasured: The condition is false.
    """
    if not condition:
        raise NotMeasured(reason)


def _gain_terms(quantity: Quantity, subject: str, baseline: str, times: float) -> list[Term]:
    weight = times * quantity.sign
    return [(weight, quantity, subject), (-weight, quantity, baseline)]
