"""Which studies and classifiers a claim's test is run with, and in which order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pytest

from harness.classifiers.loading import cost
from harness.classifiers.spec import Spec, parse_spec
from harness.studies.published import PublishedStudy
from harness.studies.study import BASELINE, WSL
from harness.suite.claims import params_of

PUBLISHED = PublishedStudy.name
PAPER = "paper"


@dataclass(frozen=True)
class Cast:
    """Who appears in a study: known at collection, before anything is loaded.

    Attributes:
        study: The study's name.
        baseline: The classifier that subjects are compared with.
        subjects: Narrowest first.
        mark: The marker that selects the study's tests.
    """

    study: str
    baseline: Spec
    subjects: tuple[Spec, ...]
    mark: str

    def label(self, spec: Spec) -> str:
        """Name a classifier in test ids: its label, numbered where several specs share it."""
        same = [each for each in (self.baseline, *self.subjects) if each.label == spec.label]
        return spec.label if len(same) == 1 else f"{spec.label}-{same.index(spec) + 1}"


def published_cast() -> Cast:
    """Give the paper's own cast, judged on published figures."""
    return Cast(PUBLISHED, parse_spec(BASELINE), tuple(map(parse_spec, WSL)), "quick")


def parametrize(metafunc: pytest.Metafunc, casts: Sequence[Cast]) -> None:
    """Give a claim's test its studies, and each study's classifiers if it takes any.

    A test may take `study` alone, `study` and `subject` (one of the subjects), `study` and `classifier` (the baseline
    or a subject) or `study`, `narrower` and `wider` (neighbours among the subjects).
    """
    names = set(metafunc.fixturenames)
    if "study" not in names or metafunc.definition.get_closest_marker("claim") is None:
        return
    extra = next(
        (each for each in (("subject",), ("classifier",), ("narrower", "wider")) if names.issuperset(each)), ()
    )
    rows, ids, marks = [], [], []
    for cast in casts:
        choices: dict[tuple[str, ...], list[tuple[Spec, ...]]] = {
            (): [()],
            ("subject",): [(subject,) for subject in cast.subjects],
            ("classifier",): [(spec,) for spec in (cast.baseline, *cast.subjects)],
            ("narrower", "wider"): list(pairwise(cast.subjects)),
        }
        for specs in choices[extra]:
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


def dearest_first(items: list[pytest.Item], casts: Sequence[Cast]) -> None:
    """Sort the tests of live studies by their classifier's cost, dearest first; all others keep their place before."""
    specs = {spec.text: spec for cast in casts for spec in (cast.baseline, *cast.subjects)}
    costs: dict[str, float] = {}

    def place(item: pytest.Item) -> float:
        params = params_of(item)
        if params.get("study", PUBLISHED) == PUBLISHED:
            return -float("inf")
        named = [params[name] for name in ("subject", "classifier", "wider") if name in params]
        for text in named:
            if text not in costs:
                costs[text] = cost(specs[text])
        return -max((costs[text] for text in named), default=0.0)

    items.sort(key=place)


def measuring_plan(items: Sequence[pytest.Item], casts: Sequence[Cast]) -> Mapping[str, list[str]]:
    """List, per classifier of the live studies, the benchmarks that the selected tests need."""
    by_study = {cast.study: cast for cast in casts}
    plan: dict[str, list[str]] = {}
    for item in items:
        params = params_of(item)
        cast = by_study.get(params.get("study", ""))
        if cast is None or cast.study == PUBLISHED:
            continue
        named = [str(params[name]) for name in ("subject", "classifier", "narrower", "wider") if name in params]
        for text in [*(named or (spec.text for spec in cast.subjects)), cast.baseline.text]:
            benchmarks = plan.setdefault(text, [])
            benchmarks.extend(
                name for marker in item.iter_markers("needs") for name in marker.args if name not in benchmarks
            )
    return plan
