"""How to measure, whatever it is that is measured."""

import os
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from harness.engines.engine import Engine
from harness.engines.local import Local


@dataclass(frozen=True)
class Shard:
    """One of the shares that a run's chunks are dealt out to, in turn.

    Attributes:
        number: Which, from 1.
        count: How many there are.
    """

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        device: `cpu`, `cuda`, `cuda:1` ...
        precision: `fp32`, `tf32` or `bf16`.
        batch_size: Images a batch, or the largest part of it that fits; None for 32 on a CPU, and on a GPU 512, or 256
            under attack.
        workers: Decoding processes.
        seed: Seed of the order in which images are seen.
        images: Only the first so many of that order; None for all.
        measure: False to judge from the store alone.
        is_checked: Whether files were checked as a whole already, and need not be looked at one by one.
        keep_pixels: Keep what was decoded in memory for the next classifier; for small benchmarks, with 0 workers.
        engine: What computes.
        shard: Which share of all chunks is measured; None for all of them.
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
    engine: Engine = field(default_factory=Local)
    shard: Shard | None = None

    @property
    def part(self) -> str:
        """The name of what is measured of each run; empty for all of it."""
        return f"{self.shard.number}-of-{self.shard.count}" if self.shard else ""

    def own(self, positions: NDArray[np.int64], chunk: int) -> NDArray[np.int64]:
        """Keep the positions that are to be measured.

        Args:
            positions: Of a seeded order.
            chunk: How many positions a chunk holds.
        """
        if self.shard is None:
            return positions
        kept: NDArray[np.int64] = positions[positions // chunk % self.shard.count == self.shard.number - 1]
        return kept

    @property
    def own_device(self) -> str:
        """Where this process puts a classifier that it needs itself."""
        return self.engine.own_device(self.device)

    def packed(self) -> "Settings":
        """Give the settings of a process that computes for this one."""
        return replace(self, engine=Local())

    @property
    def pace_name(self) -> str:
        """What the time that an image takes is kept under."""
        kind = self.device.partition(":")[0]
        return kind if self.engine.is_local else f"{kind}, cluster"


def default_workers() -> int:
    """Give the number of decoding processes: one a core that this process may use, 16 at most."""
    return min(count_cores(), 16)


def count_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
