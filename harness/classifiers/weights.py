"""Weights files: fetched, hashed, read without running any code, and fitted to an architecture."""

import hashlib
import http.client
import logging
import pickle
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.classifiers.disk import file_sha256, get_again, unchanged
from harness.classifiers.kinds import is_archive
from harness.classifiers.names import State, behind, flattened, without_common_prefix
from harness.errors import CheckpointError, DataMissing, some

if TYPE_CHECKING:
    import torch
    from torch import nn

# Under what a checkpoint keeps its weights, and an average of them, which is taken where there is nothing else.
WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
AVERAGES = ("state_dict_ema", "model_ema", "ema_state_dict", "ema")
_PRECISIONS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "float64": "fp64"}
_QUANTISED = re.compile(r"_packed_params|\.(zero_point|weight_scale|qweight|qzeros|SCB|quant_state\.\w+)$")

log = logging.getLogger(__name__)


class Misfit(CheckpointError):
    """Weights of another architecture than the one that they are for."""


def state_sha256(state: Mapping[str, "torch.Tensor"]) -> str:
    """Hash tensors by name, dtype, shape and bytes, for weights that come from no file; 64 hex digits."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def fetch(url: str, sha256_prefix: str) -> Path:
    """Give the file of published weights from torch hub's folder, downloading it first where it is not there.

    Args:
        url: Where it is published.
        sha256_prefix: How the file's sha256 must begin.

    Raises:
        DataMissing: It can't be downloaded; says where to put it by hand.
        CheckpointError: Its hash is another one; nothing of it was read.
    """
    import torch

    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), hash_prefix=sha256_prefix, progress=False)
        except RuntimeError as error:  # how torch says that what it downloaded has another hash; it kept nothing
            raise CheckpointError(f"weights: {url} is not what was published ({error}); try again later") from error
        except (OSError, http.client.HTTPException) as error:
            raise DataMissing(f"weights: can't download {url} ({error}); put the file at {path}") from error
    found = file_sha256(path)
    if not found.startswith(sha256_prefix):
        raise CheckpointError(
            f"{path} has sha256 {found[:16]}..., expected {sha256_prefix}...; delete it and it is downloaded again"
        )
    return path


def read_state(path: Path, prefix: str | None = None) -> State:
    """Read the tensors of a checkpoint, from safetensors or from a pickle that holds nothing but tensors.

    What the file wraps them in is taken off: a `state_dict`, `model_state_dict`, `model`, `net` or EMA entry, and a
    `module.` before every name. Where a file has weights and an average of them, the weights are taken.

    Args:
        path: The file.
        prefix: How the names of the wanted tensors begin, those of entries around them included: `student`,
            `state_dict_ema`; None for what the file keeps its weights under.

    Raises:
        CheckpointError: There is no such file, it can't be read, is being written, is quantised, holds no tensors or
            none behind the prefix, or needs code to load (which is refused and not run).
    """
    return read_state_and_place(path, prefix)[0]


def read_state_and_place(path: Path, prefix: str | None = None) -> tuple[State, str]:
    """Read a state dict as `read_state` does, and say what stands before its names in the file.

    Returns:
        The tensors by name, and what was taken off the names, such as `state_dict.` or `model.module.`.
    """
    with unchanged(path):
        loaded = _read_safetensors(path) if _is_safetensors(path) else _read_pickle(path)
    if prefix:
        before = _uncompiled(prefix.rstrip(".") + ".")
        named = {_uncompiled(name): tensor for name, tensor in flattened(loaded).items()}
        state = behind(named, before, str(path))
    else:
        before, content = _unwrapped(path, loaded)
        state = {_uncompiled(name): tensor for name, tensor in _tensors(path, content, before).items()}
    refuse_quantised(state, str(path))
    while state and all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
        before += "module."
    return {name: _dense(name, tensor, str(path)) for name, tensor in state.items()}, before


def _uncompiled(name: str) -> str:
    """Take out of a name what torch.compile puts there."""
    return re.sub(r"(^|\.)(?:_orig_mod\.)+", r"\1", name)


def _dense(name: str, tensor: "torch.Tensor", where: str) -> "torch.Tensor":
    """Give a tensor with all its numbers, sparse or not.

    Raises:
        CheckpointError: It has none: it was saved before it was filled.
    """
    import torch

    if tensor.is_meta:
        raise CheckpointError(
            f"{where} holds no numbers of {name}, which was saved from the meta device; load the weights before saving"
        )
    return tensor if tensor.layout == torch.strided else tensor.to_dense()


def _unwrapped(path: Path, loaded: Any) -> tuple[str, Any]:
    """Take off what weights are wrapped in; tells of averages of them that lie beside.

    Returns:
        What stands before the names of what is left, such as `model.state_dict.`, and what is left.
    """
    before = ""
    beside = list(_averages_of_callbacks(loaded))
    while isinstance(loaded, Mapping):
        found = [name for name in (*WRAPPERS, *AVERAGES) if isinstance(loaded.get(name), Mapping)]
        if not found:
            break
        for average in found[1:]:
            if average in AVERAGES:
                log.warning(
                    "%s: %s is taken; ask for %s by ?prefix=%s", path, before + found[0], average, before + average
                )
        before, loaded = f"{before}{found[0]}.", loaded[found[0]]
    for average in beside:
        log.warning("%s: %s is taken; ask for %s by ?prefix=%s", path, before.rstrip("."), average, average)
    return before, loaded


def _averages_of_callbacks(loaded: Any) -> Iterator[str]:
    """Name the mappings of tensors that Lightning's callbacks keep in a checkpoint: averages of the weights."""

    def below(name: str, found: Any) -> Iterator[str]:
        if isinstance(found, Mapping):
            if sum(map(_is_tensor, found.values())) > 1:
                yield name
            for key, value in found.items():
                yield from below(f"{name}.{key}", value)

    if isinstance(loaded, Mapping) and any(isinstance(loaded.get(name), Mapping) for name in (*WRAPPERS, *AVERAGES)):
        yield from below("callbacks", loaded.get("callbacks"))


def _is_tensor(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


def load_state(module: "nn.Module", state: State, where: str, *, before: str = "", asked: int | None = None) -> None:
    """Put tensors into a module; half precision is widened to the module's own.

    Names may all lie behind a prefix, such as `backbone.`, and others beside them, which is told in the log.

    Args:
        module: The architecture.
        state: Tensors by name.
        where: What the message calls them, e.g. the file.
        before: What stands before all names in the file and is taken off already, such as `state_dict.`.
        asked: How many classes the spec says that the weights have; None where there is no spec.

    Raises:
        Misfit: Names are missing or too many, shapes differ, or whole numbers stand where weights belong; each kind
            is named with its first tensors.
        CheckpointError: Only the number of classes or the type of numbers differs, a tensor holds NaN or infinite
            numbers, or there are two copies of the weights.
    """
    own = module.state_dict()
    state = without_common_prefix(
        state, {name: own[name].shape for name in own if not _is_counter(name)}, where, before
    )
    missing = [name for name in own if name not in state and not _is_counter(name)]
    extra = [name for name in state if name not in own]
    misshapen = [name for name in own if name in state and state[name].shape != own[name].shape]
    whole = [
        name for name in own if name in state and own[name].is_floating_point() and not state[name].is_floating_point()
    ]
    if misshapen and not missing and not extra:
        _tell_classes({name: (own[name].shape, state[name].shape) for name in misshapen}, where, asked)
    if whole and not (missing or extra or misshapen):
        types = ", ".join(sorted({str(state[name].dtype).removeprefix("torch.") for name in whole}))
        raise CheckpointError(
            f"{where} has the names and shapes of the architecture, but {len(whole)} not in floating point "
            f"({some(whole)}: {types}); save them in floating point, dequantised where they were quantised"
        )
    shapes = [f"{name} is {_shape(state[name])} instead of {_shape(own[name])}" for name in misshapen]
    wrong = {"missing": missing, "unexpected": extra, "misshapen": shapes, "not in floating point": whole}
    if any(wrong.values()):
        details = "; ".join(f"{len(names)} {word} ({some(names)})" for word, names in wrong.items() if names)
        if (missing or extra) and not misshapen and not (missing and extra):
            remedy = "all others fit: save the whole state_dict" if missing else "all others fit: save it without them"
            details = f"{details}; {remedy}, or check the name before @"
        elif misshapen and not (missing or extra):
            details = f"{details}; its names fit, so it is of another width or size: check the name before @"
        else:
            details = f"{details}; check the name before @"
        raise Misfit(f"{where} does not fit the architecture: {details}")
    # What is infinite in the architecture itself, such as a mask, is so on purpose.
    require_finite_weights({name: it for name, it in state.items() if own[name].isfinite().all()}, where)
    # Its own state dict, filled, carries the versions that some architectures ask for; safetensors keep none.
    own.update(state)
    module.load_state_dict(own)


def _is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _tell_classes(shapes: "Mapping[str, tuple[torch.Size, torch.Size]]", where: str, asked: int | None) -> None:
    """Raise if two architectures differ in nothing but how many classes their last layer has."""
    firsts = {(own[0], found[0]) for own, found in shapes.values() if own and found and own[1:] == found[1:]}
    if len(firsts) != 1 or not all(own[1:] == found[1:] for own, found in shapes.values()):
        return
    ((classes, found),) = firsts
    if not {classes, found} & {1000, 1001, asked}:
        return
    asked = asked or classes
    if found == asked:
        hint = f"the spec asks for {asked}, so have the architecture built with {asked}"
    else:
        hint = (
            f"the spec asks for {asked}{f', so have it built with {asked}' * (classes != asked)}; {class_hint(found)}"
        )
    raise CheckpointError(f"{where} has {found} classes ({some(list(shapes))}), the architecture {classes}; {hint}")


def class_hint(classes: int) -> str:
    """Say what is to be typed for weights with so many classes."""
    if classes == 1000:
        return "for 1000, leave out ?classes= and ?wnids="
    if classes == 1001:
        return "if class 0 is background, say ?classes=1001, else which are ImageNet's by ?wnids=FILE of 1001 lines"
    if classes > 1001:
        return f"say which are ImageNet's by ?wnids=FILE, with one wnid a line, {classes} lines"
    return f"{classes} classes are fewer than ImageNet's 1000, all of which are asked for: it takes other weights"


def require_finite_weights(state: "Mapping[str, torch.Tensor]", where: str) -> None:
    """Require finite numbers of weights.

    Raises:
        CheckpointError: One is NaN or infinite; says how many, and in which tensors.
    """
    # Of eight bits torch can't tell all types; all of them fit into single precision.
    counts = {
        name: int((~(tensor.float() if tensor.itemsize == 1 else tensor).isfinite()).sum())
        for name, tensor in state.items()
        if tensor.is_floating_point()
    }
    broken = [name for name, count in counts.items() if count]
    if broken:
        raise CheckpointError(
            f"{where} holds {sum(counts.values()):,} NaN or infinite numbers, in {some(broken)}; get it again"
        )


def precision_of(dtypes: "Iterable[torch.dtype]") -> str:
    """Say in what precision weights lie: `fp32`, `fp16`, `bf16` or `fp64`; `mixed` for others and for several.

    Whole numbers, such as counters of batch norms, have no part in it; `fp32` where there is nothing else.
    """
    found = {str(dtype).removeprefix("torch.") for dtype in dtypes if dtype.is_floating_point}
    return "mixed" if len(found) > 1 else _PRECISIONS.get(next(iter(found), "float32"), "mixed")


def refuse_quantised(state: "Mapping[str, object]", where: str) -> None:
    """Require that weights are not whole numbers with scales.

    Raises:
        CheckpointError: Names or types are those of such.
    """
    names = [name for name, value in state.items() if _QUANTISED.search(name) or getattr(value, "is_quantized", False)]
    if names:
        raise CheckpointError(
            f"{where} holds quantised weights ({some(names)}), which no plain architecture has; export the classifier "
            "as a TorchScript program instead, or dequantise it"
        )


def begins_like_weights(path: Path) -> bool:
    """Tell safetensors, and what torch.save writes, from files of other kinds."""
    return _is_safetensors(path) or _begins_like_a_checkpoint(path)


def _is_safetensors(path: Path) -> bool:
    """Tell safetensors, a length and a JSON object, from pickles: by what is in a file, else by its name."""
    with path.open("rb") as file:
        start = file.read(9)
    if start[8:] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size:
        return True
    return path.suffix.lower() == ".safetensors" and not _begins_like_a_checkpoint(path)


def _read_safetensors(path: Path) -> Any:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:  # of safetensors, of the disk, or of a type of number that torch does not have
        raise CheckpointError(f"{path} is no whole safetensors file ({_one_line(error)}); {get_again(path)}") from error


def _read_pickle(path: Path) -> Any:
    import torch

    try:
        with warnings.catch_warnings():
            # Whatever protocol it was written with, it is read or refused.
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
            warnings.filterwarnings("ignore", "TypedStorage is deprecated", UserWarning)  # of quantised tensors
            # Opened beforehand, since by a path torch goes by its suffix.
            with path.open("rb") as file:
                return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can end in nearly any exception
        raise CheckpointError(f"{path} {_unreadable(path, error)}") from error


def _unreadable(path: Path, error: Exception) -> str:
    """Say why torch can't read a pickle as tensors alone, and what to do."""
    reason = _one_line(error)
    refused = (
        "refused, nothing of it was run: save its state_dict alone, best as safetensors, and name its architecture "
        "before @, or export it whole by torch.export.save(torch.export.export(model.eval(), (images,)), 'FILE.pt2') "
        "and name it program:LABEL@FILE.pt2"
    )
    if "TorchScript" in reason:
        return f"is a TorchScript archive, which holds code; {refused}"
    if code := re.search(r"GLOBAL (\S+)", reason):
        return f"needs code to load ({code[1]}); {refused}"
    if not _begins_like_a_checkpoint(path):
        return "is not a checkpoint; expected safetensors or a torch.save of tensors"
    if isinstance(error, pickle.UnpicklingError):
        reason = reason.rpartition("WeightsUnpickler error: ")[2].partition(" Check the documentation")[0]
        return f"is no pickle of tensors alone ({reason}); {refused}"
    if _begins_with(path, b"PK") and not is_archive(path):
        reason = "the end of its archive is missing"
    return f"is no whole checkpoint or program, cut short or damaged ({reason}); {get_again(path)}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _begins_like_a_checkpoint(path: Path) -> bool:
    """Tell a zip archive or a pickle of torch.save from anything else, such as a web page."""
    return _begins_with(path, b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def _begins_with(path: Path, *starts: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(2) in starts


def _tensors(path: Path, loaded: Any, before: str) -> State:
    import torch

    if isinstance(loaded, Mapping):
        refuse_quantised({str(name): value for name, value in loaded.items()}, str(path))
    if not isinstance(loaded, Mapping) or not loaded:
        raise CheckpointError(f"{path} holds a {type(loaded).__name__} and no tensors by name; save a state_dict")
    odd = [
        str(name) for name, value in loaded.items() if not (isinstance(name, str) and isinstance(value, torch.Tensor))
    ]
    plain = [name for name in odd if isinstance(loaded.get(name), bool | int | float | str | None)]
    if plain == odd and len(odd) < len(loaded):
        if odd:
            log.warning("%s: what is no tensor is left aside (%s)", path, some(odd))
        return {name: value for name, value in loaded.items() if name not in odd}
    entries = [str(name) for name, value in loaded.items() if isinstance(value, Mapping) and flattened(value)]
    hint = f", or name the entry that holds it, such as ?prefix={before}{entries[0]}" if entries else ""
    raise CheckpointError(
        f"{path} holds more than tensors ({some(odd)}); save the state_dict alone, or under one of "
        f"{', '.join((*WRAPPERS, *AVERAGES))}{hint}"
    )


def _shape(tensor: "torch.Tensor") -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"
