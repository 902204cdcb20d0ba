"""Random numbers that belong to an image: the same whatever batch, order, device or worker it is corrupted in."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray


class Draws:
    """Hands out the random numbers of a batch of images, each from a generator of its image's own.

    Numbers are drawn on the CPU and moved, so that every device gets the same. Each call goes on in all the streams,
    so what a call gives depends on the calls before it, and never on the other images.

    Attributes:
        count: How many images there are.
        device: Where the numbers go.
    """

    def __init__(self, purpose: str, seed: int, ids: Sequence[str], device: torch.device | str = "cpu") -> None:
        """Seed a generator for each image.

        Args:
            purpose: What the numbers are for, e.g. `corruption/snow/3`; other purposes get other numbers.
            seed: Of the run.
            ids: Names the images.
            device: Where the numbers go.
        """
        self.count = len(ids)
        self.device = torch.device(device)
        self._generators = [_generator(purpose, seed, image) for image in ids]

    def normal(self, *shape: int) -> torch.Tensor:
        """Draw standard normal numbers, float64 of shape (images, *shape)."""
        return self._stacked([generator.standard_normal(shape) for generator in self._generators])

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        """Draw uniform numbers in [low, high), float64 of shape (images, *shape)."""
        return self._stacked([generator.uniform(low, high, shape) for generator in self._generators])

    def integers(self, low: int, high: int, *shape: int) -> torch.Tensor:
        """Draw integers in low..high-1, each as likely, int64 of shape (images, *shape)."""
        return self._stacked([generator.randint(low, high, shape, dtype=np.int64) for generator in self._generators])

    def _stacked(self, numbers: Sequence[NDArray[np.generic]]) -> torch.Tensor:
        return torch.from_numpy(np.stack([np.asarray(each) for each in numbers])).to(self.device)


def _generator(purpose: str, seed: int, image: str) -> np.random.RandomState:
    """Seed numpy's legacy generator, whose stream is frozen for good (NEP 19), by all that the draws belong to."""
    key = hashlib.sha256(f"{purpose}\0{seed}\0{image}".encode()).digest()
    return np.random.RandomState(np.frombuffer(key, dtype="<u4"))
