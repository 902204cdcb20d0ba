"""The features that a classifier's last layer reads."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from harness.errors import ClassifierError, NoPenultimate, UsageError, known_nearest_first

if TYPE_CHECKING:
    from harness.classifiers.classifier import Classifier


class Penultimate(nn.Module):
    """A classifier up to its last layer: images in [0, 1] in, that layer's features out.

    The last layer is the last linear layer or convolution to run that gives one output a class; what it reads are the
    features, averaged over places where it is a convolution. A spec may name another module with `penultimate`, whose
    output is then taken.

    Args:
        classifier: Frozen.

    Raises:
        UsageError: No layer gives one output a class and the spec names none, or there is no module of that name.
        NoPenultimate: It is a program, of which no layer can be seen.
    """

    def __init__(self, classifier: "Classifier") -> None:
        super().__init__()
        self._name = classifier.spec.text
        if kind := getattr(classifier.module.model, "kind", None):
            raise NoPenultimate(f"{self._name} is a {kind}, whose penultimate layer can't be seen")
        self._classifier = classifier.module
        self._named = classifier.spec.penultimate or ""
        self._at = _module(classifier, self._named) if self._named else _last_layer(classifier)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Give the features of images: shape (n, 3, h, w) to (n, units).

        Raises:
            ClassifierError: The module that the spec names was not run, or gives no features of images.
        """
        caught: list[Any] = []
        if self._named:
            hook = self._at.register_forward_hook(lambda module, inputs, output: caught.append(output))
        else:
            hook = self._at.register_forward_pre_hook(lambda module, inputs: caught.append(inputs[0]))
        try:
            self._classifier(images)
        finally:
            hook.remove()
        found = caught[-1] if caught else None
        if not isinstance(found, torch.Tensor) or found.ndim not in (2, 3, 4):
            raise ClassifierError(f"{self._name}: the module {self._named!r} gives no features of shape (n, units)")
        # Places of a convolution, or tokens of a transformer, are averaged, as what follows them does.
        return found.mean((2, 3)) if found.ndim == 4 else found.mean(1) if found.ndim == 3 else found


def _module(classifier: "Classifier", name: str) -> nn.Module:
    # Its own modules lie below the normalisation.
    named = ((each.removeprefix("model."), module) for each, module in classifier.module.named_modules())
    modules: dict[str, nn.Module] = {each: module for each, module in named if each}
    if name not in modules:
        near = ", ".join(known_nearest_first(name, modules)[:5])
        raise UsageError(f"{classifier.spec.text!r}: it has no module {name!r}; nearest: {near}")
    return modules[name]


def _last_layer(classifier: "Classifier") -> nn.Module:
    """Find the last layer by running the classifier once on a black image."""
    preprocessing = classifier.spec.preprocessing
    ran: list[nn.Module] = []
    hooks = [
        module.register_forward_pre_hook(_note(ran))
        for module in classifier.module.modules()
        if getattr(module, "out_features", getattr(module, "out_channels", 0)) == preprocessing.classes
    ]
    with torch.inference_mode():
        classifier.module(torch.zeros(1, 3, preprocessing.crop, preprocessing.crop, device=classifier.device))
    for hook in hooks:
        hook.remove()
    if not ran:
        raise UsageError(
            f"{classifier.spec.text!r}: no layer of it gives {preprocessing.classes} outputs, so its penultimate one "
            "is not known; name the module that gives the features with ?penultimate=NAME"
        )
    return ran[-1]


def _note(ran: list[nn.Module]) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    def hook(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        ran.append(module)

    return hook
