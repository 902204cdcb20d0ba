"""Whether a classifier's figures are those that were recorded of another: each within a tolerance of its own.

On the very images of the recorded figure, what may lie between the two is rounding alone: by how many images that
changes was measured (`reference/noise_floor.csv`, `docs/noise_floor.py`). On other images of the same kind it is the
draw of the images beside.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean

from harness import recorded
from harness.classifiers.tensors import TensorSummary, differences
from harness.errors import NotMeasured
from harness.protocols.precision import PRECISIONS
from harness.recording import as_recorded
from harness.references import RecordedFigure, Reference
from harness.studies.live import LiveStudy
from harness.studies.quantities import Quantity
from harness.verdicts.rules import Judgement, Verdict, within

RERUN = 0.0009
"""How far a re-run of published figures may come out otherwise, half a printed digit included."""

# By the narrowest type that holds a tensor's numbers, the precision that it has.
_HALVES = {"float16": "fp16", "bfloat16": "bf16"}
# Frames of a sequence, and the transitions between them.
_FRAMES, _TRANSITIONS = 31, 30
# The least that a changed top 5 differs by: two classes that change places.
_LEAST_CHANGES = {"top5_distance": 2, "top5_distance_squared": 4}
# Images that RMS-CE averages over before it squares.
_BIN = 100
# Of stimuli, about how many are asked for one that is decided for its shape or its texture.
_ASKED = 2
# A tolerance as wide as so large a share of the images makes tells hardly anything apart.
_WIDEST = 0.1


@dataclass(frozen=True)
class Likeness:
    """One figure beside the recorded one.

    Attributes:
        quantity: Of what.
        judgement: Whether it is within its tolerance; `undecided` where it is, but that is too wide to tell anything;
            `not_run`, with the reason, where nothing is compared.
        recorded: The recorded figure; None where there is none.
        tolerance: How far from it the figure may lie; None where nothing is compared.
    """

    quantity: Quantity
    judgement: Judgement
    recorded: float | None = None
    tolerance: float | None = None


def compare(
    study: LiveStudy, subject: str, reference: Reference, quantities: Iterable[Quantity], *, alpha: float
) -> list[Likeness]:
    """Hold a classifier's figures against recorded ones, all of them.

    Args:
        study: Where it is measured.
        subject: Which classifier.
        reference: Whose figures.
        quantities: Which figures.
        alpha: How often figures of the same classifier may be told to differ, each.

    Raises:
        HarnessError: A classifier or its data is bad; what is merely not to be had is told in its row.
    """
    weights = rounding(reference.tensors, study.tensors(subject))
    rows = []
    for quantity in quantities:
        known = reference.figures.get(quantity.key)
        try:
            if known is None:
                raise NotMeasured(f"of {reference.name} no such figure is recorded")
            rows.append(_compared(study, subject, known, quantity, alpha, weights))
        except NotMeasured as reason:
            judgement = Judgement(Verdict.NOT_RUN, None, "", None, 0.0, (str(reason),))
            rows.append(Likeness(quantity, judgement, known.value if known else None))
    return rows


def rounding(reference: Sequence[TensorSummary], candidate: Sequence[TensorSummary]) -> str:
    """Tell how coarsely a candidate's weights are rounded beside recorded ones.

    Args:
        reference: Summaries of the recorded tensors; empty where nothing is known of them.
        candidate: Summaries of the candidate's.

    Returns:
        `tf32` for half precision, which has as many bits, `bf16`, or empty for not at all.
    """
    found = differences(reference, candidate)
    precision = found.precision if found.kind == "rounded" else ""  # what else differs must show in the figures
    if found.kind == "unknown":
        types = {each.dtype for each in candidate}
        halves = [precision for kind, precision in _HALVES.items() if kind in types]
        precision = halves[0] if halves and types <= set(_HALVES) else ""
    return {"fp16": "tf32", "bf16": "bf16"}.get(precision, "")


def _compared(
    study: LiveStudy, subject: str, known: RecordedFigure, quantity: Quantity, alpha: float, weights: str
) -> Likeness:
    figure = study.figure(quantity, subject)
    tolerance, why = tolerance_of(
        quantity,
        as_recorded(figure, study.provenance(quantity, subject), alpha),
        known,
        alpha=alpha,
        weights=weights,
        of_same_images=known.images == study.population(quantity) or (not known.data and study.is_published(quantity)),
    )
    judgement = within(figure.as_exact(), known.value, tolerance).because(why)
    if judgement and tolerance > _WIDEST * scale(quantity):
        judgement = judgement.undecided("so wide a tolerance tells hardly anything apart; it takes more images")
    return Likeness(quantity, judgement, known.value, tolerance)


def tolerance_of(
    quantity: Quantity,
    found: RecordedFigure,
    known: RecordedFigure,
    *,
    alpha: float,
    weights: str = "",
    of_same_images: bool,
) -> tuple[float, str]:
    """Tell how far a figure may lie from the recorded one, if it is the same classifier's.

    On the same images, s (z sqrt(f / n) + 1.5 / n): of n images a share f changes by rounding (`noise_floor`), up as
    often as down, and each moves the figure by s / n (`scale`). Coarser rounding of one of the two makes frames of a
    sequence differ more, by `drift`. Beside that, where the images are only drawn from the same ones, the half-widths
    of both intervals; for published figures, what lies between re-runs, and under attack the luck of their random
    targets and starts, z sqrt(2 p (1 - p) / n).

    Args:
        quantity: Of what.
        found: The figure, as it would be recorded.
        known: The recorded figure.
        alpha: How often it may lie farther off, both sides together.
        weights: As coarse as which precision its weights were rounded; empty for not at all.
        of_same_images: Whether as many images were recorded of as there are, or these are a whole published benchmark:
            where it is not recorded which they were, they are then taken for the same.

    Returns:
        The tolerance, in the figure's unit, and what it is made of, in words.

    Raises:
        NotMeasured: The two can't be compared: other images, or another protocol.
    """
    is_published = not known.data
    if is_published and not of_same_images:
        of = f"{known.images:,} images" if known.images else "an unknown number of images"
        raise NotMeasured(
            f"the recorded figure is of {of} of {quantity.benchmark}, and no hash of them is recorded (data), so it is "
            f"only compared with as many, or with the published benchmark; these are {found.images:,} others"
        )
    _require_same(found, known)
    images, z = found.images, NormalDist().inv_cdf(1 - alpha / 2)
    precision = _coarsest((found.settings["precision"], known.settings.get("precision", ""), weights))
    share = noise_floor(noise_of(quantity), precision)
    counted = min(images, _BIN) if quantity.metric == "rms_ce" else images
    tolerance = scale(quantity) * (z * math.sqrt(share / counted) + 1.5 / counted)
    if precision != PRECISIONS[0]:
        tolerance += drift(quantity, precision)
    parts = [f"{precision} rounding of {images:,} images"]
    is_same_seed = known.settings.get("seed") == found.settings["seed"]
    is_same_draw = known.images == images and (is_same_seed or of_same_images)
    if is_published:
        tolerance += RERUN
        parts.append("re-runs")
        if quantity.attack:
            tolerance += z * math.sqrt(2 * known.value * (1 - known.value) / images)
            parts.append("random targets")
    if known.images != images or not (is_published or is_same_draw):
        tolerance += _half_width(found.interval) + _half_width(known.interval)
        parts.append("the draw of the images")
    return tolerance, "tolerance: " + ", ".join(parts)


def noise_floor(noise: str, precision: str) -> float:
    """Give what rounding does to an image, on average: of the classifier that was measured to change most.

    At least what three images of all would be, each by as little as can be, since none of so many may be luck.

    Args:
        noise: `changed` or `changed_top5`, shares of images; `top5_distance` or its square, `top5_distance_squared`;
            `changed_under_attack`, the share of attacked images that come out otherwise.
        precision: `fp32` (other batches and threads), `tf32` or `bf16`.
    """
    rows = [
        row
        for row in recorded.table("noise_floor").values()
        if row.metric == noise and PRECISIONS.index(row.model) <= PRECISIONS.index(precision)
    ]
    images = sum(row.images for row in rows if row.model == precision)
    return max(3 * _LEAST_CHANGES.get(noise, 1) / images, *(row.value for row in rows))


def noise_of(quantity: Quantity) -> str:
    """Name what rounding does to images that moves a figure, see `noise_floor`."""
    if quantity.attack:
        return "changed_under_attack"
    if quantity.metric in ("mean_top5_distance", "mt5d"):
        return "top5_distance_squared"
    return "changed_top5" if quantity.metric in ("shape_in_top5", "texture_in_top5") else "changed"


def drift(quantity: Quantity, precision: str) -> float:
    """Tell by how much a metric of sequences rises at most where frames change by coarser rounding; 0 for others.

    A frame that changes by itself adds two flips, and its own distance to both distances that it has a part in.
    """
    if quantity.metric == "mfr":
        flips = recorded.alexnet_flip_probabilities().values()
        return 2 * noise_floor("changed", precision) * fmean(1 / flip for flip in flips)
    if quantity.metric == "mt5d":
        distances = recorded.alexnet_top5_distances().values()
        return 2 * noise_floor("top5_distance", precision) * fmean(1 / distance for distance in distances)
    return 2 * noise_floor("top5_distance", precision) if quantity.metric == "mean_top5_distance" else 0.0


def scale(quantity: Quantity) -> float:
    """Tell by how much an image's change moves a figure, where it moves a share of images by one.

    Metrics that are divided by AlexNet's go by the root mean square of what they are multiplied with; twice for rel.
    mCE, whose clean error changes beside. Each of a sequence's 31 frames has a part in two of its 30 transitions. Shape
    bias is of the half of all stimuli that are decided, and AURRA of means from the most confident image on: the square
    root of two.
    """
    errors, clean = recorded.alexnet_corruption_errors().values(), recorded.alexnet_clean_error()
    sequence = math.sqrt(_FRAMES) * 2 / _TRANSITIONS
    if quantity.metric == "mt5d":
        return sequence * _root_mean_square(1 / each for each in recorded.alexnet_top5_distances().values())
    scales: Mapping[str, float] = {
        "mce": _root_mean_square(1 / error for error in errors),
        "rel_mce": 2 * _root_mean_square(1 / (error - clean) for error in errors),
        "mfr": sequence * _root_mean_square(1 / flip for flip in recorded.alexnet_flip_probabilities().values()),
        "mean_top5_distance": sequence,
        "shape_bias": float(_ASKED),
        "aurra": math.sqrt(2),
    }
    return scales.get(quantity.metric, 1.0)


_IN_TABLE = {
    Verdict.HOLDS: "within",
    Verdict.FAILS: "OUTSIDE",
    Verdict.UNDECIDED: "undecided",
    Verdict.NOT_RUN: "not compared",
}


def table(rows: Sequence[Likeness]) -> list[str]:
    """Lay all figures out beside the recorded ones, in a table for a terminal."""
    told = [f"{'figure':40}{'recorded':>12}{'got':>12}{'tolerance':>12}{'images':>11}"]
    for row in rows:
        figure = row.judgement.figure

        def cell(number: float | None, percent: bool = row.quantity.percent) -> str:
            return "-" if number is None else f"{100 * number:.2f} %" if percent else f"{number:.4f}"

        numbers = (row.recorded, figure.estimate.value if figure else None, row.tolerance)
        images = f"{figure.estimate.images:,}" if figure else "-"
        verdict = _IN_TABLE[row.judgement.verdict]
        line = f"{row.quantity.key:40}" + "".join(f"{cell(number):>12}" for number in numbers) + f"{images:>11}"
        told.append(f"{line}  {verdict}" + (f": {row.judgement.reason}" if figure is None else ""))
    return told


def _require_same(found: RecordedFigure, known: RecordedFigure) -> None:
    """See that a figure and a recorded one are of the same data and protocol, as far as that was recorded.

    Raises:
        NotMeasured: They are not.
    """
    if differs := [name for name in found.tags if known.tags.get(name, found.tags[name]) != found.tags[name]]:
        told = "; ".join(f"{name} {known.tags[name]}, and of this one {found.tags[name]}" for name in differs)
        raise NotMeasured(f"the attack of the recorded figure is another: {told}")
    if not known.data:
        return
    if other := [name for name, listing in found.data.items() if known.data.get(name) != listing]:
        raise NotMeasured(f"the recorded figure is of other images of {', '.join(other)}")
    now, then = (_how(protocol) for protocol in (found.protocol, known.protocol))
    if now != then:
        raise NotMeasured(f"the recorded figure was measured otherwise: {then}, and this one: {now}")


def _how(protocol: str) -> str:
    """Strip a protocol of its precision and seed, which are looked at apart."""
    return protocol.rpartition(", seed ")[0].rpartition(", ")[0] or protocol


def _coarsest(precisions: Iterable[str]) -> str:
    return max((each for each in precisions if each), key=PRECISIONS.index)


def _half_width(interval: tuple[float, float] | None) -> float:
    return (interval[1] - interval[0]) / 2 if interval else 0.0


def _root_mean_square(numbers: Iterable[float]) -> float:
    return math.sqrt(fmean(number**2 for number in numbers))
