"""Runs of a few records, as the tests of the store write, read and damage them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.records.schema import Columns
from harness.records.store import Run, RunKey

IDENTITY = {"weights": "sha256:1", "data": "2", "seed": "0"}


def key(
    chunk: int = 4, pairs: int = 10, benchmark: str = "imagenet", subject: str = "a_classifier", **identity: str
) -> RunKey:
    """Give the key of a small run; other identities are other runs."""
    return RunKey(benchmark, subject, {**IDENTITY, **identity}, pairs=pairs, chunk=chunk)


def rows(start: int, stop: int, **changed: Any) -> Columns:
    """Give records at positions start to stop - 1, with the columns changed that are named."""
    positions = np.arange(start, stop)
    return {
        "position": positions,
        "image": np.array([f"n1/{place}.png" for place in positions], dtype=object),
        "digest": positions.astype(np.uint64) + 2**63,
        "modified": positions + 10**18,
        "top5": (positions[:, None] + np.arange(5)).astype(np.int16),
        "confidence": (positions / 100).astype(np.float32),
        **changed,
    }


def read(run: Run, images: int, columns: Sequence[str] | None = None) -> Columns:
    """Read a run's first records as one piece."""
    chunks = list(run.read(images, columns))
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def same(first: Columns, second: Columns) -> bool:
    """Tell whether two have the same columns of the same values."""
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def cut_short(path: Path) -> None:
    """Take the end of a file away."""
    path.write_bytes(path.read_bytes()[:-30])


def flip_a_bit(path: Path) -> None:
    """Alter a bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def empty(path: Path) -> None:
    """Take all of a file's bytes away."""
    path.write_bytes(b"")
