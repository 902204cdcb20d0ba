"""Computes in this process: one pass over all positions, whatever their chunks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.engines.engine import Keeper, Load, Work
from harness.engines.gpus import count_gpus
from harness.errors import UsageError


@dataclass(frozen=True)
class Local:
    """The engine that is this process, on one device."""

    is_local = True

    def device(self, asked: str) -> str:
        """Turn `auto` into `cuda` where there is a GPU and `cpu` elsewhere.

        Raises:
            UsageError: A GPU was asked for that is not there.
        """
        found = count_gpus()
        if asked == "auto":
            return "cuda" if found else "cpu"
        if asked != "cpu" and int(asked.partition(":")[2] or 0) >= found:
            raise UsageError(f"--device {asked}: this machine has {found} CUDA devices; use cpu or leave it out")
        return asked

    def own_device(self, device: str) -> str:
        """Give the device itself."""
        return device

    def compute(self, work: Work, positions: NDArray[np.int64], load: Load, keeper: Keeper) -> None:
        """Answer a work for positions, batch by batch."""
        answer = work.begin(load)
        keeper.start()
        for columns in answer(positions):
            keeper.add(columns)

    def close(self) -> None:
        """Hold nothing."""
