"""How the classifiers of the miniature are trained: a recipe each, followed to the letter from fixed seeds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from data_fixtures.miniature import networks
from data_fixtures.miniature.networks import Network
from data_fixtures.miniature.sets import draw

MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
BATCH = 64


class Stage(NamedTuple):
    """Pictures, and how long a network is trained on them.

    Attributes:
        kind: Their set.
        seed: That they are drawn from; none of those that anything is tested on.
        count: How many there are.
        epochs: How often each is seen.
        rate: Highest learning rate, reached after a third of the steps.
        eps: Largest change of a pixel by the attack that each batch is trained under; 0 for none.
        attack_steps: Steps of that attack.
    """

    kind: str
    seed: int
    count: int
    epochs: int
    rate: float
    eps: float = 0.0
    attack_steps: int = 3


@dataclass(frozen=True)
class Recipe:
    """How a classifier is made.

    Attributes:
        build: Makes its network.
        stages: What it is trained on, one after another.
        seed: Of its first weights and of the order of pictures.
    """

    build: Callable[[], Network]
    stages: tuple[Stage, ...]
    seed: int


CLEAN = Stage("train", 0, 1280, epochs=25, rate=0.1)
WEAK = Stage("pretrain", 0, 45_000, epochs=4, rate=0.1)
FINE = Stage("train", 0, 1280, epochs=3, rate=0.005)
# From random weights, and under the whole attack from the start, a network this small learns nothing.
ROBUST = (
    Stage("validation", 1, 8000, epochs=3, rate=0.1),
    Stage("validation", 1, 8000, epochs=2, rate=0.1, eps=0.03, attack_steps=2),
    Stage("validation", 1, 8000, epochs=6, rate=0.1, eps=0.06, attack_steps=3),
)

RECIPES: Mapping[str, Recipe] = {
    "baseline": Recipe(networks.resnext_4x8d, (CLEAN,), 1),
    "wsl_4x8d": Recipe(networks.resnext_4x8d, (WEAK, FINE), 2),
    "wsl_4x10d": Recipe(networks.resnext_4x10d, (WEAK, FINE), 3),
    "wsl_4x12d": Recipe(networks.resnext_4x12d, (WEAK, FINE), 4),
    "wsl_4x16d": Recipe(networks.resnext_4x16d, (WEAK, FINE), 5),
    "surrogate": Recipe(networks.plain, (CLEAN,), 6),
    "alexnet": Recipe(networks.alexnet, (CLEAN._replace(count=320, epochs=100, rate=0.03),), 7),
    "adversarial": Recipe(networks.resnext_4x12d, ROBUST, 8),
    "shape": Recipe(networks.resnext_4x8d, (Stage("stylised", 0, 20_000, 5, 0.1),), 9),
}
"""By name, how each classifier is made."""


def train(recipe: Recipe) -> Network:
    """Follow a recipe. One thread, so that sums are added up in one order."""
    torch.set_num_threads(1)
    torch.manual_seed(recipe.seed)
    network = recipe.build()
    for stage in recipe.stages:
        _fit(network, stage)
    return network.eval()


def _fit(network: Network, stage: Stage) -> None:
    drawn = draw(stage.kind, stage.seed, 0, stage.count)
    pictures = as_tensor(drawn.images)
    labels = torch.from_numpy(drawn.labels)
    batches = stage.count // BATCH
    optimizer = torch.optim.SGD(network.parameters(), stage.rate, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, stage.rate, stage.epochs * batches)
    for _ in range(stage.epochs):
        for places in torch.randperm(stage.count)[: batches * BATCH].split(BATCH):
            images, truth = pictures[places].float() / 255, labels[places]
            if stage.eps:
                images = _attacked(network, images, truth, stage)
            loss = nn.functional.cross_entropy(network.train().categories(normalised(images)), truth)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def _attacked(network: Network, images: torch.Tensor, labels: torch.Tensor, stage: Stage) -> torch.Tensor:
    """Move images uphill within the box, from a random place in it (Madry et al., 2018)."""
    network.eval()
    step = 2.5 * stage.eps / stage.attack_steps / 2
    low, high = (images - stage.eps).clamp(0, 1), (images + stage.eps).clamp(0, 1)
    moved = low + (high - low) * torch.rand_like(images)
    for _ in range(stage.attack_steps):
        moved.requires_grad_()
        loss = nn.functional.cross_entropy(network.categories(normalised(moved)), labels)
        (gradient,) = torch.autograd.grad(loss, moved)
        moved = torch.minimum(torch.maximum(moved.detach() + step * gradient.sign(), low), high)
    return moved


def as_tensor(images: np.ndarray) -> torch.Tensor:
    """Give uint8 pictures, shape (n, 32, 32, 3), as networks take them, shape (n, 3, 32, 32)."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def normalised(images: torch.Tensor) -> torch.Tensor:
    """Normalise images in [0, 1]."""
    return (images - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
