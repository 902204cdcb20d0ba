"""The options' values, checked: shared by pytest and the command line."""

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.benchmarks.catalog import DataRoots, parse_placement
from harness.classifiers.spec import Spec, parse_spec, split_specs
from harness.engines.engine import Engine
from harness.engines.gpus import count_gpus, lease_gpu
from harness.engines.local import Local
from harness.engines.settings import Settings, Shard, default_workers
from harness.errors import DataError, UsageError, unknown
from harness.protocols.attacks import NAMES, READINGS, SURROGATE, Attack, ladder_up_to, named_attack
from harness.protocols.maximizing import Maximize
from harness.protocols.needs import Need
from harness.protocols.precision import PRECISIONS
from harness.report import document
from harness.studies.drawing import Drawing
from harness.studies.laboratory import NORMALISER
from harness.studies.live import Attacks
from harness.studies.study import BASELINE, WSL
from harness.suite.flags import ATTACKING, CANDIDATE, DATA, DECIDING, MEASURING, REFERENCES, Option

DEVICES = ("auto", "cpu", "cuda")
ENGINES = ("local", "ray")
MARGIN = 0.005


@dataclass(frozen=True)
class Request:
    """What a user asked for, checked.

    Attributes:
        roots: Where benchmarks lie.
        records: Where records are kept.
        settings: How to measure; the device may still be `auto`, see `on_device`.
        alpha: Level of intervals.
        normaliser: Spec of the classifier whose records of the same images mCE and mFR are divided by, on a subset.
    """

    roots: DataRoots
    records: Path
    settings: Settings
    alpha: float
    normaliser: str


def read_request(get: Callable[[Option], Any], *, measure: bool = True) -> Request:
    """Check the measuring options.

    Args:
        get: Gives an option's value as typed, its default where nobody said otherwise.
        measure: False to judge from the store alone.

    Raises:
        UsageError: A value is not understood; says which option and what it takes.
    """
    values = {option.dest: get(option) for option in MEASURING}
    if not values["records"]:
        raise UsageError("--records is empty; name a folder or leave it out")
    images = values["images"]
    return Request(
        roots=read_roots(get),
        records=Path(values["records"]).expanduser(),
        settings=Settings(
            device=read_device(values["device"]),
            precision=_one_of("--precision", values["precision"], PRECISIONS),
            batch_size=None if values["batch_size"] == "auto" else _whole("--batch-size", values["batch_size"], 1),
            workers=default_workers(),
            seed=read_seed(values["seed"]),
            images=None if images is None else _whole("--images", images, 1),
            measure=measure,
            engine=_engine(values["engine"], values["ray_address"], measure=measure),
        ),
        alpha=_alpha(values["alpha"]),
        normaliser=parse_spec(values["normaliser"] or NORMALISER).text,
    )


def read_roots(get: Callable[[Option], Any]) -> DataRoots:
    """Read --data-root and --data.

    Raises:
        UsageError: A placement is not understood, or a benchmark is placed twice.
    """
    values = {option.dest: get(option) for option in DATA}
    root = values["data_root"]
    placements = [parse_placement(text) for text in values["data"] or ()]
    names = [placement.name for placement in placements]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"--data places {name} twice; give it one folder")
    return DataRoots(
        Path(root).expanduser() if root else None,
        {name: folder for name, folder, is_generated in placements if not is_generated},
        {name: folder for name, folder, is_generated in placements if is_generated},
    )


def read_classifiers(texts: Sequence[str] | None, baseline: str | None) -> tuple[Spec, tuple[Spec, ...]]:
    """Read --baseline and --classifiers; the paper's baseline and its WSL models where none are named.

    Raises:
        UsageError: A spec is not understood, or is named twice.
    """
    base = parse_spec(baseline or BASELINE)
    subjects = [parse_spec(text) for texts_ in texts or [",".join(WSL)] for text in split_specs(texts_)]
    subjects = [subject for subject in subjects if subject.text != base.text]
    for place, subject in enumerate(subjects):
        if subject in subjects[:place]:
            raise UsageError(f"--classifiers names {subject.text} twice")
    if not subjects:
        raise UsageError("--classifiers names no classifier beside the baseline")
    return base, tuple(subjects)


@dataclass(frozen=True)
class Candidate:
    """A classifier that is asked all that can be asked of one.

    Attributes:
        spec: Which classifier.
        like: Whose recorded figures its own must come near; empty for nobody's.
        against: Which classifier it must not be worse than; None for none.
        margin: By how much it may be worse, in each metric's own unit.
        xfails: The file that names the claims which it is expected to fail; None for none.
    """

    spec: Spec
    like: str = ""
    against: Spec | None = None
    margin: float = MARGIN
    xfails: Path | None = None


def read_candidate(get: Callable[[Option], Any], baseline: str | None) -> Candidate | None:
    """Check --candidate and what goes with it; None where there is no candidate.

    Args:
        get: Gives an option's value as typed, None where nobody said anything.
        baseline: --baseline, as typed.

    Raises:
        UsageError: A value is not understood, goes with nothing, or the candidate would be compared with itself.
    """
    values = {option.dest: get(option) for option in CANDIDATE}
    if empty := [option.flag for option in CANDIDATE if values[option.dest] == ""]:
        raise UsageError(f"{empty[0]} is given nothing; say which, or leave it")
    if values["candidate"] is None:
        for option in CANDIDATE:
            if values[option.dest] is not None:
                raise UsageError(f"{option.flag} goes with --candidate SPEC; add that, or leave it out")
        return None
    if values["margin"] is not None and values["against"] is None:
        raise UsageError("--margin goes with --against SPEC; add that, or leave it out")
    spec = _one_spec("--candidate", values["candidate"])
    against = None if values["against"] is None else _one_spec("--against", values["against"])
    for flag, other in (("--against", against), ("--baseline", parse_spec(baseline) if baseline else None)):
        if other == spec:
            raise UsageError(f"{flag} names the candidate itself; name another classifier, or leave it out")
    margin = MARGIN if values["margin"] is None else _margin(values["margin"])
    xfails = Path(values["xfails"]).expanduser() if values["xfails"] else None
    return Candidate(spec, values["expect_like"] or "", against, margin, xfails)


def _one_spec(flag: str, text: str) -> Spec:
    """Read the spec of an option that names one classifier; a file's name may hold a comma, so a list is told apart."""
    parts = split_specs(text)
    try:
        listed = [parse_spec(part) for part in parts]
    except UsageError:
        listed = []
    if len(listed) > 1:
        raise UsageError(f"{flag} names one classifier, and {text!r} names {len(listed)}; run pytest once for each")
    return parse_spec(text)


def read_attacks(get: Callable[[Option], Any]) -> Attacks:
    """Check the options that every attack shares.

    Raises:
        UsageError: The surrogate's spec is not understood, or the number of restarts is not one.
    """
    values = {option.dest: get(option) for option in MEASURING}
    restarts = 0 if values["restarts"] is None else _whole("--restarts", values["restarts"], 1)
    return Attacks(parse_spec(values["surrogate"] or SURROGATE).text, restarts)


def read_drawing(get: Callable[[Option], Any], settings: Settings) -> Drawing | None:
    """Check the options that say whether images are drawn until claims are decided, and for how long.

    Raises:
        UsageError: The budget is no number of seconds, or goes with nothing.
    """
    values = {option.dest: get(option) for option in DECIDING}
    budget = values["budget"]
    if not values["decide"]:
        if budget is not None:
            raise UsageError("--budget bounds --decide; add that, or leave it out")
        return None
    seconds = None if budget is None else _seconds("--budget", budget)
    return Drawing(settings.images, seconds if settings.measure else 0.0)


def read_references(get: Callable[[Option], Any]) -> Path:
    """Check --references.

    Raises:
        UsageError: It is empty.
    """
    if not (folder := get(REFERENCES)):
        raise UsageError("--references is empty; name a folder or leave it out")
    return Path(folder).expanduser()


def read_need(get: Callable[[Option], Any], benchmark: str) -> Need:
    """Check the options that say what is asked: to classify a benchmark's images, under attack, or to maximize units.

    Raises:
        UsageError: A value is not understood, does not go with the protocol, or the benchmark is not attacked.
    """
    values = {option.dest: get(option) for option in (*ATTACKING, *MEASURING)}
    name = _one_of("--protocol", values["protocol"], ("classify", *NAMES, Maximize.name))
    _refuse_foreign(name, values)
    if name == "classify":
        return benchmark
    if benchmark != Attack.benchmark:
        raise UsageError(f"--protocol {name} is for {Attack.benchmark}, not for {benchmark}")
    given: dict[str, Any] = {}
    if values["step_size"] is not None:
        given["step_size"] = _size("--step-size", values["step_size"])
    if name == Maximize.name:
        if values["steps"] is not None:
            given["steps"] = _whole("--steps", values["steps"], 1)
        units = tuple(_whole("--units", part.strip(), 0) for part in (values["units"] or "").split(",") if part)
        seeds = tuple(part.strip() for part in (values["seed_images"] or "").split(",") if part)
        return Maximize(units=units, seeds=seeds, **given)
    if values["steps"] is not None:
        given["ladder"] = _ladder(values["steps"])
    shared = read_attacks(get)
    return named_attack(
        name,
        surrogate=shared.surrogate,
        eps=_size("--eps", values["eps"]),
        restarts=shared.restarts,
        reading=_one_of("--eps-reading", values["eps_reading"], READINGS),
        follow=bool(values["follow"]),
        **given,
    )


# The options that only some protocols take: those whose names begin so.
_TAKEN_BY = {
    **dict.fromkeys(("step_size", "steps"), ("pgd", "transfer", "maximize")),
    **dict.fromkeys(("eps", "eps_reading", "follow", "restarts"), ("pgd", "transfer")),
    **dict.fromkeys(("units", "seed_images", "grid"), ("maximize",)),
}


def _refuse_foreign(protocol: str, values: Mapping[str, Any]) -> None:
    """Refuse options that the protocol would pass over."""
    for option in (*ATTACKING, *MEASURING):
        takers = _TAKEN_BY.get(option.dest)
        is_given = values[option.dest] not in (option.default, False)
        if takers and is_given and not protocol.startswith(takers):
            known = [name for name in (*NAMES, Maximize.name) if name.startswith(takers)]
            raise UsageError(f"{option.flag} does not go with --protocol {protocol}; it is for {', '.join(known)}")


def _size(flag: str, text: str) -> float:
    """Read a size in pixels' units, as a number or a fraction such as 8/255."""
    number, slash, divisor = text.partition("/")
    try:
        size = float(number) / float(divisor if slash else 1)
    except (ValueError, ZeroDivisionError):
        raise UsageError(f"{flag} {text!r} is not a number, e.g. 0.06 or 8/255") from None
    if not 0 < size <= 1:
        raise UsageError(f"{flag} {text} is not in (0, 1]; pixels are, so 8 of 255 levels are 8/255")
    return size


def _margin(text: str) -> float:
    try:
        margin = float(text)
    except ValueError:
        margin = -1.0
    if not 0 <= margin < 1:
        raise UsageError(f"--margin {text!r} is not a number in [0, 1), e.g. 0.005 for half a point")
    return margin


def _ladder(text: str) -> tuple[int, ...]:
    steps = tuple(_whole("--steps", part.strip(), 1) for part in text.split(","))
    return ladder_up_to(*steps) if len(steps) == 1 else steps


def _engine(name: str, address: str | None, *, measure: bool) -> Engine:
    """Give what computes; what only judges computes nothing.

    Raises:
        UsageError: It is unknown or not installed, or an address is none or goes with nothing.
    """
    _one_of("--engine", name, ENGINES)
    if name == "local":
        if address is not None:
            raise UsageError("--ray-address goes with --engine ray; add that, or leave it out")
        return Local()
    from harness.engines.cluster import Cluster

    if address not in (None, "auto") and not re.fullmatch(r"[^/\s]+:\d+", address):
        raise UsageError(
            f"--ray-address {address!r} is not HOST:PORT, as ray start --head prints it, or auto for the cluster of "
            "this machine"
        )
    cluster = Cluster(address)
    return cluster if measure else Local()


def read_shard(text: str | None) -> Shard | None:
    """Check --shard.

    Raises:
        UsageError: It names no share.
    """
    if text is None:
        return None
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise UsageError(f"--shard {text!r} is not I/N with I from 1 to N, e.g. 1/4 for the first of four shares")
    return Shard(int(number), int(count))


def on_device(settings: Settings) -> Settings:
    """Turn the device `auto` into one that is there.

    Raises:
        UsageError: A GPU was asked for that is not there, or the cluster is not.
    """
    return replace(settings, device=settings.engine.device(settings.device))


def on_leased_device(settings: Settings) -> Settings:
    """Turn the device into the one that this process is to compute on: of several GPUs one that no other process has.

    Raises:
        UsageError: A GPU was asked for that is not there, or the cluster is not.
    """
    settings = on_device(settings)
    is_leased = settings.engine.is_local and settings.device == "cuda" and count_gpus() > 1
    return replace(settings, device=lease_gpu()) if is_leased else settings


def check_writable(flag: str, folder: Path) -> None:
    """Make a folder to write into, before anything dear is done.

    Raises:
        UsageError: It can't be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError as error:
        raise UsageError(f"{flag} {folder}: can't be made ({error.strerror}); name another folder") from error
    if not writable:
        raise UsageError(f"{flag} {folder}: can't be written; name another folder")


def read_earlier(folder: str) -> document.Document:
    """Read an earlier report to compare with, before anything dear is done.

    Raises:
        UsageError: It holds none that can be read.
    """
    try:
        return document.read(Path(folder))
    except DataError as error:
        raise UsageError(f"--compare {folder}: {error}") from None


def read_device(text: str) -> str:
    """Check --device.

    Raises:
        UsageError: It names no device.
    """
    if text.startswith("cuda:") and text[5:].isdigit():
        return text
    return _one_of("--device", text, DEVICES)


def read_seed(text: str, flag: str = "--seed") -> int:
    """Check --seed, or another option that is one.

    Raises:
        UsageError: It is no whole number in 0..2**32-1.
    """
    return _whole(flag, text, 0, 2**32 - 1)


def _one_of(flag: str, text: str, known: Sequence[str]) -> str:
    if text not in known:
        raise unknown(f"value of {flag}", text, known)
    return text


def _whole(flag: str, text: str, least: int, most: int | None = None) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least or (most is not None and number > most):
        above = f" and at most {most}" if most is not None else ""
        raise UsageError(f"{flag} {text!r} is not a whole number of at least {least}{above}")
    return number


def _seconds(flag: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise UsageError(f"{flag} {text!r} is not a number of seconds above 0, e.g. 600")
    return seconds


def _alpha(text: str) -> float:
    try:
        alpha = float(text)
    except ValueError:
        alpha = 0.0
    if not 0 < alpha < 0.5:
        raise UsageError(f"--alpha {text!r} is not a number between 0 and 0.5, e.g. 1e-3")
    return alpha
