"""A classifier is frozen, normalises inside, gives 1000 logits, and says so where a model gives something else."""

import dataclasses

import pytest

from harness.classifiers.spec import parse_spec
from harness.errors import ClassifierError

SPEC = "python:a.module:build"


def frozen(model, query="mean=0.5,0.4,0.3&std=0.2,0.1,0.5"):
    from harness.classifiers.classifier import Classifier

    return Classifier.freeze(parse_spec(f"{SPEC}?{query}"), model, "0" * 64, "cpu")


def linear(classes=1000):
    """Batch norm, dropout and a linear layer on images of 4x4: answers differ between training and evaluation."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    return nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Dropout(), nn.Linear(48, classes))


def images(n=5):
    import torch

    return torch.rand(n, 3, 4, 4, generator=torch.Generator().manual_seed(1))


def gives(answer):
    """A model that answers every batch with `answer(images)`."""
    from torch import nn

    class Gives(nn.Module):
        def forward(self, batch):
            return answer(batch)

    return Gives()


def test_it_is_frozen():
    classifier = frozen(linear())
    assert not any(module.training for module in classifier.module.modules())
    assert not any(parameter.requires_grad for parameter in classifier.module.parameters())
    assert classifier.device.type == "cpu"
    with pytest.raises(dataclasses.FrozenInstanceError):
        classifier.weights_sha256 = ""


def test_the_weights_are_those_of_the_model_and_the_normalisation_is_not_among_them():
    model = linear()
    assert [f"model.{name}" for name in model.state_dict()] == list(frozen(model).module.state_dict())


def test_logits_are_those_of_the_model_on_normalised_images():
    import torch

    model = linear()
    batch = images()
    by_hand = torch.stack(
        [(batch[:, channel] - mean) / std for channel, (mean, std) in enumerate([(0.5, 0.2), (0.4, 0.1), (0.3, 0.5)])],
        dim=1,
    )
    logits = frozen(model).logits(batch)
    assert logits.shape == (5, 1000)
    torch.testing.assert_close(logits, model.eval()(by_hand))


def test_logits_are_repeatable_and_do_not_depend_on_the_batch():
    import torch

    classifier = frozen(linear())
    batch = images()
    logits = classifier.logits(batch)
    assert torch.equal(classifier.logits(batch), logits)
    torch.testing.assert_close(torch.cat([classifier.logits(image[None]) for image in batch]), logits)


def test_gradients_flow_to_the_images_and_nowhere_else():
    import torch

    model = linear()
    classifier = frozen(model)
    batch = images().requires_grad_()
    classifier.logits(batch)[:, 7].sum().backward()
    # Of a linear model: the weights behind class 7, through the batch norm (1 / sqrt(1 + eps)) and divided by std.
    expected = model[3].weight[7].reshape(3, 4, 4) / (1 + 1e-5) ** 0.5 / torch.tensor([0.2, 0.1, 0.5])[:, None, None]
    torch.testing.assert_close(batch.grad, expected.expand(5, -1, -1, -1))
    assert all(parameter.grad is None for parameter in classifier.module.parameters())


def test_the_background_class_is_dropped():
    import torch

    model = gives(lambda batch: torch.arange(1001.0).expand(len(batch), -1))
    logits = frozen(model, "classes=1001").logits(images(2))
    assert torch.equal(logits, torch.arange(1.0, 1001.0).expand(2, -1))


@pytest.mark.parametrize(
    ("answer", "query", "says"),
    [
        pytest.param(
            lambda batch: batch.new_zeros(len(batch), 10),
            "",
            "gives 10 logits an image, the spec asks for 1000; 10 classes are fewer than ImageNet's 1000, all of which "
            "are asked for: it takes other weights",
            id="10",
        ),
        pytest.param(
            lambda batch: batch.new_zeros(len(batch), 1001),
            "",
            "gives 1001 logits an image, the spec asks for 1000; if class 0 is background, say ?classes=1001, else "
            "which are ImageNet's by ?wnids=FILE of 1001 lines",
            id="1001",
        ),
        pytest.param(
            lambda batch: batch.new_zeros(len(batch), 1000),
            "classes=1001",
            "gives 1000 logits an image, the spec asks for 1001; for 1000, leave out ?classes= and ?wnids=",
            id="1000-of-1001",
        ),
        pytest.param(
            lambda batch: batch.new_zeros(len(batch), 1000, 1, 1),
            "",
            "gives logits of shape (2, 1000, 1, 1), expected (2, 1000)",
            id="4-d",
        ),
        pytest.param(lambda batch: batch.sum(), "", "gives logits of shape (), expected (2, 1000)", id="scalar"),
        pytest.param(
            lambda batch: batch.new_zeros(1, 1000),
            "",
            "gives logits of shape (1, 1000), expected (2, 1000)",
            id="one-for-all",
        ),
        pytest.param(lambda batch: None, "", "gives a NoneType, expected one tensor of logits", id="nothing"),
    ],
)
def test_what_is_no_logits_is_refused(answer, query, says):
    with pytest.raises(ClassifierError) as caught:
        frozen(gives(answer), query).logits(images(2))
    assert str(caught.value) == f"{SPEC}?{query} {says}"


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        pytest.param((2, 3, 4, 4), "uint8", id="bytes"),
        pytest.param((3, 4, 4), "float32", id="one-image"),
        pytest.param((2, 4, 4, 3), "float32", id="channels-last"),
        pytest.param((2, 1, 4, 4), "float32", id="grey"),
    ],
)
def test_what_are_no_images_is_refused(shape, dtype):
    import torch

    with pytest.raises(ClassifierError) as caught:
        frozen(linear(), "").logits(torch.zeros(shape, dtype=getattr(torch, dtype)))
    assert str(caught.value) == (
        f"{SPEC}? takes float images of shape (n, 3, h, w) in [0, 1], got torch.{dtype} of shape {shape}"
    )


def convolves(after):
    """A convolution, `after` on its features, and a linear layer on 8 x 4 x 4 of them."""
    import torch
    from torch import nn

    class Convolves(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.linear = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(128, 1000)

        def forward(self, batch):
            return self.linear(after(self.convolution(batch)))

    torch.manual_seed(0)
    return Convolves()


def views_features(features):
    return features.view(len(features), -1)


def views_gradients(features):
    """Flattens features, in code of its own whose gradient is viewed and not reshaped."""
    import torch

    class Flattens(torch.autograd.Function):
        @staticmethod
        def forward(context, given):
            return given.flatten(1)

        @staticmethod
        def backward(context, gradient):
            return gradient.view(len(gradient), 8, 4, 4)

    class Passes(torch.autograd.Function):
        @staticmethod
        def forward(context, given):
            return given.clone()

        @staticmethod
        def backward(context, gradient):
            channels_last = gradient.contiguous(memory_format=torch.channels_last)
            kept = channels_last if features.is_contiguous(memory_format=torch.channels_last) else gradient
            return kept.view(len(gradient), -1).view(gradient.shape)

    return Flattens.apply(Passes.apply(features))


def wants_channels_first(features):
    if not features.is_contiguous():
        raise ValueError("this kernel takes contiguous features")
    return features.flatten(1)


def reads_memory(features):
    return features.as_strided((len(features), 128), (128, 1))


OF_4_PIXELS = "mean=0,0,0&std=1,1,1&crop=4&resize=4"


def test_convolutions_are_laid_out_for_speed_and_give_the_logits_of_the_model():
    import torch

    model = convolves(lambda features: features.flatten(1)).eval()
    expected = model(images()).detach()
    classifier = frozen(model, OF_4_PIXELS)
    assert model.convolution.weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(classifier.logits(images()), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("after", [views_features, wants_channels_first, reads_memory])
def test_a_model_that_looks_at_how_features_lie_gives_the_logits_that_it_gives_alone(after):
    import torch

    model = convolves(after).eval()
    expected = model(images()).detach()
    assert torch.equal(frozen(model, OF_4_PIXELS).logits(images()), expected)
    assert model.convolution.weight.is_contiguous()


def test_a_model_that_fails_does_so_when_it_is_asked():
    def fails(features):
        raise ValueError("never")

    classifier = frozen(convolves(fails), OF_4_PIXELS)
    with pytest.raises(ValueError, match="never"):
        classifier.logits(images())


def test_a_model_that_draws_draws_the_same_numbers_as_if_nobody_had_tried_it():
    import torch

    model = convolves(lambda features: features.flatten(1) + torch.rand(128))
    before = torch.get_rng_state()
    frozen(model, OF_4_PIXELS)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_that_views_its_gradients_can_be_attacked():
    import torch

    from harness.classifiers.gradients import require_gradient

    classifier = frozen(convolves(views_gradients), OF_4_PIXELS)
    require_gradient(classifier)
    given = images().requires_grad_()
    (gradient,) = torch.autograd.grad(classifier.logits(given).sum(), given)
    assert (gradient != 0).any()


def test_other_errors_of_a_model_are_its_own():
    def fails(batch):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        frozen(gives(fails)).logits(images())
