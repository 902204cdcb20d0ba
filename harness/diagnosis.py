"""Tells why a classifier is bad: what its accuracy would be if its input, or its classes, were read otherwise.

A checkpoint that answers no better than chance is seldom a bad network: its pixels are scaled otherwise, its channels
are in another order, its classes are counted from 1. Each such reading (`harness.readings`) is tried on the same few
images, and the one that does clearly better is named, with what would mend it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.benchmarks.batches import batches
from harness.benchmarks.classes import CLASSES
from harness.benchmarks.images import Fitting
from harness.benchmarks.order import prefix_order
from harness.engines.backing_off import in_parts
from harness.engines.blame import blaming
from harness.engines.memory import keep_freed_memory
from harness.readings import (
    AS_NOW,
    Classes,
    InputReading,
    OutputReading,
    Seen,
    input_now,
    other_inputs,
    other_outputs,
)
from harness.verdicts.rules import in_unit

if TYPE_CHECKING:
    import torch

    from harness.benchmarks.dataset import Dataset
    from harness.classifiers.classifier import Classifier

# Of what is found, and how: what is kept of another one is found out again.
FORM = 1

# Error rate of naming a reading, over all that are tried and both looks; and of calling an accuracy above chance.
ALPHA = 1e-3
# What a reading must gain at least to be named, however certain the gain.
LEAST_GAIN = 0.05
# How many images all readings are tried on, and how many those that these leave open.
FIRST_LOOK = 128
MOST_IMAGES = 512
# Fewer images say too little to warn of anything.
FEWEST_IMAGES = 20

_LOOKS = 2
# Level at which one reading alone is worth a word.
_SUSPICION = 0.05
_AT_ONCE = 32
_MOST_OPEN = 3
# Up to so many times what chance gives, an accuracy is called chance.
_CHANCE = 5
# Mean confidences of three networks that were never trained were 0.001 to 0.013, of three trained ones 0.15 to 0.73.
_UNTRAINED = 0.02
# A class that is answered for so many of the images says that no others are told apart.
_CONSTANT = 0.5
# The order of classes is asked of so many images, of classes that have so many each: one half of a class's images finds
# where it went, the other tells whether it did.
_ORDER_IMAGES = 256
_FEWEST_A_CLASS, _MOST_A_CLASS = 4, 16
# What the mapping must explain of the other half, and of what any mapping explains, one-to-one or not.
_LEAST_AGREEMENT, _LEAST_ONE_TO_ONE = 0.2, 0.75

# From how images are fitted, and their places, to uint8 pixels, shape (n, 3, h, w), RGB.
Pixels = Callable[[Fitting, Sequence[int]], "torch.Tensor"]


@dataclass(frozen=True)
class Reading:
    """Another way to read a classifier's input or its classes.

    Attributes:
        name: What to call it, e.g. `BGR`.
        words: What would be wrong with the classifier as it is used now.
        remedy: What would mend it: a spec where one can say it, else how to change the checkpoint.
        accuracy: Top-1 of the images under this reading, a fraction.
        images: On how many images.
    """

    name: str
    words: str
    remedy: str
    accuracy: float
    images: int


@dataclass(frozen=True)
class Answers:
    """What a classifier answers as it is used now, whatever the labels.

    Attributes:
        commonest: The class that it answers most often; -1 where no logits are finite.
        share: For which share of the images.
        distinct: How many different classes it answers.
        confidence: Mean softmax probability of its answers.
        non_finite: Share of the images for which a logit is NaN or infinite.
    """

    commonest: int
    share: float
    distinct: int
    confidence: float
    non_finite: float

    @classmethod
    def of(cls, seen: Seen) -> Answers:
        """Sum up what was seen."""
        finite = seen.first >= 0
        counts = np.bincount(seen.first[finite], minlength=CLASSES)
        return cls(
            int(counts.argmax()) if finite.any() else -1,
            float(counts.max() / len(finite)),
            int(np.count_nonzero(counts)),
            float(seen.confidence[finite].mean()) if finite.any() else 0.0,
            float(1 - finite.mean()),
        )

    @property
    def is_constant(self) -> bool:
        """Whether it answers one class for half of the images or more."""
        return self.share >= _CONSTANT

    def __str__(self) -> str:
        if self.non_finite:
            share = _percent(self.non_finite)
            return f"its logits are NaN or infinite for {share} of the images: its weights are damaged"
        what = f"it answers class {self.commonest} for {_percent(self.share)} of the images"
        if not self.is_constant:
            what = f"it spreads its answers over {self.distinct} classes"
        confidence = f"with mean confidence {self.confidence:.2g}"
        if self.confidence < _UNTRAINED:
            return f"{what} {confidence}, as an untrained network does: its weights were lost, or not loaded"
        if self.is_constant:
            return f"{what}: its last layer or a batch norm is broken"
        return f"{what} {confidence}: its weights are damaged or of another task"


@dataclass(frozen=True)
class Diagnosis:
    """What was found out about a classifier.

    Attributes:
        images: With how many images it was looked at as it is used now.
        classes: How many classes it tells apart.
        accuracy: Its top-1 as it is used now, a fraction.
        readings: All other readings that were tried, best first.
        best: The one that does clearly better than now; None where none does.
        suspect: Where none does so clearly: the best of those that would gain enough, if it is no luck; else None.
        is_at_chance: Whether its accuracy is no better than chance.
        answers: What it answers as it is used now.
        order: Why its classes are not said to be in another order; empty where they are, or it was not asked.
    """

    images: int
    classes: int
    accuracy: float
    readings: tuple[Reading, ...]
    best: Reading | None
    suspect: Reading | None
    is_at_chance: bool
    answers: Answers
    order: str = ""

    @property
    def doubt(self) -> str:
        """Why it can't be said that no other reading does better; empty where it can, or one does."""
        if self.best:
            return ""
        if self.suspect:
            at_present = f"{_percent(self.suspect.accuracy)} instead of {_percent(self.accuracy)}"
            return (
                f"perhaps {self.suspect.words}: read so, it is right about {at_present} of {self.suspect.images:,} "
                "images, which may be luck; it takes more images"
            )
        if self.images < FIRST_LOOK:
            return f"{self.images:,} images are too few to tell other readings apart; it takes {FIRST_LOOK}"
        return f"it is no better than chance, however it is read: {self.answers}" if self.is_at_chance else ""

    def __str__(self) -> str:
        now = f"top-1 is {_percent(self.accuracy)} of the first {self.images:,} images"
        now += ", no better than chance" if self.is_at_chance else ""
        if self.best:
            read = f"read so, it is right about {_percent(self.best.accuracy)} of {self.best.images:,}"
            return f"{now}: {self.best.words}; {read}. To mend it, {self.best.remedy}."
        tried = f"none of {len(self.readings)} other readings of its input and its classes does clearly better"
        perhaps = f"; {self.doubt}" if self.suspect else ""
        if not self.is_at_chance:
            return f"{now}; {tried}{perhaps}."
        return f"{now}, and {tried}: {self.answers}" + (f"; {self.order}" if self.order else "") + f"{perhaps}."

    def as_json(self) -> dict[str, Any]:
        """Give it as an object for JSON; fractions, not percent."""
        return {**asdict(self), "words": str(self)}

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Diagnosis:
        """Read what `as_json` gave."""
        found = {name: value for name, value in given.items() if name != "words"}
        best, suspect = (Reading(**found[name]) if found[name] else None for name in ("best", "suspect"))
        readings = tuple(Reading(**each) for each in found["readings"])
        beside = {"readings": readings, "best": best, "suspect": suspect, "answers": Answers(**found["answers"])}
        return cls(**{**found, **beside})


def is_at_chance(hits: int, images: int, classes: int) -> bool:
    """Tell whether an accuracy is no better than chance: not above five times 1 / classes, at level 1e-3.

    It is, unless so many hits or more come with a chance of at most 1e-3 where the accuracy is 5 / classes (exact,
    binomial).

    Args:
        hits: How many images are classified right, in 0..images.
        images: How many there are, at least 1.
        classes: Among how many classes, at least 1.
    """
    from scipy.stats import binom

    return bool(binom.sf(hits - 1, images, min(1.0, _CHANCE / classes)) > ALPHA)


def diagnose_dataset(
    dataset: Dataset,
    classifier: Classifier,
    *,
    images: int = MOST_IMAGES,
    seed: int = 0,
    reference_predictions: NDArray[np.integer[Any]] | None = None,
    workers: int = 0,
) -> Diagnosis:
    """Diagnose a classifier on the first images of a benchmark's seeded order.

    Only whether its classes are in another order is asked of images from all of it: that takes several of a class.

    Args:
        dataset: The opened benchmark, of labelled images.
        classifier: The loaded classifier.
        images: How many images to look at, at most; 128 first, and more only for what these leave open.
        seed: Seed of the order.
        reference_predictions: What a classifier that is known to be good takes the first images of that order for,
            shape (m,); None for none.
        workers: Decoding processes; 0 decodes in this one.

    Raises:
        DataError: An image can't be used.
        ClassifierError: The classifier gives something else than logits of its classes.
        DecoderLost: A decoding process was ended.
    """
    import torch

    order = prefix_order(len(dataset), seed)

    def pixels(fitting: Fitting, places: Sequence[int]) -> torch.Tensor:
        found = batches(dataset, order[np.asarray(places)], fitting, batch_size=_AT_ONCE, workers=workers)
        return torch.cat([batch.pixels for batch in found])

    labels = dataset.labels[order % len(dataset.images)]
    return diagnose(classifier, pixels, labels, reference=reference_predictions, most=images)


def diagnose(
    classifier: Classifier,
    images: torch.Tensor | Pixels,
    labels: NDArray[np.integer[Any]],
    *,
    reference: NDArray[np.integer[Any]] | None = None,
    most: int = MOST_IMAGES,
) -> Diagnosis:
    """Tell why a classifier is bad, if another reading of its input or its classes mends it.

    All readings are tried on the first 128 images, and on the first `most` what these leave open. A reading is named if
    it gains five points or more, and is right about more images than now by an exact paired test (McNemar) at level
    1e-3 over all readings and both looks. At chance, pairs of both kinds are readings too; and if nothing helps, a
    one-to-one mapping of classes is estimated on half of some images and tested on the other half.

    Args:
        classifier: The loaded classifier.
        images: Pixels as the classifier takes them, uint8, shape (n, 3, h, w), RGB; or the function that gives those of
            some places, fitted as asked, by which other input sizes can be tried.
        labels: Class indices in 0..999, shape (n,), in random order.
        reference: Top-1 of a classifier that is known to be good, on the first images, shape (m,); None for none.
        most: How many images to look at, at most.

    Raises:
        ClassifierError: The classifier gives something else than logits of its classes.
    """
    if classifier.device.type == "cpu":
        keep_freed_memory()
    pixels = images if callable(images) else lambda _, places: images[list(places)]
    looks = _Looks(classifier, pixels, np.asarray(labels, dtype=np.int64))
    most = min(most, len(labels))
    looks.see(looks.now, min(FIRST_LOOK, most))
    inputs = other_inputs(classifier.spec, can_resize=callable(images))
    inputs = [each for each in inputs if looks.can_see(each, min(FIRST_LOOK, most))]
    with_pairs = looks.is_at_chance()
    trials = _Trials(looks.trials(inputs, with_pairs=with_pairs))
    if most > FIRST_LOOK and (open_trials := trials.open()):
        for each in dict.fromkeys([looks.now, *(trial.input for trial in open_trials)]):
            looks.see(each, most)
        trials = _Trials(looks.trials(inputs, with_pairs=with_pairs))
    best, why_not = trials.best(), ""
    readings = [trial.reading() for trial in trials.all]
    answered = Answers.of(looks.seen[looks.now])
    if best is None and not answered.is_constant and (looks.is_at_chance() or reference is not None):
        order = _class_order(looks, reference, trials.level)
        readings += [order.reading] if order.reading else []
        best, why_not = (order.reading if order.is_another else None), order.why_not
    right = looks.right(looks.now, AS_NOW)
    return Diagnosis(
        images=len(right),
        classes=CLASSES,
        accuracy=float(right.mean()),
        readings=tuple(sorted(readings, key=lambda reading: -reading.accuracy)),
        best=best,
        suspect=None if best else trials.suspect(),
        is_at_chance=looks.is_at_chance(),
        answers=answered,
        order=why_not,
    )


@dataclass(frozen=True, eq=False)
class _Trial:
    """A reading that was tried.

    Attributes:
        input: How images were given.
        output: How classes were read.
        right: Per image, whether it is right under this reading, shape (n,).
        now: Per image, whether it is right as it is used now.
    """

    input: InputReading
    output: OutputReading
    right: NDArray[np.bool_]
    now: NDArray[np.bool_]

    @property
    def is_pair(self) -> bool:
        return bool(self.input.name and self.output.name)

    @property
    def gain(self) -> float:
        return float(self.right.mean() - self.now.mean())

    @cached_property
    def p_value(self) -> float:
        return self.output.tries * _mcnemar(self.right, self.now)

    @property
    def is_open(self) -> bool:
        """Whether more images may show that it does better: it did so far, and may gain enough."""
        return self.p_value <= 0.5 and self.gain + _spread(self.right, self.now) >= LEAST_GAIN

    def is_better(self, level: float) -> bool:
        return self.gain >= LEAST_GAIN and self.p_value <= level

    @property
    def is_suspect(self) -> bool:
        """Whether it may well do better: it gains enough, as luck alone lets one reading of twenty do."""
        return self.gain >= LEAST_GAIN and self.p_value <= _SUSPICION

    def reading(self) -> Reading:
        parts = (self.input, self.output)
        return Reading(
            " + ".join(part.name for part in parts if part.name),
            "; ".join(part.words for part in parts if part.words),
            ", and ".join(part.remedy for part in parts if part.remedy),
            float(self.right.mean()),
            len(self.right),
        )


class _Trials:
    """All readings that were tried, and what is to be made of them."""

    def __init__(self, trials: Sequence[_Trial]) -> None:
        self.all = sorted(trials, key=lambda trial: -trial.gain)
        self.level = ALPHA / (_LOOKS * (len(trials) + 1))  # the order of classes is one more

    def _better(self) -> list[_Trial]:
        """Give those that do clearly better, best first; pairs only where nothing simpler does."""
        return _simpler_first([trial for trial in self.all if trial.is_better(self.level)])

    def best(self) -> Reading | None:
        return next((trial.reading() for trial in self._better()), None)

    def suspect(self) -> Reading | None:
        """Give the one that gains most of those that may well do better; pairs only where nothing simpler does."""
        found = _simpler_first([trial for trial in self.all if trial.is_suspect])
        return next((trial.reading() for trial in found), None)

    def open(self) -> list[_Trial]:
        """Give those among which more images must decide; none where it is plain which is best, or that none is."""
        if better := self._better():
            near = [each for each in better if better[0].gain - each.gain <= _spread(better[0].right, each.right)]
            return near[:_MOST_OPEN] if len(near) > 1 else []
        return [trial for trial in self.all if trial.is_open][:_MOST_OPEN]


def _simpler_first(trials: Sequence[_Trial]) -> list[_Trial]:
    """Put those first that are made of fewer misreadings than the best one, if it is not clearly better than they are.

    Pairs of an input's and of classes' misreading are left out where there is anything else.
    """
    found = [trial for trial in trials if not trial.is_pair] or list(trials)
    if not found:
        return []
    best, images = found[0], min(len(trial.right) for trial in found)
    as_good = [
        trial
        for trial in found
        if trial.input.changes < best.input.changes and _mcnemar(best.right[:images], trial.right[:images]) > ALPHA
    ]
    return [*as_good, *(trial for trial in found if trial not in as_good)]


class _Looks:
    """Shows a classifier the first images under readings of its input, and keeps what it answers."""

    def __init__(self, classifier: Classifier, pixels: Pixels, labels: Classes) -> None:
        self.labels = labels
        self.now = input_now(classifier.spec)
        self.seen: dict[InputReading, Seen] = {}
        self._classifier = classifier
        self._pixels = pixels
        self._fitted: dict[Fitting, torch.Tensor] = {}

    def see(self, reading: InputReading, images: int) -> None:
        """Show the first images, but for those that were shown before."""
        begin = len(self.seen[reading].first) if reading in self.seen else 0
        if begin < images:
            found = answers(self._classifier, reading, self._first(reading.fitting, images)[begin:])
            self.seen[reading] = self.seen[reading].followed_by(found) if begin else found

    def can_see(self, reading: InputReading, images: int) -> bool:
        """Show the first images; tells whether the classifier takes them so."""
        self._first(reading.fitting, images)  # what is wrong with the images is not the classifier's
        try:
            self.see(reading, images)
        except Exception:  # whatever the classifier's own code raises on images of another size
            return False
        return True

    def at(self, places: Sequence[int]) -> Seen:
        """Show the images at some places as they are shown now."""
        return answers(self._classifier, self.now, self._pixels(self.now.fitting, places))

    def right(self, reading: InputReading, output: OutputReading) -> NDArray[np.bool_]:
        seen = self.seen[reading]
        found: NDArray[np.bool_] = output.classes(seen) == self.labels[: len(seen.first)]
        return found

    def is_at_chance(self) -> bool:
        right = self.right(self.now, AS_NOW)
        return is_at_chance(int(right.sum()), len(right), CLASSES)

    def trials(self, inputs: Sequence[InputReading], *, with_pairs: bool) -> list[_Trial]:
        """Judge each reading on the images that it was shown with."""
        now = self.right(self.now, AS_NOW)
        found = []
        for each in (self.now, *inputs):
            seen = self.seen[each]
            outputs = [AS_NOW] if each is not self.now else []
            if with_pairs or each is self.now:
                outputs += other_outputs(self._classifier.spec, seen, self.labels[: len(seen.first)])
            found += [_Trial(each, output, self.right(each, output), now[: len(seen.first)]) for output in outputs]
        return found

    def _first(self, fitting: Fitting, images: int) -> torch.Tensor:
        import torch

        held = self._fitted.get(fitting)
        begin = 0 if held is None else len(held)
        if begin < images:
            more = self._pixels(fitting, range(begin, images))
            self._fitted[fitting] = more if held is None else torch.cat([held, more])
        return self._fitted[fitting][:images]


def answers(classifier: Classifier, reading: InputReading, pixels: torch.Tensor) -> Seen:
    """Show images to the bare model behind a classifier's normalisation.

    Args:
        classifier: The loaded classifier.
        reading: How its images are given.
        pixels: uint8, shape (n, 3, h, w), RGB, in the size that the reading asks for.

    Raises:
        ClassifierError: The model gives something else than logits of its classes.
    """
    import torch

    module = classifier.module
    how = reading.preprocessing
    mean, std = (torch.tensor(each, device=classifier.device)[:, None, None] for each in (how.mean, how.std))

    def see(some: torch.Tensor) -> Seen:
        with torch.inference_mode():
            images = (some.to(classifier.device).float() / 255 - mean) / std
            logits = module.answer(images.flip(1) if reading.flips_channels else images).float()
            return _seen(logits, module.of_imagenet(logits))

    with blaming(classifier.spec.text, lambda place: place, f"images of shape {tuple(pixels.shape)}"):
        found = [seen for some in pixels.split(_AT_ONCE) for seen in in_parts(see, some)]
    joined = found[0]
    for each in found[1:]:
        joined = joined.followed_by(each)
    return joined


def _seen(logits: torch.Tensor, own: torch.Tensor) -> Seen:
    finite = logits.isfinite().all(dim=1).cpu().numpy()
    first, least, without_last = (
        np.where(finite, classes.cpu().numpy(), -1)
        for classes in (own.argmax(1), own.argmin(1), logits[:, :CLASSES].argmax(1))
    )
    confidence = np.where(finite, own.softmax(1).amax(1).double().cpu().numpy(), 0.0)
    return Seen(first, least, without_last, confidence)


class _Order(NamedTuple):
    """Whether a classifier's classes are in another order.

    Attributes:
        reading: The order that was found; None where it could not be looked for.
        is_another: Whether it is one.
        why_not: Why not, in words; empty where it is.
    """

    reading: Reading | None
    is_another: bool
    why_not: str


def _class_order(looks: _Looks, reference: NDArray[np.integer[Any]] | None, level: float) -> _Order:
    """Find where classes went on half of some images, and ask the other half whether they did."""
    truth = looks.labels if reference is None else np.asarray(reference, dtype=np.int64)[: len(looks.labels)]
    places, is_first_half = _several_a_class(truth)
    if len(places) - is_first_half.sum() < FEWEST_IMAGES:
        few = f"it takes {_FEWEST_A_CLASS} images or more of several classes"
        return _Order(None, False, f"whether its classes are in another order can't be told here: {few}")
    answered, due = looks.at(places).first, truth[places]
    went = _one_to_one(due[is_first_half], answered[is_first_half])
    commonest = _commonest(due[is_first_half], answered[is_first_half])
    came = {answer: index for index, answer in went.items()}
    answered, due, labels = (each[~is_first_half] for each in (answered, due, looks.labels[places]))
    agrees = _mapped(went, due) == answered
    right = _mapped(came, answered) == labels
    loose = float((_mapped(commonest, due) == answered).mean())
    agreement = float(agrees.mean())
    of = "the labels" if reference is None else "the reference"
    classes = f"{len(np.unique(truth[places]))} classes"
    reading = Reading(
        "classes in another order",
        f"its classes are in another order: the best one-to-one mapping of {classes}, found on half of their images, "
        f"agrees with {of} about {_percent(agreement)} of the other half",
        "put the rows of its last layer into the order of the 1000 sorted wnids, from the list of classes that it was "
        "trained with",
        float(right.mean()),
        len(right),
    )
    now = answered == due
    is_another = (
        agreement - now.mean() >= LEAST_GAIN
        and agreement >= max(_LEAST_AGREEMENT, _LEAST_ONE_TO_ONE * loose)
        and _mcnemar(agrees, now) <= level
    )
    why_not = f"no other order of its classes helps: the best of {classes} is right about {_percent(agreement)}"
    return _Order(reading, is_another, "" if is_another else why_not)


def _several_a_class(truth: Classes) -> tuple[list[int], NDArray[np.bool_]]:
    """Choose images of the classes that have most, and say which of them belong to the first half of their class."""
    found, firsts, counts = np.unique(truth, return_index=True, return_counts=True)
    places: list[int] = []
    halves: list[bool] = []
    for which in np.lexsort((firsts, -np.minimum(counts, _MOST_A_CLASS))):
        of_class = np.flatnonzero(truth == found[which])[:_MOST_A_CLASS].tolist()
        if found[which] < 0 or len(of_class) < _FEWEST_A_CLASS or len(places) + len(of_class) > _ORDER_IMAGES:
            continue
        places += of_class
        halves += [place % 2 == 0 for place in range(len(of_class))]
    return places, np.array(halves, dtype=bool)


def _one_to_one(due: Classes, answered: Classes) -> dict[int, int]:
    """Map classes to answers one-to-one such that most images agree; classes that none agrees about are left out."""
    from scipy.optimize import linear_sum_assignment

    classes, rows = np.unique(due, return_inverse=True)
    answers_, columns = np.unique(answered, return_inverse=True)
    counts = np.zeros((len(classes), len(answers_)), dtype=np.int64)
    np.add.at(counts, (rows, columns), answered >= 0)
    chosen = zip(*linear_sum_assignment(counts, maximize=True), strict=True)
    return {int(classes[row]): int(answers_[column]) for row, column in chosen if counts[row, column]}


def _commonest(due: Classes, answered: Classes) -> dict[int, int]:
    """Map each class to what is answered most often for it."""
    return {int(each): int(np.bincount(answered[due == each] + 1).argmax()) - 1 for each in np.unique(due)}


def _mapped(mapping: dict[int, int], classes: Classes) -> Classes:
    """Look each class up; -2, which is no class, where there is none."""
    return np.array([mapping.get(int(each), -2) for each in classes], dtype=np.int64)


def _mcnemar(right: NDArray[np.bool_], now: NDArray[np.bool_]) -> float:
    """Give the chance of so many images won, among those won or lost, if each is won or lost with equal chance."""
    from scipy.stats import binom

    won, lost = int(np.sum(right & ~now)), int(np.sum(now & ~right))
    return float(binom.sf(won - 1, won + lost, 0.5))


def _spread(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Give two standard errors of the difference between two paired accuracies; one image where they never differ."""
    return 2 * math.sqrt(int(np.sum(one != other)) + 1) / len(one)


def _percent(share: float) -> str:
    return in_unit(share, percent=True)
