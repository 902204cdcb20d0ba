"""What a verdict costs, by the script of docs/verdicts.md: the table's promises, kept by few runs of it."""

import csv
import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.metrics.corruption import mce
from harness.recorded import alexnet_corruption_errors
from harness.scores import find_score
from harness.studies.drawing import Drawing
from harness.verdicts.betting import STAKES
from harness.verdicts.rules import Verdict

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def script():
    """Import the script, which is no module of the project."""
    spec = importlib.util.spec_from_file_location("images_to_verdict", DOCS / "images_to_verdict.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def contests(script):
    return {contest.title: contest for contest in script.contests()}


ORDERINGS = ("32x8d against baseline", "32x16d against 32x8d", "32x32d against 32x16d", "32x48d against 32x32d")
GAPS = tuple(f"accuracy, gap {gap}" for gap in ("0.3", "1", "3", "7", "15"))
# The hardest of the gaps takes a second a run where errors are independent.
QUICK = [(title, dependence) for title in GAPS[1:] for dependence in ("independent", "alike")]


def test_contests_are_those_of_the_published_figures(script, contests):
    assert tuple(contests) == (*ORDERINGS, *GAPS)
    printed = [66.7, 51.7, 48.8, 47.0, 45.7]  # the paper's Table 1, mCE in percent
    for title, worse, better in zip(ORDERINGS, printed, printed[1:], strict=False):
        contest = contests[title]
        names = alexnet_corruption_errors()
        for errors, expected in ((contest.first, better), (contest.second, worse)):
            assert 100 * mce(dict(zip(names, errors, strict=True)), names) == pytest.approx(expected, abs=0.06)
        assert 100 * contest.gap == pytest.approx(worse - better, abs=0.12)
    assert [contests[title].gap for title in GAPS] == pytest.approx(script.GAPS)


@pytest.mark.parametrize("dependence", ["independent", "alike"])
def test_draws_err_as_often_as_they_should_together_and_alone(script, contests, dependence):
    contest, kappa, images = contests["32x8d against baseline"], script.KAPPAS[dependence], 200_000
    first, second = script.Draws(contest, kappa, seed=1).first(images)
    corruptions = first["cell"] // 5
    for place, (wrong, other) in enumerate(zip(contest.first, contest.second, strict=True)):
        here = corruptions == place
        alone, beside = ~first["correct"][here], ~second["correct"][here]
        independent = wrong * (1 - other) + other * (1 - wrong)
        for found, expected in (
            (here, 1 / 15),
            (alone, wrong),
            (beside, other),
            (alone != beside, max(independent * (1 - kappa), other - wrong)),
        ):
            assert found.mean() == pytest.approx(expected, abs=4 * math.sqrt(0.25 / here.sum()))


def test_what_was_drawn_stays_as_more_is_drawn(script, contests):
    draws = script.Draws(contests["32x8d against baseline"], 0.0, seed=1)
    few = draws.first(100)[0]
    many = draws.first(300)[0]
    assert all(np.array_equal(many[name][:100], values) for name, values in few.items())


def test_looks_are_those_of_a_claim(script):
    drawing, taken = Drawing(), []
    for _ in range(30):
        taken.append(drawing.depth("a classifier", "imagenet-c", script.EXHAUSTIVE, lambda spec, need: 0))
        drawing.deepen(lambda spec, need: 0)
    looks = script.looks()
    assert [next(looks) for _ in range(30)] == taken


def test_oracle_bets_the_share_that_is_known_to_be_best(script, contests):
    """On +1 and -1, at chances p and q, the best share is (p - q) / (p + q) (Kelly, 1956)."""
    contest = contests["accuracy, gap 3"]
    p = q = 0.0
    for _, only_first, only_second in contest.shares(0.0):
        p, q = p + only_second / 15, q + only_first / 15
    share = (p - q) / (p + q)
    growth = p * math.log(1 + share) + q * math.log(1 - share)
    oracle = script.oracle(contest, 0.0)
    assert oracle.growth == pytest.approx(growth, rel=1e-6)
    took = np.mean([oracle.images(seed) for seed in range(200)])
    wanted = math.log(2000) / growth  # by Wald's identity, but for what the last step goes beyond it
    assert took == pytest.approx(wanted, rel=0.2)


def test_oracle_of_weighted_differences_beats_every_stake_of_ours(script, contests):
    contest = contests["32x16d against 32x8d"]
    best = script.oracle(contest, 0.5)
    shares, weights = contest.shares(0.5) / 15, contest.weights
    assert best.chances.sum() == pytest.approx(shares[:, 1:].sum())
    for stake in STAKES[1:]:
        share = stake / weights.max()
        ours = shares[:, 2] @ np.log1p(share * weights) + shares[:, 1] @ np.log1p(-share * weights)
        assert best.growth > ours


def test_widest_gap_of_table_1_takes_at_most_2000_images(script, contests):
    for dependence in script.KAPPAS:
        cost = script.cost(contests["32x8d against baseline"], dependence, runs=21)
        assert cost.median <= 2000
        assert cost.median <= 2 * cost.oracle_median


def test_finest_ordering_of_table_1_takes_at_most_100_000_images(script, contests):
    for dependence in script.KAPPAS:
        found = [
            script.images_to_verdict(contests["32x48d against 32x32d"], script.KAPPAS[dependence], seed)
            for seed in range(7)
        ]
        assert np.median([images for images, _ in found]) <= 100_000
        assert {verdict for _, verdict in found} == {Verdict.HOLDS}


@pytest.mark.parametrize(("title", "dependence"), QUICK, ids=lambda text: text.replace("accuracy, ", ""))
def test_verdicts_take_at_most_twice_what_the_oracle_takes(script, contests, title, dependence):
    cost = script.cost(contests[title], dependence, runs=7 if title == GAPS[1] else 21)
    assert cost.of_oracle <= 2
    assert cost.false == 0


@pytest.mark.slow
@pytest.mark.parametrize("dependence", ["independent", "alike"])
def test_verdicts_on_the_finest_gap_take_at_most_twice_what_the_oracle_takes(script, contests, dependence):
    cost = script.cost(contests[GAPS[0]], dependence)
    assert cost.of_oracle <= 2
    assert cost.false == 0


def test_committed_table_is_of_these_contests_and_keeps_the_promises(script, contests):
    with (DOCS / "images_to_verdict.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    named = [(title, dependence) for title in contests for dependence in script.KAPPAS]
    assert [(row["contest"], row["dependence"]) for row in rows] == named
    for row in rows:
        assert float(row["gap"]) == pytest.approx(100 * contests[row["contest"]].gap, abs=1e-4)
        assert float(row["of_oracle"]) <= 2
        assert row["false"] == "0"
        if row["contest"] == ORDERINGS[0]:
            assert int(row["median"]) <= 2000
        if row["contest"] == ORDERINGS[-1]:
            assert int(row["median"]) <= 100_000


def test_table_and_plot_are_written(script, contests, tmp_path):
    costs = [script.cost(contests[title], "alike", runs=2) for title in (ORDERINGS[0], GAPS[-1])]
    script.write_table(costs, tmp_path / "table.csv")
    script.draw_plot(costs, tmp_path / "plot.png")
    with (tmp_path / "table.csv").open(encoding="utf-8") as file:
        (first, second) = csv.DictReader(file)
    assert (first["contest"], int(first["median"])) == (ORDERINGS[0], costs[0].median)
    assert second["contest"] == GAPS[-1]
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_scores_are_those_of_the_suite(script, contests):
    for contest in contests.values():
        assert find_score("imagenet-c", contest.metric).parts
