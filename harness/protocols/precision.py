"""How precisely a classifier computes: full single precision, tensor cores' 19 bits, or bfloat16."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

PRECISIONS = ("fp32", "tf32", "bf16")


def compute_in(precision: str) -> None:
    """Allow matrix products and convolutions on tensor cores in `tf32`, and in nothing else."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"


def autocast(device: "torch.device", precision: str) -> "torch.autocast":
    """Give the context in which a classifier's forward passes run: bfloat16 for `bf16`, else no change."""
    import torch

    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
