"""Runs of the suite in processes of their own, on data whose every figure is known."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass

import pytest

from data_fixtures.environment import NOT_INHERITED, environment

RIGHT = "python:data_fixtures.classifiers:reads_colours?mean=0,0,0&std=1,1,1"
WRONG = RIGHT.replace("reads_colours", "reads_the_next_class")


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
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *map(str, arguments)]
        done = subprocess.run(
            command,
            cwd=cwd,
            env=environment(**{"COLUMNS": "250", **(env or {})}),
            capture_output=True,
            text=True,
            timeout=900,
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


PINS_TEST = """
import os
import pytest
from harness.errors import NotMeasured
from harness.studies.study import Provenance
from harness.suite.pins import Pin

@pytest.mark.parametrize("name", {names!r})
@pytest.mark.parametrize("study", {studies!r})
def test_numbers(name, {study}pinned):
    {before}
    other = Provenance("{kind}", {{"imagenet-c": "{data}"}}, {{"net": "{weights}"}}, {settings})
    same = Provenance("{kind}", {{"imagenet": "sha256:cc"}}, {{"net": "{weights}"}}, {settings})
    if {both}:
        same = Provenance("{kind}", {{"imagenet": "{data}"}}, {{"net": "{weights}"}}, {settings})
    how = ({images}, "{protocol}") if {both} else (100, "classify, fp32, seed 0")
    figures = {{
        "mce": Pin({mce}, {tolerance}, {images}, "{protocol}", other),
        "top1": Pin({top1}, 0.02, *how, same),
    }}
    figures |= {{each: NotMeasured("no folder of it") for each in "{missing}".split()}}
    assert figures == pinned
"""


class PinsProject:
    """A project with the suite's hooks and a test file that pins two figures for each of two names."""

    def __init__(self, pytester):
        self._pytester = pytester
        self.folder = pytester.path / "snapshots" / "test_it"
        self.pin = self.folder / "test_numbers[a].json"
        self.test = pytester.mkdir("claims") / "test_it.py"

    def read(self):
        return json.loads(self.pin.read_text(encoding="utf-8"))

    def write(self, *, before="pass", names=("a", "b"), study="", both=False, **changes):
        """Write the test file anew: what is done before figures are compared, and in what they are others."""
        defaults = {
            "mce": 0.25, "top1": 0.5, "tolerance": 0.01, "images": 100, "protocol": "classify, fp32, seed 0",
            "data": "sha256:aa", "weights": "sha256:11", "missing": "",
            "settings": {"seed": "0"},
        }  # fmt: skip
        text = PINS_TEST.format(
            **{**defaults, **changes},
            before=before, names=list(names), both=both, kind=study, studies=[study], study="study, " if study else "",
        )  # fmt: skip
        if not study:
            text = text.replace("@pytest.mark.parametrize(\"study\", [''])\n", "")
        self.test.write_text(text, encoding="utf-8")

    def __call__(self, *options, apart=False, **changes):
        """Write the test file and run it, in a process of its own where it may end that."""
        self.write(**changes)
        return self.run(*options, apart=apart)

    def run(self, *options, apart=False):
        run = self._pytester.runpytest_subprocess if apart else self._pytester.runpytest_inprocess
        arguments = [] if any(option.startswith("claims") for option in options) else ["claims"]
        cache = [] if "--lf" in options else ["-p", "no:cacheprovider"]
        return run(*cache, "-o", "addopts=", *options, *arguments)


@pytest.fixture
def pins_project(pytester, repository, monkeypatch):
    """Give a project whose tests take pins; nothing is pinned yet."""
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(repository / name, pytester.path / name)
    for name in NOT_INHERITED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(repository))
    monkeypatch.setenv("COLUMNS", "250")
    return PinsProject(pytester)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Give the folder that a module's runs write into."""
    return tmp_path_factory.mktemp("run")
