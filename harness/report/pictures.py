"""The report's photographs: maximizing images (Figures 2 and 3) and cue-conflict images with their top 5 (Figure 4)."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.benchmarks.classes import class_names
from harness.benchmarks.images import read_image
from harness.errors import HarnessError
from harness.figures import draw_maximizing_images
from harness.metrics.shape_bias import CATEGORIES, category_of
from harness.protocols.maximizing import Maximize
from harness.report.evidence import Person
from harness.studies.live import LiveStudy
from harness.studies.quantities import SHAPE_BIAS, of_maximizing_images
from harness.verdicts.rules import in_unit

STIMULI = 6
_SIDE = 200

SIMILARITIES = {
    "ssim_to_seed_smallest": "SSIM to the seed",
    "ssim_between_units_smallest": "SSIM between units",
    "ssim_between_seeds_smallest": "SSIM between seeds",
    "seed_share_smallest": "seed's share of variance (nearest)",
    "seed_share_final": "seed's share of variance (final)",
    "maximized": "units maximized",
}
"""The numbers that are shown beside maximizing images, with what they are called there."""


@dataclass(frozen=True)
class Guess:
    """One of the five classes that a classifier takes a stimulus for.

    Attributes:
        name: Of the class, in words.
        matches: `shape`, `texture`, or empty where its category is neither.
    """

    name: str
    matches: str


@dataclass(frozen=True)
class Stimulus:
    """A cue-conflict image and what a classifier takes it for, among all 1000 classes.

    Attributes:
        shape: The category of its shape.
        texture: The category of its texture.
        png: The image, small.
        guesses: The five classes with the largest logits, largest first.
    """

    shape: str
    texture: str
    png: bytes
    guesses: tuple[Guess, ...]


@dataclass(frozen=True)
class Stimuli:
    """Some stimuli as one classifier sees them.

    Attributes:
        label: The classifier's.
        shown: The stimuli.
    """

    label: str
    shown: tuple[Stimulus, ...]


@dataclass(frozen=True)
class Maximized:
    """Maximizing images of one classifier.

    Attributes:
        label: The classifier's.
        png: The grid.
        similarities: By name, the numbers that say how much alike they look, in words.
    """

    label: str
    png: bytes
    similarities: dict[str, str]


def stimuli(study: LiveStudy, people: Sequence[Person]) -> list[Stimuli]:
    """Show what the baseline and the widest classifier take some cue-conflict images for.

    The first ones of the seeded order whose shape and texture differ, the same for both.

    Raises:
        HarnessError: An image can't be read.
    """
    found = []
    for person in _extremes(people):
        try:
            columns = study.records(SHAPE_BIAS, person.subject, ("image", "shape", "texture", "top5"))
        except HarnessError:  # nothing is known of it
            continue
        dataset = study.dataset(SHAPE_BIAS.benchmark)
        rows = np.flatnonzero(columns["shape"] != columns["texture"])[:STIMULI]
        shown = tuple(
            Stimulus(
                str(columns["shape"][row]),
                str(columns["texture"][row]),
                _small(dataset.root / str(columns["image"][row])),
                _guesses(columns["top5"][row], str(columns["shape"][row]), str(columns["texture"][row])),
            )
            for row in rows
        )
        if shown:
            found.append(Stimuli(person.label, shown))
    return found


def maximizing(study: LiveStudy, people: Sequence[Person], folder: Path) -> list[Maximized]:
    """Draw the maximizing images of the baseline and the widest classifier, where the store has them.

    Args:
        study: Whose.
        people: Its classifiers, the baseline first, the widest last.
        folder: Where the grids are written.

    Raises:
        HarnessError: A grid can't be written.
    """
    quantity = of_maximizing_images("maximized", "units that were maximized", percent=True)
    found = []
    for person in _extremes(people):
        need = study.need(quantity)
        assert isinstance(need, Maximize)
        try:
            columns = study.records(quantity, person.subject)
        except HarnessError:  # none were made
            continue
        path = folder / f"maximizing-{person.label}.png"
        draw_maximizing_images(need, [columns], path, person.label)
        similarities = {}
        for score, words in SIMILARITIES.items():
            is_share = not score.startswith("ssim")
            try:
                figure = study.figure(of_maximizing_images(score, words, percent=is_share), person.subject)
            except HarnessError:  # too few were maximized to compare
                continue
            similarities[words] = in_unit(figure.estimate.value, percent=is_share)
        found.append(Maximized(person.label, path.read_bytes(), similarities))
    return found


def draw_stimuli(shown: Stimuli) -> bytes:
    """Draw stimuli with their top 5 as a PNG: `S` marks a class of the shape's category, `T` one of the texture's."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    figure = Figure(figsize=(2.0 * len(shown.shown), 3.4), layout="constrained")
    figure.suptitle(f"Unrestricted top 5 of {shown.label}", fontsize=10)
    for axes, each in zip(figure.subplots(1, len(shown.shown), squeeze=False)[0], shown.shown, strict=True):
        axes.imshow(np.asarray(Image.open(io.BytesIO(each.png))))
        axes.axis("off")
        axes.set_title(f"shape {each.shape}\ntexture {each.texture}", fontsize=8)
        words = [f"{_MARKS[guess.matches]} {guess.name}"[:26] for guess in each.guesses]
        axes.text(0, -0.06, "\n".join(words), transform=axes.transAxes, va="top", fontsize=7, family="monospace")
    file = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(file, format="png", dpi=130, facecolor="white")
    return file.getvalue()


_MARKS = {"shape": "S", "texture": "T", "": " "}


def _extremes(people: Sequence[Person]) -> list[Person]:
    return list(dict.fromkeys((people[0], people[-1])))


def _guesses(top5: np.ndarray, shape: str, texture: str) -> tuple[Guess, ...]:
    cues = {shape: "shape", texture: "texture"}
    names = class_names()
    categories = ["" if place < 0 else CATEGORIES[place] for place in category_of(top5)]
    return tuple(
        Guess(names[int(index)], cues.get(category, "")) for index, category in zip(top5, categories, strict=True)
    )


def _small(path: Path) -> bytes:
    """Give an image as a PNG of at most 200 pixels a side; small ones are enlarged by whole pixels."""
    from PIL import Image

    image, _ = read_image(path)
    times = max(1, _SIDE // max(image.size))
    if times > 1:
        image = image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    image.thumbnail((_SIDE, _SIDE))
    file = io.BytesIO()
    image.convert("RGB").save(file, "PNG", optimize=True)
    return file.getvalue()
