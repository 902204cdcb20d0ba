"""Speed of attacks: against a hand-written loop and Foolbox's own attack, and what leaving images save.

Run with `-m bench -n 0`.
"""

import numpy as np
import pytest

from data_fixtures.timing import best_times

pytestmark = pytest.mark.bench

IMAGES = 12
STEPS = 10
EPS, STEP_SIZE = 0.06, 2 / 255


@pytest.fixture(scope="module")
def module():
    """A SqueezeNet with random weights, of real size and speed, frozen behind its normalisation."""
    import torch

    from harness.classifiers.classifier import Classifier
    from harness.classifiers.spec import parse_spec
    from harness.engines.memory import keep_freed_memory
    from harness.torchvision_ops import import_torchvision

    keep_freed_memory()  # every side of a ratio gains from it
    torch.manual_seed(0)
    model = import_torchvision().models.squeezenet1_1(weights=None)
    return Classifier.freeze(parse_spec("torchvision:squeezenet1_1@unused.pt"), model, "", "cpu").module


@pytest.fixture(scope="module")
def batch():
    """Images, labels and a start for each."""
    import torch

    generator = torch.Generator().manual_seed(0)
    images = torch.rand(IMAGES, 3, 224, 224, generator=generator)
    labels = torch.randint(0, 1000, (IMAGES,), generator=generator)
    start = (images + EPS * (2 * torch.rand(images.shape, generator=generator) - 1)).clamp(0, 1)
    return images, labels, start


def by_hand(module, images, labels, start, steps):
    """Attack with a bare loop on the frozen classifier, and look at the last iterate."""
    import torch

    x = start
    for _ in range(steps):
        x.requires_grad_()
        (gradient,) = torch.autograd.grad(torch.nn.functional.cross_entropy(module(x), labels, reduction="sum"), x)
        x = (x.detach() + STEP_SIZE * gradient.sign()).clamp(images - EPS, images + EPS).clamp(0, 1)
    with torch.no_grad():
        return module(x).argmax(1)


def by_foolbox(module, images, labels, steps):
    """Attack with Foolbox's own attack on the frozen classifier."""
    import torch
    from foolbox.attacks import LinfPGD
    from foolbox.criteria import Misclassification
    from foolbox.models import PyTorchModel

    model = PyTorchModel(module, bounds=(0, 1), device=torch.device("cpu"))
    attack = LinfPGD(abs_stepsize=STEP_SIZE, steps=steps, random_start=True)
    return attack(model, images, Misclassification(labels), epsilons=EPS)


def by_steps(module, images, labels, start, steps):
    """Walk through all iterates, none of whose images leaves, looking at each."""
    import torch
    from foolbox.criteria import Misclassification
    from foolbox.models import PyTorchModel

    from harness.protocols.pgd import SteppedPGD

    model = PyTorchModel(module, bounds=(0, 1), device=torch.device("cpu"))
    attack = SteppedPGD(step_size=STEP_SIZE, steps=steps, start=start)
    walk = attack.walk(model, images, Misclassification(labels), epsilon=EPS)
    return [iterate.logits.argmax(1) for iterate in walk]


def test_a_step_costs_what_it_costs_by_hand_and_in_foolbox(benchmark, module, batch):
    images, labels, start = batch

    def ours():
        return by_steps(module, images, labels, start, STEPS)

    hand, foolbox, own = best_times(
        [
            lambda: by_hand(module, images, labels, start, STEPS),
            lambda: by_foolbox(module, images, labels, STEPS),
            ours,
        ],
        rounds=7,
    )
    benchmark.extra_info["of_a_loop_by_hand"] = own / hand
    benchmark.extra_info["of_foolbox"] = own / foolbox
    benchmark.extra_info["image_steps_per_second"] = IMAGES * STEPS / own
    benchmark.pedantic(ours, rounds=1)
    assert own <= 1.05 * hand
    assert own <= 1.02 * foolbox  # equal but for the noise of the machine


def test_a_ladder_costs_its_last_step_and_not_their_sum(benchmark, module, batch):
    """Steps 2, 4 ... 10 in one walk, against Foolbox's attack run for each."""
    images, labels, start = batch
    ladder = range(2, STEPS + 1, 2)

    def ours():
        return by_steps(module, images, labels, start, STEPS)

    own, apart = best_times([ours, lambda: [by_foolbox(module, images, labels, steps) for steps in ladder]], rounds=3)
    benchmark.extra_info["of_separate_runs"] = own / apart
    benchmark.pedantic(ours, rounds=1)
    assert own / apart < 0.45  # 10 steps and a look at the last, of 30 and five


@pytest.mark.real
@pytest.mark.parametrize("form", ["published", "standard"])
def test_images_whose_outcome_is_known_leave(benchmark, real_data, real_checkpoints, form):
    """How many image-steps an attack of 50 steps takes on a real SqueezeNet, of those that it would take without."""
    import torch

    from harness.benchmarks.batches import batches
    from harness.benchmarks.catalog import DataRoots, open_benchmark
    from harness.benchmarks.images import Fitting
    from harness.benchmarks.order import prefix_order
    from harness.classifiers.loading import load
    from harness.protocols.attacks import Attack
    from harness.protocols.whitebox import WhiteBox

    classifier = load(f"torchvision:squeezenet1_0@{real_checkpoints}/squeezenet1_0_deepcomp.safetensors")
    dataset = open_benchmark("imagenet", DataRoots(real_data))
    seen = []
    classifier.module.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    attack = Attack(form)
    protocol = WhiteBox(classifier.module, attack, device=torch.device("cpu"))
    (images,) = batches(dataset, prefix_order(len(dataset), 0)[:64], Fitting(), batch_size=64, workers=0)
    names = [dataset.images[index] for index in images.indices]

    columns = benchmark.pedantic(protocol, args=(images.pixels, dataset.labels[images.indices], names), rounds=1)
    attacked = int((columns["clean_prediction"] == columns["label"]).sum())
    looks = sum(seen) - len(images.indices)  # the first look is at the clean images
    whole = len(attack.pursuits) * attack.steps
    benchmark.extra_info["image_steps_an_attacked_image"] = looks / attacked
    benchmark.extra_info["fewer_than_without_leaving"] = whole * attacked / looks
    benchmark.extra_info["fewer_than_attacking_all"] = whole * len(images.indices) / looks
    assert np.all(columns["ladder_prediction"][:, -1] != columns["label"])
    assert whole * attacked > 10 * looks
