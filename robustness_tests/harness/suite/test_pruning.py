"""`--prune-snapshots`: what no test claims is deleted after a whole green run, and after no other."""

import json

import pytest


@pytest.fixture
def project(pins_project):
    """A project with its pins and others that no test claims: of a parameter, a function and a file that are gone."""
    pins_project("--snapshot-update").assert_outcomes(passed=2)
    (pins_project.folder.parent / "test_gone").mkdir()
    for path in stale(pins_project):
        path.write_bytes(pins_project.pin.read_bytes())
    return pins_project


def stale(project):
    return [
        project.folder / "test_numbers[c].json",
        project.folder / "test_others[a].json",
        project.folder / ".test_numbers[a].json.1234",
        project.folder.parent / "test_gone" / "test_it[a].json",
    ]


def there(project):
    return [path.name for path in project.folder.parent.rglob("*") if path.is_file()]


CLAIMED = ["test_numbers[a].json", "test_numbers[b].json"]


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["alone", "workers"])
def test_a_whole_green_run_deletes_what_no_test_claims_and_says_so(project, workers):
    result = project("--prune-snapshots", *workers, apart=bool(workers))
    result.assert_outcomes(passed=2)
    assert result.ret == 0
    assert sorted(there(project)) == CLAIMED
    assert not (project.folder.parent / "test_gone").exists()
    for path in stale(project):
        assert result.outlines.count(f"deleted {path}") == 1
    assert result.outlines.count("--prune-snapshots: 4 files deleted") == 1
    again = project("--prune-snapshots")
    assert again.outlines.count("--prune-snapshots: 0 files deleted") == 1


def test_without_the_option_nothing_is_deleted(project):
    project().assert_outcomes(passed=2)
    assert len(there(project)) == 6


@pytest.mark.parametrize(
    ("options", "changes", "told"),
    [
        pytest.param([], {"mce": 0.9}, "the run was not green", id="failure"),
        pytest.param(["-x"], {"before": "assert name == 'b'"}, "the run was not green", id="x"),
        pytest.param([], {"before": "if name == 'b': raise KeyboardInterrupt"}, "the run was not green", id="ctrl_c"),
        pytest.param(
            [],
            {"before": "if name == 'b': pytest.exit('enough', returncode=0)"},
            "1 of 2 tests that take pins did not pass, claims/test_it.py::test_numbers[[]b] for one",
            id="exit_0",
        ),
        pytest.param(["-k", "[b]"], {}, "1 of 2 tests that take pins did not pass, *[[]a] for one", id="k"),
        pytest.param(
            ["--deselect=claims/test_it.py::test_numbers[a]"], {}, "1 of 2 tests that take pins*", id="deselect"
        ),
        pytest.param([], {"before": "pytest.skip('no')"}, "2 of 2 tests that take pins did not pass, *", id="skip"),
        pytest.param(["--collect-only"], {}, "2 of 2 tests that take pins did not pass, *", id="collect_only"),
        pytest.param(["claims/test_it.py::test_numbers"], {}, "only some tests were asked for", id="node_id"),
        pytest.param(["--lf"], {}, "only some tests were asked for", id="lf"),
    ],
)
def test_any_other_run_deletes_nothing_and_says_why(project, options, changes, told):
    result = project("--prune-snapshots", *options, apart="KeyboardInterrupt" in changes.get("before", ""), **changes)
    result.stdout.fnmatch_lines([f"--prune-snapshots deletes nothing: {told}"])
    assert len(there(project)) == 6


def test_a_file_that_was_not_collected_keeps_all(project):
    (project.test.parent / "test_gone.py").write_text("def test_it(): pass\n")
    result = project("--prune-snapshots", "--ignore=claims/test_gone.py")
    told = "test_gone.py, whose pins are in test_gone, was not collected"
    result.stdout.fnmatch_lines([f"--prune-snapshots deletes nothing: {told}"])
    assert len(there(project)) == 6


def test_a_lost_worker_keeps_all(project):
    result = project("--prune-snapshots", "-n2", apart=True, before="if name == 'b': os._exit(9)")
    result.stdout.fnmatch_lines(["--prune-snapshots deletes nothing: the run was not green"])
    assert len(there(project)) == 6


@pytest.mark.parametrize("study", ["paper", "published"], ids=["named", "not_named"])
def test_pins_of_classifiers_that_another_command_line_names_are_kept(project, study):
    for path in stale(project):
        document = json.loads(path.read_text(encoding="utf-8"))
        document["recorded_with"]["study"] = study
        path.write_text(json.dumps(document), encoding="utf-8")
    project("--prune-snapshots").assert_outcomes(passed=2)
    assert sorted(there(project)) == ([*CLAIMED, "test_numbers[c].json"] if study == "paper" else CLAIMED)


def test_tests_on_named_classifiers_need_not_run(pins_project):
    """They are left out by default, and without data they are skipped."""
    pins_project("--snapshot-update", study="paper").assert_outcomes(passed=2)
    result = pins_project("--prune-snapshots", study="paper", before="pytest.skip('no data')")
    assert "--prune-snapshots: 0 files deleted" in result.outlines
    assert len(there(pins_project)) == 2


def test_a_file_that_is_none_of_pins_is_kept_where_its_test_file_is(project):
    (project.folder / "notes.json").write_text("[]")
    project("--prune-snapshots").assert_outcomes(passed=2)
    assert sorted(there(project)) == ["notes.json", *CLAIMED]


@pytest.mark.parametrize(
    ("update", "workers"),
    [("--snapshot-update", ["-n2"]), ("--snapshot-update-new-only", [])],
    ids=["update_of_workers", "new_only"],
)
def test_recording_and_pruning_in_one_run_is_refused(project, update, workers):
    result = project("--prune-snapshots", update, *workers, apart=True)
    assert result.ret == 4
    result.stderr.fnmatch_lines(
        ["ERROR: --prune-snapshots deletes only after a green run, and while pins are recorded*"]
    )
    assert len(there(project)) == 6
