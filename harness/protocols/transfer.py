"""The protocols `transfer-published` and `transfer-standard`: images made on a surrogate, scored on others.

Adversarial images are made once a batch, scored on every classifier at hand, and let go.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from harness.protocols.arrays import as_array
from harness.protocols.attacker import NEVER, NOT_ATTACKED, Attacker, Sight, Victims, change, outside, zero_share
from harness.protocols.attacks import Attack
from harness.protocols.pgd import Iterate
from harness.records.schema import Columns

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Scored:
    """A classifier that transferred images are scored on.

    Attributes:
        module: Frozen: from float images in [0, 1], shape (n, 3, crop, crop), to logits.
        crop: The side of its images; those of a surrogate with another crop are resized to it.
    """

    module: "nn.Module"
    crop: int


class Transfer:
    """Attacks a surrogate on batches of pixels and gives, of each scored classifier, the columns of its records.

    `published` attacks every image, right or wrong on the surrogate, and stops at the first iterate that the surrogate
    takes for the target; that image is scored, or the clean one before and without it. `standard` attacks away from
    the label and scores the iterate at every step of the ladder; an image leaves when more steps could tell nothing
    new about any of the classifiers. A classifier's columns do not depend on which others are scored beside it.

    Args:
        surrogate: The classifier that images are made on.
        scored: Those that they are scored on; the surrogate may be among them.
        attack: Which attack.
        device: Where all of them live.
        precision: `fp32`, `tf32` or `bf16`.
        seed: Of the random starts and targets.
        classes: The class indices that targets are drawn from, ascending; None for all 1000.
    """

    def __init__(
        self,
        surrogate: Scored,
        scored: Sequence[Scored],
        attack: Attack,
        *,
        device: torch.device,
        precision: str = "fp32",
        seed: int = 0,
        classes: Sequence[int] | None = None,
    ) -> None:
        made = {"device": device, "precision": precision, "seed": seed, "classes": classes}
        self._attack = attack
        self._crop = surrogate.crop
        self._surrogate = Attacker(surrogate.module, attack, **made)  # type: ignore[arg-type]
        self._scored = [(Attacker(each.module, attack, **made), each.crop) for each in scored]  # type: ignore[arg-type]

    def __call__(self, pixels: torch.Tensor, labels: NDArray[np.int16], names: Sequence[str]) -> list[Columns]:
        """Attack a batch.

        Args:
            pixels: uint8, shape (n, 3, h, w), RGB, of the surrogate's size.
            labels: Class indices, shape (n,).
            names: The images' paths in their benchmark, which random starts and targets belong to.

        Returns:
            Per scored classifier, the columns of `harness.records.schema.ATTACK_COLUMNS`, those of white-box attacks
            aside.

        Raises:
            NonFinite: A logit or a gradient is NaN or infinite.
            NoGradient: The surrogate's logits have none.
        """
        victims = self._surrogate.victims(pixels, labels, names)
        right = torch.from_numpy(labels.astype(np.int64)).to(victims.images.device)
        tallies = [
            _Tally(self._attack, self._predict(number, victims.images, victims.places))
            for number in range(len(self._scored))
        ]
        if self._attack.targeted:
            self._score_first_successes(victims, tallies)
        else:
            self._score_ladders(victims, right, tallies)
        known = {
            "label": labels.astype(np.int16),
            **({"target": as_array(victims.classes, np.int16)} if self._attack.targeted else {}),
        }
        return [{**known, **tally.columns(right)} for tally in tallies]

    def _predict(self, number: int, images: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        """Classify images of the surrogate's size, at these places of the batch, with one of the scored classifiers."""
        attacker, crop = self._scored[number]
        if crop != self._crop:
            images = torch.nn.functional.interpolate(images, (crop, crop), mode="bilinear", antialias=True)
        return attacker.predict(images, at)

    def _score_first_successes(self, victims: Victims, tallies: "Sequence[_Tally]") -> None:
        """Attack all images but those that are taken for their target as they are; score where targets were reached."""
        attacked = self._surrogate.predict(victims.images) != victims.classes
        if not attacked.any():
            return
        victims = victims.only(attacked)
        for tally in tallies:
            tally.attack(victims.places)
        (pursuit,) = self._attack.pursuits
        sights = self._surrogate.pursue(pursuit, victims)
        start = _Start.at(next(sights).iterate)
        for sight in sights:
            iterate = sight.iterate
            iterate.keep = ~sight.met
            last = iterate.step == self._attack.steps
            seen = torch.ones_like(sight.met) if last else sight.met
            if not seen.any():
                continue
            at, alive = victims.places[iterate.alive[seen]], iterate.alive[seen]
            for tally in tallies:
                tally.measure(at, start.only(alive), iterate.losses[seen], iterate.images[seen], victims.images[alive])
            if sight.met.any():
                at = victims.places[iterate.alive[sight.met]]
                for number, tally in enumerate(tallies):
                    tally.reach(iterate.step, at, self._predict(number, iterate.images[sight.met], at))

    def _score_ladders(self, victims: Victims, right: torch.Tensor, tallies: "Sequence[_Tally]") -> None:
        """Run every pursuit as far as it can still tell something; score at each step of the ladder."""
        ladder = self._attack.ladder
        for tally in tallies:
            tally.open(right)
        for pursuit in self._attack.pursuits:
            needed = torch.stack([tally.rung > 0 for tally in tallies]).any(dim=0)
            if not needed.any():
                return
            some = victims.only(needed)
            sights = self._surrogate.pursue(pursuit, some)
            start = _Start.at(next(sights).iterate)
            for sight in sights:
                if sight.iterate.step in ladder:
                    self._look(ladder.index(sight.iterate.step), sight, some, start, right, tallies)

    def _look(
        self,
        rung: int,
        sight: Sight,
        victims: Victims,
        start: "_Start",
        right: torch.Tensor,
        tallies: "Sequence[_Tally]",
    ) -> None:
        """Score an iterate at a step of the ladder, and let go what no classifier needs any more."""
        iterate = sight.iterate
        at = victims.places[iterate.alive]
        for number, tally in enumerate(tallies):
            open_ = tally.rung[at] > rung
            if open_.any():
                alive, images = iterate.alive[open_], iterate.images[open_]
                unfooled = tally.rung[at[open_]] == len(self._attack.ladder)
                tally.measure(
                    at[open_][unfooled],
                    start.only(alive[unfooled]),
                    iterate.losses[open_][unfooled],
                    images[unfooled],
                    victims.images[alive][unfooled],
                )
                tally.fool(rung, at[open_], self._predict(number, images, at[open_]), right)
        iterate.keep = torch.stack([tally.rung[at] > rung + 1 for tally in tallies]).any(dim=0)


class _Start(NamedTuple):
    """Where n images began.

    Attributes:
        images: Clipped to [0, 1], shape (n, 3, h, w).
        losses: Shape (n,).
        zero_gradient: The share of pixels whose gradient is zero, shape (n,).
    """

    images: torch.Tensor
    losses: torch.Tensor
    zero_gradient: torch.Tensor

    @classmethod
    def at(cls, iterate: Iterate) -> "_Start":
        """Take down an attack's first iterate."""
        assert iterate.gradient is not None
        return cls(iterate.images.clamp(0, 1), iterate.losses, zero_share(iterate.gradient))

    def only(self, chosen: torch.Tensor) -> "_Start":
        """Give those at some places, shape (m,)."""
        return _Start(*(each[chosen] for each in self))


class _Tally:
    """Takes down how one classifier scores the images of a batch.

    Attributes:
        rung: Per image, the first step of the ladder (as an index) at which it is known to be wrong; the ladder's
            length while it is right at all of them.
    """

    def __init__(self, attack: Attack, clean: torch.Tensor) -> None:
        images, device = len(clean), clean.device
        self._attack = attack
        self._clean = clean
        self.rung = torch.full((images,), len(attack.ladder), device=device)
        self._first = torch.full_like(clean, NOT_ATTACKED)
        self._predictions = clean[:, None].repeat(1, len(attack.ladder))
        absent = torch.full((images,), torch.nan, device=device)
        self._loss_start, self._loss_end, self._zero_gradient = absent, absent.clone(), absent.clone()
        self._moved = absent.clone()
        self._linf, self._outside = torch.zeros(images, device=device), torch.zeros(images, device=device)

    def open(self, right: torch.Tensor) -> None:
        """Note that nothing is to be learnt of images that are wrong when clean."""
        self.rung[self._clean != right] = 0

    def attack(self, at: torch.Tensor) -> None:
        """Note that images are attacked, which none has fooled yet."""
        self._first[at] = NEVER

    def measure(
        self,
        at: torch.Tensor,
        start: _Start,
        loss_end: torch.Tensor,
        images: torch.Tensor,
        originals: torch.Tensor,
    ) -> None:
        """Take down how images that are scored began, their loss, and the farthest that they have come so far."""
        if len(at):
            self._loss_start[at], self._zero_gradient[at], self._loss_end[at] = *start[1:], loss_end
            self._moved[at] = torch.fmax(self._moved[at], change(images, start.images))
            self._linf[at] = torch.maximum(self._linf[at], change(images, originals))
            self._outside[at] = torch.maximum(self._outside[at], outside(images))

    def reach(self, step: int, at: torch.Tensor, predicted: torch.Tensor) -> None:
        """Take down that images reached their target on the surrogate, and what this classifier takes them for."""
        self._first[at] = step
        later = torch.tensor([steps >= step for steps in self._attack.ladder], device=at.device)
        self._predictions[at] = torch.where(later, predicted[:, None], self._predictions[at])

    def fool(self, rung: int, at: torch.Tensor, predicted: torch.Tensor, right: torch.Tensor) -> None:
        """Take down which images are wrong at a step of the ladder, for it and for those up to what was known."""
        wrong = predicted != right[at]
        at, predicted = at[wrong], predicted[wrong]
        if len(at):
            places = torch.arange(len(self._attack.ladder), device=at.device)
            new = (places >= rung) & (places < self.rung[at][:, None])
            self._predictions[at] = torch.where(new, predicted[:, None], self._predictions[at])
            self.rung[at] = rung

    def columns(self, right: torch.Tensor) -> Columns:
        """Give it all as columns, in the images' order."""
        if self._attack.targeted:
            first = self._first
        else:
            steps = torch.tensor([*self._attack.ladder, NEVER], device=self.rung.device)
            first = torch.where(self._clean == right, steps[self.rung], NOT_ATTACKED)
        return {
            "clean_prediction": as_array(self._clean, np.int16),
            "first_fooled": as_array(first[:, None], np.int16),
            "ladder_prediction": as_array(self._predictions, np.int16),
            "loss_start": as_array(self._loss_start[:, None], np.float32),
            "loss_end": as_array(self._loss_end[:, None], np.float32),
            "zero_gradient": as_array(self._zero_gradient[:, None], np.float32),
            "moved": as_array(self._moved[:, None], np.float32),
            "linf": as_array(self._linf, np.float32),
            "outside": as_array(self._outside, np.float32),
        }
