"""ImageNet-C and ImageNet-P made from photographs: pair by pair as they are asked for, or into a folder.

Both ways go through the published file formats, JPEG at quality 85 and H.264, so a classifier sees the same pixels.
"""

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.benchmarks import imagenet_c, imagenet_p
from harness.benchmarks.dataset import PUBLISHED_FORM, Dataset, Fingerprint
from harness.benchmarks.imagenet import open_imagenet
from harness.benchmarks.images import FileFacts, Fitting, read_image
from harness.benchmarks.processes import given
from harness.errors import DataError, DataMissing, UsageError
from harness.files import replace_whole
from harness.metrics.perturbation import VALIDATION_PERTURBATIONS, is_noise
from harness.progress import Progress

if TYPE_CHECKING:
    import torch

# The benchmarks that can be made from photographs, and the suffix that their files are published with.
SUFFIXES = {"imagenet-c": ".JPEG", "imagenet-p": ".mp4"}
# The cells that are published beside those of the benchmark, and that no metric counts.
EXTRA_CELLS = {"imagenet-c": imagenet_c.EXTRA_CELLS, "imagenet-p": VALIDATION_PERTURBATIONS}
# Says of a folder what was generated into it, and whether it is whole.
MANIFEST = ".generated.json"
_QUALITY = 85
# Photographs that are corrupted at once.
_GROUP = 8


@dataclass(frozen=True)
class Generator:
    """Makes a benchmark's pairs from photographs.

    Attributes:
        photographs: The photographs, opened; image k of each cell is made from photograph k.
        seed: Of all that is random in it.
    """

    photographs: Dataset
    seed: int = 0

    def image(self, dataset: Dataset, index: int) -> tuple[Image.Image, FileFacts]:
        """Make one image of ImageNet-C.

        Returns:
            The image as it is read back from its JPEG, 224 x 224, and what tells its photograph from another.

        Raises:
            DataError: The photograph can't be used.
        """
        cell, place = dataset.cell_and_image(index)
        pixels, facts = read_photograph(dataset.benchmark, dataset.path(index))
        (data,) = _made(dataset.benchmark, dataset.cells[cell], [pixels], [dataset.images[place]], self.seed)
        return Image.open(io.BytesIO(data)).convert("RGB"), facts

    def frames(self, dataset: Dataset, index: int) -> tuple[NDArray[np.uint8], FileFacts]:
        """Make one sequence of ImageNet-P.

        Returns:
            Its frames as they are decoded from its video, shape (frames, 3, 224, 224), and what tells its photograph
            from another.

        Raises:
            DataError: The photograph can't be used.
        """
        from harness.benchmarks.videos import read_frames

        cell, place = dataset.cell_and_image(index)
        pixels, facts = read_photograph(dataset.benchmark, dataset.path(index))
        (data,) = _made(dataset.benchmark, dataset.cells[cell], [pixels], [dataset.images[place]], self.seed)
        frames, _ = read_frames(io.BytesIO(data), dataset.frames[cell])
        return frames, facts


def require_generator(benchmark: str) -> None:
    """See that a benchmark can be made from photographs.

    Raises:
        UsageError: It can't.
    """
    if benchmark not in SUFFIXES:
        raise UsageError(f"{benchmark} can't be generated; {' and '.join(SUFFIXES)} can")


def open_generated(benchmark: str, folder: Path, *, seed: int = 0) -> Dataset:
    """Open photographs, `<folder>/val/<wnid>/*` or `<folder>/<wnid>/*`, as the benchmark that is made from them.

    Args:
        benchmark: `imagenet-c` or `imagenet-p`.
        folder: Of the photographs.
        seed: Of all that is random in what is made.

    Raises:
        UsageError: No other benchmark can be made.
        DataMissing: There is no such folder.
        DataError: As for ImageNet, or two photographs differ by their suffix alone.
    """
    require_generator(benchmark)
    if not folder.is_dir():
        raise DataMissing(f"{benchmark}: no folder {folder} of photographs to generate it from")
    photographs = open_imagenet(folder)
    images = tuple(f"{image_id(name)}{SUFFIXES[benchmark]}" for name in photographs.images)
    for name, after in pairwise(images):
        if name == after:
            raise DataError(
                f"{benchmark}: {folder} holds photographs {image_id(name)} that differ by suffix alone; keep one"
            )
    of_sequences = benchmark == "imagenet-p"
    fingerprint = Fingerprint()
    made_by = f"{_generator(benchmark)}, seed {seed}, from {photographs.fingerprint}"
    fingerprint.add(made_by, images)
    return Dataset(
        benchmark=benchmark,
        root=photographs.root,
        cells=imagenet_p.CELLS if of_sequences else imagenet_c.CELLS,
        images=images,
        labels=photographs.labels,
        side=PUBLISHED_FORM.side,
        own_classes=None,
        fingerprint=fingerprint.value,
        frames=imagenet_p.FRAMES if of_sequences else (),
        generator=Generator(photographs, seed),
    )


def generate(
    benchmark: str,
    source: Path,
    target: Path,
    *,
    seed: int = 0,
    extra: bool = False,
    device: str = "cpu",
    workers: int = 0,
) -> Dataset:
    """Make a benchmark from photographs, in its published layout; what is there already is left.

    Each file is whole or not there, so the same call goes on where a run was stopped.

    Args:
        benchmark: `imagenet-c` or `imagenet-p`.
        source: Folder of photographs, `val/<wnid>/*` or `<wnid>/*`.
        target: Folder to make it in; new, empty, or of an earlier run of the same.
        seed: Of all that is random in it.
        extra: Whether to make what is published beside it too: ImageNet-C's four extra corruptions, ImageNet-P's four
            validation perturbations. They are part of no metric.
        device: Where to compute, e.g. `cpu` or `cuda`.
        workers: Processes that make files, each on one core; 0 makes them in this one, and so does a GPU.

    Returns:
        The benchmark, opened from its new folder.

    Raises:
        UsageError: The target holds other data, or the benchmark can't be made.
        DataMissing, DataError: As `open_generated`; a photograph can't be used; the disk is full.
        DecoderLost: A process that makes files was ended from outside.
    """
    from torch.utils.data import DataLoader

    dataset = open_generated(benchmark, source, seed=seed)
    if target.resolve().is_relative_to(dataset.root.resolve()):
        raise UsageError(f"--to {target} lies among the photographs of {dataset.root}; name a folder elsewhere")
    _claim(target, dataset, is_whole=False)
    cells = (*dataset.cells, *(EXTRA_CELLS[benchmark] if extra else ()))
    lacking = _lacking(dataset, cells, target)
    wanted = np.flatnonzero(lacking.any(axis=0))
    groups = [wanted[start : start + _GROUP] for start in range(0, len(wanted), _GROUP)]
    progress = Progress(f"{benchmark} from {source}", int(lacking.sum()), "files")
    done = 0
    # A process that is forked can't compute on a GPU, and needs none beside it.
    loader: DataLoader[int | DataError] = DataLoader(
        _Groups(dataset, cells, target, groups, lacking, device),  # type: ignore[arg-type]
        batch_size=None,
        num_workers=workers if device == "cpu" else 0,
    )
    for made in given(loader, "makes files", "what was generated is kept, the same command goes on from there"):
        done += made
        progress.tell(done)
    _claim(target, dataset, is_whole=True)
    return (imagenet_c.open_imagenet_c if benchmark == "imagenet-c" else imagenet_p.open_imagenet_p)(target)


class _Groups:
    """The groups of photographs whose files torch's DataLoader makes in its workers; gives how many were made."""

    def __init__(
        self,
        dataset: Dataset,
        cells: Sequence[str],
        target: Path,
        groups: Sequence[NDArray[np.int64]],
        lacking: NDArray[np.bool_],
        device: str,
    ) -> None:
        self._dataset = dataset
        self._cells = cells
        self._target = target
        self._groups = groups
        self._lacking = lacking
        self._device = device

    def __len__(self) -> int:
        return len(self._groups)

    def __getitem__(self, number: int) -> int | DataError:
        assert self._dataset.generator is not None
        group, benchmark, seed = self._groups[number], self._dataset.benchmark, self._dataset.generator.seed
        made = 0
        try:
            photographs = [
                read_photograph(benchmark, self._dataset.generator.photographs.path(int(index)))[0].to(self._device)
                for index in group
            ]
            for cell, name in enumerate(self._cells):
                places = np.flatnonzero(self._lacking[cell, group])
                images = [self._dataset.images[group[place]] for place in places]
                files = _made(benchmark, name, [photographs[place] for place in places], images, seed)
                for image, file in zip(images, files, strict=True):
                    _put(self._target / name / image, file)
                made += len(places)
        except DataError as error:
            return error
        return made


def is_unfinished(folder: Path) -> bool:
    """Tell whether a folder is one that a benchmark is being generated into."""
    manifest = _read_manifest(folder)
    return manifest is not None and not manifest["is_whole"]


def image_id(name: str) -> str:
    """Give what an image's random draws belong to: its path in the benchmark without the suffix."""
    return name.rpartition(".")[0]


def read_photograph(benchmark: str, path: Path) -> "tuple[torch.Tensor, FileFacts]":
    """Decode a photograph as the published generator of a benchmark does: for ImageNet-P it is resized and not cropped.

    Returns:
        uint8 pixels, shape (3, 224, 224), or (3, h, w) with a shorter side of 256; and what tells the file from others.

    Raises:
        DataError: The photograph can't be used.
    """
    photograph, facts = read_image(path)
    fitting = Fitting(256, 224, "bilinear")
    transform = fitting.transform(side=None) if benchmark == "imagenet-c" else fitting.resized()
    return transform(photograph), facts


def _made(
    benchmark: str, cell: str, photographs: "Sequence[torch.Tensor]", images: Sequence[str], seed: int
) -> Iterator[bytes]:
    """Make files of a cell from prepared photographs, in their published format."""
    import torch

    ids = [image_id(image) for image in images]
    if not ids:
        return
    if benchmark == "imagenet-c":
        from harness.corruptions import corrupt

        corruption, _, severity = cell.partition("/")
        for image in corrupt(torch.stack(list(photographs)), corruption, int(severity), ids, seed=seed).cpu():
            yield as_jpeg(image.permute(1, 2, 0).numpy())
    else:
        from harness.benchmarks.videos import write_frames
        from harness.perturbations import perturb

        for photograph, name in zip(photographs, ids, strict=True):
            (frames,) = perturb([photograph], cell, [name], seed=seed).cpu()
            video = io.BytesIO()
            write_frames(video, frames.numpy(), tune_grain=is_noise(cell))
            yield video.getvalue()


def as_jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """Encode (h, w, 3) pixels as the published files are."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=_QUALITY, optimize=True)
    return file.getvalue()


def _put(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_whole(path, data, durable=False)
    except OSError as error:
        raise DataError(
            f"{path} can't be written ({error.strerror}); what was generated before is kept, the same command goes on"
        ) from error


def _lacking(dataset: Dataset, cells: Sequence[str], target: Path) -> NDArray[np.bool_]:
    """Tell which files are not there yet, shape (cells, images)."""
    lacking = np.ones((len(cells), len(dataset.images)), dtype=bool)
    place = {image: at for at, image in enumerate(dataset.images)}
    for number, cell in enumerate(cells):
        for file in (target / cell).glob("*/*"):
            at = place.get(f"{file.parent.name}/{file.name}")
            if at is not None and file.stat().st_size:
                lacking[number, at] = False
    return lacking


def _claim(target: Path, dataset: Dataset, *, is_whole: bool) -> None:
    """Note in the target what is generated into it.

    Raises:
        UsageError: It holds other data.
        DataError: It can't be written.
    """
    assert dataset.generator is not None
    what = {
        "benchmark": dataset.benchmark,
        "generator": _generator(dataset.benchmark),
        "photographs": dataset.generator.photographs.fingerprint,
        "seed": dataset.generator.seed,
    }
    if target.exists() and not target.is_dir():
        raise UsageError(f"--to {target} is no folder; name a new one")
    there = _read_manifest(target)
    if there is None and target.is_dir() and any(target.iterdir()):
        raise UsageError(f"--to {target} holds other data; name a new or an empty folder")
    if there is not None and (other := [name for name in what if there.get(name) != what[name]]):
        raise UsageError(
            f"--to {target} was generated with another {' and '.join(other)}; name another folder, or empty this one"
        )
    _put(target / MANIFEST, (json.dumps({**what, "is_whole": is_whole}, indent=1) + "\n").encode())


def _read_manifest(folder: Path) -> dict[str, Any] | None:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and "is_whole" in manifest else None


def _generator(benchmark: str) -> str:
    """Name the code that makes a benchmark, and its version."""
    if benchmark == "imagenet-c":
        from harness.corruptions import GENERATOR

        return f"corruptions {GENERATOR}"
    from harness.perturbations import GENERATOR as PERTURBATIONS_GENERATOR

    return f"perturbations {PERTURBATIONS_GENERATOR}"
