"""A second process that measures what a shipped study will ask for, from the other end: a run uses two cores.

The two share the store: what one is measuring, the other passes over (`harness.studies.live.Laboratory`).
"""

import logging
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

from harness.engines.settings import Settings, default_workers
from harness.suite.shipped import Plan, Shipped


class Ahead:
    """The second process.

    Args:
        process: It.
        said: The file that it writes into what it warns of.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", said: Path) -> None:
        self._process = process
        self._said = said

    def notices(self) -> list[str]:
        """Give what it has warned of so far, such as records that were altered and are measured again."""
        return self._said.read_text(encoding="utf-8").splitlines()

    def close(self) -> None:
        """End it, for its work is of no more use."""
        self._process.terminate()
        self._process.wait()
        self._said.unlink(missing_ok=True)


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
    with tempfile.NamedTemporaryFile(delete=False) as file:
        pickle.dump((shipped.factory, records.absolute(), settings, plan), file)
    with tempfile.NamedTemporaryFile(delete=False) as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "harness.suite.ahead", file.name, said.name],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
    return Ahead(process, Path(said.name))


def main(arguments: list[str]) -> None:
    """Measure a pickled plan, last classifier first, until all is measured or this process's parent has gone.

    Args:
        arguments: The file of the plan, and the file into which warnings are written.
    """
    handler, logger = logging.FileHandler(arguments[1], encoding="utf-8"), logging.getLogger("harness")
    handler.setLevel(logging.WARNING)
    logger.addHandler(handler)
    try:
        with open(arguments[0], "rb") as file:
            factory, records, settings, plan = pickle.load(file)
        os.unlink(arguments[0])
        parent = os.getppid()
        laboratory = factory().laboratory(records, settings, plan)
        for _ in laboratory.measure_backwards():
            if os.getppid() != parent:
                return
    finally:
        logger.removeHandler(handler)
        handler.close()


if __name__ == "__main__":
    main(sys.argv[1:])
