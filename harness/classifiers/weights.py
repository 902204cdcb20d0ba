"""Weights files: fetched, hashed, read without running any code, and fitted to an architecture."""

import functools
import hashlib
import http.client
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import CheckpointError, DataMissing

if TYPE_CHECKING:
    import torch
    from torch import nn

State = dict[str, "torch.Tensor"]

WRAPPERS = ("state_dict", "model_state_dict", "model", "state_dict_ema", "model_ema")
_SHOWN = 3


def check_file(path: Path) -> Path:
    """Give the path back if it is a file that holds something.

    Raises:
        CheckpointError: It is not there, is a folder, or is empty.
    """
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; expected a weights file (.safetensors, .pt or .pth)")
    if not path.is_file():
        raise CheckpointError(f"no weights file {path}; check the path after @")
    if path.stat().st_size == 0:
        raise CheckpointError(f"{path} is empty; get it again")
    return path


def file_sha256(path: Path) -> str:
    """Hash a file's bytes; the same file is hashed once a process.

    Returns:
        64 hex digits.

    Raises:
        CheckpointError: There is no such file, or it can't be read.
    """
    stat = check_file(path).stat()
    try:
        return _file_sha256(path.absolute(), stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise CheckpointError(f"{path} can't be read ({error.strerror}); check its permissions") from error


@functools.cache
def _file_sha256(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def read_state(path: Path) -> State:
    """Read the tensors of a checkpoint, from safetensors or from a pickle that holds nothing but tensors.

    What the file wraps them in is taken off: a `state_dict`, `model_state_dict`, `model` or EMA entry, and a `module.`
    before every name.

    Raises:
        CheckpointError: There is no such file, it can't be read, holds no tensors, or needs code to load (which is
            refused and not run).
    """
    check_file(path)
    loaded = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    for wrapper in WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(wrapper), Mapping):
            loaded = loaded[wrapper]
            break
    state = _tensors(path, loaded)
    while state and all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    return state


def load_state(module: "nn.Module", state: State, where: str) -> None:
    """Put tensors into a module; half precision is widened to the module's own.

    Args:
        module: The architecture.
        state: Tensors by name.
        where: What the message calls them, e.g. the file.

    Raises:
        CheckpointError: Names are missing or too many, shapes differ, whole numbers stand where weights belong, or
            a tensor holds NaN or infinite numbers; each kind is named with its first tensors.
    """
    own = module.state_dict()
    missing = [name for name in own if name not in state and not name.endswith("num_batches_tracked")]
    extra = [name for name in state if name not in own]
    misshapen = [
        f"{name} is {_shape(state[name])} instead of {_shape(own[name])}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    whole = [
        name for name in own if name in state and own[name].is_floating_point() and not state[name].is_floating_point()
    ]
    wrong = {"missing": missing, "unexpected": extra, "misshapen": misshapen, "not in floating point": whole}
    if any(wrong.values()):
        details = "; ".join(f"{len(names)} {word} ({_some(names)})" for word, names in wrong.items() if names)
        raise CheckpointError(f"{where} does not fit the architecture: {details}; check the name before @")
    broken = [name for name, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise CheckpointError(f"{where} holds NaN or infinite weights in {_some(broken)}; get it again")
    # Its own state dict, filled, carries the versions that some architectures ask for; safetensors keep none.
    own.update(state)
    module.load_state_dict(own)


def _read_safetensors(path: Path) -> Any:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:  # of safetensors, of the disk, or of a type of number that torch does not have
        raise CheckpointError(f"{path} is no whole safetensors file ({_one_line(error)}); get it again") from error


def _read_pickle(path: Path) -> Any:
    import torch

    try:
        with warnings.catch_warnings():
            # Whatever protocol it was written with, it is read or refused.
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can end in nearly any exception
        raise CheckpointError(f"{path} {_unreadable(path, error)}") from error


def _unreadable(path: Path, error: Exception) -> str:
    """Say why torch can't read a pickle as tensors alone, and what to do."""
    reason = _one_line(error)
    refused = "refused, nothing of it was run: save its state_dict alone, best as safetensors"
    if "TorchScript" in reason:
        return f"is a TorchScript archive, which holds code; {refused}"
    if code := re.search(r"GLOBAL (\S+)", reason):
        return f"needs code to load ({code[1]}); {refused}"
    if not _begins_like_a_checkpoint(path):
        return "is not a checkpoint; expected safetensors or a torch.save of tensors"
    if isinstance(error, pickle.UnpicklingError):
        reason = reason.rpartition("WeightsUnpickler error: ")[2].partition(" Check the documentation")[0]
        return f"is no pickle of tensors alone ({reason}); {refused}"
    return f"is no whole checkpoint ({reason}); get it again"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _begins_like_a_checkpoint(path: Path) -> bool:
    """Tell a zip archive or a pickle of torch.save from anything else, such as a web page."""
    with path.open("rb") as file:
        return file.read(2) in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def _tensors(path: Path, loaded: Any) -> State:
    import torch

    if not isinstance(loaded, Mapping) or not loaded:
        raise CheckpointError(f"{path} holds a {type(loaded).__name__} and no tensors by name; save a state_dict")
    odd = [
        str(name) for name, value in loaded.items() if not (isinstance(name, str) and isinstance(value, torch.Tensor))
    ]
    if odd:
        raise CheckpointError(
            f"{path} holds more than tensors ({_some(odd)}); save the state_dict alone, or under one of "
            f"{', '.join(WRAPPERS)}"
        )
    return dict(loaded)


def _shape(tensor: "torch.Tensor") -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
