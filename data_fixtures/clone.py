"""A copy of the project in which commands run as they are typed.

Each runs in a process of its own, forked from one that has torch and all else that takes seconds to import: a command
takes a second where it would take six.
"""

import contextlib
import gc
import json
import os
import runpy
import shutil
import subprocess
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from data_fixtures.environment import environment

_COPIED = (
    *("conftest.py", "pyproject.toml", "mkdocs.yml", "README.md", "CONTRIBUTING.md", ".pre-commit-config.yaml", ".ci"),
    *("benchmarks", "data_fixtures", "docs", "harness", "robustness_tests", "snapshots"),
)

# The harness is imported before pytest can rewrite what it asserts, which is nothing.
_ADDOPTS = "-p no:cacheprovider -W ignore::pytest.PytestAssertRewriteWarning"


@dataclass(frozen=True)
class Ran:
    """What a command left behind: its exit code, and all that it printed."""

    code: int
    out: str


class Clone:
    """The copy, and the process that commands are forked from.

    Args:
        root: A folder to be made.
        source: The project's own.
    """

    def __init__(self, root: Path, source: Path) -> None:
        self.root = root
        for name in _COPIED:
            copy = shutil.copytree if (source / name).is_dir() else shutil.copy2
            root.mkdir(parents=True, exist_ok=True)
            copy(source / name, root / name)
        self._server = subprocess.Popen(
            [sys.executable, "-m", "data_fixtures.clone"],
            cwd=root,
            env=environment(PYTHONPATH=str(root), COLUMNS="120", PYTEST_ADDOPTS=_ADDOPTS),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, module: str, *arguments: str) -> Ran:
        """Run `python -m MODULE ARGUMENTS` in the copy's folder.

        Args:
            module: `pytest`, `harness` or any other.
            arguments: As the shell hands them over.
        """
        out = self.root / "out.txt"
        order = {"module": module, "arguments": arguments, "out": str(out)}
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        print(json.dumps(order), file=self._server.stdin, flush=True)
        answer = self._server.stdout.readline()
        assert answer, "the process that commands are forked from has ended; see its error output"
        return Ran(int(answer), out.read_text(encoding="utf-8"))

    def close(self) -> None:
        """End the process that commands are forked from."""
        self._server.communicate(timeout=60)


def serve() -> None:
    """Run every command that is asked for on standard input, one after another, and answer with its exit code."""
    _import_what_takes_long()
    gc.freeze()  # what is imported is looked through by no child
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _import_what_takes_long() -> None:
    import pyarrow.parquet
    import scipy.stats
    import torch

    import harness.cli
    from harness.torchvision_ops import import_torchvision

    assert all((pyarrow.parquet, scipy.stats, torch, harness.cli, import_torchvision()))


def _become(order: Mapping[str, Any]) -> NoReturn:
    """Run a command in this process, and end it."""
    out = os.open(order["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for place, descriptor in enumerate((nothing, out, out)):
        os.dup2(descriptor, place)
    code: Any = 0
    try:
        sys.argv = [order["module"], *order["arguments"]]
        runpy.run_module(order["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    serve()
