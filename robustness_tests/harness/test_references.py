"""References: the paper's by name, files by hand and by record, and one clear line for whatever is wrong in one."""

import json
import math
import subprocess
import sys

import pytest

from harness import recorded, references
from harness.classifiers.tensors import TensorSummary
from harness.errors import DataError, UsageError
from harness.references import QUANTITIES, RecordedFigure, Reference

TENSOR = TensorSummary(
    "first.weight", (1, 3, 1, 2), "float32", 6, 0.1, 0.5, 1.2, 1.0, 0.0, (1.0,) * 16, ((0.5, 0.25),) * 3
)
WHOLE = Reference(
    "mine",
    {
        "imagenet_top1": RecordedFigure(
            *(0.75, 1000, (0.7, 0.8), 1e-3, "classify, fp32, seed 0"),
            data={"imagenet": "sha256:0123"},
            settings={"precision": "fp32", "seed": "0"},
        ),
        "whitebox_accuracy eps=0.06 steps=10": RecordedFigure(0.0, 500, tags={"targeted": "random class"}),
    },
    source="",
    classifier="torchvision:alexnet",
    weights="sha256:4567",
    preprocessing={"resize": "256"},
    tensors=(TENSOR, TENSOR),
    versions={"torch": "2.9"},
    recorded="2026-01-31",
)
SMALLEST = {"schema": 1, "name": "table", "figures": {"mce": {"value": 0.6, "images": 0}}}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "table.json"


def written(path, document):
    path.write_text(json.dumps(document))
    return path


def with_figure(**figure):
    return {**SMALLEST, "figures": {"mce": {"value": 0.6, "images": 0, **figure}}}


def test_the_paper_s_classifiers_are_references_by_name(tmp_path):
    assert references.names(tmp_path / "none") == list(references.PAPER)
    found = references.find("resnext101_32x16d_wsl", tmp_path)
    assert (found.source, found.classifier, found.weights) == (
        "the paper",
        "resnext101_32x16d_wsl",
        "sha256:c6f796b0",
    )
    # Tables 1 to 4 of the paper, in percent.
    printed = {"mce": 48.8, "mfr": 32.7, "shape_bias": 38.5, "whitebox_accuracy eps=0.06 steps=50": 0.3}
    for key, percent in printed.items():
        row = recorded.table("paper_tables").get(("resnext101_32x16d_wsl", *(key.partition(" ")[::2])))
        assert 100 * found.figures[key].value == pytest.approx(100 * row.value if row else percent, abs=0.06)
    assert found.figures["mce"].images == 3_750_000
    assert found.figures["whitebox_accuracy eps=0.06 steps=10"].tags["early_stop"] == "yes"
    assert found.preprocessing["mean"] == "0.485,0.456,0.406"
    assert all(figure.data == {} and figure.interval is None for figure in found.figures.values())


@pytest.mark.parametrize("name", references.PAPER)
def test_clean_accuracies_of_the_paper_s_are_the_measured_ones(name, tmp_path):
    found = references.find(name, tmp_path).figures["imagenet_top1"]
    assert found.value == recorded.find("independent_measurements", name, "imagenet_top1").value
    assert found.images == 50_000
    assert found.protocol.startswith("measured by ")


def test_what_is_published_nowhere_is_in_no_reference_of_the_paper_s(tmp_path):
    found = references.find("resnext101_32x8d", tmp_path)
    assert not {"mt5d", "shape_in_top5", "whitebox_accuracy_standard eps=0.06 steps=10"} & found.figures.keys()


def test_a_reference_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "new" / "mine.json"
    references.write(WHOLE, path, replace=False)
    found = references.read(path)
    assert found.source == str(path)
    assert Reference(**{**vars(found), "source": ""}) == WHOLE
    assert references.find("mine", path.parent) == references.find(str(path), tmp_path) == found
    assert references.names(path.parent) == [*references.PAPER, "mine"]
    assert [entry.name for entry in path.parent.iterdir()] == ["mine.json"]


def test_a_tensor_has_a_line_of_its_own(path):
    references.write(WHOLE, path, replace=False)
    assert sum('"sketch"' in line for line in path.read_text().splitlines()) == 2


def test_what_is_there_is_replaced_only_when_asked(path):
    path.write_text("precious")
    with pytest.raises(UsageError, match=r"table.json is there already; add --replace"):
        references.write(WHOLE, path, replace=False)
    assert path.read_text() == "precious"
    references.write(WHOLE, path, replace=True)
    assert references.read(path).name == "mine"


def test_a_folder_that_can_not_be_made_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="can't be written .*name another folder with --references"):
        references.write(WHOLE, tmp_path / "file" / "mine.json", replace=False)


def test_a_file_by_hand_needs_names_values_and_images_alone(path):
    found = references.read(written(path, SMALLEST))
    assert found == Reference("table", {"mce": RecordedFigure(0.6, 0)}, str(path))


def test_the_example_of_the_docs_is_read(path, request):
    text = (request.config.rootpath / "docs" / "references.md").read_text()
    path.write_text(text.partition("```json\n")[2].partition("```")[0])
    assert references.read(path).figures["imagenet_top1"] == RecordedFigure(0.7613, 50000)


def test_the_docs_name_every_quantity_without_a_condition(request):
    text = (request.config.rootpath / "docs" / "references.md").read_text()
    assert [key for key in QUANTITIES if f"`{key.partition(' ')[0]}" not in text] == []


@pytest.mark.parametrize(
    ("document", "message"),
    [
        pytest.param([], "the file is [], expected an object", id="list"),
        pytest.param({**SMALLEST, "schema": 2}, "schema is 2, expected 1", id="schema"),
        pytest.param({"name": "x"}, "schema is 'missing', expected 1", id="no_schema"),
        pytest.param({"schema": 1, "figures": SMALLEST["figures"]}, "name is missing", id="no_name"),
        pytest.param({"schema": 1, "name": "x"}, "figures is missing", id="no_figures"),
        pytest.param({**SMALLEST, "figures": {}}, "figures holds none", id="no_figure"),
        pytest.param({**SMALLEST, "name": "a/b"}, "name is 'a/b', expected letters, digits", id="name"),
        pytest.param({**SMALLEST, "wieghts": ""}, "'wieghts' is not known; known: weights, ", id="field"),
        pytest.param({**SMALLEST, "recorded": "today"}, "recorded is 'today', expected a day", id="day"),
        pytest.param({**SMALLEST, "versions": {"torch": 2}}, "torch in versions is 2, expected text", id="versions"),
        pytest.param(
            {**SMALLEST, "figures": {"imagenet_top_1": {}}},
            "figure 'imagenet_top_1' is not known; known: imagenet_top1, ",
            id="quantity",
        ),
        pytest.param(with_figure(vlaue=1), "'vlaue' of figure 'mce' is not known; known: value, ", id="figure_field"),
        pytest.param(
            {**SMALLEST, "figures": {"mce": {"value": 0.6}}}, "images of figure 'mce' is missing", id="no_images"
        ),
        pytest.param(with_figure(value="0.6"), "value of figure 'mce' is \"0.6\", expected a finite", id="text"),
        pytest.param(with_figure(value=True), "value of figure 'mce' is true, expected a finite", id="truth"),
        pytest.param(with_figure(value=math.inf), "value of figure 'mce' is Infinity, expected a finite", id="inf"),
        pytest.param(with_figure(value=math.nan), "value of figure 'mce' is NaN, expected a finite", id="nan"),
        pytest.param(with_figure(value=51.74), "value of figure 'mce' is 51.74, expected 0 to 10; write", id="percent"),
        pytest.param(
            {**SMALLEST, "figures": {"imagenet_top1": {"value": 1.2, "images": 1}}},
            "value of figure 'imagenet_top1' is 1.2, expected 0 to 1; write percent as a fraction",
            id="above_1",
        ),
        pytest.param(with_figure(images=-1), "images of figure 'mce' is -1, expected a whole number", id="images"),
        pytest.param(with_figure(images=1.5), "images of figure 'mce' is 1.5, expected a whole number", id="share"),
        pytest.param(with_figure(interval=[0.5]), "interval of figure 'mce' is [0.5], expected its lower", id="ends"),
        pytest.param(with_figure(interval=[2, 1]), "interval of figure 'mce' is [2, 1], expected its low", id="order"),
        pytest.param(with_figure(interval=[0, 1]), "figure 'mce' has an interval but no alpha", id="no_alpha"),
        pytest.param(with_figure(alpha=0.1), "figure 'mce' has an alpha but no interval", id="no_interval"),
        pytest.param(with_figure(alpha=2), "alpha of figure 'mce' is 2, expected a number between", id="alpha"),
        pytest.param(with_figure(tags=["yes"]), "tags of figure 'mce' is [\"yes\"], expected an object", id="tags"),
        pytest.param({**SMALLEST, "tensors": [{"nome": 1}]}, "'nome' of tensor 0 is not known; known: ", id="tensor"),
        pytest.param({**SMALLEST, "tensors": 1}, "tensors is 1, expected a list of summaries", id="tensors"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_file_figure_and_field(path, document, message):
    with pytest.raises(DataError) as error:
        references.read(written(path, document))
    assert str(error.value).startswith(f"{path} is no reference: {message}")
    assert str(error.value).endswith("; docs/references.md shows what is")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"), [(b"{", "it is no JSON, "), (b"\xff", "it is no JSON, "), (None, "it can't be read, ")]
)
def test_a_file_that_holds_no_json_is_said(path, content, message):
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(DataError, match=f"is no reference: {message}"):
        references.read(path)


def test_what_is_said_twice_is_refused_where_json_would_keep_the_last(path):
    path.write_text('{"schema": 1, "name": "a", "figures": {"mce": {"value": 0.7, "images": 1, "value": 0.6}}}')
    with pytest.raises(DataError, match="is no reference: 'value' is there twice"):
        references.read(path)


def test_unknown_names_list_both_kinds_nearest_first(path):
    references.write(WHOLE, path.with_name("resnet_mine.json"), replace=False)
    with pytest.raises(UsageError) as error:
        references.find("resnet_mime", path.parent)
    message = str(error.value)
    assert message.startswith("unknown reference 'resnet_mime'; known: resnet_mine, resnext101_32x")
    assert f"others are recorded in {path.parent} by python -m harness record" in message


@pytest.mark.parametrize("name", ["nowhere.json", "../mine", ""])
def test_what_is_no_name_and_no_file_is_unknown(tmp_path, name):
    references.write(WHOLE, tmp_path / "mine.json", replace=False)
    with pytest.raises(UsageError, match="unknown reference"):
        references.find(name, tmp_path / "folder")


@pytest.mark.parametrize("name", ["a b", "", "..", ".hidden", "-n", "a/b", "ä", "resnext101_32x8d_wsl"])
def test_some_names_may_not_be_recorded(name):
    with pytest.raises(UsageError, match="is no name for a reference|is the paper's own classifier"):
        references.check_name(name)


def test_references_are_read_without_torch(path):
    references.write(WHOLE, path, replace=False)
    code = (
        "import sys; from pathlib import Path; from harness import references; "
        f"references.find({str(path)!r}, Path()); references.find('resnext101_32x8d', Path()); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
