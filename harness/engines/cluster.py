"""Computes on a Ray cluster: chunk by chunk, on actors that hold one classifier on one device each.

This process alone opens the store. An actor that dies, or whose node does, is replaced, and what it was at is dealt out
again. Ray is imported only when it is asked for.
"""

import atexit
import importlib
import importlib.util
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.engines.engine import Keeper, Load, Work
from harness.engines.seat import Job, Reply, Seat
from harness.engines.settings import count_cores
from harness.errors import (
    CheckpointError,
    ComputingLost,
    DataError,
    DataMissing,
    DecoderLost,
    HarnessError,
    UsageError,
    in_one_line,
)
from harness.progress import Progress
from harness.stopping import KEPT

log = logging.getLogger(__name__)

# Deaths of what computes a chunk, and of actors that start, after which there is no sense in another try.
MOST_DEATHS = 3
# Seconds after which a cluster that starts no actor is given up.
STARVED = 120.0
# Seconds for which what the cluster has is taken for known.
_KNOWN_FOR = 2.0
# Of a cluster of our own: enough for the description of a benchmark and for chunks on their way.
_OBJECT_STORE = 256 * 2**20
_TOKENS = (
    "a cluster with a token wants RAY_AUTH_MODE=token and the same RAY_AUTH_TOKEN in the environment of this command "
    "and of every ray start"
)


@dataclass(eq=False)
class Place:
    """An actor as this process sees it.

    Attributes:
        actor: Its handle.
        starting: What will tell that it has started; None once it has.
        parts: By what will hold the answer, the chunks that it is at.
        is_lost: Whether it died.
    """

    actor: Any
    starting: Future[Reply] | None
    parts: dict[Future[Reply], NDArray[np.int64]] = field(default_factory=dict)
    is_lost: bool = False

    @property
    def is_idle(self) -> bool:
        """Whether it has started and has nothing to do."""
        return not (self.is_lost or self.starting or self.parts)


@dataclass(frozen=True)
class _Lost:
    """An answer that will not come, and why."""

    cause: str


@dataclass(frozen=True)
class _Share:
    """What each actor gets of its node.

    Attributes:
        places: For how many actors the cluster has room.
        cores: Of each.
        gpus: Of each.
    """

    places: int
    cores: int
    gpus: int

    @property
    def at_once(self) -> int:
        """How many chunks an actor is given: where a GPU computes one, cores decode the next."""
        return 2 if self.gpus else 1

    @property
    def workers(self) -> int:
        """Decoding processes of each chunk; none beside an actor that computes on its core."""
        return max(1, min(16, self.cores) // self.at_once) if self.gpus else 0


class Cluster:
    """The engine that is a Ray cluster: one of its own on this machine, or one that runs already.

    Args:
        address: `HOST:PORT` of a cluster, `auto` for the one that this machine is a node of; None to start one here.

    Raises:
        UsageError: Ray is not installed.
    """

    is_local = False

    def __init__(self, address: str | None = None) -> None:
        if importlib.util.find_spec("ray") is None:
            raise UsageError("--engine ray needs Ray, which is not installed: pip install -e '.[cluster]'")
        self._address = address
        self._ray: Any = None
        self._failure: UsageError | None = None
        self._folder: Path | None = None
        self.places: list[Place] = []
        self._device = ""
        self._known: tuple[float, list[dict[str, float]]] = (0.0, [])
        self._numbers = count()

    def connect(self) -> None:
        """Join the cluster, or start one; once.

        Raises:
            UsageError: It can't be joined.
        """
        if self._failure:
            raise self._failure
        if self._ray:
            return
        # The second keeps Ray from telling of each death on the standard output, where commands print their answers.
        for name, value in (("RAY_USAGE_STATS_ENABLED", "0"), ("RAY_DEDUP_LOGS_SKIP_REGEX", ".")):
            os.environ.setdefault(name, value)
        ray: Any = importlib.import_module("ray")
        quiet = {"logging_level": logging.CRITICAL, "log_to_driver": False}
        try:
            with _signals_kept():
                if self._address is None:
                    ray.init(address="local", **quiet, **self._own())
                else:
                    _require_answer(self._address)
                    ray.init(address=self._address, **quiet)
        except UsageError as error:
            self._failure = error
            raise
        except Exception as error:  # of whatever kind Ray's are
            where = "a cluster on this machine" if self._address is None else f"--ray-address {self._address}"
            why = f"{where} can't be {'started' if self._address is None else 'joined'} ({in_one_line(error)})"
            ray.shutdown()
            self._remove_folder()
            self._failure = UsageError(f"{why}; {_TOKENS}; see docs/cluster.md")
            raise self._failure from error
        self._ray = ray
        atexit.register(self.close)

    def _own(self) -> dict[str, Any]:
        """Say what a cluster of our own is like: closed to others, and leaving nothing behind."""
        if "RAY_AUTH_MODE" not in os.environ:  # then Ray wants a token, and writes one into the home folder
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        # The paths of sockets below it may have no more than 107 characters.
        self._folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp" if os.access("/tmp", os.W_OK) else None))
        return {
            "include_dashboard": False,
            "num_cpus": count_cores(),
            "object_store_memory": _OBJECT_STORE,
            "_temp_dir": str(self._folder),
        }

    def device(self, asked: str) -> str:
        """Turn `auto` into `cuda` where the cluster has GPUs and `cpu` elsewhere.

        Raises:
            UsageError: A GPU is asked for and it has none, or a certain one, or it can't be joined.
        """
        if asked.startswith("cuda:"):
            raise UsageError(f"--device {asked}: with --engine ray each actor has a GPU of its own; use cuda")
        self.connect()
        if asked == "cpu":
            return asked
        has_gpus = any(int(node.get("GPU", 0)) for node in self._nodes())
        if asked == "cuda" and not has_gpus:
            raise UsageError("--device cuda: the Ray cluster has no GPU; use cpu or leave it out")
        return "cuda" if has_gpus else "cpu"

    def own_device(self, device: str) -> str:
        """Leave the GPUs to the actors."""
        return "cpu"

    def compute(self, work: Work, positions: NDArray[np.int64], load: Load, keeper: Keeper) -> None:
        """Answer a work for positions, each chunk as a whole and in whatever order they are done.

        Raises:
            ComputingLost: What computes a chunk dies again and again, or nothing can be started.
            HarnessError: Whatever the work raises; the chunks that were begun are ended and kept first.
        """
        from harness.classifiers.loading import identity

        self.connect()
        parts = np.split(positions, np.flatnonzero(np.diff(positions // work.chunk)) + 1)
        if work.device != self._device:
            self._dismiss_all()  # who holds the GPUs' cores, or has none
            self._device = work.device
        try:
            self.staff(len(parts))  # they start while classifiers are looked at here
            identities = {spec.text: identity(spec, load) for spec in work.specs}
            _Pass(self, Job(next(self._numbers), work.packed(), identities), parts, keeper).run()
        except HarnessError:
            raise
        except BaseException:  # Ctrl-C too: what they are at is of no more use
            self._dismiss_all()
            raise

    def close(self) -> None:
        """End the actors, leave the cluster, and end it if it is our own."""
        if self._ray:
            ray, self._ray = self._ray, None
            self.places.clear()
            ray.shutdown()
            atexit.unregister(self.close)
            self._remove_folder()

    def _remove_folder(self) -> None:
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    # What follows is for the pass alone.

    def put(self, thing: object) -> Any:
        """Put something where all actors can fetch it."""
        return self._ray.put(thing)

    def share(self) -> _Share:
        """Say for how many actors there is room, and what each gets."""
        nodes = self._nodes()
        if self._device != "cpu":
            cores = [int(node.get("CPU", 0) // node["GPU"]) for node in nodes if node.get("GPU", 0) >= 1]
            return _Share(sum(int(node.get("GPU", 0)) for node in nodes), min(cores, default=0), 1)
        asked = os.environ.get("OMP_NUM_THREADS", "")
        most = max((int(node.get("CPU", 0)) for node in nodes), default=1)
        cores_each = max(1, min(int(asked) if asked.isdigit() else 1, most))
        return _Share(sum(int(node.get("CPU", 0) // cores_each) for node in nodes), cores_each, 0)

    def _nodes(self) -> list[dict[str, float]]:
        """List what each node that is alive has."""
        now = time.monotonic()
        if now - self._known[0] > _KNOWN_FOR or not self._known[1]:
            self._known = now, [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        return self._known[1]

    @property
    def is_spread(self) -> bool:
        """Whether there is more than one node."""
        return len(self._nodes()) > 1

    def staff(self, parts: int) -> list[Place]:
        """Start actors until there is one for each part, or no more room; give those that live."""
        self.places = [place for place in self.places if not place.is_lost or place.parts]
        living = [place for place in self.places if not place.is_lost]
        share = self.share()
        for _ in range(min(share.places, parts) - len(living)):
            actor = (
                self._ray.remote(Seat)
                .options(num_cpus=share.cores, num_gpus=share.gpus, max_concurrency=share.at_once)
                .remote(os.getcwd(), [each for each in sys.path if each], max(1, share.cores), share.workers)
            )
            living.append(Place(actor, actor.ready.remote().future()))
            self.places.append(living[-1])
        return living

    def come(self) -> tuple[Place, Future[Reply]] | None:
        """Wait for a sign of an actor, a second at most; gives which it is of, and what holds it.

        Not by Ray's own functions, in which a signal is a KeyboardInterrupt that does not say which.
        """
        waited = {place.starting: place for place in self.places if place.starting}
        waited |= {sign: place for place in self.places for sign in place.parts}
        if not waited:
            time.sleep(0.2)
            return None
        ready, _ = wait(waited, timeout=1.0, return_when=FIRST_COMPLETED)
        return next(((waited[sign], sign) for sign in ready), None)

    def fetch(self, place: Place, sign: Future[Reply]) -> Reply | _Lost:
        """Fetch what an actor said.

        Of an actor that is lost the idle ones are let go too: they may be of the same node, and not know it.
        """
        errors = self._ray.exceptions
        try:
            return sign.result()
        except errors.RayTaskError:
            raise
        except errors.RayError as error:
            self._dismiss([place, *(each for each in self.places if each.is_idle)])
            self._known = (0.0, [])
            return _Lost(_cause(error))

    def _dismiss_all(self) -> None:
        self._dismiss(self.places)
        self.places.clear()

    def _dismiss(self, places: Sequence[Place]) -> None:
        for place in places:
            place.is_lost, place.starting = True, None
            with suppress(Exception):
                self._ray.kill(place.actor, no_restart=True)


class _Pass:
    """One work on its way through a cluster.

    Args:
        cluster: Which.
        job: The work.
        parts: The positions that it is asked for, chunk by chunk.
        keeper: Keeps the answers.
    """

    def __init__(self, cluster: Cluster, job: Job, parts: Sequence[NDArray[np.int64]], keeper: Keeper) -> None:
        self._cluster = cluster
        self._job = job
        self._keeper = keeper
        self._chunk = job.work.chunk
        self._queue = deque(parts)
        self._held = [cluster.put(job)]
        self._deaths: Counter[int] = Counter()
        self._failed_starts = 0
        self._errors: dict[int, HarnessError] = {}
        self._done = 0
        self._progress = Progress(job.work.title, sum(map(len, parts)), job.work.unit)
        self._said: set[str] = set()

    def run(self) -> None:
        """Deal out chunks until all are done, or one can't be.

        Raises:
            HarnessError: Of the first chunk that has one; the others that were begun are done and kept.
        """
        last_sign = time.monotonic()
        self._keeper.start()
        with self._progress:
            while True:
                places = self._cluster.staff(len(self._queue) + self._running)
                self._deal(places)
                if not (self._queue or self._running):
                    break
                sign = self._cluster.come()
                if sign or self._running:
                    last_sign = time.monotonic()
                elif time.monotonic() - last_sign > STARVED:
                    raise ComputingLost(
                        f"{self._job.work.title}: the Ray cluster started no actor for {STARVED:.0f} s; see by ray "
                        f"status whether it has free CPUs or GPUs; {KEPT}"
                    )
                if sign:
                    self._take(*sign)
        if self._errors:
            raise self._errors[min(self._errors)]

    @property
    def _running(self) -> int:
        return sum(len(place.parts) for place in self._cluster.places)

    def _deal(self, places: Sequence[Place]) -> None:
        """Give each actor that has started as many chunks as it takes; one to each first."""
        for full in range(1, self._cluster.share().at_once + 1):
            for place in places:
                if self._queue and not place.starting and not place.is_lost and len(place.parts) < full:
                    part = self._queue.popleft()
                    place.parts[place.actor.answer.remote(self._job.number, self._held, part).future()] = part

    def _take(self, place: Place, sign: Future[Reply]) -> None:
        said = self._cluster.fetch(place, sign)
        if sign not in place.parts:
            self._note_start(place, said)
            return
        part = place.parts.pop(sign)
        if isinstance(said, _Lost):
            self._note_death(part, said.cause)
        elif isinstance(said.error, DecoderLost):
            self._note_death(part, str(said.error))
        else:
            self._note_answer(part, said)

    def _note_start(self, place: Place, said: Reply | _Lost) -> None:
        place.starting = None
        if not isinstance(said, _Lost):
            self._failed_starts = 0
            return
        self._failed_starts += 1
        if self._failed_starts >= MOST_DEATHS:
            raise ComputingLost(
                f"{self._job.work.title}: {MOST_DEATHS} actors of the Ray cluster died as they started, the last by: "
                f"{said.cause}; see that every node has the same Python and packages; {KEPT}"
            )

    def _note_answer(self, part: NDArray[np.int64], reply: Reply) -> None:
        for text in reply.warnings:
            if text not in self._said:
                self._said.add(text)
                log.warning("%s", text)
        if reply.error:
            self._errors[int(part[0])] = self._placed(reply.error, reply.node)
            self._queue.clear()
            return
        self._deal(self._cluster.places)
        self._keeper.add(reply.answer)
        self._keeper.flush()
        self._done += len(part)
        self._progress.tell(self._done)

    def _placed(self, error: HarnessError, node: str) -> HarnessError:
        """Say of files that are missing or wrong on which machine they are so, where there are several."""
        if not (self._cluster.is_spread and isinstance(error, (DataError, DataMissing, CheckpointError))):
            return error
        return type(error)(f"{error} (on {node}: each node needs the same files at the same paths)")

    def _note_death(self, part: NDArray[np.int64], cause: str) -> None:
        chunk = int(part[0]) // self._chunk
        self._deaths[chunk] += 1
        if self._deaths[chunk] < MOST_DEATHS:
            log.info("%s: chunk %d is computed again (%s)", self._job.work.title, chunk, cause)
            if not self._errors:
                self._queue.appendleft(part)
            return
        self._errors[int(part[0])] = ComputingLost(
            f"{self._job.work.title}: what computed chunk {chunk} died {MOST_DEATHS} times, the last time by: {cause}; "
            f"{KEPT}"
        )
        self._queue.clear()


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Undo that Ray takes SIGTERM over."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _require_answer(address: str) -> None:
    """See that something listens where a cluster should: Ray itself tries for a minute.

    Raises:
        UsageError: Nothing does.
    """
    host, colon, port = address.rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except OSError as error:
        raise UsageError(
            f"--ray-address {address}: nothing answers there ({error.strerror or error}); start the cluster with ray "
            "start --head, see docs/cluster.md"
        ) from error


def _cause(error: Exception) -> str:
    """Say in one line why an actor died: Ray's reasons are the last lines of paragraphs, guesses after them."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = re.sub(r"\s+", " ", lines[-1]).partition(" Some common causes include")[0] if lines else ""
    return reason.rstrip(".") or type(error).__name__
