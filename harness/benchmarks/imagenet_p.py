"""ImageNet-P: ten perturbations, each a cell of sequences of frames, at 224 x 224 as published, one video an image."""

from pathlib import Path

from harness.benchmarks.cells import open_cells
from harness.benchmarks.dataset import PUBLISHED_FORM, Dataset, Form
from harness.benchmarks.folders import VIDEOS
from harness.metrics.perturbation import PERTURBATIONS, VALIDATION_PERTURBATIONS, is_noise

CELLS = PERTURBATIONS
# By the frames' side, the perturbations that have more or fewer than 31 of them (ImageNet-P, CIFAR-10-P).
_OTHER_FRAMES = {224: {"translate": 41}, 32: {"translate": 16, "motion_blur": 21}}
# Noise is published at difficulties 2 and 3 too, as other videos; all else has them as longer strides in the same.
HARDER_NOISE = tuple(
    f"{name}_{difficulty}"
    for name in (*PERTURBATIONS, *VALIDATION_PERTURBATIONS)
    if is_noise(name)
    for difficulty in (2, 3)
)


def frames_of(side: int) -> tuple[int, ...]:
    """Tell how many frames the sequences of each perturbation have."""
    return tuple(_OTHER_FRAMES[side].get(perturbation, 31) for perturbation in PERTURBATIONS)


FRAMES = frames_of(PUBLISHED_FORM.side)


def open_imagenet_p(folder: Path, form: Form = PUBLISHED_FORM) -> Dataset:
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
        frames=frames_of(form.side),
        form=form,
    )
