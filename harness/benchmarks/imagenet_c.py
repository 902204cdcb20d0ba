"""ImageNet-C: 15 corruptions at 5 severities, each cell holding the same images at 224 x 224."""

from pathlib import Path

from harness.benchmarks.dataset import Dataset, Fingerprint
from harness.benchmarks.folders import class_labels, list_class_folders
from harness.errors import DataError, unknown
from harness.metrics.corruption import CORRUPTIONS, EXTRA_CORRUPTIONS, SEVERITIES


def open_imagenet_c(folder: Path) -> Dataset:
    """Open `<folder>/<corruption>/<1..5>/<wnid>/*`; the four extra corruptions are passed over where they are.

    Raises:
        DataError: A cell is missing or holds other images than its siblings, a folder is no corruption's, or as
            for any folder of class folders.
    """
    for entry in sorted(folder.iterdir()):
        known = (*CORRUPTIONS, *EXTRA_CORRUPTIONS)
        if entry.is_dir() and not entry.name.startswith(".") and entry.name not in known:
            raise DataError(f"imagenet-c: {entry}: {unknown('corruption', entry.name, known)}")
    cells = tuple(f"{corruption}/{severity}" for corruption in CORRUPTIONS for severity in SEVERITIES)
    for cell in cells:
        if not (folder / cell).is_dir():
            raise DataError(
                f"imagenet-c: {folder / cell} is missing; all 15 corruptions at severities 1 to 5 are needed"
            )
    fingerprint = Fingerprint()
    first: tuple[str, ...] = ()
    for cell in cells:
        names = tuple(list_class_folders("imagenet-c", folder / cell))
        first = first or names
        if names != first:
            odd = min(set(names) ^ set(first))
            has, lacks = (cell, cells[0]) if odd in names else (cells[0], cell)
            raise DataError(
                f"imagenet-c: every cell must hold the same images, but {odd} is in {folder / has} and not in "
                f"{folder / lacks} ({len(names)} images in {cell}, {len(first)} in {cells[0]}); unpack it again"
            )
        fingerprint.add(cell, names)
    return Dataset(
        benchmark="imagenet-c",
        root=folder,
        cells=cells,
        images=first,
        labels=class_labels(first),
        presized=True,
        own_classes=None,
        fingerprint=fingerprint.value,
    )
