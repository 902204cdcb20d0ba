"""One file from the web: resumed where it was cut, and not there under its name until it is whole.

While it is on its way it is called `<file>.part`; `<file>.part.json` beside it says which version of the file the bytes
are of. A cut download is resumed only from the same version (RFC 9110, sections 13.1.5 and 14: Range with If-Range);
from whatever answers otherwise it starts over.
"""

import errno
import hashlib
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness
from harness.errors import DataError, DataMissing, HarnessError, UsageError, in_one_line
from harness.fetching.table import Download
from harness.files import replace_whole

if TYPE_CHECKING:
    import requests

log = logging.getLogger(__name__)

_CHUNK = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_RETRIED = (408, 425, 429)
_RANGE = re.compile(r"bytes (?:(?P<first>\d+)-(?P<last>\d+)|\*)/(?P<total>\d+|\*)")


@dataclass(frozen=True)
class Patience:
    """How long a server is borne with.

    Attributes:
        connect: Seconds to wait for a connection.
        silence: Seconds without a byte after which a connection counts as cut.
        tries: How often in a row an attempt may bring nothing new.
        first_wait: Seconds before trying again after the first such attempt; doubled after each further one.
        longest_wait: Seconds waited at most, whatever the server asks for.
    """

    connect: float = 20.0
    silence: float = 60.0
    tries: int = 6
    first_wait: float = 0.5
    longest_wait: float = 60.0


class Progress:
    """Says at intervals how much of a file is done, at which rate and for how much longer.

    Args:
        what: What is said to be done, e.g. `noise.tar: unpacked`.
        total: Bytes in all; None where it is not known.
        before: Bytes that were done before, which don't count for the rate.
    """

    SECONDS = 5.0

    def __init__(self, what: str, total: int | None, before: int = 0) -> None:
        self._what, self._total, self._before = what, total, before
        self._start = self._said = time.monotonic()

    def tell(self, done: int) -> None:
        """Note how many bytes are done."""
        now = time.monotonic()
        if now - self._said < self.SECONDS:
            return
        self._said = now
        rate = (done - self._before) / (now - self._start)
        if self._total is None:
            log.info("%s %s, %s/s", self._what, in_bytes(done), in_bytes(rate))
            return
        left = f", {(self._total - done) / rate:.0f} s left" if rate > 0 else ""
        log.info("%s %s of %s, %s/s%s", self._what, in_bytes(done), in_bytes(self._total), in_bytes(rate), left)


def in_bytes(count: float) -> str:
    """Write a number of bytes with three digits, e.g. 22.6 GB."""
    if count < 999.5:
        return f"{count:.0f} bytes"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.5:
            return f"{count:.3g} {unit}"
    return f"{count / 1000:.3g} TB"


def disk_trouble(error: OSError, where: Path, needed: str, kept: str) -> HarnessError:
    """Build the error for what can't be written: a full disk, or whatever else the system says."""
    if error.errno in _FULL:
        return HarnessError(
            f"no space left for {where} ({error.strerror}); {needed}, {kept}; free some space, and the same command "
            "goes on"
        )
    return HarnessError(f"{where} can't be written ({error.strerror}); {kept}")


def require_space(folder: Path, needed: int, what: str) -> None:
    """Check that a folder's disk has room, before anything is written.

    Raises:
        HarnessError: It has not; says how much is needed and how much there is.
    """
    usage = shutil.disk_usage(folder)
    # A file system that doesn't say how large it is counts as large enough: a full one is met when it comes.
    if usage.total and usage.free < needed:
        raise HarnessError(
            f"{what} needs about {in_bytes(needed)} in {folder}, where {in_bytes(usage.free)} are free; free some "
            "space or name another folder with --to"
        )


def download(item: Download, folder: Path, *, address: str | None = None, patience: Patience | None = None) -> Path:
    """Get a published file, or go on with one that was cut, and check it.

    Args:
        item: Which file.
        folder: Where it is put, under its name once it is whole and right. A file of that name that is there already is
            checked and not downloaded again.
        address: Where it is got from instead of where it is published: a mirror.
        patience: How long the server is borne with.

    Returns:
        The file; its size and checksum are the published ones, as far as they are published.

    Raises:
        UsageError: The address is none.
        DataMissing: The server doesn't have it, or can't be reached, or sends nothing new however often it is asked.
        DataError: What came is not what was published; it is deleted.
        HarnessError: It can't be written, or the disk is full; what came is kept.
    """
    path = folder / item.file
    transfer = _Transfer(item, address or item.address, folder, patience or Patience())
    if not path.exists():
        transfer.run()
    transfer.forget()
    check(path, item)
    return path


def check(path: Path, item: Download) -> None:
    """Compare a file with what was published of it, and delete it if it is another one.

    Raises:
        DataError: Its size or checksum is another one; names the file, what was expected and what was found.
        HarnessError: It can't be read.
    """
    try:
        wrong = compare(path, item)
        if wrong:
            path.unlink()
    except OSError as error:
        raise HarnessError(f"{path} can't be read or deleted ({error.strerror}); mend it") from error
    if wrong:
        raise DataError(f"{path} {wrong}; it is deleted: run the same command again, and it is downloaded anew")


def compare(path: Path, item: Download) -> str:
    """Say in what a file differs from the published one, as far as is published; empty for nothing.

    Raises:
        OSError: It can't be read.
    """
    size = path.stat().st_size
    if item.size is not None and size != item.size:
        return f"has {size:,} bytes, expected {item.size:,} ({item.source})"
    if not item.is_checkable:
        return ""
    found = _digest(path, item.algorithm, size)
    if not found.startswith(item.checksum):
        digits = "" if len(found) == len(item.checksum) else "..."
        return f"has {item.algorithm} {found}, expected {item.checksum}{digits} ({item.source})"
    return ""


def _digest(path: Path, algorithm: str, size: int) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    progress = Progress(f"{path.name}: checked", size)
    done = 0
    with path.open("rb") as file:
        while data := file.read(_CHUNK):
            digest.update(data)
            done += len(data)
            progress.tell(done)
    return digest.hexdigest()


@dataclass(frozen=True)
class _Version:
    """Which version of a file the bytes that are there are of.

    Attributes:
        address: Where it was asked for.
        etag: As the server named it; empty where it did not.
        modified: When it was last modified, as the server wrote it; empty where it did not.
        size: How many bytes it has in all; None where the server did not say.
    """

    address: str
    etag: str
    modified: str
    size: int | None

    @property
    def validator(self) -> str:
        """What If-Range may hold: a strong ETag or a date; empty where there is neither."""
        return self.modified if self.etag.startswith("W/") else self.etag or self.modified

    def is_contradicted_by(self, other: "_Version") -> bool:
        """Whether an answer says that it is of another version; what either leaves out says nothing."""
        pairs = ((self.etag, other.etag), (self.modified, other.modified), (self.size, other.size))
        return any(own and others and own != others for own, others in pairs)


class _Trouble(Exception):
    """An attempt that brought an answer or an end that is worth another attempt."""

    def __init__(self, what: str, wait: float | None = None) -> None:
        super().__init__(what)
        self.wait = wait


class _Transfer:
    """One file on its way, over as many connections as it takes."""

    def __init__(self, item: Download, address: str, folder: Path, patience: Patience) -> None:
        self._item, self._address, self._patience = item, address, patience
        self._path = folder / item.file
        self._part = folder / f"{item.file}.part"
        self._note = folder / f"{item.file}.part.json"
        self._ranges = True

    def run(self) -> None:
        """Get the file and give it its name."""
        import requests

        furthest, failures = self._kept(), 0
        with requests.Session() as session:
            session.headers.update(
                # Bytes as they are stored: what is counted and hashed is the file.
                {"Accept-Encoding": "identity", "User-Agent": f"robustness-claims/{harness.__version__}"}
            )
            while True:
                try:
                    self._attempt(session)
                    break
                except _Trouble as trouble:
                    if (kept := self._kept()) > furthest:
                        furthest, failures = kept, 0
                    else:
                        failures += 1
                    if failures >= self._patience.tries:
                        raise DataMissing(
                            f"{self._item.name}: {self._address} can't be downloaded: {trouble}, {failures} times in a "
                            f"row; {self._what_is_kept()} run the same command again, or name a mirror with --mirror"
                        ) from trouble
                    self._wait(failures, trouble)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self._part, self._path)
        except OSError as error:
            raise disk_trouble(error, self._path, "it is whole", "it is kept") from error

    def _wait(self, failures: int, trouble: _Trouble) -> None:
        wait = self._patience.first_wait * 2 ** (failures - 1) if failures else 0.0
        wait = min(max(wait, trouble.wait or 0.0), self._patience.longest_wait)
        again = f"trying again in {wait:.0f} s" if wait >= 1 else "trying again"
        log.warning("%s: %s; %s", self._item.file, trouble, again)
        time.sleep(wait)

    def _kept(self) -> int:
        """How many bytes are there."""
        try:
            return self._part.stat().st_size
        except OSError:
            return 0

    def _what_is_kept(self) -> str:
        kept = self._kept()
        return f"{in_bytes(kept)} are kept in {self._part}," if kept else "nothing of it is kept,"

    def _attempt(self, session: "requests.Session") -> None:
        """Ask once for what is missing and write down what comes.

        Raises:
            _Trouble: It did not come to an end; what came is kept.
        """
        import requests

        version = self._version()
        have = self._kept()
        expected = self._item.size if self._item.size is not None else version.size if version else None
        if version and have and have == expected:
            self._flush()
            return
        # Without a validator a later version can't be told from this one, but for a checksum at the end.
        resumes = bool(
            version
            and self._ranges
            and 0 < have < (expected or have + 1)
            and (version.validator or self._item.is_checkable)
        )
        asked = {}
        if resumes and version:
            asked["Range"] = f"bytes={have}-"
            if version.validator:
                asked["If-Range"] = version.validator
        try:
            response = session.get(
                self._address, headers=asked, stream=True, timeout=(self._patience.connect, self._patience.silence)
            )
        except (
            requests.exceptions.InvalidURL,
            requests.exceptions.MissingSchema,
            requests.exceptions.InvalidSchema,
        ) as error:
            raise UsageError(f"{self._address} is not an address to download from ({in_one_line(error)})") from error
        except requests.exceptions.TooManyRedirects as error:
            raise DataMissing(
                f"{self._item.name}: {self._address} redirects in a circle; name a mirror with --mirror"
            ) from error
        except requests.exceptions.RequestException as error:
            raise _Trouble(_cause(error)) from error
        with response:
            self._answered(response, version if resumes else None, have)

    def _answered(self, response: "requests.Response", version: _Version | None, have: int) -> None:
        status = response.status_code
        if status == 206 and version:
            answer, first = self._ranged(response)
            if first == have and not version.is_contradicted_by(answer):
                self._check_announced(answer.size)
                log.info("%s: goes on after %s", self._item.file, in_bytes(have))
                self._receive(response, answer.size or version.size, have)
                return
            self._ranges = False
            raise _Trouble(
                f"another range than the one from byte {have:,} was sent, or of another version; it starts over"
            )
        if status == 416 and version:
            answer, _ = self._ranged(response)
            self._ranges = False
            if answer.size == have and self._item.size in (None, have):
                self._flush()
                return
            raise _Trouble(f"there is nothing from byte {have:,} on; it starts over")
        if status == 200:
            announced = response.headers.get("Content-Length", "")
            size = int(announced) if announced.isascii() and announced.isdigit() else None
            self._check_announced(size)
            self._begin(self._answer(response, size))
            self._receive(response, size, 0)
            return
        if status >= 500 or status in _RETRIED or status == 206:
            raise _Trouble(f"HTTP status {status} {response.reason}".rstrip(), _retry_after(response.headers))
        raise DataMissing(
            f"{self._item.name}: {self._address} answers with HTTP status {status} {response.reason}; it may have "
            "moved: look for it, or name a mirror with --mirror"
        )

    def _check_announced(self, size: int | None) -> None:
        published = self._item.size
        if size is not None and published is not None and size != published:
            raise _Trouble(f"the server has {size:,} bytes, {published:,} are published")

    def _answer(self, response: "requests.Response", size: int | None) -> _Version:
        return _Version(
            self._address, response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""), size
        )

    def _ranged(self, response: "requests.Response") -> tuple[_Version, int | None]:
        """Read a Content-Range: which version it is of, and from which byte on."""
        match = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        total = match["total"] if match else "*"
        first = match["first"] if match else None
        return self._answer(response, None if total == "*" else int(total)), None if first is None else int(first)

    def _version(self) -> _Version | None:
        """Read which version the bytes that are there are of; None where that is not known."""
        try:
            version = _Version(**json.loads(self._note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return version if version.address == self._address else None

    def _begin(self, version: _Version) -> None:
        """Forget what is there and note of which version the bytes to come are."""
        if version.size is not None:
            require_space(self._part.parent, version.size - self._kept(), self._item.file)
        try:
            with self._part.open("wb"):
                pass
            replace_whole(self._note, json.dumps(asdict(version)).encode())
        except OSError as error:
            raise self._disk_trouble(error, version.size) from error
        log.info(
            "%s: downloading %sfrom %s",
            self._item.file,
            f"{in_bytes(version.size)} " if version.size else "",
            self._address,
        )

    def _receive(self, response: "requests.Response", size: int | None, have: int) -> None:
        """Write down what comes; every byte is kept as soon as it is there."""
        import urllib3

        size = self._item.size if size is None else size
        progress = Progress(f"{self._item.file}: downloaded", size, have)
        try:
            file = self._part.open("ab", buffering=0)
        except OSError as error:
            raise self._disk_trouble(error, size) from error
        with file:
            while True:
                try:
                    # What is there at once, and not a block of it: a cut must not take along what came before it.
                    data = response.raw.read1(_CHUNK, decode_content=False)
                except (urllib3.exceptions.HTTPError, OSError) as error:
                    raise _cut(have, size, error) from error
                if not data:
                    break
                if size is not None and have + len(data) > size:
                    self.forget()
                    raise _Trouble(f"more came than the {size:,} bytes that it has")
                have += self._write(file, data, size)
                progress.tell(have)
        if size is not None and have < size:
            raise _cut(have, size)
        self._flush()

    def _write(self, file: Any, data: bytes, size: int | None) -> int:
        try:
            left = memoryview(data)
            while left:
                left = left[file.write(left) :]
        except OSError as error:
            raise self._disk_trouble(error, size) from error
        return len(data)

    def _flush(self) -> None:
        """See that the bytes are on the disk before the file gets its name."""
        try:
            with self._part.open("rb") as file:
                os.fsync(file.fileno())
        except OSError as error:
            raise self._disk_trouble(error, self._item.size) from error

    def forget(self) -> None:
        """Delete what is on its way, and what is known of it."""
        for path in (self._part, self._note):
            with suppress(OSError):
                path.unlink()

    def _disk_trouble(self, error: OSError, size: int | None) -> HarnessError:
        kept = self._kept()
        needed = f"{in_bytes(size - kept)} more are needed" if size is not None else "more is needed"
        return disk_trouble(error, self._part, needed, f"{in_bytes(kept)} of it are kept")


def _cut(have: int, size: int | None, error: Exception | None = None) -> _Trouble:
    of = f" of {in_bytes(size)}" if size is not None else ""
    cause = _cause(error) if error else ""
    why = f" ({cause})" if cause and not cause.startswith("IncompleteRead") else ""
    return _Trouble(f"the connection was cut after {in_bytes(have)}{of}{why}")


def _cause(error: BaseException) -> str:
    """Say what ended a connection, without the layers that it came through."""
    while (inner := error.__cause__ or error.__context__ or _reason(error)) is not None:
        error = inner
    return in_one_line(error) if isinstance(error, Exception) else type(error).__name__


def _reason(error: BaseException) -> BaseException | None:
    reason = getattr(error, "reason", None)
    return reason if isinstance(reason, BaseException) else None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read for how many seconds a server asks to be left alone; None where it does not ask."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    with suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    return None
