"""Runs of the suite in processes of their own, on data whose every figure is known."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

RIGHT = "python:data_fixtures.classifiers:reads_colours?mean=0,0,0&std=1,1,1"
WRONG = RIGHT.replace("reads_colours", "reads_the_next_class")

# What would make a run depend on where it is started from.
INHERITED = (
    "ROBUSTNESS_DATA",
    "PYTEST_ADDOPTS",
    "PYTEST_XDIST_WORKER",
    "PYTEST_XDIST_WORKER_COUNT",
    "CUDA_VISIBLE_DEVICES",
)


@dataclass(frozen=True)
class Finished:
    """What a run of the suite left behind."""

    code: int
    out: str
    err: str

    @property
    def lines(self):
        return self.out.splitlines()

    def line(self, part):
        """Give the one line of the output that holds a text."""
        found = [line for line in self.lines if part in line]
        assert len(found) == 1, f"{part!r} is in {len(found)} lines of:\n{self.out}\n{self.err}"
        return found[0]

    @property
    def counts(self):
        """The outcomes that pytest counts in its last line, e.g. {"passed": 3}."""
        pieces = self.lines[-1].strip("= ").partition(" in ")[0].split(", ")
        return {name: int(count) for count, name in (piece.split() for piece in pieces)}


@pytest.fixture(scope="session")
def repository(pytestconfig):
    return pytestconfig.rootpath


@pytest.fixture(scope="session")
def run_suite(repository):
    """Run pytest in the repository, with nothing of this run's own options."""

    def run(*arguments, env=None, cwd=repository):
        kept = {name: value for name, value in os.environ.items() if name not in INHERITED}
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *map(str, arguments)]
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**kept, "COLUMNS": "120", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", **(env or {})},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def run_claims(run_suite):
    """Ask the claims of a classifier that is always right, against one that is always wrong; gives the report too."""

    def run(folder, data, *arguments, env=None):
        report = folder / "report"
        finished = run_suite(
            *("-m", "full", f"--records={folder / 'records'}", f"--report={report}", f"--data-root={data}"),
            *(f"--baseline={WRONG}", f"--classifiers={RIGHT}", *arguments),
            env=env,
        )
        return finished, json.loads((report / "verdicts.json").read_text(encoding="utf-8"))

    return run
