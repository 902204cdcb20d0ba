"""The miniature's networks: what is quicker about them changes none of their numbers but by rounding."""

import pytest
import torch
from torch import nn

from data_fixtures.miniature import networks

ARCHITECTURES = ["resnext_4x8d", "resnext_4x16d", "plain"]


def plainly(module, images):
    """Run modules one by one, as they are written down."""
    if isinstance(module, networks.Bottleneck):
        return torch.relu(plainly(module.residual, images) + plainly(module.shortcut, images))
    if isinstance(module, nn.Sequential):
        for each in module:
            images = plainly(each, images)
        return images
    return module(images)


@pytest.fixture(params=ARCHITECTURES)
def network(request):
    """A network whose batch norms do something."""
    torch.manual_seed(0)
    made = getattr(networks, request.param)().eval().requires_grad_(False)
    for norm in (each for each in made.modules() if isinstance(each, nn.BatchNorm2d)):
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.5, 2)
        norm.weight.uniform_(0.5, 2)
        norm.bias.normal_(0, 0.1)
    return made


def test_convolutions_take_in_their_norms(network):
    pictures = torch.randn(5, 3, 32, 32)
    expected = network.fc(plainly(network.features, pictures))
    assert expected.std() > 1e-3
    torch.testing.assert_close(network.categories(pictures), expected, rtol=1e-4, atol=1e-6)


def test_gradients_are_those_of_the_modules_one_by_one(network):
    pictures, labels = torch.randn(5, 3, 32, 32, requires_grad=True), torch.arange(5)
    expected, found = (
        torch.autograd.grad(nn.functional.cross_entropy(logits, labels), pictures)[0]
        for logits in (network.fc(plainly(network.features, pictures)), network.categories(pictures))
    )
    assert expected.abs().max() > 1e-6
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-8)


def test_a_network_that_is_trained_normalises_by_its_batch(network):
    pictures = torch.randn(5, 3, 32, 32)
    trained = network.train()
    before = trained.features[1].running_mean.clone()
    torch.testing.assert_close(trained.categories(pictures), trained.fc(plainly(trained.features, pictures)))
    assert not torch.equal(trained.features[1].running_mean, before)


def test_changed_weights_are_taken_in_again(network):
    pictures = torch.randn(5, 3, 32, 32)
    with torch.inference_mode():
        before = network.categories(pictures)
    with torch.no_grad():
        network.features[0].weight.mul_(2)
        network.features[1].running_mean.add_(0.5)
    changed = network.categories(pictures.requires_grad_())
    assert not torch.allclose(changed, before)
    torch.testing.assert_close(changed, network.fc(plainly(network.features, pictures)), rtol=1e-4, atol=1e-6)


def test_weights_that_are_trained_get_their_gradients_in_evaluation_too(network):
    network.requires_grad_(True)
    network.categories(torch.randn(5, 3, 32, 32)).sum().backward()
    assert network.features[0].weight.grad.abs().max() > 0
