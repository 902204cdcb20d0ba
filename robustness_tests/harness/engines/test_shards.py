"""Shards: each measures its share of every run, and together they measure what one run does."""

from dataclasses import replace

import pytest

from data_fixtures.colours import write_imagenet
from harness.benchmarks.catalog import DataRoots, open_benchmark
from harness.benchmarks.order import prefix_order
from harness.classifiers.spec import parse_spec
from harness.engines.measuring import measured, run_key
from harness.engines.settings import Settings, Shard
from harness.errors import DataError, NotMeasured, ShardDone
from harness.protocols.attacks import Attack
from harness.protocols.maximizing import Maximize
from harness.records.merging import merged
from harness.records.store import Busy, RecordStore
from harness.records.upkeep import collected, listed

pytestmark = pytest.mark.usefixtures("one_thread", "chunks_of_16")

RIGHT = "python:data_fixtures.classifiers:reads_colours?mean=0,0,0&std=1,1,1&resize=16&crop=16"
NEXT = RIGHT.replace("reads_colours", "reads_the_next_class")
FINE = "python:data_fixtures.features:fine_filters?resize=32&crop=32&mean=0,0,0&std=1,1,1"
SETTINGS = Settings(workers=0, batch_size=8)
STANDARD = Attack("standard", eps=8 / 255, ladder=(2, 4), restarts=1)
CHUNK = 16


@pytest.fixture
def dataset(tmp_path):
    """70 images: four chunks of 16 and one of 6."""
    write_imagenet(tmp_path / "imagenet", range(35), per_class=2)
    return open_benchmark("imagenet", DataRoots(tmp_path))


def measure(dataset, root, *specs, need="imagenet", shard=None, wait=True, **settings):
    from harness.classifiers.loading import load

    how = replace(SETTINGS, shard=Shard(*shard) if shard else None, **settings)
    return measured(dataset, need, list(map(parse_spec, specs or [RIGHT])), load, RecordStore(root), how, wait=wait)


def measure_shard(dataset, root, *specs, **how):
    with pytest.raises(ShardDone) as caught:
        measure(dataset, root, *specs, **how)
    return caught.value


def files(root):
    """Name the chunks' files, whose names carry the checksums of what is in them."""
    return {f"{path.parent.name}/{path.name}" for path in root.rglob("[0-9]*.parquet")}


def chunks(root):
    return sorted(path.name[:5] for path in root.rglob("[0-9]*.parquet"))


def test_a_shard_has_every_nth_chunk(dataset, tmp_path):
    done = [measure_shard(dataset, tmp_path / str(number), shard=(number, 3)) for number in (1, 2, 3)]
    assert [chunks(tmp_path / str(number)) for number in (1, 2, 3)] == [
        ["00000", "00003"],
        ["00001", "00004"],
        ["00002"],
    ]
    assert [each.images for each in done] == [32, 16 + 6, 16]
    assert str(done[1]).startswith("shard 2/3 measures and judges nothing; ")
    assert "python -m harness merge" in str(done[1])
    assert "--claims-only" in str(done[1])


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("is_shared", [False, True])
def test_shards_together_measure_what_one_run_does(count, is_shared, dataset, tmp_path):
    measure(dataset, tmp_path / "one")
    roots = [tmp_path / ("shared" if is_shared else str(number)) for number in range(1, count + 1)]
    for number, root in enumerate(roots, 1):
        measure_shard(dataset, root, shard=(number, count))
    whole = roots[0]
    if not is_shared:
        whole = tmp_path / "whole"
        assert all(result.is_whole for result in merged(roots, RecordStore(whole)))
    assert files(whole) == files(tmp_path / "one")
    assert sum(measure_shard(dataset, whole, shard=(number, count)).images for number in range(1, count + 1)) == 70
    ((run, images),) = measure(dataset, whole, measure=False)
    assert sum(len(part["position"]) for part in run.read(images)) == 70


def test_shards_of_fewer_images_share_those(dataset, tmp_path):
    assert measure_shard(dataset, tmp_path / "store", shard=(1, 2), images=40).images == 16 + 8
    assert measure_shard(dataset, tmp_path / "store", shard=(2, 2), images=40).images == 16
    assert chunks(tmp_path / "store") == ["00000", "00001", "00002"]
    measure(dataset, tmp_path / "store", measure=False, images=40)


def test_a_shard_that_is_done_measures_nothing(dataset, tmp_path, monkeypatch):
    first = measure_shard(dataset, tmp_path / "store", shard=(2, 3))
    monkeypatch.setattr("harness.engines.measuring.fill", lambda *_: pytest.fail("measured again"))
    assert measure_shard(dataset, tmp_path / "store", shard=(2, 3)).images == first.images


@pytest.mark.parametrize(
    ("need", "specs"),
    [
        (STANDARD, [RIGHT]),
        (replace(STANDARD, surrogate=RIGHT), [RIGHT, NEXT]),
        (Maximize(units=(0, 1), steps=2), [FINE]),
    ],
    ids=str,
)
def test_attacks_and_maximizing_images_are_shared_too(need, specs, dataset, tmp_path):
    measure(dataset, tmp_path / "one", *specs, need=need)
    for number in (1, 2):
        measure_shard(dataset, tmp_path / str(number), *specs, need=need, shard=(number, 2))
    parts = [files(tmp_path / str(number)) for number in (1, 2)]
    assert all(parts)
    assert parts[0].isdisjoint(parts[1])
    assert parts[0] | parts[1] == files(tmp_path / "one")


def test_an_error_of_a_shard_is_its_own(dataset, tmp_path):
    order = prefix_order(70, 0)
    dataset.path(int(order[CHUNK])).write_bytes(b"no image")
    measure_shard(dataset, tmp_path / "store", shard=(1, 2))
    with pytest.raises(DataError, match="is not an image"):
        measure(dataset, tmp_path / "store", shard=(2, 2))
    with pytest.raises(NotMeasured, match="32 of 70 records|31 of 70 records"):
        measure(dataset, tmp_path / "store", measure=False)


@pytest.fixture
def run(dataset, tmp_path):
    """A run that has no records yet."""
    return RecordStore(tmp_path / "store").run(run_key(dataset, "imagenet", parse_spec(RIGHT), SETTINGS))


def is_free(run, part=""):
    try:
        with run.lock(wait=False, part=part):
            return True
    except Busy:
        return False


def test_shards_do_not_wait_for_each_other_but_who_measures_all_does(run):
    with run.lock(part="1-of-2"):
        assert [is_free(run, part) for part in ("1-of-2", "2-of-2", "")] == [False, True, False]
    with run.lock():
        assert [is_free(run, part) for part in ("1-of-2", "2-of-2", "")] == [False, False, False]
    assert [is_free(run, part) for part in ("1-of-2", "2-of-2", "")] == [True, True, True]


def test_what_a_shard_is_at_is_in_use_and_left_alone(run, tmp_path):
    store = RecordStore(tmp_path / "store")
    with run.lock(part="1-of-2"):
        assert [each.is_in_use for each in listed(store)] == [True]
        for dry_run in (True, False):
            assert [each.is_left for each in collected(store, dry_run=dry_run)] == [True]
    assert [each.is_in_use for each in listed(store)] == [False]
    assert [each.why for each in collected(store)] == ["a run without records"]
    assert not run.folder.exists()
