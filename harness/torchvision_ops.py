"""Lets torchvision be imported where its compiled extension can't be.

The wheels of torchvision on PyPI are built for CUDA. On a CPU build of torch their extension does not load, and then
`import torchvision` fails with "operator torchvision::nms does not exist", because two operators are given fake kernels
before anyone looks whether they are there. Declaring the two first is all it takes; none of them is ever called here.
timm imports torchvision too.
"""

import functools
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

# Kept alive: the operators are gone when their library is.
_declared: list[object] = []


@functools.cache
def import_torchvision() -> Any:
    """Import torchvision, declaring its operators first where its own extension can't be loaded.

    Does nothing but import it where the extension loads.

    Raises:
        ImportError: torchvision is not installed.
    """
    _declare()
    return importlib.import_module("torchvision")


def let_others_import_torchvision() -> None:
    """Have the operators declared when somebody else imports torchvision, which takes seconds, and not before."""
    if "torchvision" not in sys.modules and not any(isinstance(finder, _Declaring) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Declaring())


class _Declaring(MetaPathFinder):
    """Declares the operators where torchvision is about to be found, by others: it finds nothing itself."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        """Declare them, the first time that torchvision is looked for."""
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            with suppress(ImportError):  # which whoever imports it is told
                _declare()


def _declare() -> None:
    # To look for the extension is to look for torchvision, at which `_Declaring` may declare them.
    if "torchvision" in sys.modules or _extension_loads() or _declared:
        return
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)


def _extension_loads() -> bool:
    import torch

    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise ImportError("torchvision is not installed; install the project with pip install -e .")
    folder = Path(spec.origin).parent
    for extension in (*folder.glob("_C*.so"), *folder.glob("_C*.pyd")):
        try:
            torch.ops.load_library(str(extension))
        except OSError:
            return False
        return True
    return False
