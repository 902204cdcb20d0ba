"""The store: a folder a run, a Parquet file a chunk, each file named after its own checksum.

A run is one classifier on one benchmark under one protocol. Its folder's name carries a hash of everything that
its records depend on, so other weights, other data or another seed never share a folder. Chunks are cut from the
seeded order; a chunk's file holds its first rows, all of them or, where a run stopped early, some. Files are
written beside their place and renamed into it, so a killed run leaves whole files or none.
"""

import errno
import hashlib
import json
import logging
import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import RecordsError
from harness.files import flush_folder, replace_whole
from harness.records.locks import held
from harness.records.schema import FILE_FACTS, Columns, to_columns, to_table

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

CHUNK_FILE = re.compile(r"(?P<chunk>\d{5})-(?P<rows>\d+)\.(?P<checksum>[0-9a-f]{16})\.parquet")
DESCRIPTION = "run.json"
PACES = "paces.json"
FINDINGS = "findings.json"
LOCK = ".lock"

# How a run's folder is laid out; its description says which layout it has. What says nothing has the first.
FORMAT = 1

_RUN_FOLDER = re.compile(r".+-(?P<digest>[0-9a-f]{16})")
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Chunks that are written at once, so that flushing one to disk does not keep the others waiting, and read at once.
_WRITERS = 8
_READERS = 2


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


class OtherFormat(RecordsError):
    """A run's folder is laid out in another way than this harness reads."""


class RunDamaged(RecordsError):
    """A run's folder has no description that can be read."""


class RecordStore:
    """A folder of runs, shared by every command and session that is given it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._damaged: set[Path] = set()

    def run(self, key: RunKey) -> "Run":
        """Open the run of this key, made on its first write; damage is told once, however often it is opened."""
        return Run(self.root / key.folder, key, self._damaged)

    def runs(self) -> list[Path]:
        """List the folders of all runs in the store; none where it is not made yet.

        Raises:
            RecordsError: There is something else than a folder in its place.
        """
        self._require_folder()
        return sorted(path.parent for path in self.root.glob(f"*/*/{DESCRIPTION}"))

    def folders(self) -> list[Path]:
        """List the folders that are named as runs are, half made and damaged ones too.

        Raises:
            RecordsError: The store can't be read.
        """
        self._require_folder()
        found = []
        try:
            if self.root.exists():
                for benchmark in sorted(filter(Path.is_dir, self.root.iterdir())):
                    found += sorted(each for each in benchmark.iterdir() if _RUN_FOLDER.fullmatch(each.name))
        except OSError as error:
            raise unreadable(self.root, error) from error
        return [folder for folder in found if folder.is_dir()]

    def _require_folder(self) -> None:
        if self.root.exists() and not self.root.is_dir():
            raise RecordsError(f"records: {self.root} is no folder; name another store with --records DIR")


def read_key(folder: Path) -> RunKey:
    """Read from a run's folder what it is of.

    Raises:
        RunDamaged: Its description is missing, cut short or altered.
        OtherFormat: It has another format than this harness's.
        RecordsError: It can't be read.
    """
    path = folder / DESCRIPTION
    try:
        described = json.loads(path.read_bytes())
        layout = described.get("format", FORMAT)
        if layout != FORMAT:
            raise OtherFormat(_other_format(folder, layout))
        key = RunKey(**{name: described[name] for name in ("benchmark", "subject", "identity", "pairs", "chunk")})
        digest = key.digest
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RunDamaged(f"records: {folder} has no {DESCRIPTION}; measuring again writes it") from error
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunDamaged(f"records: {path} was cut short or altered; measuring again writes it anew") from error
    name = _RUN_FOLDER.fullmatch(folder.name)
    if name is None or name["digest"] != digest or folder.parent.name != key.benchmark:
        raise RunDamaged(f"records: {path} was altered, or is another run's; measuring again writes it anew")
    return key


def _other_format(folder: Path, layout: object) -> str:
    if isinstance(layout, int) and layout < FORMAT:
        return (
            f"records: {folder} has the old format {layout}, this harness reads {FORMAT}; delete it to measure anew, "
            "or name another store with --records DIR"
        )
    return (
        f"records: {folder} has format {layout}, written by a newer harness than this one, which reads {FORMAT}; "
        "update the harness, or name another store with --records DIR"
    )


class Run:
    """One classifier's records on one benchmark, chunk by chunk.

    Args:
        folder: Where they lie.
        key: What they are of.
        damaged: Files that were told to be damaged; more are added.

    Raises:
        RecordsError: The folder can't be read or written, or has another format.
    """

    def __init__(self, folder: Path, key: RunKey, damaged: set[Path]) -> None:
        self.folder = folder
        self.key = key
        self._damaged = damaged
        self._is_described = False

    @contextmanager
    def lock(self, *, wait: bool = True, part: str = "") -> Iterator[None]:
        """Hold the run while measuring: a second process waits, then finds the records.

        Args:
            wait: Whether to wait for another process.
            part: Hold a part of its chunks only, by its name: beside who holds other parts, not beside who holds all.

        Raises:
            Busy: Another process holds it, and `wait` is false.
        """
        with ExitStack() as holding:
            try:
                holding.enter_context(held(self.folder / LOCK, wait=wait, shared=bool(part)))
                if part:
                    holding.enter_context(held(self.folder / f"{LOCK}-{part}", wait=wait))
            except BlockingIOError as error:
                raise Busy(str(self.folder)) from error
            except OSError as error:
                raise unwritable(self.folder, error) from error
            self._prepare()
            yield

    def missing(self, images: int, is_current: Callable[[Columns], bool] | None = None) -> NDArray[np.int64]:
        """Give the positions among the first `images` of the seeded order that have no record yet, ascending.

        Every chunk that holds one of them is checked against its checksum; a damaged one counts as missing, which is
        said, and so does one that is not current.

        Args:
            images: How many records are wanted.
            is_current: Tells from a chunk's positions and file facts whether its images still are those it is of.
        """
        kept = {}
        files = self._files()
        if not files:
            self._tell_of_other_schemas()
        for chunk, path in files.items():
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
        """Add rows, on disk when it returns: of each chunk its first ones anew, or those that follow what is kept.

        Args:
            columns: Rows of one chunk, or of several, by ascending position.
        """
        self._prepare()
        files = chunk_files(self.folder)
        positions = columns["position"]
        cuts = np.flatnonzero(np.diff(positions // self.key.chunk)) + 1
        parts = [slice(start, stop) for start, stop in zip([0, *cuts], [*cuts, len(positions)], strict=True)]

        def append(part: slice) -> Path | None:
            return self._append({name: values[part] for name, values in columns.items()}, files)

        if len(parts) == 1:
            self._supersede([append(parts[0])])
            return
        with ThreadPoolExecutor(_WRITERS) as writers:
            self._supersede(list(writers.map(append, parts)))

    def _append(self, columns: Columns, files: Mapping[int, Sequence[str]]) -> Path | None:
        """Write what a chunk is to be; gives the file that it supersedes."""
        import pyarrow as pa

        positions = columns["position"]
        chunk, offset = divmod(int(positions[0]), self.key.chunk)
        table = to_table(columns)
        old = self.folder / files[chunk][0] if chunk in files else None
        kept = self._read(old) if old and offset else None
        if kept is not None:
            table = pa.concat_tables([kept, table]).unify_dictionaries()
        expected = np.arange(chunk * self.key.chunk, chunk * self.key.chunk + table.num_rows)
        if not np.array_equal(table.column("position").to_numpy(), expected):
            raise RecordsError(f"{self.folder}: rows {positions[0]}.. do not follow what chunk {chunk} holds")
        return self._put(chunk, table.num_rows, as_parquet(table), old)

    def put(self, chunk: int, rows: int, data: bytes) -> None:
        """Put a whole chunk's file in the place of what is there of it.

        Args:
            chunk: Which.
            rows: How many rows it has.
            data: The bytes of its Parquet file.
        """
        self._prepare()
        self._supersede([self._put(chunk, rows, data, self._files().get(chunk))])

    def _put(self, chunk: int, rows: int, data: bytes, old: Path | None) -> Path | None:
        new = self.folder / f"{chunk:05d}-{rows}.{checksum_of(data)}.parquet"
        _write_whole(new, data, flush_name=False)
        return old if old != new else None

    def _supersede(self, olds: Sequence[Path | None]) -> None:
        """Delete what was superseded, once it is certain that its successors have their names."""
        try:
            flush_folder(self.folder)
            for old in filter(None, olds):
                old.unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(self.folder, error) from error

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

        def part(chunk: int) -> Columns:
            first = chunk * self.key.chunk
            skipped, rows = max(0, start - first), min(self.key.chunk, images - first)
            table = self._read(files[chunk], columns) if chunk in files else None
            if table is None or table.num_rows < rows:
                raise RecordsError(f"records: {self.folder}: chunk {chunk} is not whole; measure again")
            return to_columns(table.slice(skipped, rows - skipped))

        chunks = range(start // self.key.chunk, -(-images // self.key.chunk))
        if len(chunks) < _READERS:
            yield from map(part, chunks)
            return
        with ThreadPoolExecutor(_READERS) as readers:
            ahead: deque[Future[Columns]] = deque()
            for chunk in chunks:
                ahead.append(readers.submit(part, chunk))
                if len(ahead) > _READERS:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    def add_pace(self, device: str, images: int, seconds: float) -> None:
        """Take down that so many images took so long on a device, beside what it took before."""
        known = self._paces()
        before = known.get(device, {"images": 0, "seconds": 0.0})
        known[device] = {"images": before["images"] + images, "seconds": before["seconds"] + seconds}
        try:
            self._prepare()
            _write_whole(self.folder / PACES, json.dumps(known, indent=1, sort_keys=True).encode())
        except RecordsError as error:  # nothing but a forecast rests on it
            log.warning("%s", error)

    def pace(self, device: str) -> float | None:
        """Give the seconds that an image took on a device so far; None where none was measured."""
        known = self._paces().get(device)
        return known["seconds"] / known["images"] if known else None

    def keep_findings(self, grounds: str, findings: object) -> None:
        """Keep what was found out about the classifier beside its records, in the place of what was found out before.

        Args:
            grounds: All that it depends on beyond what the run's key says.
            findings: It, as JSON has it.
        """
        checksum = _checksum_of_findings(grounds, findings)
        kept = {"grounds": grounds, "checksum": checksum, "findings": findings}
        try:
            self._prepare()
            _write_whole(self.folder / FINDINGS, json.dumps(kept, indent=1).encode())
        except RecordsError as error:  # they are found out once more
            log.warning("%s", error)

    def findings(self, grounds: str) -> object:
        """Give what was found out on the same grounds; None where nothing was, or it was cut short or altered.

        Raises:
            RecordsError: It can't be read.
        """
        self._check()
        path = self.folder / FINDINGS
        try:
            kept = read_findings(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unreadable(path, error) from error
        if kept is None and path not in self._damaged:
            log.warning("records: %s was cut short or altered; what it says is found out again", path)
            self._damaged.add(path)
        return kept["findings"] if kept and kept["grounds"] == grounds else None

    def chunks(self) -> dict[int, Path]:
        """Map each chunk that is there, whole or not, to its file."""
        return self._files()

    def written(self, since: float) -> int:
        """Count the records whose chunk was written at or after a time, in seconds of the epoch."""
        found = 0
        for path in self._files().values():
            with suppress(OSError):  # superseded meanwhile
                if path.stat().st_mtime >= since:
                    match = CHUNK_FILE.fullmatch(path.name)
                    found += int(match["rows"]) if match else 0
        return found

    def _paces(self) -> dict[str, dict[str, float]]:
        """Read the paces; what can't be read is forgotten, for nothing but a forecast rests on it."""
        try:
            paces: dict[str, dict[str, float]] = json.loads((self.folder / PACES).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return paces

    def _files(self) -> dict[int, Path]:
        """Map each chunk to its file; of several (two writers at once) the one with most rows."""
        self._check()
        return {chunk: self.folder / names[0] for chunk, names in chunk_files(self.folder).items()}

    def _read(self, path: Path, columns: Sequence[str] | None = None) -> "pa.Table | None":
        """Read a chunk's file; None, and a warning at the first time, where its bytes are not what its name says."""
        try:
            data = path.read_bytes()
        except FileNotFoundError:  # another process has just replaced it by one with more rows
            return None
        except OSError as error:
            raise unreadable(path, error) from error
        if checksum_of(data) != checksum_in(path):
            if path not in self._damaged:
                log.warning("records: %s was cut short or altered; its images are measured again", path)
                self._damaged.add(path)
            return None
        return from_parquet(path, data, columns)

    def _check(self) -> bool:
        """Tell whether the folder's description is there and whole.

        Raises:
            OtherFormat: It says that the folder has another format.
            RecordsError: It can't be read.
        """
        if not self._is_described:
            try:
                read_key(self.folder)
            except RunDamaged:
                return False
            self._is_described = True
        return True

    def _prepare(self) -> None:
        """Make the folder, with a description that says in words what the run is."""
        path = self.folder / DESCRIPTION
        if self._check() and path.exists():
            return
        if path.exists():
            log.warning("records: %s was cut short or altered; it is written anew", path)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for folder in (self.folder.parent, self.folder.parent.parent):
                flush_folder(folder)
        except OSError as error:
            raise unwritable(self.folder, error) from error
        described = {**asdict(self.key), "identity": dict(self.key.identity), "format": FORMAT}
        _write_whole(path, json.dumps(described, indent=1, sort_keys=True).encode())

    def _tell_of_other_schemas(self) -> None:
        """Warn of records that differ from this run's in nothing but what their columns mean."""
        protocol = self.key.identity.get("protocol", "")
        for folder in RecordStore(self.folder.parent.parent).folders():
            if folder.parent != self.folder.parent or not folder.name.startswith(f"{self.key.subject}-"):
                continue
            try:
                other = read_key(folder)
            except RecordsError:
                continue
            schema = other.identity.get("protocol", "")
            is_same = {**other.identity, "protocol": protocol} == dict(self.key.identity)
            if is_same and schema != protocol and schema.partition("/")[0] == protocol.partition("/")[0]:
                log.warning(
                    "records: %s is of schema %s and is not read, for this harness records %s; its images are measured "
                    "again, and the folder may be deleted",
                    folder,
                    schema,
                    protocol,
                )


def read_findings(path: Path) -> dict[str, Any] | None:
    """Read a file of findings, with their grounds; None where it was cut short or altered.

    Raises:
        OSError: It can't be read.
    """
    try:
        kept: dict[str, Any] = json.loads(path.read_bytes())
        is_whole = kept["checksum"] == _checksum_of_findings(kept["grounds"], kept["findings"])
    except (ValueError, TypeError, KeyError):
        return None
    return kept if is_whole else None


def _checksum_of_findings(grounds: str, findings: object) -> str:
    return checksum_of(json.dumps([grounds, findings], sort_keys=True).encode())


def lock_files(folder: Path) -> list[Path]:
    """List the locks of a run, that of all and those of its parts."""
    return sorted(folder.glob(f"{LOCK}*"))


def chunk_files(folder: Path) -> dict[int, list[str]]:
    """Map each chunk of a run's folder to the names of its files, the one that counts, with most rows, first.

    Raises:
        RecordsError: The folder can't be read.
    """
    try:
        names = sorted(os.listdir(folder)) if folder.is_dir() else []
    except OSError as error:
        raise unreadable(folder, error) from error
    found: dict[int, list[tuple[int, str]]] = {}
    for match in filter(None, map(CHUNK_FILE.fullmatch, names)):
        found.setdefault(int(match["chunk"]), []).append((-int(match["rows"]), match.string))
    return {chunk: [name for _, name in sorted(files)] for chunk, files in found.items()}


def checksum_of(data: bytes) -> str:
    """Give the first 16 hex digits of the sha256 of a file's bytes; a chunk's name carries them."""
    return hashlib.sha256(data).hexdigest()[:16]


def checksum_in(path: Path) -> str:
    """Give the checksum that a chunk's file is named after."""
    return path.name.split(".")[1]


def as_parquet(table: "pa.Table") -> bytes:
    """Turn a chunk into the bytes of its file.

    Words alone have dictionaries, as numbers hardly repeat. Whole numbers are packed as differences, which takes less
    room and time than their compression does; levels of pixels are not, which are bytes already.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    words = [field.name for field in table.schema if pa.types.is_dictionary(field.type)]
    packed = {}
    for field in table.schema:
        is_list = pa.types.is_fixed_size_list(field.type)
        kind = field.type.value_type if is_list else field.type
        if pa.types.is_integer(kind) and kind != pa.uint8():
            packed[f"{field.name}.list.element" if is_list else field.name] = "DELTA_BINARY_PACKED"
    sink = pa.BufferOutputStream()
    pq.write_table(
        table, sink, compression="zstd", use_dictionary=words, write_statistics=False, column_encoding=packed or None
    )
    data: bytes = sink.getvalue().to_pybytes()
    return data


def from_parquet(path: Path, data: bytes, columns: Sequence[str] | None = None) -> "pa.Table":
    """Read a chunk, or some of its columns, from the bytes of its file.

    Raises:
        RecordsError: It lacks one of them, or is no table: its checksum is right, so that another program wrote it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(pa.BufferReader(data)).read(
            None if columns is None else list(columns), use_threads=False
        )
    except pa.ArrowException as error:
        raise RecordsError(f"records: {path} is no table that this harness reads; delete {path.parent}") from error
    if lacking := sorted(set(columns or ()) - set(table.column_names)):
        raise RecordsError(
            f"records: {path} lacks {', '.join(lacking)}: it is of another schema; delete {path.parent} to measure anew"
        )
    return table


def unreadable(path: Path, error: OSError) -> RecordsError:
    """Say that something in the store can't be read."""
    return RecordsError(
        f"records: {path} can't be read ({error.strerror}); mend it or name another store with --records"
    )


def unwritable(path: Path, error: OSError) -> RecordsError:
    """Say that something in the store can't be written."""
    what = (
        "free space, and the same command goes on"
        if error.errno in _NO_SPACE
        else "name another store with --records DIR"
    )
    return RecordsError(
        f"records: {path} can't be written ({error.strerror}); what was kept before it is whole; {what}"
    )


def _write_whole(path: Path, data: bytes, *, flush_name: bool = True) -> None:
    try:
        replace_whole(path, data, flush_name=flush_name)
    except OSError as error:
        raise unwritable(path, error) from error
