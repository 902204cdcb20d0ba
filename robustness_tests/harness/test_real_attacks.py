"""Attacks on a real checkpoint and real photographs, against a plain loop over single images."""

import numpy as np
import pytest

from harness.protocols.attacks import Attack

pytestmark = pytest.mark.real

HALF = "mean=0.50196,0.50196,0.50196&std=0.50196,0.50196,0.50196"
SPEC = "python:real_architectures:mobilenet_v1_025@{}/mobilenet_v1_0.25_128.safetensors?" + HALF
IMAGES = 24
# Slow steps, so that images are fooled at many different ones, and some at none.
SLOW = {"step_size": 0.1 / 255, "ladder": (5, 10, 20)}


@pytest.fixture(scope="module")
def classifier(real_checkpoints):
    from harness.classifiers.loading import load

    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(real_checkpoints)
        yield load(SPEC.format(real_checkpoints))


@pytest.fixture(scope="module")
def photographs(real_data):
    """The first photographs of the seeded order: pixels, labels, names."""
    from harness.benchmarks.batches import batches
    from harness.benchmarks.catalog import DataRoots, open_benchmark
    from harness.benchmarks.images import Fitting
    from harness.benchmarks.order import prefix_order

    dataset = open_benchmark("imagenet", DataRoots(real_data))
    (batch,) = batches(dataset, prefix_order(len(dataset), 0)[:IMAGES], Fitting(), batch_size=IMAGES, workers=0)
    return batch.pixels, dataset.labels[batch.indices], [dataset.images[index] for index in batch.indices]


def alone(module, image, attack, classes, start, loss, fooled):
    """Attack one image with a plain loop; gives the step at which it was first fooled, 0 for never."""
    import torch

    x = start
    for step in range(1, attack.steps + 1):
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(module(x)), x)
        x = x.detach() + (-1 if attack.targeted else 1) * attack.step_size * gradient.sign()
        x = (image + (x - image).clamp(-attack.eps, attack.eps)).clamp(0, 1)
        with torch.no_grad():
            if fooled(int(module(x).argmax()), classes):
                return step
    return 0


def margin_of(label):
    def loss(logits):
        others = [place for place in range(logits.shape[1]) if place != label]
        return logits[0, others].max() - logits[0, label]

    return loss


def cross_entropy_to(label):
    import torch

    return lambda logits: torch.nn.functional.cross_entropy(logits, torch.tensor([label]))


@pytest.mark.parametrize("form", ["published", "standard"])
def test_a_plain_loop_over_single_images_finds_the_same_steps(classifier, photographs, form):
    import torch

    from harness.protocols.draws import unit_start, wrong_class
    from harness.protocols.whitebox import WhiteBox

    attack = Attack(form, **SLOW)
    pixels, labels, names = photographs
    columns = WhiteBox(classifier.module, attack, device=torch.device("cpu"))(pixels, labels, names)
    module, expected = classifier.module, []
    for image, label, name in zip(pixels.float() / 255, labels.tolist(), names, strict=True):
        image = image[None]
        row = []
        for pursuit in attack.pursuits:
            if int(module(image).argmax()) != label:
                row.append(-1)
                continue
            start = image + attack.eps * torch.from_numpy(unit_start(0, name, pursuit.restart, image.shape[1:]))
            if form == "published":
                target = wrong_class(0, name, label)
                met = lambda predicted, target: predicted == target  # noqa: E731
                row.append(alone(module, image, attack, target, start, cross_entropy_to(target), met))
            else:
                loss = (margin_of if pursuit.loss == "margin" else cross_entropy_to)(label)
                met = lambda predicted, label: predicted != label  # noqa: E731
                row.append(alone(module, image, attack, label, start.clamp(0, 1), loss, met))
        expected.append(row)
    found, expected = columns["first_fooled"], np.array(expected)
    assert (found == -1).tolist() == (expected == -1).tolist()
    assert len(np.unique(expected)) > 3
    # One image at a time rounds differently from a batch: a step's sign may flip, seldom an outcome.
    assert np.abs(found - expected).max() <= 2
    assert (found != expected).mean() < 0.1
