"""Fetches a benchmark or a classifier's weights by name: what is in place is whole and checked, whenever it is cut.

In the target folder everything on its way lies in `.fetch`: archives while they are downloaded, folders while they are
unpacked, and for each archive that was unpacked to the end its manifest. The same command goes on from there.
"""

import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.benchmarks.catalog import DataRoots
from harness.benchmarks.images import read_image
from harness.classifiers.catalog import CATALOG
from harness.errors import DataError, HarnessError, UsageError
from harness.fetching.download import (
    Patience,
    compare,
    disk_trouble,
    download,
    in_bytes,
    require_space,
)
from harness.fetching.table import LAYOUTS, Download, Layout, downloads_of, read_table, stimulus_pixels
from harness.fetching.unpack import Manifest, read_manifest, unpack

log = logging.getLogger(__name__)

WORKSHOP = ".fetch"
"""The folder, in the target folder, of all that is on its way."""

_LISTED = 5


@dataclass(frozen=True)
class Fetched:
    """What a fetch leaves behind.

    Attributes:
        name: What was asked for.
        folder: The target folder.
        places: The folders, or the weights file, that are in place.
        notes: One line each: what could not be checked, what was there before, how it is used.
    """

    name: str
    folder: Path
    places: tuple[Path, ...]
    notes: tuple[str, ...]


def target_folder(name: str, roots: DataRoots) -> Path:
    """Say where a name is fetched to where nobody said.

    Args:
        name: A benchmark, or a classifier's short name.
        roots: Where benchmarks lie.

    Returns:
        The benchmark's own folder; for weights torch hub's folder of checkpoints, where they are looked for.

    Raises:
        UsageError: It is no classifier and no data folder is given.
    """
    if name in CATALOG:
        import torch

        return Path(torch.hub.get_dir()) / "checkpoints"
    folder = roots.folder(name)
    if folder is None:
        raise UsageError(f"{name}: say where to put it: --to DIR, or --data-root DIR for DIR/{name}")
    return folder


def fetch(
    name: str,
    to: Path,
    *,
    mirror: str | None = None,
    table: Path | None = None,
    keep_archives: bool = False,
    patience: Patience | None = None,
) -> Fetched:
    """Download what a name stands for, check it, and put it in place.

    Killed at any point, it goes on from there when it is run again: a download after its last byte, an archive that was
    being unpacked from its beginning, and what is in place is not touched. Under their names in the target folder
    folders and files are whole or not there.

    Args:
        name: `imagenet-c`, `imagenet-p`, `imagenet-a`, `cue-conflict`, or a classifier's short name.
        to: The folder that will hold the benchmark's folders, or the weights file; made where it is not there.
        mirror: Where files are got from instead of where they are published, as `<mirror>/<name>/<file>`; sizes
            and checksums are still those that were published.
        table: A table of the user's own instead of the published one; see `read_table`.
        keep_archives: Keep each archive in `.fetch` instead of deleting it once it is unpacked.
        patience: How long servers are borne with.

    Returns:
        What is in place, and what is to be said of it.

    Raises:
        UsageError: The name, the mirror or the table is none, or the folder holds other data.
        DataMissing: A server doesn't have a file, or can't be reached.
        DataError: What came is not what was published, or is damaged; it is deleted.
        HarnessError: `imagenet`, which can't be fetched; another fetch is at work in the folder; the folder can't be
            written or its disk is full.
    """
    if mirror is not None and not mirror.startswith(("https://", "http://")):
        raise UsageError(f"mirror {mirror!r} is not an address; it should begin with https:// or http://")
    items = downloads_of(name, read_table(table))
    to = to.expanduser()
    layout = LAYOUTS.get(name)
    _require_own(name, to, layout)
    with _workshop(name, to) as workshop:
        job = _Job(name, to, workshop, mirror, keep_archives, patience or Patience())
        if layout is None:
            return job.fetch_files(items)
        return job.fetch_archives(items, layout, compares_images=table is None)


def _require_own(name: str, to: Path, layout: Layout | None) -> None:
    """Check that a target folder is free for a benchmark, before anything is downloaded.

    Raises:
        UsageError: It is a file, or holds what does not belong to the benchmark.
        HarnessError: It can't be read.
    """
    if to.exists() and not to.is_dir():
        raise UsageError(f"{to} is a file; name a folder with --to")
    if layout is None or not to.exists():
        return
    try:
        entries = sorted(to.iterdir())
    except OSError as error:
        raise HarnessError(f"{to} can't be read ({error.strerror}); check its permissions") from error
    foreign = [
        entry.name
        for entry in entries
        if not entry.name.startswith(".") and not (entry.name in layout.folders and entry.is_dir())
    ]
    if foreign:
        more = f" and {len(foreign) - _LISTED} more" if len(foreign) > _LISTED else ""
        raise UsageError(
            f"{to} holds other data ({', '.join(foreign[:_LISTED])}{more}); give {name} a folder of its own, e.g. "
            f"--to {to / name}"
        )


@contextmanager
def _workshop(name: str, to: Path) -> Iterator[Path]:
    """Make the folder of what is on its way and keep other fetches out of it.

    Raises:
        HarnessError: It can't be made, or another fetch is at work.
    """
    from filelock import FileLock, Timeout

    workshop = to / WORKSHOP
    try:
        workshop.mkdir(parents=True, exist_ok=True)
        lock = FileLock(workshop / "lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise HarnessError(
            f"another fetch is at work in {to}; wait for it to end, then the same command finds what it fetched"
        ) from None
    except OSError as error:
        raise HarnessError(
            f"{name}: {to} can't be written ({error.strerror}); name another folder with --to"
        ) from error
    try:
        yield workshop
    finally:
        lock.release()


class _Job:
    """One fetch into one folder, which it has for itself."""

    def __init__(
        self, name: str, to: Path, workshop: Path, mirror: str | None, keep_archives: bool, patience: Patience
    ) -> None:
        self._name, self._to, self._workshop = name, to, workshop
        self._mirror, self._keep, self._patience = mirror, keep_archives, patience
        self._notes: list[str] = []

    def fetch_files(self, items: Sequence[Download]) -> Fetched:
        """Fetch what is not unpacked: weights."""
        places = []
        for item in items:
            place = self._to / item.file
            if place.exists():
                self._require_same(place, item)
                self._note(f"{item.file}: it was there already")
            else:
                whole = self._download(item)
                self._move(whole, place)
            places.append(place)
            self._note_unchecked(item)
            if item.name in CATALOG:
                self._note(
                    f"{item.name}: found by itself in torch hub's folder; anywhere else name it as {item.name}@{place}"
                )
        return self._fetched(places)

    def fetch_archives(self, items: Sequence[Download], layout: Layout, *, compares_images: bool) -> Fetched:
        """Fetch archives and put what is in them in place, archive by archive and folder by folder."""
        missing = [item for item in items if not self._is_done(item, layout)]
        self._require_space(missing)
        for item in missing:
            self._fetch_archive(item, layout, compares_images=compares_images)
        lacking = [folder for folder in layout.required if not _is_filled(self._to / folder)]
        if lacking:
            more = f" and {len(lacking) - _LISTED} more" if len(lacking) > _LISTED else ""
            self._note(f"{self._name}: no archive held {', '.join(lacking[:_LISTED])}{more}")
        self._note(
            f"{self._name}: use it with --data {self._name}={self._to}, or --data-root with the folder around it"
        )
        return self._fetched([self._to / folder for folder in layout.folders if _is_filled(self._to / folder)])

    def _is_done(self, item: Download, layout: Layout) -> bool:
        """Whether all of an archive is in place, after putting there what a killed run had unpacked to the end."""
        manifest = read_manifest(self._manifest(item))
        if manifest is None:
            wanted = item.unpacks_to or layout.required
            there = all(_is_filled(self._to / folder) for folder in wanted)
            if there:
                self._note(
                    f"{item.file}: its folders were there already, so it was not fetched and they are not checked"
                )
            return there
        self._put_in_place(item, manifest)
        gone = [folder for folder in manifest.folders if not _is_filled(self._to / folder)]
        if not gone:
            self._clear(item)
        else:
            log.warning(
                "%s: %s is gone since it was fetched; it is fetched again", item.file, ", ".join(gone[:_LISTED])
            )
            return False
        self._note(f"{item.file}: it was fetched already")
        return True

    def _fetch_archive(self, item: Download, layout: Layout, *, compares_images: bool) -> None:
        archive = self._download(item)
        staging = self._staging(item)
        there = {folder for folder in layout.folders if _is_filled(self._to / folder)}
        before = read_manifest(self._manifest(item))
        try:
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(parents=True)
        except OSError as error:
            raise HarnessError(f"{staging} can't be made ({error.strerror}); check the folder's permissions") from error
        log.info("%s: unpacking", item.file)
        try:
            manifest = unpack(archive, layout, staging, skipped=there, is_checked=item.is_checkable)
            if lacking := [each for each in item.unpacks_to if each not in manifest.folders and each not in there]:
                raise DataError(f"{archive} holds no {', '.join(lacking)}, as it should; check the address")
            if compares_images and self._name == "cue-conflict":
                self._compare_images(staging, item)
        except DataError:
            # Whatever is wrong with it, another download is the only way on.
            archive.unlink(missing_ok=True)
            shutil.rmtree(staging, ignore_errors=True)
            raise
        except HarnessError:
            # A full disk: the archive is kept, and what it was filled with is given back.
            shutil.rmtree(staging, ignore_errors=True)
            raise
        checked = f"{item.algorithm}:{item.checksum}" if item.is_checkable else ""
        manifest = Manifest(
            item.file, self._address(item), checked, manifest.folders, manifest.sample, manifest.left_out
        )
        try:
            (manifest.and_also(before.only(there)) if before else manifest).write(self._manifest(item))
        except OSError as error:
            raise disk_trouble(error, self._manifest(item), "a little is needed", "the archive is kept") from error
        if known := sorted(set(there) & set(item.unpacks_to) - set(before.folders if before else ())):
            self._note(f"{item.file}: {', '.join(known)} was there before and is left as it was")
        if manifest.left_out:
            self._note(
                f"{item.file}: {manifest.left_out:,} of its files belong to no folder of {self._name} and are left out"
            )
        self._note_unchecked(item)
        self._put_in_place(item, manifest)
        self._clear(item)

    def _put_in_place(self, item: Download, manifest: Manifest) -> None:
        """Give each unpacked folder its name."""
        staging = self._staging(item)
        for folder in manifest.folders:
            if (staging / folder).is_dir():
                self._move(staging / folder, self._to / folder)

    def _clear(self, item: Download) -> None:
        """Let go of what an archive in place has left on its way."""
        shutil.rmtree(self._staging(item), ignore_errors=True)
        if not self._keep:
            (self._workshop / item.file).unlink(missing_ok=True)

    def _move(self, source: Path, place: Path) -> None:
        try:
            os.rename(source, place)
        except OSError as error:
            raise HarnessError(
                f"{place} can't be put in place ({error.strerror}); it is kept in {source}: run the same command again"
            ) from error

    def _download(self, item: Download) -> Path:
        return download(item, self._workshop, address=self._address(item), patience=self._patience)

    def _address(self, item: Download) -> str:
        return f"{self._mirror.rstrip('/')}/{item.name}/{item.file}" if self._mirror else item.address

    def _manifest(self, item: Download) -> Path:
        return self._workshop / "manifest" / f"{item.file}.json"

    def _staging(self, item: Download) -> Path:
        return self._workshop / "unpacked" / item.file

    def _require_space(self, items: Sequence[Download]) -> None:
        """Check that all archives that are missing can be unpacked; those of unpublished size count for nothing.

        Raises:
            HarnessError: They can't.
        """
        sizes = [item.size or 0 for item in items]
        # Images don't compress: unpacked they take what the archive takes. One archive at a time is there beside them.
        needed = sum(sizes) + (sum(sizes) if self._keep else max(sizes, default=0))
        for item in items:
            for path in (self._workshop / item.file, self._workshop / f"{item.file}.part"):
                needed -= path.stat().st_size if path.exists() else 0
        if needed > 0:
            require_space(self._to, needed, self._name)
            log.info("%s: %s to download", self._name, in_bytes(sum(sizes)))

    def _require_same(self, place: Path, item: Download) -> None:
        try:
            wrong = compare(place, item)
        except OSError as error:
            raise HarnessError(f"{place} can't be read ({error.strerror}); mend it") from error
        if wrong:
            raise DataError(f"{place} {wrong}; delete it or name another folder with --to")

    def _compare_images(self, staging: Path, item: Download) -> None:
        """Compare unpacked stimuli with the recorded pixels: the archive itself has no published checksum."""
        found, other = compare_stimuli(sorted(staging.glob("*/*")))
        if other:
            raise DataError(
                f"{item.file}: {len(other)} images have other pixels than the published ones, e.g. {other[0].name}; it "
                "is deleted, and nothing of it is kept"
            )
        self._note(f"{item.file}: {found:,} of its images have the pixels recorded in cue_conflict_images.csv")

    def _note_unchecked(self, item: Download) -> None:
        if not item.is_checkable:
            self._note(f"{item.file}: no checksum of it is published, so the file itself could not be checked")

    def _note(self, text: str) -> None:
        self._notes.append(text)

    def _fetched(self, places: Sequence[Path]) -> Fetched:
        return Fetched(self._name, self._to, tuple(places), tuple(self._notes))


def compare_stimuli(paths: Sequence[Path]) -> tuple[int, list[Path]]:
    """Compare cue conflict images with the recorded pixels, by name.

    Args:
        paths: Image files; those whose name is not recorded are passed over.

    Returns:
        How many have the recorded pixels, and those that have others.

    Raises:
        DataError: One can't be decoded.
    """
    import hashlib

    found, other = 0, []
    for path in paths:
        recorded = stimulus_pixels().get(path.stem)
        if recorded is None:
            continue
        image, _ = read_image(path)
        if hashlib.sha256(image.tobytes()).hexdigest() == recorded:
            found += 1
        else:
            other.append(path)
    return found, other


def _is_filled(folder: Path) -> bool:
    """Whether there is a folder with something in it."""
    try:
        with os.scandir(folder) as entries:
            return any(True for _ in entries)
    except OSError:
        return False
