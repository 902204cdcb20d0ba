"""From an archive to folders in a benchmark's layout, member by member, into a staging folder beside their place.

Of an archive nothing is taken but names and bytes: owners, modes, times and links never reach the disk. Every name is
checked before anything is written, and only files that belong to the benchmark are.
"""

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import random
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

from harness.errors import DataError, HarnessError
from harness.fetching.download import Progress, disk_trouble, in_bytes
from harness.fetching.table import Layout
from harness.files import replace_whole

SAMPLE = 500
"""How many files of an archive are hashed for its manifest."""

_CHUNK = 1 << 20
# The published tars of ImageNet-C have sizes that no plain tar has, so their suffix does not tell.
_COMPRESSED: Mapping[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
)
_LISTED = 3


@dataclass(frozen=True)
class Count:
    """What a folder holds.

    Attributes:
        files: How many files.
        size: Their sizes, added up, in bytes.
    """

    files: int
    size: int


@dataclass(frozen=True)
class Manifest:
    """What an archive was unpacked to; that it is written means that all of it is on the disk.

    Attributes:
        file: The archive.
        address: Where it was got from.
        checksum: What was checked of it, e.g. `md5:e805...`; empty where nothing is published.
        folders: What each folder holds.
        sample: The sha256 of some files, drawn at random with a seed, by path below the benchmark's folder.
        left_out: How many files of the archive belong to no folder of the benchmark.
    """

    file: str
    address: str
    checksum: str
    folders: Mapping[str, Count]
    sample: Mapping[str, str] = field(default_factory=dict)
    left_out: int = 0

    def only(self, folders: Collection[str]) -> "Manifest":
        """Give what it says of some of its folders."""
        return self._with(
            {name: count for name, count in self.folders.items() if name in folders},
            {path: value for path, value in self.sample.items() if path.partition("/")[0] in folders},
        )

    def and_also(self, other: "Manifest") -> "Manifest":
        """Add what another manifest says of further folders of the same archive."""
        return self._with({**other.folders, **self.folders}, {**other.sample, **self.sample})

    def _with(self, folders: Mapping[str, Count], sample: Mapping[str, str]) -> "Manifest":
        return Manifest(self.file, self.address, self.checksum, folders, sample, self.left_out)

    def write(self, path: Path) -> None:
        """Write it, whole or not at all.

        Raises:
            OSError: It can't be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_whole(path, json.dumps(asdict(self), indent=1).encode())


def read_manifest(path: Path) -> Manifest | None:
    """Read a manifest; None where there is none, or none that can be understood."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        values["folders"] = {name: Count(**count) for name, count in values["folders"].items()}
        return Manifest(**values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def unpack(
    archive: Path,
    layout: Layout,
    staging: Path,
    *,
    skipped: Collection[str] = (),
    is_checked: bool = False,
    seed: int = 0,
) -> Manifest:
    """Unpack an archive's files into a staging folder, in the benchmark's layout.

    A folder that the archive has around the benchmark's own is left away. Links, devices and names that lead out of the
    archive are refused wherever they are; files that belong to no folder of the benchmark are left out and counted.

    Args:
        archive: A tar, compressed or not, or a zip.
        layout: What belongs to the benchmark, and where.
        staging: An empty folder; afterwards it holds the benchmark's folders, flushed to disk.
        skipped: Folders of the benchmark that are not wanted.
        is_checked: Whether the archive's checksum was met. Of others a tar must come to a proper end.
        seed: Of the sample of files that are hashed.

    Returns:
        What came out of it, without address and checksum.

    Raises:
        DataError: The archive is damaged or not to be trusted, or holds nothing of the benchmark.
        HarnessError: It can't be read, or the staging folder can't be written or its disk is full.
    """
    size = archive.stat().st_size
    writer = _Writer(staging, size, seed)
    progress = Progress(f"{archive.name}: unpacked", size)
    left_out = 0
    try:
        for member in _members(archive, progress, is_checked):
            _require_safe(archive, member)
            place = None if member.kind != "file" else layout.place(member.path)
            if place is None or member.kind != "file":
                left_out += member.kind != "folder"
            elif place[0] not in skipped:
                writer.write(archive, member, *place)
    except _DAMAGE as error:
        # What writing raises is told where it is written; whatever else comes here is of the archive.
        raise DataError(
            f"{archive} is damaged ({type(error).__name__}: {error}); run the same command again"
        ) from error
    if not writer.counts and not skipped:
        raise DataError(
            f"{archive} holds none of {', '.join(layout.folders[:_LISTED])}, ...: it is not what was published; "
            "check the address"
        )
    if hasattr(os, "sync"):
        # Once for all files: flushing a million of them one by one would take longer than unpacking them.
        os.sync()
    return Manifest(
        archive.name, "", "", dict(sorted(writer.counts.items())), dict(sorted(writer.sample.items())), left_out
    )


@dataclass(frozen=True)
class _Member:
    """One entry of an archive.

    Attributes:
        path: As the archive has it.
        kind: `file`, `folder`, `link` or `other`.
        size: In bytes.
        target: Of a link, as a path within the archive; empty for others.
        open: Gives its bytes.
    """

    path: str
    kind: str
    size: int
    target: str
    open: Callable[[], IO[bytes]]


def _members(archive: Path, progress: Progress, is_checked: bool) -> Iterator[_Member]:
    if archive.suffix.lower() == ".zip":
        yield from _zip_members(archive, progress)
    else:
        yield from _tar_members(archive, progress, is_checked)


def _tar_members(archive: Path, progress: Progress, is_checked: bool) -> Iterator[_Member]:
    # tarfile's own streams copy their whole buffer for every member.
    with (
        archive.open("rb", buffering=_CHUNK) as file,
        _decompressed(file, progress) as bytes_of_tar,
        _Forward(bytes_of_tar) as data,
        tarfile.open(fileobj=data, mode="r:") as tar,
    ):
        for info in tar:
            kind = "file" if info.isreg() else "folder" if info.isdir() else "other"
            target = ""
            if info.issym() or info.islnk():
                kind = "link"
                # A symbolic link starts from its own folder, a hard one from the archive's root.
                beside = "" if info.islnk() else str(PurePosixPath(info.name).parent)
                target = info.linkname if info.linkname.startswith("/") else f"{beside}/{info.linkname}".lstrip("/")
            yield _Member(info.name, kind, info.size, target, partial(_opened, tar, info))
            # The tar keeps all that it has read; of a million members that is a gigabyte.
            tar.members = []  # type: ignore[attr-defined]
        # To the end, where the checksum of what is compressed is.
        while data.read(_CHUNK):
            pass
        # tarfile takes whatever is no header for the end, which is a block of zeros and has nothing after it.
        if not is_checked and (data.done < tar.offset + tarfile.BLOCKSIZE or data.last > tar.offset):
            raise tarfile.ReadError(f"it ends after {in_bytes(tar.offset)}, in the middle")


def _decompressed(file: IO[bytes], progress: Progress) -> IO[bytes]:
    """Open what a file holds; that it is compressed is told from its first bytes, not from its suffix."""
    begins = file.read(max(map(len, _COMPRESSED)))
    file.seek(0)
    counted: Any = _Counted(file, progress)
    for magic, opener in _COMPRESSED.items():
        if begins.startswith(magic):
            counted = opener(counted)
    return counted  # type: ignore[no-any-return]


def _opened(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(info)
    if file is None:
        raise tarfile.ReadError(f"{info.name} has no bytes")
    return file


def _zip_members(archive: Path, progress: Progress) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            mode = info.external_attr >> 16
            kind = "folder" if info.is_dir() else "link" if stat.S_ISLNK(mode) else "file"
            target = ""
            if kind == "link":
                target = str(PurePosixPath(info.filename).parent / file.read(info).decode("utf-8", "replace"))
            yield _Member(info.filename, kind, info.file_size, target, partial(file.open, info))
            progress.tell(info.header_offset)


class _Counted(io.RawIOBase):
    """A file that says how far it was read."""

    def __init__(self, file: IO[bytes], progress: Progress) -> None:
        super().__init__()
        self._file, self._progress, self._done = file, progress, 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._done += len(data)
        self._progress.tell(self._done)
        return data


class _Forward(io.RawIOBase):
    """A stream read from beginning to end, which knows where its last byte is that is not zero.

    Attributes:
        done: How many bytes were read.
        last: How many of them there are up to the last one that is not zero.
    """

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file
        self.done = self.last = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        if kept := len(data.rstrip(b"\0")):
            self.last = self.done + kept
        self.done += len(data)
        return data

    def tell(self) -> int:
        return self.done

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or offset < self.done:
            raise io.UnsupportedOperation("an archive is read forward only")
        while self.done < offset and self.read(min(offset - self.done, _CHUNK)):
            pass
        return self.done


def _require_safe(archive: Path, member: _Member) -> None:
    """Refuse what leads out of the archive, and what is neither file, folder nor link.

    Raises:
        DataError: It is such.
    """
    wrong = ""
    if _leads_out(member.path) or ".." in member.path.replace("\\", "/").split("/"):
        wrong = "leads out of it"
    elif member.kind == "link" and _leads_out(member.target):
        wrong = f"is a link that leads out of it, to {member.target!r}"
    elif member.kind == "other":
        wrong = "is a device or something else that no data set holds"
    if wrong:
        raise DataError(f"{archive} is refused, nothing of it is kept: its member {member.path!r} {wrong}")


def _leads_out(path: str) -> bool:
    """Whether a path is absolute, here or on Windows, or climbs above where it starts."""
    parts = path.replace("\\", "/").split("/")
    if path.startswith(("/", "\\")) or parts[0].endswith(":"):
        return True
    depth = 0
    for part in parts:
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        if depth < 0:
            return True
    return False


class _Writer:
    """Writes members to their places, counts them and hashes some."""

    def __init__(self, staging: Path, archive_size: int, seed: int) -> None:
        self._staging, self._archive_size = staging, archive_size
        self._random = random.Random(seed)
        self._made: set[str] = set()
        self._sampled: list[str] = []
        self._done = self._seen = 0
        self.counts: dict[str, Count] = {}
        self.sample: dict[str, str] = {}

    def write(self, archive: Path, member: _Member, folder: str, below: str) -> None:
        """Write one file.

        Raises:
            DataError: It is in the archive twice, or has fewer bytes than the archive says.
            HarnessError: It can't be written, or the disk is full.
        """
        path = f"{folder}/{below}"
        digest = hashlib.sha256() if self._is_sampled(path) else None
        source = member.open()
        target = self._create(archive, path)
        size = 0
        with target:
            while data := source.read(_CHUNK):
                if digest:
                    digest.update(data)
                self._put(target, path, data)
                size += len(data)
        if size != member.size:
            raise DataError(f"{archive} is damaged: {member.path} has {size:,} bytes instead of {member.size:,}")
        if digest:
            self.sample[path] = digest.hexdigest()
        count = self.counts.get(folder, Count(0, 0))
        self.counts[folder] = Count(count.files + 1, count.size + size)

    def _is_sampled(self, path: str) -> bool:
        """Draw a fixed number of files from a stream of unknown length, each as likely as the other (Vitter, 1985)."""
        self._seen += 1
        if len(self._sampled) < SAMPLE:
            self._sampled.append(path)
            return True
        place = self._random.randrange(self._seen)
        if place >= SAMPLE:
            return False
        del self.sample[self._sampled[place]]
        self._sampled[place] = path
        return True

    def _create(self, archive: Path, path: str) -> IO[bytes]:
        parent = path.rpartition("/")[0]
        try:
            if parent not in self._made:
                (self._staging / parent).mkdir(parents=True, exist_ok=True)
                self._made.add(parent)
            return (self._staging / path).open("xb", buffering=0)
        except FileExistsError as error:
            raise DataError(f"{archive} is refused, nothing of it is kept: {path} is in it twice") from error
        except OSError as error:
            raise self._disk_trouble(error, path) from error

    def _put(self, target: Any, path: str, data: bytes) -> None:
        try:
            left = memoryview(data)
            while left:
                left = left[target.write(left) :]
        except OSError as error:
            raise self._disk_trouble(error, path) from error
        self._done += len(data)

    def _disk_trouble(self, error: OSError, path: str) -> HarnessError:
        needed = f"about {in_bytes(max(self._archive_size - self._done, 0))} more are needed"
        return disk_trouble(error, self._staging / path, needed, "the archive and what was unpacked before it are kept")
