"""Merges stores that were filled apart, on other machines or as shards: what one lacks and another has is copied.

Of each run all that two stores share is compared before anything is copied, and each chunk is copied whole or not at
all; so a merge that was stopped goes on by being asked again. The run that is written is held meanwhile.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import RecordsError, UsageError
from harness.records.schema import Columns, to_columns
from harness.records.store import (
    Busy,
    OtherFormat,
    RecordStore,
    Run,
    RunKey,
    checksum_in,
    checksum_of,
    chunk_files,
    from_parquet,
    read_key,
    unreadable,
)

log = logging.getLogger(__name__)

# By how much numbers of one image may differ between machines, absolutely or as a share of themselves.
NOISE = {"fp32": 1e-4, "tf32": 1e-2, "bf16": 5e-2}

# When a file was last written says nothing of what is in it; copies of a data set differ in it.
_OF_THE_COPY = ("modified",)


@dataclass
class Merged:
    """What came of one run of one store.

    Attributes:
        source: The run's folder in the store that is merged.
        folder: The run's folder, below a store.
        copied: Chunks that were copied, or whose missing rows were.
        there: Chunks that were there already.
        records: How many records were copied.
        damaged: Files of the source that are damaged and were left out.
        refused: Why nothing was copied; empty where that was done.
    """

    source: Path
    folder: str
    copied: int = 0
    there: int = 0
    records: int = 0
    damaged: list[Path] = field(default_factory=list)
    refused: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether all that the source has is in the store now."""
        return not (self.refused or self.damaged)


def merged(sources: Sequence[Path], into: RecordStore) -> Iterator[Merged]:
    """Merge stores into another one, run by run; runs that a process is at come last, when it has let them go.

    Args:
        sources: The stores to merge, of which nothing is changed.
        into: Where to.

    Raises:
        UsageError: A source is no store, or is the one that is merged into.
        RecordsError: The store can't be written; what was merged before is kept.
    """
    runs = [(source, folder) for source in sources for folder in _runs_of(source, into)]
    for wait in (False, True):
        busy = []
        for source, folder in runs:
            try:
                yield _merged(source, folder, into, wait=wait)
            except Busy:
                busy.append((source, folder))
        if busy:
            log.info("waiting for %d runs that another process is measuring", len(busy))
        runs = busy


def _runs_of(source: Path, into: RecordStore) -> list[Path]:
    if not source.is_dir():
        raise UsageError(f"merge: {source} is no folder; name the folder of a store of records")
    if into.root.exists() and source.samefile(into.root):
        raise UsageError(f"merge: {source} is the store that is merged into; name another one with --records DIR")
    folders = RecordStore(source).folders()
    if not folders:
        raise UsageError(f"merge: {source} holds no runs; name the folder that was given as --records")
    return folders


def _merged(source: Path, folder: Path, into: RecordStore, *, wait: bool) -> Merged:
    result = Merged(folder, str(folder.relative_to(source)))
    try:
        key = read_key(folder)
    except RecordsError as error:
        result.refused = str(error).removeprefix("records: ")
        return result
    run = into.run(key)
    with ExitStack() as holding:
        try:
            holding.enter_context(run.lock(wait=wait))
            pieces = list(_lacking(folder, run, key, result))
        except (_Refused, OtherFormat) as error:
            result.refused = str(error).removeprefix("records: ")
            return result
        for piece in pieces:
            _copy(piece, run, key, result)
    return result


class _Refused(Exception):
    """A run can't be merged, for a reason that concerns no other run."""


@dataclass(frozen=True)
class _Piece:
    """What a run lacks of a chunk: its file in the source, and how many of its first rows are there already."""

    chunk: int
    path: Path
    start: int


def _lacking(folder: Path, run: Run, key: RunKey, result: Merged) -> Iterator[_Piece]:
    """Compare what both have, and give what the run lacks.

    Raises:
        _Refused: They differ.
    """
    there = run.chunks()
    for chunk, names in sorted(chunk_files(folder).items()):
        wholes = ((path, _of_source(path)) for path in (folder / name for name in names))
        path, data = next(((path, data) for path, data in wholes if data), (folder / names[0], None))
        if data is None:
            result.damaged.append(path)
            continue
        mine = there.get(chunk)
        kept = _whole(mine) if mine else None
        if mine is None or kept is None:
            yield _Piece(chunk, path, 0)
        elif mine.name == path.name:
            result.there += 1
        else:
            ours, theirs = (to_columns(from_parquet(*each)) for each in ((mine, kept), (path, data)))
            _require_alike(ours, theirs, key, path)
            if len(theirs["position"]) > len(ours["position"]):
                yield _Piece(chunk, path, len(ours["position"]))
            else:
                result.there += 1


def _of_source(path: Path) -> bytes | None:
    """Read a chunk's file of the source; None where it is damaged, or was just replaced by a writer.

    Raises:
        _Refused: It can't be read.
    """
    try:
        return _whole(path)
    except RecordsError as error:
        raise _Refused(str(error)) from error


def _copy(piece: _Piece, run: Run, key: RunKey, result: Merged) -> None:
    data = _whole(piece.path)
    if data is None:
        result.damaged.append(piece.path)
        return
    table = from_parquet(piece.path, data)
    positions = table.column("position").to_numpy()
    first = piece.chunk * key.chunk
    if not np.array_equal(positions, np.arange(first, first + table.num_rows)):
        result.damaged.append(piece.path)
        return
    if piece.start:
        run.append(to_columns(table.slice(piece.start)))
    else:
        run.put(piece.chunk, table.num_rows, data)
    result.copied += 1
    result.records += table.num_rows - piece.start


def _whole(path: Path) -> bytes | None:
    """Read a chunk's file; None where it is damaged, or was just replaced by a writer.

    Raises:
        RecordsError: It can't be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, error) from error
    return data if checksum_of(data) == checksum_in(path) else None


def _require_alike(ours: Columns, theirs: Columns, key: RunKey, path: Path) -> None:
    """Refuse other records of the same images.

    Raises:
        _Refused: Names the first image that differs, in what, and what to do.
    """
    if ours.keys() != theirs.keys():
        differing = ", ".join(sorted(ours.keys() ^ theirs.keys()))
        raise _Refused(
            f"{path} has other columns than the records that are there ({differing}); delete one of the runs"
        )
    noise = NOISE.get(key.identity.get("precision", ""), NOISE["fp32"])
    rows = min(len(ours["position"]), len(theirs["position"]))
    differ = {name: _differ(ours[name][:rows], theirs[name][:rows], noise) for name in ours if name not in _OF_THE_COPY}
    places = np.flatnonzero(np.logical_or.reduce(list(differ.values())))
    if not len(places):
        return
    place = places[0]
    name = next(name for name, differs in differ.items() if differs[place])
    image = "/".join(str(ours[part][place]) for part in ("cell", "image") if part in ours and ours[part][place])
    raise _Refused(
        f"{path} has other records of the same images, first of {image} (position {ours['position'][place]}): {name} "
        f"is {_told(theirs[name][place])}, and {_told(ours[name][place])} in the store; delete the run that is wrong"
    )


def _differ(ours: NDArray[Any], theirs: NDArray[Any], noise: float) -> NDArray[np.bool_]:
    """Tell, row by row, whether two columns differ by more than noise; shapes (rows,) or (rows, k), gives (rows,)."""
    if ours.shape != theirs.shape:
        return np.ones(len(ours), dtype=bool)
    differs: NDArray[np.bool_]
    if ours.dtype.kind == "f":
        differs = ~np.isclose(ours, theirs, rtol=noise, atol=noise, equal_nan=True)
    else:
        differs = np.asarray(ours != theirs, dtype=bool)
    return np.asarray(differs.any(axis=1)) if differs.ndim == 2 else differs


def _told(value: object) -> str:
    """Say a value in few words; images have too many numbers."""
    values = np.asarray(value)
    return str(values.tolist()) if values.size <= 8 else f"{values.size} numbers"
