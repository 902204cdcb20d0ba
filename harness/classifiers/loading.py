"""From a spec to a frozen classifier, and what names it in a store of records.

torch is imported only when something is loaded: a spec whose weights are pinned or lie in a file is named without it.
"""

import hashlib
import importlib
import importlib.util
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.classifiers.catalog import CATALOG
from harness.classifiers.configuration import differences
from harness.classifiers.disk import check_file, file_sha256, unchanged
from harness.classifiers.kinds import program_kind
from harness.classifiers.names import State
from harness.classifiers.spec import Spec, parse_spec
from harness.classifiers.weights import (
    Misfit,
    begins_like_weights,
    fetch,
    load_state,
    precision_of,
    read_state,
    read_state_and_place,
    refuse_quantised,
    require_finite_weights,
    state_sha256,
)
from harness.errors import CheckpointError, DataMissing, UsageError, in_one_line, known_nearest_first, unknown
from harness.torchvision_ops import import_torchvision, let_others_import_torchvision

if TYPE_CHECKING:
    from torch import nn

    from harness.classifiers.classifier import Classifier

log = logging.getLogger(__name__)

# torchvision maps normalised images to [-1, 1] inside these when it loads its own weights into them.
_REMAPS_INPUT = ("googlenet", "inception_v3")
# Names in torchvision's published files that its architectures no longer have.
_OLD_NAMES = (
    (r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2."),
    (r"\.mlp\.linear_1\.", ".mlp.0."),
    (r"\.mlp\.linear_2\.", ".mlp.3."),
)


def load(spec: Spec | str, device: str = "cpu") -> "Classifier":
    """Load a classifier, frozen.

    Args:
        spec: Parsed, or as typed.
        device: `cpu`, `cuda`, `cuda:1` ...

    Raises:
        UsageError: The spec is not understood, or names an architecture or callable that there is not.
        CheckpointError: Its weights or its program can't be read or do not fit, or the callable fails.
        DataMissing: Its weights, or the repository that builds it, can't be downloaded.
    """
    from harness.classifiers.classifier import Classifier

    if isinstance(spec, str):
        spec = parse_spec(spec)
    file = _weights_file(spec)
    if file and program_kind(file):
        return _load_program(spec, file, device)
    if spec.source == "program":
        assert file is not None
        if not begins_like_weights(file):
            raise CheckpointError(f"{file} is no program; expected TorchScript, torch.export or ONNX")
        read_state(file)  # says what is wrong with a file that is cut short or needs code to load
        raise CheckpointError(
            f"{file} is no program (TorchScript, torch.export or ONNX) but a file of weights; name its architecture, "
            "such as torchvision:NAME@FILE"
        )
    file = file or _published_file(spec)
    let_others_import_torchvision()
    with _seeded():
        model = _build(spec)
    if spec.source in ("timm", "hf"):
        _tell_configuration(spec, model)
    if file is None:
        state = model.state_dict()
        refuse_quantised({name: each for name, each in state.items() if not hasattr(each, "dtype")}, spec.text)
        require_finite_weights(state, spec.text)
        return Classifier.freeze(spec, model, state_sha256(state), device)
    with unchanged(file):
        state, before = read_state_and_place(file, spec.prefix)
        sha256 = file_sha256(file)
    try:
        named = _renamed(state) if spec.source == "torchvision" else state
        load_state(model, named, str(file), before=before, asked=spec.preprocessing.classes)
    except Misfit as error:
        raise _suggesting(error, state, model) from error
    return Classifier.freeze(spec, model, sha256, device, precision_of(each.dtype for each in state.values()))


def _tell_configuration(spec: Spec, model: "nn.Module") -> None:
    """Say in the log where timm's own configuration of a model asks for other preprocessing than the spec."""
    found = differences(spec.preprocessing, getattr(model, "pretrained_cfg", None) or {})
    if found:
        log.warning(
            "%s: %s has %s; if the weights were trained so, add ?%s",
            spec.text,
            f"timm's configuration of {spec.name}" if spec.source == "timm" else "its configuration",
            ", ".join(f"{key} {theirs} instead of {ours}" for key, (theirs, ours) in found.items()),
            "&".join(f"{key}={theirs}" for key, (theirs, _) in found.items()),
        )


def _load_program(spec: Spec, file: Path, device: str) -> "Classifier":
    """Load a program, whose architecture is its own, whatever the spec's source."""
    from harness.classifiers.classifier import Classifier
    from harness.classifiers.programs import read_program

    if spec.prefix:
        raise UsageError(f"{spec.text!r}: {file} is a {program_kind(file)}, which has no prefix to choose")
    with unchanged(file):
        program = read_program(file, device)
        sha256 = file_sha256(file)
    return Classifier.freeze(spec, program, sha256, device, program.weights_precision)


def _suggesting(error: Misfit, state: State, named: "nn.Module") -> CheckpointError:
    """Add to what does not fit which architecture does, or fits better than the one that was named."""
    from harness.classifiers.nearest import nearest_architecture

    nearest = nearest_architecture(_renamed(state), named.state_dict())
    return CheckpointError(f"{error}; {nearest}") if nearest else error


@contextmanager
def _seeded() -> Iterator[None]:
    """Draw the same numbers at each build, so that untrained weights are found again by their hash."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        yield


def identity(spec: Spec, loaded: "Callable[[Spec], Classifier] | None" = None) -> dict[str, str]:
    """Name what a classifier's records depend on: its source and name, weights, preprocessing and, for `python:`, code.

    Which output, prefix and classes are chosen has a part in it where a spec chooses them.

    Weights that lie in a file are hashed, the paper's are pinned; for all others the classifier has to be loaded.

    Args:
        spec: Which classifier.
        loaded: Gives the classifier where it has to be loaded; loads it anew by default.

    Raises:
        UsageError: The module of a `python:` spec is not there.
        CheckpointError: The weights file is not there.
        HarnessError: What `load` raises, where the classifier has to be loaded.
    """
    named = {
        "classifier": f"{spec.source}:{spec.name}",
        "preprocessing": ",".join(f"{key}={value}" for key, value in asdict(spec.preprocessing).items()),
    }
    named |= {key: value for key, value in (("output", spec.output), ("prefix", spec.prefix)) if value}
    if spec.mapping:
        named["wnids"] = f"sha256:{spec.mapping.sha256}"
    file = _weights_file(spec)
    if spec.source == "python" and not (file and program_kind(file)):
        named["code"] = _source_sha256(spec)
    if spec.source == "paper" and spec.weights is None:
        return {**named, "weights": f"sha256:{CATALOG[spec.name].sha256_prefix}"}
    if file:
        return {**named, "weights": f"sha256:{file_sha256(file)}"}
    classifier = (loaded or load)(spec)
    return {**named, "weights": f"sha256:{classifier.weights_sha256}"}


def cost(spec: Spec) -> float:
    """Tell roughly how dear a classifier is, to run the dearest first: its parameters in millions, 0 where unknown."""
    if spec.name in CATALOG:
        return CATALOG[spec.name].millions
    if spec.weights and Path(spec.weights).is_file():
        return Path(spec.weights).stat().st_size / 4e6
    return 0.0


def _weights_file(spec: Spec) -> Path | None:
    """Find the file that a spec names after @, and see that it is there before anything dear is built."""
    if spec.weights is None:
        return None
    if spec.source == "torchvision" and not Path(spec.weights).suffix and "/" not in spec.weights:
        return None  # the name of an entry
    return check_file(Path(spec.weights).expanduser())


def _published_file(spec: Spec) -> Path | None:
    """Fetch and check the file of published weights; None where the builder brings its weights along."""
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
        entry = CATALOG[spec.name]
        return _torchvision_model(entry.architecture, **entry.options)
    if spec.source == "torchvision":
        _check_torchvision_name(spec.name)
        options: dict[str, Any] = {}
        if spec.name in _REMAPS_INPUT:
            options = {"transform_input": _is_published(spec), "init_weights": False}
        return _torchvision_model(spec.name, num_classes=spec.preprocessing.classes, **options)
    builders = {"timm": _from_timm, "hf": _from_timm, "hub": _from_hub, "python": _from_python}
    model: Any = builders[spec.source](spec)
    from torch import nn

    if not isinstance(model, nn.Module):
        raise UsageError(f"{spec.text!r} gives a {type(model).__name__}, expected a torch.nn.Module")
    return model


def _torchvision_model(name: str, **options: Any) -> "nn.Module":
    return import_torchvision().models.get_model(name, weights=None, **options)  # type: ignore[no-any-return]


def _is_published(spec: Spec) -> bool:
    """Tell by hash whether weights are torchvision's own, so that a file means the same by name and by path."""
    file = _weights_file(spec)
    entries = import_torchvision().models.get_model_weights(spec.name).__members__.values()
    return file is None or any(file_sha256(file).startswith(_pinned(entry.url)) for entry in entries)


def _pinned(url: str) -> str:
    """Read how a published file's sha256 begins off its name."""
    return url.rpartition("-")[2].partition(".")[0]


def _renamed(state: State) -> State:
    """Give tensors of DenseNets and vision transformers the names that torchvision has for them now."""
    for old, new in _OLD_NAMES:
        state = {re.sub(old, new, name): tensor for name, tensor in state.items()}
    return state


def _check_torchvision_name(name: str) -> None:
    """Check that torchvision has a classifier of that name."""
    models = import_torchvision().models
    known = models.list_models(module=models)
    if name not in known:
        raise unknown("torchvision classifier", name, known)


def _torchvision_file(spec: Spec) -> Path:
    """Fetch the weights that torchvision publishes under a name, its V1 weights by default."""
    _check_torchvision_name(spec.name)
    entries = import_torchvision().models.get_model_weights(spec.name).__members__
    name = spec.weights or "IMAGENET1K_V1"
    if name not in entries:
        error = unknown(f"weights of {spec.name}", name, entries)
        raise UsageError(f"{error}; a file needs a suffix such as .safetensors or .pth, or a / before its name")
    url = entries[name].url
    return fetch(url, _pinned(url))


def _from_timm(spec: Spec) -> Any:
    try:
        import timm
    except ImportError:
        raise UsageError(f"{spec.text!r} needs timm; install it with pip install -e '.[timm]'") from None
    if spec.source == "timm":
        if not timm.is_model(spec.name):
            near = known_nearest_first(spec.name, timm.list_models())[:5]
            raise UsageError(f"unknown timm model {spec.name!r}; nearest: {', '.join(near)}")
        try:
            return timm.create_model(spec.name, pretrained=False, num_classes=spec.preprocessing.classes)
        except RuntimeError as error:  # a tag that the architecture does not have
            raise UsageError(f"{spec.text!r}: {error}") from error
    try:
        return timm.create_model(f"hf-hub:{spec.name}", pretrained=spec.weights is None)
    except Exception as error:  # the hub's client raises a family of errors of its own
        raise DataMissing(f"{spec.text}: can't be had from the Hugging Face hub ({in_one_line(error)})") from error


def _from_hub(spec: Spec) -> Any:
    from torch import hub

    repository, _, entry = spec.name.rpartition(":")
    quietly = {"trust_repo": True, "skip_validation": True, "verbose": False}
    try:
        entries = hub.list(repository, **quietly)
    except Exception as error:  # of the network, or whatever the repository's own code raises
        raise DataMissing(f"{spec.text}: {repository} can't be had from torch hub ({in_one_line(error)})") from error
    if entry not in entries:
        raise unknown(f"entry point of {repository}", entry, entries)
    try:
        return hub.load(repository, entry, **quietly)
    except OSError as error:
        raise DataMissing(f"{spec.text}: {entry}() can't get its weights ({in_one_line(error)})") from error
    except Exception as error:  # whatever the repository's own code raises
        raise CheckpointError(f"{spec.text}: {entry}() fails ({in_one_line(error)})") from error


def _from_python(spec: Spec) -> Any:
    module_name, _, name = spec.name.partition(":")
    _module_file(spec)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever the user's module raises
        raise UsageError(f"{spec.text!r}: importing {module_name} fails ({in_one_line(error)})") from error
    build = getattr(module, name, None)
    if not callable(build):
        known = [each for each, value in vars(module).items() if callable(value) and not each.startswith("_")]
        raise unknown(f"callable in {module_name}", name, known)
    try:
        return build()
    except Exception as error:  # whatever the user's callable raises
        raise CheckpointError(f"{spec.text}: {name}() fails ({in_one_line(error)})") from error


def _module_file(spec: Spec) -> Path | None:
    """Find the file of a `python:` spec's module without running the module itself."""
    module_name = spec.name.partition(":")[0]
    try:
        found = importlib.util.find_spec(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise UsageError(f"{spec.text!r}: importing {module_name} fails ({in_one_line(error)})") from error
        found = None
    except Exception as error:  # whatever the packages around the module raise
        raise UsageError(f"{spec.text!r}: importing {module_name} fails ({in_one_line(error)})") from error
    if found is None:
        raise UsageError(f"{spec.text!r}: there is no module {module_name}; put its folder on PYTHONPATH")
    return Path(found.origin) if found.origin and Path(found.origin).is_file() else None


def _source_sha256(spec: Spec) -> str:
    """Hash the module's source, so that edited code is not taken for measured code."""
    file = _module_file(spec)
    return hashlib.sha256(file.read_bytes()).hexdigest() if file else ""
