"""A web server on this machine that serves bytes from memory, and answers wrongly where it is told to."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

_PIECE = 1 << 14


@dataclass(frozen=True)
class Answer:
    """How one request is answered; as it stands, rightly.

    Attributes:
        status: An HTTP status to answer with, and no body; 0 to serve the file.
        headers: Further headers.
        cut: After how many bytes of the body the connection is closed; None for after all.
        ranges: What becomes of a request for a range: `answered`, `ignored` (the whole file, status 200), `shifted`
            (another range, and says so), `unnamed` (the range, without a Content-Range), `refused` (status 416).
        checks_version: Whether If-Range is looked at, as it should be.
        etag: What the version is called; None for no ETag.
        modified: When it was last modified, as a header has it; None for none.
        body: Other bytes than the file's.
        announced: The Content-Length to announce instead of the true one; None for the true one.
        chunked: Whether the body comes in chunks and no length is announced.
        pause: Seconds to wait after each piece of the body.
        piece: Bytes of a piece.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    ranges: str = "answered"
    checks_version: bool = True
    etag: str | None = '"one"'
    modified: str | None = None
    body: bytes | None = None
    announced: int | None = None
    chunked: bool = False
    pause: float = 0.0
    piece: int = _PIECE


HONEST = Answer()


@dataclass(frozen=True)
class Asked:
    """A request that came.

    Attributes:
        path: What for.
        first: The first byte of the range that it was for; None if it was for the whole file.
        if_range: Its If-Range; empty for none.
        status: What it was answered with.
    """

    path: str
    first: int | None
    if_range: str
    status: int


class FaultyServer:
    """Serves files by path, from memory; use it in a `with`.

    Args:
        files: By path, e.g. `/noise.tar`.
        answers: How the first requests are answered, one after the other, whatever they are for.
        then: How all further ones are.

    Attributes:
        asked: The requests that came, in order.
        answers: What is left of them; more may be added at any time.
    """

    def __init__(self, files: Mapping[str, bytes], *answers: Answer, then: Answer = HONEST) -> None:
        self.files = dict(files)
        self.answers = list(answers)
        self.then = then
        self.asked: list[Asked] = []
        self._stopping = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self) -> "FaultyServer":
        server = self

        class Handler(_Handler):
            faulty = server

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        """Where it is, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def next_answer(self) -> Answer:
        """Take the answer for the next request."""
        with self._lock:
            return self.answers.pop(0) if self.answers else self.then

    def pause(self, seconds: float) -> None:
        """Wait, unless the server stops."""
        self._stopping.wait(seconds)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    faulty: FaultyServer

    def do_GET(self) -> None:
        answer = self.faulty.next_answer()
        data = self.faulty.files.get(self.path) if answer.body is None else answer.body
        asked = self.headers.get("Range", "")
        first = int(asked.removeprefix("bytes=").rstrip("-")) if asked else None
        status, start = 200, 0
        if answer.status:
            status = answer.status
        elif data is None:
            status = 404
        elif first is not None and answer.ranges != "ignored" and self._is_of(answer):
            refused = answer.ranges == "refused" or first >= len(data)
            status, start = (416, 0) if refused else (206, first)
        self.faulty.asked.append(Asked(self.path, first, self.headers.get("If-Range", ""), status))
        self.send_response(status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if status in (200, 206):
            self._send(answer, data or b"", status, start)
            return
        if status == 416:
            self.send_header("Content-Range", f"bytes */{len(data or b'')}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _is_of(self, answer: Answer) -> bool:
        wanted = self.headers.get("If-Range")
        return not wanted or not answer.checks_version or wanted in (answer.etag, answer.modified)

    def _send(self, answer: Answer, data: bytes, status: int, start: int) -> None:
        if status == 206 and answer.ranges == "shifted":
            start //= 2
        body = data[start:]
        if status == 206 and answer.ranges != "unnamed":
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if answer.etag is not None:
            self.send_header("ETag", answer.etag)
        if answer.modified is not None:
            self.send_header("Last-Modified", answer.modified)
        if answer.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(body) if answer.announced is None else answer.announced))
        self.end_headers()
        stop = len(body) if answer.cut is None else min(answer.cut, len(body))
        try:
            for place in range(0, stop, answer.piece):
                self._write(body[place : min(place + answer.piece, stop)], chunked=answer.chunked)
                if answer.pause:
                    self.faulty.pause(answer.pause)
            if answer.chunked and stop == len(body):
                self.wfile.write(b"0\r\n\r\n")
        except OSError:
            pass
        self.close_connection = True

    def _write(self, piece: bytes, *, chunked: bool) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def wait_until(condition: Any, seconds: float = 10.0) -> None:
    """Wait for something to become true.

    Raises:
        TimeoutError: It did not.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.005)
