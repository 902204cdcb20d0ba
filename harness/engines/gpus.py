"""Which GPU a process computes on: each of several processes gets one of its own, as long as there are enough.

A GPU is leased by a lock on a file, which the kernel lets go of however the process ends. Its number among those that
the process sees says nothing in another process, so the lock is named by what CUDA_VISIBLE_DEVICES calls it.
"""

import logging
import os
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path

from harness.records.locks import held, shared_folder

log = logging.getLogger(__name__)

# Where NVIDIA's driver describes each GPU of this machine, or of this container.
_DRIVER = Path("/proc/driver/nvidia/gpus")

# The lease of this process, which ends with it.
_lease = ExitStack()


def count_gpus() -> int:
    """Count the GPUs that this process sees, without starting CUDA in it."""
    import torch

    return torch.cuda.device_count()


def gpu_models() -> list[str]:
    """Name the models of the GPUs that this process sees, by what the driver says: torch takes seconds to import."""
    found = []
    for path in sorted(_DRIVER.glob("*/information")):
        with suppress(OSError):
            said = dict(line.partition(":")[::2] for line in path.read_text(encoding="utf-8").splitlines())
            found.append(said.get("Model", "GPU").strip())
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return found
    names = [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    if all(name.isdigit() and int(name) < len(found) for name in names):
        return [found[int(name)] for name in names]
    return found[: len(names)]


@cache
def lease_gpu() -> str:
    """Give the GPU that this process is to compute on, the same one each time: `cuda:0`, `cuda:1` ...

    Where all are leased, which is said, one is shared with another process.
    """
    names = _names(count_gpus())
    folder = shared_folder("gpus")
    for number, name in enumerate(names):
        try:
            _lease.enter_context(held(folder / name, wait=False))
        except BlockingIOError:
            continue
        return f"cuda:{number}"
    shared = os.getpid() % len(names)
    log.warning("all %d GPUs are in use by other runs of this suite; cuda:%d is shared", len(names), shared)
    return f"cuda:{shared}"


def _names(count: int) -> list[str]:
    """Name the GPUs that are visible, by what they are called outside of this process."""
    given = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    named = given if len(given) >= count else list(map(str, range(count)))
    return [name.replace("/", "_") for name in named[:count]]
