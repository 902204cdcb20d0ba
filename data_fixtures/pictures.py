"""Writes pictures with structure at several scales: something to look at, where plain colours would not do."""

from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int, side: int = 32) -> Image.Image:
    """Draw a picture: the mean of random patches of a quarter, an eighth and a sixteenth of its side."""
    rng = np.random.default_rng(seed)
    layers = [
        np.asarray(Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)).resize((side, side)), float)
        for cells in (4, 8, 16)
    ]
    return Image.fromarray((sum(layers) / len(layers)).round().astype(np.uint8))  # type: ignore[union-attr]


def write_pictures(folder: Path, count: int, side: int = 32) -> list[Path]:
    """Write so many pictures as PNG into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{place:04d}.png" for place in range(count)]
    for place, path in enumerate(paths):
        picture(place, side).save(path)
    return paths
