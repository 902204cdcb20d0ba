"""From tensors to the arrays that records are made of."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.records.schema import Columns

if TYPE_CHECKING:
    import torch

Finish = Callable[[], Columns]
"""Waits for what a device was asked to compute, and gives it; called once."""


def as_array(tensor: "torch.Tensor", dtype: type[np.generic]) -> NDArray[np.generic]:
    """Copy a tensor from wherever it is into an array of a type that records keep."""
    return tensor.cpu().numpy().astype(dtype)


def on_device(values: NDArray[Any], device: "torch.device") -> "torch.Tensor":
    """Bring an array to a device, without waiting until it is there."""
    import torch

    tensor = torch.from_numpy(values)
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def fetch(tensors: "Mapping[str, torch.Tensor]") -> Callable[[], dict[str, NDArray[Any]]]:
    """Begin to copy tensors from the device that they are on, which goes on with what it is asked next meanwhile.

    Args:
        tensors: By name, at least one; all on one device.

    Returns:
        What waits for the copies and gives them, by name.
    """
    import torch

    device = next(iter(tensors.values())).device
    if device.type != "cuda":
        found = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
        return lambda: found
    # Only into pinned memory does a GPU write by itself.
    copies = {
        name: torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)
        for name, tensor in tensors.items()
    }
    copied = torch.cuda.Event()
    copied.record(torch.cuda.current_stream(device))

    def wait() -> dict[str, NDArray[Any]]:
        copied.synchronize()
        return {name: copy.numpy() for name, copy in copies.items()}

    return wait
