"""The study that ships with the suite: its pictures and its weights, and what it says when they were altered."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from data_fixtures.miniature import benchmarks, make, study
from data_fixtures.miniature.benchmarks import FORM, Supply
from data_fixtures.miniature.study import ARCHITECTURES, ROLES, SUBJECTS, check_weights, miniature, spec
from harness.benchmarks.catalog import DataRoots, open_benchmark
from harness.engines.settings import Settings
from harness.errors import CheckpointError, DataError, RecordsError
from harness.studies.quantities import AURRA, IMAGENET_A_TOP1, IMAGENET_TOP1, MCE, SHAPE_BIAS


def supply(root, seed=7, look=None):
    return Supply(root, seed, look or (lambda images: np.eye(16)[np.arange(1, len(images) + 1) % 16]))


def test_pictures_come_in_the_layouts_of_the_benchmarks(tmp_path):
    put = supply(tmp_path)
    sizes = {}
    for benchmark in ("imagenet", "imagenet-c", "imagenet-a", "cue-conflict"):
        put(benchmark)
        dataset = open_benchmark(benchmark, DataRoots(tmp_path, form=FORM))
        sizes[benchmark] = len(dataset.cells), len(dataset.images)
    assert sizes == {"imagenet": (1, 1400), "imagenet-c": (75, 40), "imagenet-a": (1, 1000), "cue-conflict": (1, 720)}


def test_pictures_are_drawn_once(tmp_path):
    supply(tmp_path)("cue-conflict")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    supply(tmp_path)("cue-conflict")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")} == before


def test_records_of_one_seed_never_answer_for_another(tmp_path):
    """Their pictures have the same names."""
    fingerprints = {
        miniature(seed).laboratory(tmp_path, Settings(), {}).dataset("cue-conflict").fingerprint for seed in (7, 8, 7)
    }
    assert len(fingerprints) == 2


def test_pictures_belong_to_the_generators_that_corrupted_them(tmp_path, monkeypatch):
    before = benchmarks.world_sha256()
    changed = tmp_path / "corruptions"
    shutil.copytree(benchmarks.GENERATORS[0], changed)
    monkeypatch.setattr(benchmarks, "GENERATORS", (changed, benchmarks.GENERATORS[1]))
    assert benchmarks.world_sha256() == before
    (changed / "noise.py").write_text("# another", encoding="utf-8")
    assert benchmarks.world_sha256() != before


def test_a_folder_that_can_not_be_written_is_one_clear_error_and_a_full_one_need_not_be(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(RecordsError, match=r"file/records can't be written \(Not a directory\); name another store"):
        supply(tmp_path / "file" / "records")("cue-conflict")
    supply(tmp_path)("cue-conflict")
    monkeypatch.setattr(Path, "mkdir", lambda *arguments, **how: pytest.fail("nothing is to be written"))
    assert len(supply(tmp_path)("cue-conflict")) == 64


def test_an_altered_picture_is_an_error_that_names_its_folder_and_both_hashes(tmp_path):
    supply(tmp_path)("cue-conflict")
    picture = next((tmp_path / "cue-conflict").glob("*.png"))
    picture.write_bytes(
        next(path for path in (tmp_path / "cue-conflict").glob("*.png") if path != picture).read_bytes()
    )
    with pytest.raises(
        DataError, match=r"pictures in .*cue-conflict were altered: their sha256 is [0-9a-f]{64}, [0-9a-f]{64} when"
    ):
        supply(tmp_path)("cue-conflict")


def test_another_world_is_an_error_that_names_both_hashes(tmp_path, monkeypatch):
    clean = benchmarks.draw
    monkeypatch.setattr(benchmarks, "draw", lambda kind, seed, *rest: clean(kind, seed + 1, *rest))
    pinned = benchmarks.PICTURES["conflict"]
    with pytest.raises(DataError, match=rf"set conflict of seed 100 has sha256 [0-9a-f]{{64}}, pinned is {pinned}"):
        supply(tmp_path, benchmarks.PINNED_SEED)("cue-conflict")


def test_altered_weights_are_an_error_that_names_both_hashes(tmp_path, monkeypatch):
    shutil.copytree(make.WEIGHTS, tmp_path / "weights")
    monkeypatch.setattr(study, "WEIGHTS", tmp_path / "weights")
    check_weights()
    file = tmp_path / "weights" / "wsl_4x12d.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    pinned = json.loads(make.HASHES.read_text(encoding="utf-8"))["wsl_4x12d"]
    with pytest.raises(
        CheckpointError, match=rf"wsl_4x12d.safetensors was altered: its sha256 is \w{{64}}, pinned is {pinned}"
    ):
        check_weights()
    file.unlink()
    with pytest.raises(CheckpointError, match="wsl_4x12d.safetensors is missing"):
        check_weights()


def test_all_that_is_committed_takes_less_than_3_mib():
    assert sum(path.stat().st_size for path in make.WEIGHTS.iterdir()) < 3 * 2**20
    assert {path.stem for path in make.WEIGHTS.glob("*.safetensors")} == set(ARCHITECTURES)


def test_subjects_grow_in_width_and_share_the_narrowest_with_the_baseline():
    widths = [int(re.search(r"4x(\d+)d", ARCHITECTURES[name])[1]) for name in SUBJECTS]
    assert widths == sorted(set(widths))
    assert ARCHITECTURES["baseline"] == ARCHITECTURES[SUBJECTS[0]]
    assert set(ROLES.values()) <= set(ARCHITECTURES)


@pytest.mark.slow
def test_a_classifier_that_is_trained_again_meets_its_figures(tmp_path, one_thread):
    """The baseline, trained anew, has the pinned one's figures: to the last digit on the machine that made it."""
    path, _ = make.make("baseline", tmp_path)
    shipped = miniature()
    laboratory = shipped.laboratory(tmp_path / "records", Settings(), {})
    from harness.studies.live import LiveStudy

    anew = spec("baseline", path.parent)
    live = LiveStudy("miniature", shipped.cast.baseline, [anew], laboratory, alpha=1e-3, attacks=shipped.attacks)
    for quantity in (IMAGENET_TOP1, MCE, SHAPE_BIAS, IMAGENET_A_TOP1, AURRA):
        found, known = (live.figure(quantity, each.text).estimate for each in (anew, shipped.cast.baseline))
        assert known.low <= found.value <= known.high, quantity.title
