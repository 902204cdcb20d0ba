"""Whole programs in a file: TorchScript, torch.export and ONNX, which bring architecture and weights along."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree

from harness.classifiers.disk import get_again
from harness.classifiers.kinds import EXPORTED, ONNX, TORCHSCRIPT, program_kind
from harness.classifiers.screening import screen
from harness.classifiers.weights import precision_of, require_finite_weights
from harness.errors import CheckpointError, ClassifierError, HarnessError, UsageError, in_one_line

# The least and the most that a size may be; None for no bound.
Bounds = tuple[int, int | None]
_ANY: Bounds = (1, None)


class Program(nn.Module):
    """A program, which stays as it was written: its precision, its device, its mode.

    A batch that is smaller or larger than the program takes is filled up with its last image, or run in parts.

    Args:
        kind: What it is.
        dtype: Of the images that it takes.
        precision: Of its weights, see `harness.classifiers.weights.precision_of`.
        shape: Within which bounds each of the four sizes of its images lies, where it says so.
    """

    def __init__(self, kind: str, dtype: torch.dtype, precision: str, shape: Sequence[Bounds] = (_ANY,) * 4) -> None:
        super().__init__()
        self.kind = kind
        self.weights_precision = precision
        self._dtype = dtype
        self._shape = shape

    def train(self, mode: bool = True) -> "Program":
        """Leave its mode as it was exported."""
        return self

    def _apply(self, fn: Any, recurse: bool = True) -> "Program":
        """Leave its numbers as they were loaded."""
        return self

    def run(self, images: torch.Tensor) -> Any:
        """Give what the program gives for a batch of a size that it takes."""
        raise NotImplementedError

    def forward(self, images: torch.Tensor) -> Any:
        """Run the program on normalised images, shape (n, 3, h, w); floating point that it gives comes in single.

        Raises:
            ClassifierError: It takes images of another size.
        """
        for name, size, (least, most) in zip("chw", images.shape[1:], self._shape[1:], strict=True):
            if size < least or (most is not None and size > most):
                hint = f"; add ?resize={least}&crop={least}" if name != "c" else ""
                wanted = least if least == most else f"{least} to {most or 'any'}"
                raise ClassifierError(
                    f"the {self.kind} takes images of {name} {wanted}, got shape {tuple(images.shape)}{hint}"
                )
        least, most = self._shape[0]
        parts = images.to(self._dtype).split(most or len(images))
        answers = [self.run(_filled(part, least)) for part in parts]
        if len(answers) == 1 and len(images) >= least:
            return _pytree.tree_map_only(torch.Tensor, _single, answers[0])
        sizes = [max(len(part), least) for part in parts]

        def joined(*found: Any) -> Any:
            if not isinstance(found[0], torch.Tensor) or found[0].shape[:1] != (sizes[0],):
                return found[0]
            return torch.cat([_single(each) for each in found])[: len(images)]

        return _pytree.tree_map(joined, *answers)


class TorchProgram(Program):
    """A program that torch runs, on images that may need a gradient.

    Args:
        module: It.
        kind: `TORCHSCRIPT` or `EXPORTED`.
        dtype: Of the images that it takes.
        shape: As in `Program`.
    """

    def __init__(self, module: nn.Module, kind: str, dtype: torch.dtype, shape: Sequence[Bounds] = (_ANY,) * 4) -> None:
        super().__init__(kind, dtype, precision_of(each.dtype for each in module.state_dict().values()), shape)
        self.program = module

    def run(self, images: torch.Tensor) -> Any:
        """Give what the program gives for a batch of a size that it takes."""
        return self.program(images)


class OnnxProgram(Program):
    """A program that ONNX Runtime runs: it gives answers and no gradients.

    Args:
        path: The file.
        model: What `onnx` reads from it.
        device: Where to run it; on a GPU if this ONNX Runtime can.
    """

    def __init__(self, path: Path, model: Any, device: str) -> None:
        import onnx
        import onnxruntime

        images = _onnx_images(path, model)
        dtype = _onnx_dtype(images.type.tensor_type.elem_type)
        if not dtype.is_floating_point:
            raise CheckpointError(f"{path} takes images of {dtype}, expected floating point; export it again")
        kept = [_onnx_dtype(each.data_type) for each in model.graph.initializer]
        super().__init__(ONNX, dtype, precision_of(kept), _onnx_shape(images))
        self._dtypes = [_onnx_dtype(each.type.tensor_type.elem_type) for each in model.graph.output]
        self._input = images.name
        self._type = onnx.helper.tensor_dtype_to_np_dtype(images.type.tensor_type.elem_type)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = torch.get_num_threads()
        settings.log_severity_level = 3
        providers: list[Any] = ["CPUExecutionProvider"]
        place = torch.device(device)
        if place.type == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": place.index or 0}))
        self._session = onnxruntime.InferenceSession(str(path), settings, providers=providers)

    def run(self, images: torch.Tensor) -> Any:
        """Give its outputs for a batch of a size that it takes: the only one, or all by name."""
        given = {self._input: images.detach().cpu().contiguous().numpy()}
        found = self._session.run(None, given)
        outputs = {
            output.name: torch.from_numpy(answer).to(images.device)
            for output, answer in zip(self._session.get_outputs(), found, strict=True)
        }
        return outputs if len(outputs) > 1 else next(iter(outputs.values()))


def read_program(path: Path, device: str) -> Program:
    """Load a program, running no Python that the file brings along.

    Args:
        path: A file of which `harness.classifiers.kinds.program_kind` tells what it is.
        device: `cpu`, `cuda`, `cuda:1` ...

    Raises:
        CheckpointError: It is not whole, may run code, holds NaN or infinite weights, or does not take images.
        UsageError: It is an ONNX model, and ONNX Runtime is not installed.
    """
    kind = program_kind(path) or "program"
    readers = {TORCHSCRIPT: _torchscript, EXPORTED: _exported, ONNX: _onnx}
    try:
        return readers[kind](path, device)
    except HarnessError:
        raise
    except Exception as error:  # of the reader's own, whatever is wrong with the file
        raise CheckpointError(
            f"{path} is no whole {kind}, or one of another version ({in_one_line(error)}); export it again, or "
            f"{get_again(path)}"
        ) from error


def _torchscript(path: Path, device: str) -> Program:
    with warnings.catch_warnings():
        # What torch recommends in its place, we read too.
        warnings.simplefilter("ignore", DeprecationWarning)
        # Its pickles are read by torch's C++, which knows tensors and TorchScript's own classes alone.
        module = torch.jit.load(str(path), map_location=device)
    if getattr(module, "training", False):
        module.eval()
    for parameter in module.parameters():  # a ScriptModule has no requires_grad_ of its own
        parameter.requires_grad_(False)
    require_finite_weights(module.state_dict(), str(path))
    dtypes = [each.dtype for each in module.state_dict().values() if each.is_floating_point()]
    return TorchProgram(module, TORCHSCRIPT, dtypes[0] if dtypes else torch.float32)


def _exported(path: Path, device: str) -> Program:
    screen(path)
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program: Any = torch.export.load(file)
    # Guards are Python source, which is not run; what they say of shapes is checked by `Program`.
    program._guards_code = []
    if torch.device(device).type != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, device)
    if any(map(_is_training, program.graph.nodes)):
        raise CheckpointError(f"{path} was exported in training mode; call .eval() before torch.export.export")
    nodes = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    inputs = [nodes[name] for name in program.graph_signature.user_inputs]
    if len(inputs) != 1 or not isinstance(inputs[0], torch.Tensor) or inputs[0].ndim != 4:
        raise CheckpointError(f"{path} takes {len(inputs)} inputs, expected one of images, shape (n, 3, h, w)")
    shape = [_bounds(size, program.range_constraints) for size in inputs[0].shape]
    require_finite_weights(program.state_dict, str(path))
    try:
        module = program.module(check_guards=False)
    except TypeError:  # of torch before it made guards
        module = program.module()
    return TorchProgram(module.requires_grad_(False), EXPORTED, inputs[0].dtype, shape)


def _onnx(path: Path, device: str) -> Program:
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError:
        raise UsageError(f"{path} is an {ONNX}; install what runs it with pip install -e '.[onnx]'") from None
    model = onnx.load(str(path), load_external_data=False)
    if not model.graph.node:
        raise CheckpointError(f"{path} is no {ONNX}: it has no graph; get it again")
    tensors = [*model.graph.initializer, *(each.t for node in model.graph.node for each in node.attribute)]
    if any(each.data_location == onnx.TensorProto.EXTERNAL for each in tensors):
        raise CheckpointError(
            f"{path} keeps its weights in another file, which its hash does not cover; save it as one file "
            "(torch.onnx.export with external_data=False)"
        )
    state = {each.name: onnx.numpy_helper.to_array(each) for each in tensors if _onnx_dtype(each.data_type) in _FLOATS}
    require_finite_weights({name: torch.from_numpy(array.copy()) for name, array in state.items()}, str(path))
    return OnnxProgram(path, model, device)


_FLOATS = (torch.float16, torch.float32, torch.float64)


def _onnx_dtype(number: int) -> torch.dtype:
    """Translate ONNX's number of a type."""
    from onnx import TensorProto

    name = TensorProto.DataType.Name(number).lower()
    found = getattr(torch, {"float": "float32", "double": "float64"}.get(name, name), torch.uint8)
    return found if isinstance(found, torch.dtype) else torch.uint8


def _onnx_images(path: Path, model: Any) -> Any:
    """Find the only input that is no weight."""
    weights = {each.name for each in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in weights]
    if len(inputs) != 1 or len(inputs[0].type.tensor_type.shape.dim) != 4:
        names = ", ".join(each.name for each in inputs)
        raise CheckpointError(f"{path} takes {len(inputs)} inputs ({names}), expected one of images, (n, 3, h, w)")
    return inputs[0]


def _onnx_shape(images: Any) -> list[Bounds]:
    sizes = [each.dim_value for each in images.type.tensor_type.shape.dim]
    return [(size, size) if size > 0 else _ANY for size in sizes]


def _is_training(node: torch.fx.Node) -> bool:
    """Tell whether an operator behaves as in training: dropout that drops, batch norm by the batch."""
    schema = getattr(node.target, "_schema", None)
    arguments = [] if schema is None else [argument.name for argument in schema.arguments]
    given = {**dict(zip(arguments, node.args, strict=False)), **node.kwargs}
    return given.get("train") is True or given.get("training") is True


def _bounds(size: Any, ranges: Any) -> Bounds:
    """Read within which bounds an exported size lies."""
    if isinstance(size, int):
        return size, size
    found = ranges.get(size.node.expr)
    if found is None:
        return _ANY
    return max(1, int(found.lower)), int(found.upper) if found.upper.is_Integer else None


def _filled(images: torch.Tensor, least: int) -> torch.Tensor:
    """Repeat the last image of a batch until there are as many as a program takes at least."""
    if len(images) >= least:
        return images
    return torch.cat([images, images[-1:].expand(least - len(images), -1, -1, -1)])


def _single(found: torch.Tensor) -> torch.Tensor:
    return found.float() if found.is_floating_point() else found
