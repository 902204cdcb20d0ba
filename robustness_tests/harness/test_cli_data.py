"""The commands that get data, as typed."""

import json

import numpy as np
import pytest
from PIL import Image

from data_fixtures.colours import write_imagenet, write_imagenet_c
from harness.benchmarks import imagenet_c
from harness.cli import main

pytestmark = pytest.mark.usefixtures("one_thread")

RIGHT = "python:data_fixtures.classifiers:reads_colours?mean=0,0,0&std=1,1,1"


@pytest.fixture
def photographs(tmp_path):
    """Two photographs, of two classes."""
    write_imagenet(tmp_path / "photographs", [111, 444], per_class=1)
    return tmp_path / "photographs"


def run(capsys, *arguments):
    """Run a command; gives its exit code, what it printed and what it said."""
    code = main(list(map(str, arguments)))
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_generated_streamed_and_measured_numbers_are_the_same(capsys, photographs, tmp_path, monkeypatch):
    monkeypatch.setattr("harness.data_cli.default_workers", lambda: 0)
    monkeypatch.setattr("harness.suite.options.default_workers", lambda: 0)
    code, out, _ = run(capsys, "generate", "imagenet-c", "--from", photographs, "--to", tmp_path / "c")
    assert (code, out) == (
        0, f"imagenet-c in {tmp_path / 'c'}: 150 files in 75 cells, from {photographs}, seed 0\n"
    )  # fmt: skip
    found = []
    for where in (tmp_path / "c", f"generate:{photographs}"):
        placed = [f"--data=imagenet-c={where}", f"--data=imagenet={photographs}", f"--records={tmp_path / 'records'}"]
        code, out, _ = run(capsys, "measure", RIGHT, "imagenet-c", *placed, "--json")
        assert code == 0
        found.append(json.loads(out))
    assert found[0]["metrics"] == found[1]["metrics"]
    assert {"mce", "rel_mce", "top1", "error_gaussian_noise", "error_snow"} < set(found[0]["metrics"])
    assert 0 < found[0]["metrics"]["top1"]["value"] < 1
    assert found[0]["available"] == found[1]["available"] == 150
    assert len(list((tmp_path / "records" / "imagenet-c").iterdir())) == 2


def test_without_clean_images_all_but_relative_errors_is_told(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("harness.suite.options.default_workers", lambda: 0)
    monkeypatch.delenv("ROBUSTNESS_DATA", raising=False)
    write_imagenet_c(tmp_path / "c", [111, 444], per_class=1)
    arguments = [
        "measure",
        RIGHT,
        "imagenet-c",
        f"--data=imagenet-c={tmp_path / 'c'}",
        f"--records={tmp_path / 'records'}",
    ]
    code, out, _ = run(capsys, *arguments, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["metrics"]["mce"] | {"interval": None} == {"value": 0.0, "interval": None, "images": 150}
    assert found["metrics"]["error_fog"]["images"] == 10
    assert list(found["not_measured"]) == ["rel_mce"]
    assert found["not_measured"]["rel_mce"].startswith("imagenet: no data folder given; name one with --data-root DIR")


def test_extra_kinds_are_counted(capsys, photographs, tmp_path, monkeypatch):
    monkeypatch.setattr("harness.data_cli.default_workers", lambda: 0)
    monkeypatch.setattr(imagenet_c, "CELLS", ("contrast/1",))
    _, out, _ = run(capsys, "generate", "imagenet-c", "--from", photographs, "--to", tmp_path / "c", "--extra")
    assert f"{2 * 21} files in 21 cells" in out
    assert len(list((tmp_path / "c").rglob("*.JPEG"))) == 2 * 21


def test_a_target_with_other_data_is_a_usage_error(capsys, photographs, tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "mine").touch()
    code, _, err = run(capsys, "generate", "imagenet-c", "--from", photographs, "--to", tmp_path / "c")
    assert (code, err) == (2, f"harness: --to {tmp_path / 'c'} holds other data; name a new or an empty folder\n")


def test_an_image_that_is_broken_is_told_with_what_is_kept(capsys, photographs, tmp_path, monkeypatch):
    monkeypatch.setattr("harness.data_cli.default_workers", lambda: 0)
    monkeypatch.setattr(imagenet_c, "CELLS", ("contrast/1",))
    last = sorted(photographs.rglob("*.png"))[-1]
    last.write_bytes(b"no image")
    code, _, err = run(capsys, "generate", "imagenet-c", "--from", photographs, "--to", tmp_path / "c")
    assert (code, err) == (1, f"harness: {last} is not an image; replace the file\n")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["generate", "imagenet-a", "--from", ".", "--to", "x"], 2, "imagenet-a can't be generated; imagenet-c and"),
        (["generate", "imagenet-d", "--from", ".", "--to", "x"], 2, "unknown benchmark 'imagenet-d'; known: image"),
        (["generate", "imagenet-c", "--from", "none", "--to", "x"], 1, "no folder none of photographs to generate it"),
        (["generate", "imagenet-c", "--from", ".", "--to", "x", "--seed=-1"], 2, "--seed '-1' is not a whole number"),
        (["generate", "imagenet-c", "--to", "x"], 2, "the following arguments are required: --from"),
        (["fetch", "imagenet"], 1, "imagenet can't be fetched: its images are given out by image-net.org alone"),
        (["fetch", "imagenet_c"], 2, "unknown name to fetch 'imagenet_c'; known: imagenet-c"),
        (["fetch", "imagenet-c"], 2, "imagenet-c: say where to put it: --to DIR, or --data-root DIR"),
        (["fetch", "imagenet-c", "--to", "x", "--mirror", "here"], 2, "mirror 'here' is not an address"),
        (["verify", "imagenet-c", "x"], 1, "imagenet-c: no folder x; get it with: fetch imagenet-c --to x"),
    ],
    ids=lambda value: "_".join(value)[:40] if isinstance(value, list) else "",
)
def test_what_can_not_be_done_is_told(capsys, monkeypatch, tmp_path, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ROBUSTNESS_DATA", raising=False)
    found, out, err = run(capsys, *arguments)
    assert (found, out) == (code, "")
    assert message in err
    assert err.count("\n") == 1


def test_verify_says_what_is_right_and_what_is_wrong(capsys, tmp_path):
    write_imagenet_c(tmp_path, [111], per_class=1)
    code, out, _ = run(capsys, "verify", "imagenet-c", tmp_path)
    assert code == 0
    assert "decoded: " in out
    image = next((tmp_path / "snow").rglob("*.png"))
    Image.fromarray(np.zeros((9, 9, 3), dtype=np.uint8)).save(image)
    code, out, _ = run(capsys, "verify", "imagenet-c", "--data", f"imagenet-c={tmp_path}", "--json")
    found = json.loads(out)
    assert (code, found["ok"], found["name"]) == (1, False, "imagenet-c")
    (wrong,) = [finding["what"] for finding in found["findings"] if finding["state"] == "wrong"]
    assert str(image.relative_to(tmp_path)) in wrong
