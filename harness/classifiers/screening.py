"""Whether a torch.export archive can be loaded without running code that somebody hid in it.

`torch.export.load` unpickles what it finds, evaluates expressions, writes node names into source that it runs, and
loads compiled libraries. So an archive is read here first, as plain data, and refused unless each part of it is of the
kind that an exported classifier consists of.
"""

import ast
import io
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import ZipFile

from harness.errors import CheckpointError

# What the graph calls: operators of torch and torchvision, arithmetic of sizes; nothing that touches files.
_TARGET = re.compile(
    r"torch\.ops\.(aten|prims|quantized|quantized_decomposed|torchvision)(\.(?!from_file|_?save|load|__)\w+){1,2}"
    r"|torch\.ops\.higher_order\.(?!__)\w+|torch\.sym_\w+|torch\._sym_\w+|_operator\.(?!call|attr|item|method)\w+"
    r"|math\.(?!__)\w+"
)
# What is written into source, or names a tensor.
_NAME = re.compile(r"[\w.]*")
# Sizes such as Add(Mul(Integer(2), Symbol('s0', positive=True)), Integer(1)): what they may call and consist of.
_FUNCTION = re.compile(
    "Symbol|Integer|Float|Rational|Add|Mul|Pow|Max|Min|Abs|Eq|Ne|Lt|Le|Gt|Ge|Equality|Unequality|StrictLessThan|LessThan"
    "|StrictGreaterThan|GreaterThan|And|Or|Not|Piecewise|ExprCondPair|FloorDiv|ModularIndexing|Where|PythonMod|Mod"
    "|CleanDiv|CeilToInt|FloorToInt|CeilDiv|LShift|RShift|PowByNatural|FloatPow|FloatTrueDiv|IntTrueDiv"
    "|IsNonOverlappingAndDenseIndicator|TruncToFloat|TruncToInt|RoundToInt|RoundDecimal|ToFloat|Identity"
)
_ATOM = re.compile(r"[a-z]+\d+|int_oo|oo|true|false")
_SIMPLE = (
    *(ast.Expression, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.keyword, ast.Load),
    *(ast.operator, ast.unaryop, ast.boolop, ast.cmpop),
)
_CONTAINERS = (None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict")
_FREE_TEXT = ("metadata", "as_string", "as_strings", "torch_version")


def screen(path: Path) -> None:
    """Look through a torch.export archive without loading it.

    Args:
        path: The archive, a zip file.

    Raises:
        CheckpointError: It holds a pickle that is more than tensors, compiled code, or names and expressions that no
            exported classifier has; says which.
    """
    with ZipFile(path) as archive:
        names = archive.namelist()
        if len({name.lower() for name in names}) < len(names):  # torch's reader does not tell cases apart
            raise _refusal(path, "it holds two members of one name")
        unpickled = {PurePosixPath(name).name for name in _unpickled(path, archive)}
        for name in names:
            _screen_member(path, name, archive, unpickled)


def _unpickled(path: Path, archive: ZipFile) -> Iterator[str]:
    """Name the tensors that the archive's own listings say are to be unpickled."""
    for name in archive.namelist():
        if name.lower().endswith("_config.json"):
            for entry in _entries(path, name, archive.read(name)):
                if entry.get("use_pickle"):
                    yield str(entry.get("path_name"))


def _entries(path: Path, name: str, data: bytes) -> list[dict[str, Any]]:
    try:
        return [dict(entry) for entry in json.loads(data)["config"].values()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _refusal(path, f"{name} lists no tensors") from error


def _screen_member(path: Path, name: str, archive: ZipFile, unpickled: set[str]) -> None:
    inner = PurePosixPath(name.lower())
    if "aotinductor" in inner.parts or inner.suffix in (".so", ".dll", ".dylib", ".pyd"):
        raise _refusal(path, f"{name} is compiled code")
    if inner.name.startswith(("custom_obj", "opaque_obj")):
        raise _refusal(path, f"{name} is an object that is no tensor")
    if inner.suffix == ".json" or inner.parent.name == "models":
        _screen_json(path, name, archive.read(name))
    elif inner.suffix == ".pt" or PurePosixPath(name).name in unpickled:
        _screen_pickle(path, name, archive.read(name))


def _screen_pickle(path: Path, name: str, data: bytes) -> None:
    import torch

    if not data:
        return
    try:
        torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a pickle can end in nearly any exception
        raise _refusal(path, f"{name} is a pickle of more than tensors") from error


def _screen_json(path: Path, name: str, data: bytes) -> None:
    try:
        content = json.loads(data)
    except ValueError as error:
        raise _refusal(path, f"{name} is no JSON") from error
    for key, text in _strings(content):
        if not _is_harmless(key, text):
            raise _refusal(path, f"{name} has {text[:60]!r} as {key}")


def _strings(content: Any, key: str = "name") -> Iterator[tuple[str, str]]:
    """Walk through JSON: each text with the name of what it is, and each name in a mapping."""
    if isinstance(content, str):
        yield key, content
    elif isinstance(content, list):
        for each in content:
            yield from _strings(each, key)
    elif isinstance(content, dict):
        for name, value in content.items():
            if name not in _FREE_TEXT:
                yield "name", name
                yield from _strings(value, name)


def _is_harmless(key: str, text: str) -> bool:
    if key == "target":
        return _TARGET.fullmatch(text) is not None
    if key == "expr_str":
        return _is_size(text)
    if key in ("in_spec", "out_spec"):
        return text == "" or _is_plain(text)
    # Guards are dropped before anything is made of them, see programs.
    return key == "guards_code" or _NAME.fullmatch(text) is not None or _is_number(text)


def _is_size(text: str) -> bool:
    """Tell whether an expression is arithmetic of numbers and symbols, and calls nothing else."""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}

    def is_harmless(node: ast.AST) -> bool:
        if isinstance(node, ast.Name):
            return (_FUNCTION if id(node) in called else _ATOM).fullmatch(node.id) is not None
        if isinstance(node, ast.Constant):
            return not isinstance(node.value, str) or re.fullmatch(r"[-+\w.]*", node.value) is not None
        return isinstance(node, (ast.Call, *_SIMPLE))

    return all(map(is_harmless, ast.walk(tree)))


def _is_number(text: str) -> bool:
    try:
        return not math.isnan(float(text))
    except ValueError:
        return False


def _is_plain(text: str) -> bool:
    """Tell whether a tree of inputs or outputs consists of tuples, lists and mappings by plain names."""

    def is_plain(node: Any) -> bool:
        if node["type"] not in _CONTAINERS:
            return False
        return all(map(is_plain, node["children_spec"])) and (
            node["context"] is None or all(_NAME.fullmatch(str(key)) for key in json.loads(node["context"]) or ())
        )

    try:
        _, root = json.loads(text)
        return is_plain(root)
    except (ValueError, KeyError, TypeError):
        return False


def _refusal(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is a torch.export archive that may run code ({reason}); refused, nothing of it was run: export the "
        "classifier again, from images to one tensor of logits"
    )
