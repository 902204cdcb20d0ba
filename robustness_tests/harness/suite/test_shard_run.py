"""Claims whose images several jobs measure, each its shard; they are judged from the merged store."""

import shutil
import subprocess
import sys

import pytest

from data_fixtures.colours import write_imagenet, write_imagenet_a
from harness.engines.settings import Shard
from harness.errors import UsageError
from harness.suite.options import read_shard

TABLE4 = "robustness_tests/test_table4_imagenet_a.py"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """300 photographs, which are two chunks, and 400 of ImageNet-A, which are two."""
    root = tmp_path_factory.mktemp("colours")
    write_imagenet(root / "imagenet", range(6, 36), per_class=10)
    write_imagenet_a(root / "imagenet-a", per_class=2)
    return root


@pytest.fixture(scope="module")
def jobs(run_claims, data, tmp_path_factory):
    """Two jobs, each with a store of its own, the second one with two workers; gives folder, run and report of each."""
    found = []
    for shard, options in (("1/2", []), ("2/2", ["-n2"])):
        folder = tmp_path_factory.mktemp("job")
        found.append((folder, *run_claims(folder, data, TABLE4, f"--shard={shard}", *options)))
    return found


def chunks(folder):
    return sorted(f"{path.parent.name}/{path.name}" for path in (folder / "records").rglob("[0-9]*.parquet"))


def test_a_shard_judges_nothing_and_says_how_to(jobs):
    for (_, run, report), shard in zip(jobs, ("1/2", "2/2"), strict=True):
        assert run.code == 0
        assert set(run.counts) <= {"skipped", "deselected"}
        assert {entry["verdict"] for entry in report["verdicts"]} == {"not_run"}
        assert {entry["value"] for entry in report["verdicts"]} == {None}
        (reason,) = {entry["reason"] for entry in report["verdicts"]}
        assert reason == (
            f"shard {shard} measures and judges nothing; when all shards are done, merge their stores (python -m "
            "harness merge) if each has its own, and judge with --claims-only"
        )


def test_it_says_how_much_was_measured(jobs):
    (_, first, _), (_, second, _) = jobs
    # Of both classifiers, the first and the second chunks of 300 and of 400 images.
    assert first.lines.count("shard 1/2: its share of 4 runs of study paper is in the store, 1,024 records") == 1
    assert second.lines.count("shard 2/2: its share of 4 runs of study paper is in the store, 376 records") == 1


def test_merged_shards_give_the_verdicts_of_one_run(jobs, run_claims, data, tmp_path):
    merge = [sys.executable, "-m", "harness", "merge", *(str(folder / "records") for folder, _, _ in jobs)]
    done = subprocess.run([*merge, f"--records={tmp_path / 'merged' / 'records'}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    _, judged = run_claims(tmp_path / "merged", data, TABLE4, "--claims-only")
    _, expected = run_claims(tmp_path / "one", data, TABLE4)
    assert judged["verdicts"] == expected["verdicts"]
    assert {entry["verdict"] for entry in expected["verdicts"]} >= {"holds", "fails"}
    assert chunks(tmp_path / "merged") == chunks(tmp_path / "one")


def test_bad_data_of_a_shard_is_a_failure_that_names_it(run_claims, jobs, data, tmp_path):
    spoiled = tmp_path / "data"
    (spoiled / "imagenet").parent.mkdir()
    (spoiled / "imagenet").symlink_to(data / "imagenet")
    shutil.copytree(data / "imagenet-a", spoiled / "imagenet-a")
    for file in sorted((spoiled / "imagenet-a").rglob("*.png"))[:100]:
        file.write_bytes(b"no image")
    shutil.copytree(jobs[0][0] / "records" / "imagenet", tmp_path / "records" / "imagenet")
    run, report = run_claims(tmp_path, spoiled, TABLE4, "--shard=1/2")
    assert run.code == 1
    assert {entry["verdict"] for entry in report["verdicts"]} == {"not_run"}
    assert sum("is not an image; replace the file" in (entry["reason"] or "") for entry in report["verdicts"]) > 0
    assert run.line("of study paper is in the store").endswith("512 records; of 2 it could not be measured")


@pytest.mark.parametrize("value", ["0/4", "5/4", "x", "1", "1/", "/2", "1/0", "-1/2", "1/2/3", "1.0/2", ""])
def test_what_is_no_shard_is_refused(value):
    with pytest.raises(UsageError) as caught:
        read_shard(value)
    assert (
        str(caught.value) == f"--shard {value!r} is not I/N with I from 1 to N, e.g. 1/4 for the first of four shares"
    )


def test_a_shard_is_read():
    assert (read_shard(None), read_shard("1/1"), read_shard("3/12")) == (None, Shard(1, 1), Shard(3, 12))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--shard=5/4"], "--shard '5/4' is not I/N"),
        (["--shard=1/2", "--decide"], "--shard measures a share and judges nothing; leave out --decide or --shard"),
        (["--shard=1/2", "--claims-only"], "leave out --claims-only or --shard"),
        (["--ray-address=host:6379"], "--ray-address goes with --engine ray; add that, or leave it out"),
        (["--engine=rays"], "unknown value of --engine 'rays'; known: ray, local"),
    ],
)
def test_wrong_options_end_the_run_before_it_begins(options, told, run_suite):
    run = run_suite("-m", "full", TABLE4, *options)
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert told in run.err
