"""The decisions that claims are made of: each takes figures and gives a judgement with its evidence.

A judgement holds only if the whole interval is on the right side, fails only if the whole interval is on the
wrong side, and is undecided otherwise. So it errs at most as often as the interval does: at one end, alpha / 2, or at
either where both count (`within`), alpha. Of several that must all hold, that one fails is only said where that is so
of all together.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from harness.verdicts.betting import Drawn
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


def interval_in_words(interval: Sequence[float] | None, *, percent: bool, alpha: float) -> str:
    """Print the interval of a verdict with its error rate; empty where there is none.

    Args:
        interval: Its low and its high end.
        percent: Whether it is printed in percent.
        alpha: The error rate.
    """
    if interval is None:
        return ""
    low, high = interval
    ends = f"{in_unit(low, percent=percent)} to {in_unit(high, percent=percent)}"
    return "exact" if low == high else f"{ends}, at error rate {alpha:g}"


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


@dataclass(frozen=True)
class Question:
    """On which side of a bound a number lies: what a judgement comes down to.

    Attributes:
        estimate: The number.
        sign: On which side it is wanted: `<`, `<=`, `>` or `>=`.
        bound: The bound.
    """

    estimate: Estimate
    sign: str
    bound: float

    def verdict(self, among: int = 1) -> Verdict:
        """Answer it: undecided where the interval lies on both sides.

        Args:
            among: Of how many questions, all of which must hold, this is one. That any of them fails is only said where
                the chance of a mistake stays within alpha / 2 for all of them together.
        """
        holds, fails = self._sides
        if not isinstance(self.estimate, Drawn):
            return _decide(holds(self.bound), fails(self.bound))
        above = self.sign.startswith(">")
        return _decide(
            self.estimate.settles(self.bound, above=above),
            self.estimate.settles(self.bound, above=not above, among=among),
        )

    def needed(self, among: int = 1) -> float:
        """Tell from how many images it would be answered, if they go on like those that were drawn."""
        return self.estimate.needed(self.bound, among)

    @property
    def _sides(self) -> tuple[Callable[[float], bool], Callable[[float], bool]]:
        each = self.estimate
        return {
            "<": (each.is_below, each.is_at_least),
            "<=": (each.is_at_most, each.is_above),
            ">": (each.is_above, each.is_at_most),
            ">=": (each.is_at_least, each.is_below),
        }[self.sign]


@dataclass(frozen=True, repr=False)
class Judgement:
    """A verdict with its evidence; true exactly if the claim holds.

    Attributes:
        verdict: What can be said.
        figure: The figure judged; None where none could be had.
        relation: What the claim needs, e.g. `< 66.65 %`.
        bound: The number that the figure was held against.
        margin: How far on the right side it is, in the metric's units; negative where the claim fails.
        notes: Why there is no verdict, or what a reader must know beside it; what is dear to say, as a function.
        questions: What it came down to, all of which must hold.
    """

    verdict: Verdict
    figure: Figure | None
    relation: str
    bound: float | None
    margin: float
    notes: tuple[str | Callable[[], str], ...] = ()
    questions: tuple[Question, ...] = ()

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

    @property
    def reason(self) -> str:
        """Why there is no verdict, or what a reader must know beside it; empty where there is nothing to say."""
        return "; ".join(filter(None, (note if isinstance(note, str) else note() for note in self.notes)))

    @property
    def is_drawn(self) -> bool:
        """Whether it rests on images that were drawn until it was decided."""
        return any(isinstance(question.estimate, Drawn) for question in self.questions)

    @property
    def needed(self) -> float:
        """From how many images it would be decided, if they go on like this; infinite where more never would."""
        doubtful = [question for question in self.questions if question.verdict() is Verdict.UNDECIDED]
        return max((question.needed(len(self.questions)) for question in doubtful), default=math.inf)

    def because(self, *notes: str | Callable[[], str]) -> "Judgement":
        """Add what a reader must know beside the verdict."""
        return replace(self, notes=(*self.notes, *notes))

    def undecided(self, why: str) -> "Judgement":
        """Keep the evidence, but say that it does not decide the claim, and why."""
        return replace(self, verdict=Verdict.UNDECIDED).because(why)


def at_most(figure: Figure, bound: float) -> Judgement:
    """Judge: the figure is a number or below it."""
    return _against(figure, "<=", bound)


def at_least(figure: Figure, bound: float) -> Judgement:
    """Judge: the figure is a number or above it."""
    return _against(figure, ">=", bound)


def below(figure: Figure, bound: float) -> Judgement:
    """Judge: the figure is below a number."""
    return _against(figure, "<", bound)


def above(figure: Figure, bound: float) -> Judgement:
    """Judge: the figure is above a number."""
    return _against(figure, ">", bound)


def within(figure: Figure, target: float, tolerance: float) -> Judgement:
    """Judge: the figure is at most `tolerance` away from a number."""
    return _judge(
        (Question(figure.estimate, ">=", target - tolerance), Question(figure.estimate, "<=", target + tolerance)),
        figure,
        f"{figure.text(target)} within {figure.text(tolerance)}",
        target,
        tolerance - abs(figure.estimate.value - target),
    )


def lower(comparison: Comparison, by: float = 0.0) -> Judgement:
    """Judge: the first figure is lower than the second, by more than `by`."""
    first, second = comparison.first, comparison.second
    bound = second.estimate.value - by
    judgement = _judge(
        (Question(comparison.difference, "<", -by),),
        first,
        f"< {first.text(bound)} ({second.subject}{_offset(first, by)})",
        bound,
        bound - first.estimate.value,
    )
    return _pointing(judgement, comparison, f"< {first.text(-by)}")


def higher(comparison: Comparison, by: float = 0.0) -> Judgement:
    """Judge: the first figure is higher than the second, by more than `by`."""
    first, second = comparison.first, comparison.second
    bound = second.estimate.value + by
    judgement = _judge(
        (Question(comparison.difference, ">", by),),
        first,
        f"> {first.text(bound)} ({second.subject}{_offset(first, -by)})",
        bound,
        first.estimate.value - bound,
    )
    return _pointing(judgement, comparison, f"> {first.text(by)}")


def no_lower(comparison: Comparison, margin: float) -> Judgement:
    """Judge: the first figure is not lower than the second by more than a margin."""
    return _not_beyond(comparison, -margin, ">=")


def no_higher(comparison: Comparison, margin: float) -> Judgement:
    """Judge: the first figure is not higher than the second by more than a margin."""
    return _not_beyond(comparison, margin, "<=")


def never_rises(comparisons: Sequence[Comparison], slack: float) -> Judgement:
    """Judge: along a curve no point lies more than `slack` above the one before it.

    Args:
        comparisons: Each point (first) against the one before it (second), in the curve's order.
        slack: How far a point may lie above the one before it, in the metric's units.
    """
    judgements = []
    for comparison in comparisons:
        first, second = comparison.first, comparison.second
        bound = second.estimate.value + slack
        judgements.append(
            _judge(
                (Question(comparison.difference, "<=", slack),),
                first,
                f"<= {first.text(bound)} (the point before it plus {first.text(slack)})",
                bound,
                bound - first.estimate.value,
            )
        )
    return all_of(judgements)


def all_of(judgements: Sequence[Judgement]) -> Judgement:
    """Judge several at once: fails if one fails, undecided if one is; shows the one with the least margin.

    Of estimates that may be looked at after every image, that one fails is only said where it is settled at its share
    of alpha: of many true claims together, one is not to be refused more often than of one.
    """
    count = sum(max(1, len(judgement.questions)) for judgement in judgements)
    asked = [
        replace(judgement, verdict=_answer(judgement.questions, count)) if judgement.questions else judgement
        for judgement in judgements
    ]
    everything = tuple(question for judgement in judgements for question in judgement.questions)
    for verdict in (Verdict.FAILS, Verdict.NOT_RUN, Verdict.UNDECIDED, Verdict.HOLDS):
        worst = [judgement for judgement in asked if judgement.verdict is verdict]
        if worst:
            return replace(min(worst, key=lambda judgement: judgement.margin), questions=everything)
    raise ValueError("no judgements")


def _interval(figure: Figure, estimate: Estimate) -> str:
    if estimate.interval is None:
        return estimate.no_interval
    return f"{figure.text(estimate.low)} to {figure.text(estimate.high)}"


def _against(figure: Figure, sign: str, bound: float) -> Judgement:
    """Judge a figure against a number, on the side of it that a sign needs."""
    way = 1 if sign.startswith(">") else -1
    margin = way * (figure.estimate.value - bound)
    question = Question(figure.estimate, sign, bound)
    return _judge((question,), figure, f"{sign} {figure.text(bound)}", bound, margin)


def _not_beyond(comparison: Comparison, by: float, sign: str) -> Judgement:
    """Judge on which side of the second figure, moved by `by`, the first one lies."""
    first, second = comparison.first, comparison.second
    bound, way = second.estimate.value + by, 1 if sign == ">=" else -1
    judgement = _judge(
        (Question(comparison.difference, sign, by),),
        first,
        f"{sign} {first.text(bound)} ({second.subject}{_offset(first, -by)})",
        bound,
        way * (first.estimate.value - bound),
    )
    return _pointing(judgement, comparison, f"{sign} {first.text(by)}")


def _judge(questions: tuple[Question, ...], figure: Figure, relation: str, bound: float, margin: float) -> Judgement:
    return Judgement(_answer(questions), figure, relation, bound, margin, questions=questions)


def _answer(questions: Sequence[Question], among: int = 1) -> Verdict:
    answers = [question.verdict(among) for question in questions]
    return _decide(all(answer is Verdict.HOLDS for answer in answers), Verdict.FAILS in answers)


def _decide(holds: bool, fails: bool) -> Verdict:
    return Verdict.HOLDS if holds else Verdict.FAILS if fails else Verdict.UNDECIDED


def _offset(figure: Figure, by: float) -> str:
    return f" {'minus' if by > 0 else 'plus'} {figure.text(abs(by))}" if by else ""


def _pointing(judgement: Judgement, comparison: Comparison, need: str) -> Judgement:
    """Say what decided where it was no interval of the figure's own: the paired difference, and what it must be."""

    def paired() -> str:
        difference, first, second = comparison.difference, comparison.first, comparison.second
        if second.estimate.is_exact and math.isclose(difference.high - difference.low, first.width):
            return ""
        return (
            f"paired difference to {second.subject} {first.text(difference.value)} "
            f"({_interval(first, difference)}), {need} needed"
        )

    return judgement.because(comparison.note, paired)
