"""From a spec to a frozen classifier, and what names it in a store of records.

torch is imported only when something is loaded: a spec whose weights are pinned or lie in a file is named without it.
"""

import hashlib
import importlib
import importlib.util
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.classifiers.catalog import CATALOG
from harness.classifiers.spec import Spec, parse_spec
from harness.classifiers.weights import fetch, file_sha256, load_state, read_state, state_sha256
from harness.errors import CheckpointError, DataMissing, UsageError, known_nearest_first, unknown
from harness.torchvision_ops import import_torchvision

if TYPE_CHECKING:
    from torch import nn

    from harness.classifiers.classifier import Classifier


def load(spec: Spec | str, device: str = "cpu") -> "Classifier":
    """Load a classifier, frozen.

    Args:
        spec: Parsed, or as typed.
        device: `cpu`, `cuda`, `cuda:1` ...

    Raises:
        UsageError: The spec is not understood, or names an architecture or callable that there is not.
        CheckpointError: Its weights can't be read or do not fit.
        DataMissing: Its weights can't be downloaded.
    """
    from harness.classifiers.classifier import Classifier

    if isinstance(spec, str):
        spec = parse_spec(spec)
    file = _published_file(spec)
    model = _build(spec)
    if file is None:
        return Classifier.freeze(spec, model, state_sha256(model.state_dict()), device)
    load_state(model, read_state(file), str(file))
    return Classifier.freeze(spec, model, file_sha256(file), device)


def identity(spec: Spec) -> dict[str, str]:
    """Name what a classifier's records depend on: its source and name, weights, preprocessing and, for `python:`, code.

    Weights that lie in a file are hashed, the paper's are pinned; for all others the classifier has to be loaded.

    Raises:
        CheckpointError: The weights file is not there.
    """
    named = {
        "classifier": f"{spec.source}:{spec.name}",
        "preprocessing": ",".join(f"{key}={value}" for key, value in asdict(spec.preprocessing).items()),
    }
    if spec.source == "python":
        named["code"] = _source_sha256(spec)
    if spec.source == "paper" and spec.weights is None:
        return {**named, "weights": f"sha256:{CATALOG[spec.name].sha256_prefix}"}
    if spec.weights is not None and (spec.source != "torchvision" or Path(spec.weights).suffix):
        return {**named, "weights": f"sha256:{file_sha256(Path(spec.weights))}"}
    return {**named, "weights": f"sha256:{load(spec).weights_sha256}"}


def cost(spec: Spec) -> float:
    """Tell roughly how dear a classifier is, to run the dearest first: its parameters in millions, 0 where unknown."""
    if spec.name in CATALOG:
        return CATALOG[spec.name].millions
    if spec.weights and Path(spec.weights).is_file():
        return Path(spec.weights).stat().st_size / 4e6
    return 0.0


def _published_file(spec: Spec) -> Path | None:
    """Find the file that the weights come from, fetched and checked; None where the builder brings them along."""
    if spec.weights is not None and not (spec.source == "torchvision" and not Path(spec.weights).suffix):
        path = Path(spec.weights)
        file_sha256(path)  # says so at once where there is no such file, before anything dear is built
        return path
    if spec.source == "paper":
        entry = CATALOG[spec.name]
        return fetch(entry.url, entry.sha256_prefix)
    if spec.source == "torchvision":
        return _torchvision_file(spec)
    if spec.source == "timm":
        raise UsageError(f"{spec.text!r} names no weights; add @file, or use hf:timm/{spec.name} for the hub's")
    return None


def _build(spec: Spec) -> "nn.Module":
    """Build the architecture; for `hub:`, `hf:` and `python:` with whatever weights it brings along."""
    if spec.source == "paper":
        return _torchvision_model(CATALOG[spec.name].architecture, CATALOG[spec.name].width_per_group, 1000)
    if spec.source == "torchvision":
        _torchvision_builders(spec.name)
        return _torchvision_model(spec.name, 0, spec.preprocessing.classes)
    builders = {"timm": _from_timm, "hf": _from_timm, "hub": _from_hub, "python": _from_python}
    model: Any = builders[spec.source](spec)
    from torch import nn

    if not isinstance(model, nn.Module):
        raise UsageError(f"{spec.text!r} gives a {type(model).__name__}, expected a torch.nn.Module")
    return model


def _torchvision_model(name: str, width_per_group: int, classes: int) -> "nn.Module":
    import warnings

    models = import_torchvision().models
    options: dict[str, Any] = {"num_classes": classes, "weights": None}
    if width_per_group:
        options["width_per_group"] = width_per_group
    with warnings.catch_warnings():
        # GoogLeNet and Inception announce a change of initialisation, which weights overwrite.
        warnings.simplefilter("ignore", FutureWarning)
        return models.get_model(name, **options)  # type: ignore[no-any-return]


def _torchvision_builders(name: str) -> None:
    """Check that torchvision has a classifier of that name."""
    models = import_torchvision().models
    known = models.list_models(module=models)
    if name not in known:
        raise unknown("torchvision classifier", name, known)


def _torchvision_file(spec: Spec) -> Path:
    """Fetch the weights that torchvision publishes under a name, its V1 weights by default."""
    _torchvision_builders(spec.name)
    entries = import_torchvision().models.get_model_weights(spec.name).__members__
    name = spec.weights or next((entry for entry in entries if entry.endswith("_V1")), "IMAGENET1K_V1")
    if name not in entries:
        error = unknown(f"weights of {spec.name}", name, entries)
        raise UsageError(f"{error}; a file needs a suffix such as .safetensors or .pth")
    url = entries[name].url
    return fetch(url, url.rpartition("-")[2].partition(".")[0])


def _from_timm(spec: Spec) -> Any:
    import_torchvision()
    try:
        import timm
    except ImportError:
        raise UsageError(f"{spec.text!r} needs timm; install it with pip install -e '.[timm]'") from None
    if spec.source == "timm":
        if not timm.is_model(spec.name.partition(".")[0]):
            near = known_nearest_first(spec.name, timm.list_models())[:5]
            raise UsageError(f"unknown timm model {spec.name!r}; nearest: {', '.join(near)}")
        return timm.create_model(spec.name, pretrained=False, num_classes=spec.preprocessing.classes)
    try:
        return timm.create_model(f"hf-hub:{spec.name}", pretrained=spec.weights is None)
    except Exception as error:  # the hub's client raises a family of errors of its own
        raise DataMissing(f"{spec.text}: can't be had from the Hugging Face hub ({_first_line(error)})") from error


def _from_hub(spec: Spec) -> Any:
    import torch

    repository, _, entry = spec.name.rpartition(":")
    try:
        return torch.hub.load(repository, entry, trust_repo=True, skip_validation=True, verbose=False)
    except Exception as error:  # whatever the repository's own code raises
        raise DataMissing(f"{spec.text}: can't be had from torch hub ({_first_line(error)})") from error


def _from_python(spec: Spec) -> Any:
    module_name, _, name = spec.name.partition(":")
    _module_file(spec)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever the user's module raises
        raise UsageError(f"{spec.text!r}: importing {module_name} fails ({_first_line(error)})") from error
    build = getattr(module, name, None)
    if not callable(build):
        known = [each for each, value in vars(module).items() if callable(value) and not each.startswith("_")]
        raise unknown(f"callable in {module_name}", name, known)
    try:
        return build()
    except Exception as error:  # whatever the user's callable raises
        raise CheckpointError(f"{spec.text}: {name}() fails ({_first_line(error)})") from error


def _module_file(spec: Spec) -> Path | None:
    """Find the file of a `python:` spec's module without running the module itself."""
    module_name = spec.name.partition(":")[0]
    try:
        found = importlib.util.find_spec(module_name)
    except (ImportError, ValueError):
        found = None
    if found is None:
        raise UsageError(f"{spec.text!r}: there is no module {module_name}; put its folder on PYTHONPATH")
    return Path(found.origin) if found.origin and Path(found.origin).is_file() else None


def _source_sha256(spec: Spec) -> str:
    """Hash the module's source, so that edited code is not taken for measured code."""
    file = _module_file(spec)
    return hashlib.sha256(file.read_bytes()).hexdigest() if file else ""


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
