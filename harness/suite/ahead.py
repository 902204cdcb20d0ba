"""A second process that measures what a shipped study will ask for, from the other end: a run uses two cores.

The two share the store: what one is measuring, the other passes over (`harness.studies.live.Laboratory`).
"""

import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

from harness.engines.settings import Settings, default_workers
from harness.suite.shipped import Plan, Shipped


def start(shipped: Shipped, records: Path, settings: Settings, plan: Plan) -> "subprocess.Popen[bytes] | None":
    """Start measuring ahead, where there is a second core for it; this process computes in one thread from now on.

    Returns:
        The process, to be terminated when its work is of no more use; None where there is one core.
    """
    if default_workers() < 2:
        return None
    os.environ["OMP_NUM_THREADS"] = "1"
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)
    with tempfile.NamedTemporaryFile(delete=False) as file:
        pickle.dump((shipped.factory, records.absolute(), settings, plan), file)
    return subprocess.Popen(
        [sys.executable, "-m", "harness.suite.ahead", file.name],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def main(arguments: list[str]) -> None:
    """Measure a pickled plan, last classifier first, until all is measured or this process's parent has gone."""
    with open(arguments[0], "rb") as file:
        factory, records, settings, plan = pickle.load(file)
    os.unlink(arguments[0])
    parent = os.getppid()
    laboratory = factory().laboratory(records, settings, plan)
    for _ in laboratory.measure_backwards():
        if os.getppid() != parent:
            return


if __name__ == "__main__":
    main(sys.argv[1:])
