"""Keeps a store in order: lists its runs, checks every chunk, and takes away what no run can use.

What is damaged is deleted and not kept aside: a chunk whose checksum is wrong can't be told from garbage, and measuring
again gives the same records. Nothing is taken from a run that a process is at.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from harness.errors import RecordsError
from harness.records.locks import held, is_held
from harness.records.store import (
    CHUNK_FILE,
    DESCRIPTION,
    FINDINGS,
    LOCK,
    PACES,
    RecordStore,
    RunDamaged,
    RunKey,
    checksum_in,
    checksum_of,
    chunk_files,
    from_parquet,
    lock_files,
    read_findings,
    read_key,
    unreadable,
    unwritable,
)

_BESIDE_CHUNKS = (DESCRIPTION, PACES, FINDINGS)
_TEMPORARY = re.compile(rf"\.({'|'.join(map(re.escape, _BESIDE_CHUNKS))}|{CHUNK_FILE.pattern})\.\d+")

_REMOVE = "store gc removes it, and measuring again fills the gap"


@dataclass(frozen=True)
class Listed:
    """One run of a store, by the names of its files; their bytes are not looked at.

    Attributes:
        folder: Below the store.
        key: What it is of; None where that can't be read.
        images: How many records it has.
        bytes: Size of all its files.
        written: When one of them was last written; None where it has none.
        is_in_use: Whether a process is measuring it.
        damage: Why the key can't be read; empty where it can.
    """

    folder: str
    key: RunKey | None
    images: int
    bytes: int
    written: datetime | None
    is_in_use: bool
    damage: str = ""

    def of(self, name: str) -> str:
        """Give a part of the run's identity: protocol, seed, precision; empty where it has none."""
        return self.key.identity.get(name, "") if self.key else ""


@dataclass(frozen=True)
class Damage:
    """A file of a store that can't be used.

    Attributes:
        path: Which.
        what: What is wrong with it.
        remedy: What to do.
        is_garbage: Whether its bytes were read and are of no use, so that it may be deleted.
    """

    path: Path
    what: str
    remedy: str
    is_garbage: bool = False


@dataclass(frozen=True)
class Checked:
    """What was found in a run.

    Attributes:
        chunks: How many files were read and are whole.
        records: How many records they hold.
        bytes: Their size.
        damages: The files that are not.
    """

    chunks: int
    records: int
    bytes: int
    damages: tuple[Damage, ...]


@dataclass(frozen=True)
class Taken:
    """What was taken out of a store, or left in it.

    Attributes:
        path: A file, or the folder of a run.
        why: Why.
        bytes: How many bytes that frees; 0 for what is left.
        is_left: Whether it is still there.
    """

    path: Path
    why: str
    bytes: int = 0
    is_left: bool = False


def listed(store: RecordStore) -> list[Listed]:
    """List the runs of a store, damaged and half made ones too.

    Raises:
        RecordsError: The store can't be read.
    """
    return [_listed(store, folder) for folder in store.folders()]


def _listed(store: RecordStore, folder: Path) -> Listed:
    key, damage = None, ""
    try:
        key = read_key(folder)
    except RecordsError as error:
        damage = str(error).removeprefix("records: ")
    names = [files[0] for files in chunk_files(folder).values()]
    stats = [stat for stat in map(_stat, _files(folder)) if stat]
    written = max((stat.st_mtime for stat in stats), default=None)
    return Listed(
        folder=str(folder.relative_to(store.root)),
        key=key,
        images=sum(_rows(name) for name in names),
        bytes=sum(stat.st_size for stat in stats),
        written=None if written is None else datetime.fromtimestamp(written, UTC),
        is_in_use=_is_in_use(folder),
        damage=damage,
    )


def checked(folder: Path) -> Checked:
    """Read every chunk of a run, and check its checksum and its positions.

    Raises:
        RecordsError: The folder can't be listed.
    """
    key, damages = None, []
    try:
        key = read_key(folder)
    except RunDamaged as error:
        damages.append(Damage(folder / DESCRIPTION, *_why_and_remedy(folder, error)))
    except RecordsError as error:  # what it means is not known here
        return Checked(0, 0, 0, (Damage(folder, *_why_and_remedy(folder, error)),))
    chunks = records = size = 0
    for names in chunk_files(folder).values():
        for path in (folder / name for name in names):
            try:
                found = _checked_chunk(path, key)
            except FileNotFoundError:  # a writer has just replaced it
                continue
            if isinstance(found, Damage):
                damages.append(found)
            else:
                chunks, records, size = chunks + 1, records + _rows(path.name), size + found
    paces = "cut short or altered; forecasts alone rest on it", "store gc removes it"
    findings = "cut short or altered", "store gc removes it, and it is found out again"
    beside = [
        _damaged_beside(folder / PACES, _is_json, *paces),
        _damaged_beside(folder / FINDINGS, read_findings, *findings),
    ]
    damages += filter(None, beside)
    return Checked(chunks, records, size, tuple(damages))


def _why_and_remedy(folder: Path, error: RecordsError) -> tuple[str, str]:
    """Take what an error says of a run's folder apart: what is wrong, and what to do."""
    why, _, remedy = str(error).rpartition("; ")
    for beginning in ("records: ", str(folder), f"/{DESCRIPTION}", " "):
        why = why.removeprefix(beginning)
    return why, remedy


def _checked_chunk(path: Path, key: RunKey | None) -> Damage | int:
    """Check a chunk's file; gives what is wrong with it, or its size in bytes."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        return Damage(path, f"can't be read ({error.strerror})", "mend the disk; nothing is deleted unread")
    if checksum_of(data) != checksum_in(path):
        return Damage(path, "cut short or altered: its checksum is not that of its name", _REMOVE, is_garbage=True)
    try:
        positions = from_parquet(path, data, ["position"]).column("position").to_numpy()
    except RecordsError:
        return Damage(path, "no table of records, though its checksum is right", _REMOVE, is_garbage=True)
    chunk, rows = int(path.name[:5]), _rows(path.name)
    first = chunk * key.chunk if key else int(positions[0]) if len(positions) else 0
    is_within = key is None or (rows <= key.chunk and first + rows <= key.pairs)
    if not is_within or not np.array_equal(positions, np.arange(first, first + rows)):
        what = f"its positions are not {first:,} to {first + rows - 1:,} of the seeded order"
        return Damage(path, what, _REMOVE, is_garbage=True)
    return len(data)


def _damaged_beside(path: Path, is_whole: Callable[[Path], object], what: str, remedy: str) -> Damage | None:
    """Check a file that lies beside the chunks; None where it is whole, or is not there."""
    try:
        if is_whole(path):
            return None
    except FileNotFoundError:
        return None
    except OSError as error:
        return Damage(path, f"can't be read ({error.strerror})", "mend the disk; nothing is deleted unread")
    return Damage(path, what, remedy, is_garbage=True)


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True


def collected(store: RecordStore, *, dry_run: bool = False) -> Iterator[Taken]:
    """Take out of a store what no run can use.

    That is what dead writers left half written, damaged files, files whose records another file of the run has too,
    and runs without a record. A run that a process is at is left alone.

    Args:
        store: Which.
        dry_run: Whether to tell only.

    Raises:
        RecordsError: The store can't be read or written.
    """
    for folder in store.folders():
        with _alone_at(folder, dry_run=dry_run) as is_alone:
            if is_alone:
                yield from _collected(folder, dry_run=dry_run)
            else:
                yield Taken(folder, "a process is at it", is_left=True)


@contextmanager
def _alone_at(folder: Path, *, dry_run: bool) -> Iterator[bool]:
    """Hold a run, and tell whether that succeeded; a dry run looks only, and writes nothing."""
    if dry_run:
        yield not _is_in_use(folder)
        return
    holding = held(folder / LOCK, wait=False)
    try:
        holding.__enter__()
    except BlockingIOError:
        yield False
        return
    except OSError as error:
        raise unwritable(folder, error) from error
    try:
        yield True
    finally:
        holding.__exit__(None, None, None)


def _collected(folder: Path, *, dry_run: bool) -> Iterator[Taken]:
    found = checked(folder)
    garbage = {damage.path: damage.what for damage in found.damages if damage.is_garbage}
    unread = {damage.path for damage in found.damages} - set(garbage)
    for damage in found.damages:
        if damage.path in unread and damage.path.name != DESCRIPTION:
            yield Taken(damage.path, damage.what, is_left=True)
    if folder in unread:
        return
    garbage |= {path: "half written by a process that died" for path in _files(folder) if _is_temporary(path)}
    kept = 0
    for names in chunk_files(folder).values():
        whole = [path for path in (folder / name for name in names) if path not in garbage]
        if whole and unread.isdisjoint(whole):
            garbage |= dict.fromkeys(whole[1:], f"its records are in {whole[0].name} too")
        kept += len(whole)
    for path, why in garbage.items():
        yield _taken(path, why, dry_run=dry_run)
    others = {path.name for path in _files(folder) if path not in garbage} - set(_BESIDE_CHUNKS)
    others -= {path.name for path in lock_files(folder)}
    if kept or others:
        return
    beside = [path for path in (folder / name for name in _BESIDE_CHUNKS) if path not in garbage and path.exists()]
    size = sum(_taken(path, "", dry_run=dry_run).bytes for path in beside)
    if not dry_run:
        _remove_folder(folder)
    yield Taken(folder, "a run without records", size)


def _taken(path: Path, why: str, *, dry_run: bool) -> Taken:
    try:
        size = path.stat().st_size
        if not dry_run:
            path.unlink()
    except OSError as error:
        raise unwritable(path, error) from error
    return Taken(path, why, size)


def _remove_folder(folder: Path) -> None:
    """Remove a run's folder that has nothing but its locks, which are held, and its benchmark's if it is the last."""
    try:
        for path in lock_files(folder):
            path.unlink()
        folder.rmdir()
        if not any(folder.parent.iterdir()):
            folder.parent.rmdir()
    except OSError:  # somebody has just made something in it, and goes on with what is there
        return


def _is_temporary(path: Path) -> bool:
    return _TEMPORARY.fullmatch(path.name) is not None


def _rows(name: str) -> int:
    """Give how many rows a chunk's file has, by its name."""
    return int(name.partition(".")[0].partition("-")[2])


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise unreadable(folder, error) from error


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:  # just replaced
        return None


def _is_in_use(folder: Path) -> bool:
    try:
        return any(map(is_held, lock_files(folder)))
    except OSError as error:
        raise unreadable(folder / LOCK, error) from error
