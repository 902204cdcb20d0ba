"""Which studies and classifiers a claim's test is run with, and in which order."""

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pytest

from harness.classifiers.loading import cost
from harness.classifiers.spec import Spec, parse_spec
from harness.protocols.attacks import SURROGATE
from harness.protocols.needs import Need
from harness.studies.published import PublishedStudy
from harness.studies.quantities import Quantity
from harness.studies.study import BASELINE, WSL
from harness.suite.claims import ASKED_OF, CANDIDATE, claim_of, params_of

PUBLISHED = PublishedStudy.name
PAPER = "paper"

# The parameters by which a test may ask for classifiers beside its study.
_ROLES: tuple[tuple[str, ...], ...] = (
    *(("candidate", "against"), ("candidate",)),
    *(("subject",), ("classifier",), ("extreme",), ("baseline",), ("surrogate",), ("normaliser",)),
    ("narrower", "wider"),
)


@dataclass(frozen=True)
class Cast:
    """Who appears in a study: known at collection, before anything is loaded.

    Attributes:
        study: The study's name.
        baseline: The classifier that subjects are compared with; None for the paper's, by its recorded figures.
        subjects: Narrowest first; the candidate alone in its study.
        mark: The marker that selects the study's tests.
        surrogate: The classifier that transferred attacks are made on.
        normaliser: The classifier whose errors ImageNet-C's and -P's metrics are divided by; None where nothing is run.
        roles: By the paper's name for a classifier or a quoted row, who plays its part; None where all play themselves.
        against: The classifier that the candidate must not be worse than, image by image; None for none.
        like: Whose recorded figures the candidate's must come near; empty for nobody's.
    """

    study: str
    baseline: Spec | None
    subjects: tuple[Spec, ...]
    mark: str
    surrogate: Spec
    normaliser: Spec | None = None
    roles: Mapping[str, Spec] | None = None
    against: Spec | None = None
    like: str = ""

    @property
    def everyone(self) -> tuple[Spec, ...]:
        """All that may be measured: whoever is named or has a role."""
        named = (self.baseline, *self.subjects, self.surrogate, self.normaliser, *(self.roles or {}).values())
        return tuple(dict.fromkeys(spec for spec in (*named, self.against) if spec))

    @property
    def choices(self) -> Mapping[tuple[str, ...], list[tuple[Spec, ...]]]:
        """By the parameters that a test may take beside its study, the classifiers that it is asked of.

        Of those that a candidate is compared with nothing is asked.
        """
        is_candidates = self.study == CANDIDATE
        subjects: list[tuple[Spec, ...]] = [(subject,) for subject in self.subjects]
        baseline: list[tuple[Spec, ...]] = [(self.baseline,)] if self.baseline and not is_candidates else []
        return {
            (): [()],
            ("candidate",): subjects if is_candidates else [],
            ("candidate", "against"): [(*self.subjects, self.against)] if self.against else [],
            ("subject",): subjects,
            ("classifier",): [*baseline, *subjects],
            ("extreme",): [*baseline, subjects[-1]],
            ("baseline",): baseline,
            ("surrogate",): [] if is_candidates else [(self.surrogate,)],
            ("normaliser",): [] if is_candidates or self.normaliser is None else [(self.normaliser,)],
            ("narrower", "wider"): list(pairwise(self.subjects)),
        }

    def label(self, spec: Spec) -> str:
        """Name a classifier in test ids: its label, numbered where several specs share it."""
        same = [each for each in self.everyone if each.label == spec.label]
        return spec.label if len(same) == 1 else f"{spec.label}-{same.index(spec) + 1}"


def asked_marks(config: pytest.Config) -> set[str]:
    """Give the marks that -m asks for, but for those that it excludes; none where it asks for alternatives."""
    words = _words_of_mark_expression(config)
    return set() if words & {"or", "not"} else words - {"and"}


def asks_of_named(config: pytest.Config) -> bool:
    """Tell whether -m asks, perhaps beside others, for claims on classifiers that the command line names."""
    return bool(_words_of_mark_expression(config) & {"full", CANDIDATE})


def _words_of_mark_expression(config: pytest.Config) -> set[str]:
    """Give the words of -m, but for those that it excludes."""
    return set(re.findall(r"\w+", re.sub(r"\bnot\s+\w+", "", config.option.markexpr)))


def published_cast() -> Cast:
    """Give the paper's own cast, judged on published figures."""
    return Cast(PUBLISHED, parse_spec(BASELINE), tuple(map(parse_spec, WSL)), "quick", parse_spec(SURROGATE))


def parametrize(metafunc: pytest.Metafunc, casts: Sequence[Cast]) -> None:
    """Give a test its studies, and each study's classifiers if it takes any: a claim's, or one marked with `studies`.

    A test may take `study` alone, `study` and `subject` (one of the subjects), `study` and `classifier` (the baseline
    or a subject), `study` and `extreme` (the baseline or the widest subject), `study` and `baseline`, `study` and
    `surrogate` (what transferred attacks are made on), `study` and `normaliser` (by what others' errors are divided;
    where there is one), `study`, `narrower` and `wider` (neighbours among the subjects), `study` and `candidate`, or
    `study`, `candidate` and `against` (where there is one).
    """
    names = set(metafunc.fixturenames)
    named = [name for marker in metafunc.definition.iter_markers("studies") for name in marker.args]
    if "study" not in names or not (named or metafunc.definition.get_closest_marker("claim")):
        return
    extra = next((each for each in _ROLES if names.issuperset(each)), ())
    rows, ids, marks = [], [], []
    for cast in casts:
        if (named and cast.study not in named) or ("likeness" in names and not cast.like):
            continue
        for specs in cast.choices[extra]:
            rows.append((cast.study, *(spec.text for spec in specs)))
            ids.append("-".join([cast.study, *(cast.label(spec) for spec in specs)]))
            marks.append(getattr(pytest.mark, cast.mark))
    metafunc.parametrize(
        ("study", *extra),
        [pytest.param(*row, id=name, marks=mark) for row, name, mark in zip(rows, ids, marks, strict=True)],
        indirect=["study"],
        scope="session",
    )


def expect_failures(items: Sequence[pytest.Item]) -> None:
    """Turn `known_failure` markers that name an item's parameters into strict, reasoned xfails."""
    for item in items:
        params = params_of(item)
        for marker in item.iter_markers("known_failure"):
            conditions = {key: value for key, value in marker.kwargs.items() if key != "reason"}
            if unknown := conditions.keys() - params.keys():
                raise pytest.UsageError(f"{item.nodeid}: known_failure names {min(unknown)!r}, which it does not take")
            if all(params.get(key) == value for key, value in conditions.items()):
                item.add_marker(pytest.mark.xfail(reason=marker.kwargs["reason"], raises=AssertionError, strict=True))


def mark_attacks(items: Sequence[pytest.Item]) -> None:
    """Mark what runs attacks, or makes images by gradients, so that -m can leave it out."""
    for item in items:
        if params_of(item).get("study", PUBLISHED) != PUBLISHED and any(
            each.attack or each.maximize for each in quantities_of(item)
        ):
            item.add_marker(pytest.mark.attack)


def dearest_first(items: list[pytest.Item], casts: Sequence[Cast]) -> None:
    """Sort the tests of live studies by their classifier's cost, dearest first; all others keep their place before."""
    specs = {spec.text: spec for cast in casts for spec in cast.everyone}
    costs: dict[str, float] = {}

    def place(item: pytest.Item) -> float:
        params = params_of(item)
        if params.get("study", PUBLISHED) == PUBLISHED:
            return -float("inf")
        named = [params[name] for name in ASKED_OF if name in params]
        for text in named:
            if text not in costs:
                costs[text] = cost(specs[text])
        return -max((costs[text] for text in named), default=0.0)

    items.sort(key=place)


def soundness_first(items: list[pytest.Item]) -> None:
    """Put first what tells whether a classifier is sound: it is told while the classifier is loaded anyway."""
    items.sort(key=lambda item: not claim_of(item).startswith("H"))


def printed_last(items: list[pytest.Item]) -> None:
    """Put last what asks for figures as they are printed, which takes nearly all images there are to decide."""
    items.sort(key=lambda item: claim_of(item).startswith("N"))


def drop_unanswerable(items: list[pytest.Item]) -> None:
    """Leave out tests that no study has a classifier for, and what the author's results can't answer.

    Those are attacks in another form than his.
    """

    def can_be_answered(item: pytest.Item) -> bool:
        study = params_of(item).get("study")
        if study != PUBLISHED:
            # What pytest gives a test whose parameters have no values is no string.
            return study is None or isinstance(study, str)
        return all(each.is_published for each in quantities_of(item))

    items[:] = [item for item in items if can_be_answered(item)]


def quantities_of(item: pytest.Item) -> list[Quantity]:
    """Give the quantities that a test is about: its parameters, alone or in lists."""
    values = params_of(item).values()
    found = [each for value in values for each in (value if isinstance(value, list | tuple) else [value])]
    return [each for each in found if isinstance(each, Quantity)]


def measuring_plan(
    items: Sequence[pytest.Item],
    casts: Sequence[Cast],
    needs: Mapping[str, Callable[[Quantity], Iterable[Need]]],
    recorded: Container[str] = (),
    *,
    quoted: bool = False,
) -> Mapping[Spec, list[Need]]:
    """List, per classifier of the live studies, what the selected tests will ask of it.

    Args:
        items: The selected tests.
        casts: Who appears in which study.
        needs: By study, from a quantity to what must be asked of a classifier to know it.
        recorded: Keys of the figures that are recorded of whom a candidate should be like: no others are measured for
            tests that compare with them.
        quoted: Whether to list those too who play the rows that tests quote, which are measured only when a test comes
            to them.
    """
    by_study = {cast.study: cast for cast in casts}
    plan: dict[Spec, list[Need]] = {}
    for item in items:
        params = params_of(item)
        cast = by_study.get(params.get("study", ""))
        if cast is None or cast.study == PUBLISHED:
            continue
        specs = {spec.text: spec for spec in cast.everyone}
        named = [specs[params[name]] for name in (*ASKED_OF, "narrower", "against") if name in params]
        asked = [name for marker in item.iter_markers("needs") for name in marker.args]
        quantities = quantities_of(item)
        if "likeness" in getattr(item, "fixturenames", ()):
            quantities = [quantity for quantity in quantities if quantity.key in recorded]
        asked += [need for quantity in quantities for need in needs[cast.study](quantity)]
        baseline = [cast.baseline] if cast.baseline and "candidate" not in params else []
        players = _players(item, cast) if quoted else []
        for spec in [*(named or cast.subjects), *baseline, *players]:
            plan[spec] = list(dict.fromkeys([*plan.get(spec, ()), *asked]))
    return plan


def _players(item: pytest.Item, cast: Cast) -> list[Spec]:
    """Give who plays the rows that a test quotes: those that its parameters or constants of its module name."""
    function = getattr(item, "function", None)
    constants = [function.__globals__.get(name) for name in function.__code__.co_names] if function else []
    roles = cast.roles or {}
    return [roles[row] for row in (*constants, *params_of(item).values()) if isinstance(row, str) and row in roles]
