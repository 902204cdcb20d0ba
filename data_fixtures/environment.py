"""The environment of the commands that tests run: none of it depends on where the tests are started from."""

import os

# By GitHub's and others' variables pytest knows that it runs in CI, and writes more.
NOT_INHERITED = (
    *("CI", "BUILD_NUMBER", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "RAY_ADDRESS"),
    *("ROBUSTNESS_DATA", "ROBUSTNESS_REFERENCES"),
)


def environment(**added: str) -> dict[str, str]:
    """Give this process's own, less what a command must not inherit, with one thread, no GPU, and some variables."""
    kept = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    return {**kept, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", **added}
