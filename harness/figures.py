"""Pictures drawn from records: the paper's figures, and contact sheets of images."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from harness.files import put_whole
from harness.metrics.similarity import ssim
from harness.protocols.maximizing import Maximize
from harness.records.schema import Columns, joined

_INCHES_A_PICTURE = 1.5

# Of contact sheets, in pixels.
_SIDE, _BORDER, _GAP, _MARGIN = 224, 5, 14, 16
_TEXT, _HEADING = 13, 20
_LINE = 1.35  # height of a line of text, in its size
_FEWEST_COLUMNS, _MOST_COLUMNS = 4, 6
_PAPER, _INK = (250, 250, 248), (20, 20, 20)


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

    columns = joined(list(chunks))
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
    file = io.BytesIO()
    FigureCanvasAgg(figure).print_png(file)  # type: ignore[no-untyped-call]
    put_whole(path, file.getvalue())


class Line(NamedTuple):
    """A line of text that is cut where it is too long.

    Attributes:
        text: What may be cut.
        tail: What follows it and stays whole.
    """

    text: str
    tail: str = ""


class Tile(NamedTuple):
    """One image of a contact sheet.

    Attributes:
        pixels: uint8, shape (side, side, 3), RGB; small ones are enlarged.
        lines: What is written below it; all tiles of a sheet have as many.
        colour: Of its border, as Pillow names colours.
    """

    pixels: NDArray[np.uint8]
    lines: Sequence[Line]
    colour: str


def draw_contact_sheet(title: str, notes: Sequence[str], tiles: Sequence[Tile], path: Path) -> None:
    """Draw images side by side as a PNG, each 224 pixels wide with its text below it.

    Args:
        title: Written above all.
        notes: Lines below the title.
        tiles: The images, first one first, row by row; at least one.
        path: Where to write; its folder is made.

    Raises:
        HarnessError: The file can't be written.
    """
    columns = min(_MOST_COLUMNS, max(_FEWEST_COLUMNS, len(tiles)))
    step = _SIDE + 2 * _BORDER + _GAP
    below = round(_LINE * _TEXT)
    row_height = step + below * len(tiles[0].lines)
    top = 2 * _MARGIN + round(_LINE * _HEADING) + below * len(notes)
    width = 2 * _MARGIN + columns * step - _GAP
    sheet = Image.new("RGB", (width, top + -(-len(tiles) // columns) * row_height), _PAPER)
    pen, small, large = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT), ImageFont.load_default(_HEADING)
    within = width - 2 * _MARGIN
    pen.text((_MARGIN, _MARGIN), _fitting(Line(title), within, large), _INK, font=large)
    for place, note in enumerate(notes):
        y = _MARGIN + round(_LINE * _HEADING) + below * place
        pen.text((_MARGIN, y), _fitting(Line(note), within, small), _INK, font=small)
    for place, tile in enumerate(tiles):
        row, column = divmod(place, columns)
        x, y = _MARGIN + column * step, top + row * row_height
        framed = _SIDE + 2 * _BORDER
        pen.rectangle((x, y, x + framed - 1, y + framed - 1), tile.colour)
        picture = Image.fromarray(tile.pixels).resize((_SIDE, _SIDE), Image.Resampling.NEAREST)
        sheet.paste(picture, (x + _BORDER, y + _BORDER))
        for number, line in enumerate(tile.lines):
            pen.text((x, y + framed + 3 + below * number), _fitting(line, framed, small), _INK, font=small)
    file = io.BytesIO()
    sheet.save(file, "PNG")
    put_whole(path, file.getvalue())


def _fitting(line: Line, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Give a line's text, as much of it as a width in pixels holds."""
    text, end = line.text, line.tail
    while text and font.getlength(text + end) > width:
        text = text[:-1]
        end = f"...{line.tail}"
    return text + end
