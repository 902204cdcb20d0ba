"""A second process that measures what a shipped study will ask for, from the other end: a run uses two cores.

The two share the store: what one is measuring, the other passes over (`harness.studies.laboratory.Laboratory`).
"""

import logging
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import progress
from harness.engines.settings import Settings, default_workers
from harness.suite.shipped import Plan, Shipped

# What is in the folder that two processes share.
PLAN, SAID = "plan.pickle", "warnings.txt"


class Ahead:
    """The second process.

    Args:
        process: It.
        folder: Where the plan that it reads lies, and what it warns of; a folder of its own.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", folder: Path) -> None:
        self._process = process
        self._folder = folder

    def notices(self) -> list[str]:
        """Give what it has warned of so far, such as records that were altered and are measured again."""
        said = self._folder / SAID
        return said.read_text(encoding="utf-8").splitlines() if said.exists() else []

    def close(self) -> None:
        """End it, for its work is of no more use."""
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def start(shipped: Shipped, records: Path, settings: Settings, plan: Plan) -> Ahead | None:
    """Start measuring ahead, where there is a second core for it; this process computes in one thread from now on.

    Returns:
        The process, to be closed at the end; None where there is one core.
    """
    if default_workers() < 2:
        return None
    os.environ["OMP_NUM_THREADS"] = "1"
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp(prefix="robustness-"))
    (folder / PLAN).write_bytes(pickle.dumps((shipped.factory, records.absolute(), settings, plan)))
    shown = progress.beside("ahead")
    process = subprocess.Popen(
        [sys.executable, "-m", "harness.suite.ahead", str(folder), *([str(shown)] if shown else [])],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    return Ahead(process, folder)


def main(arguments: list[str]) -> None:
    """Measure a pickled plan, last classifier first, until all is measured or this process's parent has gone.

    Args:
        arguments: The folder of the plan, into which warnings are written too; the file in which to show how far it is,
            where somebody watches.
    """
    folder, *shown = map(Path, arguments)
    before = progress.show_in(shown[0] if shown else None)
    handler, logger = logging.FileHandler(folder / SAID, encoding="utf-8"), logging.getLogger("harness")
    handler.setLevel(logging.WARNING)
    logger.addHandler(handler)
    try:
        factory, records, settings, plan = pickle.loads((folder / PLAN).read_bytes())
        parent = os.getppid()
        laboratory = factory().laboratory(records, settings, plan)
        for _ in laboratory.measure_backwards():
            if os.getppid() != parent:
                return
    finally:
        logger.removeHandler(handler)
        handler.close()
        progress.show_in(before)


if __name__ == "__main__":
    main(sys.argv[1:])
