"""Decoding: the pixels a classifier sees, and one clear error for each file that can't be used."""

import hashlib
import io
import os
import pickle
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from data_fixtures.colours import write_imagenet
from harness.benchmarks.batches import _Pairs, batches
from harness.benchmarks.catalog import DataRoots, open_benchmark
from harness.benchmarks.dataset import PUBLISHED_FORM, Form
from harness.benchmarks.images import Fitting, is_unchanged, read_image
from harness.errors import DataError


@pytest.fixture
def photograph():
    """A 300 x 200 image that any other resize or crop would show up in."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8))
    return coarse.resize((300, 200), Image.Resampling.BICUBIC)


def all_batches(name, root, fitting, *, batch_size=2, workers=0, form=PUBLISHED_FORM):
    dataset = open_benchmark(name, DataRoots(elsewhere={name: root}, form=form))
    return list(batches(dataset, np.arange(len(dataset)), fitting, batch_size=batch_size, workers=workers))


def test_photographs_are_resized_by_pillow_then_centre_cropped(tmp_path, photograph):
    write_imagenet(tmp_path, [0], per_class=1)
    photograph.save(tmp_path / "val" / "n01440764" / "0000.png")
    pixels = all_batches("imagenet", tmp_path, Fitting())[0].pixels.numpy()
    by_hand = photograph.resize((384, 256), Image.Resampling.BILINEAR).crop((80, 16, 304, 240))
    assert np.array_equal(pixels[0], np.asarray(by_hand).transpose(2, 0, 1))


def test_interpolation_and_sizes_are_the_classifiers_own(tmp_path, photograph):
    write_imagenet(tmp_path, [0], per_class=1)
    photograph.save(tmp_path / "val" / "n01440764" / "0000.png")
    pixels = all_batches("imagenet", tmp_path, Fitting(100, 90, "bicubic"))[0].pixels.numpy()
    by_hand = photograph.resize((150, 100), Image.Resampling.BICUBIC).crop((30, 5, 120, 95))
    assert np.array_equal(pixels[0], np.asarray(by_hand).transpose(2, 0, 1))


@pytest.mark.parametrize("side", [224, 32])
def test_images_that_come_at_the_forms_side_are_not_touched(tmp_path, photograph, side):
    stimulus = photograph.resize((side, side))
    stimulus.save(tmp_path / "cat1-dog1.png")
    fitting, form = Fitting(resize=300, crop=side), Form(side)
    pixels = all_batches("cue-conflict", tmp_path, fitting, form=form)[0].pixels.numpy()
    assert np.array_equal(pixels[0], np.asarray(stimulus).transpose(2, 0, 1))


@pytest.mark.parametrize(("side", "crop"), [(224, 160), (224, 299), (32, 224)])
def test_images_that_come_at_the_forms_side_are_resized_to_another_crop_only(tmp_path, photograph, side, crop):
    stimulus = photograph.resize((side, side))
    stimulus.save(tmp_path / "cat1-dog1.png")
    pixels = all_batches("cue-conflict", tmp_path, Fitting(182, crop), form=Form(side))[0].pixels.numpy()
    assert np.array_equal(
        pixels[0], np.asarray(stimulus.resize((crop, crop), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    )


@pytest.mark.parametrize(
    ("form", "size", "message"),
    [
        pytest.param(PUBLISHED_FORM, (300, 200), "is 300 x 200, expected 224 x 224 as published$", id="published"),
        pytest.param(Form(32), (32, 33), "is 32 x 33, expected 32 x 32$", id="small"),
        pytest.param(Form(32), (224, 224), "is 224 x 224, expected 32 x 32$", id="published_for_small"),
    ],
)
def test_images_of_another_side_than_the_forms_are_refused(tmp_path, photograph, form, size, message):
    photograph.resize(size).save(tmp_path / "cat1-dog1.png")
    with pytest.raises(DataError, match=rf"^cue-conflict: .*cat1-dog1.png {message}"):
        all_batches("cue-conflict", tmp_path, Fitting(crop=form.side), form=form)


def test_photographs_are_fitted_in_any_form(tmp_path, photograph):
    write_imagenet(tmp_path, [0], per_class=1)
    photograph.save(tmp_path / "val" / "n01440764" / "0000.png")
    pixels = all_batches("imagenet", tmp_path, Fitting(40, 32), form=Form(32, (0,)))[0].pixels.numpy()
    by_hand = photograph.resize((60, 40), Image.Resampling.BILINEAR).crop((14, 4, 46, 36))
    assert np.array_equal(pixels[0], np.asarray(by_hand).transpose(2, 0, 1))


def test_facts_are_of_the_files_bytes(tmp_path, photograph):
    path = tmp_path / "x.png"
    photograph.save(path)
    _, facts = read_image(path)
    assert f"{facts.digest:016x}" == hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    assert (facts.size, facts.modified) == (path.stat().st_size, path.stat().st_mtime_ns)
    assert is_unchanged(path, facts)
    os.utime(path, ns=(0, 0))
    assert is_unchanged(path, facts)  # copied or touched: the bytes tell
    path.write_bytes(path.read_bytes()[::-1])
    assert not is_unchanged(path, facts)
    path.unlink()
    with pytest.raises(DataError, match="can't be read"):
        is_unchanged(path, facts)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "CMYK", "RGBA", "1"])
def test_8_bit_images_of_any_kind_become_rgb(tmp_path, photograph, mode):
    image = photograph.convert(mode)
    path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    image.save(path)
    decoded, _ = read_image(path)
    assert decoded.mode == "RGB"
    with Image.open(path) as kept:
        assert np.array_equal(np.asarray(decoded), np.asarray(kept.convert("RGB")))


@pytest.mark.parametrize(
    ("dtype", "kind"), [(np.uint16, "PNG"), (np.int32, "TIFF"), (np.float32, "TIFF")], ids=["I16", "I", "F"]
)
def test_images_of_more_than_8_bits_are_refused(tmp_path, dtype, kind):
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8), 400, dtype=dtype)).save(buffer, kind)
    (tmp_path / "x.png").write_bytes(buffer.getvalue())
    with pytest.raises(DataError, match="x.png has (I|F).* pixels, more than 8 bits each; convert it to 8-bit RGB"):
        read_image(tmp_path / "x.png")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_file_cut_short_is_refused(tmp_path, photograph, suffix):
    path = tmp_path / f"x{suffix}"
    photograph.save(path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DataError, match=rf"x\{suffix} (can't be decoded|is not an image).*; replace the file"):
        read_image(path)


@pytest.mark.parametrize("content", [b"", b"<html>404</html>"], ids=["empty", "html"])
def test_file_that_is_no_image_is_refused(tmp_path, content):
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(DataError, match=r"x.jpg is not an image; replace the file"):
        read_image(tmp_path / "x.jpg")


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order_up_to_a_bad_image(tmp_path, workers):
    write_imagenet(tmp_path, range(6), per_class=1)
    bad = tmp_path / "val" / "n01491361" / "0000.png"  # class 3
    bad.write_bytes(b"not an image")
    dataset = open_benchmark("imagenet", DataRoots(elsewhere={"imagenet": tmp_path}))
    found = batches(dataset, np.array([5, 0, 1, 2, 3, 4]), Fitting(), batch_size=2, workers=workers)
    assert [next(found).indices, next(found).indices] == [[5, 0], [1, 2]]
    with pytest.raises(DataError, match="n01491361/0000.png is not an image"):
        next(found)


def test_workers_need_not_be_forked(tmp_path):
    write_imagenet(tmp_path, [7], per_class=1)
    dataset = open_benchmark("imagenet", DataRoots(elsewhere={"imagenet": tmp_path}))
    pickled = tmp_path / "pairs.pickle"
    pickled.write_bytes(pickle.dumps(_Pairs(dataset, Fitting())))
    code = f"import pickle; print(pickle.load(open({str(pickled)!r}, 'rb'))[0][1].shape)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "torch.Size([1, 3, 224, 224])"


def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    write_imagenet(tmp_path, range(100), per_class=1)
    dataset = open_benchmark("imagenet", DataRoots(elsewhere={"imagenet": tmp_path}))

    def peak(images):
        tracemalloc.start()
        for _ in batches(dataset, np.arange(images) % 100, Fitting(), batch_size=4, workers=0):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(8)
    assert peak(100) < 1.2 * peak(20)


@pytest.mark.parametrize("size", [(32, 32), (32, 40), (40, 40)])
@pytest.mark.parametrize("resize", [32, 40])
def test_photographs_that_fit_already_are_those_that_torchvision_gives(size, resize):
    from harness.torchvision_ops import import_torchvision

    transforms = import_torchvision().transforms
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
    steps = [transforms.Resize(resize), transforms.CenterCrop(32), transforms.PILToTensor()]
    expected = transforms.Compose(steps)(image)
    found = Fitting(resize=resize, crop=32).transform(side=None)(image)
    assert found.dtype == expected.dtype
    assert found.tolist() == expected.tolist()


DECODED = """
import sys
import numpy as np
from data_fixtures.colours import write_imagenet
from harness.benchmarks.batches import batches
from harness.benchmarks.catalog import DataRoots, open_benchmark
from harness.benchmarks.images import Fitting
from pathlib import Path
write_imagenet(Path(sys.argv[1]) / "imagenet", range(6, 8), per_class=1)
dataset = open_benchmark("imagenet", DataRoots(Path(sys.argv[1])))
list(batches(dataset, np.arange(2), Fitting(16, 16), batch_size=2, workers=int(sys.argv[2])))
print("torchvision" in sys.modules)
"""


@pytest.mark.parametrize("workers", ["0", "1"])
def test_processes_that_decode_find_torchvision_imported(tmp_path, pytestconfig, workers):
    command = [sys.executable, "-c", DECODED, str(tmp_path), workers]
    ran = subprocess.run(command, cwd=pytestconfig.rootpath, capture_output=True, text=True, check=True)
    assert ran.stdout == "True\n"
