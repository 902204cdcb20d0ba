"""What tables and charts are made of: a study's figures and the records behind them, read and never measured."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness import recorded
from harness.classifiers.spec import label_of
from harness.errors import HarnessError, NotMeasured
from harness.metrics.corruption import CORRUPTIONS, SEVERITIES
from harness.scores import Sample
from harness.studies.live import LiveStudy
from harness.studies.published import AS_PUBLISHED, PublishedStudy
from harness.studies.quantities import IMAGENET_TOP1, MCE, MFR, Quantity
from harness.studies.study import BASELINE, WSL, Study, is_quoted, quoted
from harness.verdicts.rules import Figure

ADVERSARIAL = "Denoising (ResNet-152)"
"""The paper's row of a classifier that was trained against attacks: what Figure 1 is held against."""


@dataclass(frozen=True)
class Person:
    """A classifier of a study.

    Attributes:
        subject: What verdicts call it: a spec as typed, or a name of the paper's.
        label: A short name.
        plays: Whose part of the paper's it plays, itself included; empty for nobody's.
    """

    subject: str
    label: str
    plays: str = ""

    @property
    def is_the_papers(self) -> bool:
        """Whether it is the paper's own classifier, so that its figures and the printed ones are of one thing."""
        return self.subject == self.plays

    @property
    def is_own(self) -> bool:
        """Whether it is one of the study's, and not a recorded one that others are compared with."""
        return self.subject != AS_PUBLISHED


@dataclass(frozen=True)
class Confidences:
    """What a classifier said of ImageNet-A's images.

    Attributes:
        confidence: (n,) probability of the class that it chose.
        correct: (n,) whether it chose rightly.
    """

    confidence: NDArray[np.floating]
    correct: NDArray[np.bool_]


@dataclass
class Evidence:
    """What is known of a study.

    Attributes:
        study: Its name.
        people: Its classifiers, the baseline first.
        reference: The classifier in it that was trained against attacks; None for none.
        figures: By classifier and key of a quantity, the figure.
        corruption_errors: By classifier, the error of each corruption over its severities.
        severity_errors: By classifier, the mean error at each of the five severities.
        flip_probabilities: By classifier, the flip probability of each perturbation.
        confidences: By classifier, what it said of ImageNet-A.
    """

    study: str
    people: tuple[Person, ...]
    reference: Person | None = None
    figures: dict[tuple[str, str], Figure] = field(default_factory=dict)
    corruption_errors: dict[str, Mapping[str, float]] = field(default_factory=dict)
    severity_errors: dict[str, Sequence[float]] = field(default_factory=dict)
    flip_probabilities: dict[str, Mapping[str, float]] = field(default_factory=dict)
    confidences: dict[str, Confidences] = field(default_factory=dict)

    def figure(self, person: Person, quantity: Quantity) -> Figure | None:
        """Give a classifier's figure; None where there is none."""
        return self.figures.get((person.subject, quantity.key))

    def printed(self, person: Person, quantity: Quantity) -> float | None:
        """Give what the paper prints of whom a classifier plays; None where it prints nothing."""
        if not (person.plays and _is_printed_form(quantity)):
            return None
        try:
            return quoted(quantity, person.plays).estimate.value
        except NotMeasured:
            return None


def gather(study: Study, quantities: Iterable[Quantity]) -> Evidence:
    """Read what a study knows of its classifiers; what it does not know is left out.

    Args:
        study: One that measures nothing any more.
        quantities: Of which figures are wanted.
    """
    people = _people(study)
    evidence = Evidence(study.name, people, _reference(study))
    everyone = [*people, *([evidence.reference] if evidence.reference else [])]
    for person in everyone:
        for quantity in quantities:
            # What the paper quotes of clean accuracy is no figure beside itself: an independent measurement is.
            give = study.exact if study.name == PublishedStudy.name and quantity == IMAGENET_TOP1 else study.figure
            with suppress(HarnessError):
                evidence.figures[person.subject, quantity.key] = give(quantity, person.subject)
    for person in filter(lambda each: each.is_own, people):
        who = person.subject
        if _has(evidence, person, MCE):
            with suppress(HarnessError):
                evidence.corruption_errors[who] = study.corruption_errors(who)
        if _has(evidence, person, MFR):
            with suppress(HarnessError):
                evidence.flip_probabilities[who] = study.flip_probabilities(who)
        if isinstance(study, LiveStudy):
            with suppress(HarnessError):
                evidence.severity_errors[who] = _by_severity(study.sample("imagenet-c", who))
            with suppress(HarnessError):
                sample = study.sample("imagenet-a", who)
                evidence.confidences[who] = Confidences(sample["confidence"], sample["correct"])
    return evidence


def clean_accuracy(evidence: Evidence, person: Person) -> float | None:
    """Give a classifier's accuracy on unperturbed photographs; None where it is not known."""
    figure = evidence.figure(person, IMAGENET_TOP1)
    return figure.estimate.value if figure else None


def quoted_rows() -> list[Person]:
    """Give the rows that the paper's tables quote from others, which claims hold its classifiers against."""
    rows = dict.fromkeys(row for row, _, _ in recorded.table("paper_tables") if is_quoted(row))
    return [Person(row, row, row) for row in rows]


def _people(study: Study) -> tuple[Person, ...]:
    parts: dict[str, str] = {}
    for row in (BASELINE, *WSL):
        with suppress(NotMeasured):
            parts.setdefault(study.player(row), row)
    if study.baseline == AS_PUBLISHED:
        parts[AS_PUBLISHED] = BASELINE
    asked = dict.fromkeys((study.baseline, *study.subjects))
    return tuple(Person(subject, label_of(subject), parts.get(subject, "")) for subject in asked)


def _reference(study: Study) -> Person | None:
    try:
        subject = study.player(ADVERSARIAL)
    except NotMeasured:
        subject = ADVERSARIAL
    return Person(subject, label_of(subject), ADVERSARIAL)


def _has(evidence: Evidence, person: Person, quantity: Quantity) -> bool:
    return evidence.figure(person, quantity) is not None


def _by_severity(sample: Sample) -> list[float]:
    """Average errors on ImageNet-C at each severity over the corruptions of which there are images."""
    severity = sample["cell"] % len(SEVERITIES)
    corruption = sample["cell"] // len(SEVERITIES)
    wrong = ~sample["correct"]
    means = []
    for place in range(len(SEVERITIES)):
        here = severity == place
        errors = [wrong[here & (corruption == each)] for each in range(len(CORRUPTIONS))]
        if not all(map(len, errors)):
            raise NotMeasured(f"some corruption has no image at severity {SEVERITIES[place]}")
        means.append(float(np.mean([each.mean() for each in errors])))
    return means


def _is_printed_form(quantity: Quantity) -> bool:
    return quantity.attack is None or quantity.attack.form == "published"
