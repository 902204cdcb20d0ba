"""Random numbers that belong to an image: the same whatever batch, order, chunk or worker it is attacked in."""

import hashlib
import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def unit_start(seed: int, image: str, restart: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Draw an attack's random start, in units of eps.

    The start at every eps is the same draw, scaled, so that accuracies over eps are paired.

    Args:
        seed: Of the run, in 0..2**32-1.
        image: The image's path in its benchmark.
        restart: Which of the attack's starts, from 0.
        shape: Of the image, (3, h, w).

    Returns:
        Independent uniform numbers in [-1, 1], of that shape.
    """
    uniform = _generator("start", seed, image, restart).random_sample(shape)
    return (2 * uniform - 1).astype(np.float32)


def wrong_class(seed: int, image: str, label: int, classes: Sequence[int] = range(1000)) -> int:
    """Draw the class that a targeted attack goes towards: any but the label, each as likely.

    Args:
        seed: Of the run, in 0..2**32-1.
        image: The image's path in its benchmark.
        label: Its class index, one of the classes.
        classes: Which class indices there are, ascending.
    """
    drawn = int(_generator("target", seed, image, 0).randint(len(classes) - 1))
    return int(classes[drawn + (classes[drawn] >= label)])


_own = threading.local()


def _generator(purpose: str, seed: int, image: str, number: int) -> np.random.RandomState:
    """Seed numpy's legacy generator, whose stream is frozen for good (NEP 19), by all that the draw belongs to.

    Each thread has one, which is seeded again for the next draw: to make one takes ten times as long.
    """
    key = hashlib.sha256(f"{purpose}\0{seed}\0{number}\0{image}".encode()).digest()
    if not hasattr(_own, "generator"):
        _own.generator = np.random.RandomState(0)
    generator: np.random.RandomState = _own.generator
    generator.seed(np.frombuffer(key, dtype="<u4"))
    return generator
