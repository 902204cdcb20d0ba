"""The claims on published figures: what a run of them says, what a plain run collects, and how tests are called."""

import json
import re

import pytest

from harness.studies.study import BASELINE, WSL


@pytest.fixture(scope="module")
def quick(run_suite, tmp_path_factory):
    """Run in an interpreter that cannot import torch."""
    folder = tmp_path_factory.mktemp("quick")
    (folder / "no_torch.py").write_text("import sys\nsys.modules['torch'] = sys.modules['torchvision'] = None\n")
    run = run_suite(
        *("-p", "no_torch", "-m", "quick and claim", "-k", "not miniature", f"--report={folder}"),
        env={"PYTHONPATH": str(folder)},
    )
    return run, json.loads((folder / "verdicts.json").read_text(encoding="utf-8"))


LISTS_EXPECTED_FAILURES = """
def pytest_collection_finish(session):
    for item in session.items:
        if any(item.iter_markers("xfail")):
            print("expected to fail:", item.nodeid)
"""


@pytest.fixture(scope="module")
def collected(run_suite, tmp_path_factory):
    """Give the lines that a plain run and one of the claims on real data collect, and say what is to fail."""
    folder = tmp_path_factory.mktemp("collected")
    (folder / "lists_expected_failures.py").write_text(LISTS_EXPECTED_FAILURES)

    def lines(*arguments):
        run = run_suite(
            *("-p", "lists_expected_failures", "--collect-only", "-q", *arguments), env={"PYTHONPATH": str(folder)}
        )
        assert run.code == 0, run.out + run.err
        return run.lines

    return {"plain": lines(), "full": lines("-m", "full")}


def ids(lines):
    return [line for line in lines if re.match(r"\S+::", line)]


def test_every_published_claim_holds_but_the_one_that_cannot(quick):
    run, report = quick
    fails = [entry for entry in report["verdicts"] if entry["verdict"] == "fails"]
    assert run.code == 0
    assert [(entry["claim"], entry["metric"], entry["subject"]) for entry in fails] == [
        ("N2", "imagenet_top1", "resnext101_32x8d_wsl"),
        *(("T6", "box_crossings", subject) for subject in [*sorted(WSL[1:]), BASELINE, WSL[0]]),
        *(("T7", "whitebox_accuracy", subject) for subject in [*sorted(WSL[1:]), WSL[0]]),
    ]
    assert fails[0]["expected"].startswith("the printed 82.2 % is the model card's")
    assert run.counts["xfailed"] == 10
    assert "failed" not in run.counts
    assert re.search(r"^\d+ holds, 10 fails \(10 expected\), 0 undecided, 13 not run$", run.out, re.MULTILINE)


def test_every_claim_is_judged(quick):
    _, report = quick
    judged = {entry["claim"] for entry in report["verdicts"] if entry["verdict"] in ("holds", "fails")}
    assert judged == {
        *(f"C{number}" for number in range(1, 19) if number not in (7, 12)),
        *(f"N{number}" for number in range(1, 6)),
        *(f"T{number}" for number in (6, 7, 8, 9, 11)),  # what can be asked of an attack without its records
    }


def test_the_figure_that_cannot_be_recomputed_is_not_run_and_says_why(quick):
    run, report = quick
    entries = [entry for entry in report["verdicts"] if "mt5d" in entry["test"]]
    assert len(entries) == 11
    assert {entry["verdict"] for entry in entries} == {"not_run"}
    assert all("AlexNet's top-5 distances" in entry["reason"] for entry in entries)
    assert "not run, published: C1, C2, C3, N1 (11 verdicts)" in run.lines


def test_published_figures_are_exact_and_their_images_counted(quick):
    _, report = quick
    (entry,) = [
        each
        for each in report["verdicts"]
        if each["test"].endswith("::test_subject_is_more_robust_than_the_baseline[published-resnext101_32x8d_wsl-mce]")
    ]
    assert (round(entry["value"], 4), round(entry["bound"], 4), entry["images"]) == (0.5174, 0.6665, 3_750_000)
    assert entry["interval"] == [entry["value"]] * 2


def test_device_and_versions_are_said_without_importing_torch(quick):
    run, _ = quick
    assert re.fullmatch(r"device: .*, fp32", run.line("device: "))
    assert re.fullmatch(r"versions: torch \S+, torchvision \S+, foolbox \S+, numpy \S+", run.line("versions: "))
    assert run.line("classifiers: ") == "classifiers: 6 of study published, 9 of study miniature"


def test_the_last_line_of_the_claims_says_where_the_report_is(quick):
    run, report = quick
    claims = next(at for at, line in enumerate(run.lines) if re.fullmatch("=+ claims =+", line))
    assert [line for line in run.lines if line][-2].startswith("report: ")  # then pytest's own last line
    assert len(report["verdicts"]) > 0
    snapshots = [at for at, line in enumerate(run.lines) if "snapshot report summary" in line]
    assert all(at < claims for at in snapshots)


def test_the_verdicts_are_sorted_by_claim(quick):
    _, report = quick
    claims = list(dict.fromkeys(entry["claim"] for entry in report["verdicts"]))
    assert claims == sorted(claims, key=lambda claim: (claim[0], int(claim[1:])))


def test_a_plain_run_asks_neither_for_data_nor_for_a_quiet_machine(collected):
    names = ids(collected["plain"])
    assert any("[published-" in name for name in names)
    assert not any("[paper" in name or "/test_bench_" in name.partition("[")[0] for name in names)
    assert re.fullmatch(r"\d+/\d+ tests collected \(\d+ deselected\) in .*", collected["plain"][-1])


def test_ids_are_readable(collected):
    names = [*ids(collected["plain"]), *ids(collected["full"])]
    assert all(name.isascii() for name in names)
    claims = [name for name in names if not name.startswith("robustness_tests/harness/")]
    assert [name for name in claims if not re.fullmatch(r"[\w/]+\.py::\w+(\[[\w.@-]+\])?", name)] == []
    table1 = "robustness_tests/test_table1_imagenet_c_and_p.py::test_subject_is_more_robust_than_the_baseline"
    assert f"{table1}[published-resnext101_32x8d_wsl-mce]" in names
    assert f"{table1}[paper-resnext101_32x8d_wsl-rel_mce]" in names


def test_the_dearest_classifier_comes_first(collected):
    names = ids(collected["full"])
    places = [re.search(r"beats_the_baseline\[paper-resnext101_32x(\d+)d_wsl-", name) for name in names]
    widths = [int(match[1]) for match in places if match]
    assert widths == [width for width in (48, 32, 16, 8) for _ in range(3)]
    assert not any("[published" in name for name in names)


def test_failures_that_are_known_are_expected_where_they_occur_and_nowhere_else(collected):
    def expected(lines):
        marked = {line.rpartition("::")[2] for line in lines if line.startswith("expected to fail: ")}
        return {name for name in marked if "[miniature" not in name}

    def of_attacks(study):
        return {
            *(f"test_steps_can_cross_the_box[{study}-{name}-published]" for name in (BASELINE, *WSL)),
            *(f"test_doubling_the_steps_changes_little[{study}-{name}-published]" for name in WSL),
        }

    printed = "test_figure_is_the_printed_one"
    assert expected(collected["plain"]) == {
        f"{printed}[published-resnext101_32x8d_wsl-clean]",
        *of_attacks("published"),
    }
    assert expected(collected["full"]) == {
        f"{printed}[paper-resnext101_32x8d_wsl-clean]",
        f"{printed}[paper-resnext101_32x8d_wsl-rel_mce]",
        *of_attacks("paper"),
    }
