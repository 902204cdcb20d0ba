"""The charts of the report, drawn by matplotlib: each one SVG for the page, which takes the page's ink, and one PNG."""

import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.metrics.corruption import CORRUPTIONS, SEVERITIES
from harness.metrics.perturbation import PERTURBATIONS
from harness.report.evidence import Confidences, Evidence, Person, clean_accuracy
from harness.studies.quantities import EPSILONS, STEPS, Quantity, transfer_accuracy, whitebox_accuracy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's, which the colour-blind can tell apart, those that are seen on white and on black.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8A7F00", "#7F7F7F")
_MARKERS = "osD^vPX*"
_REFERENCE = "#7F7F7F"
# What stands for the page's ink while matplotlib draws, and is replaced by `currentColor`.
_INK = "#010203"
_SIZE = (5.2, 3.6)
_BINS = 10

Draw = Callable[["Axes"], None]


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        name: Of its files, and of its place in the page.
        title: Above it.
        caption: What is seen, how to read it.
        alternative: Its numbers in words, for who can't see it.
        svg: For the page: no size of its own, ink is `currentColor`.
        png: For elsewhere.
    """

    name: str
    title: str
    caption: str
    alternative: str
    svg: str
    png: bytes


def charts(evidence: Evidence, published: Evidence | None = None) -> list[Chart]:
    """Draw all charts of which a study knows something.

    Args:
        evidence: The study's.
        published: The author's results, which curves of the paper's own classifiers are held against; None for none.
    """
    found: list[Chart | None] = []
    for form in ("published", "standard"):
        found += [_figure1(evidence, published, form, part) for part in "abc"]
    found += [_by_corruption(evidence), _by_severity(evidence), _by_perturbation(evidence)]
    found += [_reliability(evidence), _response_rate(evidence)]
    return [chart for chart in found if chart]


def images_to_verdict(entries: Iterable[Mapping[str, Any]]) -> Chart | None:
    """Draw on how many images each verdict rests, a row a claim; None where none rests on drawn or measured images."""
    shown = [entry for entry in entries if entry["images"] and entry["verdict"] in ("holds", "fails", "undecided")]
    claims = list(dict.fromkeys(entry["claim"] for entry in shown))
    if not claims:
        return None
    looks = {"holds": (_COLOURS[2], "o"), "fails": (_COLOURS[1], "X"), "undecided": (_COLOURS[4], "D")}
    alike = Counter((entry["verdict"], entry["claim"], entry["images"]) for entry in shown)

    def row(claim: str, verdict: str) -> float:
        """Give where a claim's verdicts of one kind lie: beside those of another kind."""
        kinds = [each for each in looks if any((kind, name) == (each, claim) for kind, name, _ in alike)]
        return claims.index(claim) + 0.3 * (kinds.index(verdict) - (len(kinds) - 1) / 2)

    def draw(axes: "Axes") -> None:
        for verdict, (colour, marker) in looks.items():
            own = [(images, row(claim, said), n) for (said, claim, images), n in alike.items() if said == verdict]
            if own:
                images, rows, counts = map(np.array, zip(*own, strict=True))
                sizes = np.minimum(8 + 5 * np.sqrt(counts), 40)
                axes.scatter(images, rows, s=sizes, c=colour, marker=marker, label=verdict, alpha=0.75, linewidth=0)
        axes.set_ylim(-0.7, len(claims) - 0.3)
        axes.set_xscale("log")
        axes.set_yticks(range(len(claims)), claims, fontsize=7)
        axes.invert_yaxis()
        axes.set_xlabel("images that the verdict rests on")
        axes.grid(alpha=0.25)
        axes.legend(fontsize=7, loc="best")

    words = "; ".join(
        f"{claim}: {_span([entry['images'] for entry in shown if entry['claim'] == claim])}" for claim in claims
    )
    height = max(2.4, 0.19 * len(claims) + 1.1)
    is_drawn = any(entry["is_drawn"] for entry in shown)
    return _chart(
        "images_to_verdict",
        "Images to each verdict",
        "On how many images each verdict rests, a row a claim; larger where several verdicts rest on as many"
        + (
            ". Fewer means that the claim was cheap to decide."
            if is_drawn
            else ". --decide looks at as many as it takes."
        ),
        f"Images by claim. {words}.",
        draw,
        (_SIZE[0], height),
    )


def trend(lines: Sequence[Mapping[str, Any]]) -> Chart | None:
    """Draw how many claims held, failed, were undecided and not run, run by run; None for fewer than two runs."""
    if len(lines) < 2:
        return None
    looks = {"holds": _COLOURS[2], "fails": _COLOURS[1], "undecided": _COLOURS[4], "not_run": _COLOURS[7]}

    def draw(axes: "Axes") -> None:
        runs = range(1, len(lines) + 1)
        for (verdict, colour), marker in zip(looks.items(), _MARKERS, strict=False):
            counts = [line["totals"].get(verdict, 0) for line in lines]
            axes.plot(runs, counts, marker=marker, markersize=4, color=colour, label=verdict.replace("_", " "))
        axes.set_xlabel("run")
        axes.set_ylabel("verdicts")
        axes.set_ylim(bottom=0)
        axes.set_xticks([run for run in runs if len(lines) <= 12 or run % (len(lines) // 6) == 1])
        axes.grid(alpha=0.25)
        axes.legend(fontsize=7)

    words = "; ".join(
        f"run {place} ({line['time']}): "
        + ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in line["totals"].items())
        for place, line in enumerate(lines, 1)
    )
    return _chart(
        "trend", "Verdicts run by run", "All runs that reported into this folder, oldest first.", words, draw, _SIZE
    )


def _figure1(evidence: Evidence, published: Evidence | None, form: str, part: str) -> Chart | None:
    """Draw one part of Figure 1: accuracy over eps, transferred (a) or white-box (b), or over steps (c)."""
    asked: dict[float, Quantity]
    if part == "a":
        asked = {eps: transfer_accuracy(eps, form) for eps in EPSILONS}
        title, axis = "transferred attack", "eps"
    elif part == "b":
        asked = {eps: whitebox_accuracy(eps, 10, form) for eps in EPSILONS}
        title, axis = "white-box, 10 steps", "eps"
    else:
        asked = {float(steps): whitebox_accuracy(0.06, steps, form) for steps in STEPS}
        title, axis = "white-box, eps 0.06", "PGD steps"
    curves = {person: _curve(evidence, person, asked) for person in evidence.people}
    curves = {person: curve for person, curve in curves.items() if curve}
    if axis == "eps":
        curves = {person: _from_clean(evidence, person, curve) for person, curve in curves.items()}
    figures = [evidence.figure(person, quantity) for person in curves for quantity in asked.values()]
    images = [figure.estimate.images for figure in figures if figure]
    places = [0.0, *asked] if axis == "eps" else list(asked)
    if not any(person.is_own for person in curves):
        return None
    papers = {}
    if published and published is not evidence and form == "published":
        own = {person.subject: person for person in published.people}
        twins = {person: own.get(person.subject) for person in curves if person.is_the_papers}
        papers = {person: _curve(published, twin, asked) for person, twin in twins.items() if twin}
    reference = evidence.reference
    beside = _curve(evidence, reference, asked) if reference else {}
    in_words = {**curves, reference: beside} if reference and beside else curves

    def draw(axes: "Axes") -> None:
        for place, (person, curve) in enumerate(curves.items()):
            # No line is drawn over a place where nothing is known.
            _line(axes, place, person.label, {at: curve.get(at, float("nan")) for at in places})
            if paper := papers.get(person):
                axes.plot(
                    list(paper), [100 * value for value in paper.values()], color=_colour(place), linestyle=":",
                    linewidth=1.4,
                )  # fmt: skip
        if beside and reference:
            axes.plot(
                list(beside), [100 * value for value in beside.values()], color=_REFERENCE, linestyle="--",
                marker="*", markersize=8, label=f"{reference.label}, trained against attacks",
            )  # fmt: skip
        axes.set_xlabel(axis)
        axes.set_ylabel("top-1 accuracy in %")
        axes.set_ylim(0, max(1.0, axes.get_ylim()[1]))
        axes.grid(alpha=0.25)
        axes.legend(fontsize=6.5)

    dotted = " Dotted: the author's published results." if any(papers.values()) else ""
    at_zero = " At eps 0: clean accuracy." if axis == "eps" else ""
    return _chart(
        f"figure1{part}_{form}_{evidence.study}",
        f"Figure 1{part}: {title} ({form} form)",
        f"Accuracy over {axis}, study {evidence.study}. Each point rests on {_span(images)} images.{at_zero}{dotted}",
        _in_words({person.label: curve for person, curve in in_words.items()}, axis),
        draw,
        _SIZE,
    )


def _curve(evidence: Evidence, person: Person, asked: Mapping[float, Quantity]) -> dict[float, float]:
    found = {at: evidence.figure(person, quantity) for at, quantity in asked.items()}
    return {at: figure.estimate.value for at, figure in found.items() if figure}


def _from_clean(evidence: Evidence, person: Person, curve: dict[float, float]) -> dict[float, float]:
    """Let a curve over eps begin with clean accuracy, where that is known."""
    clean = clean_accuracy(evidence, person)
    return curve if clean is None else {0.0: clean, **curve}


def _by_corruption(evidence: Evidence) -> Chart | None:
    return _bars(
        evidence,
        evidence.corruption_errors,
        CORRUPTIONS,
        "corruptions",
        "ImageNet-C, error by corruption",
        "Mean error over the five severities of each corruption; shorter is better.",
        "error in %",
    )


def _by_severity(evidence: Evidence) -> Chart | None:
    names = [f"severity {severity}" for severity in SEVERITIES]
    values = {who: dict(zip(names, means, strict=True)) for who, means in evidence.severity_errors.items()}
    return _bars(
        evidence,
        values,
        names,
        "severities",
        "ImageNet-C, error by severity",
        "Mean error over the 15 corruptions at each severity; shorter is better.",
        "error in %",
    )


def _by_perturbation(evidence: Evidence) -> Chart | None:
    return _bars(
        evidence,
        evidence.flip_probabilities,
        PERTURBATIONS,
        "perturbations",
        "ImageNet-P, flip probability by perturbation",
        "How often the predicted class changes from frame to frame; shorter is better.",
        "flip probability in %",
    )


def _bars(
    evidence: Evidence,
    values: Mapping[str, Mapping[str, float]],
    names: Sequence[str],
    kind: str,
    title: str,
    caption: str,
    unit: str,
) -> Chart | None:
    people = [person for person in evidence.people if person.subject in values]
    if not people:
        return None

    def draw(axes: "Axes") -> None:
        thick = 0.8 / len(people)
        middle = np.arange(len(names))
        for place, person in enumerate(people):
            own = [100 * values[person.subject][name] for name in names]
            offset = (place - (len(people) - 1) / 2) * thick
            axes.barh(middle + offset, own, thick * 0.92, color=_colour(_place(evidence, person)), label=person.label)
        axes.set_yticks(middle, [name.replace("_", " ") for name in names], fontsize=7.5)
        axes.invert_yaxis()
        axes.set_xlabel(unit)
        axes.grid(axis="x", alpha=0.25)
        axes.legend(fontsize=6.5, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)

    words = _in_words({person.label: values[person.subject] for person in people}, "")
    height = max(2.6, len(names) * (0.1 + 0.075 * len(people)) + 1.2)
    return _chart(
        f"{kind}_{evidence.study}", title, f"{caption} Study {evidence.study}.", words, draw, (_SIZE[0], height)
    )


def _reliability(evidence: Evidence) -> Chart | None:
    people = [person for person in evidence.people if person.subject in evidence.confidences]
    if not people:
        return None
    points = {person: reliability(evidence.confidences[person.subject]) for person in people}

    def draw(axes: "Axes") -> None:
        axes.plot([0, 100], [0, 100], color=_INK, linewidth=0.8, linestyle="--")
        for person in people:
            _line(axes, _place(evidence, person), person.label, dict(points[person]), times=100)
        axes.set_xlabel("mean confidence in %")
        axes.set_ylabel("accuracy in %")
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 100)
        axes.grid(alpha=0.25)
        axes.legend(fontsize=6.5)

    return _chart(
        f"reliability_{evidence.study}",
        "ImageNet-A, reliability diagram",
        f"Accuracy against confidence in {_BINS} bins of equally many images; on the dashed line confidence is "
        f"justified, below it there is too much. Study {evidence.study}.",
        _in_words({person.label: dict(points[person]) for person in people}, "confidence"),
        draw,
        _SIZE,
    )


def reliability(known: Confidences) -> list[tuple[float, float]]:
    """Give (mean confidence, accuracy) in ten bins of equally many images, least confident first; fewer if few."""
    order = np.argsort(known.confidence, kind="stable")
    bins = [part for part in np.array_split(order, _BINS) if len(part)]
    return [(float(known.confidence[part].mean()), float(known.correct[part].mean())) for part in bins]


def response_rates(known: Confidences, points: int = 100) -> list[tuple[float, float]]:
    """Give (response rate, accuracy on the most confident images), AURRA's curve, at up to so many rates."""
    order = np.argsort(-known.confidence, kind="stable")
    images = len(order)
    hits = np.cumsum(known.correct[order])
    answered = np.unique(np.ceil(np.linspace(1, images, min(points, images))).astype(int))
    return [(int(count) / images, float(hits[count - 1] / count)) for count in answered]


def _response_rate(evidence: Evidence) -> Chart | None:
    people = [person for person in evidence.people if person.subject in evidence.confidences]
    if not people:
        return None
    points = {person: response_rates(evidence.confidences[person.subject]) for person in people}

    def draw(axes: "Axes") -> None:
        for person in people:
            rates, accuracies = zip(*points[person], strict=True)
            axes.plot(
                [100 * rate for rate in rates], [100 * accuracy for accuracy in accuracies],
                color=_colour(_place(evidence, person)), label=person.label,
            )  # fmt: skip
        axes.set_xlabel("response rate in %")
        axes.set_ylabel("accuracy in %")
        axes.set_xlim(0, 100)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.25)
        axes.legend(fontsize=6.5)

    tenths = {person.label: dict(points[person][9::10]) for person in people}
    return _chart(
        f"response_rate_{evidence.study}",
        "ImageNet-A, accuracy by response rate",
        f"Accuracy on the most confident images, if the classifier answers for no others; the area below is AURRA. "
        f"Study {evidence.study}.",
        _in_words(tenths, "response rate"),
        draw,
        _SIZE,
    )


def _line(axes: "Axes", place: int, label: str, points: Mapping[float, float], times: float = 1) -> None:
    axes.plot(
        [times * at for at in points],
        [100 * value for value in points.values()],
        color=_colour(place),
        marker=_MARKERS[place % len(_MARKERS)],
        markersize=4,
        label=label,
    )


def _place(evidence: Evidence, person: Person) -> int:
    return evidence.people.index(person)


def _colour(place: int) -> str:
    return _COLOURS[place % len(_COLOURS)]


def _in_words(curves: Mapping[str, Mapping[Any, float]], axis: str) -> str:
    """Say a chart's numbers, in percent."""
    parts = []
    for label, curve in curves.items():
        points = ", ".join(
            f"{100 * value:.1f} % at {axis + ' ' if axis else ''}{_short(at)}" for at, value in curve.items()
        )
        parts.append(f"{label}: {points}")
    return "; ".join(parts) + "."


def _short(at: object) -> str:
    return f"{at:.3g}" if isinstance(at, float) else str(at).replace("_", " ")


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _chart(name: str, title: str, caption: str, alternative: str, draw: Draw, size: tuple[float, float]) -> Chart:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    ink = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    settings: dict[str, Any] = {
        "svg.hashsalt": name,  # what is in a picture is named differently in each, and the same in each run
        "svg.fonttype": "none",
        "font.size": 8.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.framealpha": 0.0,
        **dict.fromkeys(ink, _INK),
    }
    with matplotlib.rc_context(settings):  # type: ignore[arg-type]
        figure = _figure(draw, size)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        image = io.BytesIO()
        figure.set_layout_engine("none")  # it has its layout, which takes as long as drawing
        FigureCanvasAgg(figure)
        figure.savefig(image, format="png", dpi=160, facecolor="white")
    return Chart(name, title, caption, alternative, _inline(text.getvalue(), name, title), image.getvalue())


def _figure(draw: Draw, size: tuple[float, float]) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    draw(figure.subplots())
    return figure


def _inline(svg: str, name: str, title: str) -> str:
    """Make a file of SVG part of a page: its width is its place's, its ink the page's, its names its own."""
    drawing = svg[svg.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", drawing, count=1)
    drawing = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", drawing, count=1)
    drawing = drawing.replace(_INK, "currentColor")
    # Groups are named alike in every picture (axes_1, text_3), and nothing refers to them.
    drawing = re.sub(r'<g id="[^"]*"', "<g", drawing)
    label = title.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return drawing.replace("<svg", f'<svg role="img" aria-label="{label}" aria-describedby="words-{name}"', 1)
