"""Benchmarks made from photographs: into folders, from which runs go on where they stopped, and without one."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from harness.benchmarks import generated, imagenet_c, imagenet_p
from harness.benchmarks.batches import batches
from harness.benchmarks.catalog import DataRoots, open_benchmark, parse_placement
from harness.benchmarks.classes import class_index
from harness.benchmarks.images import Fitting, read_image
from harness.errors import DataError, DataMissing, DecoderLost, UsageError

WNIDS = list(class_index())
CELLS = ("gaussian_noise/1", "pixelate/5", "brightness/3")
NAMES = (f"{WNIDS[3]}/a.jpg", f"{WNIDS[3]}/b.PNG", f"{WNIDS[700]}/c.webp")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def photographs(tmp_path):
    """Three photographs of random blots, in as many formats and sizes."""
    rng = np.random.default_rng(0)
    for name, size in zip(NAMES, ((300, 260), (224, 400), (90, 80)), strict=True):
        path = tmp_path / "photographs" / "val" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        blots = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        blots.resize(size, Image.Resampling.BICUBIC).save(path)
    return tmp_path / "photographs"


@pytest.fixture
def few_cells(monkeypatch):
    """Let ImageNet-C have three cells, and ImageNet-P two."""
    monkeypatch.setattr(imagenet_c, "CELLS", CELLS)
    monkeypatch.setattr(imagenet_p, "CELLS", ("translate", "zoom_blur"))
    monkeypatch.setattr(imagenet_p, "FRAMES", (41, 31))
    monkeypatch.setattr(imagenet_p, "frames_of", lambda side: (41, 31))


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.*")) if path.is_file()}


def pixels(dataset):
    fitting = Fitting()
    return [
        (batch.indices, batch.frames, batch.pixels.numpy())
        for batch in batches(dataset, np.arange(len(dataset)), fitting, batch_size=2, workers=0)
    ]


@pytest.mark.usefixtures("few_cells")
@pytest.mark.parametrize(("made", "suffix"), [("imagenet-c", ".JPEG"), ("imagenet-p", ".mp4")])
def test_streamed_and_saved_pixels_are_the_same(photographs, tmp_path, made, suffix):
    saved = generated.generate(made, photographs, tmp_path / "saved")
    streamed = generated.open_generated(made, photographs)
    assert saved.images == streamed.images == tuple(name.rpartition(".")[0] + suffix for name in NAMES)
    assert saved.labels.tolist() == streamed.labels.tolist() == [3, 3, 700]
    assert saved.fingerprint != streamed.fingerprint
    for one, other in zip(pixels(saved), pixels(streamed), strict=True):
        assert one[:2] == other[:2]
        assert np.array_equal(one[2], other[2])
    assert streamed.path(4) == photographs / "val" / NAMES[1]


@pytest.mark.usefixtures("few_cells")
def test_images_are_the_corrupted_photographs_as_jpeg_of_quality_85(photographs, tmp_path):
    import torch

    from harness.corruptions import corrupt

    generated.generate("imagenet-c", photographs, tmp_path / "c", seed=5)
    for name in NAMES:
        image = Image.open(photographs / "val" / name).convert("RGB")
        width, height = image.size
        short = min(width, height)
        image = image.resize((width * 256 // short, height * 256 // short), Image.Resampling.BILINEAR)
        left, top = round((image.width - 224) / 2), round((image.height - 224) / 2)
        crop = np.array(image.crop((left, top, left + 224, top + 224)))
        (made,) = corrupt(
            torch.from_numpy(crop).permute(2, 0, 1)[None], "gaussian_noise", 1, [name.rpartition(".")[0]], seed=5
        )
        file = io.BytesIO()
        Image.fromarray(made.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=85, optimize=True)
        path = tmp_path / "c" / "gaussian_noise/1" / f"{name.rpartition('.')[0]}.JPEG"
        assert path.read_bytes() == file.getvalue()


@pytest.mark.usefixtures("few_cells")
def test_a_run_goes_on_where_it_stopped(photographs, tmp_path):
    target = tmp_path / "c"
    generated.generate("imagenet-c", photographs, target)
    whole = files(target)
    assert len(whole) == 9 + 1
    gone, cut, other = (target / f"{cell}/{WNIDS[3]}/a.JPEG" for cell in CELLS)
    gone.unlink()
    cut.write_bytes(b"")
    before = other.stat().st_mtime_ns
    assert len(generated.generate("imagenet-c", photographs, target)) == 9
    assert files(target) == whole
    assert other.stat().st_mtime_ns == before


@pytest.mark.usefixtures("few_cells")
def test_a_folder_that_is_not_whole_is_refused_until_it_is(photographs, tmp_path, monkeypatch):
    target, roots = tmp_path / "c", DataRoots(elsewhere={"imagenet-c": tmp_path / "c"})
    replace_whole, written = generated.replace_whole, []

    def full_disk(path, data, **how):
        if len(written) == 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        replace_whole(path, data, **how)

    with monkeypatch.context() as patched:
        patched.setattr(generated, "replace_whole", full_disk)
        with pytest.raises(DataError, match="can't be written .No space left on device.; what was generated before"):
            generated.generate("imagenet-c", photographs, target)
    kept = files(target)
    with pytest.raises(DataError, match=r"imagenet-c: .* is not generated to the end; run generate once more"):
        open_benchmark("imagenet-c", roots)
    generated.generate("imagenet-c", photographs, target)
    assert len(open_benchmark("imagenet-c", roots)) == 9
    whole = files(target)
    assert kept.items() - {("", b"")} <= whole.items() | {(generated.MANIFEST, kept[generated.MANIFEST])}


@pytest.mark.usefixtures("few_cells")
def test_a_process_that_is_lost_is_told_and_the_same_goes_on(photographs, tmp_path, monkeypatch):
    replace_whole, this = generated.replace_whole, os.getpid()

    def lose_process(path, data, **how):
        replace_whole(path, data, **how)
        if os.getpid() != this:
            os._exit(1)

    with monkeypatch.context() as patched:
        patched.setattr(generated, "replace_whole", lose_process)
        with pytest.raises(DecoderLost, match="that makes files was ended from outside.*the same command goes on"):
            generated.generate("imagenet-c", photographs, tmp_path / "c", workers=1)
    assert len(list(tmp_path.glob("c/*/*/*/*.JPEG"))) == 1
    assert len(generated.generate("imagenet-c", photographs, tmp_path / "c", workers=1)) == 9


def test_a_run_that_is_killed_leaves_whole_files(photographs, tmp_path):
    target = tmp_path / "c"
    command = [sys.executable, "-m", "harness", "generate", "imagenet-c", "--from", photographs, "--to", target]
    run = subprocess.Popen([*map(str, command), "--device=cpu"], stderr=subprocess.PIPE, start_new_session=True)
    while run.poll() is None and len(list(target.glob("*/*/*/*.JPEG"))) < 4:
        time.sleep(0.02)
    os.killpg(run.pid, signal.SIGKILL)  # its workers too
    run.communicate()
    assert run.returncode == -signal.SIGKILL
    made = list(target.glob("*/*/*/*.JPEG"))
    assert 4 <= len(made) < 225
    for path in made:
        read_image(path)


@pytest.mark.usefixtures("few_cells")
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda target: (target / "mine.txt").write_text("x"), "holds other data; name a new or an empty folder"),
        (lambda target: (target / generated.MANIFEST).write_text("{"), "holds other data; name a new or an empty"),
    ],
    ids=["files", "broken-manifest"],
)
def test_other_data_is_left_alone(photographs, tmp_path, spoil, message):
    target = tmp_path / "c"
    target.mkdir()
    spoil(target)
    before = files(target)
    with pytest.raises(UsageError, match=message):
        generated.generate("imagenet-c", photographs, target)
    assert files(target) == before


@pytest.mark.usefixtures("few_cells")
def test_photographs_are_not_mixed_with_what_is_made_of_them(photographs):
    with pytest.raises(UsageError, match="lies among the photographs of .*; name a folder elsewhere"):
        generated.generate("imagenet-c", photographs, photographs / "val" / "made")
    assert not (photographs / "val" / "made").exists()


@pytest.mark.usefixtures("few_cells")
def test_a_folder_of_other_photographs_or_another_seed_is_left_alone(photographs, tmp_path):
    target = tmp_path / "c"
    generated.generate("imagenet-c", photographs, target)
    before = files(target)
    with pytest.raises(UsageError, match="was generated with another seed; name another folder"):
        generated.generate("imagenet-c", photographs, target, seed=1)
    (photographs / "val" / NAMES[0]).unlink()
    with pytest.raises(UsageError, match="was generated with another photographs; name another folder"):
        generated.generate("imagenet-c", photographs, target)
    with pytest.raises(UsageError, match="was generated with another benchmark and generator and photographs"):
        generated.generate("imagenet-p", photographs, target)
    assert files(target) == before


@pytest.mark.usefixtures("few_cells")
def test_extra_kinds_are_made_beside_the_others(photographs, tmp_path):
    target = tmp_path / "c"
    generated.generate("imagenet-c", photographs, target)
    made = generated.generate("imagenet-c", photographs, target, extra=True)
    assert len(made) == 9
    assert len(files(target / "saturate" / "5")) == 3


@pytest.mark.usefixtures("few_cells")
def test_a_photograph_that_can_not_be_used_is_named(photographs, tmp_path):
    broken = photographs / "val" / NAMES[2]
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(DataError, match=f"{NAMES[2]} can't be decoded"):
        generated.generate("imagenet-c", photographs, tmp_path / "c")


@pytest.mark.parametrize(
    ("made", "change", "error", "message"),
    [
        ("imagenet-a", lambda root: None, UsageError, "imagenet-a can't be generated; imagenet-c and imagenet-p can"),
        ("imagenet-c", lambda root: root.rename(root.with_name("moved")), DataMissing, "no folder .* of photographs"),
        (
            "imagenet-c",
            lambda root: (root / "val" / NAMES[0]).rename(root / "val" / WNIDS[3] / "b.jpg"),
            DataError,
            f"holds photographs {WNIDS[3]}/b that differ by suffix alone; keep one",
        ),
    ],
    ids=["name", "no-folder", "suffixes"],
)
def test_what_can_not_be_generated_is_told(photographs, made, change, error, message):
    change(photographs)
    with pytest.raises(error, match=message):
        generated.open_generated(made, photographs)


def test_a_placement_may_be_generated(photographs):
    placement = parse_placement(f"imagenet-c=generate:{photographs}")
    assert placement == ("imagenet-c", photographs, True)
    roots = DataRoots(photographs=dict([placement[:2]]))
    dataset = open_benchmark("imagenet-c", roots)
    assert (len(dataset), dataset.is_whole) == (225, False)
    with pytest.raises(UsageError, match="cue-conflict can't be generated"):
        parse_placement(f"cue-conflict=generate:{photographs}")
    with pytest.raises(UsageError, match="not of the form NAME=DIR"):
        parse_placement("imagenet-c=generate:")


def test_the_manifest_says_what_was_generated(photographs, tmp_path, few_cells):
    generated.generate("imagenet-c", photographs, tmp_path / "c", seed=3)
    manifest = json.loads((tmp_path / "c" / generated.MANIFEST).read_text())
    assert (manifest["benchmark"], manifest["seed"], manifest["is_whole"]) == ("imagenet-c", 3, True)
