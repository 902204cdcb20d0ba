"""Studies that come with the suite: their classifiers and data are there, and so is what each claim is known to say."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from harness.classifiers.spec import Spec
from harness.engines.settings import Settings
from harness.protocols.needs import Need
from harness.studies.laboratory import Laboratory
from harness.studies.live import Attacks
from harness.suite.parameters import Cast
from harness.verdicts.rules import Verdict

Plan = Mapping[Spec, Iterable[Need]]


@dataclass(frozen=True)
class Expected:
    """What some of a study's tests are known to say, where that is not that the claim holds.

    Attributes:
        test: The test function's name.
        cases: Pattern of the ids of its parameters, the study's name aside, e.g. `*-eps_0.1`.
        verdict: What it says: fails, or undecided where it is too close to call and may come out either way.
        reason: Why, with what was measured.
        may_fail: Whether what is too close to call comes out either way by a hair, failing included.
    """

    test: str
    cases: str
    verdict: Verdict
    reason: str
    may_fail: bool = False

    def covers(self, test: str, case: str) -> bool:
        """Tell whether it is about a test with parameters of this id."""
        return test == self.test and fnmatchcase(case, self.cases)


@dataclass(frozen=True)
class Shipped:
    """A study that comes with the suite.

    Attributes:
        cast: Who appears in it.
        attacks: How attacks are run in it.
        laboratory: From the folder of records, the settings and the plan to where it is measured.
        expected: What is known to be otherwise than that a claim holds.
        factory: Makes this study again in another process; picklable.
        is_pinned: Whether it is on the very pictures for which that is known: then any other verdict is a failure.
    """

    cast: Cast
    attacks: Attacks
    laboratory: Callable[[Path, Settings, Plan], Laboratory]
    factory: "Callable[[], Shipped]"
    expected: tuple[Expected, ...] = ()
    is_pinned: bool = True

    def expects(self, test: str, case: str) -> Expected | None:
        """Find what a test with parameters of this id is known to say; None where its claim holds."""
        return next((each for each in self.expected if each.covers(test, case)), None)
