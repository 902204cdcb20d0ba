"""Weights files: read without running any code, checked against hash and architecture, wrong ones named."""

import contextlib
import hashlib
import os
import pickle
import urllib.error
import warnings
from collections import OrderedDict

import numpy as np
import pytest

from harness.classifiers.disk import file_sha256
from harness.classifiers.weights import fetch, load_state, precision_of, read_state, state_sha256
from harness.errors import CheckpointError, DataMissing

URL = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"


def tensors(dtype="float32"):
    import torch

    torch.manual_seed(0)
    return {
        "stem.weight": torch.randn(4, 3, 3, 3).to(getattr(torch, dtype)),
        "stem.bias": torch.randn(4).to(getattr(torch, dtype)),
        "scale": torch.tensor(2.5).to(getattr(torch, dtype)),
    }


def write(path, content):
    import torch
    from safetensors.torch import save_file

    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)
    return path


def equal(state, expected):
    return list(state) == list(expected) and all(bool((state[name] == expected[name]).all()) for name in expected)


def small(norm=True):
    """A module of conv, batch norm and linear: nine tensors with it, four without."""
    from torch import nn

    layers = {"conv": nn.Conv2d(3, 4, 3), "norm": nn.BatchNorm2d(4), "head": nn.Linear(4, 5)}
    return nn.Sequential(OrderedDict((name, layer) for name, layer in layers.items() if norm or name != "norm"))


class RunsCode:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.pt", "w.bin"])
def test_what_is_written_is_read_back(tmp_path, name, dtype):
    expected = tensors(dtype)
    state = read_state(write(tmp_path / name, expected))
    assert equal({key: state[key] for key in expected}, expected)
    assert {tensor.dtype for tensor in state.values()} == {tensor.dtype for tensor in expected.values()}


def prefixed(state):
    return {f"module.{name}": tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda state: {"state_dict": state}, id="state_dict"),
        pytest.param(lambda state: {"model": state}, id="model"),
        pytest.param(lambda state: {"model_state_dict": state}, id="model_state_dict"),
        pytest.param(lambda state: {"model_ema": state, "epoch": 3}, id="ema"),
        pytest.param(lambda state: {"state_dict_ema": prefixed(state), "state_dict": state}, id="trained-before-ema"),
        pytest.param(prefixed, id="data-parallel"),
        pytest.param(lambda state: prefixed(prefixed(state)), id="data-parallel-twice"),
        pytest.param(lambda state: {"state_dict": prefixed(state), "epoch": 90, "arch": "a"}, id="both"),
        pytest.param(lambda state: {"model": OrderedDict(state), "optimizer": {"lr": 0.1}}, id="beside-an-optimizer"),
    ],
)
def test_wrappers_are_taken_off(tmp_path, wrap):
    expected = tensors()
    assert equal(read_state(write(tmp_path / "w.pth", wrap(expected))), expected)


def test_a_module_that_only_some_names_begin_with_is_part_of_the_names(tmp_path):
    import torch

    expected = {"module.a": torch.ones(2), "b": torch.ones(2)}
    assert equal(read_state(write(tmp_path / "w.pth", expected)), expected)


def test_the_old_format_of_torch_save_is_read(tmp_path):
    import torch

    expected = tensors()
    torch.save(expected, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    assert equal(read_state(tmp_path / "w.pth"), expected)


def refusal(path):
    with pytest.raises(CheckpointError) as caught:
        read_state(path)
    line = str(caught.value)
    assert str(path) in line
    assert "\n" not in line
    return line


@pytest.mark.parametrize("form", ["zip", "torch-legacy", "raw-protocol-0", "raw-protocol-2", "raw-protocol-5"])
def test_a_pickle_that_runs_code_is_refused_and_not_run(tmp_path, form):
    import torch

    path, trace = tmp_path / "w.pth", tmp_path / "it-ran"
    content = {"state_dict": tensors(), "extra": RunsCode(trace)}
    if form.startswith("raw"):
        path.write_bytes(pickle.dumps(RunsCode(trace), protocol=int(form[-1])))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    line = refusal(path)
    assert not trace.exists()
    assert "refused, nothing of it was run" in line
    assert "mkdir" in line or form == "raw-protocol-5"
    assert "safetensors" in line
    assert "weights_only" not in line


@pytest.mark.parametrize("form", ["raw", "zip"])
def test_the_pickle_of_this_test_does_run_code_when_it_is_let(tmp_path, form):
    import torch

    trace = tmp_path / "it-ran"
    if form == "raw":
        pickle.loads(pickle.dumps(RunsCode(trace)))
    else:
        torch.save(RunsCode(trace), tmp_path / "w.pth")
        torch.load(tmp_path / "w.pth", weights_only=False)
    assert trace.is_dir()


def test_a_whole_module_is_refused_by_the_name_of_its_class(tmp_path):
    line = refusal(write(tmp_path / "w.pth", small()))
    assert "torch.nn.modules" in line
    assert "needs code to load" in line
    assert "save its state_dict alone" in line
    assert "torch.export.save(torch.export.export(model.eval(), (images,)), 'FILE.pt2')" in line


def test_a_torchscript_archive_is_refused_with_the_reason(tmp_path):
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(torch.nn.Linear(1, 1), torch.ones(1, 1)), str(tmp_path / "w.pt"))
    assert "is a TorchScript archive, which holds code; refused" in refusal(tmp_path / "w.pt")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
def test_a_cut_short_file_is_refused(tmp_path, suffix, share):
    path = write(tmp_path / f"w{suffix}", tensors())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert "get it again" in refusal(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_damaged_file_never_ends_in_a_traceback(tmp_path, suffix):
    random = np.random.default_rng(0)
    path = write(tmp_path / f"w{suffix}", tensors())
    whole = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    for _ in range(150):
        damaged = whole.copy()
        places = random.integers(0, len(whole), size=8)
        damaged[places] = random.integers(0, 256, size=8)
        path.write_bytes(damaged.tobytes())
        with contextlib.suppress(CheckpointError):
            read_state(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize(
    "content", [b"<!DOCTYPE html>\n<html><body>404</body></html>\n", b"\0" * 100, b"PK\x03\x04 no zip", b"{}", b"."]
)
def test_what_is_no_checkpoint_is_refused(tmp_path, suffix, content):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    refusal(path)


def test_a_web_page_is_told_from_a_checkpoint(tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(b"<!DOCTYPE html>\n<html><body>404</body></html>\n")
    assert "is not a checkpoint" in refusal(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_no_file_a_folder_and_an_empty_file_are_told_apart(tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    assert "no weights file" in refusal(path)
    path.mkdir()
    assert "is a folder" in refusal(path)
    path.rmdir()
    path.touch()
    assert "is empty" in refusal(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param({"epoch": 3, "optimizer": {"lr": 0.1}}, "more than tensors (epoch, optimizer)", id="optimizer"),
        pytest.param({"best": {"a": 1}}, "more than tensors (best)", id="unknown-wrapper"),
        pytest.param({"state_dict": {"epoch": 3}}, "more than tensors (epoch)", id="wrapped-numbers"),
        pytest.param({"state_dict": {}}, "no tensors by name", id="nothing"),
        pytest.param([1, 2], "a list and no tensors by name", id="list"),
        pytest.param(7, "a int and no tensors by name", id="number"),
    ],
)
def test_a_checkpoint_without_a_state_dict_is_named(tmp_path, content, says):
    assert says in refusal(write(tmp_path / "w.pth", content))


def test_tensors_by_number_are_refused(tmp_path):
    import torch

    assert "more than tensors (0)" in refusal(write(tmp_path / "w.pth", {0: torch.ones(1)}))


def test_an_unreadable_file_is_one_line(tmp_path, monkeypatch):
    path = tmp_path / "w.pth"
    path.write_bytes(b"PK")
    monkeypatch.setattr(
        "hashlib.file_digest", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied"))
    )
    with pytest.raises(CheckpointError, match="w.pth can't be read .Permission denied."):
        file_sha256(path)


def test_a_hash_is_that_of_the_bytes_and_follows_the_content(tmp_path):
    path = tmp_path / "w.pth"
    for content in (b"one", b"another"):
        path.write_bytes(content)
        assert file_sha256(path) == hashlib.sha256(content).hexdigest()


def test_a_hash_of_tensors_depends_on_name_type_shape_and_bytes_and_not_on_order():
    import torch

    state = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(1)}
    others = [
        {"a": state["a"], "c": state["b"]},
        {"a": state["a"].reshape(3, 2), "b": state["b"]},
        {"a": state["a"] + 1, "b": state["b"]},
        {"a": state["a"].view(torch.int32), "b": state["b"]},
        {"a": state["a"]},
    ]
    assert len({state_sha256(each) for each in (state, *others)}) == 6
    assert state_sha256(dict(reversed(state.items()))) == state_sha256(state)
    assert state_sha256({**state, "a": state["a"].t().contiguous().t()}) == state_sha256(state)
    assert len(state_sha256({"a": torch.ones(2, dtype=torch.bfloat16)})) == 64


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_tensors_are_put_into_a_module_in_its_own_precision(dtype):
    import torch

    source, module = small(), small()
    state = {
        name: tensor.to(getattr(torch, dtype)) if tensor.is_floating_point() else tensor
        for name, tensor in source.state_dict().items()
    }
    load_state(module, state, "w.pth")
    for name, tensor in module.state_dict().items():
        assert tensor.dtype == source.state_dict()[name].dtype
        assert torch.equal(tensor, state[name].to(tensor.dtype))


def test_the_counters_of_batch_norms_may_be_missing():
    module = small()
    state = {name: tensor for name, tensor in module.state_dict().items() if "num_batches" not in name}
    load_state(module, state, "w.pth")


def test_a_module_that_asks_for_its_version_gets_it():
    import torch
    from torch import nn

    class Versioned(nn.Linear):
        _version = 2

        def _load_from_state_dict(self, state_dict, prefix, local_metadata, *rest):
            assert local_metadata["version"] == 2
            super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

    module = nn.Sequential(Versioned(2, 3))
    load_state(module, {"0.weight": torch.ones(3, 2), "0.bias": torch.zeros(3)}, "w.safetensors")
    assert torch.equal(module[0].weight, torch.ones(3, 2))


def misfit(change):
    module = small()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    state = dict(small().state_dict())
    change(state)
    with pytest.raises(CheckpointError) as caught:
        load_state(module, state, "runs/w.pth")
    assert equal(module.state_dict(), before)
    line = str(caught.value)
    assert line.startswith("runs/w.pth ")
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(
            lambda state: state.pop("head.bias"),
            ["1 missing (head.bias); all others fit: save the whole state_dict, or check"],
            id="missing",
        ),
        pytest.param(
            lambda state: state.update(fc=state["head.bias"]),
            ["1 unexpected (fc); all others fit: save it without them, or check"],
            id="extra",
        ),
        pytest.param(
            lambda state: state.update({"head.weight": state["head.weight"][:3]}),
            ["1 misshapen (head.weight is 3x4 instead of 5x4); its names fit, so it is of another width or size"],
            id="misshapen",
        ),
        pytest.param(
            lambda state: state.update({"norm.num_batches_tracked": state["head.bias"]}),
            ["1 misshapen (norm.num_batches_tracked is 5 instead of scalar)"],
            id="misshapen-scalar",
        ),
        pytest.param(
            lambda state: state.update({"fc.weight": state.pop("head.weight"), "fc.bias": state.pop("head.bias")}),
            ["2 missing (head.weight, head.bias)", "2 unexpected (fc.weight, fc.bias)"],
            id="renamed",
        ),
        pytest.param(
            lambda state: [state.pop(name) for name in list(state) if name.startswith("norm")],
            ["4 missing (norm.weight, norm.bias, norm.running_mean, ...)"],
            id="many",
        ),
        pytest.param(
            lambda state: state.update({"head.weight": state["head.weight"].char()}),
            [
                "has the names and shapes of the architecture, but 1 not in floating point (head.weight: int8); "
                "save them in floating point"
            ],
            id="quantised",
        ),
        pytest.param(
            lambda state: state["conv.weight"][1, 0, 0, 0].fill_(float("nan")),
            ["holds 1 NaN or infinite numbers, in conv.weight;"],
            id="nan",
        ),
        pytest.param(
            lambda state: [state[name].fill_(float("inf")) for name in ("conv.bias", "head.bias")],
            ["holds 9 NaN or infinite numbers, in conv.bias, head.bias;"],
            id="infinite",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(change, says):
    line = misfit(change)
    for part in says:
        assert part in line


@pytest.fixture
def torch_home(tmp_path, monkeypatch):
    """An empty folder for torch hub's downloads; gives its folder of checkpoints."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch/hub/checkpoints"


def test_a_published_file_that_is_there_is_not_downloaded(torch_home, monkeypatch):
    monkeypatch.setattr("torch.hub.download_url_to_file", None)
    torch_home.mkdir(parents=True)
    (torch_home / "w-2c26b46b.pth").write_bytes(b"foo")
    assert fetch("https://example.org/w-2c26b46b.pth", "2c26b46b") == torch_home / "w-2c26b46b.pth"


def test_a_published_file_is_downloaded_once(torch_home, monkeypatch):
    asked = []

    def download(url, path, hash_prefix, progress):
        asked.append((url, hash_prefix))
        with open(path, "wb") as file:
            file.write(b"foo")

    monkeypatch.setattr("torch.hub.download_url_to_file", download)
    for _ in range(2):
        assert fetch("https://example.org/w-2c26b46b.pth", "2c26b46b").read_bytes() == b"foo"
    assert asked == [("https://example.org/w-2c26b46b.pth", "2c26b46b")]


def test_another_file_under_a_published_name_is_refused_before_it_is_read(torch_home, monkeypatch):
    monkeypatch.setattr("torch.hub.download_url_to_file", None)
    torch_home.mkdir(parents=True)
    path = torch_home / "alexnet-owt-7be5be79.pth"
    path.write_bytes(b"other bytes")
    digest = hashlib.sha256(b"other bytes").hexdigest()
    with pytest.raises(CheckpointError) as caught:
        fetch(URL, "7be5be79")
    assert str(caught.value) == (
        f"{path} has sha256 {digest[:16]}..., expected 7be5be79...; delete it and it is downloaded again"
    )
    assert path.read_bytes() == b"other bytes"


def test_a_download_with_another_hash_is_refused(torch_home, monkeypatch):
    def download(*args, **options):
        raise RuntimeError('invalid hash value (expected "7be5be79", got "00")')

    monkeypatch.setattr("torch.hub.download_url_to_file", download)
    with pytest.raises(CheckpointError, match=f"{URL} is not what was published .invalid hash value"):
        fetch(URL, "7be5be79")


@pytest.mark.parametrize(
    "failure",
    [
        urllib.error.URLError("Name or service not known"),
        urllib.error.HTTPError(URL, 403, "Forbidden", None, None),
        TimeoutError("timed out"),
        OSError(28, "No space left on device"),
    ],
    ids=["offline", "forbidden", "timeout", "disk-full"],
)
def test_a_failed_download_names_the_url_and_where_to_put_the_file(torch_home, monkeypatch, failure):
    def download(*args, **options):
        raise failure

    monkeypatch.setattr("torch.hub.download_url_to_file", download)
    with pytest.raises(DataMissing) as caught:
        fetch(URL, "7be5be79")
    line = str(caught.value)
    assert URL in line
    assert str(failure) in line
    assert f"put the file at {torch_home / 'alexnet-owt-7be5be79.pth'}" in line


@pytest.mark.parametrize(
    ("dtypes", "precision"),
    [
        (["float32"], "fp32"),
        (["float16", "float16"], "fp16"),
        (["bfloat16"], "bf16"),
        (["float64"], "fp64"),
        (["float16", "float32"], "mixed"),
        (["float16", "int64"], "fp16"),
        (["int64"], "fp32"),
        ([], "fp32"),
    ],
    ids=str,
)
def test_the_precision_of_weights_is_that_of_their_floating_point(dtypes, precision):
    import torch

    assert precision_of(getattr(torch, name) for name in dtypes) == precision


def test_numbers_that_are_not_finite_are_counted_and_the_first_three_tensors_named():
    def spoil(state):
        for name in ("conv.weight", "conv.bias", "norm.weight", "head.bias"):
            state[name].flatten()[:2] = float("nan")

    assert "holds 8 NaN or infinite numbers, in conv.weight, conv.bias, norm.weight, ...; get it again" in misfit(spoil)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2"])
def test_weights_of_eight_bits_are_widened(tmp_path, dtype, suffix):
    import torch

    module = small()
    numbers = {name: torch.full_like(tensor, 1.5) for name, tensor in module.state_dict().items()}
    narrow = {n: t.to(getattr(torch, dtype)) if t.is_floating_point() else t for n, t in numbers.items()}
    load_state(module, read_state(write(tmp_path / f"w{suffix}", narrow)), "w")
    assert equal(module.state_dict(), numbers)
    narrow["head.bias"] = torch.full((5,), float("nan")).to(getattr(torch, dtype))
    with pytest.raises(CheckpointError, match="holds 5 NaN or infinite numbers, in head.bias"):
        load_state(module, narrow, "w")


@pytest.mark.parametrize("layout", ["to_sparse", "to_sparse_csr"])
def test_sparse_weights_are_filled_up(tmp_path, layout):
    import torch

    module = torch.nn.Linear(4, 5)
    weight = torch.eye(5, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of csr, that it is in beta
        path = write(tmp_path / "w.pth", {"weight": getattr(weight, layout)(), "bias": torch.ones(5)})
        load_state(module, read_state(path), "w.pth")
    assert torch.equal(module.weight, weight)


def test_weights_without_numbers_are_refused(tmp_path):
    import torch

    line = refusal(write(tmp_path / "w.pth", {"stem.bias": torch.ones(2, device="meta")}))
    assert "holds no numbers of stem.bias, which was saved from the meta device" in line


@pytest.mark.parametrize("name", ["w.pth", "w.bin", "w.SAFETENSORS", "w"])
def test_safetensors_are_told_by_what_is_in_them(tmp_path, name):
    write(tmp_path / "it.safetensors", tensors()).rename(tmp_path / name)
    assert read_state(tmp_path / name).keys() == tensors().keys()


def test_a_pickle_is_told_from_safetensors_whatever_it_is_called(tmp_path):
    write(tmp_path / "it.pth", tensors()).rename(tmp_path / "w.safetensors")
    assert equal(read_state(tmp_path / "w.safetensors"), tensors())


def test_a_mask_that_is_infinite_in_the_architecture_itself_is_let_through():
    import torch
    from torch import nn

    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(2, 2)
            self.register_buffer("mask", torch.full((2, 2), -torch.inf))

    module, state = Masked(), Masked().state_dict()
    load_state(module, state, "w.pth")
    assert torch.equal(module.head.weight, state["head.weight"])


def quantised_linear():
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(torch.nn.Sequential(torch.nn.Linear(4, 5))).state_dict()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(quantised_linear, id="dynamic"),
        pytest.param(
            lambda: {"fc.weight": tensors()["scale"].char(), "fc.weight_scale": tensors()["scale"]}, id="scale"
        ),
    ],
)
def test_quantised_weights_are_refused_with_the_way_out(tmp_path, content):
    line = refusal(write(tmp_path / "w.pth", content()))
    assert "export the classifier as a TorchScript program instead, or dequantise it" in line
