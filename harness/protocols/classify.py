"""The protocol `classify`: one look at each image, and the facts that every metric of the paper needs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.errors import NonFinite
from harness.protocols.arrays import Finish, fetch, on_device
from harness.protocols.precision import autocast, compute_in
from harness.records.schema import Columns

if TYPE_CHECKING:
    import torch


# Of the columns that are computed.
_TYPES = {
    "top5": np.int16,
    "confidence": np.float32,
    "label_rank": np.int16,
    "own_prediction": np.int16,
    "own_confidence": np.float32,
    "category_probabilities": np.float32,
}


@dataclass(frozen=True)
class Questions:
    """What a benchmark wants to know of each image beside the decision among all 1000 classes.

    Attributes:
        own_classes: The class indices among which it decides, ascending; None for all 1000.
        categories: Groups of class indices whose mean softmax probability is recorded; None for none.
    """

    own_classes: Sequence[int] | None = None
    categories: Sequence[Sequence[int]] | None = None


class Classify:
    """Runs a classifier on batches of pixels and gives the columns of its records.

    Args:
        logits: From float images in [0, 1], shape (n, 3, h, w), to logits of shape (n, 1000).
        device: Where the classifier lives.
        precision: `fp32`, `tf32` (matrix products on tensor cores) or `bf16` (autocast).
        questions: What the benchmark wants to know.
    """

    def __init__(
        self,
        logits: "Callable[[torch.Tensor], torch.Tensor]",
        questions: Questions,
        *,
        device: "torch.device",
        precision: str = "fp32",
    ) -> None:
        import torch

        compute_in(precision)
        self._logits = logits
        self._device = device
        self._forward = autocast(device, precision)
        self._own = None if questions.own_classes is None else torch.tensor(questions.own_classes, device=device)
        self._categories = None if questions.categories is None else _averages(questions.categories).to(device)

    def __call__(self, pixels: "torch.Tensor", labels: NDArray[np.int16]) -> Columns:
        """Classify a batch: `begin`, and wait for it."""
        return self.begin(pixels, labels)()

    def begin(self, pixels: "torch.Tensor", labels: NDArray[np.int16]) -> Finish:
        """Begin to classify a batch; a GPU is not waited for.

        Args:
            pixels: uint8, shape (n, 3, h, w), RGB.
            labels: Class indices, shape (n,); -1 where there is none.

        Returns:
            What gives columns `top5`, `confidence`, `label_rank`, `own_prediction`, `own_confidence`, `label` and,
            where asked for, `category_probabilities` (see `harness.records.schema`), or raises NonFinite where a logit
            is NaN or infinite.
        """
        import torch

        from harness.protocols.ranks import first_five, place_of

        with torch.inference_mode(), self._forward:
            images = pixels.to(self._device, non_blocking=True).float().div_(255)
            logits = self._logits(images).float()
        with torch.inference_mode():
            target = on_device(labels.astype(np.int64), self._device)
            probabilities = logits.softmax(dim=1)
            computed = {
                "finite": logits.isfinite().all(dim=1),
                "top5": first_five(logits),
                "confidence": probabilities.amax(dim=1),
                "label_rank": torch.where(target >= 0, place_of(target.clamp_min(0), logits), 0),
            }
            if self._own is not None:
                own = logits[:, self._own]
                computed["own_prediction"] = self._own[own.argmax(dim=1)]
                computed["own_confidence"] = own.softmax(dim=1).amax(dim=1)
            if self._categories is not None:
                computed["category_probabilities"] = probabilities @ self._categories
            wait = fetch(computed)

        def finish() -> Columns:
            found = wait()
            if not (finite := found.pop("finite")).all():
                raise NonFinite("logits", int(np.argmin(finite)))
            columns = {name: values.astype(_TYPES[name]) for name, values in found.items()}
            own = {"own_prediction": columns["top5"][:, 0].copy(), "own_confidence": columns["confidence"].copy()}
            return {"label": labels.astype(np.int16), **own, **columns}

        return finish


def _averages(categories: Sequence[Sequence[int]]) -> "torch.Tensor":
    """Build the (1000, categories) matrix that averages probabilities over each category's classes."""
    import torch

    weights = torch.zeros(1000, len(categories))
    for column, indices in enumerate(categories):
        weights[list(indices), column] = 1 / len(indices)
    return weights
