"""The logits among what a model gives: tensors in tuples, mappings, dataclasses or outputs of Hugging Face's kind."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from harness.errors import ClassifierError

_DEEPEST = 4  # answers within answers


def logits_among(answer: Any, shape: tuple[int, int], output: str | None, name: str) -> torch.Tensor:
    """Find the logits in a model's answer.

    Args:
        answer: What it gives: a tensor, or several by place, key or attribute.
        shape: Of the logits, (n, classes).
        output: The place, key or attribute that a spec names, joined by dots where answers lie in answers (`out.1`);
            None to take what is called `logits`, or else the only tensor of that shape, the outermost ones first.
        name: What errors call the classifier.

    Raises:
        ClassifierError: There is nothing of that name, or not exactly one tensor of that shape; lists what there is.
    """
    if output is None and isinstance(answer, torch.Tensor):
        return answer
    parts = _parts(answer)
    leaves = dict(_leaves(answer))
    fits = [key for key, each in leaves.items() if tuple(each.shape) == shape]
    hint = f"choose by ?output=KEY, such as ?output={(fits or list(leaves))[0]}" if leaves else "it takes a tensor"
    if not parts:
        if output is not None and isinstance(answer, torch.Tensor):
            raise ClassifierError(f"{name} gives one tensor of shape {tuple(answer.shape)}; leave out ?output={output}")
        raise ClassifierError(f"{name} gives a {type(answer).__name__}, expected one tensor of logits")
    if output is not None:
        found = _inner(answer, output)
        if not isinstance(found, torch.Tensor):
            raise ClassifierError(f"{name} gives no tensor {output!r}: {_listed(leaves)}; {hint}")
        return found
    if isinstance(parts.get("logits"), torch.Tensor):
        return parts["logits"]  # type: ignore[no-any-return]
    fits = [key for key in fits if key in parts] or fits
    if len(fits) != 1:
        raise ClassifierError(
            f"{name} gives {len(fits)} tensors of shape {shape}, expected one: {_listed(leaves)}; {hint}"
        )
    return leaves[fits[0]]


def _inner(answer: Any, output: str) -> Any:
    """Give what lies under a name, or under names joined by dots; None where nothing does."""
    parts = _parts(answer)
    if output in parts:
        return parts[output]
    ways = [(output[:place], output[place + 1 :]) for place, sign in enumerate(output) if sign == "."]
    inner = (_inner(parts[key], rest) for key, rest in ways if key in parts)
    return next((found for found in inner if found is not None), None)


def _leaves(answer: Any, depth: int = 0) -> Iterator[tuple[str, torch.Tensor]]:
    """Name all tensors of an answer, those in answers in it by names joined by dots."""
    for key, value in _parts(answer).items():
        if isinstance(value, torch.Tensor):
            yield key, value
        elif depth < _DEEPEST:
            yield from ((f"{key}.{inner}", tensor) for inner, tensor in _leaves(value, depth + 1))


def _parts(answer: Any) -> dict[str, Any]:
    """Take an answer apart, by places, keys or names of attributes."""
    if isinstance(answer, Mapping):
        return {str(key): value for key, value in answer.items()}
    if isinstance(answer, tuple) and hasattr(answer, "_fields"):
        return dict(zip(answer._fields, answer, strict=True))
    if isinstance(answer, tuple | list):
        return {str(place): value for place, value in enumerate(answer)}
    if dataclasses.is_dataclass(answer):
        return {field.name: getattr(answer, field.name) for field in dataclasses.fields(answer)}
    if isinstance(answer, torch.Tensor) or answer is None:
        return {}
    return dict(vars(answer)) if hasattr(answer, "__dict__") else {}


def _listed(leaves: Mapping[str, torch.Tensor]) -> str:
    return ", ".join(f"{key} {tuple(value.shape)}" for key, value in leaves.items()) or "no tensor at all"
