"""Which images changed between two classifiers, worst first: read off their records, as a table and as a contact sheet.

What counts as a change is what the benchmark's metrics rest on. A classified image is worse where it was right before
and is wrong now; a cue conflict where it was decided for its shape and no longer is, or now is for its texture, either
of which lowers the shape bias; a sequence where its frames flip more often; an attacked image where it survived the
attack and now does not.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import scores
from harness.benchmarks.batches import batches
from harness.benchmarks.classes import class_index, class_names
from harness.benchmarks.dataset import PUBLISHED_FORM, Dataset
from harness.benchmarks.images import Fitting
from harness.errors import NotMeasured
from harness.figures import Line, Tile, draw_contact_sheet
from harness.files import put_whole
from harness.metrics.attack import earliest
from harness.metrics.shape_bias import CATEGORIES
from harness.protocols.attacks import Attack
from harness.protocols.maximizing import Maximize
from harness.protocols.needs import Need, benchmark_of
from harness.records.schema import Columns, joined, to_table

WORSE, BETTER, OTHER = "worse", "better", "other class"
# Of tiles' borders.
_COLOURS = {WORSE: "#d62728", BETTER: "#2ca02c", OTHER: "#9a9a9a"}

# Of all benchmarks and attacks.
COLUMNS: dict[str, str] = {
    "benchmark": "the benchmark, or the attack on it",
    "position": "place of the image in the seeded order, from 0",
    "cell": "cell of the benchmark, e.g. gaussian_noise/3; empty where there are none",
    "image": "path of the image below its cell",
    "label": "class index in 0..999; -1 where the image has no ImageNet label",
    "wnid": "the label's wnid; empty where there is none",
    "label_name": "its name in words; empty where there is none",
    "kind": "`worse`, `better` or `other class`",
    "badness": "what rows are sorted by, the largest first. With the confidence in the wrong class: 1 + it where "
    "worse, it where wrong in another way, -it where better. Of sequences, how many flips were added. Under attack, "
    "how many steps before its end an image is fooled, the last counted, with a minus where it was and no longer is",
}

# Of classified images and of cue conflict.
CLASS_COLUMNS: dict[str, str] = {
    "before": "class index that the first classifier decided for, among the benchmark's own classes",
    "now": "the second classifier's",
    "before_name": "its name in words; of cue conflict, the category that it belongs to",
    "now_name": "likewise",
    "before_confidence": "its softmax probability over the benchmark's own classes, 0..1",
    "now_confidence": "likewise",
    "before_correct": "whether it is the label; of cue conflict, whether it is the shape",
    "now_correct": "likewise",
}

# Of cue conflict only.
CATEGORY_COLUMNS: dict[str, str] = {
    "shape": "category of the image's shape",
    "texture": "category of the image's texture",
}

# Of ImageNet-P only.
FLIP_COLUMNS: dict[str, str] = {
    "frames": "how many frames the sequence has",
    "before_flips": "how many of them the first classifier took for another class than their reference frame",
    "now_flips": "the second classifier's",
}

# Under attack only.
ATTACK_COLUMNS: dict[str, str] = {
    "before_fooled_at": "first step at which the first classifier was fooled; 0: wrong when clean, -1: never",
    "now_fooled_at": "the second classifier's",
}

_WHICH = ("position", "cell", "image", "digest", "label")


@dataclass(frozen=True)
class Changed:
    """The images that changed from one classifier to another.

    Attributes:
        need: What both were asked.
        names: What the first and the second are called.
        images: How many images, or sequences, both have seen.
        worse: How many are worse now, see above.
        better: How many are better.
        otherwise: How many are wrong in another way.
        rows: The changed images, worst first: `COLUMNS`, and those of the benchmark's kind.
    """

    need: Need
    names: tuple[str, str]
    images: int
    worse: int
    better: int
    otherwise: int
    rows: Columns

    def __len__(self) -> int:
        return self.worse + self.better + self.otherwise

    def __str__(self) -> str:
        text = f"{self.need}: {self.counts}"
        if not self.worse:
            return text
        before, now = (_answer(self.rows, 0, side) for side in ("before", "now"))
        confidence = f", {self.rows['now_confidence'][0]:.2f}" if "now_confidence" in self.rows else ""
        cell, image = self.rows["cell"][0], self.rows["image"][0]
        where = f"{cell}/{image}" if cell else image
        return f"{text}; worst: {where} ({before} -> {now}{confidence})"

    @property
    def counts(self) -> str:
        """How many images changed, and how, in words."""
        what = "sequences" if self.need == "imagenet-p" else "images"
        if not len(self):
            return f"none of {self.images:,} {what} changed"
        kinds = f"{self.worse:,} worse, {self.better:,} better"
        if self.otherwise:
            kinds += f", {self.otherwise:,} another {'category' if self.need == 'cue-conflict' else 'class'}"
        return f"{len(self):,} of {self.images:,} {what} changed: {kinds}"


def columns_of(need: Need) -> tuple[str, ...]:
    """Name the records' columns that are compared.

    Raises:
        NotMeasured: It can't be compared image by image.
    """
    if isinstance(need, Maximize):
        raise NotMeasured(
            f"{need}: each classifier makes images of its own, so they can't be compared image by image; "
            "compare their figures"
        )
    own = ("own_prediction", "own_confidence") if isinstance(need, str) and need != "imagenet-p" else ()
    return tuple(dict.fromkeys((*_WHICH, *own, *scores.columns_of(need))))


def changed_images(
    need: Need, before: Iterable[Columns], now: Iterable[Columns], *, names: tuple[str, str] = ("before", "now")
) -> Changed:
    """Compare two classifiers' records of the same images.

    Args:
        need: What both were asked.
        before: The first classifier's records, chunk by chunk in the seeded order; at least the columns of
            `columns_of`.
        now: The second classifier's, in the same chunks.
        names: What the two are called.

    Returns:
        The images that changed, worst first; of equally bad ones the first of the seeded order.

    Raises:
        NotMeasured: There is no image, the records are not of the same images, or what was asked can't be compared
            image by image.
    """
    columns_of(need)
    compare = _comparison(need)
    images, parts = 0, []
    for old, new in zip_longest(before, now):
        if old is None or new is None or any(not np.array_equal(old[name], new[name]) for name in _WHICH):
            raise NotMeasured(f"{need}: {names[0]} and {names[1]} did not see the same images; measure them again")
        images += len(old["position"])
        parts.append(_changed_of(need, old, compare(old, new)))
    if not images:
        raise NotMeasured(f"{need}: there is no image that both {names[0]} and {names[1]} have seen")
    rows = joined(parts)
    worst_first = np.lexsort((rows["position"], -rows["badness"]))
    rows = {name: values[worst_first] for name, values in rows.items()}
    worse, better, otherwise = (int((rows["kind"] == kind).sum()) for kind in (WORSE, BETTER, OTHER))
    return Changed(need, names, images, worse, better, otherwise, rows)


def write_table(changed: Changed, path: Path) -> Path:
    """Write the changed images as a Parquet file, worst first; of none a table without rows.

    Raises:
        HarnessError: It can't be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(to_table(changed.rows), sink, compression="zstd")
    put_whole(path, sink.getvalue().to_pybytes())
    return path


def draw_sheet(changed: Changed, dataset: Dataset, path: Path, *, most: int = 48) -> Path | None:
    """Draw the worst of the changed images as a PNG, as classifiers see them, with what both took them for.

    Of sequences the first frame is drawn, of attacked images the clean one.

    Args:
        changed: Which images changed.
        dataset: The benchmark that they are of.
        path: Where to write; its folder is made.
        most: How many images to draw at most; at least 1.

    Returns:
        The path; None where no image changed, and nothing is written.

    Raises:
        DataError: An image can't be read any more.
        HarnessError: The file can't be written.
    """
    assert benchmark_of(changed.need) == dataset.benchmark, "the images are of another benchmark"
    shown = min(most, len(changed))
    if not shown:
        return None
    pixels = _pixels(changed.rows, dataset, shown)
    tiles = [
        Tile(picture, _lines(changed.rows, place), _COLOURS[changed.rows["kind"][place]])
        for place, picture in enumerate(pixels)
    ]
    which = f"the first {shown:,} are shown" if shown < len(changed) else "all are shown"
    notes = [f"before: {changed.names[0]}", f"now: {changed.names[1]}", f"{changed.counts}; {which}, worst first"]
    draw_contact_sheet(str(changed.need), notes, tiles, path)
    return path


# From a chunk of both classifiers' records to which images changed, their kinds, badness and further columns.
_Compare = Callable[[Columns, Columns], Columns]


def _comparison(need: Need) -> _Compare:
    if isinstance(need, Attack):
        return lambda old, new: _attacked(need, old, new)
    return {"imagenet-p": _sequences, "cue-conflict": _conflicts}.get(str(need), _classified(str(need)))


def _classified(benchmark: str) -> _Compare:
    def compare(old: Columns, new: Columns) -> Columns:
        was_right, is_right = (scores.make_sample(benchmark, [columns])["correct"] for columns in (old, new))
        names = np.array(class_names(), dtype=object)
        return {
            **_judged(
                old["own_prediction"] != new["own_prediction"], was_right & ~is_right, ~was_right & is_right, old, new
            ),
            **_answers(old, new, names[old["own_prediction"]], names[new["own_prediction"]], was_right, is_right),
        }

    return compare


def _conflicts(old: Columns, new: Columns) -> Columns:
    was, now = (scores.make_sample("cue-conflict", [columns]) for columns in (old, new))
    shape, texture, before, after = was["shape"], was["texture"], was["by_class"], now["by_class"]
    for_shape = [
        (decided == shape).astype(np.int8) - ((decided == texture) & (texture != shape)) for decided in (before, after)
    ]
    names = np.array(CATEGORIES, dtype=object)
    return {
        **_judged(
            before != after,
            for_shape[1] < for_shape[0],
            for_shape[1] > for_shape[0],
            old,
            new,
        ),
        **_answers(old, new, names[before], names[after], before == shape, after == shape),
        "shape": old["shape"],
        "texture": old["texture"],
    }


def _sequences(old: Columns, new: Columns) -> Columns:
    before, now = (_flips(columns) for columns in (old, new))
    return {
        "changed": before != now,
        "kind": _kinds(now > before, now < before),
        "badness": (now - before).astype(np.float64),
        "frames": old["frames"],
        "before_flips": before,
        "now_flips": now,
    }


def _attacked(attack: Attack, old: Columns, new: Columns) -> Columns:
    before, now = (_fooled_at(attack, columns) for columns in (old, new))
    worse, better = (before < 0) & (now >= 0), (before >= 0) & (now < 0)
    # A step more than the attack has where it was wrong when clean.
    lost, won = (np.where(which, attack.steps + 1 - at, 0) for which, at in ((worse, now), (better, before)))
    return {
        "changed": worse | better,
        "kind": _kinds(worse, better),
        "badness": (lost - won).astype(np.float64),
        "before_fooled_at": before,
        "now_fooled_at": now,
    }


def _judged(
    changed: NDArray[np.bool_], worse: NDArray[np.bool_], better: NDArray[np.bool_], old: Columns, new: Columns
) -> Columns:
    """Sort what was decided anew by the confidence in the decision that is wrong."""
    before, now = (columns["own_confidence"].astype(np.float64) for columns in (old, new))
    return {
        "changed": changed,
        "kind": _kinds(worse, better),
        "badness": np.select([worse, better], [1 + now, -before], now),
    }


def _answers(
    old: Columns,
    new: Columns,
    before_name: NDArray[Any],
    now_name: NDArray[Any],
    before_correct: NDArray[np.bool_],
    now_correct: NDArray[np.bool_],
) -> Columns:
    return {
        "before": old["own_prediction"],
        "now": new["own_prediction"],
        "before_name": before_name,
        "now_name": now_name,
        "before_confidence": old["own_confidence"],
        "now_confidence": new["own_confidence"],
        "before_correct": before_correct,
        "now_correct": now_correct,
    }


def _flips(columns: Columns) -> NDArray[np.int16]:
    share = scores.make_sample("imagenet-p", [columns])["flips"]
    return np.asarray(np.rint(share * (columns["frames"] - 1)), dtype=np.int16)


def _fooled_at(attack: Attack, columns: Columns) -> NDArray[np.int32]:
    """Give the first step that each image did not survive; 0 where it was wrong when clean, -1 where it survived all.

    Images that are made on a surrogate are scored at the steps of the ladder alone, whatever they were when clean.
    """
    sample = scores.make_sample(attack, [columns])
    if attack.surrogate:
        wrong = ~sample["ladder_right"]
        survived, first = ~wrong[:, -1], np.array(attack.ladder)[wrong.argmax(axis=1)]
    else:
        first = earliest(sample["first_fooled"])
        survived = sample["correct"] & (first == 0)
    return np.select([survived, ~sample["correct"]], [-1, 0], first).astype(np.int32)


def _kinds(worse: NDArray[np.bool_], better: NDArray[np.bool_]) -> NDArray[Any]:
    kinds = np.array([OTHER, WORSE, BETTER], dtype=object)
    return np.asarray(kinds[np.select([worse, better], [1, 2])])


def _changed_of(need: Need, records: Columns, compared: Columns) -> Columns:
    """Keep the images of a chunk that changed, and say which these are."""
    changed = compared.pop("changed")
    labels = records["label"][changed]
    # The last entry is of images without a label, which is -1.
    wnids, names = (np.array([*words, ""], dtype=object) for words in (class_index(), class_names()))
    which = {name: records[name][changed] for name in ("position", "cell", "image", "label")}
    return {
        "benchmark": np.full(len(labels), str(need), dtype=object),
        **which,
        "wnid": wnids[labels],
        "label_name": names[labels],
        **{name: values[changed] for name, values in compared.items()},
    }


def _answer(rows: Columns, place: int, side: str) -> str:
    """Say in words what a classifier did with the image of a row; `side` is `before` or `now`."""
    if f"{side}_flips" in rows:
        flips = rows[f"{side}_flips"][place]
        return "1 flip" if flips == 1 else f"{flips} flips"
    if f"{side}_fooled_at" in rows:
        step = rows[f"{side}_fooled_at"][place]
        return "never fooled" if step < 0 else f"fooled at step {step}" if step else "wrong when clean"
    return str(rows[f"{side}_name"][place])


def _lines(rows: Columns, place: int) -> list[Line]:
    """Give what is written below an image."""
    cell, name = rows["cell"][place], rows["image"][place].rpartition("/")[2]
    if "shape" in rows:
        label = f"{rows['shape'][place]} shape, {rows['texture'][place]} texture"
    else:
        label = f"label: {rows['label_name'][place]}"
    answers = []
    for side in ("before", "now"):
        confidence = rows.get(f"{side}_confidence")
        tail = "" if confidence is None else f" ({confidence[place]:.2f})"
        answers.append(Line(f"{side}: {_answer(rows, place, side)}", tail))
    return [Line(f"{place + 1}. {rows['kind'][place]}", f", {cell}" if cell else ""), Line(name), Line(label), *answers]


def _pixels(rows: Columns, dataset: Dataset, count: int) -> list[NDArray[np.uint8]]:
    """Decode or generate the first images of the rows, shape (side, side, 3); of sequences the first frames."""
    places = zip(rows["cell"][:count], rows["image"][:count], strict=True)
    indices = [dataset.cells.index(cell) * len(dataset.images) + dataset.images.index(image) for cell, image in places]
    fitting = Fitting(crop=dataset.side or PUBLISHED_FORM.side)
    found = []
    for batch in batches(dataset, np.array(indices), fitting, batch_size=8, workers=0):
        firsts = np.cumsum([0, *batch.frames[:-1]])
        found += [batch.pixels[int(first)].permute(1, 2, 0).numpy() for first in firsts]
    return found
