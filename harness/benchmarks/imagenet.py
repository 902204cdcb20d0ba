"""ImageNet's validation images, and ImageNet-A: photographs in one folder a class."""

from pathlib import Path

from harness.benchmarks.classes import class_index, imagenet_a_classes
from harness.benchmarks.dataset import PUBLISHED_FORM, Dataset, Fingerprint, Form
from harness.benchmarks.folders import class_labels, list_class_folders
from harness.errors import DataError


def open_imagenet(folder: Path, form: Form = PUBLISHED_FORM) -> Dataset:
    """Open `<folder>/val/<wnid>/*`, or `<folder>/<wnid>/*` where there is no `val`.

    Fewer than 1000 classes are accepted, a wnid that ImageNet does not have is not.

    Raises:
        DataError: No image, an unknown wnid, or a file that is no image.
    """
    return _open("imagenet", val_folder(folder), own_classes=form.classes)


def val_folder(folder: Path) -> Path:
    """Find the folder that holds the wnid folders."""
    val = folder / "val"
    return val if val.is_dir() else folder


def open_imagenet_a(folder: Path, form: Form = PUBLISHED_FORM) -> Dataset:
    """Open `<folder>/<wnid>/*`; decisions are among its own classes only, 200 as published (paper, section 2.6).

    Raises:
        DataError: The class folders are others than its own classes, or as for `open_imagenet`.
    """
    classes = form.classes or imagenet_a_classes()
    dataset = _open("imagenet-a", folder, own_classes=classes)
    wnids = list(class_index())
    found = {int(label) for label in dataset.labels}
    expected = set(classes)
    for wrong, word in ((found - expected, "not one of ImageNet-A's"), (expected - found, "missing")):
        if wrong:
            raise DataError(
                f"imagenet-a: {folder} should hold the {len(classes)} class folders of ImageNet-A; "
                f"{wnids[min(wrong)]} is {word} ({len(wrong)} such)"
            )
    return dataset


def _open(benchmark: str, root: Path, *, own_classes: tuple[int, ...] | None) -> Dataset:
    images = list_class_folders(benchmark, root)
    fingerprint = Fingerprint()
    fingerprint.add("", images)
    return Dataset(
        benchmark=benchmark,
        root=root,
        cells=("",),
        images=tuple(images),
        labels=class_labels(images),
        side=None,
        own_classes=own_classes,
        fingerprint=fingerprint.value,
    )
