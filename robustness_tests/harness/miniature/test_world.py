"""The miniature world: the same everywhere, its cues both there, its sets what they say they are."""

import dataclasses
import functools
import hashlib

import numpy as np
import pytest

from data_fixtures.miniature import CLASSES, KINDS, draw, scene, select, write_class_folders, write_cue_conflict
from data_fixtures.miniature.shapes import CLUTTER, shape_tables
from data_fixtures.miniature.textures import FOREIGN, NEUTRAL, texture_tiles
from harness.errors import DataError, UsageError
from harness.metrics.shape_bias import CATEGORIES, category_of

# sha256 of 64 pictures with their labels, seed 0; they change when the world does, and classifiers with them.
PINNED = {
    "train": "9e8ca1c68c3481550cec135a99f1a41487e4d02f7347265973c3adaa1ceb385e",
    "pretrain": "81855b87faa71ee0eea7c9837ca55d53d9d5ffafa9d45d05d0869b2584d86ff4",
    "stylised": "2cfa0bada7dadaa08ea830f358469f83a1c456639e2085009532b8b84e4c81d7",
    "validation": "5d5b24567f326acabb9f744ca317e35ab2388f3571fa479ed96f02c3801d928d",
    "conflict": "c30294a8bde83730852d0d9e4c8e4454b3cc68c7cac4f253fadcb09f69a03f11",
    "hard": "643de326adad0cdf60cefe2679d41d7b23de31d727633d2ef01444cc6bc7d177",
}


def sha256(*arrays):
    whole = hashlib.sha256()
    for array in arrays:
        whole.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return whole.hexdigest()


@functools.cache
def things(kind, count):
    """Where the things of a set are, (n, 32, 32), and the set again with those very things in it.

    All that is random is drawn alike when only ranges change: so the things are laid on in one level over a
    background of one other, without light, grain or anything that could lie about.
    """
    plain = {"contrast": (0, 0), "separation": (80, 80), "ground": (0, 0), "chroma": 0, "light": 0}
    bare = dataclasses.replace(KINDS[kind], **plain)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(KINDS, kind, bare)
        levels = draw(kind, 1, 0, count).images.astype(int).mean(axis=3)
    return abs(levels - levels[:, :1, :1]) > 40, draw(kind, 1, 0, count)


def in_the_middle(masks):
    """Move masks so that their centroids meet."""
    rows, columns = np.mgrid[:32, :32]
    moved = []
    for mask in masks:
        down, across = (round(15.5 - ways[mask].mean()) for ways in (rows, columns))
        moved.append(np.roll(mask, (down, across), (0, 1)).ravel())
    return np.array(moved, float)


def autocorrelations(masks, images):
    """Of the brightness inside each mask, up to 5 pixels away in any direction: how a texture repeats itself."""
    features = []
    for mask, image in zip(masks, images.astype(float).mean(axis=3), strict=True):
        level = np.where(mask, image - image[mask].mean(), 0)
        both = [np.fft.rfft2(plane, (64, 64)) for plane in (level, mask.astype(float))]
        products, pairs = (np.fft.irfft2(abs(spectrum) ** 2, (64, 64)) for spectrum in both)
        lags = np.ix_(range(-5, 6), range(-5, 6))
        features.append((products[lags] / pairs[lags].clip(1) / products[0, 0] * pairs[0, 0]).ravel())
    return np.array(features)


def nearest_mean(features, labels, others):
    """Give each of the others the category whose mean is nearest."""
    means = np.array([features[labels == category].mean(axis=0) for category in range(16)])
    return np.square(others[:, None] - means).sum(axis=2).argmin(axis=1)


@pytest.mark.parametrize("kind", KINDS)
def test_64_pictures_are_the_pinned_ones(kind):
    drawn = draw(kind, 0, 0, 64)
    assert drawn.images.shape == (64, 32, 32, 3)
    assert drawn.images.dtype == np.uint8
    assert sha256(drawn.images, drawn.labels, drawn.shapes, drawn.textures) == PINNED[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_does_not_depend_on_what_is_drawn_beside_it(kind):
    whole = draw(kind, 5, 0, 40)
    for start, count in ((0, 3), (3, 20), (23, 1), (39, 1)):
        part = draw(kind, 5, start, count)
        for one, all_of_them in zip(part, whole, strict=True):
            np.testing.assert_array_equal(one, all_of_them[start : start + count])
    assert len(draw(kind, 5, 7, 0).images) == 0


def test_no_picture_comes_twice_in_any_set_or_seed():
    images = [image.tobytes() for kind in KINDS for seed in (0, 1) for image in draw(kind, seed, 0, 96).images]
    assert len(set(images)) == len(images) == len(KINDS) * 192


def test_no_cosine_is_so_near_a_half_that_a_platform_could_round_it_otherwise():
    exact = np.cos(np.arange(scene.TURN) * (2 * np.pi / scene.TURN)) * 16384
    assert abs(abs(exact - np.floor(exact)) - 0.5).min() > 1e-4
    np.testing.assert_array_equal(scene.cosines(), [round(value) for value in exact])


def test_tables_hold_what_their_names_say():
    shapes, tiles = shape_tables(), texture_tiles()
    assert len(shapes) == len(CATEGORIES) + len(CLUTTER)
    assert len(tiles) == len(CATEGORIES) + len(FOREIGN) + len(NEUTRAL)
    assert set(np.unique(shapes)) == {0, 255}
    y, x = (np.mgrid[:128, :128] * 2 - 127) / 128
    disc = shapes[len(CATEGORIES) + CLUTTER.index("disc")]
    np.testing.assert_array_equal(disc > 0, np.hypot(x, y) < 0.8)
    stripes = tiles[CATEGORIES.index("airplane")]
    np.testing.assert_array_equal(stripes, np.repeat([[255], [0]] * 8, 16, axis=0) * np.ones((1, 256)))


@pytest.mark.parametrize("turn", [0, 100, 700])
@pytest.mark.parametrize("stretch", [-30, 0, 40])
@pytest.mark.parametrize(("mirrored", "tiled"), [(1, False), (-1, False), (1, True)])
def test_looking_up_is_what_it_is_point_by_point(turn, stretch, mirrored, tiled):
    rng = np.random.default_rng(0)
    table = rng.integers(0, 256, (2, 16, 16)).astype(np.uint8).repeat(16, axis=1).repeat(16, axis=2)
    points_a_sixth, across, down = 1.7137, 13, -8
    step, one = round(points_a_sixth * 65536), np.ones(1, int)
    found = scene.look_up(
        table,
        one,
        one * step,
        one * turn,
        np.array([[across, down]]),
        one * stretch,
        mirrored=one * mirrored,
        tiled=tiled,
    )
    cosine, sine = np.cos(turn * 2 * np.pi / 1024), np.sin(turn * 2 * np.pi / 1024)
    naive = np.zeros((32, 32))
    for row, column in np.ndindex(32, 32):
        for i, j in np.ndindex(3, 3):
            x, y = 6 * (column - 16) + 2 * j + 1 - across, 6 * (row - 16) + 2 * i + 1 - down
            u = mirrored * (cosine * x + sine * y) / (1 + stretch / 256)
            v = (cosine * y - sine * x) / (1 - stretch / 256)
            u, v = (int(np.floor(128 + points_a_sixth * along)) for along in (u, v))
            u, v = (u % 256, v % 256) if tiled else (min(max(u, 0), 255), min(max(v, 0), 255))
            naive[row, column] += table[1, v, u] / 9
    # A point that falls on the border between two of the table's may be told to either.
    away = abs(found[0] - naive * 256 / 255)
    assert np.mean(away > 1.5) < 0.02


@pytest.mark.parametrize("kind", ["train", "conflict"])
def test_shape_alone_tells_the_category(kind):
    masks, drawn = things("train", 640)
    others, of_others = things(kind, 240)
    found = nearest_mean(in_the_middle(masks[240:]), drawn.shapes[240:], in_the_middle(others))
    assert np.mean(found == of_others.shapes) > 0.9


@pytest.mark.parametrize("kind", ["train", "conflict"])
def test_texture_alone_tells_the_category(kind):
    masks, drawn = things("train", 640)
    others, of_others = things(kind, 240)
    features = autocorrelations(masks[240:], drawn.images[240:])
    found = nearest_mean(features, drawn.textures[240:], autocorrelations(others, of_others.images))
    assert np.mean(found == of_others.textures) > 0.9


def test_a_conflict_is_between_any_two_categories_and_never_within_one():
    drawn = draw("conflict", 3, 0, 240)
    assert sorted(zip(drawn.shapes, drawn.textures, strict=True)) == [
        (shape, texture) for shape in range(16) for texture in range(16) if texture != shape
    ]
    assert set(drawn.labels) == {-1}


@pytest.mark.parametrize("kind", ["train", "validation", "hard"])
def test_labels_are_right_and_every_category_comes_as_often(kind):
    drawn = draw(kind, 0, 16, 32)
    np.testing.assert_array_equal(drawn.labels, np.tile(np.arange(16), 2))
    np.testing.assert_array_equal(drawn.labels, drawn.shapes)
    np.testing.assert_array_equal(drawn.labels, drawn.textures)


def test_a_fifth_of_the_weak_labels_is_wrong_and_any_wrong_category_is_as_likely():
    drawn = draw("pretrain", 0, 0, 2000)
    mistaken = (drawn.labels - drawn.shapes) % 16
    wrong = np.count_nonzero(mistaken)
    # Five standard deviations of the binomial distributions.
    assert abs(wrong - 400) < 5 * np.sqrt(2000 * 0.2 * 0.8)
    counts = np.bincount(mistaken, minlength=16)[1:]
    assert abs(counts - wrong / 15).max() < 5 * np.sqrt(wrong / 15)
    np.testing.assert_array_equal(drawn.shapes, np.arange(2000) % 16)


def test_classes_are_one_of_each_category():
    assert CLASSES == (404, 294, 444, 8, 472, 440, 436, 281, 423, 409, 152, 385, 508, 499, 766, 555)
    np.testing.assert_array_equal(category_of(np.array(CLASSES)), np.arange(16))


def softmax_of(*rows):
    """Rows of probabilities, told by {category: probability}; the rest goes to category 15."""
    probabilities = np.zeros((len(rows), 16))
    for row, told in zip(probabilities, rows, strict=True):
        row[list(told)] = list(told.values())
        row[15] += 1 - row.sum()
    return probabilities


def test_selects_what_is_wrong_with_less_than_15_percent_in_the_truth_each_confusion_in_turn():
    labels = np.array([0, 0, 0, 0, 1, 0, 0])
    probabilities = softmax_of(
        {0: 0.9, 1: 0.1},  # right
        {0: 0.1, 1: 0.9},
        {0: 0.2, 1: 0.8},  # wrong, and not sure enough of it
        {0: 0.1, 1: 0.9},  # the second of its confusion
        {0: 0.9, 1: 0.1},
        {0: 0.15, 1: 0.85},  # not below
        {0: 0.01, 2: 0.99},
    )
    assert select(labels, probabilities, 1).tolist() == [1]
    assert select(labels, probabilities, 3).tolist() == [1, 4, 6]
    assert select(labels, probabilities, 4).tolist() == [1, 3, 4, 6]
    with pytest.raises(DataError, match="4 of 7 pictures qualify and 5 are wanted"):
        select(labels, probabilities, 5)
    with pytest.raises(ValueError, match=r"want \(n,\) and \(n, 16\)"):
        select(labels, probabilities[:, :10], 1)


def test_refuses_what_it_cannot_draw():
    with pytest.raises(UsageError, match="unknown set 'validate'; known: validation, "):
        draw("validate", 0, 0, 1)
    with pytest.raises(ValueError, match="must be 0 or more"):
        draw("train", 0, -1, 1)


def test_folders_are_opened_as_the_benchmarks(tmp_path):
    from harness.benchmarks.cue_conflict import open_cue_conflict
    from harness.benchmarks.imagenet import open_imagenet
    from harness.benchmarks.images import read_image

    drawn, conflicts = draw("validation", 0, 0, 32), draw("conflict", 0, 100, 20)
    write_class_folders(tmp_path / "imagenet" / "val", drawn)
    dataset = open_imagenet(tmp_path / "imagenet")
    assert len(dataset) == 32
    for index, (image, label) in enumerate(zip(dataset.images, dataset.labels, strict=True)):
        place = drawn.names.index(image.partition("/")[2].removesuffix(".png"))
        assert label == CLASSES[drawn.labels[place]]
        np.testing.assert_array_equal(np.asarray(read_image(dataset.path(index))[0]), drawn.images[place])

    dataset = open_cue_conflict(write_cue_conflict(tmp_path / "cue-conflict", conflicts))
    assert len(dataset) == 20
    found = set(zip(dataset.categories["shape"], dataset.categories["texture"], strict=True))
    assert found == {(CATEGORIES[s], CATEGORIES[t]) for s, t in zip(conflicts.shapes, conflicts.textures, strict=True)}
    with pytest.raises(ValueError, match="without labels"):
        write_class_folders(tmp_path, conflicts)


def test_the_contact_sheet_shows_every_set(tmp_path, one_thread):
    from PIL import Image

    from data_fixtures.miniature import sheet

    sheet.main([str(tmp_path / "sheet.png"), "--seed", "1"])
    with Image.open(tmp_path / "sheet.png") as drawn:
        pixels = np.asarray(drawn)
    assert pixels.shape[1] > 16 * 96
    cell = draw("hard", 1, 0, 1).images[0].repeat(3, axis=0).repeat(3, axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(pixels[:, :, 0], (96, 96))[:, 190]
    assert (windows == cell[:, :, 0]).all(axis=(1, 2)).any()
