"""A frozen classifier: normalisation inside, evaluation mode, nothing left to train."""

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from harness.benchmarks.classes import CLASSES
from harness.classifiers.outputs import logits_among
from harness.classifiers.weights import class_hint, precision_of
from harness.errors import ClassifierError

if TYPE_CHECKING:
    from harness.classifiers.spec import Spec

# By how much logits may differ, of the largest, that are the same but for the order of sums.
_ROUNDING = 1e-3


class Normalised(nn.Module):
    """An architecture behind its normalisation: images in [0, 1] in, 1000 logits out.

    Normalisation belongs inside, so that attacks work on pixels (PROTOCOLS).

    Args:
        model: From normalised images to logits, which may be among other outputs.
        spec: Its mean, std and classes, which output are its logits, and what errors call it.
    """

    mean: torch.Tensor
    std: torch.Tensor
    places: torch.Tensor | None

    def __init__(self, model: nn.Module, spec: "Spec") -> None:
        super().__init__()
        preprocessing = spec.preprocessing
        self.model = model
        self._classes = preprocessing.classes
        self._name = spec.text
        self._output = spec.output
        self._layout = torch.contiguous_format
        places = torch.tensor(spec.mapping.places) if spec.mapping else None
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("mean", torch.tensor(preprocessing.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(preprocessing.std)[:, None, None], persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Give the logits of the 1000 ImageNet classes.

        Args:
            images: float, shape (n, 3, h, w), RGB in [0, 1].

        Returns:
            Logits, shape (n, 1000), in the order of the sorted wnids; those of other classes are dropped.

        Raises:
            ClassifierError: The model gives something else than (n, classes) logits.
        """
        return self.of_imagenet(self.answer((images - self.mean) / self.std))

    def answer(self, inputs: torch.Tensor) -> torch.Tensor:
        """Give the logits of all classes that the model has.

        Args:
            inputs: What the model takes: float, shape (n, 3, h, w), normalised.

        Returns:
            Logits, shape (n, classes).

        Raises:
            ClassifierError: The model gives something else.
        """
        logits = logits_among(self.model(inputs), (len(inputs), self._classes), self._output, self._name)
        shape, expected = tuple(logits.shape), (len(inputs), self._classes)
        if shape[:1] != expected[:1] or len(shape) != 2:
            raise ClassifierError(f"{self._name} gives logits of shape {shape}, expected {expected}")
        if shape != expected:
            found = f"{self._name} gives {shape[1]} logits an image"
            raise ClassifierError(f"{found}, the spec asks for {self._classes}; {class_hint(shape[1])}")
        return logits

    def channels_last(self, crop: int) -> None:
        """Lay convolutions out with their channels last, which CPUs compute faster (docs/performance.md).

        Only where the logits of two images of noise stay what they are: a model's own code may look at how features lie
        in memory.

        Args:
            crop: Side of the images that the model takes.
        """
        if not any(isinstance(each, nn.Conv2d) for each in self.modules()):
            return
        images = torch.rand(2, 3, crop, crop, generator=torch.Generator().manual_seed(0))
        with suppress(Exception), torch.no_grad(), torch.random.fork_rng(devices=[]):  # its errors are told in use
            expected = self(images)
            self._lay_out(torch.channels_last)
            if torch.allclose(self(images), expected, rtol=0, atol=_ROUNDING * float(expected.abs().max())):
                return
        self.channels_first()

    def channels_first(self) -> bool:
        """Lay them out as usual, for code that can't do otherwise; tells whether that changes anything."""
        if self._layout == torch.contiguous_format:
            return False
        self._lay_out(torch.contiguous_format)
        return True

    def _lay_out(self, layout: torch.memory_format) -> None:
        self._layout = layout
        convert_conv2d_weight_memory_format(self, layout)

    def of_imagenet(self, logits: torch.Tensor) -> torch.Tensor:
        """Choose the logits of the 1000 ImageNet classes, shape (n, 1000), among all, shape (n, classes)."""
        if self.places is not None:
            return logits[:, self.places]
        return logits[:, 1:] if self._classes == CLASSES + 1 else logits


@dataclass(frozen=True, eq=False)
class Classifier:
    """A classifier that is ready to be looked at, and can't be changed.

    Attributes:
        spec: What it was made from.
        module: From float images in [0, 1], shape (n, 3, h, w), to logits, shape (n, 1000); frozen.
        weights_sha256: sha256 of the weights file; of the tensors where they came from no file. 64 hex digits.
        weights_precision: In what precision the weights lie there: `fp32`, `fp16`, `bf16`, `fp64` or `mixed`. They are
            computed with in single precision, but for those of a program, which stays as it is.
    """

    spec: "Spec"
    module: Normalised
    weights_sha256: str
    weights_precision: str = "fp32"

    @classmethod
    def freeze(
        cls, spec: "Spec", model: nn.Module, weights_sha256: str, device: str, weights_precision: str | None = None
    ) -> "Classifier":
        """Put a model behind its normalisation, on a device, in single precision, with nothing left to train.

        Args:
            spec: What it was made from.
            model: From normalised images to logits.
            weights_sha256: See above.
            device: `cpu`, `cuda`, `cuda:1` ...
            weights_precision: See above; None for that of the model as it is.
        """
        precision = weights_precision or precision_of(each.dtype for each in model.state_dict().values())
        module = Normalised(model, spec).float().to(device).eval().requires_grad_(False)
        if torch.device(device).type == "cpu":
            module.channels_last(spec.preprocessing.crop)
        return cls(spec, module, weights_sha256, precision)

    @property
    def device(self) -> torch.device:
        """Where it lives."""
        return next(self.module.buffers()).device

    @property
    def bytes(self) -> int:
        """How much memory its parameters and buffers take."""
        return sum(each.nbytes for each in (*self.module.parameters(), *self.module.buffers()))

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
