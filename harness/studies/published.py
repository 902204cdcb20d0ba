"""The study `published`: the paper's tables recomputed from the author's published raw results. Instant, exact."""

from collections.abc import Sequence
from dataclasses import replace

from harness import recorded
from harness.errors import NotMeasured
from harness.metrics import corruption, perturbation
from harness.protocols.attacks import SURROGATE
from harness.studies.quantities import IMAGENET_TOP1, Quantity
from harness.studies.study import BASELINE, WSL, Study, Term, is_quoted, quoted
from harness.verdicts.estimates import Estimate
from harness.verdicts.rules import Figure

# How the author's runs came by their figures; attacks describe themselves.
PROTOCOLS = {
    "mce": "published: 15 corruptions x 5 severities, no resize, normalised by AlexNet",
    "rel_mce": "published: as mCE, with the clean accuracies that the paper quotes from the model card",
    "mfr": "published: 10 perturbations, difficulty 1, normalised by AlexNet",
    "mt5d": "published: 10 perturbations, difficulty 1, normalised by AlexNet's distances as pinned",
    "mean_top5_distance": "published: 10 perturbations, difficulty 1, mean top-5 distance, 0 to 15",
    "shape_bias": "published: argmax over the 207 classes of the 16 categories",
    "imagenet_a_top1": "published: argmax over the 200 classes",
    "rms_ce": "published: bins of 100, the most confident bin dropped",
    "aurra": "published: softmax over the 200 classes",
}


AS_PUBLISHED = f"published {BASELINE}"
"""The paper's baseline by its recorded figures, where a classifier that is measured is compared with it."""


class PublishedStudy(Study):
    """The paper's classifiers, by the author's raw results; rows that the paper quotes, as it prints them."""

    name = "published"
    baseline = BASELINE
    subjects = WSL
    surrogate = SURROGATE

    def figure(self, quantity: Quantity, subject: str) -> Figure:
        """Give a classifier's figure, recomputed where the metric is an aggregate of raw results."""
        if quantity.metric == "imagenet_top1" or is_quoted(subject):
            return quoted(quantity, subject)
        attack = quantity.attack
        if attack and attack.form != "published":
            raise NotMeasured("the author ran attacks in the published form only")
        return Figure(
            quantity.metric,
            quantity.title,
            quantity.where,
            subject,
            Estimate.exact(self._recompute(quantity, subject), quantity.published_images),
            attack.describe(quantity.steps) if attack else PROTOCOLS[quantity.metric],
            quantity.percent,
            attack.tags.as_words() if attack else {},
        )

    def combine(self, terms: Sequence[Term]) -> Estimate:
        """Sum up exact figures."""
        figures = [self.figure(quantity, subject).estimate for _, quantity, subject in terms]
        value = sum(weight * figure.value for (weight, _, _), figure in zip(terms, figures, strict=True))
        return Estimate.exact(value, min(figure.images for figure in figures))

    def exact(self, quantity: Quantity, subject: str) -> Figure:
        """Give a figure to hold against a printed one.

        The paper quotes its clean accuracies, so what is held against them is an independent measurement.
        """
        if quantity.metric != "imagenet_top1":
            return self.figure(quantity, subject)
        row = recorded.find("independent_measurements", subject, quantity.metric)
        estimate = Estimate.exact(row.value, row.images)
        return replace(quoted(quantity, subject), estimate=estimate, protocol=f"measured by {row.source}")

    def corruption_errors(self, subject: str) -> dict[str, float]:
        """Give the author's error of each corruption, averaged over severities."""
        return recorded.by_condition("author_results", subject, "corruption_error")

    def flip_probabilities(self, subject: str) -> dict[str, float]:
        """Give the author's flip probability of each perturbation."""
        return recorded.by_condition("author_results", subject, "flip_probability")

    def _recompute(self, quantity: Quantity, subject: str) -> float:
        if quantity.metric == "mce":
            return corruption.mce(self.corruption_errors(subject), recorded.alexnet_corruption_errors())
        if quantity.metric == "rel_mce":
            return corruption.relative_mce(
                self.corruption_errors(subject),
                1 - quoted(IMAGENET_TOP1, subject).estimate.value,
                recorded.alexnet_corruption_errors(),
                recorded.alexnet_clean_error(),
            )
        if quantity.metric == "mfr":
            return perturbation.mfr(self.flip_probabilities(subject), recorded.alexnet_flip_probabilities())
        if quantity.metric in ("mt5d", "mean_top5_distance"):
            distances = recorded.by_condition("author_results", subject, "top5_distance")
            if quantity.metric == "mt5d":
                return perturbation.mt5d(distances, recorded.alexnet_top5_distances())
            return perturbation.mean_top5_distance(distances)
        return recorded.find("author_results", subject, quantity.metric, quantity.condition).value


def is_recorded(row: str) -> bool:
    """Whether a name is a row of recorded figures: one that the paper quotes, or its baseline as published."""
    return row == AS_PUBLISHED or is_quoted(row)


def recorded_figure(quantity: Quantity, row: str) -> Figure:
    """Give a recorded row's figure.

    Raises:
        NotMeasured: There is none.
    """
    if row != AS_PUBLISHED:
        return quoted(quantity, row)
    try:
        return replace(PublishedStudy().figure(quantity, BASELINE), subject=row)
    except NotMeasured as reason:
        raise NotMeasured(f"{reason}; --baseline SPEC compares with a classifier that is measured") from None
