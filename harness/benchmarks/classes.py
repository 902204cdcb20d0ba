"""The 1000 ImageNet classes in their published order, and the 200 of ImageNet-A."""

import csv
import functools
from importlib import resources


@functools.cache
def _rows() -> tuple[tuple[str, bool], ...]:
    table = resources.files("harness.reference").joinpath("imagenet_classes.csv").read_text(encoding="utf-8")
    return tuple((row["wnid"], row["imagenet_a"] == "1") for row in csv.DictReader(table.splitlines()))


@functools.cache
def class_index() -> dict[str, int]:
    """Map each of the 1000 wnids to its class index: its place among the sorted wnids, never a folder's place."""
    return {wnid: index for index, (wnid, _) in enumerate(_rows())}


@functools.cache
def imagenet_a_classes() -> tuple[int, ...]:
    """Give the 200 class indices of ImageNet-A (Hendrycks et al., 2019), ascending."""
    return tuple(index for index, (_, in_imagenet_a) in enumerate(_rows()) if in_imagenet_a)
