"""Fixtures of the harness's own tests."""

import os
from pathlib import Path

import pytest


def _folder(variable, what):
    folder = os.environ.get(variable)
    if not folder:
        pytest.skip(f"{variable} is not set; it names a folder of {what}")
    if not Path(folder).is_dir():
        pytest.skip(f"{variable}={folder} is not a folder; it should name a folder of {what}")
    return Path(folder)


@pytest.fixture(scope="session", autouse=True)
def temporary_folders_of_commands(tmp_path_factory):
    """Have the runs of pytest that tests start keep their temporary folders in this one's.

    Else each of them deletes at its end what earlier runs left, which may take longer than all that it does.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_DEBUG_TEMPROOT", str(tmp_path_factory.mktemp("commands")))
        yield


@pytest.fixture(scope="session")
def real_data():
    """The data root that ROBUSTNESS_DATA names: real photographs and stimuli."""
    return _folder("ROBUSTNESS_DATA", "real images, one folder a benchmark")


@pytest.fixture(scope="session")
def real_checkpoints():
    """The folder that ROBUSTNESS_CHECKPOINTS names: real ImageNet-trained weights."""
    return _folder("ROBUSTNESS_CHECKPOINTS", "real checkpoints, see CONTRIBUTING.md")


@pytest.fixture(scope="module")
def one_thread():
    """Run torch in one thread: on images of a few pixels, threads do nothing but wait for one another."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
