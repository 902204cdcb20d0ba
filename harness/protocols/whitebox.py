"""The protocols `pgd-published` and `pgd-standard`: a classifier, attacked through its own gradients."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from harness.protocols.arrays import as_array
from harness.protocols.attacker import NEVER, NOT_ATTACKED, Attacker, Sight, Victims, change, outside, zero_share
from harness.protocols.attacks import Attack, Pursuit
from harness.protocols.pgd import Iterate
from harness.records.schema import Columns

if TYPE_CHECKING:
    from torch import nn


class WhiteBox:
    """Attacks a classifier on batches of pixels and gives the columns of its records.

    Images that are wrong when clean are not attacked: nothing that an attack does makes them right. Images that are
    fooled leave the batch, unless the attack follows them.

    Args:
        module: The classifier, frozen: from float images in [0, 1], shape (n, 3, h, w), to logits of shape (n, 1000).
        attack: Which attack; its surrogate is unused.
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
        self._attack = attack
        self._attacker = Attacker(module, attack, device=device, precision=precision, seed=seed, classes=classes)

    def __call__(self, pixels: torch.Tensor, labels: NDArray[np.int16], names: Sequence[str]) -> Columns:
        """Attack a batch.

        Args:
            pixels: uint8, shape (n, 3, h, w), RGB.
            labels: Class indices, shape (n,).
            names: The images' paths in their benchmark, which random starts and targets belong to.

        Returns:
            The columns of `harness.records.schema.ATTACK_COLUMNS`, those of transferred attacks aside.

        Raises:
            NonFinite: A logit or a gradient is NaN or infinite.
            NoGradient: The classifier's logits have none.
        """
        attack = self._attack
        everyone = self._attacker.victims(pixels, labels, names)
        clean = self._attacker.predict(everyone.images)
        attacked = clean == torch.from_numpy(labels.astype(np.int64)).to(clean.device)
        places = attacked.nonzero().squeeze(1)
        tally = _Tally(attack, clean, places)
        if len(places):
            victims = everyone.only(attacked)
            for number, pursuit in enumerate(attack.pursuits):
                self._pursue(number, pursuit, victims, tally)
        return {
            "label": labels.astype(np.int16),
            **({"target": as_array(everyone.classes, np.int16)} if attack.targeted else {}),
            **tally.columns(),
        }

    def _pursue(self, number: int, pursuit: Pursuit, victims: Victims, tally: "_Tally") -> None:
        follow = self._attack.follow
        sights = self._attacker.pursue(pursuit, victims)
        first = next(sights)
        tally.begin(number, first.iterate)
        start = first.iterate.images.clamp(0, 1)
        for sight in sights:
            iterate = sight.iterate
            tally.see(number, sight)
            leaving = torch.zeros_like(sight.met) if follow else sight.met
            if iterate.step == self._attack.steps:
                leaving = torch.ones_like(sight.met)
            iterate.keep = ~leaving
            gone = iterate.alive[leaving]
            tally.leave(number, gone, iterate.images[leaving], start[gone], victims.images[gone])


class _Tally:
    """Takes down what an attack does to each image of a batch."""

    def __init__(self, attack: Attack, clean: torch.Tensor, places: torch.Tensor) -> None:
        images, pursuits, device = len(clean), len(attack.pursuits), clean.device
        absent = torch.full((images, pursuits), torch.nan, device=device)
        self._attack = attack
        self._places = places
        self._clean = clean
        self._first_fooled = torch.full((images, pursuits), NOT_ATTACKED, device=device)
        self._first_fooled[places] = NEVER
        self._fooled_as = clean[:, None].repeat(1, pursuits)
        self._followed = clean[:, None, None].repeat(1, pursuits, len(attack.ladder))
        self._loss_start, self._loss_end, self._zero_gradient = absent, absent.clone(), absent.clone()
        self._moved = absent.clone()
        self._linf, self._outside = torch.zeros(images, device=device), torch.zeros(images, device=device)

    def begin(self, pursuit: int, start: Iterate) -> None:
        """Take a start down. It can't fool: the published runs never looked at it."""
        assert start.gradient is not None
        self._loss_start[self._places, pursuit] = start.losses
        self._zero_gradient[self._places, pursuit] = zero_share(start.gradient)

    def see(self, pursuit: int, sight: Sight) -> None:
        """Take an iterate after a step down."""
        iterate = sight.iterate
        at = self._places[iterate.alive]
        self._loss_end[at, pursuit] = iterate.losses
        newly = sight.met & (self._first_fooled[at, pursuit] == NEVER)
        self._first_fooled[at[newly], pursuit] = iterate.step
        self._fooled_as[at[newly], pursuit] = sight.predicted[newly]
        if iterate.step in self._attack.ladder:
            self._followed[at, pursuit, self._attack.ladder.index(iterate.step)] = sight.predicted

    def leave(
        self, pursuit: int, gone: torch.Tensor, images: torch.Tensor, start: torch.Tensor, originals: torch.Tensor
    ) -> None:
        """Measure how far images that leave the batch have come: from where they began, and from what they were."""
        if len(gone):
            at = self._places[gone]
            self._moved[at, pursuit] = change(images, start)
            self._linf[at] = torch.maximum(self._linf[at], change(images, originals))
            self._outside[at] = torch.maximum(self._outside[at], outside(images))

    def columns(self) -> Columns:
        """Give it all as columns, in the images' order."""
        first = self._first_fooled
        predictions = []
        for steps in self._attack.ladder:
            fooled = (first > NEVER) & (first <= steps)
            by = fooled.int().argmax(dim=1, keepdim=True)
            fooled_as = self._fooled_as.gather(1, by).squeeze(1)
            predictions.append(torch.where(fooled.any(dim=1), fooled_as, self._clean))
        return {
            "clean_prediction": as_array(self._clean, np.int16),
            "first_fooled": as_array(first, np.int16),
            "ladder_prediction": as_array(torch.stack(predictions, dim=1), np.int16),
            **({"followed_prediction": as_array(self._followed.flatten(1), np.int16)} if self._attack.follow else {}),
            "loss_start": as_array(self._loss_start, np.float32),
            "loss_end": as_array(self._loss_end, np.float32),
            "zero_gradient": as_array(self._zero_gradient, np.float32),
            "moved": as_array(self._moved, np.float32),
            "linf": as_array(self._linf, np.float32),
            "outside": as_array(self._outside, np.float32),
        }
