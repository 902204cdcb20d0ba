"""A run of the miniature on pictures that nobody has looked at: what holds on the pinned ones holds there too."""

import json

import pytest

from data_fixtures.miniature.study import miniature

NEVER_LOOKED_AT = 200
# What must hold for real, on any pictures.
FOR_REAL = ("C1", "C6", "C8", "C10", "C11", "C13", "C14", "C15", "C17", "C18", "C19")


@pytest.fixture(scope="module")
def asked_elsewhere(run_suite, tmp_path_factory):
    """Ask every claim on pictures of another seed."""
    folder = tmp_path_factory.mktemp("elsewhere")
    run = run_suite(
        *("-m", "quick", "-k", "miniature", f"--records={folder / 'records'}", f"--report={folder}"),
        f"--miniature-seed={NEVER_LOOKED_AT}",
    )
    return run, json.loads((folder / "verdicts.json").read_text(encoding="utf-8"))["verdicts"]


def known(test):
    """Find what a test is known to say on the pinned pictures where its claim does not hold there."""
    name, _, case = test.rpartition("::")[2].partition("[miniature")
    return miniature().expects(name, case.removeprefix("-").rstrip("]"))


@pytest.mark.parametrize("claim", FOR_REAL)
def test_claims_hold_on_pictures_that_nobody_has_looked_at(claim, asked_elsewhere):
    _, entries = asked_elsewhere
    said = [entry for entry in entries if entry["claim"] == claim and known(entry["test"]) is None]
    assert len(said) > 0
    missed = [f"{entry['test']}: {entry['verdict']}" for entry in said if entry["verdict"] not in ("holds", "not_run")]
    assert missed == []
    assert sum(entry["verdict"] == "holds" for entry in said) > 0


def test_nothing_fails_there_that_is_not_known_to(asked_elsewhere):
    run, entries = asked_elsewhere
    unforeseen = [entry["test"] for entry in entries if entry["verdict"] == "fails" and entry["expected"] is None]
    assert unforeseen == []
    assert run.code == 0  # figures that are pinned on other pictures are not held against these
    assert run.counts.get("failed", 0) == 0


def test_every_claim_of_the_paper_is_asked(asked_elsewhere):
    _, entries = asked_elsewhere
    judged = {entry["claim"] for entry in entries if entry["verdict"] != "not_run"}
    assert {f"C{number}" for number in range(1, 20)} <= judged
