"""Measures all that the data at hand allows of a classifier, through the store, to keep it as a reference."""

from collections.abc import Mapping, Sequence
from datetime import date

from harness.classifiers.spec import Spec
from harness.errors import DataMissing, HarnessError, NotMeasured
from harness.protocols.needs import Need, benchmark_of
from harness.records.store import RecordStore
from harness.references import QUANTITIES, RecordedFigure, Reference, preprocessing_of
from harness.studies.laboratory import Laboratory
from harness.studies.live import Attacks, LiveStudy
from harness.studies.quantities import Quantity
from harness.studies.study import Provenance
from harness.suite.options import Request
from harness.suite.summary import versions
from harness.verdicts.rules import Figure

_NOT_ATTACKED = "attacks take long; add --attacks to run them"


def record(
    name: str, spec: Spec, request: Request, attacks: Attacks, *, attack: bool
) -> tuple[Reference, dict[str, str]]:
    """Measure a classifier.

    What was measured is in the store, whatever comes after: asked again, it goes on from there.

    Args:
        name: What to call it.
        spec: Which classifier.
        request: Where data and records lie, and how to measure; its device is one that is there.
        attacks: How attacks are run.
        attack: Whether to run them; without, their figures are had where the store has all of their records.

    Returns:
        The reference, and by quantity's key why it has no figure of it.

    Raises:
        NotMeasured: Nothing could be measured; says why.
        HarnessError: The classifier can't be loaded, fails, or data that is there is wrong.
    """
    reasons: dict[str, str] = {}
    asked = _asked(spec, request, attacks, attack, reasons)
    plan = {spec: list(dict.fromkeys(need for quantity in asked.values() for need in attacks.needs(quantity)))}
    laboratory = _laboratory(request, plan)
    tensors = laboratory.tensors(spec)  # before anything dear is done: it may not load
    study = LiveStudy(name, spec, [spec], laboratory, alpha=request.alpha, attacks=attacks)
    figures: dict[str, RecordedFigure] = {}
    for key, quantity in asked.items():
        try:
            figure = study.figure(quantity, spec.text)
            figures[key] = as_recorded(figure, study.provenance(quantity, spec.text), request.alpha)
        except NotMeasured as error:
            reasons[key] = str(error)
    if not figures:
        raise NotMeasured(f"nothing to record of {spec.label}: {'; '.join(dict.fromkeys(reasons.values()))}")
    return Reference(
        name,
        figures,
        "measured now",
        spec.text,
        laboratory.weights_of(spec),
        preprocessing_of(spec.preprocessing),
        tensors,
        versions(),
        date.today().isoformat(),
    ), {key: reasons[key] for key in QUANTITIES if key in reasons}


def _asked(
    spec: Spec, request: Request, attacks: Attacks, attack: bool, reasons: dict[str, str]
) -> dict[str, Quantity]:
    """Give the quantities to measure, and note of the others why not.

    Raises:
        HarnessError: Data that is there is wrong: told before anything is measured.
    """
    laboratory = _laboratory(request, {})
    asked = {}
    for key, quantity in QUANTITIES.items():
        try:
            for need in attacks.needs(quantity):
                laboratory.dataset(benchmark_of(need))
        except DataMissing as error:
            reasons[key] = str(error)
            continue
        if attack or quantity.attack is None or _is_stored(laboratory, spec, attacks, quantity):
            asked[key] = quantity
        else:
            reasons[key] = _NOT_ATTACKED
    return asked


def _is_stored(laboratory: Laboratory, spec: Spec, attacks: Attacks, quantity: Quantity) -> bool:
    """Tell whether the store has all records that a quantity needs."""
    try:
        return all(laboratory.stored(spec, need) >= laboratory.asked(need) for need in attacks.needs(quantity))
    except HarnessError:  # the surrogate's weights are not there to be told by
        return False


def _laboratory(request: Request, plan: Mapping[Spec, Sequence[Need]]) -> Laboratory:
    return Laboratory(request.roots, RecordStore(request.records), request.settings, plan, request.normaliser)


def as_recorded(figure: Figure, provenance: Provenance, alpha: float) -> RecordedFigure:
    """Keep a figure with all that tells whether another one compares with it; specs are told by their labels."""
    protocol = figure.protocol
    for spec, label in provenance.labels.items():
        protocol = protocol.replace(spec, label)
    interval = None if figure.estimate.is_exact else figure.estimate.interval
    return RecordedFigure(
        float(figure.estimate.value),
        int(figure.estimate.images),
        interval,
        None if interval is None else alpha,
        protocol,
        {name: provenance.labels.get(value, value) for name, value in figure.tags.items()},
        provenance.data,
        provenance.settings,
    )
