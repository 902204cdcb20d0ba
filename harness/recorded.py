"""Reads the recorded figures in `reference/`: the paper's, its author's, AlexNet's, and independent measurements.

All values are fractions, top-5 distances excepted. Every row names its source.
"""

import csv
import functools
import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from harness import pinfile
from harness.errors import NotMeasured

# Measured by the test that it is named after, which writes it on --snapshot-update.
ALEXNET_TOP5_DISTANCES = (
    Path(__file__).parent.parent
    / "snapshots/test_pinned_figures/test_alexnet_top5_distances_are_the_pinned_ones[paper-alexnet].json"
)


@dataclass(frozen=True)
class Row:
    """One recorded figure.

    Attributes:
        model: Which classifier, by its short name or as the paper quotes it.
        metric: The metric's key, e.g. `corruption_error`.
        condition: What it was measured under, e.g. `gaussian_noise` or `eps=0.06 steps=10`; empty if nothing.
        value: The figure; a fraction, or a top-5 distance in 0..15.
        images: How many images, or sequences, it was measured on; 0 where the source does not say.
        source: Where it is published.
    """

    model: str
    metric: str
    condition: str
    value: float
    images: int
    source: str


@functools.cache
def table(name: str) -> dict[tuple[str, str, str], Row]:
    """Read `reference/<name>.csv`, keyed by (model, metric, condition)."""
    rows = {}
    for cells in csv.DictReader(_text(name).splitlines()):
        row = Row(
            cells["model"],
            cells["metric"],
            cells["condition"],
            float(cells["value"]),
            int(cells["images"] or 0),
            cells["source"],
        )
        rows[row.model, row.metric, row.condition] = row
    return rows


def sha256_of(name: str) -> str:
    """Hash `reference/<name>.csv`; gives 16 hex digits, enough to tell versions of a table apart."""
    return f"sha256:{hashlib.sha256(_text(name).encode()).hexdigest()[:16]}"


def find(name: str, model: str, metric: str, condition: str = "") -> Row:
    """Look a recorded figure up.

    Raises:
        NotMeasured: The table has no such figure.
    """
    row = table(name).get((model, metric, condition))
    if row is None:
        what = f"{metric} ({condition})" if condition else metric
        raise NotMeasured(f"{name} records no {what} of {model}")
    return row


def by_condition(name: str, model: str, metric: str) -> dict[str, float]:
    """Collect a metric's values of a model by condition, in the table's order.

    Raises:
        NotMeasured: The table has none.
    """
    values = {row.condition: row.value for row in table(name).values() if (row.model, row.metric) == (model, metric)}
    if not values:
        raise NotMeasured(f"{name} records no {metric} of {model}")
    return values


def alexnet_corruption_errors() -> dict[str, float]:
    """Give AlexNet's error on each of ImageNet-C's 15 corruptions, averaged over severities: the mCE's normaliser."""
    return by_condition("alexnet", "alexnet", "corruption_error")


def alexnet_clean_error() -> float:
    """Give AlexNet's error on ImageNet's validation images: the rel. mCE's other normaliser."""
    return find("alexnet", "alexnet", "clean_error").value


def alexnet_flip_probabilities() -> dict[str, float]:
    """Give AlexNet's flip probability on each of ImageNet-P's ten perturbations: the mFR's normaliser."""
    return by_condition("alexnet", "alexnet", "flip_probability")


def alexnet_top5_distances() -> dict[str, float]:
    """Give AlexNet's top-5 distance on each of ImageNet-P's ten perturbations, as pinned: the mT5D's normaliser.

    Raises:
        NotMeasured: They are not pinned yet: nobody published them, so they have to be measured.
        DataError: Their file is no file of pins.
    """
    if not ALEXNET_TOP5_DISTANCES.is_file():
        raise NotMeasured(
            "AlexNet's top-5 distances, the normaliser of mT5D, are published nowhere and not pinned here yet; "
            "pytest -m full -k alexnet_top5 --snapshot-update, on all of ImageNet-P, measures and pins them"
        )
    pins = pinfile.read(ALEXNET_TOP5_DISTANCES)["figures"]
    return {name: float(pin["value"]) for name, pin in pins.items()}


def _text(name: str) -> str:
    return resources.files("harness.reference").joinpath(f"{name}.csv").read_text(encoding="utf-8")
