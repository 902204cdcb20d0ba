"""What a run says before it collects."""

from dataclasses import replace

import pytest

from harness.engines.settings import Settings
from harness.suite import flags, header, options
from harness.suite.header import device


@pytest.fixture
def request_of(tmp_path):
    """Give the request of a user who named a data root and a store."""
    typed = {"data_root": str(tmp_path / "data"), "records": str(tmp_path / "records")}
    return options.read_request(lambda option: flags.value_of(option, typed.get(option.dest), environment={}))


@pytest.mark.parametrize(
    ("asked", "torch", "models", "said"),
    [
        ("cpu", "2.9.1", ["H100"], "cpu, 4 cores"),
        ("auto", "2.9.1", [], "cpu, 4 cores"),
        ("auto", "2.9.1+cpu", ["H100"], "cpu, 4 cores"),
        ("auto", "2.9.1+cu128", ["H100", "H100", "A100"], "cuda, 2 H100, 1 A100"),
        ("cuda:2", "2.9.1", ["H100", "H100", "A100"], "cuda:2, A100"),
        ("cuda", "2.9.1", [], "cuda, which the driver does not describe"),
        ("cuda:9", "2.9.1", ["H100"], "cuda:9, which the driver does not describe"),
    ],
)
def test_the_device_is_named(monkeypatch, asked, torch, models, said):
    monkeypatch.setattr(header, "gpu_models", lambda: models)
    monkeypatch.setattr(header, "default_workers", lambda: 4)
    assert device(Settings(device=asked), torch) == said


def test_data_that_is_there_and_data_that_is_not_are_told_apart(request_of, tmp_path):
    (tmp_path / "data" / "imagenet-a").mkdir(parents=True)
    line = next(line for line in header.lines(request_of) if line.startswith("data root: "))
    assert line == (
        f"data root: {tmp_path / 'data'}; found imagenet-a; missing imagenet, imagenet-c, imagenet-p, cue-conflict"
    )


def test_what_is_in_the_store_is_counted(request_of, tmp_path):
    assert header.store(request_of) == "no runs yet"
    for name in ("imagenet/one", "imagenet-a/one"):
        folder = tmp_path / "records" / name
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}")
    assert header.store(request_of) == "2 runs of imagenet, imagenet-a"


def test_a_store_that_is_no_folder_does_not_keep_the_header_from_being_said(request_of, tmp_path):
    (tmp_path / "file").write_text("")
    said = header.lines(replace(request_of, records=tmp_path / "file"))
    assert "is no folder" in said[-1]
