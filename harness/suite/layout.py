"""How lines are laid out for whoever reads them: folded for a terminal, whole in a file."""

import os
import textwrap
from collections.abc import Sequence

import pytest

# How wide a line may be where nobody says how wide it is shown: in a pipe, a file, the log of a CI job.
UNKNOWN = 160

# What stands before the lines of a row, or of a text, that come after its first.
INDENT = " " * 7

_BETWEEN = "  "


def width_of(writer: pytest.TerminalReporter | None) -> int:
    """Give how wide lines may be: as wide as the terminal, or as COLUMNS says.

    Args:
        writer: What writes to the terminal; None where nothing does.
    """
    if writer is None or not (writer.isatty() or os.environ.get("COLUMNS")):
        return UNKNOWN
    return writer._tw.fullwidth


def folded(text: str, width: int, indent: str = "") -> list[str]:
    """Break a text between words so that it fits; a word that does not fit stays whole, for it may be a path.

    Args:
        text: In one line.
        width: How wide a line may be.
        indent: What lines after the first begin with.
    """
    return textwrap.wrap(text, width - 1, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)


def columns(rows: Sequence[Sequence[str]], width: int, *, head: int) -> list[list[str]]:
    """Align cells in columns; where they don't fit beside one another, a row goes on in further lines.

    Args:
        rows: All of one length.
        width: How wide a line may be; a cell that is wider all alone is cut.
        head: How many columns say what a row is about: where not all fit, the others begin a line of their own.

    Returns:
        Of each row its lines.
    """
    most = width - 1 - len(INDENT)
    sizes = [min(most, max(map(len, cells))) for cells in zip(*rows, strict=True)]
    is_whole = sum(sizes) + len(_BETWEEN) * (len(sizes) - 1) < width
    lines: list[list[int]] = [[]]
    used = 0
    for place, size in enumerate(sizes):
        if lines[-1] and not is_whole and (place == head or used + len(_BETWEEN) + size >= width):
            lines.append([])
            used = len(INDENT)
        used += size + len(_BETWEEN) * bool(lines[-1])
        lines[-1].append(place)
    laid_out = []
    for row in rows:
        cells = [_cut(cell, size).ljust(size) for cell, size in zip(row, sizes, strict=True)]
        found = [_BETWEEN.join(cells[place] for place in places).rstrip() for places in lines]
        laid_out.append([found[0], *(INDENT + line for line in found[1:] if line)])
    return laid_out


def _cut(cell: str, size: int) -> str:
    return cell if len(cell) <= size else cell[: size - 3] + "..."
