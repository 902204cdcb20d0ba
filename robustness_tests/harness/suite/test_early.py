"""Path options may be typed with a space: what is joined, what is left alone, and that a run then starts."""

import pytest

from harness.suite.early import join_paths


@pytest.mark.parametrize("flag", ["--data-root", "--records", "--report"])
def test_a_folder_is_joined_to_its_option(flag, tmp_path):
    assert join_paths(["-m", "full", flag, str(tmp_path), "-q"]) == ["-m", "full", f"{flag}={tmp_path}", "-q"]


def test_a_folder_that_is_yet_to_be_made_is_joined_too(tmp_path):
    assert join_paths(["--report", str(tmp_path / "new")]) == [f"--report={tmp_path / 'new'}"]


def test_every_one_of_several_is_joined(tmp_path):
    typed = ["--data-root", str(tmp_path), "--records", str(tmp_path)]
    assert join_paths(typed) == [f"--data-root={tmp_path}", f"--records={tmp_path}"]


@pytest.mark.parametrize(
    "typed",
    [
        pytest.param([], id="nothing"),
        pytest.param(["--images", "7"], id="not_a_path"),
        pytest.param(["--data-root", "--records"], id="value_forgotten"),
        pytest.param(["--data-root=/", "/"], id="joined_already"),
        pytest.param(["--strict-data", "/"], id="a_switch_takes_no_value"),
        pytest.param(["--rootdir", "/"], id="of_another_plugin"),
        pytest.param(["/", "--data-root"], id="path_before_option"),
    ],
)
def test_all_else_is_left_alone(typed):
    assert join_paths(typed) == typed


def test_a_folder_outside_the_project_may_follow_a_space(run_suite, tmp_path):
    data = tmp_path / "data of all kinds"
    (data / "imagenet").mkdir(parents=True)
    # Nothing here names a file of the project: pytest would take the folders for what it is to run.
    run = run_suite("--data-root", data, "-m", "quick", "-k", "humans", "--records", tmp_path, env={"COLUMNS": "300"})
    assert run.code == 0, run.out + run.err
    found, missing = "found imagenet (0 of 1000 classes)", "missing imagenet-c, imagenet-p, imagenet-a, cue-conflict"
    assert run.line("data root") == f"data root: {data}; {found}; {missing}"
    assert run.line("records:") == f"records: {tmp_path}, no runs yet"
    assert run.counts["passed"] == 5


def test_workers_understand_folders_that_the_run_has_just_made(run_suite, tmp_path):
    new = tmp_path / "new"
    run = run_suite("-n", "2", "-m", "quick", "-k", "humans", "--records", new / "records", "--report", new / "report")
    assert run.code == 0, run.out + run.err
    assert run.counts["passed"] == 5
    assert (new / "report" / "verdicts.json").is_file()
    assert run.line("device: ")  # once, and by no worker
