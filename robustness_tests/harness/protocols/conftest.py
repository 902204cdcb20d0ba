"""Networks and images to be attacked, and the attack itself as a plain loop over one image."""

from typing import NamedTuple

import numpy as np
import pytest


class Images(NamedTuple):
    """A batch to be attacked.

    Attributes:
        pixels: uint8, shape (24, 3, 8, 8).
        labels: What the network takes them for, but every sixth from the first a class further: those are wrong.
        names: Of the images.
    """

    pixels: object
    labels: np.ndarray
    names: list[str]

    def only(self, places):
        """Give those at some places, in that order."""
        return Images(self.pixels[places], self.labels[places], [self.names[place] for place in places])


@pytest.fixture(scope="session")
def network():
    from data_fixtures.networks import SmallNetwork

    return SmallNetwork()


@pytest.fixture(scope="session")
def images(network):
    import torch

    pixels = torch.from_numpy(np.random.RandomState(0).randint(0, 256, (24, 3, 8, 8)).astype(np.uint8))
    labels = network(pixels / 255).argmax(1).numpy().astype(np.int16)
    labels[::6] = (labels[::6] + 1) % 1000
    return Images(pixels, labels, [f"n/{place}.png" for place in range(24)])


@pytest.fixture(scope="session")
def of_two_classes(images):
    """The images, labelled 3 and 700 in turn, and of each the one of these that it is not."""
    labels = np.array([3, 700] * 12, dtype=np.int16)
    return images._replace(labels=labels), [700, 3] * 12


class Seen(NamedTuple):
    """An iterate of the attack on one image.

    Attributes:
        image: float, shape (3, 8, 8).
        predicted: What the network takes it for.
        loss: The attack's loss.
    """

    image: object
    predicted: int
    loss: float


@pytest.fixture(scope="session")
def plain_pgd():
    """The attack on one image in a plain loop; gives its start and each iterate."""
    import torch

    from harness.protocols.draws import unit_start

    def cross_entropy(logits, index):
        return logits.logsumexp(0) - logits[index]

    def margin(logits, index):
        return torch.cat([logits[:index], logits[index + 1 :]]).max() - logits[index]

    losses = {"cross_entropy": cross_entropy, "margin": margin}

    def walk(module, pixels, name, index, attack, *, loss="cross_entropy", restart=0, seed=0):
        original = pixels / 255
        eps = attack.eps * (float(original.max()) if attack.reading == "relative" else 1)
        image = original + eps * torch.from_numpy(unit_start(seed, name, restart, tuple(pixels.shape)))
        if attack.form == "standard":
            image = image.clamp(0, 1)
        direction = -1 if attack.form == "published" else 1
        seen = []
        for _ in range(attack.steps + 1):
            image = image.detach().requires_grad_()
            logits = module(image[None])[0]
            value = losses[loss](logits, index)
            value.backward()
            seen.append(Seen(image.detach(), int(logits.argmax()), float(value.detach())))
            image = image.detach() + direction * attack.step_size * image.grad.sign()
            image = torch.maximum(torch.minimum(image, original + eps), original - eps).clamp(0, 1)
        return seen

    return walk
