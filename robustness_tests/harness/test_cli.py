"""`python -m harness`: what it prints, its exit codes, one clear line for whatever is wrong."""

import json

import pytest

from data_fixtures.colours import write_cue_conflict, write_imagenet
from harness.cli import main

RIGHT = "python:data_fixtures.classifiers:reads_colours?mean=0,0,0&std=1,1,1"
WRONG = RIGHT.replace("reads_colours", "reads_the_next_class")


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.delenv("ROBUSTNESS_DATA", raising=False)
    write_imagenet(tmp_path / "data" / "imagenet", range(10), per_class=2, seen_as=lambda i, place: 5 if i == 3 else i)
    write_cue_conflict(tmp_path / "data" / "cue-conflict", {"cat1-dog1": "cat", "cat2-dog1": "dog", "cat3-dog1": "dog"})
    return tmp_path


@pytest.fixture
def run(data, capsys):
    def run(*arguments):
        code = main([*arguments, "--data-root", str(data / "data"), "--records", str(data / "records")])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_measure_prints_metrics_with_intervals_and_counts(run):
    code, out, _ = run("measure", RIGHT, "imagenet")
    assert code == 0
    assert "available 20, classes 10" in out
    assert "top1                    90 %        (20 images, 99.9 % " in out


def test_measure_as_json(run):
    code, out, _ = run("measure", RIGHT, "cue-conflict", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["metrics"]["shape_hits"] == {"value": 1, "interval": [1, 1], "images": 3}
    assert found["metrics"]["texture_hits"]["value"] == 2
    low, high = found["metrics"]["shape_bias"]["interval"]
    assert low < found["metrics"]["shape_bias"]["value"] == 1 / 3 < high
    assert (found["classifier"], found["benchmark"], found["precision"]) == (RIGHT, "cue-conflict", "fp32")


def test_measure_of_a_prefix(run):
    found = json.loads(run("measure", RIGHT, "imagenet", "--json", "--images", "7")[1])
    assert found["metrics"]["top1"]["images"] == 7


def test_compare_prints_the_first_minus_the_second(run):
    code, out, _ = run("compare", RIGHT, WRONG, "imagenet", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["metrics"]["top1"]["value"] == pytest.approx(0.9)
    low, high = found["metrics"]["top1"]["interval"]
    assert low < 0.9 < high


def test_doctor_says_what_is_there_and_what_is_not(run, data):
    code, out, _ = run("doctor", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["data"]["imagenet"] == {"folder": str(data / "data" / "imagenet"), "images": 20, "classes": 10}
    assert found["data"]["imagenet-a"] is None
    assert found["problems"]["imagenet-a"].startswith("missing; imagenet-a: no folder")
    assert {"torch", "torchvision", "numpy", "pillow"} < set(found["versions"])
    lines = run("doctor")[1].splitlines()
    assert f"data      imagenet: {data / 'data' / 'imagenet'}, 20 images of 10 classes" in lines


def test_doctor_says_what_is_wrong(run, data):
    (data / "data" / "imagenet-c").mkdir()
    code, out, _ = run("doctor")
    assert code == 1
    assert "imagenet-c: wrong; imagenet-c: " in out


def test_doctor_refuses_a_store_that_is_no_folder(data, capsys):
    (data / "file").touch()
    assert main(["doctor", "--records", str(data / "file")]) == 1
    assert "is no folder; name another store with --records DIR" in capsys.readouterr().err


def test_a_tilde_is_the_home_folder(data, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(data))
    assert main(["measure", RIGHT, "imagenet", "--data-root=~/data", "--records=~/kept", "--json"]) == 0
    assert list((data / "kept" / "imagenet").iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            ["measure", RIGHT, "imagenet_a"], "unknown benchmark 'imagenet_a'; known: imagenet-a, ", id="bench"
        ),
        pytest.param(["measure", "resnet101_32x8d", "imagenet"], "known: resnext101_32x8d, ", id="classifier"),
        pytest.param(["measure", RIGHT, "imagenet", "--device", "gpu"], "'gpu'; known: cpu, ", id="device"),
        pytest.param(["measure", RIGHT, "imagenet", "--precision", "fp23"], "'fp23'; known: fp32, ", id="precision"),
        pytest.param(
            ["measure", RIGHT, "imagenet", "--images", "0"], "--images '0' is not a whole number", id="images"
        ),
        pytest.param(["measure", RIGHT, "imagenet", "--seed", "x"], "--seed 'x' is not a whole number", id="seed"),
        pytest.param(["measure", RIGHT, "imagenet", "--alpha", "1"], "--alpha '1' is not a number between", id="alpha"),
        pytest.param(["measure", RIGHT, "imagenet", "--batch-size", "-1"], "--batch-size '-1' is not", id="batch_size"),
        pytest.param(["measure", RIGHT, "imagenet", "--device", "cuda:7"], "has 0 CUDA devices", id="no_gpu"),
        pytest.param(["measure", RIGHT], "required: benchmark", id="too_few"),
        pytest.param(["measure", RIGHT, "imagenet", "--fast"], "unrecognized arguments: --fast", id="option"),
        pytest.param(["mesure", RIGHT, "imagenet"], "unknown command 'mesure'; known: measure, ", id="command"),
    ],
)
def test_usage_is_exit_code_2_and_one_line(run, arguments, message):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_bad_data_is_exit_code_1_and_one_line(run, data):
    bad = data / "data" / "imagenet" / "val" / "n01440764" / "0000.png"
    bad.write_bytes(b"")
    code, out, err = run("measure", RIGHT, "imagenet")
    assert (code, out) == (1, "")
    assert err == f"harness: {bad} is not an image; replace the file\n"


def test_missing_data_is_exit_code_1_and_says_what_to_get(run):
    code, _, err = run("measure", RIGHT, "imagenet-a")
    assert code == 1
    assert "no folder" in err
    assert "get it with python -m harness fetch imagenet-a --to" in err


def test_altered_records_are_said_and_measured_again(run, data):
    before = run("measure", RIGHT, "imagenet", "--json")[1]
    (chunk,) = (data / "records").glob("imagenet/*/*.parquet")
    chunk.write_bytes(chunk.read_bytes()[::-1])
    code, out, _ = run("measure", RIGHT, "imagenet", "--json")
    assert (code, out) == (0, before)


def test_interruption_says_that_nothing_is_lost(run, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.cli._print", interrupt)
    code, _, err = run("measure", RIGHT, "imagenet")
    assert code == 130
    assert "what was measured is kept" in err


def test_one_metric_that_can_not_be_had_does_not_hide_the_others(run, data):
    from data_fixtures.colours import write_imagenet_a

    write_imagenet_a(data / "data" / "imagenet-a", per_class=1)
    code, out, _ = run("measure", RIGHT, "imagenet-a", "--images", "50", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["metrics"]["top1"]["value"] == 1
    assert list(found["not_measured"]) == ["rms_ce"]
