"""The penultimate layer: found in architectures of several kinds, or named."""

import pytest

from harness.errors import ClassifierError, UsageError

SIZE = "resize=64&crop=64"


@pytest.fixture(scope="module")
def penultimate():
    """Give a function from a torchvision architecture with random weights to its features of a batch."""
    import torch

    from harness.classifiers.classifier import Classifier
    from harness.classifiers.penultimate import Penultimate
    from harness.classifiers.spec import parse_spec
    from harness.torchvision_ops import import_torchvision

    def features(name, query="", **options):
        spec = parse_spec(f"torchvision:{name}?{SIZE}{query}")
        torch.manual_seed(0)
        model = import_torchvision().models.get_model(name, weights=None, **options)
        classifier = Classifier.freeze(spec, model, "", "cpu")
        images = torch.rand(2, 3, 64, 64)
        normalised = (images - classifier.module.mean) / classifier.module.std
        return Penultimate(classifier)(images), classifier.module.model, normalised

    return features


def test_of_a_resnet_they_are_the_pooled_maps_that_the_last_layer_reads(penultimate):
    found, model, images = penultimate("resnet18")
    assert found.shape == (2, 512)
    assert model.fc(found).allclose(model(images), atol=1e-5)


def test_of_a_perceptron_they_are_what_its_last_layer_reads(penultimate):
    found, model, images = penultimate("alexnet")
    assert found.shape == (2, 4096)
    assert model.classifier[6](found).allclose(model(images), atol=1e-5)


def test_of_a_convolutional_head_they_are_averaged_over_places(penultimate):
    found, model, images = penultimate("squeezenet1_1")
    assert found.shape == (2, 512)
    assert found.allclose(model.features(images).mean((2, 3)), atol=1e-6)


def test_a_module_may_be_named(penultimate):
    found, model, images = penultimate("resnet18", "&penultimate=layer3")
    expected = model.layer3(model.layer2(model.layer1(model.maxpool(model.relu(model.bn1(model.conv1(images)))))))
    assert found.allclose(expected.mean((2, 3)), atol=1e-5)


def test_a_name_that_there_is_not_shows_the_nearest(penultimate):
    with pytest.raises(UsageError, match="it has no module 'layer9'; nearest: layer"):
        penultimate("resnet18", "&penultimate=layer9")


def test_a_module_that_does_not_run_is_said(penultimate):
    with pytest.raises(ClassifierError, match="the module 'aux1' gives no features"):
        penultimate("googlenet", "&penultimate=aux1", init_weights=False)


def test_a_classifier_without_a_last_layer_must_name_its_features():
    from harness.classifiers.loading import load
    from harness.classifiers.penultimate import Penultimate

    classifier = load("python:data_fixtures.classifiers:reads_colours?mean=0,0,0&std=1,1,1")
    with pytest.raises(UsageError, match=r"no layer of it gives 1000 outputs.*\?penultimate=NAME"):
        Penultimate(classifier)


def test_an_empty_name_is_refused():
    from harness.classifiers.spec import parse_spec

    with pytest.raises(UsageError, match="penultimate=: expected the name of a module"):
        parse_spec("alexnet?penultimate=")
