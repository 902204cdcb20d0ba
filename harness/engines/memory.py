"""How much memory there is, and that glibc keeps that of a layer's output for the next one's."""

import ctypes
import functools
import platform
from pathlib import Path

# From glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_LARGEST_INT = 2**31 - 1


@functools.cache
def keep_freed_memory() -> bool:
    """Let this process's allocator reuse large blocks; gives whether it could be told so.

    By default every activation of more than 32 MiB is mapped afresh and unmapped after use, and the kernel zeroes its
    pages each time. That takes more than half of the time of a small network on a CPU (SqueezeNet, batches of 64, two
    cores: 22 images/s by default, 47 with blocks reused). The process's peak memory stays what it was; what it
    frees, it keeps for its next batch.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(_M_MMAP_MAX, 0) and libc.mallopt(_M_TRIM_THRESHOLD, _LARGEST_INT))


def free_bytes(device: str, root: Path = Path("/")) -> int:
    """Tell how much memory a device has left for this process; 0 where that can't be told.

    Args:
        device: `cuda`, `cuda:1` ...: what the GPU says; `cpu`: what the system says, or what is left of the limit of a
            container, if that is less.
        root: Where the system says so.
    """
    if device != "cpu":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    system, group = root / "proc/meminfo", root / "sys/fs/cgroup"
    if not system.exists():
        return 0
    lines = dict(line.split(":", 1) for line in system.read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    try:
        limit, taken = ((group / f"memory.{name}").read_text().strip() for name in ("max", "current"))
    except OSError:
        return free
    return free if limit == "max" else min(free, int(limit) - int(taken))
