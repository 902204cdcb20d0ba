"""Benchmarks of cells that all hold the same images or sequences, of one size: ImageNet-C and ImageNet-P."""

from collections.abc import Sequence
from pathlib import Path

from harness.benchmarks.dataset import PUBLISHED_FORM, Dataset, Fingerprint, Form
from harness.benchmarks.folders import IMAGES, Files, class_labels, list_class_folders
from harness.errors import DataError, unknown


def open_cells(
    benchmark: str,
    folder: Path,
    cells: Sequence[str],
    *,
    kind: str,
    needed: str,
    beside: Sequence[str] = (),
    files: Files = IMAGES,
    frames: tuple[int, ...] = (),
    form: Form = PUBLISHED_FORM,
) -> Dataset:
    """Open `<folder>/<cell>/<wnid>/*`.

    Args:
        benchmark: The benchmark's name.
        folder: Where it lies.
        cells: The cells that it consists of; all must be there.
        kind: What a folder of the first level is called.
        needed: All cells, in words.
        beside: Folders of the first level that may be there too and are passed over.
        files: What a cell holds.
        frames: Per cell, how many frames its sequences have; empty for images.
        form: Their size, and which classes there are.

    Raises:
        DataError: A cell is missing or holds others than its siblings, a folder is none that is known, or as for any
            folder of class folders.
    """
    known = (*dict.fromkeys(cell.partition("/")[0] for cell in cells), *beside)
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and not entry.name.startswith(".") and entry.name not in known:
            raise DataError(f"{benchmark}: {entry}: {unknown(kind, entry.name, known)}")
    for cell in cells:
        if not (folder / cell).is_dir():
            raise DataError(f"{benchmark}: {folder / cell} is missing; {needed} are needed")
    fingerprint = Fingerprint()
    first: tuple[str, ...] = ()
    for cell in cells:
        names = tuple(list_class_folders(benchmark, folder / cell, files))
        first = first or names
        if names != first:
            odd = min(set(names) ^ set(first))
            has, lacks = (cell, cells[0]) if odd in names else (cells[0], cell)
            raise DataError(
                f"{benchmark}: every cell must hold the same {files.called}, but {odd} is in {folder / has} and not in "
                f"{folder / lacks} ({len(names)} in {cell}, {len(first)} in {cells[0]}); unpack it again"
            )
        fingerprint.add(cell, names)
    return Dataset(
        benchmark=benchmark,
        root=folder,
        cells=tuple(cells),
        images=first,
        labels=class_labels(first),
        side=form.side,
        own_classes=form.classes,
        fingerprint=fingerprint.value,
        frames=frames,
    )
