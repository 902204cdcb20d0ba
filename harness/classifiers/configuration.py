"""What preprocessing timm's configuration of a model asks for, held against that of a spec."""

import math
from collections.abc import Mapping
from typing import Any

from harness.classifiers.spec import INTERPOLATIONS, Preprocessing, typed

_TOLERANCE = 1e-3


def differences(preprocessing: Preprocessing, configuration: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Find where a configuration asks for other preprocessing.

    Args:
        preprocessing: That of the spec.
        configuration: timm's `pretrained_cfg`: `mean`, `std`, `input_size` (channels, height, width), `crop_pct` (crop
            as a share of the resized side) and `interpolation`; what it lacks does not differ.

    Returns:
        By key of a spec, what the configuration asks for and what the spec has, both as they are typed.
    """
    wanted: dict[str, Any] = {}
    for key in ("mean", "std"):
        if (asked := configuration.get(key)) and _is_other(asked, getattr(preprocessing, key)):
            wanted[key] = tuple(asked)
    if configuration.get("input_size"):
        crop = int(configuration["input_size"][-1])
        # Rounded off beforehand: 224 / 0.875 must not come to 255.99999.
        resize = math.floor(round(crop / (configuration.get("crop_pct") or 1), 6))
        sizes = {"resize": resize, "crop": crop}
        wanted |= {key: size for key, size in sizes.items() if size != getattr(preprocessing, key)}
    asked = configuration.get("interpolation")
    if asked in INTERPOLATIONS and asked != preprocessing.interpolation:
        wanted["interpolation"] = asked
    return {key: (typed(value), typed(getattr(preprocessing, key))) for key, value in wanted.items()}


def _is_other(asked: Any, own: tuple[float, ...]) -> bool:
    return any(abs(one - other) > _TOLERANCE for one, other in zip(asked, own, strict=True))
