"""Published raw data for the metrics' tests, where it is at hand."""

import csv
import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest

Rows = list[dict[str, str]]


@pytest.fixture(scope="session")
def published_table() -> Callable[[str], Rows]:
    """Rows of a published table (`.csv.gz`), every value as the text that it is; skips where there are none."""
    folder = os.environ.get("ROBUSTNESS_TABLES")
    if not folder:
        pytest.skip("set ROBUSTNESS_TABLES to a folder of published raw tables (csv.gz) to run this")

    def rows(name: str) -> Rows:
        with gzip.open(Path(folder) / name, "rt", encoding="utf-8", newline="") as lines:
            return list(csv.DictReader(lines))

    return rows
