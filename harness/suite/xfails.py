"""What a candidate is expected to fail: a file of claims with reasons, and what of it did not come true."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.suite.claims import CANDIDATE, claim_of, params_of


@dataclass(frozen=True)
class ExpectedFailure:
    """A claim that a candidate is expected to fail.

    Attributes:
        claim: Its id, e.g. `C10`.
        cases: Pattern of the ids of the tests' cases, without study and classifier, e.g. `standard`; `*` for all.
        reason: Why.
        line: Where it stands in its file.
    """

    claim: str
    cases: str
    reason: str
    line: int

    def covers(self, claim: str, test: str) -> bool:
        """Tell whether it is about a claim's test, by the test's name or id."""
        case = test.partition("[")[2].removesuffix("]")
        pieces = case.split("-")
        return claim == self.claim and any(
            fnmatchcase("-".join(pieces[start:]), self.cases) for start in range(len(pieces) + 1)
        )

    def __str__(self) -> str:
        return self.claim if self.cases == "*" else f"{self.claim}[{self.cases}]"


def read(path: Path) -> tuple[ExpectedFailure, ...]:
    """Read a file of expected failures.

    Each line holds a claim's id, a comma and the reason: `C10, trained against PGD`. After the id, a pattern in
    brackets picks some of its cases by how their test's id ends: `C10[standard], ...`. Empty lines and lines that
    begin with # are passed over.

    Raises:
        UsageError: The file can't be read, or a line is none of these; names file and line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = "is no text" if isinstance(error, UnicodeDecodeError) else f"can't be read ({error.strerror})"
        raise UsageError(f"--xfails {path}: {why}") from error
    found: list[ExpectedFailure] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        named, comma, reason = (part.strip() for part in line.partition(","))
        claim, bracket, cases = named.partition("[")
        is_closed = bracket == "" or (cases.endswith("]") and len(cases) > 1)
        if not (comma and reason and claim.isalnum() and is_closed):
            raise UsageError(
                f"--xfails {path}, line {number}: {line.strip()!r} is not a claim's id, a comma and a reason, e.g. "
                "'C10, trained against PGD' or 'C10[standard], trained against PGD'"
            )
        found.append(ExpectedFailure(claim.upper(), cases[:-1] or "*", reason, number))
    return tuple(found)


def expect(items: Sequence[pytest.Item], expected: Sequence[ExpectedFailure]) -> None:
    """Turn what a candidate is expected to fail into xfails; that it passes is no failure, and told."""
    for item in items:
        if params_of(item).get("study") != CANDIDATE:
            continue
        for each in expected:
            if each.covers(claim_of(item), item.name):
                item.add_marker(pytest.mark.xfail(reason=each.reason, raises=AssertionError, strict=False))
                break


def notices(entries: Sequence[Mapping[str, Any]], expected: Sequence[ExpectedFailure], path: Path) -> list[str]:
    """Say which expected failures are of nothing that was asked, and which did not come true, as far as is known.

    Args:
        entries: The verdicts of a run.
        expected: What was expected.
        path: In which file.
    """
    asked = [entry for entry in entries if entry["study"] == CANDIDATE]
    claims = ", ".join(dict.fromkeys(entry["claim"] for entry in asked)) or "nothing"
    told = []
    for each in expected:
        where = f"{path.name}, line {each.line}: {each}"
        tests = [entry for entry in asked if each.covers(entry["claim"], entry["test"])]
        if not tests:
            told.append(f"{where} is of nothing that was asked of the candidate; asked were {claims}")
        if holds := sorted({entry["test"].partition("::")[2] for entry in tests if entry["verdict"] == "holds"}):
            told.append(f"{where} was expected to fail ({each.reason}) and holds: {', '.join(holds)}")
        elif tests and not any(entry["verdict"] == "fails" for entry in tests):
            found = " or ".join(sorted({entry["verdict"].replace("_", " ") for entry in tests}))
            told.append(f"{where} was expected to fail ({each.reason}) and is {found}")
    return told
