"""Runs on a Ray cluster that lose an actor or a node, or are killed or stopped: nothing is lost, nothing done twice."""

import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from data_fixtures.colours import write_imagenet
from data_fixtures.environment import environment
from harness.stopping import KEPT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="needs Ray: pip install -e '.[cluster]'"),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc"),
]

SLOW = "python:data_fixtures.classifiers:takes_its_time?mean=0,0,0&std=1,1,1"
TOKEN = "0123456789abcdef" * 4
CHUNKS = ("00000-256", "00001-256", "00002-256", "00003-32")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """800 photographs, which are four chunks."""
    root = tmp_path_factory.mktemp("colours")
    write_imagenet(root / "imagenet", range(6, 46), per_class=20)
    return root


def own_environment():
    path = os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")]))
    return environment(PYTHONPATH=path, COLUMNS="200")


def processes():
    """Map each process to its parent; a zombie is none."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                found[int(stat.parent.name)] = int(parent)
    return found


def below(ancestor):
    """List a process and all that it started."""
    parents = processes()

    def is_below(process):
        while process in parents and process != ancestor:
            process = parents[process]
        return process == ancestor

    return [process for process in parents if is_below(process)]


def named(name, ancestor):
    """List the processes that call themselves so, below another one."""
    found = []
    for process in below(ancestor):
        with suppress(OSError):
            command = (Path("/proc") / str(process) / "cmdline").read_bytes().decode(errors="replace")
            if command.startswith(name) or f"/{name} " in command.replace("\0", " "):
                found.append(process)
    return found


class Run:
    """`python -m harness measure --engine ray`, in a session of its own.

    Args:
        folder: Where its store is.
        data: Its data root.
        options: More of them.
    """

    def __init__(self, folder, data, *options, **more):
        self.records = folder / "records"
        command = ["measure", SLOW, "imagenet", "--json", "--batch-size=16", "--engine=ray", *options]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "harness", *command, f"--data-root={data}", f"--records={self.records}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            env={**own_environment(), **more},
        )

    def wait_for(self, condition):
        began = time.monotonic()
        while not condition():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() - began < 120
            time.sleep(0.05)

    def wait_until_actors_work(self, count=1, ancestor=None):
        self.wait_for(lambda: len(named("ray::Seat.answer", ancestor or self.process.pid)) >= count)

    def chunks(self):
        """Tell of each chunk's file which file it is and when it was written."""
        return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in self.records.rglob("[0-9]*.parquet")}

    def ended(self):
        """Give exit code, output, errors and the seconds until it ended."""
        began = time.monotonic()
        try:
            out, err = self.process.communicate(timeout=180)
        except BaseException:
            self.process.kill()
            self.process.communicate()
            raise
        return self.process.returncode, out, err, time.monotonic() - began


def names(chunks):
    return sorted(path.name.split(".")[0] for path in chunks)


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    """What an undisturbed run prints, which is what one without a cluster does."""
    run = Run(tmp_path_factory.mktemp("undisturbed"), data)
    code, out, err, _ = run.ended()
    assert code == 0, err
    local = Run(tmp_path_factory.mktemp("local"), data, "--engine=local")
    assert local.ended()[:2] == (0, out)
    contents = [sorted(path.name for path in each.records.rglob("[0-9]*.parquet")) for each in (run, local)]
    assert contents[0] == contents[1]
    return out


def assert_goes_on(folder, data, expected):
    """See that the same command prints what an undisturbed run does, and computes only what was missing."""
    before = Run.chunks(type("Kept", (), {"records": folder / "records"}))
    again = Run(folder, data)
    code, out, err, _ = again.ended()
    assert (code, out) == (0, expected), err
    after = again.chunks()
    assert names(after) == list(CHUNKS)
    assert {path: after[path] for path in before} == before


@pytest.mark.parametrize("moment", [round(random.Random(seed).uniform(0, 8), 2) for seed in range(3)])
def test_a_run_goes_on_that_loses_an_actor(moment, data, undisturbed, tmp_path):
    run = Run(tmp_path, data)
    run.wait_until_actors_work()
    time.sleep(moment)
    for victim in named("ray::Seat", run.process.pid)[:1]:
        os.kill(victim, signal.SIGKILL)
    code, out, err, _ = run.ended()
    assert (code, out) == (0, undisturbed), err
    assert names(run.chunks()) == list(CHUNKS)


@pytest.mark.parametrize("victim", ["driver", "raylet", "gcs_server"])
def test_a_run_that_loses_its_cluster_or_its_life_goes_on_when_asked_again(victim, data, undisturbed, tmp_path):
    run = Run(tmp_path, data)
    run.wait_for(run.chunks)
    victims = [run.process.pid] if victim == "driver" else named(victim, run.process.pid)
    os.kill(victims[0], signal.SIGKILL)
    code, out, err, _ = run.ended()
    assert code or out == undisturbed, err  # all that was left may be done before the loss is felt
    assert run.chunks()
    assert_goes_on(tmp_path, data, undisturbed)


@pytest.mark.parametrize(("number", "everybody"), [(signal.SIGTERM, False), (signal.SIGINT, True)])
def test_a_run_that_is_stopped_says_so_within_seconds(number, everybody, data, undisturbed, tmp_path):
    run = Run(tmp_path, data)
    run.wait_for(run.chunks)
    if everybody:
        os.killpg(run.process.pid, number)
    else:
        os.kill(run.process.pid, number)
    code, out, err, seconds = run.ended()
    assert (code, out) == (128 + number, "")
    assert err.strip().splitlines()[-1] == f"harness: stopped; {KEPT}"
    assert "Traceback" not in err
    assert seconds < 5
    assert_goes_on(tmp_path, data, undisturbed)


@pytest.fixture
def two_nodes(tmp_path, monkeypatch):
    """A cluster of two nodes on this machine, with a token; of each node its raylet's process."""
    for name, value in own_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    script = (
        "import json, sys\n"
        "from ray.cluster_utils import Cluster\n"
        "cluster = Cluster(initialize_head=True, head_node_args={'num_cpus': 1, 'include_dashboard': False})\n"
        "nodes = [cluster.head_node, cluster.add_node(num_cpus=1)]\n"
        "raylets = [node.all_processes['raylet'][0].process.pid for node in nodes]\n"
        "print(json.dumps([cluster.address, raylets]), flush=True)\n"
        "sys.stdin.read()\n"
        "cluster.shutdown()\n"
    )
    keeper = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    lines = iter(keeper.stdout.readline, "")
    yield json.loads(next(line for line in lines if line.startswith("[")))
    keeper.communicate("", timeout=60)


def test_a_run_on_two_nodes_goes_on_when_one_is_killed(two_nodes, data, undisturbed, tmp_path):
    address, raylets = two_nodes
    told = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
    run = Run(tmp_path, data, f"--ray-address={address}", **told)
    for raylet in raylets:
        run.wait_until_actors_work(ancestor=raylet)
    for process in below(raylets[1]):  # the raylet alone would leave its actor time to answer
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    code, out, err, _ = run.ended()
    assert (code, out) == (0, undisturbed), err
    assert "is computed again" in err
    assert names(run.chunks()) == list(CHUNKS)


def test_a_cluster_with_another_token_says_what_to_set(two_nodes, data, tmp_path):
    address, _ = two_nodes
    run = Run(tmp_path, data, f"--ray-address={address}", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="f" * 64)
    code, out, err, _ = run.ended()
    assert (code, out) == (2, "")
    told = err.strip().splitlines()[-1]
    assert told.startswith(f"harness: --ray-address {address} can't be joined (")
    assert "wants RAY_AUTH_MODE=token and the same RAY_AUTH_TOKEN" in told
