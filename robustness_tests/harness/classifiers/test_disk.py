"""Files that are none, or not whole, or change while they are read: one line each."""

import os
import time

import pytest

from harness.classifiers.disk import check_file, file_sha256, unchanged
from harness.classifiers.loading import load
from harness.classifiers.weights import read_state
from harness.errors import CheckpointError

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
PAGE = b"\n<!DOCTYPE html>\n<html><body>404</body></html>\n"


def refusal(path):
    with pytest.raises(CheckpointError) as caught:
        load(f"torchvision:resnet18@{path}")
    line = str(caught.value)
    assert str(path) in line
    assert "\n" not in line
    return line


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".onnx", ".pt2"])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(LFS, "is a pointer of Git LFS and not the file itself; get it by git lfs pull", id="lfs"),
        pytest.param(PAGE, "is not a checkpoint but a web page", id="page"),
        pytest.param(b"", "is empty; get it again", id="empty"),
    ],
)
def test_what_lies_in_a_checkpoints_place_is_named(tmp_path, suffix, content, says):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    assert says in refusal(path)


def test_a_folder_and_no_file_are_named(tmp_path):
    assert "is a folder" in refusal(tmp_path)
    assert "no weights file" in refusal(tmp_path / "w.pth")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_of_text_is_refused(tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    path.write_text("The weights are on the other disk.\n")
    assert "checkpoint" in refusal(path) or "safetensors" in refusal(path)


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    path = tmp_path / "w.pth"
    path.write_bytes(b"PK")

    def refuse(self, *args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(CheckpointError, match=r"can't be read \(Permission denied\); check its permissions"):
        check_file(path)


def growing(path):
    with path.open("ab") as file:
        file.write(b"more")


def touched(path):
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))


@pytest.mark.parametrize("change", [growing, touched, lambda path: path.unlink()], ids=["grows", "touched", "gone"])
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, change):
    path = tmp_path / "w.pth"
    path.write_bytes(b"some")
    with pytest.raises(CheckpointError, match="is being written .*wait until it is complete"), unchanged(path):
        change(path)


def test_that_a_file_changes_is_told_rather_than_that_it_is_cut_short(tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(b"some")

    def read():
        with unchanged(path):
            growing(path)
            raise CheckpointError("no whole file")

    with pytest.raises(CheckpointError, match="is being written"):
        read()


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors", "w.pt2", "w.onnx"])
@pytest.mark.parametrize("age", [5, 3600])
def test_a_short_file_that_was_just_written_to_may_still_be_being_written(tmp_path, name, age):
    import torch
    from safetensors.torch import save_file

    from harness.classifiers.loading import load

    path, written = tmp_path / name, time.time() - age
    content = {"a": torch.ones(2000)}
    save_file(content, path) if name.endswith(".safetensors") else torch.save(content, path)
    path.write_bytes(path.read_bytes()[:4000])
    os.utime(path, (written, written))
    with pytest.raises(CheckpointError) as caught:
        load(f"{'torchvision:resnet18' if name.startswith('w.p') else 'program:it'}@{path}")
    assert "get it again" in str(caught.value)
    assert ("or wait if it is still being written (it was written to " in str(caught.value)) == (age == 5)


def test_an_archive_whose_end_is_damaged_is_one_line(tmp_path):
    import torch

    from harness.classifiers.loading import load

    path = tmp_path / "w.pth"
    torch.save({"a": torch.ones(3)}, path)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x06\x07") + 16] = 7  # how many disks it spans
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="cut short or damaged"):
        load(f"program:it@{path}")


def test_a_file_that_stays_is_read(tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(b"foo")
    with unchanged(path):
        path.read_bytes()
    assert file_sha256(path) == "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"


def test_a_checkpoint_that_is_being_written_is_not_read(tmp_path, monkeypatch):
    import torch

    path = tmp_path / "w.pth"
    torch.save({"a": torch.ones(2)}, path)
    read = torch.load

    def grows(file, **options):
        found = read(file, **options)
        growing(path)
        return found

    monkeypatch.setattr("torch.load", grows)
    with pytest.raises(CheckpointError, match="is being written"):
        read_state(path)


def test_what_is_hashed_is_what_was_loaded(tmp_path, monkeypatch):
    import torch

    from data_fixtures.classifiers import reads_colours

    path = tmp_path / "w.pth"
    torch.save(reads_colours().state_dict(), path)
    monkeypatch.setattr("harness.classifiers.loading.file_sha256", lambda file: growing(file) or "0" * 64)
    with pytest.raises(CheckpointError, match="is being written"):
        load(f"python:data_fixtures.classifiers:reads_colours@{path}")
