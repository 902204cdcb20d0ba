"""The logits among what a model gives: tensors in tuples, mappings, dataclasses or outputs of Hugging Face's kind."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch

from harness.errors import ClassifierError


def logits_among(answer: Any, shape: tuple[int, int], output: str | None, name: str) -> torch.Tensor:
    """Find the logits in a model's answer.

    Args:
        answer: What it gives: a tensor, or several by place, key or attribute.
        shape: Of the logits, (n, classes).
        output: The place, key or attribute that a spec names; None to take what is called `logits`, or else the only
            tensor of that shape.
        name: What errors call the classifier.

    Raises:
        ClassifierError: There is nothing of that name, or not exactly one tensor of that shape; lists what there is.
    """
    if output is None and isinstance(answer, torch.Tensor):
        return answer
    parts = _parts(answer)
    if not parts:
        if output is not None and isinstance(answer, torch.Tensor):
            raise ClassifierError(f"{name} gives one tensor of shape {tuple(answer.shape)}; leave out ?output={output}")
        raise ClassifierError(f"{name} gives a {type(answer).__name__}, expected one tensor of logits")
    if output is not None:
        found = parts.get(output)
        if not isinstance(found, torch.Tensor):
            raise ClassifierError(f"{name} gives no tensor {output!r}: {_listed(parts)}; choose by ?output=")
        return found
    if isinstance(parts.get("logits"), torch.Tensor):
        return parts["logits"]  # type: ignore[no-any-return]
    fitting = [each for each in parts.values() if isinstance(each, torch.Tensor) and tuple(each.shape) == shape]
    if len(fitting) != 1:
        key = next((key for key, each in parts.items() if isinstance(each, torch.Tensor)), "KEY")
        raise ClassifierError(
            f"{name} gives {len(fitting)} tensors of shape {shape}, expected one: {_listed(parts)}; choose by "
            f"?output=KEY, such as ?output={key}"
        )
    return fitting[0]


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


def _listed(parts: Mapping[str, Any]) -> str:
    def shape(value: Any) -> str:
        return str(tuple(value.shape)) if isinstance(value, torch.Tensor) else f"a {type(value).__name__}"

    return ", ".join(f"{key} {shape(value)}" for key, value in parts.items())
