"""Pictures and chunks of which there are few, for measuring them in several ways."""

import numpy as np
import pytest

from data_fixtures.miniature import benchmarks
from data_fixtures.miniature.benchmarks import FORM, Supply
from data_fixtures.miniature.sets import draw, write_class_folders, write_cue_conflict
from harness.benchmarks.catalog import DataRoots


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    """The miniature's pictures, few of each kind."""
    root = tmp_path_factory.mktemp("miniature")
    write_class_folders(root / "imagenet" / "val", draw("validation", 5, 0, 80))
    write_cue_conflict(root / "cue-conflict", draw("conflict", 5, 0, 80))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmarks, "CORRUPTED", 4)
        patch.setattr(benchmarks, "PERTURBED", 2)
        supply = Supply(root, 5, lambda images: np.eye(16)[np.zeros(len(images), int)])
        supply.write_imagenet_c(root / "imagenet-c")
        supply.write_imagenet_p(root / "imagenet-p")
    return DataRoots(root, form=FORM)


@pytest.fixture
def chunks_of_16(monkeypatch):
    """Have chunks of 16 records."""
    for module in ("measuring", "examining"):
        monkeypatch.setattr(f"harness.engines.{module}.chunk_size", lambda pairs: 16)
