"""From tensors to the arrays that records are made of."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch


def as_array(tensor: "torch.Tensor", dtype: type[np.generic]) -> NDArray[np.generic]:
    """Copy a tensor from wherever it is into an array of a type that records keep."""
    return tensor.cpu().numpy().astype(dtype)
