"""The metrics that an attack's records are read for: accuracies along its steps, success, and what makes it trusted."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.metrics.attack import astray, earliest, loss_gain, restart_spread
from harness.protocols.attacks import Attack
from harness.records.schema import Columns
from harness.scores.score import ALWAYS, Mask, Part, Ratio, Sample, Samples, Score, common_part

# Of the way across the box, or as far as the steps taken reach, some pixel goes at least this share: all of it on a
# linear classifier, and still this much on others, among an image's many pixels.
_MOVED = 0.4
# A change of a pixel below this share of eps, at its largest, means that the attack did not use its budget.
_USED = 0.9
# An image has no gradient to follow where it is zero for nearly all of its pixels; a few that leak are no way out.
_MASKED = 0.9
# Steps that follow noise, or other images' gradients, move the loss of half of the images the wrong way.
_ASTRAY = 0.1
# Of more images than this the gradient must not be masked under every loss: surviving the attack would say nothing.
MASKED_AT_MOST = 0.01

_READ = ("label", "clean_prediction", "first_fooled", "ladder_prediction")
_LOSSES = ("loss_start", "loss_end")
_MEASURED = (*_LOSSES, "zero_gradient", "moved", "linf", "outside")


def columns_of(attack: Attack) -> tuple[str, ...]:
    """Name the records' columns that samples of an attack are made of."""
    return (*ALWAYS, *_READ, *_MEASURED, *(("followed_prediction",) if attack.follow else ()))


def boil_down(columns: Columns) -> Columns:
    """Reduce a chunk of an attack's records to what its scores read."""
    label = columns["label"]
    sample = {
        **common_part(columns),
        **{name: columns[name] for name in _MEASURED},
        "correct": columns["clean_prediction"] == label,
        "first_fooled": columns["first_fooled"],
        "ladder_right": columns["ladder_prediction"] == label[:, None],
    }
    if "followed_prediction" in columns:
        sample["followed_right"] = columns["followed_prediction"] == label[:, None]
    return sample


@functools.cache
def attack_scores(attack: Attack) -> Mapping[str, Score]:
    """Give the metrics of an attack by name: what is printed of it."""
    scores = [_share(attack, "top1", lambda sample: sample["correct"], checked=False)]
    scores += [accuracy_after(attack, steps) for steps in attack.ladder]
    if attack.follow:
        scores += [_final_accuracy(attack, rung) for rung in range(len(attack.ladder))]
    scores += [_success(attack, steps) for steps in attack.ladder]
    if not attack.surrogate and attack.form == "standard":
        scores += [accuracy_after(attack, attack.steps, loss) for loss in ("cross_entropy", "margin")]
        scores.append(_number(attack, "restart_spread", functools.partial(_restart_spread, attack), percent=True))
    scores.append(_share(attack, "zero_gradient", _masked_somewhere, among=_attacked, checked=False))
    if attack.reading == "absolute":  # else eps is each image's own
        scores.append(_share(attack, "unused_eps", functools.partial(_unused, attack), among=_attacked, checked=False))
        scores.append(_share(attack, "unmoved", functools.partial(_unmoved, attack), among=_attacked, checked=False))
        scores.append(_number(attack, "beyond_eps", functools.partial(_beyond, attack)))
    scores += [
        _number(attack, "outside", lambda sample: float(sample["outside"].max(initial=0)) + 0.0),
        _number(attack, "loss_gain", functools.partial(_loss_gain, attack)),
        _number(attack, "astray", functools.partial(_astray, attack), percent=True),
    ]
    return {score.name: score for score in scores}


def accuracy_after(attack: Attack, steps: int, loss: str = "") -> Score:
    """Give the accuracy after a number of steps: of the ladder where the attack is transferred, else any up to its end.

    Args:
        attack: Which attack.
        steps: After how many steps.
        loss: Under one of its losses; all by default.
    """

    def right(sample: Sample) -> Mask:
        if attack.surrogate:
            return np.asarray(sample["ladder_right"][:, attack.ladder.index(steps)], dtype=bool)
        runs = [run for run, pursuit in enumerate(attack.pursuits) if loss in ("", pursuit.loss)]
        first = earliest(sample["first_fooled"][:, runs])
        return np.asarray(sample["correct"] & ((first == 0) | (first > steps)), dtype=bool)

    return _share(attack, f"accuracy_after_{steps}_steps{'_' if loss else ''}{loss}", right)


def _final_accuracy(attack: Attack, rung: int) -> Score:
    """Give the accuracy at the very iterate of a step, as attacks that score their last iterate have it."""

    def right(sample: Sample) -> Mask:
        runs, rungs = len(attack.pursuits), len(attack.ladder)
        at = sample["followed_right"].reshape(-1, runs, rungs)[:, :, rung]
        return np.asarray(sample["correct"] & at.all(axis=1), dtype=bool)

    return _share(attack, f"final_accuracy_after_{attack.ladder[rung]}_steps", right)


def _success(attack: Attack, steps: int) -> Score:
    """Give the share of images that are right when clean and were fooled within some steps of the ladder."""
    rung = attack.ladder.index(steps)

    def fooled(sample: Sample) -> Mask:
        return np.asarray(~sample["ladder_right"][:, rung], dtype=bool)

    def clean(sample: Sample) -> Mask:
        return np.asarray(sample["correct"], dtype=bool)

    return _share(attack, f"success_rate_after_{steps}_steps", fooled, among=clean)


def _restart_spread(attack: Attack, sample: Sample) -> float:
    def by_start(restart: int) -> NDArray[np.integer[Any]]:
        runs = [run for run, pursuit in enumerate(attack.pursuits) if pursuit.restart == restart]
        return earliest(sample["first_fooled"][:, runs])

    first = np.stack([by_start(restart) for restart in range(attack.restarts)], axis=1)
    return restart_spread(sample["correct"], first)


def _loss_gain(attack: Attack, sample: Sample) -> float:
    return loss_gain(sample["loss_start"], sample["loss_end"], targeted=attack.targeted)


def _astray(attack: Attack, sample: Sample) -> float:
    return astray(sample["loss_start"], sample["loss_end"], targeted=attack.targeted)


def _attacked(sample: Sample) -> Mask:
    return np.asarray(np.isfinite(sample["loss_start"]).any(axis=1), dtype=bool)


def _beyond(attack: Attack, sample: Sample) -> float:
    return float(np.max(sample["linf"] - attack.eps, initial=-attack.eps))


def _unused(attack: Attack, sample: Sample) -> Mask:
    return np.asarray(sample["linf"] < _USED * attack.eps, dtype=bool)


def _unmoved(attack: Attack, sample: Sample) -> Mask:
    """Tell which images stayed near the start in every run, for the steps that were taken."""
    first = sample["first_fooled"]
    taken = np.where((first > 0) & (not attack.follow), first, attack.steps)
    reach = np.minimum(2 * attack.eps, taken * attack.step_size)
    return np.asarray((np.nan_to_num(sample["moved"]) < _MOVED * reach).all(axis=1), dtype=bool)


def _masked_somewhere(sample: Sample) -> Mask:
    return np.asarray((sample["zero_gradient"] > _MASKED).any(axis=1), dtype=bool)


def _require_progress(attack: Attack, sample: Sample) -> None:
    """Refuse accuracies that images survived because the attack had nothing to follow, or was led astray.

    Raises:
        ValueError: More than `MASKED_AT_MOST` of the attacked images survive although under no loss there is a gradient
            at more than a tenth of their pixels, or under each loss more than `_ASTRAY` of the survivors' runs did not
            move it the attack's way.
    """
    attacked = _attacked(sample)
    survives = attacked & sample["ladder_right"][:, -1]
    few = MASKED_AT_MOST * attacked.sum()
    masked = survives & (sample["zero_gradient"] > _MASKED).all(axis=1)
    if masked.sum() > few:
        raise ValueError(
            f"gradient masking: {masked.sum():,} of {attacked.sum():,} attacked images survive for want of a gradient, "
            "which says nothing of robustness (see zero_gradient)"
        )
    if survives.sum() > few and (led := min(_astray_by_loss(attack, sample, survives))) > _ASTRAY:
        raise ValueError(
            f"gradient masking: {survives.sum():,} of {attacked.sum():,} attacked images survive, of whose runs "
            f"{100 * led:.3g} % or more under each loss moved it the wrong way: gradients that lead astray say nothing "
            "of robustness (see astray)"
        )


def _astray_by_loss(attack: Attack, sample: Sample, chosen: Mask) -> list[float]:
    """Give, for each loss of the attack, the share of chosen images' runs that did not move it the attack's way."""
    columns: dict[str, list[int]] = {}
    for column, pursuit in enumerate(attack.pursuits[:1] if attack.surrogate else attack.pursuits):
        columns.setdefault(pursuit.loss, []).append(column)
    return [_astray(attack, {name: sample[name][chosen][:, of] for name in _LOSSES}) for of in columns.values()]


def _share(
    attack: Attack,
    name: str,
    hit: Callable[[Sample], Mask],
    *,
    among: Callable[[Sample], Mask] | None = None,
    checked: bool = True,
) -> Score:
    """Make the score of a share of images, or of those among some; refused where gradients are masked."""

    def count(samples: Samples) -> tuple[int, int]:
        sample = samples[attack]
        of = among(sample) if among else np.ones(len(sample["group"]), dtype=bool)
        if not of.any():
            raise ValueError(f"{name}: no image" + (" is classified right when clean" if among else ""))
        return int((hit(sample) & of).sum()), int(of.sum())

    def value(samples: Samples) -> float:
        hits, images = count(samples)
        return hits / images

    def check(samples: Samples) -> None:
        _require_progress(attack, samples[attack])

    def parts(samples: Samples) -> list[Part]:
        return [Part(attack, hit(samples[attack]).astype(np.float64), (0.0, 1.0))]

    def ratio(samples: Samples) -> Ratio:
        count(samples)
        sample = samples[attack]
        of, hits = among(sample) if among else np.ones(len(sample["group"]), dtype=bool), hit(sample)
        return Ratio(attack, hits & of, ~hits & of)

    return Score(
        name,
        (attack,),
        value,
        count=count,
        of_some=among is not None,
        check=check if checked else None,
        parts=None if among else parts,
        ratio=ratio if among else None,
    )


def _number(attack: Attack, name: str, value: Callable[[Sample], float], *, percent: bool = False) -> Score:
    """Make the score of a number that describes the very images that were attacked."""
    return Score(name, (attack,), lambda samples: value(samples[attack]), percent=percent, is_plain=True)
