"""Foolbox's L-inf projected gradient descent, to be watched step by step.

Foolbox runs an attack for a number of steps and gives its last iterate. All that the harness asks (when was an image
first fooled, what is predicted after 10, 20, ... steps, has the loss moved, is there a gradient at all) is on the way
there, so `SteppedPGD` hands out every iterate. The steps themselves are Foolbox's: loss, sign, projection, bounds.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import eagerpy as ep
import torch
from foolbox.attacks import LinfProjectedGradientDescentAttack
from foolbox.attacks.base import raise_if_kwargs
from foolbox.criteria import Misclassification
from foolbox.models.base import Model
from torch.nn import functional

from harness.errors import NoGradient


def margin(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Tell by how much the best other class beats the given one (the loss of Carlini & Wagner, 2017, unclipped).

    Unlike cross-entropy its gradient does not vanish where a classifier is sure, so logits that are merely large do not
    look robust.

    Args:
        logits: shape (n, classes).
        classes: Class indices, shape (n,).

    Returns:
        max_{j != class} z_j - z_class, shape (n,).
    """
    own = functional.one_hot(classes, logits.shape[1]).bool()
    return logits.masked_fill(own, -torch.inf).amax(dim=1) - logits[own]


def cross_entropy(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Give each image's cross-entropy to a class: (n, classes) logits and (n,) class indices to (n,)."""
    return functional.cross_entropy(logits, classes, reduction="none")


LOSSES = {"cross_entropy": cross_entropy, "margin": margin}


@dataclass
class Iterate:
    """The images that are still under attack, after a number of steps.

    Attributes:
        step: How many steps were taken; 0 at the start.
        alive: Their places in the batch that the attack began with, shape (n,).
        images: Their pixels now, shape (n, 3, h, w).
        logits: The classifier's answer, shape (n, classes).
        losses: The attack's loss of each, shape (n,).
        gradient: Of the loss, shape (n, 3, h, w); None after the last step.
        keep: To be set by whoever looks: which of them to go on with, shape (n,); None for all.
    """

    step: int
    alive: torch.Tensor
    images: torch.Tensor
    logits: torch.Tensor
    losses: torch.Tensor
    gradient: torch.Tensor | None
    keep: torch.Tensor | None = None


class SteppedPGD(LinfProjectedGradientDescentAttack):
    """Projected gradient descent in an L-inf ball, whose every iterate can be seen and whose images can leave early.

    Called as any attack of Foolbox it does what `LinfProjectedGradientDescentAttack` does. `walk` hands out iterates.

    Args:
        step_size: How far a pixel moves a step.
        steps: How many steps at most, at least 1.
        loss: A key of `LOSSES`.
        start: Where images begin, shape (n, 3, h, w), in the box of eps around them; None for Foolbox's own random
            start, or for the images themselves without `random_start`.
        clip_start: Whether a start is first clipped to the classifier's bounds, as Foolbox 3 does and Foolbox 1.8 did
            not.
        random_start: Whether Foolbox draws a start where none is given.
        forward: The context in which the classifier runs, such as autocast.
    """

    def __init__(
        self,
        *,
        step_size: float,
        steps: int,
        loss: str = "cross_entropy",
        start: torch.Tensor | None = None,
        clip_start: bool = True,
        random_start: bool = False,
        forward: AbstractContextManager[Any] | None = None,
    ) -> None:
        super().__init__(abs_stepsize=step_size, steps=steps, random_start=random_start or start is not None)
        self.step_size = step_size
        self.loss = loss
        self.start = start
        self.clip_start = clip_start
        self._forward = forward or nullcontext()
        self._seen: tuple[torch.Tensor, torch.Tensor]

    def get_loss_fn(self, model: Model, labels: ep.Tensor) -> Any:
        """Give Foolbox's loss, summed over images; what the classifier answered on the way is kept."""

        def loss_fn(inputs: ep.Tensor) -> ep.Tensor:
            with self._forward:
                logits = model(inputs).raw
            logits = logits.float()
            losses = LOSSES[self.loss](logits, labels.raw)
            self._seen = logits.detach(), losses.detach()
            return ep.astensor(losses.sum())

        return loss_fn

    def get_random_start(self, x0: ep.Tensor, epsilon: float) -> ep.Tensor:
        """Give the start that was given, or else Foolbox's."""
        return super().get_random_start(x0, epsilon) if self.start is None else ep.astensor(self.start)

    def value_and_grad(self, loss_fn: Any, x: ep.Tensor) -> tuple[ep.Tensor, ep.Tensor]:
        """Differentiate by the image alone: Foolbox's own way computes and keeps the gradients of weights too.

        Raises:
            NoGradient: The loss does not depend on the image in a way that torch can differentiate.
        """
        pixels = x.raw.detach().requires_grad_()
        loss = loss_fn(ep.astensor(pixels)).raw
        found = torch.autograd.grad(loss, pixels, allow_unused=True)[0] if loss.requires_grad else None
        if found is None:
            raise NoGradient(
                "its logits do not depend on the image in any way that can be differentiated, so no gradient attack "
                "can tell whether it is robust"
            )
        return ep.astensor(loss.detach()), ep.astensor(found)

    def walk(self, model: Model, inputs: Any, criterion: Any, *, epsilon: Any) -> Iterator[Iterate]:
        """Attack, handing out the start and the iterate after each step.

        Whoever looks may set an iterate's `keep`; the others leave the batch. It ends after the last step, or when no
        image is left.

        Args:
            model: A Foolbox model; its bounds are kept.
            inputs: Images within them, shape (n, 3, h, w).
            criterion: `Misclassification` to go away from its labels, or one with `target_classes` to go towards them.
            epsilon: Radius of the box; a number, or one an image of shape (n, 1, 1, 1).

        Raises:
            ValueError: An image lies outside the model's bounds, or the criterion is of neither kind.
            NoGradient: As `value_and_grad`.
        """
        x0 = ep.astensor(inputs)
        if x0.raw.min() < model.bounds.lower or x0.raw.max() > model.bounds.upper:
            raise ValueError(
                f"images must lie in [{model.bounds.lower:g}, {model.bounds.upper:g}]; got "
                f"{float(x0.raw.min()):g} to {float(x0.raw.max()):g}"
            )
        sign, classes = _direction(criterion)
        alive = torch.arange(len(x0), device=x0.raw.device)
        x = self.get_random_start(x0, epsilon) if self.random_start else x0
        if self.clip_start:
            x = ep.clip(x, *model.bounds)
        optimizer = self.get_optimizer(x0, self.step_size)
        for step in range(self.steps + 1):
            loss_fn = self.get_loss_fn(model, classes)
            gradient = None
            if step < self.steps:
                _, gradient = self.value_and_grad(loss_fn, x)
            else:
                loss_fn(x)
            iterate = Iterate(step, alive, x.raw, *self._seen, None if gradient is None else gradient.raw)
            yield iterate
            if gradient is None:
                return
            if iterate.keep is not None:
                kept = iterate.keep.nonzero().squeeze(1)
                if len(kept) == 0:
                    return
                if len(kept) < len(alive):
                    alive, x, x0, classes, gradient = alive[kept], x[kept], x0[kept], classes[kept], gradient[kept]
                    epsilon = epsilon[kept] if isinstance(epsilon, torch.Tensor) else epsilon
            x = x + sign * optimizer(self.normalize(gradient, x=x, bounds=model.bounds))
            x = ep.clip(self.project(x, x0, epsilon), *model.bounds)

    def run(self, model: Model, inputs: Any, criterion: Any, *, epsilon: float, **kwargs: Any) -> Any:
        """Attack to the end and give the last iterate, as Foolbox's own attack does."""
        raise_if_kwargs(kwargs)
        x, restore_type = ep.astensor_(inputs)
        last = x.raw
        for iterate in self.walk(model, x.raw, criterion, epsilon=epsilon):
            last = iterate.images
        return restore_type(ep.astensor(last))


def _direction(criterion: Any) -> tuple[float, ep.Tensor]:
    """Tell whether to go up or down the loss, and of which classes."""
    if isinstance(criterion, Misclassification):
        return 1.0, criterion.labels
    if hasattr(criterion, "target_classes"):
        return -1.0, criterion.target_classes
    raise ValueError(f"{type(criterion).__name__} has neither labels nor target_classes")
