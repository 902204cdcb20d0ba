"""Cue conflict: images with the shape of one category and the texture of another (Geirhos et al., 2019)."""

import re
from pathlib import Path

import numpy as np

from harness.benchmarks.dataset import PUBLISHED_FORM, Dataset, Fingerprint, Form
from harness.benchmarks.folders import IMAGES, list_files, none_there
from harness.errors import DataError, unknown
from harness.metrics.shape_bias import CATEGORIES, CATEGORY_INDICES

_STIMULUS = re.compile(r"(?P<shape>[a-z]+)\d+-(?P<texture>[a-z]+)\d+\.\w+", re.IGNORECASE)


def open_cue_conflict(folder: Path, form: Form = PUBLISHED_FORM) -> Dataset:
    """Open `<folder>/<shape><i>-<texture><j>.*`, or the same files in a folder per shape category.

    Images without conflict (shape and texture of one category) are kept: which count is the metric's matter.

    Raises:
        DataError: A name is not of that form or names no category, a file lies in another shape's folder, or
            there is no image.
    """
    visible = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    folders = [entry for entry in visible if entry.is_dir()]
    loose = [entry for entry in visible if entry.name.lower().endswith(IMAGES.suffixes)]
    if folders and loose:
        raise DataError(f"cue-conflict: {loose[0]} lies beside folders; keep all images in {folder} or all in folders")
    if folders:
        images = [f"{sub.name}/{name}" for sub in folders for name in list_files("cue-conflict", sub)]
    elif visible:
        images = list_files("cue-conflict", folder)
    else:
        raise none_there("cue-conflict", folder)
    shapes, textures = zip(*(_categories(folder, image) for image in images), strict=True)
    fingerprint = Fingerprint()
    fingerprint.add("", images)
    return Dataset(
        benchmark="cue-conflict",
        root=folder,
        cells=("",),
        images=tuple(images),
        labels=np.full(len(images), -1, dtype=np.int16),
        side=form.side,
        own_classes=tuple(sorted(index for indices in CATEGORY_INDICES.values() for index in indices)),
        categories={"shape": shapes, "texture": textures},
        fingerprint=fingerprint.value,
    )


def _categories(root: Path, image: str) -> tuple[str, str]:
    parent, _, name = image.rpartition("/")
    match = _STIMULUS.fullmatch(name)
    if match is None:
        raise DataError(f"cue-conflict: {root / image} is not named <shape><i>-<texture><j>, e.g. cat1-dog2.png")
    shape, texture = match["shape"].lower(), match["texture"].lower()
    for category in (shape, texture):
        if category not in CATEGORIES:
            raise DataError(f"cue-conflict: {root / image}: {unknown('category', category, CATEGORIES)}")
    if parent and parent != shape:
        raise DataError(f"cue-conflict: {root / image} lies in the folder {parent!r} but its name says shape {shape!r}")
    return shape, texture
