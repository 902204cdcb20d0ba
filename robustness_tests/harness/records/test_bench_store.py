"""How many records a second are written and read, beside bare pyarrow. Run with `-m bench -n 0`.

In memory where there is such a folder, as on a disk that flushes in no time; what the disk at hand adds is told beside.
"""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest

from data_fixtures.timing import best_times
from harness.records.schema import to_columns, to_table
from harness.records.store import RecordStore, RunKey

pytestmark = pytest.mark.bench

RECORDS = 500_000
CHUNK = 4096
KEY = RunKey("imagenet-c", "a_classifier", {"protocol": "classify/1"}, pairs=3_750_000, chunk=CHUNK)
ENOUGH = 1_000_000


@pytest.fixture
def folder(tmp_path):
    memory = Path("/dev/shm")
    if not memory.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as made:
        yield Path(made)


@pytest.fixture(scope="module")
def records():
    """Records of ImageNet-C as they are: names that hardly repeat within a chunk, digests and times that never do."""
    rng = np.random.default_rng(0)
    places = np.arange(RECORDS)
    images = rng.integers(0, 50_000, RECORDS)

    def drawn(high, dtype, *shape):
        return rng.integers(0, high, (RECORDS, *shape)).astype(dtype)

    return {
        "position": places,
        "cell": np.array([f"gaussian_noise/{place % 5 + 1}" for place in places], dtype=object),
        "image": np.array([f"n{i % 1000:08d}/ILSVRC2012_val_{i:08d}.JPEG" for i in images], dtype=object),
        "digest": drawn(2**63, np.uint64),
        "size": drawn(2**17, np.int64),
        "modified": 1_700_000_000_000_000_000 + drawn(2**40, np.int64),
        "label": drawn(1000, np.int16),
        "top5": drawn(1000, np.int16, 5),
        "confidence": rng.random(RECORDS, dtype=np.float32),
        "label_rank": drawn(1000, np.int16),
        "own_prediction": drawn(1000, np.int16),
        "own_confidence": rng.random(RECORDS, dtype=np.float32),
    }


def _chunks(records):
    for start in range(0, RECORDS, CHUNK):
        yield {name: values[start : start + CHUNK] for name, values in records.items()}


def _bare_write(records, folder):
    """Write as pyarrow does by itself: neither checksum nor flush, and nothing is renamed."""
    import pyarrow.parquet as pq

    folder.mkdir(exist_ok=True)
    for place, chunk in enumerate(_chunks(records)):
        pq.write_table(to_table(chunk), folder / f"{place:05d}.parquet", compression="zstd")


def _bare_read(folder):
    import pyarrow.parquet as pq

    return sum(len(to_columns(pq.read_table(path))["position"]) for path in sorted(folder.iterdir()))


def _store_write(records, root):
    shutil.rmtree(root, ignore_errors=True)
    run = RecordStore(root).run(KEY)
    with run.lock():
        run.append(records)


def _store_read(root):
    return sum(len(columns["position"]) for columns in RecordStore(root).run(KEY).read(RECORDS))


def _told(benchmark, ours, bare):
    benchmark.extra_info["records_per_second"] = RECORDS / ours
    benchmark.extra_info["bare_records_per_second"] = RECORDS / bare
    return RECORDS / ours


def test_a_million_records_a_second_are_written(benchmark, records, folder, tmp_path):
    """Checksummed and flushed."""
    bare, ours, on_disk = best_times(
        [
            lambda: _bare_write(records, folder / "bare"),
            lambda: _store_write(records, folder / "store"),
            lambda: _store_write(records, tmp_path / "store"),
        ],
        rounds=5,
    )
    benchmark.extra_info["records_per_second_on_disk"] = RECORDS / on_disk
    benchmark.pedantic(_store_write, (records, folder / "store"), rounds=1)
    assert _told(benchmark, ours, bare) >= ENOUGH


def test_a_million_records_a_second_are_read(benchmark, records, folder):
    """All their columns, checksums checked."""
    _bare_write(records, folder / "bare")
    _store_write(records, folder / "store")
    bare, ours = best_times([lambda: _bare_read(folder / "bare"), lambda: _store_read(folder / "store")], rounds=5)
    assert benchmark.pedantic(_store_read, (folder / "store",), rounds=1) == RECORDS
    assert _told(benchmark, ours, bare) >= ENOUGH
