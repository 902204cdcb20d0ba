"""Verifying: what is right, what is wrong and what can't be checked, of folders in each benchmark's layout."""

import shutil

import numpy as np
import pytest

from data_fixtures.archives import corruption_files, row, tar_bytes, write_table
from data_fixtures.colours import write_cue_conflict, write_image, write_imagenet, write_imagenet_a, write_imagenet_c
from data_fixtures.server import FaultyServer
from harness.benchmarks.classes import class_index
from harness.errors import DataMissing, UsageError
from harness.fetching import fetch as fetching
from harness.fetching import verify as module
from harness.fetching.fetch import fetch
from harness.fetching.table import LAYOUTS
from harness.fetching.verify import Finding, verify
from harness.metrics.corruption import CORRUPTIONS
from harness.metrics.perturbation import PERTURBATIONS

pytestmark = pytest.mark.usefixtures("unsynced")

WNID = next(iter(class_index()))


def findings(name, folder, **options):
    """Give the findings, by the first words of what was looked at."""
    found = verify(name, folder, **options)
    return {finding.what.partition(": ")[0]: (finding.state, finding.what) for finding in found}


@pytest.fixture
def corrupted(tmp_path):
    """An ImageNet-C of two photographs a cell."""
    return write_imagenet_c(tmp_path / "imagenet-c", [0, 7], per_class=1)


def test_a_subset_is_no_error_but_is_said(corrupted):
    found = verify("imagenet-c", corrupted)
    assert [str(finding) for finding in found] == [
        f"ok          {corrupted} can be opened as imagenet-c: 150 (cell, image) pairs",
        "ok          cells: 75 of 75",
        "ok          images: 2 in every cell, a subset of the 50,000 published ones",
        "ok          decoded: 150 of 150 images, drawn at random, each 224 x 224",
        "not checked pixels: no list of hashes of single images is published for imagenet-c",
        f"not checked archives: {corrupted} was not filled by fetch, so nothing tells what they held",
    ]


def test_the_published_number_of_images_a_cell_is_said_to_be_it_and_more_are_wrong():
    layout = LAYOUTS["imagenet-c"]
    cells = {f"snow/{severity}": 50_000 for severity in range(1, 6)} | {"fog/1": 50_001}
    first, *counts = module._counts("imagenet-c", layout, cells)
    assert first == Finding("wrong", "cells: 6 of 75")
    assert counts == [
        Finding("wrong", "images: 50,001 in fog/1, 50,000 are published"),
        Finding("ok", "images: 50,000 in snow/1, snow/2, snow/3 and 2 more, as published"),
    ]


def test_the_extra_corruptions_are_counted_beside_the_others(corrupted):
    shutil.copytree(corrupted / "snow", corrupted / "spatter")
    assert findings("imagenet-c", corrupted)["cells"] == ("ok", "cells: 75 of 75, and 5 further ones")


def break_cell(folder):
    shutil.rmtree(folder / "fog" / "3")


def break_listing(folder):
    (folder / "fog" / "3" / WNID / "0000.png").rename(folder / "fog" / "3" / WNID / "0001.png")


def break_size(folder):
    write_image(folder / "fog" / "3" / WNID / "0000.png", 0, size=(225, 224))


def break_bytes(folder):
    path = folder / "fog" / "3" / WNID / "0000.png"
    path.write_bytes(path.read_bytes()[:-40])


def empty_cell(folder):
    shutil.rmtree(folder / "fog" / "3" / WNID)
    shutil.rmtree(folder / "fog" / "3" / list(class_index())[7])


@pytest.mark.parametrize(
    ("broken", "wrong"),
    [
        (break_cell, {"imagenet-c": "fog/3", "cells": "cells: 74 of 75"}),
        (break_listing, {"imagenet-c": "0000.png"}),
        (break_size, {"decoded": "1 of 150 of 150 images, drawn at random are wrong"}),
        (break_bytes, {"decoded": "can't be decoded"}),
        (empty_cell, {"imagenet-c": "fog/3", "images": "images: 0 in fog/3"}),
    ],
    ids=["cell_missing", "other_images", "other_size", "cut_image", "empty_cell"],
)
def test_what_is_wrong_is_found(corrupted, broken, wrong):
    broken(corrupted)
    found = verify("imagenet-c", corrupted)
    for key, text in wrong.items():
        assert any(f.state == "wrong" and f.what.startswith(key) and text.split(": ")[-1] in f.what for f in found), (
            found
        )
    assert sum(finding.state == "wrong" for finding in found) == len(wrong)


def test_the_sample_is_seeded_and_as_large_as_asked(corrupted, monkeypatch):
    def drawn(**options):
        seen = []
        monkeypatch.setattr(module, "_image_problem", lambda path, _: seen.append(path) or "")
        assert findings("imagenet-c", corrupted, **options)["decoded"][1].startswith("decoded: 10 of 150 images")
        return seen

    assert drawn(sample=10) == drawn(sample=10)
    assert drawn(sample=10) != drawn(sample=10, seed=1)


def test_photographs_may_have_any_size(tmp_path):
    write_imagenet(tmp_path / "imagenet", [0, 7], per_class=3)
    found = findings("imagenet", tmp_path / "imagenet")
    assert found["images"] == ("ok", "images: 6 in imagenet, a subset of the 50,000 published ones")
    assert found["decoded"][0] == "ok"
    assert {state for state, _ in found.values()} == {"ok", "not checked"}


def test_imagenet_a_is_counted_as_a_whole(tmp_path):
    write_imagenet_a(tmp_path / "a", per_class=1)
    (tmp_path / "a" / "README.txt").write_text("passed over")
    found = findings("imagenet-a", tmp_path / "a")
    assert found["images"] == ("ok", "images: 200 in imagenet-a, a subset of the 7,500 published ones")
    shutil.rmtree(tmp_path / "a" / LAYOUTS["imagenet-a"].folders[0])
    assert findings("imagenet-a", tmp_path / "a")["imagenet-a"][0] == "wrong"


@pytest.mark.parametrize("in_folders", [False, True], ids=["loose", "in_folders"])
def test_stimuli_are_compared_with_the_recorded_pixels(tmp_path, monkeypatch, in_folders):
    import hashlib

    from PIL import Image

    folder = write_cue_conflict(tmp_path / "cue", {"cat1-dog2": "cat", "dog1-cat3": "dog"}, in_folders=in_folders)
    (path,) = folder.rglob("cat1-dog2.png")
    pixels = hashlib.sha256(Image.open(path).convert("RGB").tobytes()).hexdigest()
    monkeypatch.setattr(fetching, "stimulus_pixels", lambda: {"cat1-dog2": pixels})
    assert findings("cue-conflict", folder)["pixels"] == (
        "ok",
        "pixels: 1 of the sample are the recorded ones; 1 more are not among the recorded 1,201",
    )
    write_image(path, 3)
    assert findings("cue-conflict", folder)["pixels"] == (
        "wrong",
        f"pixels: 1 of 1 are not the recorded ones, e.g. {path}",
    )


def write_sequence(path, frames, *, side=224):
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width = stream.height = side
        for _ in range(frames):
            picture = av.VideoFrame.from_ndarray(np.zeros((side, side, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("broken", "frames", "side", "problem"),
    [
        (None, 31, 224, ""),
        ("snow", 30, 224, "holds 30 frames, expected 31"),
        ("translate", 31, 224, "holds 31 frames, expected 41"),
        ("tilt", 31, 112, "is 112 x 112, expected 224 x 224"),
    ],
    ids=["sound", "too_short", "translate_too_short", "other_size"],
)
def test_sequences_are_decoded_and_their_frames_counted(tmp_path, broken, frames, side, problem):
    write_sequence(tmp_path / "31.mp4", 31)
    write_sequence(tmp_path / "41.mp4", 41)
    for perturbation in PERTURBATIONS:
        place = tmp_path / "p" / perturbation / WNID / "a.mp4"
        place.parent.mkdir(parents=True)
        shutil.copy(tmp_path / ("41.mp4" if perturbation == "translate" else "31.mp4"), place)
    if broken:
        write_sequence(tmp_path / "p" / broken / WNID / "a.mp4", frames, side=side)
    found = findings("imagenet-p", tmp_path / "p")
    assert found["cells"] == ("ok", "cells: 10 of 10")
    assert found["sequences"] == ("ok", "sequences: 1 in every cell, a subset of the 50,000 published ones")
    state, what = found["decoded"]
    assert (state, problem in what) == ("wrong" if broken else "ok", True)


def test_a_cut_sequence_is_wrong(tmp_path):
    write_sequence(tmp_path / "snow" / WNID / "a.mp4", 31)
    path = tmp_path / "snow" / WNID / "a.mp4"
    path.write_bytes(path.read_bytes()[:300])
    state, what = findings("imagenet-p", tmp_path)["decoded"]
    assert (state, "a.mp4 can't be decoded as MP4 video" in what) == ("wrong", True)


@pytest.fixture
def fetched(tmp_path, hasty):
    """An ImageNet-C that was fetched in two archives, of 40 files a corruption; and its table."""
    halves = {"one.tar": CORRUPTIONS[:7], "two.tar": CORRUPTIONS[7:]}
    data = {file: tar_bytes(corruption_files(folders, list(class_index())[:2])) for file, folders in halves.items()}
    with FaultyServer({f"/{file}": archive for file, archive in data.items()}) as server:
        rows = [row("imagenet-c", file, f"{server.address}/{file}", data[file], halves[file]) for file in halves]
        table = write_table(tmp_path / "table.csv", *rows)
        fetch("imagenet-c", tmp_path / "imagenet-c", table=table, patience=hasty)
    return tmp_path / "imagenet-c", table


def archives(fetched):
    folder, table = fetched
    found = verify("imagenet-c", folder, table=table)
    return {finding.what.partition(".tar")[0]: finding for finding in found if ".tar" in finding.what}


def test_what_was_fetched_is_compared_with_what_the_archives_held(fetched):
    folder, table = fetched
    assert archives(fetched) == {
        "one": Finding("ok", "one.tar, whose checksum was met: 70 files as unpacked; sha256 of 70 compared"),
        "two": Finding("ok", "two.tar, whose checksum was met: 80 files as unpacked; sha256 of 80 compared"),
    }
    assert {finding.state for finding in verify("imagenet-c", folder, table=table)} == {"ok", "not checked"}


def test_one_changed_byte_one_file_more_and_one_less_are_found(fetched):
    folder, _ = fetched
    snow, fog = (next((folder / name / "2" / WNID).iterdir()) for name in ("snow", "fog"))
    data = snow.read_bytes()
    snow.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert archives(fetched)["two"].what == (
        f"two.tar: {snow.relative_to(folder)} has other bytes; delete that folder and fetch it again"
    )
    snow.write_bytes(data)
    shutil.copy(fog, fog.with_name("more.JPEG"))
    found = archives(fetched)
    assert (found["one"].state, found["two"].state) == ("ok", "wrong")
    assert "fog has 11 files with " in found["two"].what
    fog.with_name("more.JPEG").unlink()
    assert archives(fetched)["two"].state == "ok"
    fog.unlink()
    assert "fog has 9 files with " in archives(fetched)["two"].what


def test_an_archive_that_was_not_fetched_to_the_end_is_said(fetched):
    folder, _ = fetched
    (folder / fetching.WORKSHOP / "manifest" / "two.tar.json").unlink()
    assert archives(fetched)["two"] == Finding(
        "not checked", "two.tar was not fetched, or not to the end: fetch imagenet-c goes on"
    )


def test_weights_are_held_to_their_checksum(tmp_path):
    table = write_table(tmp_path / "table.csv", row("alexnet", "alexnet.pth", "https://example.org/a", b"weights"))
    with pytest.raises(DataMissing, match=r"alexnet: no file .*alexnet\.pth; get it with: fetch alexnet --to"):
        verify("alexnet", tmp_path, table=table)
    (tmp_path / "alexnet.pth").write_bytes(b"weights")
    assert verify("alexnet", tmp_path, table=table) == [Finding("ok", "alexnet.pth is the published file: md5")]
    (tmp_path / "alexnet.pth").write_bytes(b"Weights")
    (finding,) = verify("alexnet", tmp_path, table=table)
    assert (finding.state, "has md5" in finding.what) == ("wrong", True)


def test_the_published_weights_are_checked_by_how_their_sha256_begins(tmp_path):
    (tmp_path / "alexnet-owt-7be5be79.pth").write_bytes(b"other weights")
    (finding,) = verify("alexnet", tmp_path)
    assert finding.state == "wrong"
    assert "expected 7be5be79... (torchvision IMAGENET1K_V1)" in finding.what


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("imagenet-c", DataMissing, r"no folder .*none; get it with: fetch imagenet-c --to .*none"),
        ("imagenet", DataMissing, r"no folder .*none; see: fetch imagenet"),
        ("imagenet-r", UsageError, r"unknown name to verify 'imagenet-r'; known: imagenet"),
    ],
)
def test_what_is_not_there_is_said(tmp_path, name, error, message):
    with pytest.raises(error, match=message):
        verify(name, tmp_path / "none")


@pytest.mark.real
def test_the_real_stimuli_and_photographs_are_sound(real_data):
    stimuli = findings("cue-conflict", real_data / "cue-conflict", sample=300)
    assert stimuli["images"] == ("ok", "images: 1,201 in cue-conflict, as published")
    assert stimuli["pixels"] == ("ok", "pixels: 300 of the sample are the recorded ones")
    photographs = findings("imagenet", real_data / "imagenet", sample=100)
    assert photographs["images"] == ("ok", "images: 1,000 in imagenet, a subset of the 50,000 published ones")
    assert {state for found in (stimuli, photographs) for state, _ in found.values()} == {"ok", "not checked"}
