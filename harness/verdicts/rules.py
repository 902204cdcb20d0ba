"""The decisions that claims are made of: each takes figures and gives a judgement with its evidence.

A judgement holds only if the whole interval is on the right side, fails only if the whole interval is on the
wrong side, and is undecided otherwise.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from harness.verdicts.estimates import Estimate


class Verdict(StrEnum):
    """What can be said of a claim."""

    HOLDS = "holds"
    FAILS = "fails"
    UNDECIDED = "undecided"
    NOT_RUN = "not_run"


def in_unit(number: float, *, percent: bool) -> str:
    """Print a number to four digits, a fraction in percent."""
    return f"{100 * number + 0.0:.4g} %" if percent else f"{number:.4g}"


@dataclass(frozen=True, repr=False)
class Figure:
    """A measured or recorded number, with all that a reader needs to weigh it.

    Attributes:
        metric: The metric's key, e.g. `mce`.
        title: The metric in words, e.g. `mCE`.
        where: The place of the paper that it belongs to, e.g. `Table 1`.
        subject: Which classifier.
        estimate: The number with its interval.
        protocol: How it was measured, in words.
        percent: Whether it is printed in percent.
        tags: What of it must be equal for two figures to be compared, e.g. whether an attack was targeted.
    """

    metric: str
    title: str
    where: str
    subject: str
    estimate: Estimate
    protocol: str
    percent: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"{self.title} of {self.subject}: {self.text()}"

    @property
    def width(self) -> float:
        """Length of the figure's interval."""
        return self.estimate.high - self.estimate.low

    def as_exact(self) -> "Figure":
        """Give the figure without its interval, for questions in which sampling has no part."""
        return replace(self, estimate=Estimate.exact(self.estimate.value, self.estimate.images))

    def interval(self) -> str:
        """Print the interval in the metric's unit."""
        return _interval(self, self.estimate)

    def unlike(self, other: "Figure") -> str:
        """Say in which tags another figure differs; empty where the two can be compared."""
        names = [name for name in {**self.tags, **other.tags} if self.tags.get(name) != other.tags.get(name)]
        return "; ".join(f"{name} {self.tags.get(name, 'no')} against {other.tags.get(name, 'no')}" for name in names)

    def text(self, value: float | None = None) -> str:
        """Print a number, this figure's own by default, in its metric's unit."""
        number = self.estimate.value if value is None else value
        return in_unit(number, percent=self.percent)


@dataclass(frozen=True, repr=False)
class Comparison:
    """Two figures of one metric, and their difference, first minus second, paired where both saw the same images.

    Attributes:
        first: One figure.
        second: The other.
        difference: First minus second.
        note: What a reader of a verdict on it must know, such as that the two were measured in different ways.
    """

    first: Figure
    second: Figure
    difference: Estimate
    note: str = ""

    def __repr__(self) -> str:
        return f"({self.first!r}, {self.second!r})"

    def as_exact(self) -> "Comparison":
        """Give the comparison without intervals, for questions in which sampling has no part."""
        return Comparison(
            self.first.as_exact(),
            self.second.as_exact(),
            Estimate.exact(self.difference.value, self.difference.images),
            self.note,
        )

    def gap(self) -> Figure:
        """Give the difference as a figure of the first one's subject."""
        first, second = self.first, self.second
        other = second.title if second.subject == f"its {second.title}" else second.subject
        return replace(first, title=f"{first.title} less {other}", estimate=self.difference)


@dataclass(frozen=True, repr=False)
class Judgement:
    """A verdict with its evidence; true exactly if the claim holds.

    Attributes:
        verdict: What can be said.
        figure: The figure judged; None where none could be had.
        relation: What the claim needs, e.g. `< 66.65 %`.
        bound: The number that the figure was held against.
        margin: How far on the right side it is, in the metric's units; negative where the claim fails.
        reason: Why there is no verdict, or what a reader must know beside it.
    """

    verdict: Verdict
    figure: Figure | None
    relation: str
    bound: float | None
    margin: float
    reason: str = ""

    def __bool__(self) -> bool:
        return self.verdict is Verdict.HOLDS

    def __str__(self) -> str:
        if self.figure is None:
            return self.reason
        figure, estimate = self.figure, self.figure.estimate
        sample = f"{estimate.images:,} images" if estimate.images else "as published"
        if not estimate.is_exact:
            sample += f", {figure.interval()}"
        because = f" {self.reason}." if self.reason else ""
        return (
            f"{figure.where}: {figure.title} of {figure.subject} is {figure.text()} ({sample}); "
            f"the claim needs {self.relation}: {self.verdict}.{because} Protocol {figure.protocol}."
        )

    def __repr__(self) -> str:
        return f"{self.verdict}: {self.figure.text() if self.figure else self.reason} for {self.relation}"

    def because(self, reason: str) -> "Judgement":
        """Add what a reader must know beside the verdict."""
        return replace(self, reason="; ".join(filter(None, (self.reason, reason))))


def at_most(figure: Figure, bound: float) -> Judgement:
    """Judge: the figure is a number or below it."""
    low, high = figure.estimate.low, figure.estimate.high
    return _against(figure, "<=", bound, holds=high <= bound, fails=low > bound)


def at_least(figure: Figure, bound: float) -> Judgement:
    """Judge: the figure is a number or above it."""
    low, high = figure.estimate.low, figure.estimate.high
    return _against(figure, ">=", bound, holds=low >= bound, fails=high < bound)


def below(figure: Figure, bound: float) -> Judgement:
    """Judge: the figure is below a number."""
    low, high = figure.estimate.low, figure.estimate.high
    return _against(figure, "<", bound, holds=high < bound, fails=low >= bound)


def above(figure: Figure, bound: float) -> Judgement:
    """Judge: the figure is above a number."""
    low, high = figure.estimate.low, figure.estimate.high
    return _against(figure, ">", bound, holds=low > bound, fails=high <= bound)


def within(figure: Figure, target: float, tolerance: float) -> Judgement:
    """Judge: the figure is at most `tolerance` away from a number."""
    estimate = figure.estimate
    inside = target - tolerance <= estimate.low and estimate.high <= target + tolerance
    outside = estimate.high < target - tolerance or estimate.low > target + tolerance
    return Judgement(
        _decide(inside, outside),
        figure,
        f"{figure.text(target)} within {figure.text(tolerance)}",
        target,
        tolerance - abs(estimate.value - target),
    )


def lower(comparison: Comparison, by: float = 0.0) -> Judgement:
    """Judge: the first figure is lower than the second, by more than `by`."""
    difference, first, second = comparison.difference, comparison.first, comparison.second
    bound = second.estimate.value - by
    return _pointing(
        Judgement(
            _decide(difference.high < -by, difference.low >= -by),
            first,
            f"< {first.text(bound)} ({second.subject}{_offset(first, by)})",
            bound,
            bound - first.estimate.value,
        ),
        comparison,
        f"< {first.text(-by)}",
    )


def higher(comparison: Comparison, by: float = 0.0) -> Judgement:
    """Judge: the first figure is higher than the second, by more than `by`."""
    difference, first, second = comparison.difference, comparison.first, comparison.second
    bound = second.estimate.value + by
    return _pointing(
        Judgement(
            _decide(difference.low > by, difference.high <= by),
            first,
            f"> {first.text(bound)} ({second.subject}{_offset(first, -by)})",
            bound,
            first.estimate.value - bound,
        ),
        comparison,
        f"> {first.text(by)}",
    )


def never_rises(comparisons: Sequence[Comparison], slack: float) -> Judgement:
    """Judge: along a curve no point lies more than `slack` above the one before it.

    Args:
        comparisons: Each point (first) against the one before it (second), in the curve's order.
        slack: How far a point may lie above the one before it, in the metric's units.
    """
    judgements = []
    for comparison in comparisons:
        difference, first, second = comparison.difference, comparison.first, comparison.second
        bound = second.estimate.value + slack
        judgements.append(
            Judgement(
                _decide(difference.high <= slack, difference.low > slack),
                first,
                f"<= {first.text(bound)} (the point before it plus {first.text(slack)})",
                bound,
                bound - first.estimate.value,
            )
        )
    return all_of(judgements)


def all_of(judgements: Sequence[Judgement]) -> Judgement:
    """Judge several at once: fails if one fails, undecided if one is; shows the one with the least margin."""
    for verdict in (Verdict.FAILS, Verdict.NOT_RUN, Verdict.UNDECIDED):
        worst = [judgement for judgement in judgements if judgement.verdict is verdict]
        if worst:
            return min(worst, key=lambda judgement: judgement.margin)
    return min(judgements, key=lambda judgement: judgement.margin)


def _interval(figure: Figure, estimate: Estimate) -> str:
    if estimate.interval is None:
        return "too few images for an interval"
    return f"{figure.text(estimate.low)} to {figure.text(estimate.high)}"


def _against(figure: Figure, sign: str, bound: float, *, holds: bool, fails: bool) -> Judgement:
    """Judge a figure against a number, on the side of it that a sign needs."""
    way = 1 if sign.startswith(">") else -1
    margin = way * (figure.estimate.value - bound)
    return Judgement(_decide(holds, fails), figure, f"{sign} {figure.text(bound)}", bound, margin)


def _decide(holds: bool, fails: bool) -> Verdict:
    return Verdict.HOLDS if holds else Verdict.FAILS if fails else Verdict.UNDECIDED


def _offset(figure: Figure, by: float) -> str:
    return f" {'minus' if by > 0 else 'plus'} {figure.text(abs(by))}" if by else ""


def _pointing(judgement: Judgement, comparison: Comparison, need: str) -> Judgement:
    """Say what decided where it was no interval of the figure's own: the paired difference, and what it must be."""
    difference, first, second = comparison.difference, comparison.first, comparison.second
    judgement = judgement.because(comparison.note)
    if second.estimate.is_exact and math.isclose(difference.high - difference.low, first.width):
        return judgement
    return judgement.because(
        f"paired difference to {second.subject} {first.text(difference.value)} "
        f"({_interval(first, difference)}), {need} needed"
    )
