"""Every failure a user can cause or meet, as one clear line.

A message says what is wrong, where (file, cell, option) and what to do about it. Whoever runs the
harness catches `HarnessError`, prints the line and exits; nothing else is ever caught wholesale.
"""

import difflib
from collections.abc import Iterable, Sequence

_LISTED, _SOME = 20, 3


class HarnessError(Exception):
    """Base of all errors that are told to the user as one line. Exit code 1."""


class UsageError(HarnessError):
    """An option, a spec or a name was typed wrong. Exit code 2."""


class DataError(HarnessError):
    """A benchmark's folder is there but wrong, or one of its images can't be used."""


class NotMeasured(HarnessError):
    """A figure can't be had here, with the reason: the claim is `not run`, never passed."""


class TooFewImages(NotMeasured):
    """A figure can't be had from the images that were drawn so far; more of them may do."""


class BudgetSpent(NotMeasured):
    """Nothing more may be measured, and of this figure nothing is known."""


class ShardDone(NotMeasured):
    """A shard's share of a run is in the store, by which alone nothing is judged.

    Attributes:
        images: How many records the share has.
    """

    def __init__(self, shard: str, images: int) -> None:
        super().__init__(
            f"shard {shard} measures and judges nothing; when all shards are done, merge their stores (python -m "
            "harness merge) if each has its own, and judge with --claims-only"
        )
        self.images = images


class DataMissing(NotMeasured):
    """A benchmark's folder, or a classifier's weights, are not there; says how to get them."""


class NoGradient(NotMeasured):
    """A classifier that can't be attacked by gradients: its logits have none with respect to pixels."""


class NoPenultimate(NotMeasured):
    """A classifier whose last layer can't be looked at: it is a program."""


class CheckpointError(HarnessError):
    """Weights that can't be loaded, don't fit their architecture or aren't what they should be."""


class ClassifierError(HarnessError):
    """A classifier that loads but answers wrongly: wrong number of logits, NaN or Inf."""


class NonFinite(ClassifierError):
    """A logit or a gradient is NaN or infinite.

    Attributes:
        what: `logits` or `gradients`.
        place: For which image of the batch, from 0.
    """

    def __init__(self, what: str, place: int) -> None:
        super().__init__(f"NaN or infinite {what} for the image at place {place} of the batch")
        self.what = what
        self.place = place


class DecoderLost(HarnessError):
    """A process that decodes images, or makes them, was ended from outside."""


class ComputingLost(HarnessError):
    """What computed elsewhere was lost, again and again."""


class RecordsError(HarnessError):
    """The store of records can't be read or written."""


def in_one_line(error: Exception) -> str:
    """Say what somebody else's code raised: its type and the first line of its message."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def some(names: Sequence[str]) -> str:
    """List the first three of many names.

    >>> some(["a", "b", "c", "d"])
    'a, b, c, ...'
    """
    return ", ".join(names[:_SOME]) + (", ..." if len(names) > _SOME else "")


def known_nearest_first(word: str, known: Iterable[str]) -> list[str]:
    """Sort the known words by likeness to `word`, nearest first, ties alphabetically."""

    def unlikeness(candidate: str) -> tuple[float, str]:
        ratio = difflib.SequenceMatcher(None, word.lower(), candidate.lower()).ratio()
        return (-ratio, candidate)

    return sorted(known, key=unlikeness)


def unknown(kind: str, word: str, known: Iterable[str]) -> UsageError:
    """Build the error for a word that is none of the known ones, which it lists nearest first.

    >>> str(unknown("benchmark", "imagenet_c", ["imagenet", "imagenet-c"]))
    "unknown benchmark 'imagenet_c'; known: imagenet-c, imagenet"
    """
    nearest = known_nearest_first(word, known)
    more = f" and {len(nearest) - _LISTED} more" if len(nearest) > _LISTED else ""
    return UsageError(f"unknown {kind} {word!r}; known: {', '.join(nearest[:_LISTED])}{more}")
