"""`python -m harness`: the engine of the suite for people who want a number and not a verdict.

Exit codes: 0 done, 1 data or a classifier is bad or missing, 2 usage.
"""

import argparse
import json
import logging
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from harness import data_cli, records_cli, references, report_cli, verdicts_cli
from harness.benchmarks.catalog import BENCHMARKS, find_benchmark, open_benchmark
from harness.benchmarks.classes import CLASSES
from harness.classifiers.spec import Spec, parse_spec
from harness.diagnosis import FEWEST_IMAGES, Diagnosis, is_at_chance
from harness.errors import DataError, DataMissing, HarnessError, NotMeasured, TooFewImages, UsageError, unknown
from harness.protocols.maximizing import Maximize
from harness.protocols.needs import Need, benchmark_of
from harness.records.store import RecordStore
from harness.scores import Score, main_score, scores_of
from harness.studies.laboratory import Laboratory
from harness.studies.quantities import Quantity
from harness.suite.flags import ATTACKING, DECIDING, DIAGNOSING, MEASURING, RECORDING, Option, value_of
from harness.suite.options import (
    Request,
    on_device,
    read_attacks,
    read_drawing,
    read_need,
    read_references,
    read_request,
)
from harness.suite.summary import versions
from harness.verdicts.estimates import Estimate, Fixed
from harness.verdicts.rules import in_unit

log = logging.getLogger(__name__)

# How many other readings are printed below a diagnosis.
_SHOWN_READINGS = 5
COMMANDS = (
    *("measure", "compare", "record"),
    *report_cli.COMMANDS,
    *verdicts_cli.COMMANDS,
    *data_cli.COMMANDS,
    *records_cli.COMMANDS,
    "doctor",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code.

    Args:
        arguments: As typed after `python -m harness`; the process's own by default.
    """
    _log_to_stderr()
    typed = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if typed and not typed[0].startswith("-") and typed[0] not in COMMANDS:
            raise unknown("command", typed[0], COMMANDS)
        options = make_parser().parse_args(typed)
        command: Callable[[argparse.Namespace], int] = options.command
        return command(options)
    except UsageError as error:
        print(f"harness: {error}", file=sys.stderr)
        return 2
    except HarnessError as error:
        print(f"harness: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("harness: stopped; what was measured is kept, the same command goes on from there", file=sys.stderr)
        return 130


def _log_to_stderr() -> None:
    """Say what the harness warns of and how far it is; third parties keep their own ways."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("harness: %(message)s"))
    logger = logging.getLogger("harness")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)


def measure(options: argparse.Namespace) -> int:
    """Print a classifier's metrics on a benchmark."""
    spec = parse_spec(options.spec)
    need = _need(options)
    if options.diagnose and need != "imagenet":
        raise UsageError("--diagnose is for measure SPEC imagenet --protocol classify; leave it out")
    request, laboratory = _laboratory(options, need, spec)
    estimator = laboratory.estimator(request.alpha)

    def one(score: Score) -> Estimate:
        return estimator.estimate(score, laboratory.samples_for(score, spec))

    if options.grid and isinstance(need, Maximize):
        laboratory.draw(spec, need, Path(options.grid).expanduser())
    diagnosis = None
    if need == "imagenet":
        diagnosis = _diagnose(spec, one(scores_of(need)["top1"]), laboratory, always=options.diagnose)
    return _print(options, request, laboratory, need, {"classifier": spec}, one, diagnosis=diagnosis)


def _diagnose(spec: Spec, top1: Estimate, laboratory: Laboratory, *, always: bool) -> Diagnosis | None:
    """Find out why a classifier is no better than chance, and warn of it; None where it is better and nobody asked."""
    at_chance = is_at_chance(round(top1.value * top1.images), top1.images, CLASSES)
    is_alarming = at_chance and top1.images >= FEWEST_IMAGES
    if not (is_alarming or always):
        return None
    found = laboratory.diagnosis(spec)
    if is_alarming and not always:
        log.warning("%s: %s", spec.label, found)
    return found


def compare(options: argparse.Namespace) -> int:
    """Print the paired differences between two classifiers on a benchmark, first minus second."""
    first, second = parse_spec(options.first), parse_spec(options.second)
    need = _need(options)
    request, laboratory = _laboratory(options, need, first, second)
    estimator = laboratory.estimator(request.alpha)

    def one(score: Score) -> Estimate:
        return estimator.difference(score, *(laboratory.samples_for(score, spec) for spec in (first, second)))

    decision = _decide(laboratory, main_score(need), one) if options.decide else None
    return _print(options, request, laboratory, need, {"first": first, "second": second}, one, decision)


def record(options: argparse.Namespace) -> int:
    """Measure all that the data allows of a classifier, and keep it under a name to hold others against."""
    from harness.recording import record

    name, spec = references.check_name(options.name), parse_spec(options.spec)
    path = read_references(_getter(options)) / f"{name}.json"
    references.require_free(path, replace=options.replace)
    request, attacks = _measuring(options), read_attacks(_getter(options))
    reference, reasons = record(name, spec, request, attacks, attack=options.attacks)
    references.write(reference, path, replace=options.replace)
    if options.json:
        document = references.as_document(reference)
        print(json.dumps({**document, "path": str(path), "not_recorded": reasons}, allow_nan=False))
        return 0
    environment = ", ".join(f"{name} {value}" for name, value in _environment(request).items())
    print(f"{name} recorded in {path}: classifier {spec.text}, {environment}")
    width = max(map(len, reference.figures)) + 3
    for key, figure in reference.figures.items():
        print(f"{key:{width}}{_recorded_text(references.QUANTITIES[key], figure)}")
    _print_reasons("not recorded", reasons)
    return 0


def _recorded_text(quantity: Quantity, figure: references.RecordedFigure) -> str:
    found = Estimate.exact(figure.value, figure.images)
    if figure.interval:
        found = Fixed.of(figure.value, *figure.interval, figure.images)
    return _text(found, quantity.percent, figure.alpha or 0.0)


@dataclass(frozen=True)
class Decision:
    """Which of two classifiers has the higher figure.

    Attributes:
        metric: Of which metric.
        verdict: `higher` or `lower` if the first has, `equal` if all images say so, or `undecided`.
        images: From how many images that is known.
        images_needed: From about how many it would be known; None where it is.
        limit: Why no more were looked at; empty where it is known.
    """

    metric: str
    verdict: str
    images: int
    images_needed: int | None = None
    limit: str = ""

    def __str__(self) -> str:
        if self.verdict == "equal":
            return f"decided: both have the same {self.metric} ({self.images:,} images)"
        if self.images_needed is None:
            return f"decided: the first has the {self.verdict} {self.metric} ({self.images:,} images)"
        return (
            f"undecided: which of them has the higher {self.metric} would be known from about {self.images_needed:,} "
            f"images, but {self.limit}"
        )


def _decide(laboratory: Laboratory, score: Score, one: Callable[[Score], Estimate]) -> Decision:
    """Draw images until it is known which of two classifiers has the higher figure, or there are no more."""
    while True:
        try:
            difference = one(score)
        except TooFewImages:
            if not laboratory.deepen():
                raise
            continue
        sides = {"higher": difference.is_above(0), "lower": difference.is_below(0), "equal": difference.is_exact}
        for verdict, is_so in sides.items():
            if is_so:
                return Decision(score.name, verdict, difference.images)
        if not laboratory.deepen():
            needed = difference.needed(0)
            return Decision(score.name, "undecided", difference.images, math.ceil(needed), laboratory.limit())


def doctor(options: argparse.Namespace) -> int:
    """Print what this machine has: devices, versions, data found, missing or wrong, the store."""
    import torch

    request = _request(options)
    data: dict[str, dict[str, Any] | None] = {}
    problems: dict[str, str] = {}
    for name in BENCHMARKS:
        try:
            dataset = open_benchmark(name, request.roots)
            data[name] = {"folder": str(request.roots.folder(name)), "images": len(dataset), "classes": dataset.classes}
        except DataMissing as error:
            data[name] = None
            problems[name] = f"missing; {error}"
        except DataError as error:
            data[name] = None
            problems[name] = f"wrong; {error}"
    devices = ["cpu", *(torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count()))]
    runs = len(RecordStore(request.records).runs())
    if options.json:
        found = {"versions": versions(), "devices": devices, "records": str(request.records), "runs": runs}
        print(json.dumps({**found, "data": data, "problems": problems}, indent=1))
    else:
        print("versions  " + ", ".join(f"{name} {version}" for name, version in versions().items()))
        print(f"devices   {', '.join(devices)}")
        for name, there in data.items():
            print(f"data      {name}: " + (problems[name] if there is None else _described(there)))
        print(f"records   {request.records}: {runs} runs")
    return int(any(problem.startswith("wrong") for problem in problems.values()))


def _described(there: Mapping[str, Any]) -> str:
    of = f" of {there['classes']} classes" if there["classes"] else ""
    return f"{there['folder']}, {there['images']:,} images{of}"


# The options that a command takes beside those of measuring.
_BESIDE = {
    "measure": (*DIAGNOSING, *ATTACKING),
    "compare": (*DECIDING, *ATTACKING),
    "record": RECORDING,
    "doctor": (),
}


class _Parser(argparse.ArgumentParser):
    """Says what is wrong the way everything else here does."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see python -m harness --help")


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the whole command line; what it can't parse raises UsageError."""
    parser = _Parser(
        prog="python -m harness", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    specs = "a classifier's spec, e.g. resnext101_32x8d or torchvision:squeezenet1_0@weights.safetensors"
    for function, positionals in (
        (measure, {"spec": specs, "benchmark": f"one of {', '.join(BENCHMARKS)}"}),
        (compare, {"first": specs, "second": specs, "benchmark": f"one of {', '.join(BENCHMARKS)}"}),
        (
            record,
            {"name": "what to call it: letters, digits, '.', '_' and '-', a letter or digit first", "spec": specs},
        ),
        (doctor, {}),
    ):
        command = commands.add_parser(function.__name__, help=(function.__doc__ or "").partition("\n")[0])
        command.set_defaults(command=function)
        for name, text in positionals.items():
            command.add_argument(name, help=text)
        for option in (*MEASURING, *_BESIDE[function.__name__]):
            command.add_argument(option.flag, **option.keywords())
        command.add_argument("--json", action="store_true", help="print one JSON object; fractions, not percent")
    data_cli.add_commands(commands)
    records_cli.add_commands(commands)
    report_cli.add_commands(commands)
    verdicts_cli.add_commands(commands)
    return parser


def _getter(options: argparse.Namespace) -> Callable[[Option], Any]:
    return lambda option: value_of(option, getattr(options, option.dest))


def _request(options: argparse.Namespace) -> Request:
    return read_request(_getter(options))


def _measuring(options: argparse.Namespace) -> Request:
    """Read how to measure, on a device that is there."""
    request = _request(options)
    return replace(request, settings=on_device(request.settings))


def _need(options: argparse.Namespace) -> Need:
    """Read what is asked: the benchmark, and under which protocol."""
    return read_need(_getter(options), find_benchmark(options.benchmark).name)


def _laboratory(options: argparse.Namespace, need: Need, *specs: Spec) -> tuple[Request, Laboratory]:
    request = _measuring(options)
    needed = list(dict.fromkeys(each for score in scores_of(need).values() for each in score.needs))
    plan = dict.fromkeys(specs, needed)
    store, drawing = RecordStore(request.records), None
    if options.command is compare:
        if isinstance(need, Maximize) and options.decide:
            raise UsageError("--decide draws images at random, but --protocol maximize is of those that it is given")
        drawing = read_drawing(_getter(options), request.settings)
    laboratory = Laboratory(
        request.roots, store, request.settings, plan, request.normaliser, drawing=drawing, shares_passes=True
    )
    return request, laboratory


def _asked(laboratory: Laboratory, need: Need, found: Sequence[Score], *specs: Spec) -> dict[str, Any]:
    """Say what is measured: how, how many images there are, and of how many of the 1000 classes."""
    dataset = laboratory.dataset(benchmark_of(need))
    counts = {"available": len(dataset), **({"classes": dataset.classes} if dataset.classes else {})}
    if isinstance(need, str):
        by = {laboratory.normalised_by(score) for score in found} - {""}
        normalised = {"normalised_by": ", ".join(sorted(by))} if by else {}
        return {"benchmark": need, "protocol": "classify", **counts, **normalised}
    if isinstance(need, Maximize):
        return {"benchmark": need.benchmark, "protocol": need.name, **counts, "attack": need.describe()}
    attack: dict[str, Any] = {"attack": need.describe(), "tags": need.tags.as_words()}
    if need.surrogate in [spec.text for spec in specs]:
        attack["note"] = "the surrogate is the classifier itself, so this is no transfer"
    return {"benchmark": need.benchmark, "protocol": need.name, **counts, **attack}


def _print(
    options: argparse.Namespace,
    request: Request,
    laboratory: Laboratory,
    need: Need,
    specs: Mapping[str, Spec],
    one: Callable[[Score], Estimate],
    decision: Decision | None = None,
    diagnosis: Diagnosis | None = None,
) -> int:
    """Print every metric of what was asked; one that can't be had is named with its reason, unless none can."""
    metrics: dict[str, Estimate] = {}
    reasons: dict[str, str] = {}
    scores = scores_of(need)
    for name, score in scores.items():
        try:
            metrics[name] = one(score)
        except NotMeasured as error:
            reasons[name] = str(error)
    if not metrics:
        raise NotMeasured(next(iter(reasons.values())))
    asked = _asked(laboratory, need, [scores[name] for name in metrics], *specs.values())
    heading = {role: spec.text for role, spec in specs.items()} | asked
    if options.json:
        decided = {"decision": asdict(decision)} if decision else {}
        told = {"metrics": _as_json(metrics), "not_measured": reasons}
        diagnosed = {"diagnosis": diagnosis.as_json()} if diagnosis else {}
        print(json.dumps({**heading, **_environment(request), **decided, **told, **diagnosed}))
        return 0
    brief = {name: value for name, value in heading.items() if name not in ("attack", "tags", "note", "normalised_by")}
    print(", ".join(f"{name} {value}" for name, value in {**brief, **_environment(request)}.items()))
    for name, before in (("attack", ""), ("note", ""), ("normalised_by", "normalised by ")):
        if name in heading:
            print(f"{before}{heading[name]}")
    if decision:
        print(decision)
    width = max(24, *(len(name) + 3 for name in scores))
    for name, found in metrics.items():
        print(f"{name:{width}}{_text(found, scores[name].percent, request.alpha)}")
    _print_reasons("not measured", reasons)
    if diagnosis and options.diagnose:
        print(f"diagnosis: {diagnosis}")
        for reading in diagnosis.readings[:_SHOWN_READINGS]:
            accuracy = in_unit(reading.accuracy, percent=True)
            print(f"  {accuracy:12}({reading.images:,} images) {reading.name}")
    return 0


def _print_reasons(what: str, reasons: Mapping[str, str]) -> None:
    """Say of what could not be had why, a line a reason."""
    for reason in dict.fromkeys(reasons.values()):
        names = [name for name, why in reasons.items() if why == reason]
        print(f"{what}: {', '.join(names)}: {reason}")


def _environment(request: Request) -> dict[str, Any]:
    settings = request.settings
    return {
        "device": settings.device,
        "precision": settings.precision,
        "seed": settings.seed,
        "alpha": request.alpha,
    }


def _as_json(metrics: Mapping[str, Estimate]) -> dict[str, dict[str, Any]]:
    return {
        name: {"value": found.value, "interval": found.interval, "images": found.images}
        for name, found in metrics.items()
    }


def _text(found: Estimate, percent: bool, alpha: float) -> str:
    unit, times = (" %", 100.0) if percent else ("", 1.0)
    value = in_unit(found.value, percent=percent)
    if found.is_exact:
        return f"{value:12}({found.images:,} images)"
    level = f"{100 * (1 - alpha):g} %"
    interval = (
        f"{level} {times * found.low:.4g} to {times * found.high:.4g}{unit}" if found.interval else found.no_interval
    )
    return f"{value:12}({found.images:,} images, {interval})"
