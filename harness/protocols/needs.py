"""What can be asked of a classifier."""

from dataclasses import dataclass

from harness.protocols.attacks import Attack
from harness.protocols.maximizing import Maximize

# A benchmark's name, to classify its images; an attack on ImageNet's; or maximizing images made from them.
Need = str | Attack | Maximize


@dataclass(frozen=True)
class Normaliser:
    """AlexNet's records of the very images of a benchmark that a classifier was measured on, where there are any.

    Attributes:
        benchmark: The benchmark's name.
    """

    benchmark: str


def benchmark_of(need: Need) -> str:
    """Name the benchmark whose images are looked at."""
    return need if isinstance(need, str) else need.benchmark
