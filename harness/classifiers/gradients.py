"""Whether a classifier can be attacked: whether its logits have a gradient with respect to pixels."""

from typing import TYPE_CHECKING

import torch

from harness.classifiers.kinds import ONNX
from harness.errors import NoGradient

if TYPE_CHECKING:
    from harness.classifiers.classifier import Classifier


def require_gradient(classifier: "Classifier") -> None:
    """See, on one grey image, that attacks by gradients can be run; a gradient of zeros is one.

    Whatever else is wrong with a classifier shows on its first images, and is told with them.

    Raises:
        NoGradient: They can't.
    """
    name = classifier.spec.text
    if getattr(classifier.module.model, "kind", None) == ONNX:
        raise NoGradient(f"{name} can't be attacked: it is an {ONNX}, which gives no gradients")
    if not _has_gradient(classifier):
        raise NoGradient(f"{name} can't be attacked: its logits have no gradient with respect to pixels")


def _has_gradient(classifier: "Classifier") -> bool:
    """Tell whether a grey image has a gradient; if its logits can't be had either, that is not for here to say."""
    module, crop = classifier.module, classifier.spec.preprocessing.crop
    image = torch.full((1, 3, crop, crop), 0.5, device=classifier.device, requires_grad=True)
    with torch.enable_grad():
        try:
            logits = classifier.logits(image)
        except Exception:
            return True
        if not logits.requires_grad:
            return False
        try:
            return torch.autograd.grad(logits.sum(), image, allow_unused=True)[0] is not None
        except RuntimeError:  # of an operator that has no derivative, or of one that takes its channels first
            return module.channels_first() and _has_gradient(classifier)
