"""Makes the maximizing images that a store lacks: a chunk of records a seed image."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from harness.benchmarks.dataset import Dataset
from harness.benchmarks.images import Fitting, read_image
from harness.benchmarks.order import prefix_order
from harness.engines.blame import blaming
from harness.engines.engine import Answer, Load
from harness.engines.measuring import Lane, fill, require_all
from harness.engines.memory import keep_freed_memory
from harness.engines.settings import Settings
from harness.errors import NotMeasured
from harness.progress import Progress
from harness.protocols.maximizing import Maximize
from harness.records.schema import Columns
from harness.records.store import RecordStore, Run, RunKey

if TYPE_CHECKING:
    from PIL import Image

    from harness.classifiers.spec import Spec


@dataclass(frozen=True)
class SeedImage:
    """What a search begins with.

    Attributes:
        name: Its path, or noise-<k>.
        digest: First 8 bytes of the sha256 of its file; 0 for noise.
        pixels: Gives it as the classifier sees it: uint8, shape (3, crop, crop), RGB.
        photograph: Whether it is one, and not noise.
    """

    name: str
    digest: int
    pixels: Callable[[], NDArray[np.uint8]]
    photograph: bool

    def on_the_way(self, place: int) -> str:
        """Name what a search from it came to."""
        return f"an image on the way from {self.name}"


def maximized(
    dataset: Dataset,
    need: Maximize,
    spec: "Spec",
    load: Load,
    store: RecordStore,
    settings: Settings,
    *,
    wait: bool = True,
) -> tuple[Run, int]:
    """Bring the store to hold a classifier's maximizing images.

    Args:
        dataset: The opened benchmark, whose first images are the seeds where none are named.
        need: Which images.
        spec: Which classifier.
        load: Gives the classifier; called only when something must be made, or to hash weights of no file.
        store: Where records are kept.
        settings: How to measure.
        wait: Whether to wait for what another process is making.

    Returns:
        The run, and how many records it has.

    Raises:
        NotMeasured: Records are missing and `settings.measure` is false, there are too few images, or the classifier
            has no gradients or is a program, whose layers can't be seen.
        Busy: Another process is making them, and `wait` is false.
        DataError, CheckpointError, ClassifierError, RecordsError: As named; what was made before is kept.
    """
    seeds = _seeds(dataset, need, spec, settings.seed)
    run = store.run(_key(dataset, need, spec, load, settings, seeds))

    def lacking() -> NDArray[np.int64]:
        """Give the positions of all seed images of which a record is missing."""
        missing = run.missing(run.key.pairs) // run.key.chunk
        return settings.own(np.flatnonzero(np.isin(np.arange(run.key.pairs) // run.key.chunk, missing)), run.key.chunk)

    if len(lacking()) and not settings.measure:
        raise NotMeasured(f"maximizing images of {spec.label} are not in {store.root}; make them without --claims-only")
    if len(lacking()):
        with run.lock(wait=wait, part=settings.part):
            lane = Lane(spec, run, lacking())
            if len(lane.positions):
                fill([lane], Search(tuple(seeds), need, spec, settings), load, settings)
    require_all(settings, run.key.pairs, run.key.chunk)
    return run, run.key.pairs


def _key(
    dataset: Dataset, need: Maximize, spec: "Spec", load: Load, settings: Settings, seeds: list[SeedImage]
) -> RunKey:
    from harness.classifiers.loading import identity

    return RunKey(
        benchmark=dataset.benchmark,
        subject=f"{spec.label}-{need.name}",
        identity={
            **identity(spec, load),
            **need.identity,
            "penultimate": spec.penultimate or "found",
            "seeds": ", ".join(f"{seed.name} {seed.digest:016x}" for seed in seeds),
            "seed": str(settings.seed),
            "precision": settings.precision,
        },
        pairs=need.seed_count * need.unit_count,
        chunk=need.unit_count,
    )


def _seeds(dataset: Dataset, need: Maximize, spec: "Spec", seed: int) -> list[SeedImage]:
    """Read the seed images; they are brought to the classifier's size, and the noise is drawn, when they are used."""
    preprocessing = spec.preprocessing
    fitting = Fitting.of(preprocessing)
    paths = [Path(name).expanduser() for name in need.seeds]
    if not paths:
        if len(dataset) < need.photographs:
            raise NotMeasured(f"{dataset.benchmark}: maximizing images begin with {need.photographs} photographs")
        paths = [dataset.path(int(index)) for index in prefix_order(len(dataset), seed)[: need.photographs]]
    seeds = []
    for path in paths:
        image, facts = read_image(path)
        seeds.append(SeedImage(str(path), facts.digest, partial(_fitted, fitting, image), True))
    for number in range(need.noise):
        seeds.append(SeedImage(f"noise-{number}", 0, partial(_noise, seed, number, preprocessing.crop), False))
    return seeds


def _fitted(fitting: Fitting, image: "Image.Image") -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = fitting.transform(side=None)(image).numpy()
    return pixels


def _noise(seed: int, number: int, side: int) -> NDArray[np.uint8]:
    drawn = np.random.RandomState([seed, number, zlib.crc32(b"noise")])
    return drawn.randint(0, 256, (3, side, side)).astype(np.uint8)


@dataclass(frozen=True)
class Search:
    """The search for a classifier's maximizing images.

    Attributes:
        seeds: What it begins with.
        need: Which images.
        spec: Which classifier.
        settings: How to measure.
    """

    seeds: tuple[SeedImage, ...]
    need: Maximize
    spec: "Spec"
    settings: Settings

    unit: ClassVar[str] = "images"

    @property
    def title(self) -> str:
        """Name the classifier."""
        return f"{self.spec.label}, maximizing images"

    @property
    def chunk(self) -> int:
        """How many records a seed image has."""
        return self.need.unit_count

    @property
    def device(self) -> str:
        """Where the classifier lives."""
        return self.settings.device

    @property
    def specs(self) -> "tuple[Spec, ...]":
        """The classifier."""
        return (self.spec,)

    def packed(self) -> "Search":
        """Leave out the engine."""
        return replace(self, settings=self.settings.packed())

    def begin(self, load: Load, *, workers: int | None = None) -> Answer:
        """Load the classifier, and give the function from the positions of whole seed images to their records.

        Args:
            load: Gives a classifier.
            workers: Not needed: seed images are there.
        """
        import torch

        from harness.classifiers.gradients import require_gradient
        from harness.protocols.maximize import MaximizeUnits

        need, settings = self.need, self.settings
        if settings.device == "cpu":
            keep_freed_memory()
        device = torch.device(settings.device)
        classifier = load(self.spec)
        require_gradient(classifier)
        search = MaximizeUnits(classifier, need, device=device, precision=settings.precision, seed=settings.seed)
        turn = Lock()

        def answer(positions: NDArray[np.int64]) -> Iterator[list[Columns]]:
            places = np.unique(positions // need.unit_count).tolist()
            with Progress(self.title, len(places) * need.steps, "steps") as progress:
                for done, place in enumerate(places):
                    seed = self.seeds[place]
                    with turn, blaming(self.spec.text, seed.on_the_way, "maximizing images"):
                        columns = search(seed.pixels(), progress.after(done * need.steps))
                    own = np.arange(place * need.unit_count, (place + 1) * need.unit_count)
                    yield [{"position": own, **_context(seed, need.unit_count), **columns}]

        return answer


def _context(seed: SeedImage, units: int) -> Columns:
    return {
        "image": np.array([seed.name] * units, dtype=object),
        "digest": np.full(units, seed.digest, dtype=np.uint64),
        "photograph": np.full(units, seed.photograph),
    }
