"""What can be asked of a classifier."""

from harness.protocols.attacks import Attack

# A benchmark's name, to classify its images, or an attack on ImageNet's.
Need = str | Attack


def benchmark_of(need: Need) -> str:
    """Name the benchmark whose images are looked at."""
    return need if isinstance(need, str) else need.benchmark
