"""The paper's figures, drawn from records."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from harness.errors import HarnessError
from harness.metrics.similarity import ssim
from harness.protocols.maximizing import Maximize
from harness.records.schema import Columns

_INCHES_A_PICTURE = 1.5


def draw_maximizing_images(maximize: Maximize, chunks: Iterable[Columns], path: Path, name: str) -> None:
    """Draw the grid of Figures 2 and 3 as a PNG: a row a seed, its maximizing images beside it, a column a unit.

    Each seed has two rows: the images nearest to it that meet the criterion, as the paper shows them, and the last ones
    of the search. Above each image its SSIM to the seed is written.

    Args:
        maximize: Which images.
        chunks: Their records.
        path: Where to write; its folder is made.
        name: Of the classifier.

    Raises:
        HarnessError: The file can't be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    parts = list(chunks)
    columns = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    side = round((columns["seed_image"].shape[1] // 3) ** 0.5)
    rows, units = 2 * maximize.seed_count, maximize.unit_count
    size = (_INCHES_A_PICTURE * (units + 1), _INCHES_A_PICTURE * 1.25 * rows + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(f"Maximizing images of {name}")
    axes = figure.subplots(rows, units + 1, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for place in range(maximize.seed_count * units):
        row, column = divmod(place, units)
        seed = columns["seed_image"][place].reshape(side, side, 3)
        for offset, kind in enumerate(("smallest", "final")):
            axis = axes[2 * row + offset, column + 1]
            if kind == "smallest" and columns["met_at"][place] < 0:
                axis.text(0.5, 0.5, "never met", ha="center", va="center", fontsize=8)
                continue
            image = columns[f"{kind}_image"][place].reshape(side, side, 3)
            axis.imshow(image)
            axis.set_title(f"unit {columns['unit'][place]}\nSSIM {ssim(image, seed):.3f}", fontsize=7)
        if column == 0:
            axes[2 * row, 0].imshow(seed)
            axes[2 * row, 0].set_title("seed; beside it\nthe nearest images", fontsize=7)
            last = f"after {maximize.steps} steps"
            axes[2 * row + 1, 0].text(1, 0.5, last, ha="right", va="center", fontsize=8)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        FigureCanvasAgg(figure).print_png(str(path))  # type: ignore[no-untyped-call]
    except OSError as error:
        raise HarnessError(f"{path} can't be written ({error.strerror}); name another place") from error
