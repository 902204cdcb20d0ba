"""GPUs are leased to processes: one each, named by what they are called outside of the process."""

from contextlib import ExitStack

import pytest

from harness.engines import gpus
from harness.records.locks import held, shared_folder


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with some GPUs, of which other processes have leased some; gives what is leased to this one."""
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    with ExitStack() as others, ExitStack() as own:
        monkeypatch.setattr(gpus, "_lease", own)

        def lease(count, *, leased=(), visible=""):
            monkeypatch.setattr(gpus, "count_gpus", lambda: count)
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
            for name in leased:
                others.enter_context(held(shared_folder("gpus") / name))
            return gpus.lease_gpu.__wrapped__()

        yield lease


def test_the_first_that_is_free_is_leased(machine):
    assert machine(3, leased=["0"]) == "cuda:1"


def test_a_process_holds_its_lease(machine):
    assert [machine(2), machine(2)] == ["cuda:0", "cuda:1"]


def test_gpus_are_named_by_what_they_are_called_outside(machine):
    assert machine(2, visible="5, GPU-ab/1", leased=["5"]) == "cuda:1"
    assert machine(1, visible="3") == "cuda:0"


def test_where_all_are_leased_one_is_shared_and_that_is_said(machine, caplog):
    assert machine(2, leased=["0", "1"]) in ("cuda:0", "cuda:1")
    assert "all 2 GPUs are in use by other runs of this suite" in caplog.text


def test_a_device_that_is_typed_is_taken(monkeypatch):
    from harness.engines import local
    from harness.engines.settings import Settings
    from harness.suite import options

    def device_of(typed, gpus):
        for module in (options, local):
            monkeypatch.setattr(module, "count_gpus", lambda: gpus)
        return options.on_leased_device(Settings(typed)).device

    monkeypatch.setattr(options, "lease_gpu", lambda: "cuda:1")
    assert [device_of(typed, 2) for typed in ("cpu", "cuda:0", "cuda", "auto")] == ["cpu", "cuda:0", "cuda:1", "cuda:1"]
    assert [device_of(typed, 1) for typed in ("auto", "cuda")] == ["cuda", "cuda"]
    assert device_of("auto", 0) == "cpu"


@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        (None, ["NVIDIA H100", "NVIDIA A100"]),
        ("1", ["NVIDIA A100"]),
        ("1,0", ["NVIDIA A100", "NVIDIA H100"]),
        ("GPU-7c1f", ["NVIDIA H100"]),
        ("", []),
        ("-1", []),
    ],
)
def test_models_of_the_gpus_that_are_visible_are_told_by_the_driver(monkeypatch, tmp_path, visible, seen):
    for place, model in enumerate(("NVIDIA H100", "NVIDIA A100")):
        folder = tmp_path / f"0000:0{place}:00.0"
        folder.mkdir()
        (folder / "information").write_text(f"Model: \t\t {model}\nIRQ:   \t\t 16\n")
    monkeypatch.setattr(gpus, "_DRIVER", tmp_path)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus.gpu_models() == seen


def test_without_a_driver_there_is_no_model(monkeypatch, tmp_path):
    monkeypatch.setattr(gpus, "_DRIVER", tmp_path / "nowhere")
    assert gpus.gpu_models() == []
