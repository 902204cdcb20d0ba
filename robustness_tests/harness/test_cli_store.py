"""The commands that look after the store, as typed."""

import json

import pytest

from data_fixtures.colours import write_imagenet
from data_fixtures.records import cut_short, flip_a_bit, key, rows
from harness.cli import main
from harness.records.store import RecordStore

pytestmark = pytest.mark.usefixtures("one_thread")

RIGHT = "python:data_fixtures.classifiers:reads_colours?mean=0,0,0&std=1,1,1"


@pytest.fixture
def run(capsys, tmp_path):
    """Give a function that runs a command on the store `records`; gives exit code, what it printed and what it said."""

    def run(*arguments, records="records"):
        code = main([*map(str, arguments), f"--records={tmp_path / records}"])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def store(tmp_path):
    store = RecordStore(tmp_path / "records")
    store.run(key(protocol="classify/1", precision="fp32")).append(rows(0, 6))
    store.run(key(pairs=12_000, benchmark="imagenet-a", subject="b", protocol="sequences/1")).append(rows(0, 4))
    return store


def chunk(store, place):
    return sorted(store.root.glob("*/*/*.parquet"))[place]


def test_ls_says_what_each_run_is_and_has(run, store, tmp_path):
    code, out, _ = run("store", "ls")
    lines = [line.split("  ") for line in out.splitlines()]
    table = [[cell.strip() for cell in line if cell] for line in lines]
    assert code == 0
    assert table[0] == ["classifier", "benchmark", "protocol", "how", "images", "size", "written"]
    assert table[1][:5] == ["a_classifier", "imagenet", "classify/1", "fp32, seed 0", "6 of 10"]
    assert table[2][:5] == ["b", "imagenet-a", "sequences/1", "-, seed 0", "4 of 12,000"]
    size = sum(path.stat().st_size for path in store.root.rglob("*") if path.is_file())
    assert out.splitlines()[-1] == f"{tmp_path / 'records'}: 2 runs, {size / 1000:.3g} kB"


def test_ls_as_json(run, store):
    found = json.loads(run("store", "ls", "--json")[1])
    first, second = found["runs"]
    assert (found["store"], first["classifier"], second["classifier"]) == (str(store.root), "a_classifier", "b")
    assert (first["images"], first["of"], first["identity"]["precision"]) == (6, 10, "fp32")
    assert (first["damage"], first["in_use"]) == (None, False)


def test_ls_names_damaged_runs(run, store):
    path = store.folders()[0] / "run.json"
    cut_short(path)
    code, out, _ = run("store", "ls")
    assert code == 0
    assert f"damaged: {path} was cut short or altered; measuring again writes it anew" in out
    assert "6 of ?" in out
    assert json.loads(run("store", "ls", "--json")[1])["runs"][0]["classifier"] is None


def test_verify_of_a_whole_store(run, store):
    code, out, _ = run("store", "verify")
    assert code == 0
    assert "2 runs, 3 chunks whole, 10 records, " in out
    assert out.endswith("; 0 files damaged\n")


def test_verify_names_each_damaged_file_and_what_to_do(run, store):
    damaged = chunk(store, 1)
    flip_a_bit(damaged)
    code, out, _ = run("store", "verify")
    assert code == 1
    assert out.splitlines()[0] == (
        f"{damaged}: cut short or altered: its checksum is not that of its name; store gc removes it, "
        "and measuring again fills the gap"
    )
    assert out.splitlines()[-1].endswith("; 1 file damaged")
    code, out, _ = run("store", "verify", "--json")
    found = json.loads(out)
    assert (code, found["ok"], found["chunks"], found["records"]) == (1, False, 2, 8)
    assert [each["path"] for each in found["damaged"]] == [str(damaged)]


def test_gc_says_what_it_deletes_and_how_many_bytes(run, store):
    damaged = chunk(store, 1)
    flip_a_bit(damaged)
    size = damaged.stat().st_size
    code, out, _ = run("store", "gc", "--dry-run")
    assert code == 0
    assert f"would delete {damaged}: cut short or altered" in out
    assert damaged.exists()
    code, out, _ = run("store", "gc")
    assert code == 0
    assert f"deleted {damaged}: cut short or altered: its checksum is not that of its name, {size:,} bytes" in out
    assert out.endswith(f": deleted 1 item, {size:,} bytes\n")
    assert not damaged.exists()
    assert run("store", "verify")[0] == 0


def test_gc_names_what_a_process_is_at(run, store):
    with store.run(key(protocol="classify/1", precision="fp32")).lock():
        code, out, _ = run("store", "gc")
    assert code == 0
    assert out.splitlines()[0] == f"left {store.folders()[0]}: a process is at it"


def test_merged_stores_answer_as_if_all_was_measured_in_one(run, tmp_path, monkeypatch):
    monkeypatch.setattr("harness.suite.options.default_workers", lambda: 0)
    write_imagenet(tmp_path / "data" / "imagenet", range(10), per_class=2)
    measure = ["measure", RIGHT, "imagenet", f"--data-root={tmp_path / 'data'}", "--json"]
    expected = json.loads(run(*measure, records="whole")[1])
    run(*measure, "--images=7", records="site1")
    run(*measure, "--images=13", "--seed=1", records="site2")
    code, out, _ = run("merge", tmp_path / "site1", tmp_path / "site2")
    assert code == 0
    assert [line.partition(": ")[2] for line in out.splitlines()] == [
        "1 chunk copied (7 records), 0 there already",
        "1 chunk copied (13 records), 0 there already",
        "2 runs merged, 2 chunks with 20 records copied, 0 refused, 0 files damaged",
    ]
    assert "0 chunks with 0 records copied" in run("merge", tmp_path / "site1", tmp_path / "site2")[1]
    monkeypatch.setattr("harness.engines.measuring.fill", lambda *_: pytest.fail("measured what is there"))
    assert json.loads(run(*measure, "--images=7")[1])["metrics"]["top1"]["images"] == 7
    monkeypatch.undo()
    monkeypatch.setattr("harness.suite.options.default_workers", lambda: 0)
    assert json.loads(run(*measure)[1]) == expected


def test_merge_says_what_it_refuses_and_what_is_damaged(run, store, tmp_path):
    source = RecordStore(tmp_path / "source")
    other = rows(0, 6)
    other["digest"][5] = 1
    source.run(key(protocol="classify/1", precision="fp32")).append(other)
    source.run(key(seed="1")).append(rows(0, 4))
    damaged = next(source.run(key(seed="1")).folder.glob("*.parquet"))
    cut_short(damaged)
    code, out, _ = run("merge", source.root)
    assert code == 1
    assert ": refused: " in out
    assert "first of n1/5.png (position 5): digest is 1, and 9223372036854775813 in the store" in out
    assert f"left out: {damaged.name}\n" in out
    assert out.endswith("2 runs merged, 0 chunks with 0 records copied, 1 refused, 1 file damaged\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["store"], "ls|verify|gc"),
        (["store", "tidy"], "invalid choice: 'tidy'"),
        (["merge"], "required: FROM"),
        (["merge", "nowhere"], "merge: nowhere is no folder; name the folder of a store of records"),
    ],
)
def test_what_is_typed_wrong_is_told(run, arguments, told):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert told in err


def test_an_empty_records_option_is_told(capsys):
    assert main(["store", "ls", "--records="]) == 2
    assert "--records is empty" in capsys.readouterr().err


def test_a_store_that_is_a_file_is_told(run, tmp_path):
    (tmp_path / "records").touch()
    for command in (["store", "ls"], ["store", "verify"], ["store", "gc"]):
        code, out, err = run(*command)
        assert (code, out) == (1, "")
        assert f"records: {tmp_path / 'records'} is no folder" in err
