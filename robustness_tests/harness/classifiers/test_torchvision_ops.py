"""torchvision is imported whether or not its compiled extension loads, and what loads is left alone."""

import importlib.util
import subprocess
import sys

import pytest

from harness import torchvision_ops
from harness.torchvision_ops import import_torchvision


@pytest.fixture
def fresh(monkeypatch):
    """As in a process that has not imported torchvision."""
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    import_torchvision.cache_clear()
    yield
    import_torchvision.cache_clear()


@pytest.fixture
def libraries(monkeypatch):
    """The libraries that are asked for, none of which is made."""
    import torch

    made = []

    class Library:
        def __init__(self, *args):
            made.append([args])

        def define(self, schema):
            made[-1].append(schema.partition("(")[0])

    monkeypatch.setattr(torch.library, "Library", Library)
    return made


@pytest.fixture
def imported(monkeypatch):
    """Names that are imported, nothing of which is run."""
    names = []
    monkeypatch.setattr("importlib.import_module", lambda name: names.append(name) or name)
    return names


def test_a_model_runs_in_a_fresh_process(pytestconfig):
    code = """
import warnings
warnings.simplefilter("error")
from harness.torchvision_ops import import_torchvision
models = import_torchvision().models
import torch, torchvision
assert import_torchvision() is torchvision
logits = models.get_model("squeezenet1_1", weights=None, num_classes=7).eval()(torch.rand(2, 3, 64, 64))
assert logits.shape == (2, 7)
print("ran")
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=pytestconfig.rootpath, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "ran\n", done.stderr


@pytest.mark.parametrize("imported", ["from torchvision import models", "import_torchvision()"])
def test_others_import_it_in_a_fresh_process_and_nobody_has_to(pytestconfig, imported):
    code = f"""
import sys, warnings
warnings.simplefilter("error")
from harness.torchvision_ops import import_torchvision, let_others_import_torchvision
before = list(sys.meta_path)
let_others_import_torchvision()
let_others_import_torchvision()
assert "torchvision" not in sys.modules and len(sys.meta_path) == len(before) + 1
{imported}
assert sys.modules["torchvision"] is import_torchvision() and sys.meta_path == before
let_others_import_torchvision()
assert sys.meta_path == before
print("ran")
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=pytestconfig.rootpath, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "ran\n", done.stderr


def test_nothing_is_declared_where_the_extension_loads(fresh, libraries, imported, monkeypatch):
    monkeypatch.setattr(torchvision_ops, "_extension_loads", lambda: True)
    assert import_torchvision() == "torchvision"
    assert (libraries, imported) == ([], ["torchvision"])


def test_nothing_is_declared_where_torchvision_is_imported_already(fresh, libraries, imported, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", sys)
    monkeypatch.setattr(torchvision_ops, "_extension_loads", lambda: pytest.fail("looked for the extension"))
    import_torchvision()
    assert libraries == []


def test_two_operators_are_declared_where_the_extension_does_not_load_and_kept(fresh, libraries, imported, monkeypatch):
    monkeypatch.setattr(torchvision_ops, "_extension_loads", lambda: False)
    monkeypatch.setattr(torchvision_ops, "_declared", [])
    import_torchvision()
    assert libraries == [[("torchvision", "DEF"), "nms", "qnms"]]
    assert len(torchvision_ops._declared) == 1


def test_importing_twice_declares_once(fresh, libraries, imported, monkeypatch):
    monkeypatch.setattr(torchvision_ops, "_extension_loads", lambda: False)
    monkeypatch.setattr(torchvision_ops, "_declared", [])
    import_torchvision()
    import_torchvision()
    assert len(libraries) == 1


@pytest.mark.parametrize("name", ["_C.so", "_C.cpython-311-x86_64-linux-gnu.so", "_C.pyd"])
@pytest.mark.parametrize("loads", [True, False])
def test_the_extension_is_found_under_each_name(tmp_path, monkeypatch, name, loads):
    import torch

    (tmp_path / name).touch()
    asked = []

    def load_library(path):
        asked.append(path)
        if not loads:
            raise OSError("undefined symbol")

    found = importlib.util.spec_from_file_location("torchvision", tmp_path / "__init__.py")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: found)
    monkeypatch.setattr(torch.ops, "load_library", load_library)
    assert torchvision_ops._extension_loads() is loads
    assert asked == [str(tmp_path / name)]


def test_without_torchvision_the_error_says_how_to_get_it(fresh, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="torchvision is not installed; install the project with pip"):
        import_torchvision()
