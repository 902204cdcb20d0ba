"""How much memory is free, as Linux and containers say it."""

import pytest

from harness.engines.memory import free_bytes

GIB = 2**30


@pytest.fixture
def system(tmp_path):
    """Write what a system says: memory that is available, and a container's limit and what it has taken."""

    def write(available, limit=None, taken=0):
        files = {"proc/meminfo": f"MemTotal:  99999999 kB\nMemAvailable:  {available // 1024} kB\n"}
        if limit is not None:
            files |= {"sys/fs/cgroup/memory.max": f"{limit}\n", "sys/fs/cgroup/memory.current": f"{taken}\n"}
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("said", "free"),
    [
        pytest.param((8 * GIB,), 8 * GIB, id="no_container"),
        pytest.param((8 * GIB, "max", 5 * GIB), 8 * GIB, id="no_limit"),
        pytest.param((8 * GIB, 6 * GIB, 5 * GIB), GIB, id="limit"),
        pytest.param((8 * GIB, 60 * GIB, 5 * GIB), 8 * GIB, id="limit_beyond_what_there_is"),
    ],
)
def test_it_is_what_the_system_says_or_what_a_container_leaves(system, said, free):
    assert free_bytes("cpu", system(*said)) == free


def test_where_nothing_is_said_nothing_is_free(tmp_path):
    assert free_bytes("cpu", tmp_path) == 0
