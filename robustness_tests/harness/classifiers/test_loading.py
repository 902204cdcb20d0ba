"""From a spec to a classifier, from each source; every failure is one line; what names a classifier in the store."""

import copy
import hashlib
import importlib
import json
import re
import shutil
import subprocess
import sys
import urllib.error
import warnings

import pytest

from harness.classifiers.catalog import CATALOG, Entry
from harness.classifiers.loading import cost, identity, load
from harness.classifiers.spec import parse_spec
from harness.errors import CheckpointError, DataMissing, UsageError

TINY = "squeezenet1_1"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
COLOURS = "python:data_fixtures.classifiers:reads_colours?mean=0,0,0&std=1,1,1"


def architecture(name=TINY, **options):
    """A torchvision model with random weights, the same ones each time, in evaluation mode."""
    import torch

    from harness.torchvision_ops import import_torchvision

    torch.manual_seed(0)
    return import_torchvision().models.get_model(name, weights=None, **options).eval()


def images(n=2, side=40):
    import torch

    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(1))


def normalised(batch):
    """Of images in [0, 1], with ImageNet's mean and std."""
    import torch

    return (batch - torch.tensor(MEAN).reshape(3, 1, 1)) / torch.tensor(STD).reshape(3, 1, 1)


def assert_answers_as(classifier, model, batch=None):
    import torch

    batch = images() if batch is None else batch
    # Laid out as classifiers are, for sums in the same order.
    model = copy.deepcopy(model).to(memory_format=torch.channels_last)
    with torch.no_grad():
        torch.testing.assert_close(classifier.logits(batch), model(normalised(batch)))


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def refusal(kind, spec, **options):
    with pytest.raises(kind) as caught:
        load(spec, **options)
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """So little is computed here that threads only wait for one another."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A small torchvision model's weights as safetensors."""
    from safetensors.torch import save_file

    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(architecture().state_dict(), path)
    return path


@pytest.fixture
def torch_home(tmp_path, monkeypatch):
    """A torch hub folder without a network."""

    def unreachable(*args, **options):
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    monkeypatch.setattr("torch.hub.urlopen", unreachable)
    home = tmp_path / "torch/hub"
    (home / "checkpoints").mkdir(parents=True)
    return home


@pytest.fixture
def module(tmp_path, monkeypatch, request):
    """Writes the source of a Python module that can be imported, and gives its name."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)

    def write(source, name="models_of_a_test"):
        path = folder / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(source, encoding="utf-8")
        importlib.invalidate_caches()
        return name

    yield write
    for name in set(sys.modules) - before:
        if name.startswith("models_of_a_test"):
            del sys.modules[name]


# --- torchvision, and the paper's own


def test_a_torchvision_architecture_with_weights_from_a_file(tiny):
    classifier = load(f"torchvision:{TINY}@{tiny}")
    assert_answers_as(classifier, architecture())
    assert classifier.weights_sha256 == sha256(tiny)
    assert classifier.spec == parse_spec(f"torchvision:{TINY}@{tiny}")


@pytest.mark.parametrize(
    "wrap",
    [dict, lambda state: {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}],
    ids=["plain", "wrapped"],
)
def test_a_checkpoint_of_torch_save_gives_the_same_classifier(tmp_path, tiny, wrap):
    import torch

    path = tmp_path / "w.pth"
    torch.save(wrap(architecture().state_dict()), path)
    assert_answers_as(load(parse_spec(f"torchvision:{TINY}@{path}")), architecture())


def test_half_precision_weights_are_computed_with_in_single(tmp_path):
    import torch
    from safetensors.torch import save_file

    model = architecture().half()
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    classifier = load(f"torchvision:{TINY}@{tmp_path / 'w.safetensors'}")
    assert classifier.logits(images()).dtype == torch.float32
    assert_answers_as(classifier, model.float())


@pytest.mark.parametrize(("dtype", "precision"), [("float32", "fp32"), ("float16", "fp16"), ("bfloat16", "bf16")])
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_classifier_says_in_what_precision_its_weights_lie(tmp_path, dtype, precision, suffix):
    import torch
    from safetensors.torch import save_file

    state = architecture().to(getattr(torch, dtype)).state_dict()
    (save_file if suffix == "safetensors" else torch.save)(state, tmp_path / f"w.{suffix}")
    classifier = load(f"torchvision:{TINY}@{tmp_path}/w.{suffix}")
    assert classifier.weights_precision == precision
    assert {each.dtype for each in classifier.module.parameters()} == {torch.float32}


def test_weights_that_come_without_a_file_are_finite_too(module):
    code = "import torch\ndef build():\n    return torch.nn.Linear(2, 2).requires_grad_(False).apply(spoil)\n"
    code += "def spoil(layer):\n    layer.bias[0] = torch.nan\n"
    assert "holds 1 NaN or infinite numbers, in bias" in refusal(CheckpointError, f"python:{module(code)}:build")


def test_1001_classes_are_built_and_the_background_dropped(tmp_path):
    import torch
    from safetensors.torch import save_file

    model = architecture(num_classes=1001)
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    classifier = load(f"torchvision:{TINY}@{tmp_path / 'w.safetensors'}?classes=1001")
    torch.testing.assert_close(classifier.logits(images()), model(normalised(images()))[:, 1:].detach())


def test_an_architecture_that_asks_for_its_version_is_loaded_from_safetensors(tmp_path):
    from safetensors.torch import save_file

    model = architecture("mnasnet0_5")
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    assert_answers_as(load(f"torchvision:mnasnet0_5@{tmp_path / 'w.safetensors'}"), model)


@pytest.mark.parametrize(
    ("name", "new", "old"),
    [
        ("densenet121", r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2"),
        ("vit_b_16", r"\.mlp\.([03])\.", lambda found: f".mlp.linear_{1 if found[1] == '0' else 2}."),
    ],
    ids=["densenet", "vision-transformer"],
)
def test_names_in_published_files_that_torchvision_has_changed_are_understood(name, new, old):
    import torch

    from harness.classifiers.loading import _renamed

    with torch.device("meta"):
        state = architecture(name).state_dict()
    published = {re.sub(new, old, key): tensor for key, tensor in state.items()}
    assert set(published) != set(state)
    assert list(_renamed(published)) == list(_renamed(state)) == list(state)


def test_a_published_densenet_is_loaded_under_its_old_names(tmp_path):
    from safetensors.torch import save_file

    model = architecture("densenet121")
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): it for key, it in model.state_dict().items()}
    save_file(old, tmp_path / "w.safetensors")
    assert_answers_as(load(f"torchvision:densenet121@{tmp_path / 'w.safetensors'}"), model)


@pytest.fixture
def publish(tmp_path, torch_home, monkeypatch):
    """Puts weights where torch hub keeps those that torchvision publishes under a name."""
    import torch

    from harness.torchvision_ops import import_torchvision

    def put(model, name, weights="IMAGENET1K_V1"):
        torch.save(model.state_dict(), tmp_path / "published.pth")
        digest = sha256(tmp_path / "published.pth")
        file = torch_home / "checkpoints" / f"{name}-{digest[:8]}.pth"
        shutil.move(tmp_path / "published.pth", file)
        published = import_torchvision().models.get_model_weights(name)[weights].value
        monkeypatch.setattr(published, "url", f"https://example.org/{file.name}")
        return file

    return put


@pytest.mark.parametrize("suffix", ["", "@IMAGENET1K_V1"])
def test_torchvisions_own_weights_are_the_v1_by_default(publish, suffix):
    file = publish(architecture(), TINY)
    classifier = load(f"torchvision:{TINY}{suffix}")
    assert_answers_as(classifier, architecture())
    assert classifier.weights_sha256 == sha256(file)


def test_googlenet_remaps_its_input_for_torchvisions_own_weights_as_torchvision_does(publish):
    publish(architecture("googlenet", init_weights=False), "googlenet")
    assert load("torchvision:googlenet").module.model.transform_input


def test_an_unknown_torchvision_name_is_answered_with_the_nearest(tiny):
    line = refusal(UsageError, f"torchvision:squeezenet11@{tiny}")
    assert line.startswith("unknown torchvision classifier 'squeezenet11'; known: squeezenet1_1, squeezenet1_0, ")
    assert refusal(UsageError, "torchvision:squeezenet11") == line


@pytest.mark.parametrize("name", ["fcn_resnet50", "raft_small", "quantized_resnet18", "Squeezenet1_1"])
def test_what_is_no_classifier_of_torchvision_is_unknown(name):
    assert f"unknown torchvision classifier {name!r}" in refusal(UsageError, f"torchvision:{name}")


def test_an_unknown_weights_name_is_answered_with_the_nearest_and_the_way_to_name_a_file(torch_home):
    line = refusal(UsageError, "torchvision:resnet50@IMAGENET1K_V3")
    assert line.startswith("unknown weights of resnet50 'IMAGENET1K_V3'; known: IMAGENET1K_V1, IMAGENET1K_V2, DEFAULT")
    assert "a file needs a suffix such as .safetensors or .pth" in line


def test_weights_of_another_architecture_are_refused_by_name(tiny):
    line = refusal(CheckpointError, f"torchvision:resnet18@{tiny}")
    assert str(tiny) in line
    assert "missing (conv1.weight" in line


@pytest.mark.parametrize("source", ["alexnet", "torchvision:resnet18", "timm:resnet18", "hf:a/b", "hub:a/b:c"])
def test_a_missing_file_is_said_before_anything_is_built(tmp_path, source, monkeypatch):
    monkeypatch.setattr("harness.classifiers.loading._build", lambda spec: pytest.fail("built"))
    assert f"no weights file {tmp_path / 'w.pth'}" in refusal(CheckpointError, f"{source}@{tmp_path / 'w.pth'}")


def test_the_papers_weights_without_a_network_say_where_to_put_them(torch_home):
    line = refusal(DataMissing, "alexnet")
    assert "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth" in line
    assert f"put the file at {torch_home / 'checkpoints/alexnet-owt-7be5be79.pth'}" in line


def test_another_file_under_the_name_of_the_papers_weights_is_never_read(torch_home, monkeypatch):
    monkeypatch.setattr("torch.load", lambda *args, **options: pytest.fail("read"))
    path = torch_home / "checkpoints/alexnet-owt-7be5be79.pth"
    path.write_bytes(b"PK other bytes")
    line = refusal(CheckpointError, "alexnet")
    assert f"{path} has sha256 {sha256(path)[:16]}..., expected 7be5be79..." in line


def test_the_papers_weights_are_loaded_where_their_hash_is_right(publish, monkeypatch):
    file = publish(architecture(), TINY)
    monkeypatch.setitem(CATALOG, "alexnet", Entry(TINY, file.name, sha256(file)[:8], 1.2))
    classifier = load("alexnet")
    assert_answers_as(classifier, architecture())
    assert classifier.weights_sha256 == sha256(file)
    assert identity(parse_spec("alexnet"))["weights"] == f"sha256:{sha256(file)[:8]}"


def test_a_short_name_takes_weights_from_a_file(tiny, monkeypatch):
    monkeypatch.setitem(CATALOG, "alexnet", Entry(TINY, "unused-00000000.pth", "00000000", 1.2))
    classifier = load(f"alexnet@{tiny}")
    assert_answers_as(classifier, architecture())
    assert identity(classifier.spec)["weights"] == f"sha256:{sha256(tiny)}"


# --- timm and the Hugging Face hub

TIMM = "mobilenetv3_small_050"


@pytest.fixture(scope="module")
def timm_model():
    import torch

    from harness.torchvision_ops import import_torchvision

    import_torchvision()
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    return timm.create_model(TIMM, pretrained=False).eval()


@pytest.fixture
def timm_file(tmp_path, timm_model):
    from safetensors.torch import save_file

    save_file(timm_model.state_dict(), tmp_path / "timm.safetensors")
    return tmp_path / "timm.safetensors"


@pytest.mark.parametrize("tag", ["", ".lamb_in1k"])
def test_a_timm_model_answers_as_timms_own(timm_model, timm_file, tag):
    classifier = load(f"timm:{TIMM}{tag}@{timm_file}")
    assert_answers_as(classifier, timm_model)
    assert classifier.weights_sha256 == sha256(timm_file)


def test_timm_without_a_file_is_told_of_the_hub():
    line = refusal(UsageError, "timm:resnet18.a1_in1k")
    assert "names no weights; add @file, or use hf:timm/resnet18.a1_in1k" in line


def test_an_unknown_timm_model_is_answered_with_the_nearest(timm_file):
    line = refusal(UsageError, f"timm:mobilenetv3_smal_050@{timm_file}")
    assert "unknown timm model 'mobilenetv3_smal_050'; nearest: mobilenetv3_small_050, mobilenetv3_small_075" in line


def test_an_unknown_timm_tag_is_named(timm_file):
    assert "nonsense" in refusal(UsageError, f"timm:{TIMM}.nonsense@{timm_file}")


@pytest.mark.parametrize("source", ["timm:resnet18", "hf:timm/resnet18.a1_in1k"])
def test_without_timm_the_extra_is_named(tiny, source, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    assert "needs timm; install it with pip install -e '.[timm]'" in refusal(UsageError, f"{source}@{tiny}")


@pytest.fixture
def hugging_face(tmp_path, timm_model, monkeypatch):
    """The hub's folder of downloads, without a network; gives what puts a model in it."""
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))

    def put(owner, name):
        from safetensors.torch import save_file

        folder = tmp_path / "hf" / f"models--{owner}--{name}"
        snapshot = folder / "snapshots" / ("0" * 40)
        snapshot.mkdir(parents=True)
        (folder / "refs").mkdir()
        (folder / "refs/main").write_text("0" * 40)
        config = {"architecture": TIMM, "num_classes": 1000, "pretrained_cfg": {"num_classes": 1000}}
        (snapshot / "config.json").write_text(json.dumps(config))
        save_file(timm_model.state_dict(), snapshot / "model.safetensors")

    return put


def test_a_model_of_the_hugging_face_hub_brings_its_weights(hugging_face, timm_model):
    from harness.classifiers.weights import state_sha256

    hugging_face("someone", "something")
    classifier = load("hf:someone/something")
    assert_answers_as(classifier, timm_model)
    assert classifier.weights_sha256 == state_sha256(timm_model.state_dict())


@pytest.mark.parametrize("with_file", [False, True])
def test_without_a_network_the_hugging_face_hub_is_missing_data(hugging_face, timm_file, with_file):
    line = refusal(DataMissing, f"hf:nobody/nothing{f'@{timm_file}' if with_file else ''}")
    assert "hf:nobody/nothing" in line
    assert "can't be had from the Hugging Face hub" in line


# --- torch hub

HUBCONF = f"""
import torch
import torchvision
dependencies = ["torch"]

def builds():
    torch.manual_seed(0)
    return torchvision.models.{TINY}(weights=None)

def breaks():
    raise KeyError("weights")

def needs_a_download():
    torch.hub.load_state_dict_from_url("https://example.org/w.pth")

def gives_a_number():
    return 7
"""


@pytest.fixture
def repository(torch_home):
    folder = torch_home / "owner_repo_main"
    folder.mkdir()
    (folder / "hubconf.py").write_text(HUBCONF)
    return torch_home


@pytest.mark.parametrize("branch", ["", ":main"])
def test_a_repository_that_torch_hub_has_already_needs_no_network(repository, branch):
    assert_answers_as(load(f"hub:owner/repo{branch}:builds"), architecture())


def test_layers_of_whole_numbers_are_refused_with_the_way_out(module):
    code = """
import torch

def build():
    layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 1000))
    return torch.ao.quantization.quantize_dynamic(layers)
"""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        line = refusal(CheckpointError, f"python:{module(code)}:build?resize=2&crop=2")
    assert "holds quantised weights (1._packed_params.dtype, " in line
    assert "export the classifier as a TorchScript program" in line


@pytest.mark.parametrize("spec", ["hub:owner/repo:entry", "python:a.module:build", "hf:owner/model"])
def test_torchvision_is_imported_safely_before_code_of_others_imports_it(spec, monkeypatch):
    from torch import nn

    order = []
    monkeypatch.setattr("harness.classifiers.loading.let_others_import_torchvision", lambda: order.append("prepared"))
    monkeypatch.setattr("harness.classifiers.loading._build", lambda spec: order.append("build") or nn.Linear(1, 1))
    load(spec)
    assert order == ["prepared", "build"]


def test_a_file_replaces_the_repositorys_weights(repository, tmp_path):
    import torch

    model = architecture()
    state = {name: tensor * 2 for name, tensor in model.state_dict().items()}
    torch.save(state, tmp_path / "w.pth")
    model.load_state_dict(state)
    assert_answers_as(load(f"hub:owner/repo:main:builds@{tmp_path / 'w.pth'}"), model)


@pytest.mark.parametrize("branch", ["", ":main"])
def test_a_repository_that_can_not_be_had_is_missing_data(torch_home, branch):
    line = refusal(DataMissing, f"hub:owner/repo{branch}:builds")
    assert f"owner/repo{branch} can't be had from torch hub" in line


def test_weights_that_a_repository_can_not_get_are_missing_data(repository):
    line = refusal(DataMissing, "hub:owner/repo:main:needs_a_download")
    assert "needs_a_download() can't get its weights (URLError: <urlopen error no network>)" in line


def test_an_unknown_entry_point_is_answered_with_the_nearest(repository):
    line = refusal(UsageError, "hub:owner/repo:main:build")
    assert line.startswith("unknown entry point of owner/repo:main 'build'; known: builds, ")


@pytest.mark.parametrize(
    ("entry", "kind", "says"),
    [
        ("breaks", CheckpointError, "breaks() fails (KeyError: 'weights')"),
        ("gives_a_number", UsageError, "gives a int, expected a torch.nn.Module"),
    ],
)
def test_an_entry_point_that_does_not_give_a_model_is_named(repository, entry, kind, says):
    assert says in refusal(kind, f"hub:owner/repo:main:{entry}")


# --- a callable of one's own

BUILDS = """
from torch import nn

def build():
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 1000))

def breaks():
    raise RuntimeError("no luck\\ntoday")

def gives_nothing():
    pass

number = 7
"""


def test_a_callable_of_ones_own_without_a_file_brings_its_weights():
    import torch

    from data_fixtures.classifiers import reads_colours
    from harness.classifiers.weights import state_sha256

    classifier = load(COLOURS)
    torch.testing.assert_close(classifier.logits(images()), reads_colours()(images()).detach())
    assert classifier.weights_sha256 == state_sha256(reads_colours().state_dict())


def test_a_callable_of_ones_own_with_a_file(module, tmp_path):
    import torch
    from torch import nn

    model = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 1000))
    torch.save({"model": model.state_dict()}, tmp_path / "w.pt")
    assert_answers_as(load(f"python:{module(BUILDS)}:build@{tmp_path / 'w.pt'}"), model)


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("buidl", UsageError, "unknown callable in models_of_a_test 'buidl'; known: build, "),
        ("number", UsageError, "unknown callable in models_of_a_test 'number'; known: "),
        ("breaks", CheckpointError, "breaks() fails (RuntimeError: no luck)"),
        ("gives_nothing", UsageError, "gives a NoneType, expected a torch.nn.Module"),
    ],
)
def test_a_callable_that_does_not_give_a_model_is_named(module, name, kind, says):
    assert says in refusal(kind, f"python:{module(BUILDS)}:{name}")


@pytest.mark.parametrize("name", ["models_of_a_test_elsewhere", "models_of_a_test.elsewhere"])
def test_a_module_that_is_not_there_is_named(module, name):
    module(BUILDS)
    for raises in (load, lambda text: identity(parse_spec(text))):
        with pytest.raises(UsageError, match=f"there is no module {name}; put its folder on PYTHONPATH"):
            raises(f"python:{name}:build")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import a_package_that_nobody_has", "ModuleNotFoundError: No module named 'a_package_that_nobody_has'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def build(:", "SyntaxError: invalid syntax"),
    ],
    ids=["import", "code", "syntax"],
)
@pytest.mark.parametrize("where", ["models_of_a_test", "models_of_a_test.__init__"])
def test_a_module_or_package_that_can_not_be_imported_is_named_with_the_reason(module, source, says, where):
    module(source, where)
    name = "models_of_a_test" if where == "models_of_a_test" else "models_of_a_test.models"
    if name != where:
        module(BUILDS, name)
    line = refusal(UsageError, f"python:{name}:build")
    assert f"importing {name} fails ({says}" in line


# --- what names a classifier in a store of records


def test_a_classifier_of_the_paper_is_named_by_its_pinned_weights_and_needs_none(monkeypatch):
    monkeypatch.setattr("harness.classifiers.loading.load", lambda *args: pytest.fail("loaded"))
    assert identity(parse_spec("resnext101_32x48d_wsl")) == {
        "classifier": "paper:resnext101_32x48d_wsl",
        "preprocessing": (
            "resize=256,crop=224,interpolation=bilinear,"
            "mean=(0.485, 0.456, 0.406),std=(0.229, 0.224, 0.225),classes=1000"
        ),
        "weights": "sha256:3e41cc8a",
    }


def test_a_file_is_named_by_its_content_wherever_it_lies(tiny, tmp_path):
    moved, changed = tmp_path / "another_name.safetensors", tmp_path / "changed.safetensors"
    shutil.copy(tiny, moved)
    changed.write_bytes(tiny.read_bytes() + b"\0")
    named = identity(parse_spec(f"torchvision:{TINY}@{tiny}"))
    assert named["weights"] == f"sha256:{sha256(tiny)}"
    assert identity(parse_spec(f"torchvision:{TINY}@{moved}")) == named
    assert identity(parse_spec(f"torchvision:{TINY}@{changed}")) != named


@pytest.mark.parametrize(
    "query",
    ["resize=300", "crop=200", "interpolation=bicubic", "mean=0.5,0.5,0.5", "std=0.5,0.5,0.5", "classes=1001"],
)
def test_other_preprocessing_is_another_classifier(query):
    plain = identity(parse_spec("alexnet"))
    other = identity(parse_spec(f"alexnet?{query}"))
    assert {key for key in plain if plain[key] != other[key]} == {"preprocessing"}


def test_preprocessing_that_only_repeats_the_defaults_is_the_same_classifier():
    text = "alexnet?resize=256&mean=0.4850,0.456,.406&classes=1000"
    assert identity(parse_spec(text)) == identity(parse_spec("alexnet"))


def test_weights_that_lie_in_no_file_are_named_by_their_tensors():
    spec = parse_spec(COLOURS)
    assert identity(spec)["weights"] == f"sha256:{load(spec).weights_sha256}"
    assert identity(spec) == identity(spec)
    other = parse_spec(COLOURS.replace("reads_colours", "reads_the_next_class"))
    assert identity(other)["weights"] != identity(spec)["weights"]


def test_a_classifier_that_is_loaded_already_is_not_loaded_again_for_its_name(monkeypatch):
    spec, classifier = parse_spec(COLOURS), load(COLOURS)
    named = identity(spec)
    monkeypatch.setattr("harness.classifiers.loading.load", lambda *args: pytest.fail("loaded"))
    assert identity(spec, loaded=lambda spec: classifier) == named


def test_edited_code_is_another_classifier_and_none_of_it_is_run(module, tiny, tmp_path):
    trace = tmp_path / "it-ran"
    source = f"import pathlib\npathlib.Path({str(trace)!r}).touch()\n"
    spec = parse_spec(f"python:{module(source)}:build@{tiny}")
    named = identity(spec)
    assert named["code"] == hashlib.sha256(source.encode()).hexdigest()
    module(f"{source}# edited\n")
    edited = identity(spec)
    assert {key for key in named if named[key] != edited[key]} == {"code"}
    assert not trace.exists()


def test_a_missing_weights_file_can_not_be_named(tmp_path):
    with pytest.raises(CheckpointError, match="no weights file"):
        identity(parse_spec(f"alexnet@{tmp_path / 'w.pth'}"))


@pytest.mark.parametrize("text", ["alexnet", "torchvision:alexnet", "resnext50_32x4d"])
def test_the_cost_of_a_known_classifier_is_its_millions_of_parameters(text):
    assert cost(parse_spec(text)) == CATALOG[text.rpartition(":")[2]].millions


def test_the_cost_of_a_file_is_about_its_millions_of_parameters(tiny):
    parameters = sum(parameter.numel() for parameter in architecture().parameters())
    assert cost(parse_spec(f"torchvision:{TINY}@{tiny}")) == pytest.approx(parameters / 1e6, rel=0.01)


def test_the_cost_of_what_is_not_known_is_nothing(tmp_path):
    assert cost(parse_spec(f"timm:resnet18@{tmp_path / 'w.pth'}")) == cost(parse_spec("hub:a/b:c")) == 0


def run(code, pytestconfig):
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=pytestconfig.rootpath, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_naming_what_lies_in_a_file_imports_neither_torch_nor_torchvision_nor_timm(tiny, pytestconfig):
    code = f"""
import sys
from harness.classifiers.loading import cost, identity
from harness.classifiers.spec import parse_spec
for name in ("torchvision:{TINY}", "timm:resnet18", "python:data_fixtures.classifiers:build", "alexnet"):
    for spec in (parse_spec(name + "@{tiny}"), parse_spec("alexnet")):
        identity(spec), cost(spec)
print(sorted({{name.partition(".")[0] for name in sys.modules}} & {{"torch", "torchvision", "timm", "safetensors"}}))
"""
    assert run(code, pytestconfig).strip() == "[]"
