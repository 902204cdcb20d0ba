"""Whether a classifier can be attacked: whether its logits have a gradient with respect to pixels."""

from contextlib import suppress
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
    crop = classifier.spec.preprocessing.crop
    image = torch.full((1, 3, crop, crop), 0.5, device=classifier.device, requires_grad=True)
    with torch.enable_grad():
        try:
            logits = classifier.logits(image)
        except Exception:
            return
        if logits.requires_grad:
            with suppress(RuntimeError):  # of an operator that has no derivative
                if torch.autograd.grad(logits.sum(), image, allow_unused=True)[0] is not None:
                    return
    raise NoGradient(f"{name} can't be attacked: its logits have no gradient with respect to pixels")
