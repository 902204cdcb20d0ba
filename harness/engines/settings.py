"""How to measure, whatever it is that is measured."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.classifiers.classifier import Classifier
    from harness.classifiers.spec import Spec

# Gives the classifier of a spec, loaded.
Load = Callable[["Spec"], "Classifier"]


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        device: `cpu`, `cuda`, `cuda:1` ...
        precision: `fp32`, `tf32` or `bf16`.
        batch_size: Images a batch; None for 32 on a CPU and 256 on a GPU.
        workers: Decoding processes.
        seed: Seed of the order in which images are seen.
        images: Only the first so many of that order; None for all.
        measure: False to judge from the store alone.
        is_checked: Whether files were checked as a whole already, and need not be looked at one by one.
        keep_pixels: Keep what was decoded in memory for the next classifier; for small benchmarks, with 0 workers.
    """

    device: str = "cpu"
    precision: str = "fp32"
    batch_size: int | None = None
    workers: int = 2
    seed: int = 0
    images: int | None = None
    measure: bool = True
    is_checked: bool = False
    keep_pixels: bool = False


def default_workers() -> int:
    """Give the number of decoding processes: one a core that this process may use, 16 at most."""
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 16)
