"""The architectures of the miniature: grouped convolutions of four widths, and others beside them.

Each takes normalised pictures, shape (n, 3, 32, 32), and tells the 16 categories apart; to the harness it gives the
logits of 1000 classes, `NEVER` for all that the world does not have. Named in specs as
`python:data_fixtures.miniature.networks:resnext_4x4d@FILE`.
"""

import torch
from torch import nn
from torch.nn.functional import conv2d, pad, pixel_unshuffle
from torch.nn.utils.fusion import fuse_conv_bn_weights

from data_fixtures.miniature.sets import CLASSES

NEVER = -1e4
"""Logit of a class that is none of the world's: its probability is 0 in any precision."""


# Of the first convolution, in pixels.
_STRIDE = 4
# Pictures at once whose activations fit a processor's cache.
_CACHED = 64


class Network(nn.Module):
    """Features and a last layer: (n, 3, 32, 32) to the logits of 1000 classes, (n, 1000).

    Args:
        features: From pictures to features, shape (n, units).
        units: How many features there are.
    """

    classes: torch.Tensor

    def __init__(self, features: nn.Module, units: int) -> None:
        super().__init__()
        self.features = features
        self.fc = nn.Linear(units, len(CLASSES))
        self.register_buffer("classes", torch.tensor(CLASSES), persistent=False)
        # Twice as fast on a CPU.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def categories(self, pictures: torch.Tensor) -> torch.Tensor:
        """Give the logits of the 16 categories, shape (n, 16)."""
        parts = pictures.contiguous(memory_format=torch.channels_last).split(_CACHED)
        return torch.cat([self.fc(self.features(part)) for part in parts])

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Give the logits of 1000 classes."""
        logits = self.categories(pictures)
        return logits.new_full((len(logits), 1000), NEVER).index_copy(1, self.classes, logits)


class Layers(nn.Sequential):
    """Modules one after another, of which each convolution has a batch normalisation behind it.

    In evaluation of frozen weights the two are one convolution, by weights that are scaled and a bias: the same numbers
    but for rounding, in less time.
    """

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__(*modules)
        self._folded: dict[nn.Module, tuple[object, torch.Tensor, torch.Tensor]] = {}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Give what the last one gives."""
        modules = iter(self)
        for module in modules:
            if isinstance(module, nn.Conv2d) and not (self.training or module.weight.requires_grad):
                images = _convolved(images, module, *self._fold(module, next(modules)))
            else:
                images = module(images)
        return images

    def _fold(self, convolution: nn.Conv2d, norm: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the weights and the bias of both at once, made again when one of theirs has changed."""
        assert isinstance(norm, nn.BatchNorm2d)
        tensors = (convolution.weight, norm.running_mean, norm.running_var, norm.weight, norm.bias)
        versions = [(tensor.data_ptr(), tensor._version) for tensor in tensors if tensor is not None]
        known, weight, bias = self._folded.get(convolution, (None, convolution.weight, norm.bias))
        if known != versions:
            with torch.inference_mode(False), torch.no_grad():
                weight, bias = fuse_conv_bn_weights(
                    *(convolution.weight, convolution.bias, norm.running_mean, norm.running_var),
                    *(norm.eps, norm.weight, norm.bias),
                )
            self._folded[convolution] = versions, weight, bias
        return weight, bias


def _convolved(images: torch.Tensor, convolution: nn.Conv2d, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    if convolution.stride == (_STRIDE, _STRIDE) and images.requires_grad:
        # The same sums, whose gradient is had in half of the time: cells of 4 x 4 pixels are channels of one place.
        cells = pixel_unshuffle(pad(images, (_STRIDE, 0, _STRIDE, 0)), _STRIDE)
        return conv2d(cells, pixel_unshuffle(pad(weight, (1, 0, 1, 0)), _STRIDE), bias)
    return conv2d(images, weight, bias, convolution.stride, convolution.padding, groups=convolution.groups)


class Bottleneck(nn.Module):
    """A block of ResNeXt (Xie et al., 2017): 1 x 1, grouped 3 x 3, 1 x 1, and a shortcut around them."""

    def __init__(self, inputs: int, width: int, outputs: int, *, groups: int, stride: int) -> None:
        super().__init__()
        self.residual = Layers(
            *_convolution(inputs, width, 1),
            nn.ReLU(),
            *_convolution(width, width, 3, groups=groups, stride=stride),
            nn.ReLU(),
            *_convolution(width, outputs, 1),
        )
        self.shortcut = Layers(*_convolution(inputs, outputs, 1, stride=stride))
        self.relu = nn.ReLU()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Add the residual to the shortcut."""
        activations: torch.Tensor = self.relu(self.residual(images) + self.shortcut(images))
        return activations


def _convolution(inputs: int, outputs: int, side: int, **options: int) -> tuple[nn.Module, nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=False, **options)
    return convolution, nn.BatchNorm2d(outputs)


def _stem(outputs: int) -> tuple[nn.Module, ...]:
    """Look at a quarter of the places, as ImageNet's networks do from their first pooling on."""
    return (*_convolution(3, outputs, 2 * _STRIDE - 1, stride=_STRIDE), nn.ReLU())


def _resnext(group_width: int) -> Network:
    groups, stem, units = 4, 24, 96
    width = groups * group_width
    return Network(
        Layers(
            *_stem(stem),
            Bottleneck(stem, width, units // 2, groups=groups, stride=1),
            Bottleneck(units // 2, 2 * width, units, groups=groups, stride=2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        ),
        units,
    )


def resnext_4x8d() -> Network:
    """Four groups of 8 channels: the narrowest."""
    return _resnext(8)


def resnext_4x10d() -> Network:
    """Four groups of 10 channels."""
    return _resnext(10)


def resnext_4x12d() -> Network:
    """Four groups of 12 channels."""
    return _resnext(12)


def resnext_4x16d() -> Network:
    """Four groups of 16 channels: the widest."""
    return _resnext(16)


def plain() -> Network:
    """Convolutions without groups or shortcuts (as VGG): another architecture, for transferred attacks."""
    layers = [*_stem(32), *_convolution(32, 48, 3), nn.ReLU(), *_convolution(48, 96, 3, stride=2), nn.ReLU()]
    return Network(Layers(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), 96)


def alexnet() -> Network:
    """Large filters, few of them, no batch normalisation, a layer that reads all places (as AlexNet)."""
    return Network(
        nn.Sequential(
            nn.Conv2d(3, 24, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
            nn.Conv2d(24, 48, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
            nn.Flatten(), nn.Linear(48 * 16, 48), nn.ReLU(),
        ),
        48,
    )  # fmt: skip
