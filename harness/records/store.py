"""The store: a folder a run, a Parquet file a chunk, each file named after its own checksum.

A run is one classifier on one benchmark under one protocol. Its folder's name carries a hash of everything that
its records depend on, so other weights, other data or another seed never share a folder. Chunks are cut from the
seeded order; a chunk's file holds its first rows, all of them or, where a run stopped early, some. Files are
written beside their place and renamed into it, so a killed run leaves whole files or none.
"""

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.errors import RecordsError
from harness.files import replace_whole
from harness.records.schema import FILE_FACTS, Columns, to_columns, to_table

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

_CHUNK_FILE = re.compile(r"(?P<chunk>\d{5})-(?P<rows>\d+)\.(?P<checksum>[0-9a-f]{16})\.parquet")


_PACES = "paces.json"


@dataclass(frozen=True)
class RunKey:
    """Everything that a run's records depend on.

    Attributes:
        benchmark: The benchmark's name.
        subject: A readable name of the classifier; not part of the identity.
        identity: What produced the records: hashes of weights and data, preprocessing, protocol, seed, precision.
        pairs: How many (cell, image) pairs the whole benchmark has.
        chunk: How many pairs a chunk holds.
    """

    benchmark: str
    subject: str
    identity: Mapping[str, str]
    pairs: int
    chunk: int

    @cached_property
    def digest(self) -> str:
        """First 16 hex digits of the sha256 of the identity, the number of pairs and the chunk size."""
        text = json.dumps([dict(self.identity), self.pairs, self.chunk], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def folder(self) -> str:
        """Where the run lies in a store."""
        return f"{self.benchmark}/{self.subject}-{self.digest}"


class Busy(Exception):
    """Another process is measuring a run."""


class RecordStore:
    """A folder of runs, shared by every command and session that is given it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, key: RunKey) -> "Run":
        """Open the run of this key, made on its first write."""
        return Run(self.root / key.folder, key)

    def runs(self) -> list[Path]:
        """List the folders of all runs in the store; none where it is not made yet.

        Raises:
            RecordsError: There is something else than a folder in its place.
        """
        if self.root.exists() and not self.root.is_dir():
            raise RecordsError(f"records: {self.root} is no folder; name another store with --records DIR")
        return sorted(path.parent for path in self.root.glob("*/*/run.json"))


class Run:
    """One classifier's records on one benchmark, chunk by chunk.

    Raises:
        RecordsError: The folder can't be read or written, or is another run's.
    """

    def __init__(self, folder: Path, key: RunKey) -> None:
        self.folder = folder
        self.key = key
        self._damaged: set[Path] = set()

    @contextmanager
    def lock(self, *, wait: bool = True) -> Iterator[None]:
        """Hold the run while measuring: a second process waits, then finds the records.

        Raises:
            Busy: Another process holds it, and `wait` is false.
        """
        from filelock import FileLock, Timeout

        self._prepare()
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(blocking=wait)
        except Timeout as error:
            raise Busy(str(self.folder)) from error
        except OSError as error:
            raise RecordsError(
                f"records: {self.folder} can't be written ({error.strerror}); name another store with --records DIR"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def missing(self, images: int, is_current: Callable[[Columns], bool] | None = None) -> NDArray[np.int64]:
        """Give the positions among the first `images` of the seeded order that have no record yet, ascending.

        Every chunk that holds one of them is checked against its checksum; a damaged one counts as missing, which is
        said, and so does one that is not current.

        Args:
            images: How many records are wanted.
            is_current: Tells from a chunk's positions and file facts whether its images still are those it is of.
        """
        kept = {}
        for chunk, path in self._files().items():
            if chunk * self.key.chunk >= images:
                continue
            table = self._read(path, ["position", *FILE_FACTS] if is_current else ["position"])
            if table is not None and (is_current is None or is_current(to_columns(table))):
                kept[chunk] = table.num_rows
        parts = []
        for chunk in range(-(-images // self.key.chunk)):
            start = chunk * self.key.chunk
            parts.append(np.arange(start + kept.get(chunk, 0), min(start + self.key.chunk, images), dtype=np.int64))
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)

    def append(self, columns: Columns) -> None:
        """Add rows, written at once: a chunk's first ones anew, or those that follow the rows that are kept."""
        import pyarrow as pa

        positions = columns["position"]
        chunk, offset = divmod(int(positions[0]), self.key.chunk)
        table = to_table(columns)
        old = self._files().get(chunk)
        kept = self._read(old) if old and offset else None
        if kept is not None:
            table = pa.concat_tables([kept, table]).unify_dictionaries()
        expected = np.arange(chunk * self.key.chunk, chunk * self.key.chunk + table.num_rows)
        if not np.array_equal(table.column("position").to_numpy(), expected):
            raise RecordsError(f"{self.folder}: rows {positions[0]}.. do not follow what chunk {chunk} holds")
        new = self._write(chunk, table)
        if old and old != new:
            old.unlink(missing_ok=True)

    def read(self, images: int, columns: Sequence[str] | None = None, *, start: int = 0) -> Iterator[Columns]:
        """Read the first `images` records of the seeded order, chunk by chunk.

        Args:
            images: How many records.
            columns: Which columns; None for all.
            start: How many of them to leave out.

        Raises:
            RecordsError: Not all of them are there, or a chunk is damaged.
        """
        files = self._files()
        for chunk in range(start // self.key.chunk, -(-images // self.key.chunk)):
            first = chunk * self.key.chunk
            skipped, rows = max(0, start - first), min(self.key.chunk, images - first)
            table = self._read(files[chunk], columns) if chunk in files else None
            if table is None or table.num_rows < rows:
                raise RecordsError(f"records: {self.folder}: chunk {chunk} is not whole; measure again")
            yield to_columns(table.slice(skipped, rows - skipped))

    def add_pace(self, device: str, images: int, seconds: float) -> None:
        """Take down that so many images took so long on a device, beside what it took before."""
        known = self._paces()
        before = known.get(device, {"images": 0, "seconds": 0.0})
        known[device] = {"images": before["images"] + images, "seconds": before["seconds"] + seconds}
        self._prepare()
        _write_whole(self.folder / _PACES, json.dumps(known, indent=1, sort_keys=True).encode())

    def pace(self, device: str) -> float | None:
        """Give the seconds that an image took on a device so far; None where none was measured."""
        known = self._paces().get(device)
        return known["seconds"] / known["images"] if known else None

    def _paces(self) -> dict[str, dict[str, float]]:
        """Read the paces; what can't be read is forgotten, for nothing but a forecast rests on it."""
        try:
            paces: dict[str, dict[str, float]] = json.loads((self.folder / _PACES).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return paces

    def _files(self) -> dict[int, Path]:
        """Map each chunk to its file; of several (two writers at once) the one with most rows."""
        try:
            names = sorted(os.listdir(self.folder)) if self.folder.is_dir() else []
        except OSError as error:
            raise _unreadable(self.folder, error) from error
        matches: dict[int, re.Match[str]] = {}
        for match in filter(None, map(_CHUNK_FILE.fullmatch, names)):
            chunk = int(match["chunk"])
            if chunk not in matches or int(match["rows"]) > int(matches[chunk]["rows"]):
                matches[chunk] = match
        return {chunk: self.folder / match.string for chunk, match in matches.items()}

    def _read(self, path: Path, columns: Sequence[str] | None = None) -> "pa.Table | None":
        """Read a chunk's file; None, and a warning at the first time, where its bytes are not what its name says."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            data = path.read_bytes()
        except FileNotFoundError:  # another process has just replaced it by one with more rows
            return None
        except OSError as error:
            raise _unreadable(path, error) from error
        if hashlib.sha256(data).hexdigest()[:16] != path.name.split(".")[1]:
            if path not in self._damaged:
                log.warning("records: %s was cut short or altered; its images are measured again", path)
                self._damaged.add(path)
            return None
        return pq.read_table(pa.BufferReader(data), columns=None if columns is None else list(columns))

    def _write(self, chunk: int, table: "pa.Table") -> Path:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._prepare()
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        data = sink.getvalue().to_pybytes()
        checksum = hashlib.sha256(data).hexdigest()[:16]
        path = self.folder / f"{chunk:05d}-{table.num_rows}.{checksum}.parquet"
        _write_whole(path, data)
        return path

    def _prepare(self) -> None:
        """Make the folder, with a `run.json` that says in words what the run is."""
        path = self.folder / "run.json"
        if path.exists():
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecordsError(
                f"records: {self.folder} can't be made ({error.strerror}); name another store with --records DIR"
            ) from error
        described = {**asdict(self.key), "identity": dict(self.key.identity)}
        _write_whole(path, json.dumps(described, indent=1, sort_keys=True).encode())


def _unreadable(path: Path, error: OSError) -> RecordsError:
    return RecordsError(
        f"records: {path} can't be read ({error.strerror}); mend it or name another store with --records"
    )


def _write_whole(path: Path, data: bytes) -> None:
    try:
        replace_whole(path, data)
    except OSError as error:
        raise RecordsError(
            f"records: {path} can't be written ({error.strerror}); what was kept before it is whole"
        ) from error
