"""Classifiers that read the colour of `colours.py`'s images back, rightly or wrongly in a known way."""

import os
import time
from pathlib import Path

import torch
from torch import nn

# How much the logit falls per squared distance in colour: confident, yet with finite odds for the neighbours.
_SHARPNESS = 2000.0


class ReadsColours(nn.Module):
    """Answers with the class whose colour is nearest to an image's mean colour.

    Args:
        classes: How many logits to give.
        shift: What to add to the class that is read, modulo the number of classes.
    """

    def __init__(self, classes: int = 1000, shift: int = 0) -> None:
        super().__init__()
        digits = torch.arange(classes)[:, None].div(torch.tensor([100, 10, 1]), rounding_mode="floor") % 10
        colours = (12 + 25 * digits.float()) / 255
        self.colours = nn.Parameter(colours.roll(shift, dims=0))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """From (n, 3, h, w) images in [0, 1] to (n, classes) logits."""
        return -_SHARPNESS * (images.mean((2, 3))[:, None] - self.colours).square().sum(2)


class TakesItsTime(ReadsColours):
    """Takes a fifth of a second for a batch, however few images it has."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """From (n, 3, h, w) images in [0, 1] to (n, classes) logits."""
        time.sleep(0.2)
        return super().forward(images)


class DiesOnce(ReadsColours):
    """Ends the process that it is in, where a file is that the environment's DIES_ONCE names, which it removes."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """From (n, 3, h, w) images in [0, 1] to (n, classes) logits."""
        try:
            Path(os.environ["DIES_ONCE"]).unlink()  # once, of however many processes that find it
        except FileNotFoundError:
            return super().forward(images)
        os._exit(9)


class Dies(ReadsColours):
    """Ends the process that it is in."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Give nothing."""
        os._exit(9)


class GivesNaN(ReadsColours):
    """Answers NaN for every image."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """From (n, 3, h, w) images to (n, classes) NaNs."""
        return super().forward(images) * float("nan")


def reads_colours() -> nn.Module:
    """Is right about every image."""
    return ReadsColours()


def takes_its_time() -> nn.Module:
    """Is right about every image, slowly."""
    return TakesItsTime()


def dies_once() -> nn.Module:
    """Is right about every image, if it lives."""
    return DiesOnce()


def dies() -> nn.Module:
    """Is right about no image."""
    return Dies()


def reads_the_next_class() -> nn.Module:
    """Is wrong about every image, by one class."""
    return ReadsColours(shift=1)


def reads_the_class_before() -> nn.Module:
    """Is wrong about every image, by one class, but for those in the colour of the next class."""
    return ReadsColours(shift=-1)


def with_background() -> nn.Module:
    """Is right about every image, in 1001 classes of which 0 is background: for `?classes=1001`."""
    model = ReadsColours()
    model.colours = nn.Parameter(torch.cat([torch.full((1, 3), -9.0), model.colours.data]))
    return model


class RoundsFirst(ReadsColours):
    """Reads images in steps of five levels, through which no gradient comes back: masked, not robust."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """From (n, 3, h, w) images in [0, 1] to (n, classes) logits."""
        return super().forward((images * 51).round() / 51)


class LeaksOnePixel(RoundsFirst):
    """Lets a gradient through at one pixel that hardly matters."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """From (n, 3, h, w) images in [0, 1] to (n, classes) logits."""
        return super().forward(images) + 1e-6 * images[:, :1, 0, 0] * torch.arange(1000, device=images.device)


class LeaksEverywhere(RoundsFirst):
    """Gives every pixel a tiny gradient that has nothing to do with what it reads."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """From (n, 3, h, w) images in [0, 1] to (n, classes) logits."""
        leak = images.mean((1, 2, 3))[:, None] * torch.linspace(0, 1, 1000, device=images.device)
        return super().forward(images) + 1e-4 * leak


class PassesFewPixels(ReadsColours):
    """Reads images in steps of five levels but for one pixel in a hundred, read as they are."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """From (n, 3, h, w) images in [0, 1] to (n, classes) logits."""
        passes = torch.zeros_like(images[:1])
        passes[:, :, ::10, ::10] = 1
        return super().forward(passes * images + (1 - passes) * (images * 51).round() / 51)


_NOISE = torch.Generator().manual_seed(0)


class _Shatter(torch.autograd.Function):
    """The identity, whose gradient is noise."""

    @staticmethod
    def forward(ctx: object, images: torch.Tensor) -> torch.Tensor:
        return images.clone()

    @staticmethod
    def backward(ctx: object, gradient: torch.Tensor) -> torch.Tensor:
        return torch.randn(gradient.shape, generator=_NOISE)


class Shatters(ReadsColours):
    """Answers an attack with noise for a gradient."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """From (n, 3, h, w) images in [0, 1] to (n, classes) logits."""
        return super().forward(_Shatter.apply(images))


class Misleads(ReadsColours):
    """Answers an attack with its gradient reversed."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """From (n, 3, h, w) images in [0, 1] to (n, classes) logits."""
        return super().forward(2 * images.detach() - images)


class Shouts(ReadsColours):
    """Gives logits a hundred times as large, at which the cross-entropy of a class has no gradient."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """From (n, 3, h, w) images in [0, 1] to (n, classes) logits."""
        return 100 * super().forward(images)


class Detaches(ReadsColours):
    """Computes its logits apart from its images, so that there is no gradient to ask for."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """From (n, 3, h, w) images in [0, 1] to (n, classes) logits."""
        return super().forward(images.detach())


class Ignores(nn.Module):
    """Answers with class 3, whatever it sees."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """From (n, 3, h, w) images to the same (n, 1000) logits."""
        return nn.functional.pad(9 + 0 * images.mean((1, 2, 3))[:, None], (3, 996))


def rounds_first() -> nn.Module:
    """Is right about every image, and gives attacks nothing to follow."""
    return RoundsFirst()


def shouts() -> nn.Module:
    """Is right about every image, and blinds attacks by cross-entropy."""
    return Shouts()


def leaks_one_pixel() -> nn.Module:
    """Is right about every image, and leads attacks to one pixel."""
    return LeaksOnePixel()


def leaks_everywhere() -> nn.Module:
    """Is right about every image, and leads attacks nowhere."""
    return LeaksEverywhere()


def passes_few_pixels() -> nn.Module:
    """Is right about every image, and gives attacks little to follow."""
    return PassesFewPixels()


def shatters() -> nn.Module:
    """Is right about every image, and gives attacks noise to follow."""
    return Shatters()


def misleads() -> nn.Module:
    """Is right about every image, and leads attacks the wrong way."""
    return Misleads()


def detaches() -> nn.Module:
    """Is right about every image, and refuses to be asked for a gradient."""
    return Detaches()


def ignores_images() -> nn.Module:
    """Is right about class 3 alone, whatever is done to an image."""
    return Ignores()


def gives_ten_logits() -> nn.Module:
    """Has too few logits."""
    return ReadsColours(classes=10)


def gives_nan() -> nn.Module:
    """Answers NaN."""
    return GivesNaN()
