"""Classifiers whose penultimate features are filters of a known kind: fine, which a breath moves, or coarse."""

import torch
from torch import nn

SIDE = 32
UNITS = 8
# How many levels of 255 every pixel must move along a filter for its unit to lead by the 16 nats of 1 - 1e-6.
FINE_LEVELS, COARSE_LEVELS = 3, 120


class Filters(nn.Module):
    """Gives logits from features, each the product of an image with its own filter.

    Args:
        filters: Shape (units, 3, side, side).
        levels: Of how many of 255 levels along a filter 20 is the product.
    """

    def __init__(self, filters: torch.Tensor, levels: float) -> None:
        super().__init__()
        self.filters = nn.Parameter(filters * (20 * 255 / levels / filters.abs().sum((1, 2, 3), keepdim=True)))
        self.head = nn.Linear(len(filters), 1000)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """From (n, 3, side, side) images to (n, 1000) logits."""
        return self.head(torch.einsum("nchw,uchw->nu", images - 0.5, self.filters))


def fine_filters() -> nn.Module:
    """Has random filters, pixel by pixel: every unit is driven by a change that nobody sees."""
    torch.manual_seed(0)
    return Filters(torch.randn(UNITS, 3, SIDE, SIDE), FINE_LEVELS)


def coarse_filters() -> nn.Module:
    """Has filters of large plain patches: a unit is driven by nothing less than painting its patches."""
    torch.manual_seed(0)
    patches = torch.randn(UNITS, 3, 4, 4)
    return Filters(nn.functional.interpolate(patches, (SIDE, SIDE)), COARSE_LEVELS)


def weak_filters() -> nn.Module:
    """Has features that no image can tell apart by much: no unit is ever maximized."""
    torch.manual_seed(0)
    return Filters(torch.randn(UNITS, 3, SIDE, SIDE), 1e6)
