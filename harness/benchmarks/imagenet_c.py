"""ImageNet-C: 15 corruptions at 5 severities, each cell holding the same images, at 224 x 224 as published."""

from pathlib import Path

from harness.benchmarks.cells import open_cells
from harness.benchmarks.dataset import PUBLISHED_FORM, Dataset, Form
from harness.metrics.corruption import CORRUPTIONS, EXTRA_CORRUPTIONS, SEVERITIES

CELLS, EXTRA_CELLS = (
    tuple(f"{corruption}/{severity}" for corruption in corruptions for severity in SEVERITIES)
    for corruptions in (CORRUPTIONS, EXTRA_CORRUPTIONS)
)


def open_imagenet_c(folder: Path, form: Form = PUBLISHED_FORM) -> Dataset:
    """Open `<folder>/<corruption>/<1..5>/<wnid>/*`; the four extra corruptions are passed over where they are.

    Raises:
        DataError: As `harness.benchmarks.cells.open_cells`.
    """
    needed = "all 15 corruptions at severities 1 to 5"
    return open_cells(
        "imagenet-c", folder, CELLS, kind="corruption", needed=needed, beside=EXTRA_CORRUPTIONS, form=form
    )
