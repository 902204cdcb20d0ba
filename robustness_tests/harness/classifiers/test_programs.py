"""Programs: told from weights by what is in the file, run as they are, refused where they could run code."""

import io
import json
import os
import pickle
import shutil
import sys
import warnings
import zipfile

import pytest

from harness.classifiers.kinds import EXPORTED, ONNX, TORCHSCRIPT, program_kind
from harness.classifiers.loading import identity, load
from harness.classifiers.spec import parse_spec
from harness.errors import CheckpointError, ClassifierError, NoGradient, NoPenultimate, UsageError

pytestmark = pytest.mark.usefixtures("one_thread")
KEYS = "?resize=16&crop=16&mean=0,0,0&std=1,1,1"


def network():
    """A small convolutional classifier of 16 x 16 images, the same each time, in evaluation mode."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout())
    return nn.Sequential(*layers, nn.Linear(16, 1000)).eval()


def images(n=5, side=16):
    import torch

    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(1))


def script(path, model=None):
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(model or network()), str(path))
    return path


def export(path, model=None, batch="any", example=None):
    import torch

    shapes = ({0: torch.export.Dim("n", min=2)},) if batch == "any" else None
    given = images(4 if batch == "any" else batch) if example is None else example
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(model or network(), (given,), dynamic_shapes=shapes), str(path))
    return path


def onnx_model(path, batch="n", outputs=("y",), **saving):
    """A linear classifier of mean colours with a known matrix, written node by node; gives the matrix."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    import numpy as np

    matrix = np.random.default_rng(0).normal(size=(3, 1000)).astype(np.float32)
    node, values = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    nodes = [
        node("GlobalAveragePool", ["x"], ["pooled"]),
        node("Flatten", ["pooled"], ["features"]),
        node("MatMul", ["features", "w"], ["y"]),
    ]
    sizes = {"y": 1000, "features": 3}
    number = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "colours",
        [values("x", number, [batch, 3, 16, 16])],
        [values(name, number, [batch, sizes[name]]) for name in outputs],
        [onnx.numpy_helper.from_array(matrix, "w")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path), **saving)
    return matrix


@pytest.fixture(params=["scripted", "exported", "exported-for-2", "exported-for-7"])
def program(request, tmp_path):
    if request.param == "scripted":
        return script(tmp_path / "p.pt")
    batch = "any" if request.param == "exported" else int(request.param[-1])
    return export(tmp_path / "p.pt2", batch=batch)


def refusal(kind, text):
    with pytest.raises(kind) as caught:
        load(text)
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize("n", [1, 2, 5, 14, 15])
def test_a_program_answers_as_the_network_that_it_was_made_of(program, n):
    import torch

    classifier = load(f"program:mine@{program}{KEYS}")
    batch = images(n)
    torch.testing.assert_close(classifier.logits(batch), network()(batch).detach())
    assert classifier.weights_precision == "fp32"
    assert not any(each.requires_grad for each in classifier.module.parameters())


def test_a_program_has_the_gradients_of_its_network(program):
    import torch

    from harness.classifiers.gradients import require_gradient

    classifier = load(f"program:mine@{program}{KEYS}")
    require_gradient(classifier)
    one, other = images(3).requires_grad_(), images(3).requires_grad_()
    classifier.logits(one)[:, 7].sum().backward()
    network()(other)[:, 7].sum().backward()
    torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize(
    "source", ["alexnet", "torchvision:nothing", "timm:nothing", "python:no.module:build", "hf:a/b"]
)
def test_any_source_takes_a_program_and_its_name_is_looked_up_nowhere(tmp_path, source):
    import torch

    text = f"{source}@{script(tmp_path / 'p.pt')}{KEYS}"
    torch.testing.assert_close(load(text).logits(images()), network()(images()).detach())
    assert "code" not in identity(parse_spec(text))


def test_what_a_file_is_does_not_depend_on_its_suffix(tmp_path):
    import torch

    weights = tmp_path / "weights.pt2"
    torch.save(network().state_dict(), weights)
    assert program_kind(script(tmp_path / "a.pth")) == TORCHSCRIPT
    assert program_kind(export(tmp_path / "b.pt2").rename(tmp_path / "b.bin")) == EXPORTED
    assert program_kind(weights) is None
    assert program_kind(tmp_path / "c.onnx") == ONNX


def test_weights_are_no_program_and_the_way_to_name_them_is_told(tmp_path):
    import torch

    torch.save(network().state_dict(), tmp_path / "w.pt")
    line = refusal(CheckpointError, f"program:mine@{tmp_path / 'w.pt'}")
    assert "is no program (TorchScript, torch.export or ONNX)" in line
    assert "torchvision:NAME@FILE" in line


def test_a_program_needs_a_file():
    with pytest.raises(UsageError, match="lacks its program; name the file: program:mine@FILE"):
        parse_spec("program:mine")


def test_images_of_another_size_than_a_program_takes_are_refused(tmp_path):
    classifier = load(f"program:mine@{export(tmp_path / 'p.pt2')}?crop=20&resize=20")
    with pytest.raises(
        ClassifierError, match=r"takes images of h 16, got shape \(2, 3, 20, 20\); add \?resize=16&crop=16"
    ):
        classifier.logits(images(2, side=20))


def test_a_program_in_half_precision_stays_so(tmp_path):
    import torch

    model = network().to(torch.bfloat16)
    classifier = load(f"program:mine@{script(tmp_path / 'p.pt', model)}{KEYS}")
    logits = classifier.logits(images())
    assert logits.dtype == torch.float32
    assert classifier.weights_precision == "bf16"
    torch.testing.assert_close(logits, model(images().bfloat16()).float().detach())


def test_a_program_holding_nan_is_refused(tmp_path):
    import torch

    model = network()
    with torch.no_grad():
        model[0].weight[0, 0, 0] = torch.nan
    for path in (script(tmp_path / "p.pt", model), export(tmp_path / "p.pt2", model)):
        assert "holds 3 NaN or infinite numbers, in 0.weight" in refusal(CheckpointError, f"program:mine@{path}")


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_cut_short_program_is_refused(program, share):
    data = program.read_bytes()
    program.write_bytes(data[: int(len(data) * share)])
    assert str(program) in refusal(CheckpointError, f"program:mine@{program}")


def test_an_export_in_training_mode_is_refused(tmp_path):
    path = export(tmp_path / "p.pt2", network().train())
    line = refusal(CheckpointError, f"program:mine@{path}")
    assert "was exported in training mode; call .eval() before torch.export.export" in line


def test_a_prefix_is_refused_for_a_program(tmp_path):
    path = script(tmp_path / "p.pt")
    assert "has no prefix to choose" in refusal(UsageError, f"program:mine@{path}?prefix=student")


def test_a_program_has_no_penultimate_layer_to_look_at(tmp_path):
    from harness.classifiers.penultimate import Penultimate

    classifier = load(f"program:mine@{script(tmp_path / 'p.pt')}{KEYS}")
    with pytest.raises(NoPenultimate, match="is a TorchScript archive, whose penultimate layer can't be seen"):
        Penultimate(classifier)


def test_a_program_without_gradients_can_not_be_attacked(tmp_path):
    import torch

    from harness.classifiers.gradients import require_gradient

    class Rounds(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network()

        def forward(self, batch):
            return self.network((batch * 255).int().float() / 255)

    classifier = load(f"program:mine@{script(tmp_path / 'p.pt', Rounds())}{KEYS}")
    with pytest.raises(NoGradient, match="can't be attacked: its logits have no gradient with respect to pixels"):
        require_gradient(classifier)


# --- ONNX


@pytest.mark.parametrize("batch", ["n", 1, 4])
def test_an_onnx_model_answers_in_batches_of_any_size(tmp_path, batch):
    import torch

    matrix = onnx_model(tmp_path / "m.onnx", batch)
    classifier = load(f"program:mine@{tmp_path / 'm.onnx'}{KEYS}")
    for n in (1, 3, 4, 9):
        expected = images(n).mean((2, 3)) @ torch.from_numpy(matrix)
        torch.testing.assert_close(classifier.logits(images(n)), expected, atol=1e-5, rtol=1e-4)
    assert classifier.weights_precision == "fp32"


def test_an_output_of_an_onnx_model_is_chosen_by_its_name(tmp_path):
    onnx_model(tmp_path / "m.onnx", outputs=("features", "y"))
    text = f"program:mine@{tmp_path / 'm.onnx'}{KEYS}"
    assert load(text).logits(images()).shape == (5, 1000)
    assert load(f"{text}&output=y").logits(images()).shape == (5, 1000)
    with pytest.raises(ClassifierError, match="gives logits of shape|gives 3 logits an image"):
        load(f"{text}&output=features").logits(images())


def test_an_onnx_model_can_not_be_attacked(tmp_path):
    from harness.classifiers.gradients import require_gradient

    onnx_model(tmp_path / "m.onnx")
    with pytest.raises(NoGradient, match="can't be attacked: it is an ONNX model, which gives no gradients"):
        require_gradient(load(f"program:mine@{tmp_path / 'm.onnx'}{KEYS}"))


def test_an_onnx_model_with_weights_in_another_file_is_refused(tmp_path):
    saving = {"save_as_external_data": True, "size_threshold": 0, "location": "m.bin"}
    onnx_model(tmp_path / "m.onnx", **saving)
    line = refusal(CheckpointError, f"program:mine@{tmp_path / 'm.onnx'}")
    assert "its hash does not cover; save it as one file" in line


@pytest.mark.parametrize("content", [b"not a model at all", b"\x08\x08"])
def test_what_is_no_onnx_model_is_refused(tmp_path, content):
    pytest.importorskip("onnxruntime")
    (tmp_path / "m.onnx").write_bytes(content)
    assert "ONNX model" in refusal(CheckpointError, f"program:mine@{tmp_path / 'm.onnx'}")


def test_without_onnx_runtime_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "m.onnx").write_bytes(b"whatever")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    line = refusal(UsageError, f"program:mine@{tmp_path / 'm.onnx'}")
    assert "pip install -e '.[onnx]'" in line


# --- code in archives


class RunsCode:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def rewritten(path, change):
    """Change members of an archive: from name without torch's folder and bytes to bytes; None leaves one out."""
    copy = path.with_name(f"changed-{path.name}")
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(copy, "w") as other:
        for name in archive.namelist():
            other.writestr(name, change(name.partition("/")[2], archive.read(name)))
    return copy


def pickled(value):
    import torch

    held = io.BytesIO()
    torch.save(value, held)
    return held.getvalue()


def changed_json(name, change):
    def apply(member, data):
        if member != name:
            return data
        content = json.loads(data)
        change(content)
        return json.dumps(content).encode()

    return apply


def test_an_archive_that_is_only_packed_again_is_loaded(tmp_path):
    path = rewritten(export(tmp_path / "p.pt2"), lambda member, data: data)
    assert load(f"program:mine@{path}{KEYS}").logits(images()).shape == (5, 1000)


def test_a_pickle_among_example_inputs_is_refused_and_not_run(tmp_path):
    trace = tmp_path / "it-ran"
    evil = pickled(((RunsCode(trace),), {}))
    path = export(tmp_path / "p.pt2")
    path = rewritten(path, lambda member, data: evil if member == "data/sample_inputs/model.pt" else data)
    line = refusal(CheckpointError, f"program:mine@{path}")
    assert "data/sample_inputs/model.pt is a pickle of more than tensors" in line
    assert "refused, nothing of it was run" in line
    assert not trace.exists()


@pytest.mark.parametrize("protocol", [None, 0, 2])
def test_a_pickle_in_place_of_a_weight_is_refused_and_not_run(tmp_path, protocol):
    trace = tmp_path / "it-ran"
    evil = pickled(RunsCode(trace)) if protocol is None else pickle.dumps(RunsCode(trace), protocol)

    def change(member, data):
        if member == "data/weights/weight_0":
            return evil
        return changed_json("data/weights/model_weights_config.json", mark)(member, data)

    def mark(content):
        content["config"]["0.weight"]["use_pickle"] = True

    path = rewritten(export(tmp_path / "p.pt2"), change)
    assert "data/weights/weight_0 is a pickle of more than tensors" in refusal(CheckpointError, f"program:mine@{path}")
    assert not trace.exists()


CALL = "__import__('os').mkdir({!r})"


def set_symbol(content, evil):
    next(iter(find(content, "expr_str")))["expr_str"] = evil


def set_input(content, evil):
    graph = content["graph_module"]["graph"]
    name = graph["inputs"][-1]["as_tensor"]["name"]
    text = json.dumps(content).replace(f'"{name}"', json.dumps(f"{name}={evil}"))
    content.clear()
    content.update(json.loads(text))


def set_target(content, evil):
    content["graph_module"]["graph"]["nodes"][0]["target"] = "torch.hub.load"


def set_keyword(content, evil):
    content["graph_module"]["graph"]["nodes"][0]["inputs"][-1]["name"] = f"x={evil}, y"


def set_container(content, evil):
    signature = content["graph_module"]["module_call_graph"][0]["signature"]
    signature["out_spec"] = signature["out_spec"].replace('"type": null', '"type": "collections.defaultdict"')


def find(content, key):
    if isinstance(content, dict):
        if key in content:
            yield content
        for each in content.values():
            yield from find(each, key)
    elif isinstance(content, list):
        for each in content:
            yield from find(each, key)


@pytest.mark.parametrize("change", [set_symbol, set_input, set_target, set_keyword, set_container])
def test_code_in_a_graph_is_refused_and_not_run(tmp_path, change):
    trace = tmp_path / "it-ran"
    evil = CALL.format(str(trace))
    path = rewritten(
        export(tmp_path / "p.pt2"), changed_json("models/model.json", lambda content: change(content, evil))
    )
    assert "may run code (" in refusal(CheckpointError, f"program:mine@{path}")
    assert not trace.exists()


def test_guards_are_not_run(tmp_path):
    trace = tmp_path / "it-ran"

    def add(content):
        content["guards_code"] = [CALL.format(str(trace))]

    path = rewritten(export(tmp_path / "p.pt2"), changed_json("models/model.json", add))
    load(f"program:mine@{path}{KEYS}").logits(images())
    assert not trace.exists()


@pytest.mark.parametrize(
    "name", ["data/aotinductor/model/wrapper.so", "data/constants/custom_obj_0", "models/another", "Models/Model.JSON"]
)
def test_compiled_code_and_other_objects_are_refused(tmp_path, name):
    path = export(tmp_path / "p.pt2")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"p/{name}", b"\x7fELF")
    assert "may run code (" in refusal(CheckpointError, f"program:mine@{path}")


def test_a_member_that_is_there_twice_is_refused(tmp_path):
    path = export(tmp_path / "p.pt2")
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("p/models/model.json", b"{}")
    assert "two members of one name" in refusal(CheckpointError, f"program:mine@{path}")


def test_sizes_that_a_real_export_computes_with_are_let_through(tmp_path):
    import torch
    from torch import nn

    class Resizes(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network()

        def forward(self, batch):
            smaller = nn.functional.interpolate(batch, scale_factor=0.5)
            parts = torch.cat([smaller, smaller])[: 2 * len(batch) // 2]
            return {"features": parts.flatten(2).mean(2), "logits": self.network(parts)}

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sizes = {0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
        made = torch.export.export(Resizes().eval(), (images(2, side=32),), dynamic_shapes=(sizes,))
        torch.export.save(made, str(tmp_path / "p.pt2"))
    classifier = load(f"program:mine@{tmp_path / 'p.pt2'}?resize=32&crop=32&mean=0,0,0&std=1,1,1")
    for side in (32, 48):
        batch = images(3, side=side)
        torch.testing.assert_close(classifier.logits(batch), Resizes().eval()(batch)["logits"].detach())


def test_a_program_is_named_by_its_bytes(tmp_path):
    path = script(tmp_path / "p.pt")
    shutil.copy(path, tmp_path / "q.pt")
    one, other = (identity(parse_spec(f"program:mine@{tmp_path / name}")) for name in ("p.pt", "q.pt"))
    assert one == other
    assert one["weights"] == f"sha256:{load(f'program:mine@{path}').weights_sha256}"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param("cut", "cut short or damaged (the end of its archive is missing); get it again", id="cut"),
        pytest.param("module", "needs code to load (torch.nn.modules.linear.Linear)", id="module"),
        pytest.param(
            "weights", "but a file of weights; name its architecture, such as torchvision:NAME@", id="weights"
        ),
        pytest.param("text", "is no program; expected TorchScript, torch.export or ONNX", id="text"),
    ],
)
@pytest.mark.parametrize("suffix", [".pt", ".pt2"])
def test_a_file_that_is_no_program_is_told_as_what_it_is(tmp_path, content, says, suffix):
    import torch

    path = tmp_path / f"it{suffix}"
    layer = torch.nn.Linear(2, 2)
    torch.save(layer if content == "module" else layer.state_dict(), path)
    if content == "cut":
        path.write_bytes(path.read_bytes()[:-300])
    if content == "text":
        path.write_bytes(b"no program")
    with pytest.raises(CheckpointError) as caught:
        load(f"program:it@{path}")
    assert says in str(caught.value)
