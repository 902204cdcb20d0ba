"""A frozen classifier: normalisation inside, evaluation mode, nothing left to train."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from harness.errors import ClassifierError

if TYPE_CHECKING:
    from harness.classifiers.spec import Preprocessing, Spec

CLASSES = 1000


class Normalised(nn.Module):
    """An architecture behind its normalisation: images in [0, 1] in, 1000 logits out.

    Normalisation belongs inside, so that attacks work on pixels (PROTOCOLS).

    Args:
        model: From normalised images to logits.
        preprocessing: Its mean, std and number of classes.
        name: What errors call it.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, model: nn.Module, preprocessing: "Preprocessing", name: str) -> None:
        super().__init__()
        self.model = model
        self._classes = preprocessing.classes
        self._name = name
        self.register_buffer("mean", torch.tensor(preprocessing.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(preprocessing.std)[:, None, None], persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Give the logits of the 1000 ImageNet classes.

        Args:
            images: float, shape (n, 3, h, w), RGB in [0, 1].

        Returns:
            Logits, shape (n, 1000); a background class is dropped.

        Raises:
            ClassifierError: The model gives something else than (n, classes) logits.
        """
        logits: Any = self.model((images - self.mean) / self.std)
        if not isinstance(logits, torch.Tensor):
            raise ClassifierError(f"{self._name} gives a {type(logits).__name__}, expected one tensor of logits")
        shape, expected = tuple(logits.shape), (len(images), self._classes)
        if shape[:1] != expected[:1] or len(shape) != 2:
            raise ClassifierError(f"{self._name} gives logits of shape {shape}, expected {expected}")
        if shape != expected:
            hint = "; if class 0 is background, add ?classes=1001" if shape[1] == CLASSES + 1 else ""
            raise ClassifierError(f"{self._name} gives {shape[1]} logits an image, expected {self._classes}{hint}")
        return logits[:, 1:] if self._classes == CLASSES + 1 else logits


@dataclass(frozen=True, eq=False)
class Classifier:
    """A classifier that is ready to be looked at, and can't be changed.

    Attributes:
        spec: What it was made from.
        module: From float images in [0, 1], shape (n, 3, h, w), to logits, shape (n, 1000); frozen.
        weights_sha256: sha256 of the weights file; of the tensors where they came from no file. 64 hex digits.
    """

    spec: "Spec"
    module: nn.Module
    weights_sha256: str

    @classmethod
    def freeze(cls, spec: "Spec", model: nn.Module, weights_sha256: str, device: str) -> "Classifier":
        """Put a model behind its normalisation, on a device, in single precision, with nothing left to train."""
        module = Normalised(model, spec.preprocessing, spec.text).float().to(device).eval().requires_grad_(False)
        return cls(spec, module, weights_sha256)

    @property
    def device(self) -> torch.device:
        """Where it lives."""
        return next(self.module.buffers()).device

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Give the logits of images on the classifier's device.

        Args:
            images: float, shape (n, 3, h, w), RGB in [0, 1].

        Returns:
            Logits of the 1000 ImageNet classes, shape (n, 1000).

        Raises:
            ClassifierError: The images are not of that form, or the model gives something else than logits.
        """
        if not images.is_floating_point() or images.ndim != 4 or images.shape[1] != 3:
            raise ClassifierError(
                f"{self.spec.text} takes float images of shape (n, 3, h, w) in [0, 1], "
                f"got {images.dtype} of shape {tuple(images.shape)}"
            )
        return self.module(images.float())  # type: ignore[no-any-return]
