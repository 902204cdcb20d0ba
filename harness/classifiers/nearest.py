"""Which architecture a checkpoint is for, where it does not fit the one that was named.

Architectures are built without numbers, those of about as many parameters first, and for a few seconds at most.
"""

import math
import re
import time
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from harness.classifiers.names import State
from harness.errors import known_nearest_first
from harness.torchvision_ops import import_torchvision

_SECONDS = 2.5  # for torchvision's
_TIMM_SECONDS = 4.5
_FACTOR = 5.0  # of parameters, beyond which an architecture is not looked at
_SHARE = 0.5  # of matching tensors, below which nothing is near
# What a family of timm's has among its names, and how its models are called. The first that fits is looked into.
_FAMILIES = (
    (r"^conv_stem\.weight", "*efficientnet*", "*mobilenet*", "mixnet*", "mnasnet*", "tinynet*", "*ghostnet*"),
    (r"^stages\.\d\.blocks\.0\.(conv_dw|grn|mlp)", "convnext*"),
    (r"^cls_token$", "vit_*", "deit*", "beit*", "eva*"),
    (r"^layers\.\d\.blocks\.0\.attn", "swin*"),
    (r"^stem\.0\.|^stages\.\d\.\d\.", "*repvgg*", "*regnet*"),
    (r"^s1\.b1\.", "regnet*"),
    (r"^features\.", "densenet*", "vgg*", "rexnet*", "mobilenetv1*"),
    (
        r"^layer1\.0\.",
        "resnet*",
        "*resnext*",
        "seresnet*",
        "wide_resnet*",
        "res2net*",
        "ecaresnet*",
        "skresnet*",
        "dla*",
    ),
)

Shapes = Mapping[str, torch.Size]


class _WithoutNumbers(TorchFunctionMode):
    """Makes the tensors that layers begin with without memory."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = dict(kwargs or {})
        if func is torch.empty:
            options["device"] = "meta"
        return func(*args, **options)


def nearest_architecture(state: State, named: State | None = None) -> str:
    """Say which architecture has the names and shapes of a state.

    Args:
        state: Tensors by name.
        named: Those of the architecture that was named, which is not suggested, nor is what comes no nearer.

    Returns:
        A sentence that ends a message; empty where none comes near.
    """
    found, own = _shapes(state), _shapes(named or {})
    best, share = "", _matching(own, found)
    for architectures in (_torchvision, _timm):
        for name, shapes in architectures(found, best if share >= _SHARE else ""):
            if shapes == own:
                continue
            if shapes == found:
                return f"it fits {name}"
            if classes := _other_classes(shapes, found):
                return f"it fits {name} but for its classes, of which it has {classes}"
            if (matching := _matching(shapes, found)) > share:
                best, share = name, matching
    return f"nearest: {best}, with {math.floor(100 * share)} % of its tensors" if best and share >= _SHARE else ""


def _shapes(state: State) -> dict[str, torch.Size]:
    """Give the shapes of a state but for counters of batches, which some files lack."""
    return {name: tensor.shape for name, tensor in state.items() if not name.endswith("num_batches_tracked")}


def _matching(shapes: Shapes, found: Shapes) -> float:
    """Give the share of tensors that have the same name and shape, of the larger of two states."""
    same = sum(shapes.get(name) == shape for name, shape in found.items())
    return same / max(len(found), len(shapes), 1)


def _torchvision(found: Shapes, like: str) -> Iterator[tuple[str, Shapes]]:
    """Build torchvision's architectures, those of about as many parameters first."""
    until = time.monotonic() + _SECONDS
    for name in _torchvision_names(found):
        if time.monotonic() > until:
            return
        options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        yield from _built(f"torchvision:{name}", import_torchvision().models.get_model, name, weights=None, **options)


def _timm(found: Shapes, like: str) -> Iterator[tuple[str, Shapes]]:
    """Build those of a family of timm's, the plainest first, or those whose names are like that of a near one."""
    try:
        import timm
    except ImportError:
        return
    until = time.monotonic() + _TIMM_SECONDS
    globs = next((globs for pattern, *globs in _FAMILIES if any(re.search(pattern, name) for name in found)), [])
    names = sorted({name for glob in globs for name in timm.list_models(glob)}, key=lambda name: (len(name), name))
    for name in known_nearest_first(like.partition(":")[2], names) if like else names:
        if time.monotonic() > until:
            return
        yield from _built(f"timm:{name}", timm.create_model, name, pretrained=False)


def _built(spec: str, build: Any, *args: Any, **options: Any) -> Iterator[tuple[str, Shapes]]:
    """Give an architecture's shapes by name; nothing where it can't be built so."""
    try:
        with warnings.catch_warnings(), _WithoutNumbers():
            warnings.simplefilter("ignore")
            state = build(*args, **options).state_dict()
    except Exception:  # of architectures that look at their numbers
        return
    yield spec, _shapes(state)


def _torchvision_names(found: Shapes) -> list[str]:
    """Sort torchvision's classifiers by how near their number of parameters is, without building them."""
    models = import_torchvision().models
    numbers = sum(math.prod(shape) for shape in found.values())

    def distance(name: str) -> float:
        published = models.get_model_weights(name).DEFAULT.meta["num_params"]
        return abs(math.log(max(numbers, 1) / published))

    return [
        name for name in sorted(models.list_models(module=models), key=distance) if distance(name) < math.log(_FACTOR)
    ]


def _other_classes(shapes: Shapes, found: Shapes) -> int:
    """Give how many classes a state has whose last layer alone is another; 0 where more is."""
    if shapes.keys() != found.keys():
        return 0
    unequal = [name for name in found if found[name] != shapes[name]]
    firsts = {found[name][0] for name in unequal if found[name][1:] == shapes[name][1:] and shapes[name][:1] == (1000,)}
    return firsts.pop() if len(firsts) == 1 and len(unequal) <= 4 else 0
