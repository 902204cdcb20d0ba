"""A claim's test and its verdict: what a test hands in, what becomes of it when there is no evidence."""

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import pytest

from harness.errors import BudgetSpent, DataMissing, HarnessError, NotMeasured, TooFewImages
from harness.verdicts.rules import Judgement, Verdict

# The names under which a test's report carries its verdicts, and what the harness warned of meanwhile.
PROPERTY = "verdict"
NOTICE = "notice"

# The study of one classifier that is named to be asked all that can be asked of one.
CANDIDATE = "candidate"

# The claim that a classifier's clean accuracy is sound, without which its robustness says nothing.
SOUND = "H1"

# The claim that a candidate is no worse than another classifier.
NO_WORSE = "A1"
LIKENESS = "L1"

# The parameters that name the classifier which a test is about.
ASKED_OF = ("subject", "classifier", "extreme", "baseline", "surrogate", "normaliser", "wider", "candidate")


@dataclass(frozen=True)
class VerdictEntry:
    """One verdict as `verdicts.json` holds it; fractions and not percent.

    Attributes:
        claim: The claim's id, e.g. `C10`.
        test: The test's id, as pytest takes it.
        study: On which body of evidence: `published`, `miniature`, `paper` or `candidate`.
        subject: The classifier that it is about, by its spec; empty where it is about all.
        metric: The metric's key, e.g. `mce`.
        statement: The claim in words, the first paragraph of the test's docstring.
        verdict: `holds`, `fails`, `undecided` or `not_run`.
        value: The figure; null where there is none, as in all other numbers.
        bound: What the figure is held against.
        interval: The figure's lower and upper end, the figure itself where it is exact; null where there is none.
        alpha: The error rate of the verdict.
        images: On how many images the figure rests; 0 where that is not known.
        protocol: How it was measured, in words.
        reason: Why the claim was not run or is undecided, or what else there is to say.
        relation: What the claim needs, in words, e.g. `< 66.65 %`.
        margin: How far the figure is on the right side of the bound; negative on the wrong one.
        percent: Whether the figure is printed in percent.
        tags: Of figures under attack, what of the attack must be equal for two of them to be compared.
        is_drawn: Whether images were drawn until it was decided.
        images_needed: From about how many images it would be decided; null where it is, or where that is not known.
        is_good_news: Whether the claim is of a weakness that a candidate, by failing it, does not have.
        topic: What the claim is about: the table or figure of its test's file.
        quantity: The key of the quantity that its test is run with; empty where it is run with none.
    """

    claim: str
    test: str
    study: str
    subject: str
    metric: str
    statement: str
    verdict: str
    value: float | None
    bound: float | None
    interval: tuple[float, float] | None
    alpha: float
    images: int
    protocol: str
    reason: str | None
    relation: str
    margin: float | None
    percent: bool
    tags: dict[str, str]
    is_drawn: bool
    images_needed: int | None
    is_good_news: bool
    topic: str
    quantity: str


class ClaimFails(AssertionError):
    """A claim fails, and what there is to say is said in the error's own words."""


class LookAgain(Exception):
    """A claim is not decided yet, and there are more images to look at."""


def until_decided(test: pytest.Function, begin: Callable[[], None], look_further: Callable[[], bool]) -> None:
    """Run a claim's test again and again, each time on more images, until it gives a verdict or there are no more.

    Args:
        test: Whose `verdict` raises LookAgain where it wants more images.
        begin: Called before the first look.
        look_further: Called before each other one; tells whether there are more images.
    """
    __tracebackhide__ = True
    arguments = {name: test.funcargs[name] for name in test._fixtureinfo.argnames}
    begin()
    while True:
        try:
            test.obj(**arguments)
        except LookAgain:
            continue
        except TooFewImages:
            if not look_further():
                raise
        else:
            return


def claim_of(item: pytest.Item) -> str:
    """Give the id of the claim that a test states; empty where it states none."""
    marker = item.get_closest_marker("claim")
    return str(marker.args[0]) if marker else ""


def params_of(item: pytest.Item) -> Mapping[str, Any]:
    """Give the parameters that a test runs with; none where it is not parametrized."""
    return getattr(getattr(item, "callspec", None), "params", {})


def takes_pins(item: pytest.Item) -> bool:
    """Whether a test compares with pins."""
    return "pinned" in getattr(item, "fixturenames", ())


def statement_of(item: pytest.Item) -> str:
    """Give the claim in words: the first paragraph of the test's docstring."""
    doc = getattr(getattr(item, "function", None), "__doc__", None) or ""
    return " ".join(doc.strip().partition("\n\n")[0].split())


def topic_of(item: pytest.Item) -> str:
    """Give what a claim is about: the first line of the docstring of its test's module, which names the table."""
    doc = getattr(getattr(item, "module", None), "__doc__", None) or ""
    return doc.strip().partition("\n")[0].rstrip(".")


def enter(item: pytest.Item, judgement: Judgement, *, alpha: float, metric: str = "") -> None:
    """Put a judgement among the test's properties, where reports find it whatever process ran the test.

    Args:
        item: The claim's test.
        judgement: The judgement.
        alpha: The error rate of the verdict.
        metric: What it is of, where there is no figure; by default what the test's parameters say.
    """
    figure = judgement.figure
    params = params_of(item)
    estimate = figure.estimate if figure else None
    entry = VerdictEntry(
        claim=claim_of(item),
        test=item.nodeid,
        study=str(params.get("study", "")),
        subject=figure.subject if figure else _asked_of(params),
        metric=figure.metric if figure else metric or getattr(params.get("quantity"), "metric", ""),
        statement=statement_of(item),
        verdict=judgement.verdict.value,
        value=estimate.value if estimate else None,
        bound=judgement.bound,
        interval=estimate.interval if estimate else None,
        alpha=alpha,
        images=estimate.images if estimate else 0,
        protocol=figure.protocol if figure else "",
        reason=judgement.reason or None,
        relation=judgement.relation,
        margin=judgement.margin if figure else None,
        percent=figure.percent if figure else True,
        tags=dict(figure.tags) if figure else {},
        is_drawn=judgement.is_drawn,
        images_needed=math.ceil(judgement.needed) if math.isfinite(judgement.needed) else None,
        is_good_news=bool(good_news(item, judgement)),
        topic=topic_of(item),
        quantity=getattr(params.get("quantity"), "key", ""),
    )
    item.user_properties.append((PROPERTY, asdict(entry)))


def good_news(item: pytest.Item, judgement: Judgement) -> str:
    """Say what is better about a candidate that fails a claim, where the claim is of a weakness; empty elsewhere."""
    marker = item.get_closest_marker("weakness")
    if marker is None or params_of(item).get("study") != CANDIDATE or judgement.verdict is not Verdict.FAILS:
        return ""
    return f"good news, if its clean accuracy is sound: {marker.args[0]}"


def _asked_of(params: Mapping[str, Any]) -> str:
    """Name the classifier that a test is about, by its parameters; empty where it is about all."""
    return str(next((params[name] for name in ASKED_OF if name in params), ""))


@contextmanager
def judged(item: pytest.Item, *, alpha: float, strict_data: bool, strict: bool) -> Iterator[None]:
    """Run a claim's test: no evidence is a skip and not a pass, bad data is one clear line and not a traceback."""
    __tracebackhide__ = True
    with accounted(item, alpha=alpha, strict_data=strict_data, strict=strict):
        yield
    if not _has_verdict(item):
        reason = f"{item.nodeid} states claim {claim_of(item)} but gave no verdict"
        _enter_not_run(item, reason, alpha)
        pytest.fail(reason, pytrace=False)


@contextmanager
def in_one_line(item: pytest.Item) -> Iterator[None]:
    """Run a test that states no claim: missing evidence is a skip, bad data is one clear line and not a traceback.

    That figures were not held against pins is said at the end of the run too.
    """
    __tracebackhide__ = True
    try:
        with _noticing(item):
            yield
    except NotMeasured as error:
        if takes_pins(item):
            item.user_properties.append((NOTICE, f"not compared with pins: {error}"))
        raise pytest.skip.Exception(str(error), _use_item_location=True) from None
    except HarnessError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


@contextmanager
def accounted(item: pytest.Item, *, alpha: float, strict_data: bool, strict: bool) -> Iterator[None]:
    """Take down why a claim could not be judged, whatever it was that came in between, and say it in one line.

    Args:
        item: The claim's test.
        alpha: The error rate of its verdict.
        strict_data: Whether missing data is a failure.
        strict: Whether it is one that the budget was spent before anything of it was measured.
    """
    __tracebackhide__ = True
    try:
        with _noticing(item):
            yield
    except NotMeasured as error:
        spent = isinstance(error, BudgetSpent)
        _enter_nothing(item, Verdict.UNDECIDED if spent else Verdict.NOT_RUN, str(error), alpha)
        if strict_data and isinstance(error, DataMissing):
            raise pytest.fail.Exception(f"{error} (--strict-data)", pytrace=False) from None
        if strict and spent:
            raise pytest.fail.Exception(f"{error} (--strict)", pytrace=False) from None
        raise pytest.skip.Exception(str(error), _use_item_location=True) from None
    except HarnessError as error:
        _enter_not_run(item, str(error), alpha)
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    except Exception as error:
        if not (isinstance(error, AssertionError) and _has_verdict(item)):
            _enter_not_run(item, f"{type(error).__name__}: {error}", alpha)
        raise


def _enter_not_run(item: pytest.Item, reason: str, alpha: float) -> None:
    _enter_nothing(item, Verdict.NOT_RUN, reason, alpha)


def _enter_nothing(item: pytest.Item, verdict: Verdict, reason: str, alpha: float) -> None:
    """Take down a claim of which there is no figure."""
    enter(item, Judgement(verdict, None, "", None, 0.0, (reason,)), alpha=alpha)


def _has_verdict(item: pytest.Item) -> bool:
    return any(name == PROPERTY for name, _ in item.user_properties)


@contextmanager
def _noticing(item: pytest.Item) -> Iterator[None]:
    """Put what the harness warns of among the test's properties, so that it is said at the end of the run."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            item.user_properties.append((NOTICE, record.getMessage()))

    handler = Handler(logging.WARNING)
    logger = logging.getLogger("harness")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
