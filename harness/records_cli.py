"""The commands of `python -m harness` that look after a store of records: store and merge."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.records.merging import Merged, merged
from harness.records.store import RecordStore
from harness.records.upkeep import Damage, Listed, checked, collected, listed
from harness.suite.flags import RECORDS, value_of

if TYPE_CHECKING:
    # Not public, though every parser's subcommands are made by one.
    Commands = argparse._SubParsersAction[Any]

COMMANDS = ("store", "merge")

_UNITS = ("bytes", "kB", "MB", "GB")


def ls(options: argparse.Namespace) -> int:
    """List the runs: classifier, benchmark, protocol, how many images of how many, size, when last written."""
    store = _store(options)
    runs = listed(store)
    if options.json:
        print(json.dumps({"store": str(store.root), "runs": [_as_json(run) for run in runs]}))
        return 0
    _print_table([_row(run) for run in runs])
    for run in runs:
        if run.damage:
            print(f"damaged: {run.damage}")
    print(f"{store.root}: {_counted(len(runs), 'run')}, {_size(sum(run.bytes for run in runs))}")
    return 0


def _row(run: Listed) -> tuple[str, ...]:
    name, benchmark = Path(run.folder).name, Path(run.folder).parent.name
    if run.key is None:
        what = (name, benchmark, "damaged", "", f"{run.images:,} of ?")
    else:
        key = run.key
        how = f"{run.of('precision') or '-'}, seed {run.of('seed') or '-'}"
        what = (key.subject, key.benchmark, run.of("protocol"), how, f"{run.images:,} of {key.pairs:,}")
    written = run.written.strftime("%Y-%m-%d %H:%M UTC") if run.written else "never"
    return (*what, _size(run.bytes), written + (", in use" if run.is_in_use else ""))


def _as_json(run: Listed) -> dict[str, Any]:
    key = run.key
    return {
        "folder": run.folder,
        "classifier": key.subject if key else None,
        "benchmark": key.benchmark if key else Path(run.folder).parent.name,
        "identity": dict(key.identity) if key else None,
        "images": run.images,
        "of": key.pairs if key else None,
        "bytes": run.bytes,
        "written": run.written.isoformat() if run.written else None,
        "in_use": run.is_in_use,
        "damage": run.damage or None,
    }


def verify(options: argparse.Namespace) -> int:
    """Read every chunk, and check its checksum and positions; exit code 1 if a file is damaged."""
    store = _store(options)
    damages: list[Damage] = []
    folders = store.folders()
    chunks = records = size = 0
    for folder in folders:
        found = checked(folder)
        chunks, records, size = chunks + found.chunks, records + found.records, size + found.bytes
        damages += found.damages
        if not options.json:
            for damage in found.damages:
                print(f"{damage.path}: {damage.what}; {damage.remedy}")
    if options.json:
        told = [{"path": str(each.path), "what": each.what, "remedy": each.remedy} for each in damages]
        counts = {"runs": len(folders), "chunks": chunks, "records": records, "bytes": size}
        print(json.dumps({"store": str(store.root), "ok": not damages, **counts, "damaged": told}))
    else:
        whole = f"{_counted(chunks, 'chunk')} whole, {_counted(records, 'record')}, {_size(size)}"
        print(f"{store.root}: {_counted(len(folders), 'run')}, {whole}; {_counted(len(damages), 'file')} damaged")
    return int(bool(damages))


def gc(options: argparse.Namespace) -> int:
    """Delete damaged files, what dead writers left, and runs without records; nothing that a process is at."""
    store = _store(options)
    count = size = 0
    verb = "would delete" if options.dry_run else "deleted"
    for taken in collected(store, dry_run=options.dry_run):
        if taken.is_left:
            print(f"left {taken.path}: {taken.why}")
            continue
        print(f"{verb} {taken.path}: {taken.why}, {taken.bytes:,} bytes")
        count, size = count + 1, size + taken.bytes
    print(f"{store.root}: {verb} {_counted(count, 'item')}, {size:,} bytes")
    return 0


def merge(options: argparse.Namespace) -> int:
    """Copy what other stores have and this one lacks; exit code 1 if something was refused or is damaged."""
    store = _store(options)
    results = []
    for result in merged([Path(source).expanduser() for source in options.source], store):
        print(_line(result))
        results.append(result)
    copied, records = sum(each.copied for each in results), sum(each.records for each in results)
    refused, damaged = sum(bool(each.refused) for each in results), sum(len(each.damaged) for each in results)
    print(
        f"{store.root}: {_counted(len(results), 'run')} merged, {_counted(copied, 'chunk')} with "
        f"{_counted(records, 'record')} copied, {refused} refused, {_counted(damaged, 'file')} damaged"
    )
    return int(not all(result.is_whole for result in results))


def _line(result: Merged) -> str:
    if result.refused:
        return f"{result.folder}: refused: {result.refused}"
    line = (
        f"{result.folder}: {_counted(result.copied, 'chunk')} copied ({_counted(result.records, 'record')}), "
        f"{result.there:,} there already"
    )
    names = ", ".join(path.name for path in result.damaged)
    return f"{line}; damaged or being replaced in {result.source}, and left out: {names}" if names else line


def add_commands(commands: "Commands") -> None:
    """Add them to the parser of the command line."""
    group = commands.add_parser("store", help="list, check or clean up the store of records")
    actions = group.add_subparsers(metavar="ls|verify|gc", required=True, parser_class=type(group))
    for function in (ls, verify, gc):
        command = actions.add_parser(function.__name__, help=function.__doc__)
        command.set_defaults(command=function)
        command.add_argument(RECORDS.flag, **RECORDS.keywords())
        if function is gc:
            command.add_argument("--dry-run", action="store_true", help="say what would be deleted, and delete nothing")
        else:
            command.add_argument("--json", action="store_true", help="print one JSON object")
    command = commands.add_parser("merge", help=merge.__doc__)
    command.set_defaults(command=merge)
    command.add_argument("source", nargs="+", metavar="FROM", help="a store to copy from, such as a shard's")
    command.add_argument(RECORDS.flag, **RECORDS.keywords())


def _store(options: argparse.Namespace) -> RecordStore:
    root = value_of(RECORDS, options.records)
    if not root:
        raise UsageError("--records is empty; name a folder or leave it out")
    return RecordStore(Path(root).expanduser())


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    if not rows:
        return
    heading = ("classifier", "benchmark", "protocol", "how", "images", "size", "written")
    widths = [max(map(len, column)) for column in zip(heading, *rows, strict=True)]
    for row in (heading, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def _size(count: int) -> str:
    size, unit = float(count), 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.3g} {_UNITS[unit]}" if size < 1000 else f"{size:,.0f} {_UNITS[unit]}"
