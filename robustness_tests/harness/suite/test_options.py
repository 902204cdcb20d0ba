"""The options of the suite as pytest takes them: wrong values end the run in one line, before anything is collected."""

import pytest

from harness.engines.local import Local
from harness.errors import UsageError
from harness.suite import flags
from harness.suite.flags import CLAIMS, MEASURING, Option, value_of
from harness.suite.options import read_candidate, read_classifiers, read_request

PATH = Option("--data-root", "where", "DIR", "from default", ini="data_root", env="ROBUSTNESS_DATA")


def request_of(**given):
    """Read a request in which only what is given was typed."""
    return read_request(lambda option: value_of(option, given.get(option.dest), environment={}))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"device": "cud"}, "unknown value of --device 'cud'; known: cuda, cpu, auto"),
        ({"device": "cuda:"}, "unknown value of --device 'cuda:'; known: cuda, cpu, auto"),
        ({"precision": "fp16"}, "unknown value of --precision 'fp16'; known: bf16, fp32, tf32"),
        ({"alpha": "0"}, "--alpha '0' is not a number between 0 and 0.5, e.g. 1e-3"),
        ({"alpha": "0.5"}, "--alpha '0.5' is not a number between 0 and 0.5, e.g. 1e-3"),
        ({"alpha": "nan"}, "--alpha 'nan' is not a number between 0 and 0.5, e.g. 1e-3"),
        ({"alpha": "1e-3x"}, "--alpha '1e-3x' is not a number between 0 and 0.5, e.g. 1e-3"),
        ({"images": "0"}, "--images '0' is not a whole number of at least 1"),
        ({"images": "1.5"}, "--images '1.5' is not a whole number of at least 1"),
        ({"images": ""}, "--images '' is not a whole number of at least 1"),
        ({"batch_size": "-1"}, "--batch-size '-1' is not a whole number of at least 1"),
        ({"seed": "-1"}, "--seed '-1' is not a whole number of at least 0 and at most 4294967295"),
        ({"seed": "4294967296"}, "--seed '4294967296' is not a whole number of at least 0 and at most 4294967295"),
        ({"data": ["imagenet-c"]}, "--data 'imagenet-c' is not of the form NAME=DIR, e.g. imagenet-c=/data/ImageNet-C"),
        ({"data": ["imagenet=/a", "imagenet=/b"]}, "--data places imagenet twice; give it one folder"),
        ({"records": ""}, "--records is empty; name a folder or leave it out"),
        (
            {"data": ["imagenet-c="]},
            "--data 'imagenet-c=' is not of the form NAME=DIR, e.g. imagenet-c=/data/ImageNet-C",
        ),
        (
            {"data": ["imagenet_c=/d"]},
            "unknown benchmark 'imagenet_c'; known: imagenet-c, imagenet, imagenet-a, imagenet-p, cue-conflict",
        ),
    ],
    ids=lambda value: "-".join(f"{name}_{word}" for name, word in value.items()) if isinstance(value, dict) else "",
)
def test_a_value_that_is_not_understood_is_told(given, message):
    with pytest.raises(UsageError) as caught:
        request_of(**given)
    assert str(caught.value) == message


def test_values_are_read():
    request = request_of(
        data_root="/d", data=["imagenet-a=/a"], images="7", device="cuda:3", batch_size="auto", seed="9"
    )
    assert str(request.roots.folder("imagenet")) == "/d/imagenet"
    assert str(request.roots.folder("imagenet-a")) == "/a"
    settings = request.settings
    assert (settings.images, settings.device, settings.batch_size, settings.seed) == (7, "cuda:3", None, 9)
    assert (settings.precision, request.alpha, str(request.records)) == ("fp32", 1e-3, flags.DEFAULT_RECORDS)


def test_the_paper_s_classifiers_are_the_default():
    baseline, subjects = read_classifiers(None, None)
    assert baseline.label == "resnext101_32x8d"
    assert [subject.label for subject in subjects] == [f"resnext101_32x{width}d_wsl" for width in (8, 16, 32, 48)]


def test_lists_of_classifiers_add_up_and_leave_the_baseline_out():
    _, subjects = read_classifiers(["alexnet, resnext101_32x8d", "timm:a?mean=0,0,0&std=1,1,1"], None)
    assert [subject.text for subject in subjects] == ["alexnet", "timm:a?mean=0,0,0&std=1,1,1"]


@pytest.mark.parametrize(
    ("classifiers", "baseline", "message"),
    [
        pytest.param(["alexnet,alexnet"], None, "--classifiers names alexnet twice", id="twice"),
        pytest.param(["alexnet", "alexnet"], None, "--classifiers names alexnet twice", id="twice_in_two_options"),
        pytest.param(["alexnet"], "alexnet", "--classifiers names no classifier", id="baseline_only"),
        pytest.param([","], None, "--classifiers names no classifier beside the baseline", id="none"),
        pytest.param(["alexnt"], None, "unknown classifier 'alexnt'; known: alexnet, ", id="unknown"),
        pytest.param(None, "resnext101_32x8", "unknown classifier 'resnext101_32x8'; known: resnext101_32x8d, ",
                     id="unknown_baseline"),
        pytest.param(["tim:resnet18"], None, "unknown source of a classifier 'tim'; known: t", id="unknown_source"),
    ],
)  # fmt: skip
def test_classifiers_that_are_not_understood_are_told(classifiers, baseline, message):
    with pytest.raises(UsageError) as caught:
        read_classifiers(classifiers, baseline)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def candidate_of(baseline=None, **given):
    return read_candidate(lambda option: given.get(option.dest), baseline)


@pytest.mark.parametrize(
    ("given", "baseline", "message"),
    [
        ({"against": "alexnet"}, None, "--against goes with --candidate SPEC; add that, or leave it out"),
        ({"expect_like": "mine"}, None, "--expect-like goes with --candidate SPEC; add that, or leave it out"),
        ({"xfails": "f"}, None, "--xfails goes with --candidate SPEC; add that, or leave it out"),
        (
            {"candidate": "alexnet", "expect_like": ""},
            None,
            "--expect-like is given nothing; say which, or leave it",
        ),
        ({"candidate": "alexnet", "xfails": ""}, None, "--xfails is given nothing; say which, or leave it"),
        ({"candidate": "alexnet", "margin": "0"}, None, "--margin goes with --against SPEC; add that, or leave it out"),
        (
            {"candidate": "alexnet", "against": "resnext50_32x4d", "margin": "-1"},
            None,
            "--margin '-1' is not a number in [0, 1), e.g. 0.005 for half a point",
        ),
        (
            {"candidate": "alexnet", "against": "resnext50_32x4d", "margin": "nan"},
            None,
            "--margin 'nan' is not a number in [0, 1), e.g. 0.005 for half a point",
        ),
        (
            {"candidate": "alexnet?mean=0,0,0,alexnet"},
            None,
            "--candidate names one classifier, and 'alexnet?mean=0,0,0,alexnet' names 2; run pytest once for each",
        ),
        (
            {"candidate": "alexnet", "against": "alexnet"},
            None,
            "--against names the candidate itself; name another classifier, or leave it out",
        ),
        (
            {"candidate": "alexnet"},
            "alexnet",
            "--baseline names the candidate itself; name another classifier, or leave it out",
        ),
    ],
)
def test_what_does_not_go_with_a_candidate_is_told(given, baseline, message):
    with pytest.raises(UsageError) as caught:
        candidate_of(baseline, **given)
    assert str(caught.value) == message


def test_a_candidate_is_read():
    found = candidate_of(candidate="alexnet", against="resnext50_32x4d", expect_like="mine", xfails="~/x")
    assert (found.spec.name, found.against.name, found.like) == ("alexnet", "resnext50_32x4d", "mine")
    assert found.margin == 0.005
    assert found.xfails.is_absolute()
    assert candidate_of(candidate="alexnet", against="resnext50_32x4d", margin="0").margin == 0
    assert candidate_of() is None
    assert candidate_of(candidate="torchvision:alexnet@a,b.pth").spec.weights == "a,b.pth"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (("-m", "candidate"), "-m candidate asks the classifier that --candidate SPEC names; add that"),
        (("-m", "full", "--candidate", "alexnet"), "--candidate names whom -m candidate asks; add that"),
        (
            ("-m", "candidate", "--candidate", "alexnet", "--classifiers", "resnext50_32x4d"),
            "--classifiers names whom -m full asks, and -m candidate asks --candidate alone; leave it out, or ask both",
        ),
        (("-m", "candidate", "--candidate", "alexnt"), "unknown classifier 'alexnt'; known: alexnet"),
    ],
)
def test_a_candidate_is_named_exactly_where_it_is_asked(run_suite, typed, told):
    run = run_suite(*typed)
    assert run.code == 4
    assert told in run.err
    assert "Traceback" not in run.err


def test_a_gpu_that_is_not_there_is_told(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [Local().device(device) for device in ("auto", "cpu", "cuda", "cuda:1")] == ["cuda", "cpu", "cuda", "cuda:1"]
    with pytest.raises(UsageError, match="--device cuda:2: this machine has 2 CUDA devices"):
        Local().device("cuda:2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert Local().device("auto") == "cpu"


@pytest.mark.parametrize(
    ("given", "ini", "environment", "expected"),
    [
        ("typed", "from ini", "from environment", "typed"),
        (None, "from ini", "from environment", "from ini"),
        (None, "", "from environment", "from environment"),
        (None, "", "", "from default"),
        ("", "from ini", "from environment", ""),
    ],
)
def test_the_command_line_beats_the_ini_file_beats_the_environment(given, ini, environment, expected):
    values = {"data_root": ini}
    assert value_of(PATH, given, values.__getitem__, {"ROBUSTNESS_DATA": environment}) == expected


def test_an_option_of_no_environment_variable_reads_none():
    assert value_of(Option("--seed", "seed", "N", "0"), None, environment={"": "7"}) == "0"


def test_flags_and_ini_keys_are_unique():
    every = (*MEASURING, *CLAIMS)
    assert len({option.flag for option in every}) == len({option.dest for option in every}) == len(every)
    assert [option.ini for option in every if option.ini] == ["data_root", "records", "references", "report"]


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        pytest.param("--device=cud", "unknown value of --device 'cud'; known: cuda, cpu, auto", id="device"),
        pytest.param("--baseline=alexnt", "unknown classifier 'alexnt'; known: alexnet, ", id="baseline"),
    ],
)
def test_a_wrong_value_ends_the_run_in_one_line(run_suite, typed, told):
    run = run_suite(typed, "-m", "quick")
    assert run.code == 4
    (line,) = filter(None, run.err.splitlines())
    assert line.startswith(f"ERROR: {told}")
    assert run.out.strip() == ""


def test_a_wrong_value_does_not_hang_workers(run_suite):
    run = run_suite("--alpha=7", "-m", "quick", "-n", "2")
    assert run.code == 4
    assert "ERROR: --alpha '7' is not a number between 0 and 0.5" in run.err


def test_all_options_are_shown_in_one_group(run_suite):
    run = run_suite("--help")
    assert run.code == 0
    group = run.out.partition("\nrobustness claims:\n")[2].partition("\n\n")[0]
    shown = [line.split()[0].partition("=")[0] for line in group.splitlines() if line.startswith("  --")]
    assert shown == [option.flag for option in (*MEASURING, *CLAIMS)]
    assert all(f"default of {option.flag}" in run.out for option in (*MEASURING, *CLAIMS) if option.ini)


@pytest.mark.parametrize("source", ["environment", "ini"])
def test_folders_may_be_given_by_the_environment_or_the_ini_file(run_suite, tmp_path, source):
    ini = ["-o", f"data_root={tmp_path}/ini", "-o", f"records={tmp_path}/kept", "-o", f"report={tmp_path}/report"]
    run = run_suite(
        *("-m", "quick", "-k", "humans", "robustness_tests/test_table3_shape_bias.py"),
        *(ini if source == "ini" else []),
        env={"ROBUSTNESS_DATA": f"{tmp_path}/environment", "COLUMNS": "300"},
    )
    records = f"{tmp_path}/kept" if source == "ini" else flags.DEFAULT_RECORDS
    assert f"data root: {tmp_path}/{source}; found nothing; missing imagenet, " in run.line("data root")
    assert run.line("records:").startswith(f"records: {records}, ")
    assert (tmp_path / "report" / "verdicts.json").exists() == (source == "ini")
