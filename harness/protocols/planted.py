"""A classifier whose worst case in an L-inf box is known in closed form, to see whether an attack finds it.

An attack that follows other images' gradients, repeats its first, leaves out a channel or a loss, or stops early, still
fools weak classifiers, and no record of such a run looks wrong. Here it is held against the truth.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from harness.protocols.attacks import Attack
from harness.protocols.draws import wrong_class
from harness.protocols.transfer import Scored, Transfer
from harness.protocols.whitebox import WhiteBox

_SIDE = 12
_CODE = 5  # pixels in the corner of an image, black or white, that tell which it is; no perturbation below 0.5 hides it
_IMAGES = 2**_CODE
# In reach of the whole of eps, but not of nine tenths, and the other way round: just out of it.
_IN_REACH, _OUT_OF_REACH = 0.95, 1.05
# Logits in which cross-entropy has a gradient, and in which its softmax is exactly 0 or 1.
_QUIET, _LOUD = 50.0, 1e5
# The logit of all classes but two.
_NEVER = -1e6


class Planted(nn.Module):
    """Takes each of its images for its label until both halves of its pixels are moved far enough its own way.

    Half of an image's pixels, drawn for it, are its first half, the others its second. Each pixel has a sign. With
    reach = the mean of sign x change over a half, the logit of the image's rival less that of its label is
    loudness x min(reach of the first half, reach of the second) less need. No perturbation within eps has a reach above
    eps, and only the one that moves every pixel by eps has that reach in both halves, so an image can be fooled if and
    only if its need is below eps. The gradient is that of one half at a time, and changes along the way.

    Args:
        images: float, shape (n, 3, h, w), in [0, 1]; n = 2**`_CODE`.
        labels: Class indices, shape (n,).
        rivals: The only other class that an image can be taken for, shape (n,).
        needs: Shape (n,).
        loudness: Shape (n,).
        draws: For the halves and signs.
    """

    images: torch.Tensor
    halves: torch.Tensor
    labels: torch.Tensor
    rivals: torch.Tensor
    needs: torch.Tensor
    loudness: torch.Tensor

    def __init__(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        rivals: torch.Tensor,
        needs: torch.Tensor,
        loudness: torch.Tensor,
        draws: np.random.RandomState,
    ) -> None:
        super().__init__()
        free = torch.ones(images.shape[1:])
        free[:, 0, :_CODE] = 0
        first = torch.from_numpy(draws.random_sample(images.shape) < 1 / 2) * free
        signs = torch.from_numpy(draws.choice([-1.0, 1.0], images.shape)).float()
        halves = torch.stack([first, free - first], dim=1) * signs[:, None]
        self.register_buffer("images", images)
        self.register_buffer("halves", halves / halves.abs().sum(dim=(2, 3, 4), keepdim=True))
        for name, values in (("labels", labels), ("rivals", rivals), ("needs", needs), ("loudness", loudness)):
            self.register_buffer(name, values)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """From (m, 3, h, w) images in [0, 1], each one of its own perturbed, to (m, 1000) logits."""
        which = _code_of(images)
        reaches = ((images - self.images[which])[:, None] * self.halves[which]).sum(dim=(2, 3, 4))
        lead = self.loudness[which] * (reaches.amin(dim=1) - self.needs[which])
        logits = torch.full((len(images), 1000), _NEVER, device=images.device)
        logits = logits.scatter(1, self.labels[which][:, None], 0.0)
        return logits.scatter(1, self.rivals[which][:, None], lead[:, None])


class Planting(NamedTuple):
    """A planted classifier and its images.

    Attributes:
        module: The classifier.
        pixels: uint8, shape (n, 3, h, w).
        labels: What it takes them for, shape (n,).
        names: Which their random starts and targets belong to.
        can_be_fooled: Whether any perturbation within eps fools it, towards the target if there is one, shape (n,).
    """

    module: Planted
    pixels: torch.Tensor
    labels: NDArray[np.int16]
    names: list[str]
    can_be_fooled: NDArray[np.bool_]


class Outcomes(NamedTuple):
    """What became of planted images.

    Attributes:
        fooled: Whether the attack fooled the classifier, shape (n,).
        can_be_fooled: Whether any perturbation within eps does, shape (n,).
    """

    fooled: NDArray[np.bool_]
    can_be_fooled: NDArray[np.bool_]


def plant(attack: Attack, *, seed: int = 0) -> Planting:
    """Make a classifier and images to try an attack on.

    Every second image can be fooled, and of these and the others every second has loud logits.

    Args:
        attack: Which attack; eps below 0.4, and steps that cross the box at least twice, once a half.
        seed: Of its targets.

    Raises:
        ValueError: Such an attack can't be told from a broken one.
    """
    if attack.eps >= 0.4 or attack.crossings() < 2 or attack.reading != "absolute":
        raise ValueError(f"needs eps below 0.4 and steps that cross the box twice: {attack.describe()}")
    draws = np.random.RandomState(0)
    pixels = draws.randint(102, 154, (_IMAGES, 3, _SIDE, _SIDE)).astype(np.uint8)
    bits = np.arange(_IMAGES)[:, None] >> np.arange(_CODE) & 1
    pixels[:, :, 0, :_CODE] = 255 * bits[:, None]
    labels = draws.choice(1000, _IMAGES, replace=False)
    names = [f"planted/{number}" for number in range(_IMAGES)]
    can_be_fooled = np.arange(_IMAGES) % 2 == 0
    is_loud = np.arange(_IMAGES) // 2 % 2 == 1
    module = Planted(
        torch.from_numpy(pixels).float() / 255,
        torch.from_numpy(labels),
        torch.tensor([wrong_class(seed, name, int(label)) for name, label in zip(names, labels, strict=True)]),
        attack.eps * torch.from_numpy(np.where(can_be_fooled, _IN_REACH, _OUT_OF_REACH)).float(),
        torch.from_numpy(np.where(is_loud, _LOUD, _QUIET)).float(),
        draws,
    )
    return Planting(
        module.eval().requires_grad_(False), torch.from_numpy(pixels), labels.astype(np.int16), names, can_be_fooled
    )


def attack_planted(attack: Attack, *, device: torch.device, precision: str = "fp32", seed: int = 0) -> Outcomes:
    """Run an attack on a planted classifier; a transferred one is made on it and scored on it.

    Args:
        attack: As in `plant`.
        device: Where to run it.
        precision: `fp32`, `tf32` or `bf16`.
        seed: Of the random starts and targets.

    Raises:
        ValueError: As `plant`.
    """
    module, pixels, labels, names, can_be_fooled = plant(attack, seed=seed)
    module = module.to(device)
    if attack.surrogate:
        planted = Scored(module, _SIDE)
        transfer = Transfer(planted, [planted], attack, device=device, precision=precision, seed=seed)
        (found,) = transfer(pixels, labels, names)
    else:
        found = WhiteBox(module, attack, device=device, precision=precision, seed=seed)(pixels, labels, names)
    return Outcomes(found["ladder_prediction"][:, -1] != labels, can_be_fooled)


def _code_of(images: torch.Tensor) -> torch.Tensor:
    """Read which image each one is off its corner."""
    bits = images[:, 0, 0, :_CODE] > 1 / 2
    return (bits * 2 ** torch.arange(_CODE, device=images.device)).sum(dim=1)
