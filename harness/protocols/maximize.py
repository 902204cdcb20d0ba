"""The protocol `maximize`: from a seed image, by gradients, to one that drives a penultimate unit (paper, 2.4)."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import eagerpy as ep
import numpy as np
import torch
from foolbox.criteria import Criterion
from foolbox.models import PyTorchModel
from numpy.typing import NDArray

from harness.classifiers.penultimate import Penultimate
from harness.errors import UsageError
from harness.protocols.arrays import as_array
from harness.protocols.attacker import change, require_finite
from harness.protocols.maximizing import Maximize
from harness.protocols.pgd import SteppedPGD
from harness.protocols.precision import autocast, compute_in
from harness.records.schema import Columns

if TYPE_CHECKING:
    from harness.classifiers.classifier import Classifier

# No bound: no pixel can move farther than 1.
_UNBOUNDED = 4.0
# What `met_at` holds where a unit never was the sure winner.
NEVER_MET = -1


class TargetClassProbability(Criterion):
    """Holds where the softmax probability of the target class is above a threshold, as Foolbox 1.8 had it.

    Args:
        target_classes: Class indices, shape (n,).
        probability: The threshold.
    """

    def __init__(self, target_classes: ep.Tensor, probability: float) -> None:
        super().__init__()
        self.target_classes = target_classes
        self.probability = probability

    def __repr__(self) -> str:
        return f"TargetClassProbability({self.target_classes!r}, {self.probability})"

    def __call__(self, perturbed: Any, outputs: Any) -> Any:
        """Tell which outputs, shape (n, classes), give the target that probability: shape (n,)."""
        logits, restore = ep.astensor_(outputs)
        return restore(ep.astensor(target_probability(logits.raw, self.target_classes.raw) > self.probability))


def target_probability(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Give the softmax probability of a class of each image, in double precision: shape (n,)."""
    return logits.double().softmax(dim=1).gather(1, classes[:, None]).squeeze(1)


class MaximizeUnits:
    """Makes maximizing images of some units from one seed, and gives the columns of their records.

    Args:
        classifier: Frozen; its penultimate layer is found, or named by its spec.
        maximize: How.
        device: Where the classifier lives.
        precision: `fp32`, `tf32` or `bf16`.
        seed: Draws the units where none are named.

    Raises:
        UsageError: A unit does not exist, or there is no penultimate layer to be found.
    """

    def __init__(
        self,
        classifier: "Classifier",
        maximize: Maximize,
        *,
        device: torch.device,
        precision: str = "fp32",
        seed: int = 0,
    ) -> None:
        compute_in(precision)
        self._maximize = maximize
        self._device = device
        self._forward = autocast(device, precision)
        features = Penultimate(classifier).eval()
        self._model = PyTorchModel(features, bounds=(0, 1), device=device)
        crop = classifier.spec.preprocessing.crop
        with torch.inference_mode():
            width = features(torch.zeros(1, 3, crop, crop, device=device)).shape[1]
        self.units = _choose(maximize.units, maximize.unit_count, width, seed, classifier.spec.text)

    def __call__(self, pixels: NDArray[np.uint8], tell: Callable[[int], None] = lambda step: None) -> Columns:
        """Maximize every unit from one seed.

        Args:
            pixels: uint8, shape (3, h, w), RGB.
            tell: Called with the number of steps taken.

        Returns:
            The columns of `harness.records.schema.MAXIMIZE_COLUMNS`, a row a unit.

        Raises:
            NonFinite: A feature or a gradient is NaN or infinite.
            NoGradient: The features have none.
        """
        maximize, count = self._maximize, len(self.units)
        seed = torch.from_numpy(pixels).to(self._device).float().div(255)
        images = seed.repeat(count, 1, 1, 1)
        units = torch.tensor(self.units, device=self._device)
        criterion = TargetClassProbability(ep.astensor(units), maximize.probability)
        pgd = SteppedPGD(step_size=maximize.step_size, steps=maximize.steps, forward=self._forward)
        distance = torch.full((count,), torch.inf, device=self._device)
        met_at = torch.full((count,), NEVER_MET, device=self._device)
        smallest, last = torch.zeros_like(images), images
        activations = torch.full((count, 3), torch.nan, device=self._device)
        features = torch.zeros(count, 1, device=self._device)
        for iterate in pgd.walk(self._model, images, criterion, epsilon=_UNBOUNDED):
            require_finite("features", iterate.logits)
            if iterate.gradient is not None:
                require_finite("gradients", iterate.gradient)
            last, far = iterate.images, change(iterate.images, images)
            activation = iterate.logits.gather(1, units[:, None]).squeeze(1)
            if iterate.step == 0:
                activations[:, 0] = activation
            met = criterion(iterate.images, iterate.logits) & (far < distance)
            distance[met], met_at[met], smallest[met] = far[met], iterate.step, iterate.images[met]
            activations[met, 1], activations[:, 2] = activation[met], activation
            features = iterate.logits
            tell(iterate.step)
        return {
            "unit": as_array(units, np.int32),
            "met_at": as_array(met_at, np.int32),
            "probability": as_array(target_probability(features, units), np.float64),
            **{
                f"activation_{name}": as_array(activations[:, place], np.float32)
                for place, name in enumerate(("seed", "smallest", "final"))
            },
            "linf_smallest": as_array(torch.where(met_at == NEVER_MET, torch.nan, distance), np.float32),
            "linf_final": as_array(change(last, images), np.float32),
            "seed_image": np.repeat(_levels(seed[None]), count, axis=0),
            "smallest_image": _levels(smallest),
            "final_image": _levels(last),
        }


def _choose(named: Sequence[int], count: int, width: int, seed: int, who: str) -> tuple[int, ...]:
    """Give the named units, or draw some."""
    if wrong := [unit for unit in named if not 0 <= unit < width]:
        raise UsageError(f"unit {wrong[0]} does not exist: the penultimate layer of {who} has units 0 to {width - 1}")
    if named:
        return tuple(named)
    if width < count:
        raise UsageError(
            f"the penultimate layer of {who} has only {width} units; name some of 0 to {width - 1} by --units"
        )
    return tuple(sorted(int(unit) for unit in np.random.RandomState(seed).permutation(width)[:count]))


def _levels(images: torch.Tensor) -> NDArray[np.uint8]:
    """Round images to 8 bits, a row each, as (h, w, 3) laid flat."""
    levels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    return levels.flatten(1).cpu().numpy()
