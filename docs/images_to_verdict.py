"""How many images a verdict takes, simulated from the published error rates of ImageNet-C.

    python docs/images_to_verdict.py OUT_FOLDER

writes images_to_verdict.csv and images_to_verdict.png. Nothing is downloaded; it takes three minutes on one core.

Each run draws images of ImageNet-C, one corruption after another at random, and two classifiers that err on it as often
as published; looks at them as `pytest --decide` does (`drawing.FIRST`, `drawing.next_look`), and takes down at how
many images the suite's own estimator and rule give a verdict. Images are put back, since of 3,750,000 a verdict takes
few: what is found is an upper bound.

What nobody published is how often two classifiers err on the same image. Two answers are simulated:

- `independent`: given the corruption, the one knows nothing of the other. No two classifiers of photographs are so
  unlike, and severities, of which only the mean is published, make them more alike: this asks for too many images.
- `alike`: they disagree, in who is right, on half as many images as that (a kappa of 0.5; Geirhos et al., 2020), or
  on as many as their gap needs. ResNet-50 and DINO, which were trained in quite different ways, do so with a kappa of
  0.61 on ImageNet's validation images (13.9 % of images instead of 36.0 %; predictions of facebookresearch/imagenetx).

The oracle is the same test told the truth: it bets the share of its wealth that makes its logarithm grow fastest
(Kelly, 1956) and looks after every image.
"""

import argparse
import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import recorded
from harness.metrics.corruption import CORRUPTIONS
from harness.scores import EveryLook, find_score
from harness.scores.classification import CELLS
from harness.studies.drawing import FIRST, next_look
from harness.studies.published import PublishedStudy
from harness.studies.study import BASELINE, WSL
from harness.verdicts import rules
from harness.verdicts.rules import Figure, Verdict

Values = NDArray[np.float64]

ALPHA = 1e-3
EXHAUSTIVE = 3_750_000
GAPS = (0.003, 0.01, 0.03, 0.07, 0.15)
"""Gaps in accuracy, in fractions, between 32x48d and a classifier that errs so much more often on every corruption."""

KAPPAS = {"independent": 0.0, "alike": 0.5}
"""By how much less often than independent ones two classifiers disagree."""

# A contest is run so often, and less often where a run takes many images.
RUNS, LEAST_RUNS, IMAGES_OF_ALL_RUNS = 200, 40, 3_000_000


@dataclass(frozen=True)
class Contest:
    """Two classifiers, of which the first is better.

    Attributes:
        title: Which.
        metric: By what they are compared, a score of ImageNet-C.
        first: The first one's error on each corruption, shape (15,), fractions.
        second: The second one's.
    """

    title: str
    metric: str
    first: Values
    second: Values

    @property
    def weights(self) -> Values:
        """What an error on each corruption adds to the metric, shape (15,)."""
        if self.metric == "top1":
            return np.full(len(CORRUPTIONS), -1.0)
        alexnet = recorded.alexnet_corruption_errors()
        return np.array([1 / alexnet[name] for name in CORRUPTIONS])

    @property
    def gap(self) -> float:
        """By how much the first one is better, a fraction."""
        return abs(float(np.mean(self.weights * (self.first - self.second))))

    def shares(self, kappa: float) -> Values:
        """Give how often both are wrong, only the first, and only the second, on each corruption, shape (15, 3)."""
        gap = self.first - self.second
        apart = self.first * (1 - self.second) + self.second * (1 - self.first)
        apart = np.maximum((1 - kappa) * apart, np.abs(gap))
        only_first, only_second = (apart + gap) / 2, (apart - gap) / 2
        return np.stack([self.first - only_first, only_first, only_second], axis=1)


@dataclass(frozen=True)
class Cost:
    """What a verdict on a contest takes; a row of the table.

    Attributes:
        contest: Which.
        metric: `mce` or `top1`.
        gap: In points.
        dependence: How the two classifiers' errors go together.
        discordance: On what share of images only one of the two is right.
        runs: How often it was simulated.
        false: In how many runs the verdict was for the worse one.
        median: Images to the verdict, of the runs.
        quantile_95: Images within which 95 % of the runs came to theirs.
        oracle_median: As `median`, of the oracle.
        of_oracle: The one over the other.
        exhaustive: How many images there are.
    """

    contest: str
    metric: str
    gap: float
    dependence: str
    discordance: float
    runs: int
    false: int
    median: int
    quantile_95: int
    oracle_median: int
    of_oracle: float
    exhaustive: int


def contests() -> list[Contest]:
    """Give the orderings of Table 1 by mCE, and five gaps in accuracy."""
    study = PublishedStudy()

    def errors(name: str) -> Values:
        by_corruption = study.corruption_errors(name)
        return np.array([by_corruption[corruption] for corruption in CORRUPTIONS])

    rows = (BASELINE, *WSL)
    labels = ("baseline", *(name.removeprefix("resnext101_").removesuffix("_wsl") for name in WSL))
    found = [
        Contest(f"{labels[place + 1]} against {labels[place]}", "mce", errors(wider), errors(narrower))
        for place, (narrower, wider) in enumerate(pairwise(rows))
    ]
    best = errors(WSL[-1])
    return [*found, *(Contest(f"accuracy, gap {100 * gap:g}", "top1", best, best + gap) for gap in GAPS)]


class Draws:
    """Images of ImageNet-C and who is right on them, drawn as far as anybody asks.

    Args:
        contest: Which classifiers.
        kappa: How alike they are.
        seed: Of the draws.
    """

    def __init__(self, contest: Contest, kappa: float, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        severities = len(CELLS) // len(CORRUPTIONS)
        self._ends = np.repeat(np.cumsum(contest.shares(kappa), axis=1), severities, axis=0)
        self._cells = np.zeros(0, dtype=np.uint8)
        self._right = np.zeros((0, 2), dtype=bool)

    def first(self, images: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Give both classifiers' samples of so many images, as records are boiled down to."""
        more = images - len(self._cells)
        if more > 0:
            cells = self._rng.integers(len(CELLS), size=more, dtype=np.uint8)
            # 0 where both are wrong, 1 where only the first is, 2 where only the second is, 3 where both are right.
            outcomes = (self._rng.random(more)[:, None] >= self._ends[cells]).sum(axis=1)
            self._cells = np.concatenate([self._cells, cells])
            self._right = np.concatenate([self._right, np.stack([outcomes >= 2, outcomes % 2 == 1], axis=1)])
        shared = {
            "cell": self._cells[:images],
            "digest": np.arange(images, dtype=np.uint64),
            "group": np.zeros(images, dtype=np.uint8),
        }
        one, other = ({**shared, "correct": self._right[:images, place]} for place in range(2))
        return one, other


def looks() -> Iterator[int]:
    """Give at how many images a claim looks, look after look, as `harness.studies.drawing` has it."""
    images = FIRST
    while images < EXHAUSTIVE:
        yield images
        images = next_look(images)


def images_to_verdict(contest: Contest, kappa: float, seed: int, alpha: float = ALPHA) -> tuple[int, Verdict]:
    """Look at ever more images until the suite says whether the first classifier is better.

    Returns:
        At how many it said so, all there are where it never did, and what it said.
    """
    draws, score = Draws(contest, kappa, seed), find_score("imagenet-c", contest.metric)
    estimator, is_better = EveryLook(alpha), rules.below if contest.metric == "mce" else rules.above
    for images in looks():
        first, second = draws.first(images)
        difference = estimator.difference(score, {"imagenet-c": first}, {"imagenet-c": second})
        figure = Figure(contest.metric, contest.title, "Table 1", "the first", difference, "simulated")
        verdict = is_better(figure, 0.0).verdict
        if verdict is not Verdict.UNDECIDED:
            return images, verdict
    return EXHAUSTIVE, Verdict.UNDECIDED


@dataclass(frozen=True)
class Oracle:
    """The bet of somebody who knows how often each image adds what.

    Attributes:
        steps: By how much the logarithm of the wealth changes with an image on which only one of the two errs, shape
            (n,): one number each for what such an image can add.
        chances: How often each of these comes up, shape (n,), of all images.
    """

    steps: Values
    chances: Values

    @property
    def growth(self) -> float:
        """By how much the logarithm of the wealth grows an image, on average."""
        return float((self.steps * self.chances).sum())

    def images(self, seed: int, alpha: float = ALPHA) -> int:
        """Bet on image after image until the wealth reaches 2 / alpha; gives how many it took."""
        rng, wanted = np.random.default_rng(seed), math.log(2 / alpha)
        steps = np.append(self.steps, 0.0)
        ends = np.cumsum(self.chances)
        held, before = 0.0, 0
        while True:
            size = max(64, int(2 * wanted / self.growth))
            walk = held + np.cumsum(steps[np.searchsorted(ends, rng.random(size), side="right")])
            if (walk >= wanted).any():
                return before + int(np.argmax(walk >= wanted)) + 1
            held, before = float(walk[-1]), before + size


def oracle(contest: Contest, kappa: float) -> Oracle:
    """Find the best share of its wealth that somebody who knows the truth can bet on every image."""
    from scipy.optimize import minimize_scalar

    by_corruption = np.abs(contest.weights)[:, None] * np.array([-1.0, 1.0])
    gains, places = np.unique(by_corruption, return_inverse=True)
    chances = np.bincount(places.ravel(), weights=contest.shares(kappa)[:, 1:].ravel()) / len(CORRUPTIONS)
    most = 1 / -float(gains.min())

    def shrinking(share: float) -> float:
        return -float((chances * np.log1p(share * gains)).sum())

    best = minimize_scalar(shrinking, bounds=(0.0, most * (1 - 1e-9)), method="bounded", options={"xatol": 1e-9})
    return Oracle(np.log1p(float(best.x) * gains), chances)


def cost(contest: Contest, dependence: str, runs: int | None = None, seed: int = 0) -> Cost:
    """Run a contest again and again.

    Args:
        contest: Which.
        dependence: How the two classifiers' errors go together, a key of `KAPPAS`.
        runs: How often; as often as is affordable by default.
        seed: Of the first run; each takes the next one.
    """
    kappa = KAPPAS[dependence]
    knowing = oracle(contest, kappa)
    if runs is None:
        expected = math.log(2 / ALPHA) / knowing.growth
        runs = int(min(RUNS, max(LEAST_RUNS, IMAGES_OF_ALL_RUNS / expected)))
    found = [images_to_verdict(contest, kappa, seed + run) for run in range(runs)]
    images = np.array([each for each, _ in found])
    median = int(np.median(images))
    of_oracle = int(np.median([knowing.images(seed + run) for run in range(max(runs, RUNS))]))
    return Cost(
        contest=contest.title,
        metric=contest.metric,
        gap=round(100 * contest.gap, 4),
        dependence=dependence,
        discordance=round(float(contest.shares(kappa)[:, 1:].sum(axis=1).mean()), 4),
        runs=runs,
        false=sum(verdict is Verdict.FAILS for _, verdict in found),
        median=median,
        quantile_95=int(np.quantile(images, 0.95, method="higher")),
        oracle_median=of_oracle,
        of_oracle=round(median / of_oracle, 2),
        exhaustive=EXHAUSTIVE,
    )


def write_table(costs: list[Cost], path: Path) -> None:
    """Write the costs as CSV."""
    names = [field.name for field in fields(Cost)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([getattr(each, name) for name in names] for each in costs)


def draw_plot(costs: list[Cost], path: Path) -> None:
    """Draw images to verdict against the gap, both logarithmic: of accuracies, and of the paper's mCE."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    colours = {"independent": "tab:orange", "alike": "tab:blue"}
    figure, panels = plt.subplots(1, 2, figsize=(10, 4.8), sharey=True, layout="constrained")
    titles = {"top1": "accuracy on ImageNet-C", "mce": "mCE, the orderings of Table 1"}
    for axes, (metric, title) in zip(panels, titles.items(), strict=True):
        axes.axhline(EXHAUSTIVE, color="black", linewidth=1.2, label="all of ImageNet-C: 3,750,000")
        axes.axhline(FIRST, color="grey", linewidth=1, linestyle=":", label=f"first look: {FIRST}")
        for dependence, colour in colours.items():
            here = [each for each in costs if (each.dependence, each.metric) == (dependence, metric)]
            here.sort(key=lambda each: each.gap)
            gaps, medians = [each.gap for each in here], np.array([each.median for each in here])
            bars = [np.zeros(len(here)), np.array([each.quantile_95 for each in here]) - medians]
            label = f"suite, errors {dependence}: median, bar to the 95 % quantile"
            axes.errorbar(gaps, medians, yerr=bars, color=colour, marker="o", capsize=3, linewidth=1.2, label=label)
            oracles = [each.oracle_median for each in here]
            label = f"oracle, errors {dependence}: median"
            axes.plot(
                gaps, oracles, color=colour, marker="o", markersize=4, fillstyle="none", linestyle="--", label=label
            )
            if metric == "mce" and dependence == "independent":
                for each in here:
                    name = each.contest if each.gap < 10 else each.contest.replace("against ", "against\n")
                    axes.annotate(name, (each.gap * 1.07, each.quantile_95), fontsize=8, va="bottom")
        axes.set(xscale="log", yscale="log", xlabel="gap, points", title=title, xlim=(0.22, 50), ylim=(60, 8e6))
        axes.set_xticks([0.3, 1, 3, 7, 15], ["0.3", "1", "3", "7", "15"])
        axes.xaxis.minorticks_off()
        axes.grid(True, which="major", linewidth=0.3)
    panels[0].set_ylabel("images a classifier")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    figure.suptitle(f"Images until it is known which of two classifiers is better, at alpha {ALPHA:g}", fontsize=11)
    figure.savefig(path, dpi=100, metadata={"Software": ""})
    plt.close(figure)


def main() -> None:
    """Run every contest, and write the table and the plot."""
    parser = argparse.ArgumentParser(description="How many images a verdict takes, simulated.")
    parser.add_argument("out", type=Path, help="folder to write into")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    costs = []
    for contest in contests():
        for dependence in KAPPAS:
            costs.append(cost(contest, dependence))
            print(costs[-1], flush=True)
    write_table(costs, out / "images_to_verdict.csv")
    draw_plot(costs, out / "images_to_verdict.png")


if __name__ == "__main__":
    main()
