"""The protocol `classify`: one look at each image, and the facts that every metric of the paper needs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.errors import NonFinite
from harness.protocols.arrays import as_array
from harness.protocols.precision import autocast, compute_in
from harness.records.schema import Columns

if TYPE_CHECKING:
    import torch


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
        """Classify a batch.

        Args:
            pixels: uint8, shape (n, 3, h, w), RGB.
            labels: Class indices, shape (n,); -1 where there is none.

        Returns:
            Columns `top5`, `confidence`, `label_rank`, `own_prediction`, `own_confidence`, `label` and, where asked
            for, `category_probabilities`; see `harness.records.schema`.

        Raises:
            NonFinite: A logit is NaN or infinite.
        """
        import torch

        from harness.protocols.ranks import first_five, place_of

        with torch.inference_mode(), self._forward:
            images = pixels.to(self._device, non_blocking=True).float().div_(255)
            logits = self._logits(images).float()
        with torch.inference_mode():
            finite = logits.isfinite().all(dim=1).cpu().numpy()
            if not finite.all():
                raise NonFinite("logits", int(np.argmin(finite)))
            target = torch.from_numpy(labels.astype(np.int64)).to(self._device)
            top5 = first_five(logits)
            probabilities = logits.softmax(dim=1)
            place = place_of(target.clamp_min(0), logits)
            if self._own is None:
                own_prediction, own_confidence = top5[:, 0], probabilities.amax(dim=1)
            else:
                own = logits[:, self._own]
                own_prediction, own_confidence = self._own[own.argmax(dim=1)], own.softmax(dim=1).amax(dim=1)
            columns: Columns = {
                "label": labels.astype(np.int16),
                "top5": as_array(top5, np.int16),
                "confidence": as_array(probabilities.amax(dim=1), np.float32),
                "label_rank": as_array(torch.where(target >= 0, place, 0), np.int16),
                "own_prediction": as_array(own_prediction, np.int16),
                "own_confidence": as_array(own_confidence, np.float32),
            }
            if self._categories is not None:
                columns["category_probabilities"] = as_array(probabilities @ self._categories, np.float32)
        return columns


def _averages(categories: Sequence[Sequence[int]]) -> "torch.Tensor":
    """Build the (1000, categories) matrix that averages probabilities over each category's classes."""
    import torch

    weights = torch.zeros(1000, len(categories))
    for column, indices in enumerate(categories):
        weights[list(indices), column] = 1 / len(indices)
    return weights
