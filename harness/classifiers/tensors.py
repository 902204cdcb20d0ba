"""What a few numbers a tensor tell of two classifiers' weights: the same, rounded, or changed, and where.

Of each tensor a summary is kept: its size and spread, and a sketch, sixteen signed sums of its numbers. The signs are
drawn by the tensor's name, so the sketch of a difference is the difference of two sketches, and its squares add up, on
average, to the square of the difference's norm. So two summaries alone tell how far apart two tensors lie, within about
a fifth; of tensors of sixteen numbers or fewer, exactly.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import some

if TYPE_CHECKING:
    import torch

    from harness.classifiers.classifier import Classifier

Sketch = tuple[float, ...]

SKETCH = 16
"""How many numbers a sketch has."""

_AT_ONCE = 1 << 20
_NAMED = 3
# A counter that batch norms keep while they are trained; nothing is computed from it.
_COUNTER = "num_batches_tracked"
# Up to this share of its size a tensor is the same: single precision rounds to less.
_SAME = 2e-7
# A tensor that differs by less is not looked at for another order of its numbers.
_CLOSE = 1e-3
# As small a share of a difference is left by what explains it.
_LEFT = 0.02
# Norms and means of the same numbers in another order agree to this share of what chance leaves, rounded to fp16 too.
_REORDERED = 2e-3
# By how much an estimated size may exceed the true one: 16 squares of normal numbers do so once in a million tensors.
# Of few numbers that differ some may cancel in a sum.
_SLACK, _CANCELLED = 2.0, 0.25
# By precision: bits of a number's significand, its least step, and the narrowest types of numbers that have so few.
_PRECISIONS = {
    "fp16": (11, 2.0**-24, ("bfloat16", "float16")),
    "bf16": (8, 2.0**-133, ("bfloat16",)),
}
# The largest whole number of int8, symmetric about 0.
_LARGEST_INT8 = 127
# Least share of what rounding a whole tensor to 8 bits does to it that rounding its channels one by one does.
_LEAST_OF_INT8 = 0.1
# As large a share of all tensors changed are all of them: some hold nothing but zeros or ones.
_ALL = 0.9


@dataclass(frozen=True)
class TensorSummary:
    """What is kept of one tensor; numbers that are not finite count as 0.

    Attributes:
        name: Its name in the state dict.
        shape: Its shape.
        dtype: The narrowest of `bfloat16`, `float16` and its own type that holds its numbers as they are: weights that
            were stored in half precision are told by it, whatever they were widened to.
        count: How many numbers it has.
        mean: Their mean.
        std: Their standard deviation, over all of them.
        norm: Root of the sum of their squares.
        largest: The largest of their magnitudes.
        zeros: Share of them that are 0, in 0..1.
        sketch: Sixteen signed sums of them; the numbers themselves where there are no more than sixteen.
        channels: Of a convolution of three input channels, the sketch of each, all with the same signs; else empty.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    count: int
    mean: float
    std: float
    norm: float
    largest: float
    zeros: float
    sketch: Sketch
    channels: tuple[Sketch, ...] = ()


@dataclass(frozen=True)
class Change:
    """How one tensor differs.

    Attributes:
        name: The tensor's.
        size: Norm of the difference as a share of the tensor's own.
        how: What was done to it, in words; empty where that is not known.
        is_exact: Whether the size is known, and not estimated by the sketches.
    """

    name: str
    size: float
    how: str = ""
    is_exact: bool = False

    def __str__(self) -> str:
        how = f" ({self.how})" if self.how else ""
        return f"{self.name} by {self.share} of its size{how}"

    @property
    def share(self) -> str:
        """The size in words."""
        return f"{'' if self.is_exact else 'about '}{_percent(self.size)}"


@dataclass(frozen=True)
class Difference:
    """How a candidate's tensors differ from a reference's; `str` says it in one line.

    Attributes:
        kind: `same`; `rounded`, to `precision` and no more; `quantised`, as rounding weights to 8 bits does; `pruned`,
            with weights set to 0; `some` tensors or `all` changed; `other architecture`, names or shapes differ;
            `unknown` where one of them has no tensors to look at.
        precision: `fp16` or `bf16` where tensors that are not changed are rounded to it, `int8` where quantised.
        changes: The tensors that differ by more than rounding, the one that differs most first.
        count: How many tensors there are.
        detail: What a reader must know beside it; empty for nothing.
    """

    kind: str
    precision: str = ""
    changes: tuple[Change, ...] = ()
    count: int = 0
    detail: str = ""

    @property
    def tensors(self) -> tuple[str, ...]:
        """Names of the tensors that differ by more than rounding, the one that differs most first."""
        return tuple(change.name for change in self.changes)

    def __str__(self) -> str:
        if self.kind == "unknown":
            return "nothing is known of the tensors of one of them"
        if self.kind == "other architecture":
            return f"another architecture: {self.detail}"
        if self.kind == "same":
            return f"all {self.count} tensors are the same"
        if self.kind == "rounded":
            return f"all {self.count} tensors are the same but for rounding to {self.precision}"
        of = f"{len(self.changes)} of {self.count} tensors differ{'s' * (len(self.changes) == 1)}"
        if self.kind == "quantised":
            return f"{of} {self.detail}: {self._spread()}"
        rounded = f"; the others are rounded to {self.precision}" if self.precision else ""
        if self.kind == "pruned":
            return f"{of} {self.detail}: {self._spread()}{rounded}"
        if self.kind == "all":
            return f"{of}: {self._spread()}"
        more = f" and {len(self.changes) - _NAMED} more" if len(self.changes) > _NAMED else ""
        return f"{of}: {', '.join(map(str, self.changes[:_NAMED]))}{more}{rounded}"

    def _spread(self) -> str:
        middle, most = median(change.size for change in self.changes), self.changes[0]
        if len(self.changes) == 1:
            return str(most)
        return f"by about {_percent(middle)} of their size in the median, {most.name} the most ({most.share})"


def summarize(state: Mapping[str, "torch.Tensor"]) -> tuple[TensorSummary, ...]:
    """Summarise the tensors of a state dict, in its order; counters of batches, which compute nothing, are left out."""
    return tuple(_summary(name, tensor) for name, tensor in state.items() if not name.endswith(_COUNTER))


def summarize_classifier(classifier: "Classifier") -> tuple[TensorSummary, ...]:
    """Summarise the tensors of a loaded classifier, its normalisation aside; none where its model shows none."""
    return summarize(classifier.module.model.state_dict())


def differences(reference: Sequence[TensorSummary], candidate: Sequence[TensorSummary]) -> Difference:
    """Say how a candidate's tensors differ from a reference's."""
    if not (reference and candidate):
        return Difference("unknown")
    if detail := _other_shapes(reference, candidate):
        return Difference("other architecture", detail=detail)
    others = {each.name: each for each in candidate}
    pairs = [(each, others[each.name]) for each in reference]
    sizes = {own.name: _distance(own.sketch, other.sketch, own, other) for own, other in pairs}
    changed = {
        precision: [pair for pair in pairs if not _is_rounding(precision, *pair, sizes[pair[0].name])]
        for precision in ("", *_PRECISIONS)
    }
    precision = min(changed, key=lambda each: len(changed[each]))  # of equals the first, which is none
    pairs = changed[precision]
    found = [_change(own, other, sizes[own.name]) for own, other in pairs]
    changes = tuple(sorted(found, key=lambda change: -change.size))
    count = len(reference)
    if not changes:
        return Difference("rounded" if precision else "same", precision, count=count)
    if all(_is_pruned(*pair, sizes[pair[0].name]) for pair in pairs):
        added = sum(other.zeros * other.count - own.zeros * own.count for own, other in pairs)
        share = _percent(added / sum(own.count for own, _ in pairs))
        whose = "its" if len(pairs) == 1 else "their"
        if all(not other.norm for _, other in pairs):
            are = "it is" if len(pairs) == 1 else "they are"
            return Difference("pruned", precision, changes, count, f"in that {are} all 0")
        return Difference("pruned", precision, changes, count, f"in that {share} of {whose} numbers were set to 0")
    weights = sum(len(each.shape) > 1 for each in reference)
    if len(pairs) > weights / 2 and _are_quantised(pairs, sizes):
        changes = tuple(Change(change.name, change.size) for change in changes)
        return Difference("quantised", "int8", changes, count, "as by rounding to 8 bits")
    return Difference("all" if len(changes) >= _ALL * count else "some", precision, changes, count)


def _summary(name: str, tensor: "torch.Tensor") -> TensorSummary:
    numbers = tensor.detach().cpu().double().numpy()
    numbers = np.where(np.isfinite(numbers), numbers, 0.0)
    flat = numbers.ravel()
    is_empty = not flat.size
    is_rgb = numbers.ndim == 4 and numbers.shape[1] == 3
    return TensorSummary(
        name,
        tuple(tensor.shape),
        _narrowest(flat) if tensor.is_floating_point() else str(tensor.dtype).removeprefix("torch."),
        flat.size,
        0.0 if is_empty else float(flat.mean()),
        0.0 if is_empty else float(flat.std()),
        float(np.linalg.norm(flat)),
        0.0 if is_empty else float(np.abs(flat).max()),
        0.0 if is_empty else float((flat == 0).mean()),
        _sketch(name, flat),
        tuple(_sketch(name, numbers[:, channel].ravel()) for channel in range(3)) if is_rgb else (),
    )


def _narrowest(numbers: NDArray[np.float64]) -> str:
    """Name the narrowest type of floating point that holds numbers as they are."""
    single = numbers.astype(np.float32)
    if (single != numbers).any():
        return "float64"
    if not (single.view(np.uint32) & 0xFFFF).any():
        return "bfloat16"
    with np.errstate(over="ignore"):
        return "float16" if (single.astype(np.float16) == single).all() else "float32"


def _sketch(name: str, numbers: NDArray[np.float64]) -> Sketch:
    """Add each number to one of sixteen sums or take it away, as drawn by the tensor's name."""
    if numbers.size <= SKETCH:
        return tuple(map(float, numbers))
    drawn = np.random.PCG64(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))
    sums = np.zeros(2 * SKETCH)
    for start in range(0, numbers.size, _AT_ONCE):
        part = numbers[start : start + _AT_ONCE]
        places = drawn.random_raw(-(-part.size // 8)).astype("<u8").view(np.uint8)[: part.size] % (2 * SKETCH)
        sums += np.bincount(places, weights=part, minlength=2 * SKETCH)
    return tuple(map(float, sums[:SKETCH] - sums[SKETCH:]))


def _distance(first: Sketch, second: Sketch, own: TensorSummary, other: TensorSummary) -> float:
    """Estimate the norm of a difference as a share of the reference's norm, or of the other's where that is 0."""
    return math.dist(first, second) / (own.norm or other.norm or 1.0)


def _is_rounding(precision: str, own: TensorSummary, other: TensorSummary, size: float) -> bool:
    """Tell whether a difference is no larger than rounding one of the two to a precision makes it."""
    if size <= _SAME or not precision:
        return size <= _SAME
    bits, step, types = _PRECISIONS[precision]
    # An error is uniform within half a step, which is 2**-bits of a number, or `step` where numbers are that small.
    most = (2.0**-bits + step * math.sqrt(own.count) / (own.norm or other.norm)) / math.sqrt(3)
    return (own.dtype in types or other.dtype in types) and size <= _SLACK * most


def _is_pruned(own: TensorSummary, other: TensorSummary, size: float) -> bool:
    """Tell whether a tensor is the other with some numbers set to 0, rounded to fp16 at most.

    Then the difference is at right angles to what is left, so the two norms say how large it is.
    """
    if other.zeros <= own.zeros or not own.norm:
        return False
    removed = math.sqrt(max(0.0, 1 - (other.norm / own.norm) ** 2))
    return removed * _CANCELLED <= size <= _SLACK * math.hypot(removed, 2.0**-11)


def _are_quantised(pairs: Sequence[tuple[TensorSummary, TensorSummary]], sizes: Mapping[str, float]) -> bool:
    """Tell whether weights, and no biases, lie as far apart as steps of their largest magnitude / 127 put them.

    Steps that are chosen channel by channel are smaller.
    """
    if any(len(own.shape) < 2 for own, _ in pairs):
        return False
    shares = [
        sizes[own.name] * own.norm * math.sqrt(12 / own.count) / (own.largest / _LARGEST_INT8)
        for own, _ in pairs
        if own.largest
    ]
    return len(shares) == len(pairs) and max(shares) <= _SLACK and median(shares) >= _LEAST_OF_INT8


def _change(own: TensorSummary, other: TensorSummary, size: float) -> Change:
    """Say how a tensor differs, exactly where it is a multiple of the other or a sketch holds all of its numbers."""
    factor = _factor(own, other)
    if factor is None:
        return Change(own.name, size, _how(own, other, size), own.count <= SKETCH)
    how = "its sign is flipped" if factor == -1 else f"multiplied by {factor:g}" if factor else "set to 0"
    return Change(own.name, abs(factor - 1), how, True)


def _factor(own: TensorSummary, other: TensorSummary) -> float | None:
    """Find by which number one tensor was multiplied to give the other; None where it is no multiple."""
    first, second = np.array(own.sketch), np.array(other.sketch)
    if own.count < 2 or not first.any():
        return None
    factor = float(first @ second / (first @ first))
    is_multiple = math.dist(second, factor * first) <= _LEFT * math.dist(first, second)
    is_as_large = abs(other.norm - abs(factor) * own.norm) <= _LEFT * abs(factor - 1) * own.norm
    return round(factor, 3) if is_multiple and is_as_large else None


def _how(own: TensorSummary, other: TensorSummary, size: float) -> str:
    """Say what was done to a tensor, where that can be told; empty where it can't."""
    if _is_pruned(own, other, size):
        return f"{_percent(other.zeros - own.zeros)} of its numbers set to 0"
    if (order := _channel_order(own, other, size)) != (0, 1, 2):
        return f"its input channels are {''.join('RGB'[place] for place in order)} instead of RGB"
    if size > _CLOSE and _has_the_same_numbers(own, other):
        return "the same numbers in another order"
    return ""


def _channel_order(own: TensorSummary, other: TensorSummary, size: float) -> tuple[int, ...]:
    """Find the order of the reference's input channels that leaves next to nothing of a difference."""
    unchanged = (0, 1, 2)
    if not (own.channels and other.channels):
        return unchanged

    def left(order: tuple[int, ...]) -> float:
        return math.hypot(*(math.dist(own.channels[a], b) for a, b in zip(order, other.channels, strict=True)))

    best = min(permutations(unchanged), key=left)
    return best if left(best) <= 0.1 * size * own.norm else unchanged


def _has_the_same_numbers(own: TensorSummary, other: TensorSummary) -> bool:
    near = _REORDERED * own.norm / math.sqrt(own.count)
    return (
        own.count > 1
        and abs(own.norm - other.norm) <= near
        and abs(own.mean - other.mean) <= near / math.sqrt(own.count)
        and abs(own.largest - other.largest) <= 2.0**-8 * own.largest
    )


def _other_shapes(reference: Sequence[TensorSummary], candidate: Sequence[TensorSummary]) -> str:
    """Say in which names and shapes two lists of tensors differ; empty where in none."""
    before, after = ({each.name: each.shape for each in tensors} for tensors in (reference, candidate))
    parts = [
        f"{len(names)} tensor{'s' * (len(names) > 1)} {word} ({some(names)})"
        for word, names in (
            ("missing", [name for name in before if name not in after]),
            ("too many", [name for name in after if name not in before]),
            ("of another shape", _misshapen(before, after)),
        )
        if names
    ]
    return "; ".join(parts)


def _misshapen(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return [
        f"{name} is {_shape(after[name])} instead of {_shape(shape)}"
        for name, shape in before.items()
        if name in after and after[name] != shape
    ]


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.0f} %"
