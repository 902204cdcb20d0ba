"""The 1000 ImageNet classes in their published order, their names, and the 200 of ImageNet-A."""

import csv
import functools
from importlib import resources
from typing import NamedTuple

CLASSES = 1000
"""How many classes ImageNet has."""


class _Class(NamedTuple):
    wnid: str
    name: str
    in_imagenet_a: bool


@functools.cache
def _classes() -> tuple[_Class, ...]:
    table = resources.files("harness.reference").joinpath("imagenet_classes.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(table.splitlines())
    return tuple(_Class(row["wnid"], row["name"], row["imagenet_a"] == "1") for row in rows)


@functools.cache
def class_index() -> dict[str, int]:
    """Map each of the 1000 wnids to its class index: its place among the sorted wnids, never a folder's place."""
    return {each.wnid: index for index, each in enumerate(_classes())}


@functools.cache
def class_names() -> tuple[str, ...]:
    """Give the name of each class by its index, in words as torchvision has them, e.g. `great white shark`."""
    return tuple(each.name for each in _classes())


@functools.cache
def imagenet_a_classes() -> tuple[int, ...]:
    """Give the 200 class indices of ImageNet-A (Hendrycks et al., 2019), ascending."""
    return tuple(index for index, each in enumerate(_classes()) if each.in_imagenet_a)
