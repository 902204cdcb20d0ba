"""Which images changed between two classifiers: hand-made records of every kind of benchmark, worst first by hand."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from data_fixtures.colours import colour_of, write_imagenet, write_imagenet_p
from harness.benchmarks.catalog import DataRoots
from harness.benchmarks.classes import class_index, class_names
from harness.benchmarks.dataset import Dataset
from harness.benchmarks.imagenet import open_imagenet
from harness.benchmarks.imagenet_p import open_imagenet_p
from harness.changed import (
    ATTACK_COLUMNS,
    CATEGORY_COLUMNS,
    CLASS_COLUMNS,
    COLUMNS,
    FLIP_COLUMNS,
    changed_images,
    columns_of,
    draw_sheet,
    write_table,
)
from harness.classifiers.loading import load
from harness.classifiers.spec import parse_spec
from harness.engines.measuring import measured
from harness.engines.settings import Settings
from harness.errors import HarnessError, NotMeasured
from harness.protocols.attacks import Attack
from harness.protocols.maximizing import Maximize
from harness.records.store import RecordStore
from harness.scores import find_score, make_sample

WNIDS = list(class_index())
RED, GREEN, GREY = (214, 39, 40), (44, 160, 44), (154, 154, 154)
PAPER = (250, 250, 248)

pytestmark = pytest.mark.usefixtures("one_thread")


def which(labels, *, cells=None, start=0, suffix="jpg"):
    """The columns that say which image each record is of: image k is k.jpg of its class."""
    positions = np.arange(start, start + len(labels))
    images = [f"{WNIDS[label]}/{k}.{suffix}" for k, label in zip(positions, labels, strict=True)]
    return {
        "position": positions,
        "cell": np.array(cells or [""] * len(labels), dtype=object),
        "image": np.array(images, dtype=object),
        "digest": positions.astype(np.uint64),
        "label": np.array(labels, dtype=np.int16),
    }


def classified(labels, predictions, confidences, **of):
    predictions = np.array(predictions, dtype=np.int16)
    return {
        **which(labels, **of),
        "own_prediction": predictions,
        "own_confidence": np.array(confidences, dtype=np.float32),
        "top5": np.stack([predictions, *(predictions + k for k in (1, 2, 3, 4))], axis=1),
    }


def rows_of(changed, *names):
    return list(zip(*(changed.rows[name].tolist() for name in names), strict=True))


# Image by image: what becomes of it.
LABELS = [0, 1, 2, 3, 4, 5, 6, 7]
BEFORE = classified(LABELS, [0, 1, 2, 9, 9, 9, 6, 9], [0.9, 0.5, 0.6, 0.3, 0.8, 0.7, 0.9, 0.4])
NOW = classified(LABELS, [0, 8, 8, 3, 4, 8, 8, 9], [0.1, 0.4, 0.95, 0.9, 0.6, 0.97, 0.2, 0.9])


def of_imagenet(**options):
    return changed_images("imagenet", [BEFORE], [NOW], **options)


def test_the_worst_was_right_and_is_now_wrong_with_the_most_confidence_and_what_is_better_comes_last():
    changed = of_imagenet()
    assert rows_of(changed, "position", "kind") == [
        (2, "worse"),  # wrong with 0.95
        (1, "worse"),  # 0.4
        (6, "worse"),  # 0.2
        (5, "other class"),
        (3, "better"),  # was wrong with 0.3
        (4, "better"),  # with 0.8
    ]
    assert changed.rows["badness"] == pytest.approx([1.95, 1.4, 1.2, 0.97, -0.3, -0.8])
    assert (changed.images, changed.worse, changed.better, changed.otherwise, len(changed)) == (8, 3, 2, 1, 6)


def test_a_row_says_which_image_it_is_and_what_both_took_it_for():
    changed = of_imagenet()
    first = {name: values[0] for name, values in changed.rows.items()}
    confidences = first.pop("before_confidence"), first.pop("now_confidence"), first.pop("badness")
    assert confidences == pytest.approx((0.6, 0.95, 1.95))
    assert first == {
        "benchmark": "imagenet",
        "position": 2,
        "cell": "",
        "image": "n01484850/2.jpg",
        "label": 2,
        "wnid": "n01484850",
        "label_name": "great white shark",
        "kind": "worse",
        "before": 2,
        "now": 8,
        "before_name": "great white shark",
        "now_name": "hen",
        "before_correct": True,
        "now_correct": False,
    }


def test_changes_are_told_in_one_line():
    assert str(of_imagenet()) == (
        "imagenet: 6 of 8 images changed: 3 worse, 2 better, 1 another class; worst: n01484850/2.jpg "
        "(great white shark -> hen, 0.95)"
    )
    assert str(changed_images("imagenet", [BEFORE], [BEFORE])) == "imagenet: none of 8 images changed"
    only_better = changed_images("imagenet", [classified([3], [9], [0.5])], [classified([3], [3], [0.5])])
    assert str(only_better) == "imagenet: 1 of 1 images changed: 0 worse, 1 better"


def test_chunks_are_compared_one_by_one_and_sorted_together():
    whole = of_imagenet()
    parts = [
        [{name: values[at] for name, values in of.items()} for at in (slice(3), slice(3, 8))] for of in (BEFORE, NOW)
    ]
    cut = changed_images("imagenet", *map(iter, parts))
    assert {name: values.tolist() for name, values in cut.rows.items()} == {
        name: values.tolist() for name, values in whole.rows.items()
    }
    assert (cut.images, cut.worse, cut.better, cut.otherwise) == (8, 3, 2, 1)


def test_equally_bad_images_keep_the_seeded_order():
    before, now = (classified([0] * 4, [prediction] * 4, [0.5] * 4) for prediction in (0, 1))
    assert changed_images("imagenet", [before], [now]).rows["position"].tolist() == [0, 1, 2, 3]


def test_an_image_of_imagenet_c_is_told_by_its_cell_too():
    cells = ["gaussian_noise/3", "fog/1", "fog/1"]
    before = classified([7, 7, 8], [7, 7, 8], [0.5] * 3, cells=cells)
    now = classified([7, 7, 8], [9, 7, 9], [0.6, 0.5, 0.8], cells=cells)
    changed = changed_images("imagenet-c", [before], [now])
    assert rows_of(changed, "cell", "image") == [("fog/1", f"{WNIDS[8]}/2.jpg"), (cells[0], f"{WNIDS[7]}/0.jpg")]
    assert f"worst: fog/1/{WNIDS[8]}/2.jpg (hen -> ostrich, 0.80)" in str(changed)


def test_imagenet_a_is_compared_by_the_decision_among_its_own_classes():
    before, now = classified([6], [6], [0.4]), classified([6], [11], [0.7])
    before["top5"], now["top5"] = (np.arange(5, dtype=np.int16)[None] for _ in range(2))
    assert rows_of(changed_images("imagenet-a", [before], [now]), "kind", "before", "now") == [("worse", 6, 11)]


# Classes of some categories of cue conflict.
CAT, DOG, ELEPHANT, KNIFE, OTHER_DOG = 281, 152, 385, 499, 153


def conflicts(predictions, confidences):
    shapes, textures = ["cat"] * 9, ["dog"] * 8 + ["cat"]
    columns = classified([0] * 9, predictions, confidences)
    return {
        **columns,
        "label": np.full(9, -1, dtype=np.int16),
        "image": np.array([f"cat{k}-{texture}1.png" for k, texture in enumerate(textures)], dtype=object),
        "shape": np.array(shapes, dtype=object),
        "texture": np.array(textures, dtype=object),
        "category_probabilities": np.full((9, 16), 1 / 16, dtype=np.float32),
    }


def test_a_cue_conflict_is_worse_where_its_shape_decides_no_more_or_its_texture_now_does():
    before = conflicts([CAT, CAT, DOG, DOG, CAT, KNIFE, KNIFE, KNIFE, CAT], [0.5] * 9)
    now = conflicts(
        [DOG, DOG, CAT, OTHER_DOG, KNIFE, ELEPHANT, CAT, DOG, DOG], [0.6, 0.9, 0.5, 0.5, 0.2, 0.4, 0.8, 0.7, 0.1]
    )
    changed = changed_images("cue-conflict", [before], [now])
    assert rows_of(changed, "position", "kind", "before_name", "now_name", "before_correct", "now_correct") == [
        (1, "worse", "cat", "dog", True, False),
        (7, "worse", "knife", "dog", False, False),
        (0, "worse", "cat", "dog", True, False),
        (4, "worse", "cat", "knife", True, False),
        (8, "worse", "cat", "dog", True, False),  # no conflict, so no texture against the shape
        (5, "other class", "knife", "elephant", False, False),
        (2, "better", "dog", "cat", False, True),
        (6, "better", "knife", "cat", False, True),
    ]  # and one dog for another is no change
    assert rows_of(changed, "label", "wnid", "label_name", "shape", "texture")[0] == (-1, "", "", "cat", "dog")
    assert str(changed) == (
        "cue-conflict: 8 of 9 images changed: 5 worse, 2 better, 1 another category; worst: cat1-dog1.png "
        "(cat -> dog, 0.90)"
    )


def sequences(cells, frames):
    """Records of sequences whose frames are taken for these classes; at most five frames."""
    top5 = np.full((len(cells), 5, 5), -1, dtype=np.int16)
    for row, classes in enumerate(frames):
        top5[row, : len(classes)] = np.array(classes)[:, None] + np.arange(5)
    return {
        **which([1] * len(cells), cells=cells, suffix="mp4"),
        "frames": np.array([len(classes) for classes in frames], dtype=np.int16),
        "top5": top5.reshape(len(cells), -1),
    }


def test_sequences_are_compared_by_how_often_their_frames_flip():
    cells = ["tilt", "gaussian_noise", "snow", "scale", "tilt"]
    before = sequences(cells, [[1, 1, 1, 1, 1], [1, 2, 2, 2], [1, 2, 1, 2], [1, 2, 3, 3], [7, 7]])
    now = sequences(cells, [[1, 2, 2, 2, 2], [1, 2, 1, 2], [1, 1, 1, 1], [1, 2, 1, 2], [8, 8]])
    changed = changed_images("imagenet-p", [before], [now])
    # Noise flips against the first frame: three times before, twice now. Another class that never flips is no change.
    assert rows_of(changed, "position", "cell", "kind", "before_flips", "now_flips", "frames", "badness") == [
        (0, "tilt", "worse", 0, 1, 5, 1),
        (3, "scale", "worse", 2, 3, 4, 1),
        (1, "gaussian_noise", "better", 3, 2, 4, -1),
        (2, "snow", "better", 3, 0, 4, -3),
    ]
    assert str(changed) == (
        f"imagenet-p: 4 of 5 sequences changed: 2 worse, 2 better; worst: tilt/{WNIDS[1]}/0.mp4 (0 flips -> 1 flip)"
    )


def attacked(attack, clean, first_fooled, ladder):
    """Records of images of class 5, under attack.

    Args:
        attack: Which attack.
        clean: Per image, what the clean image is taken for.
        first_fooled: Per image, the first step at which each pursuit fooled the classifier; 0: never, -1: not attacked.
        ladder: Per image and step of the ladder, what is scored.
    """
    images, runs = len(clean), len(attack.pursuits)
    measured = ("loss_start", "loss_end", "zero_gradient", "moved", "linf", "outside")
    return {
        **which([5] * images),
        "clean_prediction": np.array(clean, dtype=np.int16),
        "first_fooled": np.array(first_fooled, dtype=np.int16).reshape(images, -1),
        "ladder_prediction": np.array(ladder, dtype=np.int16),
        **{name: np.zeros((images, runs), dtype=np.float32) for name in measured},
    }


def test_an_image_is_worse_under_attack_where_it_survived_and_now_is_fooled_in_the_fewest_steps():
    attack = Attack("standard", ladder=(2, 10), restarts=1)  # two pursuits
    never, fooled = [5, 5], [5, 6]
    before = attacked(
        attack, [5] * 6, [[0, 0], [0, 0], [0, 0], [4, 0], [3, 9], [0, 0]], [never, never, never, fooled, fooled, never]
    )
    now = attacked(
        attack,
        [5, 5, 6, 5, 5, 5],
        [[9, 0], [8, 3], [-1, -1], [0, 0], [7, 7], [0, 0]],
        [fooled, fooled, [6, 6], never, fooled, never],
    )
    changed = changed_images(attack, [before], [now])
    assert rows_of(changed, "position", "kind", "before_fooled_at", "now_fooled_at", "badness") == [
        (2, "worse", -1, 0, 11),  # wrong when clean
        (1, "worse", -1, 3, 8),
        (0, "worse", -1, 9, 2),
        (3, "better", 4, -1, -7),
    ]  # fooled sooner or later is fooled
    assert str(changed).endswith(f"3 worse, 1 better; worst: {WNIDS[5]}/2.jpg (never fooled -> wrong when clean)")
    assert set(changed.rows["benchmark"]) == {"imagenet under pgd-standard, eps 0.06"}
    difference = [
        find_score(attack, "accuracy_after_10_steps").count({attack: make_sample(attack, [of])})[0]
        for of in (before, now)
    ]
    assert changed.worse - changed.better == difference[0] - difference[1] == 2


def test_an_image_of_a_transferred_attack_is_fooled_where_it_is_wrong_at_the_end():
    attack = Attack("published", ladder=(2, 10), surrogate="resnet18")
    # What the surrogate met, the same for both, says nothing of either.
    before = attacked(attack, [5, 5, 6], [[1], [1], [1]], [[5, 5], [6, 6], [6, 5]])
    now = attacked(attack, [5, 5, 6], [[1], [1], [1]], [[5, 6], [5, 5], [5, 6]])
    changed = changed_images(attack, [before], [now])
    assert rows_of(changed, "position", "kind", "before_fooled_at", "now_fooled_at") == [
        (2, "worse", -1, 0),
        (0, "worse", -1, 10),
        (1, "better", 2, -1),
    ]


SHORT = Attack(ladder=(2,), restarts=1)


@pytest.mark.parametrize(
    ("need", "records", "own"),
    [
        pytest.param("imagenet", BEFORE, CLASS_COLUMNS, id="classified"),
        pytest.param("cue-conflict", conflicts([CAT] * 9, [0.5] * 9), CLASS_COLUMNS | CATEGORY_COLUMNS, id="conflicts"),
        pytest.param("imagenet-p", sequences(["tilt"], [[1, 1]]), FLIP_COLUMNS, id="sequences"),
        pytest.param(SHORT, attacked(SHORT, [5], [[0, 0]], [[5]]), ATTACK_COLUMNS, id="attacked"),
    ],
)
def test_rows_have_the_columns_that_are_described(need, records, own):
    changed = changed_images(need, [records], [records])
    assert len(changed) == 0
    assert list(changed.rows) == [*COLUMNS, *own]


def test_maximizing_images_are_nobodys_to_compare():
    for refused in (columns_of, lambda need: changed_images(need, [], [])):
        with pytest.raises(NotMeasured, match="each classifier makes images of its own"):
            refused(Maximize())


@pytest.mark.parametrize("need", ["imagenet", "imagenet-c", "imagenet-a", "imagenet-p", "cue-conflict", Attack()])
def test_the_columns_that_are_compared_hold_those_that_scores_are_made_of(need):
    assert {"position", "cell", "image", "digest", "label"} <= set(columns_of(need))
    assert len(columns_of(need)) == len(set(columns_of(need)))


def other(**columns):
    return [{**NOW, **{name: np.array(values, dtype=NOW[name].dtype) for name, values in columns.items()}}]


@pytest.mark.parametrize(
    "now",
    [
        pytest.param([{name: values[:5] for name, values in NOW.items()}], id="fewer_images"),
        pytest.param([NOW, NOW], id="more_chunks"),
        pytest.param([], id="none"),
        pytest.param(other(digest=np.arange(1, 9)), id="other_files"),
        pytest.param(other(image=NOW["image"][::-1]), id="other_names"),
        pytest.param(other(cell=["fog/1"] * 8), id="another_cell"),
    ],
)
def test_records_of_other_images_are_refused(now):
    with pytest.raises(NotMeasured, match="imagenet: one and another did not see the same images; measure them again"):
        changed_images("imagenet", [BEFORE], now, names=("one", "another"))


def test_nothing_seen_is_nothing_to_compare():
    with pytest.raises(NotMeasured, match="there is no image that both before and now have seen"):
        changed_images("imagenet", [], [])


def test_the_table_reads_back_as_it_was_and_in_its_order(tmp_path):
    changed = of_imagenet()
    path = write_table(changed, tmp_path / "report" / "changed.parquet")
    assert path == tmp_path / "report" / "changed.parquet"
    read = pq.read_table(path)
    assert read.to_pydict() == {name: values.tolist() for name, values in changed.rows.items()}
    assert [file.name for file in path.parent.iterdir()] == ["changed.parquet"]


def test_the_table_of_no_changes_has_the_columns_and_no_rows(tmp_path):
    read = pq.read_table(write_table(changed_images("imagenet", [NOW], [NOW]), tmp_path / "none.parquet"))
    assert read.num_rows == 0
    assert read.column_names == list(of_imagenet().rows)


def test_what_cannot_be_written_is_said_in_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(HarnessError, match="changed.parquet can't be written"):
        write_table(of_imagenet(), tmp_path / "file" / "changed.parquet")


def photographs(folder):
    """The images of the records above, in the colours of their classes."""
    for index, image in zip(LABELS, BEFORE["image"], strict=True):
        path = folder / "val" / image
        path.parent.mkdir(parents=True)
        Image.new("RGB", (300, 260), colour_of(index)).save(path, quality=100)
    return open_imagenet(folder)


def tiles(path):
    """The borders' colours and the middle pixels of a sheet's tiles, row by row, below 103 pixels of heading."""
    sheet = np.asarray(Image.open(path).convert("RGB")).astype(int)
    columns, rows = (sheet.shape[1] - 32 + 14) // 248, (sheet.shape[0] - 113) // 338
    assert sheet.shape == (113 + 338 * rows, 32 + 248 * columns - 14, 3)
    found = []
    for row in range(rows):
        for column in range(columns):
            y, x = 113 + 338 * row, 16 + 248 * column
            if tuple(sheet[y, x]) != PAPER:
                found.append((tuple(sheet[y, x]), sheet[y + 117, x + 117]))
    return found


def test_a_sheet_shows_each_changed_image_with_its_kind_as_the_colour_of_its_border(tmp_path):
    changed = of_imagenet(names=("the one", "the other"))
    path = draw_sheet(changed, photographs(tmp_path / "imagenet"), tmp_path / "figures" / "sheet.png")
    assert path == tmp_path / "figures" / "sheet.png"
    drawn = tiles(path)
    assert [colour for colour, _ in drawn] == [RED, RED, RED, GREY, GREEN, GREEN]
    for (_, middle), index in zip(drawn, [2, 1, 6, 5, 3, 4], strict=True):
        assert np.abs(middle - colour_of(index)).max() <= 3  # JPEG


def test_a_sheet_holds_no_more_than_the_worst_that_were_asked_for(tmp_path):
    dataset = photographs(tmp_path / "imagenet")
    drawn = tiles(draw_sheet(of_imagenet(), dataset, tmp_path / "sheet.png", most=2))
    assert [colour for colour, _ in drawn] == [RED, RED]
    labels, cells = [0] * 20, [f"fog/{severity}" for severity in range(1, 6)] * 4
    before, now = (classified(labels, [prediction] * 20, [0.5] * 20, cells=cells) for prediction in (0, 1))
    many = tmp_path / "many"
    for cell, image in zip(cells, before["image"], strict=True):
        (many / cell / image).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (224, 224)).save(many / cell / image)
    images = tuple(sorted(set(before["image"])))
    dataset = Dataset("imagenet-c", many, tuple(cells[:5]), images, np.zeros(20, np.int16), 224, None, "")
    changed = changed_images("imagenet-c", [before], [now])
    assert len(tiles(draw_sheet(changed, dataset, tmp_path / "many.png", most=13))) == 13


def test_where_nothing_changed_there_is_no_sheet(tmp_path):
    dataset = photographs(tmp_path / "imagenet")
    assert draw_sheet(changed_images("imagenet", [NOW], [NOW]), dataset, tmp_path / "sheet.png") is None
    assert not (tmp_path / "sheet.png").exists()


def test_long_names_are_cut_to_the_width_of_a_tile_and_of_the_sheet(tmp_path):
    names = ("a spec of a classifier " * 30, "another " * 90)
    changed = of_imagenet(names=names)
    changed.rows["now_name"][:] = "a class of many words " * 5
    path = draw_sheet(changed, photographs(tmp_path / "imagenet"), tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(path).convert("RGB"))
    for gap in [slice(0, 16), *(slice(16 + 248 * k - 14, 16 + 248 * k) for k in range(1, 6)), slice(-16, None)]:
        assert (sheet[113:, gap] == PAPER).all()
    assert (sheet[:, -16:] == PAPER).all()
    last_line = sheet[113 + 234 + 3 + 72 : 113 + 338 - 14, 16:250]
    assert (last_line.min(axis=2) < 100).any(axis=0)[-16:].any()  # the confidence, at the end of the line


def test_of_a_sequence_the_first_frame_is_drawn(tmp_path, monkeypatch):
    from harness.benchmarks import imagenet_p

    monkeypatch.setattr(imagenet_p, "CELLS", ("tilt", "snow"))
    monkeypatch.setattr(imagenet_p, "FRAMES", (3, 4))
    monkeypatch.setattr(imagenet_p, "frames_of", lambda side: (3, 4))
    seen = {("tilt", 2): 111, ("snow", 2): 888}
    write_imagenet_p(tmp_path, [2], seen_as=lambda cell, index, frame: 555 if frame else seen[cell, index])
    before, now = (
        sequences(["tilt", "snow"], frames) for frames in ([[1, 1, 1], [1, 1, 1, 1]], [[1, 1, 2], [1, 2, 1, 1]])
    )
    for of in (before, now):
        of["image"][:] = f"{WNIDS[2]}/0000.mp4"
    path = draw_sheet(changed_images("imagenet-p", [before], [now]), open_imagenet_p(tmp_path), tmp_path / "p.png")
    drawn = tiles(path)
    assert [colour for colour, _ in drawn] == [RED, RED]
    for (_, middle), index in zip(drawn, (888, 111), strict=True):
        assert np.abs(middle - colour_of(index)).max() <= 12  # H.264


def test_records_of_a_store_are_compared_and_agree_with_the_difference_in_top1(tmp_path):
    write_imagenet(tmp_path / "imagenet", range(10), per_class=30, seen_as=lambda index, k: index + (k % 3 == 0))
    roots, store, settings = DataRoots(tmp_path), RecordStore(tmp_path / "records"), Settings(workers=0)
    dataset = open_imagenet(roots.folder("imagenet"))
    query = "?mean=0,0,0&std=1,1,1&resize=16&crop=16"
    specs = [
        parse_spec(f"python:data_fixtures.classifiers:{name}{query}")
        for name in ("reads_colours", "reads_the_class_before")
    ]
    chunks, hits = [], []
    for spec in specs:
        ((run, images),) = measured(dataset, "imagenet", [spec], load, store, settings)
        chunks.append(list(run.read(images, columns_of("imagenet"))))
        assert len(chunks[-1]) == 2
        score = find_score("imagenet", "top1")
        hits.append(score.count({"imagenet": make_sample("imagenet", chunks[-1])})[0])
    changed = changed_images("imagenet", *chunks)
    assert (changed.images, changed.worse, changed.better, changed.otherwise) == (300, hits[0], hits[1], 0)
    assert changed.worse - changed.better == hits[0] - hits[1] > 0
    path = draw_sheet(changed, dataset, tmp_path / "sheet.png")
    assert [colour for colour, _ in tiles(path)] == [RED] * 48


def test_classes_are_called_what_torchvision_calls_them():
    from harness.torchvision_ops import import_torchvision

    weights = import_torchvision().models.AlexNet_Weights.IMAGENET1K_V1
    assert list(class_names()) == weights.meta["categories"]
