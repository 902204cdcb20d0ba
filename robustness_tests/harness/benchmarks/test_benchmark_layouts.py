"""Opening a benchmark's folder: what is listed, and one clear error for each thing that can be wrong with it."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from data_fixtures.colours import write_cue_conflict, write_image, write_imagenet, write_imagenet_a, write_imagenet_c
from data_fixtures.videos import list_imagenet_p
from harness.benchmarks.catalog import BENCHMARKS, DataRoots, describe, open_benchmark, parse_placement
from harness.benchmarks.classes import class_index, imagenet_a_classes
from harness.benchmarks.dataset import PUBLISHED_FORM, Form
from harness.errors import DataError, DataMissing, UsageError

WNIDS = list(class_index())
# Squares of 32 pixels, of classes of which 6 is one of ImageNet-A's 200 and 5 and 7 are none.
SMALL = Form(side=32, classes=(5, 6, 7))


def opened(name, root, form=PUBLISHED_FORM):
    return open_benchmark(name, DataRoots(elsewhere={name: root}, form=form))


def test_classes_are_the_published_ones():
    assert len(WNIDS) == 1000
    assert sorted(WNIDS) == WNIDS
    assert (WNIDS[0], WNIDS[207], WNIDS[999]) == ("n01440764", "n02099601", "n15075141")
    assert len(imagenet_a_classes()) == 200
    assert {6, 988} <= set(imagenet_a_classes())  # stingray and acorn are the first and last of ImageNet-A


@pytest.mark.parametrize("below", ["val", ""], ids=["val", "no_val"])
def test_imagenet_labels_come_from_wnids_and_not_from_places(tmp_path, below):
    write_imagenet(tmp_path, [7, 400, 999], per_class=2)
    dataset = opened("imagenet", tmp_path / below)
    assert dataset.labels.tolist() == [7, 7, 400, 400, 999, 999]
    assert (len(dataset), dataset.classes, dataset.side, dataset.own_classes) == (6, 3, None, None)
    assert dataset.path(3) == tmp_path / "val" / WNIDS[400] / "0001.png"


@pytest.mark.parametrize("below", ["val", ""], ids=["val", "no_val"])
def test_fewer_classes_than_1000_are_said(tmp_path, below):
    write_imagenet(tmp_path, [7, 400, 999], per_class=1)
    roots = DataRoots(elsewhere=dict.fromkeys(("imagenet", "imagenet-c"), tmp_path / below))
    assert describe("imagenet", roots) == "imagenet (3 of 1000 classes)"
    assert describe("imagenet-c", roots) == "imagenet-c"
    assert describe("imagenet-p", DataRoots(photographs={"imagenet-p": tmp_path})) == (
        f"imagenet-p (generated from {tmp_path})"
    )


def test_suffixes_count_in_any_case_and_hidden_and_loose_files_are_passed_over(tmp_path):
    for name in ("a.JPEG", "b.jpg", "c.PNG", "d.webp"):
        write_image(tmp_path / "val" / WNIDS[3] / name, 3)
    (tmp_path / "val" / WNIDS[3] / ".DS_Store").touch()
    (tmp_path / "val" / "README.txt").touch()
    names = opened("imagenet", tmp_path).images
    assert [name.partition("/")[2] for name in names] == ["a.JPEG", "b.jpg", "c.PNG", "d.webp"]


def test_fingerprint_changes_with_a_name_and_not_with_the_place(tmp_path):
    def fingerprint(root):
        return opened("imagenet", root).fingerprint

    write_imagenet(tmp_path / "a", [1, 2], per_class=1)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")
    image = tmp_path / "b" / "val" / WNIDS[1] / "0000.png"
    image.rename(image.with_name("0001.png"))
    assert fingerprint(tmp_path / "b") != fingerprint(tmp_path / "a")


def test_imagenet_a_has_its_200_classes(tmp_path):
    write_imagenet_a(tmp_path, per_class=1)
    dataset = opened("imagenet-a", tmp_path)
    assert dataset.labels.tolist() == list(imagenet_a_classes())
    assert dataset.own_classes == imagenet_a_classes()


def test_imagenet_a_with_a_class_missing_is_refused(tmp_path):
    write_imagenet_a(tmp_path, per_class=1)
    shutil.rmtree(tmp_path / WNIDS[6])
    with pytest.raises(DataError, match=f"{WNIDS[6]} is missing"):
        opened("imagenet-a", tmp_path)


def test_imagenet_a_with_a_class_too_many_is_refused(tmp_path):
    write_imagenet_a(tmp_path, per_class=1)
    write_image(tmp_path / WNIDS[0] / "x.png", 0)
    with pytest.raises(DataError, match=f"{WNIDS[0]} is not one of ImageNet-A's"):
        opened("imagenet-a", tmp_path)


def test_imagenet_c_lists_75_cells_of_the_same_images(tmp_path):
    write_imagenet_c(tmp_path, [5, 6], per_class=1)
    write_image(tmp_path / "speckle_noise" / "1" / WNIDS[5] / "x.png", 5)  # extra, not part of the 15
    dataset = opened("imagenet-c", tmp_path)
    assert (len(dataset.cells), len(dataset.images), len(dataset)) == (75, 2, 150)
    assert (dataset.cells[0], dataset.cells[-1]) == ("gaussian_noise/1", "jpeg_compression/5")
    assert dataset.path(149) == tmp_path / "jpeg_compression" / "5" / WNIDS[6] / "0000.png"
    assert dataset.side == 224


def _remove_cell(root):
    shutil.rmtree(root / "snow" / "3")


def _remove_image(root):
    (root / "fog" / "2" / WNIDS[5] / "0000.png").unlink()


def _add_image(root):
    write_image(root / "fog" / "2" / WNIDS[5] / "more.png", 5)


def _add_corruption(root):
    (root / "gausian_noise").mkdir()


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        pytest.param(_remove_cell, "snow/3 is missing; all 15 corruptions", id="cell_missing"),
        pytest.param(_remove_image, "no image in .*fog/2", id="image_missing"),
        pytest.param(_add_image, "same images, but n01443537/more.png|more.png is in .*fog/2", id="image_too_many"),
        pytest.param(_add_corruption, "unknown corruption 'gausian_noise'; known: gaussian_noise", id="corruption"),
    ],
)
def test_broken_imagenet_c_is_refused(tmp_path, break_it, message):
    write_imagenet_c(tmp_path, [5], per_class=1)
    break_it(tmp_path)
    with pytest.raises(DataError, match=message):
        opened("imagenet-c", tmp_path)


@pytest.mark.parametrize("in_folders", [False, True], ids=["flat", "folders"])
def test_cue_conflict_labels_come_from_file_names(tmp_path, in_folders):
    write_cue_conflict(tmp_path, {"cat1-dog2": "cat", "bear12-truck3": "bear"}, in_folders=in_folders)
    dataset = opened("cue-conflict", tmp_path)
    assert dataset.categories == {"shape": ("bear", "cat"), "texture": ("truck", "dog")}
    assert len(dataset.own_classes) == 207
    assert dataset.labels.tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("cat-dog.png", "is not named <shape><i>-<texture><j>", id="no_numbers"),
        pytest.param("cat1-dogg1.png", "unknown category 'dogg'; known: dog, ", id="category"),
        pytest.param("dog/cat1-dog1.png", "lies in the folder 'dog' but its name says shape 'cat'", id="folder"),
    ],
)
def test_broken_cue_conflict_is_refused(tmp_path, name, message):
    write_image(tmp_path / name, 0)
    with pytest.raises(DataError, match=message):
        opened("cue-conflict", tmp_path)


def test_cue_conflict_images_beside_folders_are_refused(tmp_path):
    write_cue_conflict(tmp_path, {"cat1-dog2": "cat"}, in_folders=True)
    write_cue_conflict(tmp_path, {"cat1-dog3": "cat"})
    with pytest.raises(DataError, match="lies beside folders"):
        opened("cue-conflict", tmp_path)


@pytest.mark.parametrize("name", list(BENCHMARKS))
def test_empty_folder_is_refused(tmp_path, name):
    with pytest.raises(DataError, match="no image|no class folder|is missing"):
        opened(name, tmp_path)


def test_empty_class_folder_is_refused(tmp_path):
    write_imagenet(tmp_path, [1], per_class=1)
    (tmp_path / "val" / WNIDS[2]).mkdir()
    with pytest.raises(DataError, match=f"no image in .*{WNIDS[2]}; expected JPEG, PNG or WebP"):
        opened("imagenet", tmp_path)


def test_unknown_wnid_is_refused_with_the_nearest(tmp_path):
    write_imagenet(tmp_path, [1], per_class=1)
    (tmp_path / "val" / "n01443538").mkdir()
    with pytest.raises(DataError, match="n01443538 is named after none of the 1000.*nearest: n01443537"):
        opened("imagenet", tmp_path)


def test_file_that_is_no_image_by_its_suffix_is_refused(tmp_path):
    write_imagenet(tmp_path, [1], per_class=1)
    (tmp_path / "val" / WNIDS[1] / "notes.txt").touch()
    with pytest.raises(DataError, match=r"notes.txt is not an image; expected only JPEG, PNG or WebP"):
        opened("imagenet", tmp_path)


def test_missing_folder_says_where_it_was_looked_for_and_what_to_get(tmp_path):
    told = f"no folder {tmp_path}/imagenet-a; get it with python -m harness fetch imagenet-a --to"
    with pytest.raises(DataMissing, match=told):
        open_benchmark("imagenet-a", DataRoots(tmp_path))
    with pytest.raises(DataMissing, match="no data folder given; name one with --data-root"):
        open_benchmark("imagenet-a", DataRoots())


def test_unknown_benchmark_lists_the_known_nearest_first():
    with pytest.raises(UsageError, match="unknown benchmark 'imagenet_c'; known: imagenet-c, "):
        open_benchmark("imagenet_c", DataRoots())


def test_placement_is_read_and_checked():
    name, folder, is_generated = parse_placement("imagenet-c=/data/x=y")
    assert not is_generated
    assert (name, str(folder)) == ("imagenet-c", "/data/x=y")
    with pytest.raises(UsageError, match="not of the form NAME=DIR"):
        parse_placement("imagenet-c")
    with pytest.raises(UsageError, match="unknown benchmark 'imagenetc'; known: imagenet-c"):
        parse_placement("imagenetc=/data")


def test_paths_of_all_pairs_are_there(tmp_path):
    write_imagenet_c(tmp_path, [5, 9], per_class=2)
    dataset = opened("imagenet-c", tmp_path)
    paths = {dataset.path(index) for index in range(len(dataset))}
    assert len(paths) == 300
    assert all(path.is_file() for path in paths)
    assert np.array_equal(dataset.labels, [5, 5, 9, 9])


def _write_imagenet(root):
    write_imagenet(root, SMALL.classes, per_class=1)


def _write_imagenet_a(root):
    for index in SMALL.classes:
        write_image(root / WNIDS[index] / "0000.png", index, size=(40, 30))


def _write_imagenet_c(root):
    write_imagenet_c(root, SMALL.classes, per_class=1)


def _write_imagenet_p(root):
    list_imagenet_p(root, SMALL.classes, per_class=1)


def _write_cue_conflict(root):
    write_cue_conflict(root, {"cat1-dog2": "cat"})


@pytest.mark.parametrize(
    ("name", "write", "small", "published"),
    [
        pytest.param("imagenet", _write_imagenet, (None, (5, 6, 7)), (None, None), id="imagenet"),
        pytest.param("imagenet-c", _write_imagenet_c, (32, (5, 6, 7)), (224, None), id="imagenet-c"),
        pytest.param("imagenet-p", _write_imagenet_p, (32, (5, 6, 7)), (224, None), id="imagenet-p"),
    ],
)
def test_a_form_says_the_side_and_the_classes_and_the_published_one_is_the_default(
    tmp_path, name, write, small, published
):
    write(tmp_path)
    in_small, as_published = opened(name, tmp_path, SMALL), open_benchmark(name, DataRoots(elsewhere={name: tmp_path}))
    assert (in_small.side, in_small.own_classes) == small
    assert (as_published.side, as_published.own_classes) == published
    assert in_small.images == as_published.images
    assert in_small.labels.tolist() == as_published.labels.tolist() == [5, 6, 7]


def test_cue_conflict_has_the_forms_side_and_the_classes_of_its_categories_in_any_form(tmp_path):
    _write_cue_conflict(tmp_path)
    in_small, as_published = (opened("cue-conflict", tmp_path, form) for form in (SMALL, PUBLISHED_FORM))
    assert (in_small.side, as_published.side) == (32, 224)
    assert in_small.own_classes == as_published.own_classes
    assert len(in_small.own_classes) == 207


def test_imagenet_a_has_the_classes_of_its_form_and_no_others(tmp_path):
    _write_imagenet_a(tmp_path)
    dataset = opened("imagenet-a", tmp_path, SMALL)
    assert (dataset.side, dataset.own_classes, dataset.labels.tolist()) == (None, (5, 6, 7), [5, 6, 7])
    with pytest.raises(DataError, match=f"the 200 class folders of ImageNet-A; {WNIDS[5]} is not one of .*2 such"):
        opened("imagenet-a", tmp_path)
    for classes, wrong in (((5, 6, 7, 9), f"{WNIDS[9]} is missing"), ((5, 7), f"{WNIDS[6]} is not one of")):
        with pytest.raises(DataError, match=f"the {len(classes)} class folders of ImageNet-A; {wrong} .*1 such"):
            opened("imagenet-a", tmp_path, Form(classes=classes))


def test_all_images_in_small_are_not_all_published_ones(tmp_path):
    _write_imagenet_c(tmp_path)
    many = {"images": ("x.JPEG",) * 50_000}
    assert replace(opened("imagenet-c", tmp_path), **many).is_whole
    assert not replace(opened("imagenet-c", tmp_path, SMALL), **many).is_whole


def test_what_is_made_from_photographs_comes_in_the_published_form(tmp_path):
    _write_imagenet(tmp_path)
    dataset = open_benchmark("imagenet-c", DataRoots(photographs={"imagenet-c": tmp_path}, form=SMALL))
    assert (dataset.side, dataset.own_classes) == (224, None)
