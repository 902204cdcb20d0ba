"""What a score is: a metric's name, which samples it reads, and how it is computed from them."""

import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.protocols.needs import Need, Normaliser
from harness.records.schema import Columns
from harness.verdicts.estimates import JACKKNIFE_GROUPS

Sample = Mapping[str, NDArray[Any]]
Samples = Mapping[Need | Normaliser, Sample]
Mask = NDArray[np.bool_]


class Part(NamedTuple):
    """What images add to a score that is a sum of means over benchmarks.

    Attributes:
        need: Of what the samples are.
        values: What each image that was seen adds, shape (images,): their mean over all images is the part.
        bounds: The least and the greatest that any image can add.
    """

    need: Need
    values: NDArray[np.float64]
    bounds: tuple[float, float]


class Ratio(NamedTuple):
    """A score that is the share of some images among some others.

    Attributes:
        need: Of what the samples are.
        hits: Which of the images that were seen count for it, shape (images,).
        misses: Which count against it, shape (images,); an image may count as both, or as neither.
    """

    need: Need
    hits: Mask
    misses: Mask


@dataclass(frozen=True)
class Score:
    """A metric of a benchmark.

    Attributes:
        name: As printed and as in `--json`, e.g. `top1`.
        needs: What its samples are of; the first is its own.
        value: From the samples of those benchmarks to the number; ValueError where they are too small.
        beside: What else it reads where samples of all of it are at hand.
        seen: On how many images it rests, where these are not all that were seen.
        percent: Whether it is printed in percent.
        count: For shares of independent images: from the samples to (hits, images), which gives an exact interval.
        check: Raises ValueError where the samples, as a whole, can't tell the number; None where they always can.
        of_some: Its images are those that `count` counts among, not all that were seen.
        bounds: The least and the greatest value that it can have.
        scale: The most that one image could change it by if it stood alone; a number, or from the samples to it.
        is_plain: It describes the very images that were seen, as a count does, and has no interval.
        parts: From the samples to the means that it is the sum of, for a score that is one.
        ratio: From the samples to the ratio that it is, for a score that is one.
        is_smooth: Whether it changes smoothly with the shares of images, so that leaving out some tells how sure it is.
    """

    name: str
    needs: tuple[Need, ...]
    value: Callable[[Samples], float]
    percent: bool = True
    count: Callable[[Samples], tuple[int, int]] | None = None
    is_plain: bool = False
    beside: tuple[Normaliser, ...] = ()
    seen: Callable[[Samples], int] | None = None
    check: Callable[[Samples], None] | None = None
    of_some: bool = False
    bounds: tuple[float, float] = (0.0, 1.0)
    scale: float | Callable[[Samples], float] = 1.0
    parts: Callable[[Samples], Sequence[Part]] | None = None
    ratio: Callable[[Samples], Ratio] | None = None
    is_smooth: bool = True

    def images(self, samples: Samples) -> int:
        """Count the images that it rests on."""
        return self.seen(samples) if self.seen else len(samples[self.needs[0]]["group"])

    def scale_of(self, samples: Samples) -> float:
        """Give the most that one image could change it by if it stood alone."""
        return self.scale(samples) if callable(self.scale) else self.scale


# The columns of every kind of record that samples are made of.
ALWAYS = ("image", "digest")


def common_part(columns: Columns) -> Columns:
    """Give what every sample holds: which file each image is, and which of the jackknife's groups it belongs to."""
    return {
        "digest": columns["digest"],
        # An image's group is the same in every cell, on every benchmark, in every format and under every attack.
        "group": np.array(
            [zlib.crc32(os.path.splitext(image)[0].encode()) % JACKKNIFE_GROUPS for image in columns["image"]],
            dtype=np.uint8,
        ),
    }
