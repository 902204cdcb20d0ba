"""The study that ships with the suite: its claims on pictures nobody has looked at, and what it says if altered."""

import json
import re
import shutil

import numpy as np
import pytest

from data_fixtures.miniature import benchmarks, make, study
from data_fixtures.miniature.benchmarks import FORM, Supply
from data_fixtures.miniature.study import ARCHITECTURES, ROLES, SUBJECTS, check_weights, miniature, spec
from harness.benchmarks.catalog import DataRoots, open_benchmark
from harness.engines.settings import Settings
from harness.errors import CheckpointError, DataError
from harness.studies.quantities import AURRA, IMAGENET_A_TOP1, IMAGENET_TOP1, MCE, SHAPE_BIAS

NEVER_LOOKED_AT = 200
# What must hold for real, on any pictures.
FOR_REAL = ("C1", "C4", "C6", "C11", "C13", "C15")


@pytest.fixture(scope="module")
def asked_elsewhere(run_suite, tmp_path_factory):
    """Ask every claim on pictures of another seed."""
    folder = tmp_path_factory.mktemp("elsewhere")
    run = run_suite(
        *("-m", "quick and claim", "-k", "miniature", f"--records={folder / 'records'}", f"--report={folder}"),
        f"--miniature-seed={NEVER_LOOKED_AT}",
    )
    return run, json.loads((folder / "verdicts.json").read_text(encoding="utf-8"))["verdicts"]


@pytest.mark.parametrize("claim", FOR_REAL)
def test_claims_hold_on_pictures_that_nobody_has_looked_at(claim, asked_elsewhere):
    _, entries = asked_elsewhere
    said = [(entry["test"], entry["verdict"]) for entry in entries if entry["claim"] == claim]
    assert len(said) > 0
    assert [each for each in said if each[1] != "holds"] == []


def test_nothing_fails_there_that_is_not_known_to(asked_elsewhere):
    run, entries = asked_elsewhere
    unforeseen = [entry["test"] for entry in entries if entry["verdict"] == "fails" and entry["expected"] is None]
    assert unforeseen == []
    assert run.code == 0


def test_every_claim_of_the_paper_is_asked(asked_elsewhere):
    _, entries = asked_elsewhere
    judged = {entry["claim"] for entry in entries if entry["verdict"] != "not_run"}
    assert {f"C{number}" for number in range(1, 20)} <= judged


def supply(root, seed=7, look=None):
    return Supply(root, seed, look or (lambda images: np.eye(16)[np.full(len(images), 3)]))


def test_pictures_come_in_the_layouts_of_the_benchmarks(tmp_path):
    put = supply(tmp_path)
    sizes = {}
    for benchmark in ("imagenet", "imagenet-c", "imagenet-a", "cue-conflict"):
        put(benchmark)
        dataset = open_benchmark(benchmark, DataRoots(tmp_path, form=FORM))
        sizes[benchmark] = len(dataset.cells), len(dataset.images)
    assert sizes == {"imagenet": (1, 800), "imagenet-c": (75, 32), "imagenet-a": (1, 400), "cue-conflict": (1, 960)}


def test_pictures_are_drawn_once(tmp_path):
    supply(tmp_path)("cue-conflict")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    supply(tmp_path)("cue-conflict")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")} == before


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
