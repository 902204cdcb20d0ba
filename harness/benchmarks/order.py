"""The seeded order in which every classifier sees a benchmark's (cell, image) pairs, and its chunks.

Everything is a prefix of this order: a quick subset, a resumed run, the whole evaluation. Any prefix is a
uniform random sample of the pairs, the same for every classifier, so comparisons are paired.
"""

import numpy as np
from numpy.typing import NDArray


def prefix_order(pairs: int, seed: int) -> NDArray[np.int64]:
    """Permute 0..pairs-1, uniformly, from a seed in 0..2**32-1.

    Uses numpy's legacy generator because its stream is frozen for good (NEP 19): records found under a seed
    today are found under it with any later numpy.
    """
    return np.random.RandomState(seed).permutation(pairs).astype(np.int64, copy=False)


def chunk_size(pairs: int) -> int:
    """Give the size of the unit of work: 256 pairs, rising to 4096 so that large benchmarks have about a thousand."""
    size = 256
    while size < 4096 and size * 1000 < pairs:
        size *= 2
    return size
