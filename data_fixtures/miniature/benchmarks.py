"""The five benchmarks in small: drawn from a test seed into folders, in the layouts that the published ones have.

Pictures are drawn, selected, corrupted and perturbed when a benchmark is first asked for, and kept beside the records;
a folder's contents are hashed as they are written, and the hash is checked whenever they are opened again.
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

import harness
from data_fixtures.miniature.sets import (
    CLASSES,
    Drawn,
    class_paths,
    draw,
    select,
    write_class_folders,
    write_cue_conflict,
)
from harness.benchmarks.dataset import Form
from harness.errors import DataError, RecordsError
from harness.files import replace_whole
from harness.progress import Progress
from harness.records.store import Busy

FORM = Form(side=32, classes=CLASSES)

VALIDATION, CORRUPTED, PERTURBED, CONFLICTS, CANDIDATES, HARD = 1400, 40, 16, 720, 1500, 1000
"""Pictures of the validation set, and of each cell of ImageNet-C and -P the first so many; stimuli with a conflict;
pictures that natural adversarial examples are selected from, and how many are."""

PINNED_SEED = 100
"""The test seed that figures are pinned for."""

PICTURES = {
    "validation": "d61b40cff3aaf2fa9200be29873fe0b4211e016f01d99d86412599cc35140ea6",
    "conflict": "d9fd555abb08a245e4fef38a25652e96b979c724915790e0bb481b910d28d99d",
    "hard": "13e67bbbacda4bc52289f004aa5403556bacc4ab1c1ccb6b440292a1836ede01",
}
"""sha256 of the pictures of each set that are drawn from the pinned seed, before any is selected."""

MANIFEST = ".sha256"

GENERATORS = tuple(Path(harness.__file__).parent / room for room in ("corruptions", "perturbations"))
"""Folders of the code that corrupts and perturbs pictures."""

# From the candidates' pictures, uint8 (n, 32, 32, 3), to an ordinary classifier's probabilities, (n, 16).
Look = Callable[[np.ndarray], np.ndarray]


class Supply:
    """Puts the benchmarks of one test seed into a folder, each when it is first asked for.

    Args:
        root: The folder, made if it is not there; one of the world's state and the seed alone.
        seed: Of the test pictures.
        look: The ordinary classifier that natural adversarial examples are selected by.

    Raises:
        DataError: When called: pictures were altered since they were drawn, or are drawn otherwise on this machine.
        RecordsError: When called: the folder can't be written.
    """

    def __init__(self, root: Path, seed: int, look: Look) -> None:
        self.root = root
        self._seed = seed
        self._look = look
        self._hashes: dict[str, str] = {}

    def __call__(self, benchmark: str, *, wait: bool = True) -> str:
        """Put a benchmark into its folder, or see that what lies there is what was put there; gives its sha256."""
        if benchmark not in self._hashes:
            self._hashes[benchmark] = self._checked(self.root / benchmark) or self._put(benchmark, wait=wait)
        return self._hashes[benchmark]

    def _checked(self, folder: Path) -> str:
        """Give the hash of the pictures in a folder; empty where they are not there yet."""
        manifest = folder / MANIFEST
        if not manifest.is_file():
            return ""
        known, found = manifest.read_text(encoding="utf-8").strip(), _sha256(folder)
        if known != found:
            raise DataError(
                f"miniature: the pictures in {folder} were altered: their sha256 is {found}, {known} when they "
                "were drawn; delete the folder and they are drawn again"
            )
        return found

    def _put(self, benchmark: str, *, wait: bool) -> str:
        from filelock import FileLock, Timeout

        folder = self.root / benchmark
        lock = FileLock(self.root / f".{benchmark}.lock")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock.acquire(blocking=wait)
        except Timeout as error:
            raise Busy(str(folder)) from error
        except OSError as error:
            raise RecordsError(
                f"miniature: {self.root} can't be written ({error.strerror}); name another store with --records DIR"
            ) from error
        try:
            if not (found := self._checked(folder)):  # else another process has put it there meanwhile
                _WRITERS[benchmark](self, folder)
                found = _sha256(folder)
                replace_whole(folder / MANIFEST, f"{found}\n".encode())
        finally:
            lock.release()
        return found

    def drawn(self, kind: str, count: int) -> Drawn:
        """Draw the first pictures of a test set; those of the pinned seed must be the pinned ones."""
        drawn = draw(kind, self._seed, 0, count)
        if self._seed == PINNED_SEED and count == _WHOLE[kind]:
            found = hashlib.sha256(drawn.images.tobytes()).hexdigest()
            if found != PICTURES[kind]:
                raise DataError(
                    f"miniature: set {kind} of seed {self._seed} has sha256 {found}, pinned is {PICTURES[kind]}: the "
                    "world was changed, or this machine draws it otherwise"
                )
        return drawn

    def write_imagenet(self, folder: Path) -> None:
        """Write validation pictures as `val/<wnid>/*.png`."""
        write_class_folders(folder / "val", self.drawn("validation", VALIDATION))

    def write_imagenet_c(self, folder: Path) -> None:
        """Write the first validation pictures, corrupted, as JPEG of the published quality."""
        from data_fixtures.miniature.training import as_tensor
        from harness.benchmarks.generated import as_jpeg
        from harness.benchmarks.imagenet_c import CELLS
        from harness.corruptions import corrupt

        drawn = draw("validation", self._seed, 0, CORRUPTED)
        pictures = as_tensor(drawn.images)
        for cell in _told(CELLS, "imagenet-c"):
            name, _, severity = cell.partition("/")
            images = corrupt(pictures, name, int(severity), drawn.names, seed=self._seed, parameters="32")
            for path, image in zip(_paths(folder / cell, drawn, ".JPEG"), images, strict=True):
                path.write_bytes(as_jpeg(image.permute(1, 2, 0).numpy()))

    def write_imagenet_p(self, folder: Path) -> None:
        """Write sequences that begin from the first validation pictures, as lossless videos."""
        from data_fixtures.miniature.training import as_tensor
        from harness.benchmarks.imagenet_p import CELLS
        from harness.benchmarks.videos import write_frames
        from harness.perturbations import perturb

        drawn = draw("validation", self._seed, 0, PERTURBED)
        pictures = as_tensor(drawn.images)
        for cell in _told(CELLS, "imagenet-p"):
            sequences = perturb(pictures, cell, drawn.names, seed=self._seed, parameters="32")
            for path, frames in zip(_paths(folder / cell, drawn, ".mp4"), sequences, strict=True):
                video = io.BytesIO()
                write_frames(video, frames.numpy(), lossless=True)
                path.write_bytes(video.getvalue())

    def write_imagenet_a(self, folder: Path) -> None:
        """Write natural adversarial examples as `<wnid>/*.png`."""
        drawn = self.drawn("hard", CANDIDATES)
        chosen = select(drawn.labels, self._look(drawn.images), HARD)
        names = tuple(drawn.names[place] for place in chosen)
        write_class_folders(folder, Drawn(*(part[chosen] for part in drawn[:4]), names))

    def write_cue_conflict(self, folder: Path) -> None:
        """Write stimuli with the shape of one category and the texture of another."""
        write_cue_conflict(folder, self.drawn("conflict", CONFLICTS))


_WHOLE = {"validation": VALIDATION, "conflict": CONFLICTS, "hard": CANDIDATES}

_WRITERS: Mapping[str, Callable[[Supply, Path], None]] = {
    "imagenet": Supply.write_imagenet,
    "imagenet-c": Supply.write_imagenet_c,
    "imagenet-p": Supply.write_imagenet_p,
    "imagenet-a": Supply.write_imagenet_a,
    "cue-conflict": Supply.write_cue_conflict,
}


def world_sha256() -> str:
    """Hash the code that pictures depend on, so that a folder of pictures belongs to one state of the world."""
    hashed = hashlib.sha256(json.dumps([VALIDATION, CORRUPTED, PERTURBED, CONFLICTS, CANDIDATES, HARD]).encode())
    own = [Path(__file__).with_stem(stem) for stem in ("benchmarks", "scene", "sets", "shapes", "textures")]
    for source in (*own, *(path for folder in GENERATORS for path in sorted(folder.glob("*.py")))):
        hashed.update(source.read_bytes())
    return hashed.hexdigest()


def _told(cells: Sequence[str], benchmark: str) -> Iterator[str]:
    """Go through cells, and tell how many of them are made."""
    with Progress(f"making {benchmark} of the miniature", len(cells), "cells") as progress:
        for done, cell in enumerate(cells, 1):
            yield cell
            progress.tell(done)


def _paths(cell: Path, drawn: Drawn, suffix: str) -> list[Path]:
    paths = [cell / path for path in class_paths(drawn, suffix)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    return paths


def _sha256(folder: Path) -> str:
    """Hash the names and the bytes of all files in a folder."""
    hashed = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST):
        hashed.update(f"{path.relative_to(folder).as_posix()}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return hashed.hexdigest()
