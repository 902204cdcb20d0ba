"""`--plan`: what a run would measure, how long that takes, and how many images each claim takes to decide."""

import inspect
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import Any

import pytest

from harness.classifiers.loading import cost
from harness.classifiers.spec import Spec
from harness.errors import HarnessError, NotMeasured, TooFewImages
from harness.progress import in_words
from harness.protocols.attacks import Attack
from harness.protocols.maximizing import Maximize
from harness.protocols.needs import Need
from harness.studies.drawing import FIRST
from harness.studies.laboratory import Laboratory
from harness.studies.live import LiveStudy
from harness.studies.study import Study
from harness.suite.claims import claim_of, params_of
from harness.suite.parameters import quantities_of
from harness.verdicts.rules import Judgement, Verdict

Plan = Mapping[Spec, Sequence[Need]]

# Passes through a classifier that a step takes: forward, and back, which takes about twice as long.
_PASSES_A_STEP = 3


@dataclass(frozen=True)
class Task:
    """What is asked of a classifier.

    Attributes:
        spec: Which classifier.
        need: What is asked of it.
        images: Of how many images.
        stored: How many of them are in the store.
        reason: Why it can't be measured; empty where it can.
    """

    spec: Spec
    need: Need
    images: int
    stored: int
    reason: str = ""


@dataclass(frozen=True)
class Forecast:
    """What a claim's test is expected to take.

    Attributes:
        claim: The claim's id.
        test: The test's name, its parameters included.
        metric: Of what metric; empty where it names none.
        needed: From how many images it would be decided; infinite where that takes all there are.
        images: How many may be looked at.
        asks: What it asks of which classifier.
        reason: Why nothing can be told; empty where it can.
    """

    claim: str
    test: str
    metric: str
    needed: float
    images: int
    asks: tuple[tuple[Spec, Need], ...]
    reason: str = ""


class Paces:
    """How long an image takes each classifier, by what the store knows of earlier runs on the same device.

    Of what was never measured it is told from the classifier's other runs by the passes that each takes, and of a
    classifier that was never run from others', by their parameters.
    """

    def __init__(self, laboratory: Laboratory, plan: Plan) -> None:
        self._passes = {need: passes_of(need, laboratory) for needs in plan.values() for need in needs}
        self._known: dict[tuple[Spec, Need], float] = {}
        for spec, needs in plan.items():
            for need in needs:
                with suppress(HarnessError):
                    if (pace := laboratory.pace(spec, need)) is not None:
                        self._known[spec, need] = pace

    def of(self, spec: Spec, need: Need) -> float | None:
        """Give seconds an image; None where nothing tells."""
        if (spec, need) in self._known:
            return self._known[spec, need]
        own = [pace / self._passes[of] for (who, of), pace in self._known.items() if who == spec]
        if not own:
            own = [
                pace / self._passes[of] * cost(spec) / cost(who)
                for (who, of), pace in self._known.items()
                if cost(who) and cost(spec)
            ]
        return median(own) * self._passes[need] if own else None


def passes_under(attack: Attack) -> int:
    """Count the forward passes that an image takes at most that is attacked on the classifier itself."""
    return 1 + _PASSES_A_STEP * attack.steps * len(attack.pursuits)


def passes_of(need: Need, laboratory: Laboratory) -> float:
    """Count the passes through a classifier that an image takes, forward ones; at most so many for attacks."""
    if isinstance(need, Attack):
        return passes_under(need)
    if isinstance(need, Maximize):
        return _PASSES_A_STEP * need.steps
    with suppress(HarnessError):
        if frames := laboratory.dataset(need).frames:
            return sum(frames) / len(frames)
    return 1.0


def tasks(laboratory: Laboratory, plan: Plan, forecasts: Sequence[Forecast] = (), *, decides: bool) -> list[Task]:
    """List what a plan asks of each classifier, and how much of it the store has.

    Args:
        laboratory: Where it would be measured.
        plan: Per classifier, what is asked of it.
        forecasts: What its claims are expected to take.
        decides: Whether no more images are drawn than that.
    """
    wanted: dict[tuple[Spec, Need], float] = {}
    for each in forecasts:
        for task in each.asks:
            wanted[task] = max(wanted.get(task, 0.0), FIRST if each.reason else each.needed)
    found = []
    for spec, needs in plan.items():
        for need in needs:
            try:
                images = laboratory.asked(need)
                if decides:
                    images = math.ceil(min(images, wanted.get((spec, need), FIRST)))
                found.append(Task(spec, need, images, min(images, laboratory.stored(spec, need))))
            except HarnessError as error:
                found.append(Task(spec, need, 0, 0, str(error)))
    return found


def forecast(
    item: pytest.Item,
    studies: Sequence[Study],
    asks: Iterable[tuple[Spec, Need]],
    laboratory: Laboratory,
    options: Mapping[str, Any],
) -> Forecast | None:
    """Tell how many images would decide a claim, by what is known before any is looked at; None of what states none.

    Args:
        item: The claim's test.
        studies: Those that may know, the best first: on the store's records, then on recorded figures.
        asks: What the test asks of which classifier.
        laboratory: Where it would be measured.
        options: What the test may ask for beside, by its fixtures' names.
    """
    function, params = getattr(item, "function", None), params_of(item)
    if function is None or not claim_of(item):
        return None
    metric = next((quantity.metric for quantity in quantities_of(item)), "")
    asks = tuple(asks)
    what: dict[str, Any] = {"claim": claim_of(item), "test": item.name, "metric": metric, "asks": asks}
    reason = ""
    for study in studies:
        try:
            judgement = _judged(function, {**options, **params, "study": study}, study)
        except HarnessError as error:
            reason = str(error)
            continue
        questions = [question for question in judgement.questions if question.estimate.images]
        if questions:
            images = _least(asks, laboratory) or min(question.estimate.images for question in questions)
            needed = max(question.needed(len(questions)) for question in questions)
            return Forecast(**what, needed=needed, images=images)
        reason = "no figure that images would tell"
    return Forecast(**what, needed=math.inf, images=0, reason=reason)


def _least(asks: Iterable[tuple[Spec, Need]], laboratory: Laboratory) -> int:
    """Count how many images may be looked at, of the smallest benchmark that a test reads; 0 where it reads none."""
    found = []
    for _, need in asks:
        if not isinstance(need, Maximize):
            with suppress(HarnessError):
                found.append(laboratory.asked(need))
    return min(found, default=0)


def _judged(function: Callable[..., object], given: Mapping[str, Any], study: Study) -> Judgement:
    """Ask a claim's test of a study, at all that it knows.

    Raises:
        NotMeasured: It knows nothing of it, or the test asks for more than a study.
    """
    judged: list[Judgement] = []

    def verdict(judgement: Judgement) -> bool:
        judged.append(judgement)
        return True

    wanted = inspect.signature(function).parameters
    given = {**given, "verdict": verdict}
    if missing := [name for name in wanted if name not in given]:
        raise NotMeasured(f"it asks for {', '.join(missing)}")
    live = study if isinstance(study, LiveStudy) else None
    if live:
        live.begin()
    while True:
        try:
            function(**{name: given[name] for name in wanted})
        except TooFewImages:
            if not (live and live.look_further()):
                raise
            continue
        if judged[-1].verdict is not Verdict.UNDECIDED or not (live and live.look_further()):
            return judged[-1]


def lines(found: Sequence[Task], paces: Paces, forecasts: Sequence[Forecast], *, decides: bool) -> list[str]:
    """Lay a plan out for a terminal: what is measured of which classifier, then what each claim takes."""
    rows: list[tuple[str, ...]] = [("classifier", "asked", "images", "in the store", "to measure", "time")]
    groups: dict[tuple[str, str], list[Task]] = {}
    for task in found:
        if not task.reason:
            groups.setdefault((task.spec.label, name_of(task.need)), []).append(task)
    seconds = [_seconds(group, paces) for group in groups.values()]
    for ((label, asked), group), time in zip(groups.items(), seconds, strict=True):
        images, stored = sum(task.images for task in group), sum(task.stored for task in group)
        runs = f", {len(group)} runs" if len(group) > 1 else ""
        words = "" if images == stored else "unknown" if time is None else in_words(time)
        rows.append((label, asked + runs, *(f"{number:,}" for number in (images, stored, images - stored)), words))
    told = _columns(rows)
    known = [time for time in seconds if time is not None]
    if len(known) == len(seconds):
        told.append(f"to measure all of it takes {in_words(sum(known))}")
    else:
        told.append(f"to measure all of it takes {in_words(sum(known))} and what is unknown")
        told.append("where the time is unknown, nothing like it was measured before, on this device, with this store")
    for reason in dict.fromkeys(task.reason for task in found if task.reason):
        told.append(f"can't be measured: {reason}")
    return [*told, "", *_claims(forecasts, decides=decides)]


def _seconds(group: Sequence[Task], paces: Paces) -> float | None:
    """Add up how long some tasks take; None where it is not known of one."""
    total = 0.0
    for task in group:
        left, pace = task.images - task.stored, paces.of(task.spec, task.need)
        if left and pace is None:
            return None
        total += left * (pace or 0.0)
    return total


def _claims(forecasts: Sequence[Forecast], *, decides: bool) -> list[str]:
    rows: list[tuple[str, ...]] = [("claim", "metric", "tests", "images that decide it, about", "may be looked at")]
    groups: dict[tuple[str, str], list[Forecast]] = {}
    for each in forecasts:
        if not each.reason:
            groups.setdefault((each.claim, each.metric), []).append(each)
    for (claim, metric), group in groups.items():
        fewest, most = (_about(pick(each.needed for each in group)) for pick in (min, max))
        far = sum(each.needed > each.images for each in group)
        span = (fewest if fewest == most else f"{fewest} to {most}") + (f"; out of reach: {far}" if far else "")
        rows.append((claim, metric, str(len(group)), span, f"{max(each.images for each in group):,}"))
    told = _columns(rows) if groups else []
    if told and not decides:
        told.append("with --decide each claim's images are drawn only until it is decided")
    if untold := Counter(each.claim for each in forecasts if each.reason):
        claims = ", ".join(f"{claim} ({count})" for claim, count in untold.items())
        told.append(f"not told, for neither the store nor recorded figures say anything: {claims}")
    return told


def _about(images: float) -> str:
    """Print a number of images to two digits."""
    return f"{int(float(f'{images:.2g}')):,}" if math.isfinite(images) else "all"


def name_of(need: Need) -> str:
    """Name what is asked of a classifier in a word."""
    return need if isinstance(need, str) else need.name


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip() for row in rows]
