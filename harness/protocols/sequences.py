"""The protocol `classify` on sequences: the five first-ranked classes of each frame, which tell flips and distances."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.errors import NonFinite
from harness.protocols.arrays import Finish, fetch
from harness.protocols.precision import autocast, compute_in
from harness.records.schema import Columns

if TYPE_CHECKING:
    import torch


class ClassifySequences:
    """Runs a classifier on the frames of sequences and gives the columns of their records.

    Args:
        logits: From float images in [0, 1], shape (n, 3, h, w), to logits of shape (n, 1000).
        most: Frames of the longest sequence.
        device: Where the classifier lives.
        precision: `fp32`, `tf32` (matrix products on tensor cores) or `bf16` (autocast).
        at_once: How many frames the classifier is given at most.
    """

    def __init__(
        self,
        logits: "Callable[[torch.Tensor], torch.Tensor]",
        most: int,
        *,
        device: "torch.device",
        precision: str = "fp32",
        at_once: int = 256,
    ) -> None:
        compute_in(precision)
        self._logits = logits
        self._most = most
        self._device = device
        self._forward = autocast(device, precision)
        self._at_once = at_once

    def __call__(self, pixels: "torch.Tensor", labels: NDArray[np.int16], frames: Sequence[int]) -> Columns:
        """Classify a batch of sequences: `begin`, and wait for it."""
        return self.begin(pixels, labels, frames)()

    def begin(self, pixels: "torch.Tensor", labels: NDArray[np.int16], frames: Sequence[int]) -> Finish:
        """Begin to classify a batch of sequences; a GPU is not waited for.

        Args:
            pixels: uint8, shape (sum of frames, 3, h, w), RGB; one sequence after another.
            labels: Class index of each sequence, shape (n,).
            frames: How many frames each has.

        Returns:
            What gives columns `label` and `harness.records.schema.SEQUENCE_COLUMNS`, or raises NonFinite where a logit
            of a frame is NaN or infinite, with the place of its sequence.
        """
        import torch

        from harness.protocols.ranks import first_five

        waits = []
        for part in pixels.split(self._at_once):
            with torch.inference_mode(), self._forward:
                logits = self._logits(part.to(self._device, non_blocking=True).float().div_(255)).float()
            with torch.inference_mode():
                waits.append(fetch({"finite": logits.isfinite().all(dim=1), "top5": first_five(logits)}))

        def finish() -> Columns:
            parts = [wait() for wait in waits]
            finite = np.concatenate([part["finite"] for part in parts])
            if not finite.all():
                raise NonFinite("logits", int(np.repeat(np.arange(len(frames)), frames)[np.argmin(finite)]))
            top5 = np.full((len(frames), self._most, 5), -1, dtype=np.int16)
            is_frame = np.arange(self._most) < np.array(frames)[:, None]
            top5[is_frame] = np.concatenate([part["top5"] for part in parts])
            return {
                "label": labels.astype(np.int16),
                "frames": np.array(frames, dtype=np.int16),
                "top5": top5.reshape(len(frames), -1),
            }

        return finish
