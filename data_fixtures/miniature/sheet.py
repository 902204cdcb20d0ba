"""Draws a contact sheet of the miniature world: `python -m data_fixtures.miniature.sheet OUT.png`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from data_fixtures.miniature.scene import SIDE
from data_fixtures.miniature.sets import KINDS, Drawn, draw
from data_fixtures.miniature.shapes import shape_tables
from data_fixtures.miniature.textures import texture_tiles
from harness.metrics.corruption import CORRUPTIONS, SEVERITIES
from harness.metrics.shape_bias import CATEGORIES

_ENLARGED = 3
_CELL = SIDE * _ENLARGED
_GAP, _MARGIN, _HEADING = 4, 190, 30
_PAPER, _INK = (250, 250, 248), (20, 20, 20)
# Rows of each set: every category is in each.
_ROWS = {"train": 3, "pretrain": 4, "stylised": 3, "validation": 3, "conflict": 5, "hard": 4}
_SEVERITIES_SHOWN = (1, 3, 5)

Row = tuple[str, NDArray[np.uint8]]
"""What stands before a row, and its pictures, (n, h, w, 3)."""


def contact_sheet(seed: int = 0) -> Image.Image:
    """Draw silhouettes and textures, every category in each set, and one picture under every corruption.

    Args:
        seed: Of the sets.
    """
    sections: list[tuple[str, Sequence[str], list[Row]]] = [
        ("Silhouettes and textures, by themselves", CATEGORIES, [_silhouettes(), _textures()])
    ]
    for kind in KINDS:
        drawn = draw(kind, seed, 0, len(CATEGORIES) * _ROWS[kind])
        rows = [
            (_caption(kind, drawn, row), drawn.images[row * len(CATEGORIES) :][: len(CATEGORIES)])
            for row in range(_ROWS[kind])
        ]
        sections.append((f"{kind}, seed {seed}", CATEGORIES, rows))
    sections.append(
        ("A picture of validation under the corruptions of 32 pixels", [*CORRUPTIONS, ""], _corrupted(seed))
    )
    return _laid_out(sections)


def _silhouettes() -> Row:
    tables = shape_tables()[: len(CATEGORIES)]
    return "silhouette", np.stack([_as_cell(255 - table) for table in tables])


def _textures() -> Row:
    return "texture", np.stack([_as_cell(tile) for tile in texture_tiles()[: len(CATEGORIES)]])


def _as_cell(table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(table).resize((_CELL, _CELL), Image.Resampling.BOX).convert("RGB"))


def _caption(kind: str, drawn: Drawn, row: int) -> str:
    if kind == "conflict":
        return f"texture {(row + 1)} further on"
    if kind != "pretrain":
        return ""
    part = slice(row * len(CATEGORIES), (row + 1) * len(CATEGORIES))
    return f"{int((drawn.labels[part] != drawn.shapes[part]).sum())} labels of 16 wrong"


def _corrupted(seed: int) -> list[Row]:
    import torch

    from harness.corruptions import corrupt

    drawn = draw("validation", seed, CATEGORIES.index("cat"), 1)
    image = torch.from_numpy(drawn.images).permute(0, 3, 1, 2).contiguous()
    rows = []
    for severity in SEVERITIES:
        if severity in _SEVERITIES_SHOWN:
            pictures = [corrupt(image, name, severity, drawn.names, parameters="32") for name in CORRUPTIONS]
            rows.append((f"severity {severity}", torch.cat(pictures).permute(0, 2, 3, 1).numpy()))
    return rows


def _laid_out(sections: Sequence[tuple[str, Sequence[str], list[Row]]]) -> Image.Image:
    step = _CELL + _GAP
    height = sum(2 * _HEADING + step * len(rows) for _, _, rows in sections) + _GAP
    sheet = Image.new("RGB", (_MARGIN + step * len(CATEGORIES), height), _PAPER)
    pen, large, small = ImageDraw.Draw(sheet), ImageFont.load_default(16), ImageFont.load_default(11)
    top = 0
    for title, columns, rows in sections:
        pen.text((_GAP, top + 8), title, _INK, font=large)
        for column, name in enumerate(columns):
            pen.text((_MARGIN + step * column, top + _HEADING + 10), name.replace("_", " "), _INK, font=small)
        top += 2 * _HEADING
        for caption, pictures in rows:
            pen.text((_GAP, top + _CELL // 2 - 8), caption, _INK, font=small)
            for column, picture in enumerate(pictures):
                enlarged = Image.fromarray(picture).resize((_CELL, _CELL), Image.Resampling.NEAREST)
                sheet.paste(enlarged, (_MARGIN + step * column, top))
            top += step
    return sheet


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the contact sheet to the file that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m data_fixtures.miniature.sheet", description=__doc__)
    parser.add_argument("out", type=Path, help="the picture to write, PNG")
    parser.add_argument("--seed", type=int, default=0, help="of the sets (default: 0)")
    options = parser.parse_args(arguments)
    contact_sheet(options.seed).save(options.out)


if __name__ == "__main__":
    main()
