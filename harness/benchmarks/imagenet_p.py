"""ImageNet-P: ten perturbations, each a cell of sequences of frames at 224 x 224, one video an image."""

from pathlib import Path

from harness.benchmarks.cells import open_cells
from harness.benchmarks.dataset import Dataset
from harness.benchmarks.folders import VIDEOS
from harness.metrics.perturbation import PERTURBATIONS, VALIDATION_PERTURBATIONS, is_noise

CELLS = PERTURBATIONS
FRAMES = tuple(41 if perturbation == "translate" else 31 for perturbation in PERTURBATIONS)
# Noise is published at difficulties 2 and 3 too, as other videos; all else has them as longer strides in the same.
HARDER_NOISE = tuple(
    f"{name}_{difficulty}"
    for name in (*PERTURBATIONS, *VALIDATION_PERTURBATIONS)
    if is_noise(name)
    for difficulty in (2, 3)
)


def open_imagenet_p(folder: Path) -> Dataset:
    """Open `<folder>/<perturbation>/<wnid>/*.mp4`; validation perturbations and harder noise are passed over.

    Raises:
        DataError: As `harness.benchmarks.cells.open_cells`.
    """
    return open_cells(
        "imagenet-p",
        folder,
        CELLS,
        kind="perturbation",
        needed="all ten perturbations",
        beside=(*VALIDATION_PERTURBATIONS, *HARDER_NOISE),
        files=VIDEOS,
        frames=FRAMES,
    )
