"""Copies of a real checkpoint, rounded and broken, told apart by what is said of them."""

import json
import os

import pytest

pytestmark = pytest.mark.real

IMAGES = 200
HALF = "mean=0.50196,0.50196,0.50196&std=0.50196,0.50196,0.50196"


@pytest.fixture(scope="module")
def original(real_checkpoints):
    from safetensors.torch import load_file

    path = real_checkpoints / "mobilenet_v1_0.5_160.safetensors"
    return {name: tensor.float() for name, tensor in load_file(path).items()}


@pytest.fixture(scope="module")
def ask(run_suite, real_data, real_checkpoints, original, tmp_path_factory):
    """Ask a copy of the checkpoint whether it is like the original, which is recorded first."""
    from safetensors.torch import save_file

    from harness.cli import main

    folder = tmp_path_factory.mktemp("copies")
    where = (
        *(f"--data=imagenet={real_data / 'imagenet'}", f"--records={folder / 'records'}", f"--images={IMAGES}"),
        f"--references={folder / 'references'}",
    )

    def spec(name, state):
        path = folder / f"{name}.safetensors"
        save_file({key: tensor.contiguous() for key, tensor in state.items()}, path)
        return f"python:real_architectures:mobilenet_v1_050@{path}?{HALF}"

    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(real_checkpoints)
        assert main(["record", "original", spec("original", original), *where]) == 0

    def run(name, state):
        report = folder / name
        finished = run_suite(
            *("-m", "candidate and not attack", f"--candidate={spec(name, state)}", "--expect-like=original", *where),
            *(f"--report={report}", "robustness_tests/test_candidate.py"),
            env={"PYTHONPATH": os.pathsep.join([str(real_checkpoints), os.environ.get("PYTHONPATH", "")])},
        )
        verdicts = json.loads((report / "verdicts.json").read_text(encoding="utf-8"))["verdicts"]
        return finished, {(entry["claim"], entry["metric"]): entry for entry in verdicts}

    return run


def test_what_is_only_rounded_is_like_the_original(ask, original):
    run, verdicts = ask("half", {name: tensor.half() for name, tensor in original.items()})
    assert run.code == 0, run.out
    assert verdicts["L1", "imagenet_top1"]["verdict"] == "holds"
    assert "are the same" in run.out or "weights of" not in run.out  # the original is stored in half precision itself


def test_swapped_channels_are_named_by_accuracy_and_by_weights(ask, original):
    first = next(name for name, tensor in original.items() if tensor.ndim == 4 and tensor.shape[1] == 3)
    run, verdicts = ask("bgr", {**original, first: original[first].flip(1)})
    assert verdicts["L1", "imagenet_top1"]["verdict"] == "fails"
    assert "BGR" in verdicts["H2", "gain_by_another_reading"]["reason"]
    assert f"1 of {len(original)} tensors differs: {first} by" in run.out
    assert "its input channels are BGR instead of RGB" in run.out


def test_shifted_labels_are_named_by_accuracy_and_by_weights(ask, original):
    last = [name for name, tensor in original.items() if tensor.shape[0] == 1000]
    run, verdicts = ask("shifted", {**original, **{name: original[name].roll(1, 0) for name in last}})
    assert verdicts["H1", "imagenet_top1"]["verdict"] == "fails"
    assert "its class indices are 1 too high" in verdicts["H2", "gain_by_another_reading"]["reason"]
    assert "the same numbers in another order" in run.out


def test_a_layer_that_was_disturbed_is_named(ask, original):
    name = next(name for name, tensor in reversed(original.items()) if tensor.ndim == 4)
    run, verdicts = ask("layer", {**original, name: original[name] * 1.5})
    assert f"1 of {len(original)} tensors differs: {name} by" in run.out
    assert verdicts["H2", "gain_by_another_reading"]["verdict"] == "holds"
