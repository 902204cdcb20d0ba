"""Projected gradient descent, step by step, against Foolbox's own attack and loops by hand."""

import numpy as np
import pytest

from harness.errors import NoGradient

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS, EPS, STEP_SIZE = 8, 0.1, 0.03
TARGETED = pytest.mark.parametrize("targeted", [False, True], ids=["untargeted", "targeted"])


@pytest.fixture(scope="module")
def single():
    """The network in single precision, which rounds as any other does."""
    from data_fixtures.networks import SmallNetwork

    return SmallNetwork().float()


@pytest.fixture(scope="module")
def model(single):
    from foolbox.models import PyTorchModel

    return PyTorchModel(single, bounds=(0, 1), device="cpu")


@pytest.fixture(scope="module")
def inputs(images):
    return images.pixels[:6] / 255


@pytest.fixture(scope="module")
def start(inputs):
    """A start in the box, partly outside the bounds."""
    import torch

    drawn = inputs + EPS * (2 * torch.rand(inputs.shape, generator=torch.Generator().manual_seed(1)) - 1)
    assert drawn.min() < 0
    assert drawn.max() > 1
    return drawn


@pytest.fixture(scope="module")
def criterion(images):
    import torch
    from foolbox.criteria import Misclassification, TargetedMisclassification

    labels = torch.from_numpy(images.labels[:6].astype(np.int64))
    targets = torch.arange(10, 16)
    return lambda targeted: TargetedMisclassification(targets) if targeted else Misclassification(labels)


@pytest.fixture(scope="module")
def foolbox_pgd(start):
    """Foolbox's own attack, from a given start."""
    import eagerpy as ep
    from foolbox.attacks import LinfPGD

    class FromStart(LinfPGD):
        def get_random_start(self, x0, epsilon):
            return ep.astensor(start)

    return lambda steps: FromStart(abs_stepsize=STEP_SIZE, steps=steps, random_start=True)


@pytest.fixture(scope="module")
def stepped():
    from harness.protocols.pgd import SteppedPGD

    return lambda **options: SteppedPGD(**{"step_size": STEP_SIZE, "steps": STEPS, **options})


@TARGETED
@pytest.mark.parametrize("k", range(1, STEPS + 1))
def test_each_iterate_is_foolboxs_after_as_many_steps(
    stepped, foolbox_pgd, model, inputs, start, criterion, targeted, k
):
    iterate = [each.images for each in stepped(start=start).walk(model, inputs, criterion(targeted), epsilon=EPS)][k]
    expected = foolbox_pgd(k).run(model, inputs, criterion(targeted), epsilon=EPS)
    assert (iterate == expected).all()


@TARGETED
def test_called_as_foolbox_calls_attacks_it_does_the_same(
    stepped, foolbox_pgd, model, inputs, start, criterion, targeted
):
    ours = stepped(start=start)(model, inputs, criterion(targeted), epsilons=[0.05, EPS])
    theirs = foolbox_pgd(STEPS)(model, inputs, criterion(targeted), epsilons=[0.05, EPS])
    for our, their in zip(ours[:2], theirs[:2], strict=True):
        assert all((a == b).all() for a, b in zip(our, their, strict=True))
    assert (ours[2] == theirs[2]).all()
    assert ours[2].any()


@pytest.mark.parametrize("random_start", [False, True], ids=["from_the_image", "from_a_random_start"])
def test_where_no_start_is_given_it_is_foolboxs(stepped, model, inputs, criterion, random_start):
    import torch
    from foolbox.attacks import LinfPGD

    found = []
    for attack in (
        stepped(random_start=random_start),
        LinfPGD(abs_stepsize=STEP_SIZE, steps=STEPS, random_start=random_start),
    ):
        with torch.random.fork_rng():
            torch.manual_seed(5)
            found.append(attack.run(model, inputs, criterion(False), epsilon=EPS))
    assert (found[0] == found[1]).all()


def test_a_walk_begins_at_the_start_and_counts_its_steps(stepped, model, inputs, start, criterion):
    iterates = list(stepped(start=start).walk(model, inputs, criterion(False), epsilon=EPS))
    assert [iterate.step for iterate in iterates] == list(range(STEPS + 1))
    assert (iterates[0].images == start.clamp(0, 1)).all()
    assert all(iterate.alive.tolist() == list(range(6)) for iterate in iterates)
    assert [iterate.gradient is None for iterate in iterates] == [False] * STEPS + [True]


def test_an_unclipped_start_is_looked_at_as_it_is_and_its_successors_are_in_bounds(
    stepped, model, single, inputs, start, criterion
):
    first, *others = stepped(start=start, clip_start=False).walk(model, inputs, criterion(True), epsilon=EPS)
    assert (first.images == start).all()
    assert (first.logits == single(start)).all()
    for iterate in others:
        assert iterate.images.min() >= 0
        assert iterate.images.max() <= 1
        assert (iterate.images - inputs).abs().max() <= EPS + 1e-6


def test_what_is_handed_out_is_of_the_very_iterate(stepped, model, single, inputs, start, criterion):
    import torch

    labels = criterion(False).labels.raw
    for iterate in stepped(start=start, loss="margin").walk(model, inputs, criterion(False), epsilon=EPS):
        images = iterate.images.clone().requires_grad_()
        logits = single(images)
        losses = torch.stack([
            max(value for other, value in enumerate(row) if other != label) - row[label]
            for row, label in zip(logits, labels.tolist(), strict=True)
        ])  # fmt: skip
        assert torch.equal(iterate.logits, logits)
        assert torch.equal(iterate.losses, losses)
        if iterate.gradient is not None:
            (expected,) = torch.autograd.grad(losses.sum(), images)
            assert torch.allclose(iterate.gradient, expected, atol=1e-6)
            assert iterate.gradient.abs().max() > 0.01


def test_margin_is_the_best_other_logit_less_the_own():
    import torch

    from harness.protocols.pgd import margin

    logits = torch.tensor([[1.0, 5.0, 3.0], [1.0, 5.0, 3.0], [2.0, 2.0, -9.0], [-1.0, -2.0, -3.0]])
    assert margin(logits, torch.tensor([1, 0, 0, 2])).tolist() == [-2.0, 4.0, 0.0, 2.0]


def test_cross_entropy_is_of_each_image_and_not_of_their_mean():
    import torch

    from harness.protocols.pgd import cross_entropy

    logits = np.random.default_rng(0).normal(0, 4, (5, 7))
    classes = [6, 0, 3, 3, 1]
    expected = [-np.log(np.exp(row[index]) / np.exp(row).sum()) for row, index in zip(logits, classes, strict=True)]
    assert cross_entropy(torch.from_numpy(logits), torch.tensor(classes)).numpy() == pytest.approx(np.array(expected))


def test_images_that_leave_do_not_change_the_path_of_those_that_stay(
    stepped, network, images, inputs, start, criterion
):
    import torch
    from foolbox.models import PyTorchModel

    exact = PyTorchModel(network, bounds=(0, 1), device="cpu")
    together = list(stepped(start=start).walk(exact, inputs, criterion(True), epsilon=EPS))
    leaves = {1: [4], 3: [0, 5], 6: [1]}
    gone = set()
    for whole, iterate in zip(
        together, stepped(start=start).walk(exact, inputs, criterion(True), epsilon=EPS), strict=True
    ):
        left = [place for place in range(6) if place not in gone]
        assert iterate.alive.tolist() == left
        assert (iterate.images == whole.images[left]).all()
        assert torch.allclose(iterate.losses, whole.losses[left])
        gone.update(leaves.get(iterate.step, []))
        if iterate.step in leaves:
            iterate.keep = torch.tensor([place not in gone for place in left])
    assert gone == {0, 1, 4, 5}


def test_it_ends_when_all_have_left(stepped, model, inputs, criterion):
    import torch

    seen = 0
    for iterate in stepped().walk(model, inputs, criterion(False), epsilon=EPS):
        seen += 1
        iterate.keep = torch.full((6,), iterate.step < 2)
    assert seen == 3


@pytest.mark.parametrize(("place", "value"), [(0, -0.01), (-1, 1.01)], ids=["below", "above"])
def test_images_outside_the_bounds_are_refused(stepped, model, inputs, criterion, place, value):
    outside = inputs.clone()
    outside.view(-1)[place] = value
    with pytest.raises(ValueError, match=rf"images must lie in \[0, 1\]; got .*{value:g}"):
        next(stepped().walk(model, outside, criterion(False), epsilon=EPS))


def test_a_criterion_without_classes_is_refused(stepped, model, inputs):
    with pytest.raises(ValueError, match="object has neither labels nor target_classes"):
        next(stepped().walk(model, inputs, object(), epsilon=EPS))


def test_each_image_may_have_a_box_of_its_own(stepped, network, inputs, criterion):
    import torch
    from foolbox.criteria import Misclassification
    from foolbox.models import PyTorchModel

    exact = PyTorchModel(network, bounds=(0, 1), device="cpu")
    sizes = [0.02, 0.05, 0.1, 0.15, 0.2, 0.3]
    boxes = torch.tensor(sizes)[:, None, None, None]
    walk = stepped(steps=20).walk(exact, inputs, criterion(False), epsilon=boxes)
    for iterate in walk:
        iterate.keep = iterate.alive != 2 if iterate.step == 4 else None
        last = iterate
    changes = (last.images - inputs[last.alive]).abs().amax((1, 2, 3))
    assert changes.tolist() == pytest.approx([size for size in sizes if size != 0.1], abs=1e-6)
    for place, label in enumerate(criterion(False).labels.raw):
        if place != 2:
            alone = stepped(steps=20).run(
                exact, inputs[place : place + 1], Misclassification(label[None]), epsilon=sizes[place]
            )
            assert torch.allclose(last.images[last.alive == place], alone, atol=1e-6)


@pytest.mark.parametrize("kind", ["constant", "detached", "of_a_decision"])
def test_logits_without_a_gradient_are_said(stepped, single, inputs, criterion, kind):
    import torch
    from foolbox.models import PyTorchModel

    class Blind(torch.nn.Module):
        def forward(self, images):
            if kind == "constant":
                return torch.arange(1000.0).repeat(len(images), 1)
            logits = single(images)
            return logits.detach() if kind == "detached" else torch.nn.functional.one_hot(logits.argmax(1), 1000) * 9.0

    blind = PyTorchModel(Blind().eval(), bounds=(0, 1), device="cpu")
    with pytest.raises(NoGradient, match="do not depend on the image in any way that can be differentiated"):
        next(stepped().walk(blind, inputs, criterion(False), epsilon=EPS))


def test_logits_that_ignore_their_image_have_a_gradient_of_zero(stepped, inputs, criterion):
    import torch
    from foolbox.models import PyTorchModel

    class Ignorant(torch.nn.Module):
        def forward(self, images):
            return 0 * images.mean((1, 2, 3))[:, None] + torch.arange(1000.0)

    model = PyTorchModel(Ignorant().eval(), bounds=(0, 1), device="cpu")
    iterates = list(stepped().walk(model, inputs, criterion(False), epsilon=EPS))
    assert all((iterate.gradient == 0).all() for iterate in iterates[:-1])
    assert all((iterate.images == inputs).all() for iterate in iterates)


def test_weights_get_no_gradient(stepped, inputs, criterion):
    from foolbox.models import PyTorchModel

    from data_fixtures.networks import SmallNetwork

    trainable = SmallNetwork().requires_grad_()
    model = PyTorchModel(trainable, bounds=(0, 1), device="cpu")
    stepped().run(model, inputs, criterion(False), epsilon=EPS)
    assert all(weight.grad is None for weight in trainable.parameters())
