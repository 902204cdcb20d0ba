"""`python -m harness` under attack: what it prints and refuses to print."""

import json
import re

import pytest

from data_fixtures.colours import write_imagenet
from harness.cli import main
from harness.protocols.attacks import Attack

pytestmark = pytest.mark.usefixtures("one_thread")

RIGHT = "python:data_fixtures.classifiers:reads_colours?mean=0,0,0&std=1,1,1&resize=16&crop=16"
NEXT = RIGHT.replace("reads_colours", "reads_the_next_class")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_imagenet(root / "imagenet", range(10), per_class=2, seen_as=lambda index, place: 5 if index == 3 else index)
    return root


@pytest.fixture
def run(data, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("ROBUSTNESS_DATA", raising=False)

    def run(*arguments):
        code = main([*arguments, "--data-root", str(data), "--records", str(tmp_path / "records")])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def measured(run):
    """Measure under a protocol, as JSON."""

    def measured(spec, protocol, *arguments):
        code, out, err = run("measure", spec, "imagenet", "--protocol", protocol, "--json", *arguments)
        assert (code, err) == (0, "")
        return json.loads(out)

    return measured


def accuracies(found):
    return {name: each["value"] for name, each in found["metrics"].items() if name.startswith("accuracy_after")}


def test_the_published_attack_as_json(measured):
    found = measured(RIGHT, "pgd-published")
    assert list(accuracies(found)) == [f"accuracy_after_{steps}_steps" for steps in (10, 20, 30, 40, 50)]
    assert found["metrics"]["top1"] == {**found["metrics"]["top1"], "value": 0.9, "images": 20}
    low, high = found["metrics"]["accuracy_after_50_steps"]["interval"]
    assert low < 0.9 < high < 1
    attack = Attack("published")
    assert (found["benchmark"], found["protocol"], found["classifier"]) == ("imagenet", "pgd-published", RIGHT)
    assert (found["tags"], found["attack"]) == (attack.tags.as_words(), attack.describe())
    assert (found["available"], found["seed"], found["precision"]) == (20, 0, "fp32")
    assert found["metrics"]["beyond_eps"]["value"] < 1e-6
    assert found["metrics"]["outside"]["value"] == 0
    assert found["not_measured"] == {}


def test_the_standard_attack_as_json(measured):
    found = measured(RIGHT, "pgd-standard", "--steps", "5,15")
    assert accuracies(found) == {
        "accuracy_after_5_steps": 0.9,
        "accuracy_after_15_steps": 0,
        "accuracy_after_15_steps_cross_entropy": 0,
        "accuracy_after_15_steps_margin": 0,
    }
    assert found["metrics"]["restart_spread"]["value"] == 0
    assert found["metrics"]["success_rate_after_15_steps"]["value"] == 1
    assert found["metrics"]["loss_gain"]["value"] > 0


def test_one_number_of_steps_is_the_length_of_the_attack(measured):
    assert list(accuracies(measured(RIGHT, "pgd-published", "--steps", "20"))) == [
        "accuracy_after_10_steps",
        "accuracy_after_20_steps",
    ]


def test_eps_may_be_typed_in_levels(measured):
    # Half the way to the next colour is 12.5 levels.
    near, far = (measured(RIGHT, "pgd-standard", "--eps", eps, "--steps", "20") for eps in ("12/255", "14/255"))
    assert accuracies(near)["accuracy_after_20_steps"] == 0.9
    assert accuracies(far)["accuracy_after_20_steps"] == 0
    assert "eps 12/255" in near["attack"]


def test_followed_images_have_a_final_accuracy_too(measured):
    found = measured(RIGHT, "pgd-standard", "--steps", "5,15", "--restarts", "1", "--follow")
    assert found["metrics"]["final_accuracy_after_5_steps"]["value"] == 0.9
    assert found["metrics"]["final_accuracy_after_15_steps"]["value"] == 0
    assert list(found["not_measured"]) == ["restart_spread"]
    assert "--restarts 2" in found["not_measured"]["restart_spread"]


def test_a_transferred_attack_names_its_surrogate(measured):
    found = measured(NEXT, "transfer-standard", "--surrogate", RIGHT, "--steps", "5,15")
    assert found["tags"]["transferred_from"] == RIGHT
    assert found["attack"].endswith(f"made on {RIGHT}")
    assert "note" not in found
    assert accuracies(found) == {"accuracy_after_5_steps": 0, "accuracy_after_15_steps": 0}  # all wrong when clean


def test_a_surrogate_that_is_the_classifier_itself_is_said(measured, run):
    found = measured(RIGHT, "transfer-standard", "--surrogate", RIGHT, "--steps", "5,15")
    assert found["note"] == "the surrogate is the classifier itself, so this is no transfer"
    assert accuracies(found) == {"accuracy_after_5_steps": 0.9, "accuracy_after_15_steps": 0}
    _, out, _ = run(
        *("measure", RIGHT, "imagenet", "--protocol", "transfer-standard", "--surrogate", RIGHT, "--steps", "5,15")
    )
    assert found["note"] in out.splitlines()


def test_what_is_printed_says_what_was_done(run):
    code, out, _ = run("measure", RIGHT, "imagenet", "--protocol", "pgd-published", "--steps", "10")
    lines = out.splitlines()
    assert code == 0
    assert "protocol pgd-published, available 20, classes 10" in lines[0]
    assert lines[1] == Attack("published", ladder=(10,)).describe()
    (line,) = (line for line in lines if line.startswith("accuracy_after_10_steps"))
    assert "90 %" in line
    assert "(20 images, 99.9 % " in line


def test_compare_is_the_first_less_the_second_under_the_attack(run):
    code, out, _ = run(
        *("compare", RIGHT, NEXT, "imagenet", "--protocol", "pgd-standard", "--eps", "8/255", "--steps", "5", "--json")
    )
    found = json.loads(out)
    assert code == 0
    assert (found["first"], found["second"], found["protocol"]) == (RIGHT, NEXT, "pgd-standard")
    assert found["metrics"]["accuracy_after_5_steps"]["value"] == pytest.approx(0.9)
    # The second is wrong about every image: of its attack there is nothing to tell.
    assert "no image was attacked" in found["not_measured"]["loss_gain"]


def test_compare_under_a_transferred_attack(run):
    other = RIGHT + "&interpolation=bicubic"
    code, out, _ = run(
        *("compare", RIGHT, other, "imagenet", "--protocol", "transfer-published", "--surrogate", RIGHT, "--json"),
        *("--eps", "0.5", "--step-size", "0.05", "--steps", "10"),
    )
    found = json.loads(out)
    assert code == 0
    assert found["metrics"]["accuracy_after_10_steps"]["value"] == 0
    assert found["note"].startswith("the surrogate is the classifier itself")


@pytest.mark.parametrize("protocol", ["pgd-published", "pgd-standard", "transfer-standard"])
@pytest.mark.parametrize("name", ["rounds_first", "ignores_images"])
def test_masked_gradients_are_never_reported_as_robust(measured, name, protocol):
    spec = RIGHT.replace("reads_colours", name)
    found = measured(spec, protocol, "--surrogate", spec, "--steps", "3")
    assert accuracies(found) == {}
    reason = found["not_measured"]["accuracy_after_3_steps"]
    assert re.search(r"gradient masking: \d+ of \d+ attacked images survive", reason)
    assert "says nothing of robustness" in reason
    assert found["metrics"]["zero_gradient"]["value"] == 1
    assert found["metrics"]["top1"]["value"] == (0.9 if name == "rounds_first" else 0.1)


def test_masked_gradients_are_said_once_in_print(run):
    spec = RIGHT.replace("reads_colours", "rounds_first")
    code, out, _ = run("measure", spec, "imagenet", "--protocol", "pgd-standard", "--steps", "3")
    assert code == 0
    (line,) = (line for line in out.splitlines() if "gradient masking" in line)
    assert line.startswith("not measured: accuracy_after_3_steps, ")


def test_large_logits_are_not_reported_as_robust(measured):
    found = measured(RIGHT.replace("reads_colours", "shouts"), "pgd-standard", "--steps", "15")
    assert found["metrics"]["zero_gradient"]["value"] == 1
    assert found["metrics"]["accuracy_after_15_steps_cross_entropy"]["value"] == 0.9
    assert found["metrics"]["accuracy_after_15_steps"]["value"] == 0


def test_a_classifier_that_gives_no_gradient_is_an_error(run):
    spec = RIGHT.replace("reads_colours", "detaches")
    code, out, err = run("measure", spec, "imagenet", "--protocol", "pgd-standard", "--steps", "3")
    assert (code, out) == (1, "")
    assert err.startswith(f"harness: {spec} can't be attacked: its logits have no gradient")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--protocol", "pgd-standard", "--eps", "0"], "--eps 0 is not in (0, 1]", id="eps_0"),
        pytest.param(["--protocol", "pgd-standard", "--eps", "2"], "--eps 2 is not in (0, 1]", id="eps_2"),
        pytest.param(["--protocol", "pgd-standard", "--steps", "0"], "--steps '0' is not a whole number", id="steps_0"),
        pytest.param(["--protocol", "pgd-standard", "--steps", "20,10"], "steps 20,10 do not increase", id="falling"),
        pytest.param(["--protocol", "pgd-standard", "--restarts", "0"], "--restarts '0' is not a", id="restarts"),
        pytest.param(["--protocol", "pgd"], "unknown value of --protocol 'pgd'; known: pgd-", id="protocol"),
        pytest.param(["--eps", "0.1"], "--eps does not go with --protocol classify", id="eps_alone"),
        pytest.param(["--protocol", "pgd-published", "--follow"], "only the standard white-box attack", id="follow"),
    ],
)
@pytest.mark.parametrize("command", [["measure", RIGHT], ["compare", RIGHT, NEXT]], ids=["measure", "compare"])
def test_usage_is_exit_code_2_and_one_line(run, command, arguments, message):
    code, out, err = run(*command, "imagenet", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"harness: {message}")
    assert err.count("\n") == 1


def test_another_benchmark_is_not_attacked(run):
    code, _, err = run("measure", RIGHT, "imagenet-a", "--protocol", "pgd-published")
    assert code == 2
    assert err == "harness: --protocol pgd-published is for imagenet, not for imagenet-a\n"
