"""The commands of `python -m harness` that get data: fetch, verify and generate."""

import argparse
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.benchmarks import generated
from harness.benchmarks.catalog import BENCHMARKS, DataRoots, find_benchmark
from harness.classifiers.catalog import CATALOG
from harness.engines.local import Local
from harness.engines.settings import default_workers
from harness.suite.flags import DATA, Option, value_of
from harness.suite.options import read_device, read_roots, read_seed

if TYPE_CHECKING:
    # Not public, though every parser's subcommands are made by one.
    Commands = argparse._SubParsersAction[Any]

COMMANDS = ("fetch", "verify", "generate")

_LISTED = 20

_TABLE = Option("--table", "a table of your own with the columns of downloads.csv", "FILE")


def fetch(options: argparse.Namespace) -> int:
    """Download a benchmark, or a classifier's weights by short name; checked, unpacked, resumed where it was cut."""
    from harness.fetching.fetch import fetch, target_folder
    from harness.fetching.table import downloads_of, read_table

    table = Path(options.table).expanduser() if options.table else None
    downloads_of(options.name, read_table(table))  # so that imagenet is told apart before anybody is asked where to
    to = Path(options.to) if options.to else target_folder(options.name, _roots(options))
    found = fetch(options.name, to, mirror=options.mirror, table=table, keep_archives=options.keep_archives)
    names = [place.name for place in found.places]
    print(f"{found.name} in {found.folder}: {', '.join(names) if len(names) <= _LISTED else f'{len(names)} folders'}")
    for note in found.notes:
        print(note)
    return 0


def verify(options: argparse.Namespace) -> int:
    """Check what is there of a benchmark, or of a classifier's weights: counts, sizes, cells, hashes of a sample."""
    from harness.fetching.fetch import target_folder
    from harness.fetching.verify import verify

    folder = Path(options.folder) if options.folder else target_folder(options.name, _roots(options))
    table = Path(options.table).expanduser() if options.table else None
    findings = verify(options.name, folder, table=table, seed=read_seed(options.seed))
    is_wrong = any(finding.state == "wrong" for finding in findings)
    if options.json:
        found = [dataclasses.asdict(finding) for finding in findings]
        print(json.dumps({"name": options.name, "folder": str(folder), "ok": not is_wrong, "findings": found}))
    else:
        print(f"{options.name} in {folder}")
        print("\n".join(map(str, findings)))
    return int(is_wrong)


def generate(options: argparse.Namespace) -> int:
    """Make ImageNet-C or ImageNet-P from a folder of photographs, in the published layout."""
    benchmark, seed = find_benchmark(options.name).name, read_seed(options.seed)
    source, target = (Path(folder).expanduser() for folder in (options.source, options.to))
    made = generated.generate(
        benchmark,
        source,
        target,
        seed=seed,
        extra=options.extra,
        device=Local().device(read_device(options.device)),
        workers=default_workers(),
    )
    cells = len(made.cells) + (len(generated.EXTRA_CELLS[benchmark]) if options.extra else 0)
    files = cells * len(made.images)
    print(f"{benchmark} in {target}: {files:,} files in {cells} cells, from {source}, seed {seed}")
    return 0


def add_commands(commands: "Commands") -> None:
    """Add them to the parser of the command line."""
    names = f"one of {', '.join((*BENCHMARKS, *CATALOG))}"
    command = _added(commands, fetch, names)
    _add_options(command, *DATA, _TABLE)
    command.add_argument("--to", metavar="DIR", help="the folder to fill; NAME below --data-root by default")
    command.add_argument("--mirror", metavar="URL", help="get URL/NAME/FILE instead of the published address")
    command.add_argument("--keep-archives", action="store_true", help="leave archives in DIR/.fetch")
    command = _added(commands, verify, names)
    command.add_argument("folder", nargs="?", metavar="DIR", help="where it lies; NAME below --data-root by default")
    _add_options(command, *DATA, _TABLE)
    command.add_argument("--seed", default="0", metavar="N", help="seed of the sample that is looked at; 0 by default")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command = _added(commands, generate, f"one of {', '.join(generated.SUFFIXES)}")
    command.add_argument("--from", dest="source", required=True, metavar="DIR", help="photographs, as [val/]<wnid>/*")
    command.add_argument("--to", required=True, metavar="DIR", help="a new folder, or one to go on with")
    command.add_argument("--seed", default="0", metavar="N", help="seed of all that is random in it; 0 by default")
    command.add_argument("--extra", action="store_true", help="make the four kinds that no metric counts too")
    command.add_argument("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda or cuda:N")


def _added(commands: "Commands", function: Callable[[argparse.Namespace], int], names: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        function.__name__, help=(function.__doc__ or "").partition("\n")[0]
    )
    command.set_defaults(command=function)
    command.add_argument("name", help=names)
    return command


def _add_options(command: argparse.ArgumentParser, *options: Option) -> None:
    for option in options:
        command.add_argument(option.flag, **option.keywords())


def _roots(options: argparse.Namespace) -> DataRoots:
    return read_roots(lambda option: value_of(option, getattr(options, option.dest)))
