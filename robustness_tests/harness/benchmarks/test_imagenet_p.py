"""Opening ImageNet-P's folder: its ten cells, what is passed over, and one clear error for what is wrong with it."""

import shutil

import numpy as np
import pytest

from data_fixtures.videos import list_imagenet_p, moving
from harness.benchmarks.batches import batches
from harness.benchmarks.classes import class_index
from harness.benchmarks.dataset import Form
from harness.benchmarks.imagenet_p import CELLS, FRAMES, open_imagenet_p
from harness.benchmarks.images import Fitting
from harness.benchmarks.videos import write_frames
from harness.errors import DataError

WNIDS = list(class_index())


def test_ten_cells_of_the_same_sequences_are_listed(tmp_path):
    dataset = open_imagenet_p(list_imagenet_p(tmp_path, [5, 900], per_class=2))
    assert (len(dataset.cells), len(dataset.images), len(dataset)) == (10, 4, 40)
    assert dataset.labels.tolist() == [5, 5, 900, 900]
    assert dataset.path(0) == tmp_path / "gaussian_noise" / WNIDS[5] / "0000.mp4"
    assert dataset.path(39) == tmp_path / "snow" / WNIDS[900] / "0001.mp4"
    assert (dataset.benchmark, dataset.side, dataset.own_classes) == ("imagenet-p", 224, None)


def test_only_translate_has_41_frames(tmp_path):
    dataset = open_imagenet_p(list_imagenet_p(tmp_path, [5], per_class=1))
    assert dict(zip(CELLS, FRAMES, strict=True)) == dict.fromkeys(CELLS, 31) | {"translate": 41}
    assert dataset.frames == FRAMES


@pytest.fixture
def small(tmp_path):
    """Sequences of 32 x 32, of which those of `translate` are there to be read: one is, one is wider."""
    list_imagenet_p(tmp_path, [5, 6], per_class=1)
    for index, width in ((5, 32), (6, 34)):
        path = tmp_path / "translate" / WNIDS[index] / "0000.mp4"
        write_frames(path, moving(16, 32, width), lossless=True)
    return open_imagenet_p(tmp_path, Form(side=32, classes=(5, 6)))


def read(dataset, index, fitting):
    place = len(dataset.images) * CELLS.index("translate") + index
    (batch,) = batches(dataset, np.array([place]), fitting, batch_size=1, workers=0)
    return batch


def test_frames_of_32_are_those_of_cifar_10_p(small):
    assert dict(zip(CELLS, small.frames, strict=True)) == dict.fromkeys(CELLS, 31) | {
        "translate": 16,
        "motion_blur": 21,
    }
    batch = read(small, 0, Fitting(crop=32))
    assert batch.frames == [16]
    assert np.abs(batch.pixels.numpy().astype(int) - moving(16, 32, 32)).max() <= 3  # what the colour space rounds
    assert read(small, 0, Fitting(crop=40)).pixels.shape == (16, 3, 40, 40)


def test_frames_of_another_side_than_the_forms_are_refused(small):
    with pytest.raises(DataError, match=rf"{WNIDS[6]}/0000.mp4 is 34 x 32, expected 32 x 32$"):
        read(small, 1, Fitting(crop=32))


def test_perturbations_for_validation_and_harder_noise_are_passed_over(tmp_path):
    list_imagenet_p(tmp_path, [5], per_class=1)
    before = open_imagenet_p(tmp_path)
    # The folders that the published archives hold beside the ten.
    for name in (
        *("spatter", "speckle_noise", "gaussian_blur", "shear"),
        *("gaussian_noise_2", "gaussian_noise_3", "shot_noise_2", "shot_noise_3", "speckle_noise_2", "speckle_noise_3"),
    ):
        shutil.copytree(tmp_path / "snow", tmp_path / name)
        (tmp_path / name / WNIDS[5] / "0001.mp4").touch()
    after = open_imagenet_p(tmp_path)
    assert (after.cells, after.images, after.fingerprint) == (before.cells, before.images, before.fingerprint)
    assert not set(after.cells) & {"spatter", "speckle_noise", "gaussian_blur", "shear"}


def _remove_cell(root):
    shutil.rmtree(root / "tilt")


def _remove_one(root):
    (root / "scale" / WNIDS[5] / "0001.mp4").unlink()


def _remove_class(root):
    shutil.rmtree(root / "rotate" / WNIDS[6])


def _add_image(root):
    (root / "snow" / WNIDS[5] / "0000.png").touch()


def _add_perturbation(root):
    (root / "motion_blurr").mkdir()


def _harder_blur(root):
    (root / "motion_blur_2").mkdir()


def _unknown_class(root):
    (root / "snow" / "n00000000").mkdir()


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        pytest.param(_remove_cell, "tilt is missing; all ten perturbations are needed", id="cell_missing"),
        pytest.param(_remove_one, "the same sequences, but .*/0001.mp4 is in .* and not in .*scale", id="one_missing"),
        pytest.param(_remove_class, f"{WNIDS[6]}/0000.mp4 is in .* and not in .*rotate", id="class_missing"),
        pytest.param(_add_image, "0000.png is not a sequence; expected only MP4 files there", id="image"),
        pytest.param(_add_perturbation, "unknown perturbation 'motion_blurr'; known: motion_blur", id="perturbation"),
        pytest.param(
            _harder_blur, "unknown perturbation 'motion_blur_2'; known: motion_blur", id="only_noise_is_harder"
        ),
        pytest.param(_unknown_class, "n00000000 is named after none of the 1000", id="wnid"),
    ],
)
def test_broken_imagenet_p_is_refused(tmp_path, break_it, message):
    list_imagenet_p(tmp_path, [5, 6], per_class=2)
    break_it(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        open_imagenet_p(tmp_path)
    assert str(caught.value).startswith("imagenet-p: ")
