"""Measuring on a Ray cluster: the records are those of this process, and what dies or fails is told as it is here."""

import importlib.util
import logging
import os
import signal
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_fixtures.colours import write_image, write_imagenet
from data_fixtures.miniature.study import spec as miniature_spec
from harness.benchmarks.catalog import DataRoots, open_benchmark
from harness.benchmarks.order import prefix_order
from harness.classifiers.spec import parse_spec
from harness.engines import cluster as clusters
from harness.engines.cluster import Cluster
from harness.engines.measuring import measured
from harness.engines.settings import Settings
from harness.errors import CheckpointError, ClassifierError, ComputingLost, DataError, UsageError
from harness.protocols.attacks import Attack
from harness.protocols.maximizing import Maximize
from harness.protocols.needs import benchmark_of
from harness.records.store import RecordStore

pytestmark = [
    pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="needs Ray: pip install -e '.[cluster]'"),
    pytest.mark.usefixtures("one_thread", "chunks_of_16"),
]

RIGHT = "python:data_fixtures.classifiers:reads_colours?mean=0,0,0&std=1,1,1"
# Batches that end where chunks do, so that both ways compute the very same ones.
SETTINGS = Settings(workers=0, batch_size=8)
CHUNK = 16
STANDARD = Attack("standard", ladder=(2, 4), restarts=1)
TRANSFERRED = Attack("standard", ladder=(2, 4), restarts=1, surrogate=miniature_spec("surrogate").text)
MAXIMIZE = Maximize(units=(0, 1), steps=3)
NEEDS = ("imagenet", "imagenet-c", "imagenet-p", "cue-conflict", STANDARD, TRANSFERRED, MAXIMIZE)
IMAGES = {"imagenet": 70, "imagenet-c": 40, "imagenet-p": 20, "cue-conflict": 40, STANDARD: 20, TRANSFERRED: 20}


@pytest.fixture(scope="module")
def deadly(tmp_path_factory):
    """The file that the classifier `dies_once` dies of."""
    return tmp_path_factory.mktemp("deadly") / "file"


@pytest.fixture(scope="module")
def cluster(deadly):
    """A cluster of two actors on this machine, as the command line starts one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("DIES_ONCE", str(deadly))
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
        engine = Cluster()
        before = signal.getsignal(signal.SIGTERM)
        engine.connect()
        assert signal.getsignal(signal.SIGTERM) is before
        yield engine
        engine.close()


@pytest.fixture
def photographs(tmp_path):
    """40 photographs, in three chunks."""
    write_imagenet(tmp_path / "imagenet", range(20), per_class=2)
    return DataRoots(tmp_path)


@pytest.fixture
def ask(tmp_path):
    """Give a function that measures classifiers in a store of their own; gives the folder and the records of each."""
    from harness.classifiers.loading import load

    def ask(roots, need, *specs, engine=None, store="records", **settings):
        dataset = open_benchmark(benchmark_of(need), roots)
        how = replace(SETTINGS, **({"engine": engine} if engine else {}), **settings)
        found = []
        for run, images in measured(dataset, need, specs, load, RecordStore(tmp_path / store), how):
            parts = list(run.read(images))
            found.append((run.folder, {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}))
        return found

    return ask


def files(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("[0-9]*.parquet")}


@pytest.mark.parametrize("need", NEEDS, ids=str)
def test_records_are_those_of_this_process_bit_for_bit(need, ask, cluster, miniature):
    specs = [miniature_spec(name) for name in (("baseline", "adversarial") if need == TRANSFERRED else ("baseline",))]
    images = {"images": IMAGES[need]} if need in IMAGES else {}
    here = ask(miniature, need, *specs, store="here", **images)
    there = ask(miniature, need, *specs, store="there", engine=cluster, **images)
    assert len(here) == len(specs)
    for (_, expected), (_, found) in zip(here, there, strict=True):
        assert set(expected) == set(found)
        for name, values in expected.items():
            assert np.array_equal(values, found[name], equal_nan=values.dtype.kind == "f"), name


def test_only_what_is_missing_is_computed_and_actors_keep_their_classifier(ask, cluster, photographs):
    spec = parse_spec(RIGHT)
    ((folder, _),) = ask(photographs, "imagenet", spec, images=20)
    before = files(folder)
    ((_, found),) = ask(photographs, "imagenet", spec, engine=cluster)
    after = files(folder)
    whole = next(name for name in before if name.startswith("00000-16."))
    assert (len(before), len(after)) == (2, 3)
    assert after[whole] == before[whole]
    assert found["position"].tolist() == list(range(40))
    actors = {place.actor for place in cluster.places}
    ask(photographs, "imagenet", spec, engine=cluster, store="other")
    assert {place.actor for place in cluster.places} == actors
    assert len(actors) == 2


def test_what_an_actor_dies_of_is_computed_again_by_another(ask, cluster, photographs, deadly, caplog):
    deadly.touch()
    spec = parse_spec(RIGHT.replace("reads_colours", "dies_once"))
    with caplog.at_level(logging.INFO, "harness"):
        ((_, found),) = ask(photographs, "imagenet", spec, engine=cluster)
    assert not deadly.exists()
    assert found["position"].tolist() == list(range(40))
    told = [record.getMessage() for record in caplog.records if "is computed again" in record.getMessage()]
    assert len(told) == 1
    assert told[0].startswith("dies_once on imagenet: chunk ")


def test_an_actor_that_is_killed_is_replaced(ask, cluster, photographs):
    spec = parse_spec(RIGHT.replace("reads_colours", "takes_its_time"))
    killed = []
    fetch = cluster.fetch

    def fetch_and_kill(place, sign):
        said = fetch(place, sign)
        if not killed:
            victims = actor_processes()
            killed.extend(victims[:1])
            with suppress(ProcessLookupError):
                os.kill(victims[0], signal.SIGKILL)
        return said

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "fetch", fetch_and_kill)
        ((folder, found),) = ask(photographs, "imagenet", spec, engine=cluster)
    assert killed
    assert found["position"].tolist() == list(range(40))
    assert sorted(name[:5] for name in files(folder)) == ["00000", "00001", "00002"]


def actor_processes():
    """List the processes of actors, which are grandchildren of this one: their parent is the cluster's raylet."""
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if (
                command.read_bytes().startswith(b"ray::Seat")
                and parent_of(parent_of(command.parent.name)) == os.getpid()
            ):
                found.append(int(command.parent.name))
    return found


def parent_of(process):
    return int((Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()[1])


def test_a_chunk_that_kills_again_and_again_is_one_error_that_names_it(ask, cluster, photographs):
    spec = parse_spec(RIGHT.replace("reads_colours", "dies"))
    with pytest.raises(ComputingLost) as caught:
        ask(photographs, "imagenet", spec, engine=cluster)
    told = str(caught.value)
    assert told.startswith("dies on imagenet: what computed chunk ")
    assert " died 3 times, the last time by: " in told
    assert told.endswith("what was measured is kept, the same command goes on from there")
    assert "\n" not in told


def test_errors_come_out_as_themselves_and_what_was_done_is_kept(ask, cluster, photographs, tmp_path):
    dataset = open_benchmark("imagenet", photographs)
    broken = dataset.path(int(prefix_order(40, 0)[20]))  # of the second chunk
    broken.write_bytes(b"no image")
    spec = parse_spec(RIGHT)
    for engine in (None, cluster):
        with pytest.raises(DataError) as caught:
            ask(photographs, "imagenet", spec, engine=engine, store=f"broken-{engine is None}")
        assert str(caught.value) == f"{broken} is not an image; replace the file"
    (folder,) = (tmp_path / "broken-False" / "imagenet").iterdir()
    assert "00000-16" in {name.split(".")[0] for name in files(folder)}
    write_image(broken, 0)
    ((_, found),) = ask(photographs, "imagenet", spec, engine=cluster, store="broken-False")
    assert len(found["position"]) == 40


def test_a_classifier_that_fails_is_told_as_in_this_process(ask, cluster, photographs):
    spec = parse_spec(RIGHT.replace("reads_colours", "gives_nan"))
    told = []
    for engine in (None, cluster):
        with pytest.raises(ClassifierError) as caught:
            ask(photographs, "imagenet", spec, engine=engine, images=CHUNK, store=f"nan-{engine is None}")
        told.append(str(caught.value))
    assert told[0] == told[1]
    assert "NaN or infinite logits" in told[0]


def test_other_weights_on_a_node_are_an_error_that_names_it(ask, cluster, photographs, monkeypatch):
    from harness.classifiers.loading import identity

    monkeypatch.setattr(
        "harness.classifiers.loading.identity", lambda *asked: {**identity(*asked), "weights": "sha256:other"}
    )
    with pytest.raises(CheckpointError, match=r"on \S+ its weights differ from those of the machine that asks"):
        ask(photographs, "imagenet", parse_spec(RIGHT), engine=cluster)


def test_files_that_a_node_lacks_are_told_with_its_name(cluster):
    passed = clusters._Pass.__new__(clusters._Pass)
    passed._cluster = cluster
    alone = passed._placed(DataError("imagenet: no such file"), "node7")
    cluster._known = (float("inf"), [{"CPU": 1.0}, {"CPU": 1.0}])
    try:
        spread = passed._placed(DataError("imagenet: no such file"), "node7")
        of_classifier = passed._placed(ClassifierError("NaN"), "node7")
    finally:
        cluster._known = (0.0, [])
    assert (str(alone), str(of_classifier)) == ("imagenet: no such file", "NaN")
    assert type(spread) is DataError
    assert str(spread) == "imagenet: no such file (on node7: each node needs the same files at the same paths)"


@pytest.mark.parametrize(
    ("device", "threads", "nodes", "expected"),
    [
        ("cpu", "", [{"CPU": 4.0}, {"CPU": 2.0}], (6, 1, 0, 1, 0)),
        ("cpu", "4", [{"CPU": 8.0, "GPU": 1.0}, {"CPU": 6.0}], (3, 4, 0, 1, 0)),
        ("cpu", "16", [{"CPU": 8.0}], (1, 8, 0, 1, 0)),
        ("cpu", "", [{}], (0, 1, 0, 1, 0)),
        ("cuda", "", [{"CPU": 16.0, "GPU": 2.0}, {"CPU": 64.0}], (2, 8, 1, 2, 4)),
        ("cuda", "", [{"CPU": 96.0, "GPU": 1.0}, {"CPU": 8.0, "GPU": 4.0}], (5, 2, 1, 2, 1)),
        ("cuda", "", [{"CPU": 1.0, "GPU": 2.0}], (2, 0, 1, 2, 1)),
    ],
)
def test_each_actor_gets_a_gpu_or_cores_of_its_node(device, threads, nodes, expected, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    engine = Cluster()
    engine._device, engine._known = device, (float("inf"), nodes)
    share = engine.share()
    assert (share.places, share.cores, share.gpus, share.at_once, share.workers) == expected


def test_a_device_must_be_the_clusters(cluster):
    assert cluster.device("cpu") == cluster.device("auto") == "cpu"
    with pytest.raises(UsageError, match="the Ray cluster has no GPU"):
        cluster.device("cuda")
    with pytest.raises(UsageError, match="each actor has a GPU of its own"):
        cluster.device("cuda:1")


def test_a_cluster_that_is_not_there_is_told_at_once_and_again():
    engine = Cluster("127.0.0.1:9")
    for _ in range(2):
        with pytest.raises(UsageError, match=r"127\.0\.0\.1:9: nothing answers there .* ray start --head"):
            engine.connect()


def test_without_ray_it_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"not installed: pip install -e '\.\[cluster\]'"):
        Cluster()
