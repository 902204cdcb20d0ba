"""Whether a classifier can be attacked: whether its logits have a gradient with respect to pixels."""

from typing import TYPE_CHECKING

import torch

from harness.errors import NoGradient

if TYPE_CHECKING:
    from harness.classifiers.classifier import Classifier


def require_gradient(classifier: "Classifier") -> None:
    """See, on one grey image, that attacks by gradients can be run; a gradient of zeros is one.

    Raises:
        NoGradient: They can't.
    """
    from harness.classifiers.kinds import ONNX

    name = classifier.spec.text
    if getattr(classifier.module.model, "kind", None) == ONNX:
        raise NoGradient(f"{name} can't be attacked: it is an {ONNX}, which gives no gradients")
    crop = classifier.spec.preprocessing.crop
    image = torch.full((1, 3, crop, crop), 0.5, device=classifier.device, requires_grad=True)
    with torch.enable_grad():
        logits = classifier.logits(image)
        gradient = None
        if logits.requires_grad:
            (gradient,) = torch.autograd.grad(logits.sum(), image, allow_unused=True)
    if gradient is None:
        raise NoGradient(f"{name} can't be attacked: its logits have no gradient with respect to pixels")
