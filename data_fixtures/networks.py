"""Small networks with random weights, for attacks whose every step is known only by taking it."""

import torch
from torch import nn
from torch.nn import functional


class SmallNetwork(nn.Module):
    """Two convolutions and a linear layer, with random weights that are the same at each build.

    It computes in double precision and answers in single, so that no image's answer depends on the batch that it comes
    in: what rounds differently there is lost when the answer is rounded. Built `float()`, it does depend on it.

    Args:
        stray: By how much its weights differ from those of `stray=0`. Attacks transfer between close relatives.
        scale: What its logits are multiplied by.
    """

    def __init__(self, stray: float = 0.0, scale: float = 1.0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)

        def weights(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        shapes = [(8, 3, 3, 3), (16, 8, 3, 3), (1000, 64)]
        sizes = [0.6, 0.18, 0.375]
        drawn = [size * weights(*shape) for size, shape in zip(sizes, shapes, strict=True)]
        strayed = [stray * size * weights(*shape) for size, shape in zip(sizes, shapes, strict=True)]
        self.first, self.second, self.last = (nn.Parameter(a + b) for a, b in zip(drawn, strayed, strict=True))
        self.scale = scale
        self.eval().requires_grad_(False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """From (n, 3, h, w) images in [0, 1], of 5 pixels a side or more, to (n, 1000) logits."""
        hidden = functional.conv2d(images.to(self.first.dtype) - 0.5, self.first, stride=2, padding=1).relu()
        hidden = functional.conv2d(hidden, self.second, stride=2, padding=1).tanh()
        hidden = functional.adaptive_avg_pool2d(hidden, 2).flatten(1)
        return self.scale * functional.linear(hidden, self.last).float()
