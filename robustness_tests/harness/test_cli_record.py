"""`python -m harness record`: what it keeps of a classifier, what it says it could not, and that it resumes."""

import json

import pytest

from data_fixtures.colours import write_cue_conflict, write_imagenet
from harness import references
from harness.cli import main
from harness.studies.quantities import MEASURED, PUBLISHED

pytestmark = pytest.mark.usefixtures("one_thread")

RIGHT = "python:data_fixtures.classifiers:reads_colours?mean=0,0,0&std=1,1,1&resize=16&crop=16"
ATTACKED = [quantity.key for quantity in (*PUBLISHED, *MEASURED) if quantity.attack]


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.delenv("ROBUSTNESS_DATA", raising=False)
    monkeypatch.delenv("ROBUSTNESS_REFERENCES", raising=False)
    write_imagenet(tmp_path / "data" / "imagenet", range(10), per_class=2, seen_as=lambda i, place: 5 if i == 3 else i)
    write_cue_conflict(tmp_path / "data" / "cue-conflict", {"cat1-dog1": "cat", "cat2-dog1": "dog", "cat3-dog1": "dog"})
    return tmp_path


@pytest.fixture
def run(data, capsys):
    def run(*arguments, references=True):
        kept = ["--references", str(data / "kept")] if references else []
        code = main([*arguments, "--data-root", str(data / "data"), "--records", str(data / "records"), *kept])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_what_the_data_allows_is_recorded_with_all_that_it_rests_on(run, data):
    code, out, _ = run("record", "colours-1", RIGHT)
    found = references.find("colours-1", data / "kept")
    assert code == 0
    assert list(found.figures) == ["shape_bias", "imagenet_top1", "shape_in_top5", "texture_in_top5"]
    top1 = found.figures["imagenet_top1"]
    assert (top1.value, top1.images, top1.alpha) == (0.9, 20, 1e-3)
    assert top1.interval[0] < 0.9 < top1.interval[1]
    assert (top1.protocol, top1.settings) == ("classify, fp32, seed 0", {"precision": "fp32", "seed": "0"})
    assert list(top1.data) == ["imagenet"]
    assert found.figures["shape_bias"].value == pytest.approx(1 / 3)
    assert (found.name, found.classifier) == ("colours-1", RIGHT)
    assert found.weights.startswith("sha256:")
    assert found.preprocessing == {
        **{"resize": "16", "crop": "16", "interpolation": "bilinear"},
        **{"mean": "0.0,0.0,0.0", "std": "1.0,1.0,1.0", "classes": "1000"},
    }
    assert [(each.name, each.shape) for each in found.tensors] == [("colours", (1000, 3))]
    assert "torch" in found.versions
    lines = out.splitlines()
    assert lines[0].startswith(f"colours-1 recorded in {data / 'kept' / 'colours-1.json'}: classifier {RIGHT}, ")
    (line,) = (line for line in lines if line.startswith("imagenet_top1 "))
    assert line.split()[1:5] == ["90", "%", "(20", "images,"]


def test_what_is_not_recorded_is_said_a_line_a_reason(run):
    lines = run("record", "colours", RIGHT)[1].splitlines()
    told = [line for line in lines if line.startswith("not recorded: ")]
    assert [line.split(": ")[1].split(", ")[0] for line in told] == ["mce", "mfr", "imagenet_a_top1", ATTACKED[0]]
    assert told[0].startswith("not recorded: mce, rel_mce: imagenet-c: no folder ")
    assert told[-1] == f"not recorded: {', '.join(ATTACKED)}: attacks take long; add --attacks to run them"


def test_as_json_it_is_the_file_with_its_path_and_what_is_missing(run, data):
    code, out, _ = run("record", "colours", RIGHT, "--json")
    found, path = json.loads(out), data / "kept" / "colours.json"
    assert code == 0
    assert found.pop("path") == str(path)
    assert found.pop("not_recorded").keys() >= {"mce", *ATTACKED}
    assert found == json.loads(path.read_text())


def test_it_goes_on_from_what_the_store_has(run, monkeypatch):
    for benchmark in ("imagenet", "cue-conflict"):
        assert run("measure", RIGHT, benchmark, references=False)[0] == 0

    def measure(*_, **__):
        raise AssertionError("measured again")

    monkeypatch.setattr("harness.engines.measuring.fill", measure)
    assert run("record", "colours", RIGHT)[0] == 0


def test_attacks_are_recorded_on_demand_and_then_from_the_store(run, data, monkeypatch):
    quantities = {
        key: quantity
        for key, quantity in references.QUANTITIES.items()
        if key in ("imagenet_top1", "whitebox_accuracy eps=0.06 steps=10", "transfer_accuracy eps=0.06")
    }
    monkeypatch.setattr("harness.recording.QUANTITIES", quantities)
    surrogate = ["--surrogate", RIGHT]
    assert run("record", "attacked", RIGHT, "--attacks", *surrogate)[0] == 0
    found = references.find("attacked", data / "kept").figures
    # Ten steps of 2/255 do not reach the colour of a random class, so the clean image is scored.
    assert {key: figure.value for key, figure in found.items()} == dict.fromkeys(quantities, 0.9)
    assert found["whitebox_accuracy eps=0.06 steps=10"].tags["fallback"] == "clean image"
    assert found["transfer_accuracy eps=0.06"].protocol.endswith(
        "made on reads_colours, which is the classifier itself, fp32, seed 0"
    )
    assert run("record", "stored", RIGHT, *surrogate)[0] == 0
    assert references.find("stored", data / "kept").figures == found
    assert run("record", "fewer", RIGHT, "--images", "10", *surrogate)[0] == 0
    assert references.find("fewer", data / "kept").figures["transfer_accuracy eps=0.06"].images == 10
    # Of another surrogate the store has nothing.
    other = RIGHT.replace("reads_colours", "reads_the_next_class")
    assert run("record", "other", RIGHT, "--surrogate", other)[0] == 0
    assert "transfer_accuracy eps=0.06" not in references.find("other", data / "kept").figures


def test_a_name_that_is_taken_is_refused_before_anything_is_measured(run, data):
    (data / "kept").mkdir()
    (data / "kept" / "mine.json").write_text("precious")
    code, out, err = run("record", "mine", RIGHT)
    assert (code, out) == (2, "")
    taken = data / "kept" / "mine.json"
    assert err == f"harness: {taken} is there already; add --replace to record it anew, or take another name\n"
    assert not (data / "records").exists()
    assert run("record", "mine", RIGHT, "--replace")[0] == 0
    assert references.find("mine", data / "kept").name == "mine"


def test_where_nothing_can_be_measured_there_is_no_file(data, capsys):
    (data / "empty").mkdir()
    kept = ["--records", str(data / "records"), "--references", str(data / "kept")]
    code = main(["record", "nothing", RIGHT, "--data-root", str(data / "empty"), *kept])
    out, err = capsys.readouterr()
    assert (code, out) == (1, "")
    assert err.startswith("harness: nothing to record of reads_colours: imagenet-c: no folder ")
    assert err.count("\n") == 1
    assert not (data / "kept").exists()


def test_wrong_data_is_told_before_anything_is_measured(run, data):
    (data / "data" / "imagenet-a").mkdir()
    code, out, err = run("record", "mine", RIGHT)
    assert (code, out) == (1, "")
    assert err.startswith("harness: imagenet-a: ")
    assert not list((data / "records").glob("*"))


def test_the_folder_is_the_environment_s_where_none_is_typed(run, data, monkeypatch):
    monkeypatch.setenv("ROBUSTNESS_REFERENCES", str(data / "elsewhere"))
    assert run("record", "mine", RIGHT, references=False)[0] == 0
    assert [path.name for path in (data / "elsewhere").iterdir()] == ["mine.json"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["record", "a b", RIGHT], "'a b' is no name for a reference"),
        (["record", "resnext101_32x8d", RIGHT], "resnext101_32x8d is the paper's own classifier"),
        (["record", RIGHT], "the following arguments are required: spec"),
        (["record", "mine", RIGHT, "--references", ""], "--references is empty"),
        (["record", "mine", RIGHT, "--eps", "0.1"], "unrecognized arguments: --eps 0.1"),
    ],
)
def test_usage_is_exit_code_2_and_one_line(data, capsys, arguments, message):
    code = main(arguments)
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.startswith(f"harness: {message}")
    assert err.count("\n") == 1
