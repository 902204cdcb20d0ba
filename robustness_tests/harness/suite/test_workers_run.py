"""Several workers: how often classifiers are loaded, what becomes of a worker that dies, who leases which GPU."""

from collections import Counter

import pytest

from data_fixtures.colours import write_imagenet, write_imagenet_a, write_imagenet_c

TABLE1 = "robustness_tests/test_table1_imagenet_c_and_p.py"
TABLE4 = "robustness_tests/test_table4_imagenet_a.py"

MODULE = """
import os
from pathlib import Path
from data_fixtures.classifiers import ReadsColours

def built(name):
    def build():
        with Path(os.environ["LOADS"]).open("a") as file:
            file.write(f"{name} {os.getpid()}\\n")
        return ReadsColours()
    return build

one, two, three = map(built, ("one", "two", "three"))
"""


@pytest.fixture(scope="module")
def data(folder):
    from safetensors.torch import save_file

    from data_fixtures.classifiers import ReadsColours

    root = folder / "data"
    write_imagenet(root / "imagenet", range(6, 46), per_class=1)
    write_imagenet_c(root / "imagenet-c", range(6, 8), per_class=2)
    write_imagenet_a(root / "imagenet-a", per_class=1)
    (folder / "counted.py").write_text(MODULE)
    for shift, name in enumerate(("one", "two", "three")):
        save_file(ReadsColours(shift=shift).state_dict(), folder / f"{name}.safetensors")
    return root


@pytest.fixture
def loads(run_suite, repository, folder, data, tmp_path):
    """Ask claims of two classifiers and a baseline; gives the run, and who loaded which classifier how often."""

    def run(*arguments):
        specs = [
            f"python:counted:{name}@{folder / name}.safetensors?mean=0,0,0&std=1,1,1"
            for name in ("one", "two", "three")
        ]
        log = tmp_path / "loads"
        finished = run_suite(
            *("-m", "full and not attack", TABLE1, TABLE4, f"--data-root={data}", f"--records={tmp_path / 'records'}"),
            *(f"--baseline={specs[0]}", f"--classifiers={specs[1]},{specs[2]}", *arguments),
            env={"LOADS": str(log), "PYTHONPATH": f"{folder}:{repository}"},
        )
        return finished, [line.split() for line in log.read_text().splitlines()]

    return run


def test_each_classifier_is_loaded_once(loads):
    run, loaded = loads("-n", "2")
    assert "error" not in run.counts, run.out
    assert Counter(name for name, _ in loaded) == {"one": 1, "two": 1, "three": 1}
    assert len({process for _, process in loaded}) == 2


def test_without_a_gpu_auto_is_one_worker(loads):
    run, loaded = loads("-n", "auto", "-v")
    assert "created: 1/1 worker" in run.out or "1 worker" in run.out
    assert len({process for _, process in loaded}) == 1
