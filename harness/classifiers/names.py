"""Names of tensors: what stands before all of them, and which of several copies of the weights is meant."""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.errors import CheckpointError, known_nearest_first, some

if TYPE_CHECKING:
    import torch

State = dict[str, "torch.Tensor"]

_AVERAGE = re.compile(r"(^|[._])(ema|averaged?|teacher|shadow)(?=[._]|\d|$)|_ema(?=[._]|$)", re.IGNORECASE)

log = logging.getLogger(__name__)


def flattened(loaded: Any) -> State:
    """Give all tensors of mappings in mappings, by the names on the way to them, joined by dots."""
    import torch

    def walk(value: Any, name: str) -> Iterator[tuple[str, torch.Tensor]]:
        if isinstance(value, torch.Tensor):
            yield name, value
        elif isinstance(value, Mapping):
            for key, each in value.items():
                yield from walk(each, f"{name}.{key}" if name else str(key))

    return dict(walk(loaded, ""))


def behind(state: State, prefix: str, where: str) -> State:
    """Give the tensors whose names begin with a prefix, without it.

    Args:
        state: Tensors by name.
        prefix: With or without the dot at its end.
        where: What the message calls them, e.g. the file.

    Raises:
        CheckpointError: There are none; names what there is.
    """
    start = f"{prefix.rstrip('.')}."
    found = {name.removeprefix(start): tensor for name, tensor in state.items() if name.startswith(start)}
    if not found:
        beginnings = {name.partition(".")[0] for name in state}
        raise CheckpointError(
            f"{where} has no tensors behind {start!r} (?prefix=); its names begin with "
            f"{', '.join(known_nearest_first(prefix, beginnings)[:8]) or 'nothing'}"
        )
    return found


def without_common_prefix(state: State, wanted: "Mapping[str, torch.Size]", where: str, before: str = "") -> State:
    """Take off what stands before all wanted names, and leave averages of the weights aside.

    What is left aside is told in the log. Where the wanted names are nowhere all there, what stands before most of them
    is taken off, and nothing where it stands before half of them or fewer.

    Args:
        state: Tensors by name.
        wanted: The names that an architecture wants, with the shapes by which copies are told from other layers.
        where: What messages call them, e.g. the file.
        before: What stands before all names in the file and is taken off already, such as `state_dict.`.

    Raises:
        CheckpointError: Two copies are there, of which neither is an average.
    """
    if not wanted:
        return state
    copies = sorted(_prefixes(state, list(wanted)), key=lambda prefix: (_is_average(prefix), len(prefix), prefix))
    if len(copies) > 1:
        fitting = [copy for copy in copies if all(state[f"{copy}{name}"].shape == wanted[name] for name in wanted)]
        if not fitting:
            return state
        copies = fitting
    if not copies:
        return _behind_most(state, wanted)
    if copies == [""]:
        return state
    plain = [prefix for prefix in copies if not _is_average(prefix)]
    if len(plain) > 1 and "" not in plain:
        raise CheckpointError(
            f"{where} holds the weights more than once, behind {' and '.join(plain)}; choose by "
            f"?prefix={_typed(before, plain[0])}"
        )
    chosen, *others = [""] + [prefix for prefix in copies if prefix] if "" in copies else copies
    _tell(state, chosen, others, where, before)
    if chosen:
        return {name.removeprefix(chosen): tensor for name, tensor in state.items() if name.startswith(chosen)}
    return {name: tensor for name, tensor in state.items() if not name.startswith(tuple(others))}


def _prefixes(state: State, wanted: Sequence[str]) -> Iterator[str]:
    """Find the prefixes behind each of which all wanted names are; empty for none."""
    first = wanted[0]
    for name in state:
        prefix = name.removesuffix(first)
        if (
            name.endswith(first)
            and (not prefix or prefix.endswith("."))
            and all(f"{prefix}{w}" in state for w in wanted)
        ):
            yield prefix


def _behind_most(state: State, wanted: Iterable[str]) -> State:
    """Give the tensors behind what stands before more than half of the wanted names; all as they are for nothing."""
    places = dict.fromkeys(wanted)
    counts: Counter[str] = Counter()
    for name in state:
        parts = name.split(".")
        for place in range(len(parts)):
            if ".".join(parts[place:]) in places:
                counts[".".join([*parts[:place], ""])] += 1
    prefix, count = max(counts.items(), key=lambda item: (item[1], not item[0]), default=("", 0))
    if not prefix or 2 * count <= len(places):
        return state
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _typed(before: str, prefix: str) -> str:
    """Write a prefix as `?prefix=` takes it: from the beginning of the names in the file."""
    return f"{before}{prefix}".rstrip(".")


def _is_average(prefix: str) -> bool:
    return _AVERAGE.search(prefix) is not None


def _tell(state: State, chosen: str, copies: Sequence[str], where: str, before: str) -> None:
    """Say in the log what is left aside, and how to have it."""
    for copy in copies:
        log.warning(
            "%s: the weights %s are taken; ask for those behind %s by ?prefix=%s",
            where,
            f"behind {chosen}" if chosen else "without a prefix",
            copy,
            _typed(before, copy),
        )
    left = [name for name in state if chosen and not name.startswith((chosen, *copies))]
    if left:
        log.warning("%s: the weights behind %s are taken; %d others are not (%s)", where, chosen, len(left), some(left))
