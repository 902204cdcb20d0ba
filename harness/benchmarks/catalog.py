"""The benchmarks by name: what each is, where its folder lies, and how it is opened."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from harness.benchmarks import cue_conflict, generated, imagenet, imagenet_c, imagenet_p
from harness.benchmarks.dataset import PUBLISHED_FORM, Dataset, Form
from harness.errors import DataError, DataMissing, UsageError, unknown

# What a placement begins with whose folder holds photographs to generate a benchmark from.
_GENERATE = "generate:"


@dataclass(frozen=True)
class Benchmark:
    """What is known of a benchmark before its data is seen.

    Attributes:
        name: As users type it; also the name of its folder under the data root.
        open: Lists and validates a folder; raises DataError where something is wrong with it.
        origin: Where the data comes from, for the reader of a skip; empty where the command line fetches it.
    """

    name: str
    open: Callable[[Path, Form], Dataset]
    origin: str = ""


BENCHMARKS: Mapping[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark(
            "imagenet",
            imagenet.open_imagenet,
            "ILSVRC2012 validation images from image-net.org, as imagenet/val/<wnid>/*",
        ),
        Benchmark("imagenet-c", imagenet_c.open_imagenet_c),
        Benchmark("imagenet-p", imagenet_p.open_imagenet_p),
        Benchmark("imagenet-a", imagenet.open_imagenet_a),
        Benchmark("cue-conflict", cue_conflict.open_cue_conflict),
    )
}


@dataclass(frozen=True)
class DataRoots:
    """Where benchmarks lie: one folder each under `root`, unless placed elsewhere by name.

    Attributes:
        root: The folder of all; None where nobody said.
        elsewhere: By name, the folders of others.
        photographs: By name, the folders of photographs that benchmarks are made from as they are asked for.
        form: The form that those come in which files hold.
    """

    root: Path | None = None
    elsewhere: Mapping[str, Path] = field(default_factory=dict)
    photographs: Mapping[str, Path] = field(default_factory=dict)
    form: Form = PUBLISHED_FORM

    def folder(self, name: str) -> Path | None:
        """Give the folder in which a benchmark is looked for; None where nobody said."""
        for placed in (self.photographs, self.elsewhere):
            if name in placed:
                return placed[name]
        return self.root / name if self.root else None


def find_benchmark(name: str) -> Benchmark:
    """Look a benchmark up by name.

    Raises:
        UsageError: There is none of that name; the known ones are listed, nearest first.
    """
    if name not in BENCHMARKS:
        raise unknown("benchmark", name, BENCHMARKS)
    return BENCHMARKS[name]


class Placement(NamedTuple):
    """One `NAME=DIR` of --data, or `NAME=generate:DIR`.

    Attributes:
        name: The benchmark's.
        folder: Where it lies, or where the photographs lie that it is made from.
        is_generated: Whether it is made from photographs.
    """

    name: str
    folder: Path
    is_generated: bool


def parse_placement(text: str) -> Placement:
    """Read one `NAME=DIR` or `NAME=generate:DIR` of --data.

    Raises:
        UsageError: It has no `=` or no folder, the name is no benchmark's, or it can't be generated.
    """
    name, equals, where = text.partition("=")
    folder = where.removeprefix(_GENERATE)
    if not (equals and folder):
        raise UsageError(f"--data {text!r} is not of the form NAME=DIR, e.g. imagenet-c=/data/ImageNet-C")
    benchmark, is_generated = find_benchmark(name).name, where.startswith(_GENERATE)
    if is_generated:
        generated.require_generator(benchmark)
    return Placement(benchmark, Path(folder).expanduser(), is_generated)


def describe(name: str, roots: DataRoots) -> str:
    """Name a benchmark whose folder is there: whether it is generated, and how many of its classes ImageNet holds."""
    folder = roots.folder(name)
    assert folder is not None
    if name in roots.photographs:
        return f"{name} (generated from {folder})"
    if name != "imagenet":
        return name
    val = imagenet.val_folder(folder)
    return f"imagenet ({sum(entry.is_dir() for entry in val.iterdir())} of 1000 classes)"


def describe_all(roots: DataRoots) -> dict[str, str]:
    """Describe every benchmark, by name; empty where its folder is not there."""
    folders = {name: roots.folder(name) for name in BENCHMARKS}
    return {name: describe(name, roots) if folder and folder.is_dir() else "" for name, folder in folders.items()}


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
        raise DataMissing(
            f"{name}: no data folder given; name one with --data-root DIR or ROBUSTNESS_DATA=DIR, or --data {name}=DIR"
        )
    if name in roots.photographs:
        return generated.open_generated(name, folder)
    if not folder.is_dir():
        origin = benchmark.origin or f"it with python -m harness fetch {name} --to {folder}"
        raise DataMissing(f"{name}: no folder {folder}; get {origin}, or name it with --data {name}=DIR")
    if generated.is_unfinished(folder):
        raise DataError(f"{name}: {folder} is not generated to the end; run generate once more, it goes on from there")
    return benchmark.open(folder, roots.form)
