"""Runs that are killed, stopped or lose a process: nothing is lost that was kept, nothing is done twice."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from data_fixtures.colours import write_imagenet, write_imagenet_a
from data_fixtures.environment import environment
from harness.stopping import KEPT

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")

RIGHT = "python:data_fixtures.classifiers:reads_colours?mean=0,0,0&std=1,1,1"
SLOW = RIGHT.replace("reads_colours", "takes_its_time")
DYING = RIGHT.replace("reads_colours", "dies_once")
TABLE4 = "robustness_tests/test_table4_imagenet_a.py"
KILLS = 100


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """600 photographs, which are three chunks, and 200 of ImageNet-A, which are one."""
    root = tmp_path_factory.mktemp("colours")
    write_imagenet(root / "imagenet", range(6, 46), per_class=15)
    write_imagenet_a(root / "imagenet-a", per_class=1)
    return root


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str
    seconds: float


class Command:
    """A command of the suite in a session of its own, whose processes are found by that.

    Args:
        arguments: After `python -m`.
        folder: Where its store and its report are.
        data: Its data root.
        added: To this process's environment.
    """

    def __init__(self, arguments, folder, data, **added):
        self.records = folder / "records"
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", *arguments, f"--data-root={data}", f"--records={self.records}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a shell's background jobs ignore
            env=environment(COLUMNS="200", **added),
        )

    def others(self):
        """Give the ids of its processes but the first, by their parents' ids; a zombie is none."""
        found = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                state, parent, _, session = stat.read_text().rpartition(")")[2].split()[:4]
                if int(session) == self.process.pid and state != "Z" and stat.parent.name != str(self.process.pid):
                    found[int(stat.parent.name)] = int(parent)
        return found

    def wait_until_it_measures(self, processes, runs=1):
        """Wait until so many processes run beside the first, and so many runs are measured."""
        while len(self.others()) < processes or len(list(self.records.glob("*/*/.lock"))) < runs:
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() - self.began < 120
            time.sleep(0.02)

    def wait_until_it_has_answers(self, processes):
        """Wait until it measures and has something to keep: it takes eight seconds in all, half a second a batch."""
        self.wait_until_it_measures(processes)
        time.sleep(3)

    def strike(self, victim, number):
        """Send a signal to its first process, to all, to a worker of pytest or to a process that decodes.

        What has not begun yet, or has ended, is spared: then it is the first process that gets it.
        """
        others = self.others()
        workers = sorted(each for each, parent in others.items() if parent == self.process.pid)
        decoders = sorted(each for each, parent in others.items() if parent in workers) or workers
        with suppress(ProcessLookupError):
            if victim == "all":
                os.killpg(self.process.pid, number)
            else:
                among = {"first": [self.process.pid], "worker": workers, "decoder": decoders}[victim]
                os.kill(min(among, default=self.process.pid), number)

    def ended(self):
        """Wait until it has ended, and for all of its processes to have done so soon after."""
        struck = time.monotonic()
        try:
            out, err = self.process.communicate(timeout=120)
        except BaseException:  # this run is stopped itself, or that one hangs
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()
            raise
        seconds = time.monotonic() - struck
        while self.others():
            assert time.monotonic() - struck < 60, f"processes are left: {self.others()}"
            time.sleep(0.05)
        return Ended(self.process.returncode, out, err, seconds)


def measure(folder, data):
    return Command(["harness", "measure", SLOW, "imagenet", "--json", "--batch-size=32"], folder, data)


def ask_claims(folder, data, workers=2, subject=SLOW, **added):
    options = ["-p", "no:cacheprovider", "-m", "full", TABLE4, f"-n{workers}", f"--report={folder / 'report'}"]
    named = [f"--baseline={RIGHT}", f"--classifiers={subject}", "--batch-size=32"]
    return Command(["pytest", *options, *named], folder, data, **added)


RUNS = {"measure": measure, "pytest": ask_claims}


def answer(name, folder, ended):
    """Give what a run answers, to the byte: what it prints, or its verdicts."""
    if name == "measure":
        return ended.out
    return json.dumps(json.loads((folder / "report" / "verdicts.json").read_text(encoding="utf-8"))["verdicts"])


def chunks(records):
    """Tell of each chunk's file which file it is and when it was written."""
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in records.rglob("[0-9]*.parquet")}


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    """Give what an undisturbed run answers, and how long it took; each is run once."""
    known = {}

    def run(name):
        if name not in known:
            folder = tmp_path_factory.mktemp(name)
            ended = RUNS[name](folder, data).ended()
            assert ended.code == (1 if name == "pytest" else 0), ended.err or ended.out
            known[name] = answer(name, folder, ended), ended.seconds
        return known[name]

    return run


def assert_goes_on(name, folder, data, expected):
    """See that the same command answers what an undisturbed run does, and measures only what was missing."""
    kept = chunks(folder / "records")
    whole = {path: facts for path, facts in kept.items() if path.name.split(".")[0] in WHOLE}
    ended = RUNS[name](folder, data).ended()
    assert "Traceback" not in ended.out + ended.err
    assert answer(name, folder, ended) == expected
    after = chunks(folder / "records")
    assert {path: after.get(path) for path in whole} == whole
    assert sorted({path.parent.parent.name for path in after}) == sorted(
        ["imagenet"] if name == "measure" else ["imagenet", "imagenet-a"]
    )


# Of 600 images and of 200.
WHOLE = ("00000-256", "00001-256", "00002-88", "00000-200")


def strikes(count):
    """Draw what is killed and when, in parts of an undisturbed run's time."""
    draw = random.Random(8)
    for place in range(count):
        name = "measure" if place % 2 == 0 else "pytest"
        victims = ["first", "all", "decoder"] if name == "measure" else ["first", "all", "worker", "decoder"]
        victim, moment = draw.choice(victims), round(draw.uniform(0.2, 1), 3)
        marks = () if place < 2 else (pytest.mark.kills,)
        yield pytest.param(name, victim, moment, id=f"{place}-{name}-{victim}", marks=marks)


@pytest.mark.parametrize(("name", "victim", "moment"), list(strikes(KILLS)))
def test_a_run_that_is_killed_goes_on_from_there(name, victim, moment, data, undisturbed, tmp_path):
    expected, seconds = undisturbed(name)
    run = RUNS[name](tmp_path, data)
    time.sleep(moment * seconds)
    run.strike(victim, signal.SIGKILL)
    run.ended()
    assert_goes_on(name, tmp_path, data, expected)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "victim"), [(signal.SIGINT, "all"), (signal.SIGTERM, "first")])
def test_a_measurement_that_is_stopped_says_so_and_keeps_what_it_has(number, victim, data, undisturbed, tmp_path):
    run = measure(tmp_path, data)
    run.wait_until_it_has_answers(processes=1)
    run.strike(victim, number)
    ended = run.ended()
    assert (ended.code, ended.out) == (128 + number, "")
    assert ended.err.strip() == f"harness: stopped; {KEPT}"
    assert ended.seconds < 5
    assert chunks(tmp_path / "records")
    if victim == "all":
        assert_goes_on("measure", tmp_path, data, undisturbed("measure")[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "victim", "number"),
    [(0, "all", signal.SIGINT), (0, "first", signal.SIGTERM), (2, "all", signal.SIGINT), (2, "first", signal.SIGTERM)],
)
def test_claims_that_are_stopped_say_so_and_keep_what_was_measured(workers, victim, number, data, tmp_path):
    run = ask_claims(tmp_path, data, workers)
    run.wait_until_it_has_answers(processes=1 + workers)
    run.strike(victim, number)
    ended = run.ended()
    by = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
    assert ended.code == pytest.ExitCode.INTERRUPTED
    assert f"! KeyboardInterrupt: stopped by {by}; {KEPT} !" in ended.out
    assert "Traceback" not in ended.out + ended.err
    assert ended.err == ""
    assert ended.seconds < 5
    assert chunks(tmp_path / "records")


def test_a_decoding_process_that_is_lost_is_one_line(data, tmp_path):
    run = measure(tmp_path, data)
    run.wait_until_it_has_answers(processes=1)
    run.strike("decoder", signal.SIGKILL)
    ended = run.ended()
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("harness: a process that decodes images was ended from outside")
    assert KEPT in ended.err
    assert ended.err.count("\n") == 1
    assert chunks(tmp_path / "records")


def test_a_worker_that_dies_is_reported_once_and_its_work_is_taken_over(data, tmp_path):
    deadly = tmp_path / "deadly"
    deadly.touch()
    ended = ask_claims(tmp_path, data, subject=DYING, DIES_ONCE=str(deadly)).ended()
    assert not deadly.exists()
    assert ended.out.count("replacing crashed worker ") == 1
    again = ask_claims(tmp_path, data, workers=0, subject=DYING, DIES_ONCE=str(deadly))
    found = json.loads((tmp_path / "report" / "verdicts.json").read_text(encoding="utf-8"))["verdicts"]
    written = chunks(tmp_path / "records")
    again.ended()
    expected = json.loads((tmp_path / "report" / "verdicts.json").read_text(encoding="utf-8"))["verdicts"]
    assert sorted(found, key=str) == sorted(expected, key=str)
    assert {entry["images"] for entry in found} >= {200}
    assert chunks(tmp_path / "records") == written
