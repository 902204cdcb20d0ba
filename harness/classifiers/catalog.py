"""The paper's classifiers by short name, with pinned weights (paper, section 2.1)."""

from collections.abc import Mapping
from dataclasses import dataclass

_DOWNLOADS = "https://download.pytorch.org/models/"


@dataclass(frozen=True)
class Entry:
    """A classifier of the paper.

    Attributes:
        architecture: The torchvision builder; for the WSL models the ResNet whose groups and width are replaced.
        file: Name of the weights file: of torchvision's V1 weights, or the one that the entry point of torch hub's
            facebookresearch/WSL-Images downloads (CC-BY-NC 4.0).
        sha256_prefix: How the file's sha256 begins.
        millions: Parameters, in millions: its cost.
        width_per_group: Bottleneck width of the WSL models' 32 groups; 0 for the architecture's own.
    """

    architecture: str
    file: str
    sha256_prefix: str
    millions: float
    width_per_group: int = 0

    @property
    def options(self) -> dict[str, int]:
        """What the architecture is built with."""
        return {"groups": 32, "width_per_group": self.width_per_group} if self.width_per_group else {}

    @property
    def url(self) -> str:
        """Where the weights file is published."""
        return _DOWNLOADS + self.file


CATALOG: Mapping[str, Entry] = {
    "resnext101_32x8d": Entry("resnext101_32x8d", "resnext101_32x8d-8ba56ff5.pth", "8ba56ff5", 88.8),
    "resnext101_32x8d_wsl": Entry("resnet101", "ig_resnext101_32x8-c38310e5.pth", "c38310e5", 88.8, 8),
    "resnext101_32x16d_wsl": Entry("resnet101", "ig_resnext101_32x16-c6f796b0.pth", "c6f796b0", 194.0, 16),
    "resnext101_32x32d_wsl": Entry("resnet101", "ig_resnext101_32x32-e4b90b00.pth", "e4b90b00", 468.5, 32),
    "resnext101_32x48d_wsl": Entry("resnet101", "ig_resnext101_32x48-3e41cc8a.pth", "3e41cc8a", 828.4, 48),
    "resnext50_32x4d": Entry("resnext50_32x4d", "resnext50_32x4d-7cdf4587.pth", "7cdf4587", 25.0),
    "alexnet": Entry("alexnet", "alexnet-owt-7be5be79.pth", "7be5be79", 61.1),
}
