"""The benchmarks by name: what each is, where its folder lies, and how it is opened."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.benchmarks import cue_conflict, imagenet, imagenet_c
from harness.benchmarks.dataset import Dataset
from harness.errors import DataMissing, UsageError, unknown


@dataclass(frozen=True)
class Benchmark:
    """What is known of a benchmark before its data is seen.

    Attributes:
        name: As users type it; also the name of its folder under the data root.
        open: Lists and validates a folder; raises DataError where something is wrong with it.
        origin: Where the data comes from, for the reader of a skip.
    """

    name: str
    open: Callable[[Path], Dataset]
    origin: str


BENCHMARKS: Mapping[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark(
            "imagenet",
            imagenet.open_imagenet,
            "ILSVRC2012 validation images from image-net.org, as imagenet/val/<wnid>/*",
        ),
        Benchmark(
            "imagenet-c",
            imagenet_c.open_imagenet_c,
            "the archives noise, blur, weather and digital of zenodo.org/records/2235448, "
            "as imagenet-c/<corruption>/<1..5>/<wnid>/*",
        ),
        Benchmark(
            "imagenet-a",
            imagenet.open_imagenet_a,
            "imagenet-a.tar of github.com/hendrycks/natural-adv-examples, as imagenet-a/<wnid>/*",
        ),
        Benchmark(
            "cue-conflict",
            cue_conflict.open_cue_conflict,
            "the stimuli of github.com/rgeirhos/texture-vs-shape, as cue-conflict/*",
        ),
    )
}


@dataclass(frozen=True)
class DataRoots:
    """Where benchmarks lie: one folder each under `root`, unless placed elsewhere by name."""

    root: Path | None = None
    elsewhere: Mapping[str, Path] = field(default_factory=dict)

    def folder(self, name: str) -> Path | None:
        """Give the folder in which a benchmark is looked for; None where nobody said."""
        if name in self.elsewhere:
            return self.elsewhere[name]
        return self.root / name if self.root else None


def find_benchmark(name: str) -> Benchmark:
    """Look a benchmark up by name.

    Raises:
        UsageError: There is none of that name; the known ones are listed, nearest first.
    """
    if name not in BENCHMARKS:
        raise unknown("benchmark", name, BENCHMARKS)
    return BENCHMARKS[name]


def parse_placement(text: str) -> tuple[str, Path]:
    """Read one `NAME=DIR` of --data.

    Raises:
        UsageError: It has no `=`, or the name is no benchmark's.
    """
    name, equals, folder = text.partition("=")
    if not (equals and folder):
        raise UsageError(f"--data {text!r} is not of the form NAME=DIR, e.g. imagenet-c=/data/ImageNet-C")
    return find_benchmark(name).name, Path(folder).expanduser()


def describe(name: str, folder: Path) -> str:
    """Name a benchmark that is there, with how many of its 1000 classes ImageNet holds: it may be fewer."""
    if name != "imagenet":
        return name
    val = imagenet.val_folder(folder)
    return f"imagenet ({sum(entry.is_dir() for entry in val.iterdir())} of 1000 classes)"


def open_benchmark(name: str, roots: DataRoots) -> Dataset:
    """List and validate a benchmark's images; nothing is decoded yet.

    Raises:
        UsageError: No benchmark has that name.
        DataMissing: Its folder is not there; says what to get and where it is looked for.
        DataError: Its folder is there but wrong.
    """
    benchmark = find_benchmark(name)
    folder = roots.folder(name)
    if folder is None:
        raise DataMissing(f"{name}: no data folder given; name one with --data-root DIR or ROBUSTNESS_DATA=DIR")
    if not folder.is_dir():
        raise DataMissing(f"{name}: no folder {folder}; get {benchmark.origin}, or name it with --data {name}=DIR")
    return benchmark.open(folder)
