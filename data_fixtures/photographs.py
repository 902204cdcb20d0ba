"""Photographs of ordinary size and detail, and a network of real size and speed: to time the harness with."""

from pathlib import Path

import numpy as np

from harness.classifiers.spec import Spec, parse_spec


def write_photographs(root: Path, count: int) -> Path:
    """Write JPEG files of 500 x 375 pixels, all of one class, as ImageNet has them.

    Args:
        root: The data root, in which `imagenet/val/<wnid>` is made.
        count: How many.
    """
    from PIL import Image

    folder = root / "imagenet" / "val" / "n01440764"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for place in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8))
        coarse.resize((500, 375), Image.Resampling.BICUBIC).save(folder / f"{place:04d}.jpg", quality=90)
    return root


def save_squeezenet(folder: Path) -> Spec:
    """Save a SqueezeNet 1.1 with random weights, and give its spec."""
    import torch
    from safetensors.torch import save_file

    from harness.torchvision_ops import import_torchvision

    torch.manual_seed(0)
    file = folder / "squeezenet.safetensors"
    save_file(import_torchvision().models.squeezenet1_1(weights=None).state_dict(), file)
    return parse_spec(f"torchvision:squeezenet1_1@{file}")
