"""What white-box and transferred attacks share: a classifier, and its pursuit of a batch of images by gradients."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from foolbox.criteria import Misclassification, TargetedMisclassification
from foolbox.models import PyTorchModel
from numpy.typing import NDArray

from harness.errors import NonFinite
from harness.protocols.attacks import Attack, Pursuit
from harness.protocols.draws import unit_start, wrong_class
from harness.protocols.pgd import Iterate, SteppedPGD
from harness.protocols.precision import autocast, compute_in

if TYPE_CHECKING:
    from torch import nn

# What `first_fooled` holds for an image that an attack did not fool, and for one that it was not run on.
NEVER, NOT_ATTACKED = 0, -1


@dataclass(frozen=True)
class Victims:
    """The images of a batch that are to be attacked.

    Attributes:
        images: float, shape (n, 3, h, w), RGB in [0, 1].
        classes: The targets; of an untargeted attack the labels; shape (n,).
        names: The images' paths in their benchmark, which random starts belong to.
        places: Their places in the batch, shape (n,).
    """

    images: torch.Tensor
    classes: torch.Tensor
    names: Sequence[str]
    places: torch.Tensor

    def only(self, chosen: torch.Tensor) -> "Victims":
        """Give those that are chosen by a mask, shape (n,)."""
        if chosen.all():
            return self
        names = [name for name, is_chosen in zip(self.names, chosen.tolist(), strict=True) if is_chosen]
        return replace(
            self, images=self.images[chosen], classes=self.classes[chosen], names=names, places=self.places[chosen]
        )


class Sight(NamedTuple):
    """An iterate, with what the classifier takes its images for.

    Attributes:
        iterate: See `harness.protocols.pgd.Iterate`.
        predicted: Class indices, shape of `iterate.alive`.
        met: Whether the attack's criterion holds: taken for the target, or not for the label; same shape.
    """

    iterate: Iterate
    predicted: torch.Tensor
    met: torch.Tensor


class Attacker:
    """Runs the pursuits of an attack on batches, each image from its own start and towards its own target.

    Args:
        module: The attacked classifier, frozen: from float images in [0, 1], shape (n, 3, h, w), to logits.
        attack: Which attack.
        device: Where the classifier lives.
        precision: `fp32`, `tf32` or `bf16`.
        seed: Of the random starts and targets.
        classes: The class indices that targets are drawn from, ascending; None for all 1000.
    """

    def __init__(
        self,
        module: "nn.Module",
        attack: Attack,
        *,
        device: torch.device,
        precision: str = "fp32",
        seed: int = 0,
        classes: Sequence[int] | None = None,
    ) -> None:
        compute_in(precision)
        self.attack = attack
        self.device = device
        self._forward = autocast(device, precision)
        self._module = module
        self._model = PyTorchModel(module, bounds=(0, 1), device=device)
        self._seed = seed
        self._classes = classes or range(1000)

    def victims(self, pixels: torch.Tensor, labels: NDArray[np.int16], names: Sequence[str]) -> Victims:
        """Make images of a batch, and draw their targets.

        Args:
            pixels: uint8, shape (n, 3, h, w), RGB.
            labels: Class indices, shape (n,).
            names: The images' paths in their benchmark.
        """
        classes = labels.astype(np.int64)
        if self.attack.targeted:
            classes = np.array(
                [wrong_class(self._seed, name, int(c), self._classes) for name, c in zip(names, classes, strict=True)]
            )
        images = pixels.to(self.device, non_blocking=True).float().div_(255)
        return Victims(
            images, torch.from_numpy(classes).to(self.device), names, torch.arange(len(images), device=self.device)
        )

    def predict(self, images: torch.Tensor, places: torch.Tensor | None = None) -> torch.Tensor:
        """Classify images without a gradient.

        Args:
            images: float, shape (n, 3, h, w), RGB in [0, 1].
            places: Their places in the batch, for errors, shape (n,); 0..n-1 by default.

        Returns:
            Class indices, shape (n,).

        Raises:
            NonFinite: A logit is NaN or infinite.
        """
        with torch.inference_mode(), self._forward:
            logits = self._module(images)
        require_finite("logits", logits, places)
        predicted: torch.Tensor = logits.argmax(dim=1)
        return predicted

    def pursue(self, pursuit: Pursuit, victims: Victims) -> Iterator[Sight]:
        """Attack, handing out the start and each iterate; images leave by `Iterate.keep`.

        Raises:
            NonFinite: A logit or a gradient is NaN or infinite.
            NoGradient: The classifier's logits have none.
        """
        attack, images = self.attack, victims.images
        largest = images.amax(dim=(1, 2, 3), keepdim=True) if attack.reading == "relative" else 1.0
        shape = tuple(images.shape[1:])
        units = np.stack([unit_start(self._seed, name, pursuit.restart, shape) for name in victims.names])
        pgd = SteppedPGD(
            step_size=attack.step_size,
            steps=attack.steps,
            loss=pursuit.loss,
            start=images + attack.eps * largest * torch.from_numpy(units).to(self.device),
            clip_start=attack.form == "standard",
            forward=self._forward,
        )
        criterion = (TargetedMisclassification if attack.targeted else Misclassification)(victims.classes)
        for iterate in pgd.walk(self._model, images, criterion, epsilon=attack.eps * largest):
            places = victims.places[iterate.alive]
            require_finite("logits", iterate.logits, places)
            if iterate.gradient is not None:
                require_finite("gradients", iterate.gradient, places)
            predicted = iterate.logits.argmax(dim=1)
            is_class = predicted == victims.classes[iterate.alive]
            yield Sight(iterate, predicted, is_class if attack.targeted else ~is_class)


def require_finite(what: str, numbers: torch.Tensor, places: torch.Tensor | None = None) -> None:
    """Require finite numbers of each image.

    Args:
        what: `logits` or `gradients`.
        numbers: Of n images, along the first axis.
        places: The images' places in their batch, shape (n,); 0..n-1 by default.

    Raises:
        NonFinite: One is NaN or infinite; names the first such image.
    """
    finite = numbers.flatten(1).abs().amax(dim=1).isfinite()
    if not finite.all():
        first = int(finite.int().argmin())
        raise NonFinite(what, first if places is None else int(places[first]))


def change(images: torch.Tensor, originals: torch.Tensor) -> torch.Tensor:
    """Give each image's largest change of a pixel: two of shape (n, 3, h, w) to shape (n,)."""
    return (images - originals).abs().amax(dim=(1, 2, 3))


def outside(images: torch.Tensor) -> torch.Tensor:
    """Give by how much each image's pixels leave [0, 1]: shape (n, 3, h, w) to shape (n,), 0 where they do not."""
    return torch.maximum(images.amax(dim=(1, 2, 3)) - 1, -images.amin(dim=(1, 2, 3))).clamp_min(0)


def zero_share(gradient: torch.Tensor) -> torch.Tensor:
    """Give the share of each image's pixels whose gradient is exactly zero: shape (n, 3, h, w) to shape (n,)."""
    return (gradient == 0).float().mean(dim=(1, 2, 3))
