"""Where records meet metrics: every metric of a benchmark or an attack, read off its records, with an interval.

`score` says what a score is, `classification`, `attack` and `maximize` hold them, `estimation` gives their numbers.
"""

import re
from collections.abc import Iterable, Mapping

from harness.errors import unknown
from harness.protocols.attacks import Attack
from harness.protocols.maximizing import Maximize
from harness.protocols.needs import Need
from harness.records.schema import Columns, joined
from harness.scores import attack, classification, maximize
from harness.scores.attack import accuracy_after, attack_scores
from harness.scores.classification import (
    alexnet_clean_error,
    alexnet_corruption_errors,
    alexnet_flip_probabilities,
    corruption_means,
    perturbation_means,
)
from harness.scores.estimation import Estimator, EveryLook, OneLook
from harness.scores.maximize import maximize_scores
from harness.scores.score import Sample, Samples, Score

__all__ = [
    "Estimator",
    "EveryLook",
    "OneLook",
    "Sample",
    "Samples",
    "Score",
    "alexnet_clean_error",
    "alexnet_corruption_errors",
    "alexnet_flip_probabilities",
    "columns_of",
    "corruption_means",
    "find_score",
    "main_score",
    "make_sample",
    "perturbation_means",
    "scores_of",
]


def columns_of(need: Need) -> tuple[str, ...]:
    """Name the records' columns that samples are made of."""
    if isinstance(need, str):
        return classification.COLUMNS[need]
    return maximize.COLUMNS if isinstance(need, Maximize) else attack.columns_of(need)


def make_sample(need: Need, chunks: Iterable[Columns]) -> Sample:
    """Boil records down to what their scores read, chunk by chunk."""
    if isinstance(need, Maximize):
        return maximize.make_sample(need, joined(list(chunks)))
    if isinstance(need, Attack):
        return joined([attack.boil_down(columns) for columns in chunks])
    return joined([classification.boil_down(need, columns) for columns in chunks])


def scores_of(need: Need) -> Mapping[str, Score]:
    """Give all metrics of a benchmark, of an attack or of maximizing images, by name."""
    if isinstance(need, str):
        return classification.SCORES[need]
    return maximize_scores(need) if isinstance(need, Maximize) else attack_scores(need)


def main_score(need: Need) -> Score:
    """Give the metric that a benchmark or an attack is known by: of an attack the accuracy at its end."""
    scores = scores_of(need)
    if isinstance(need, Attack):
        return scores[f"accuracy_after_{need.steps}_steps"]
    return next(iter(scores.values()))


def find_score(need: Need, name: str) -> Score:
    """Look a metric up by name; the known ones are listed where there is none.

    Of a white-box attack there is `accuracy_after_<k>_steps` for every k up to its end, those beside its ladder too.
    """
    scores = scores_of(need)
    steps = re.fullmatch(r"accuracy_after_(\d+)_steps", name)
    if steps and isinstance(need, Attack) and not need.surrogate and 1 <= int(steps[1]) <= need.steps:
        return accuracy_after(need, int(steps[1]))
    if name not in scores:
        raise unknown(f"metric of {need}", name, scores)
    return scores[name]
