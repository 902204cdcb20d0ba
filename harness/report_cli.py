"""The command of `python -m harness` that draws a report from a store: report."""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness
from harness.errors import DataError, UsageError
from harness.report.document import FILE, Document, read
from harness.suite.flags import CANDIDATE, CLAIMS, DATA, MEASURING, RECORDS, Option

if TYPE_CHECKING:
    # Not public, though every parser's subcommands are made by one.
    Commands = argparse._SubParsersAction[Any]

COMMANDS = ("report",)

_OPTIONS = (
    *DATA,
    RECORDS,
    *(option for option in MEASURING if option.dest in ("images", "seed", "precision", "alpha")),
    *CANDIDATE,
    *(option for option in CLAIMS if option.dest in ("references", "classifiers", "baseline", "report", "compare")),
)
_PATHS = ("records", "data_root", "references", "xfails", "compare", "report")

# What pytest's exit codes come to here; all others are 1.
_EXIT = {0: 0, 4: 2}


def report(options: argparse.Namespace) -> int:
    """Judge the claims from the store and draw their report, measuring nothing.

    Args:
        options: As parsed; `folder` is a report to draw again, with what it was asked.

    Raises:
        UsageError: It is not said which report.
        DataError: There is none in that folder, there is no such store, or the claims' tests are not there.
    """
    target = options.report or options.folder
    if not target:
        raise UsageError("name a report to draw again, or --report DIR for a new one")
    given = {option: getattr(options, option.dest) for option in _OPTIONS}
    before = _earlier(options.folder)
    folder = _checkout() if before is None or not Path(before.folder).is_dir() else Path(before.folder)
    if options.records and not Path(options.records).expanduser().is_dir():
        raise DataError(f"--records {options.records} is no folder, so there is nothing to judge from; name the store")
    arguments = [*_asked(before, given, options.marks), *(before.selection if before else ())]
    quietly = ["-q", "--no-header", "--tb=no", "-p", "no:cacheprovider"]
    written = f"--report={Path(target).expanduser().absolute()}"
    command = [sys.executable, "-m", "pytest", *quietly, *arguments, "--claims-only", written]
    return _EXIT.get(subprocess.run(command, cwd=folder, check=False).returncode, 1)


def _earlier(folder: str | None) -> Document | None:
    """Read the report that is to be drawn again; None where a new one is asked for."""
    if folder is None:
        return None
    path = Path(folder).expanduser()
    if not (path / FILE).exists():
        raise DataError(
            f"{path} is no report, for it has no {FILE}; draw a new one with --report={path}, and -m to say of what"
        )
    return read(path)


def _asked(before: Document | None, given: dict[Option, Any], marks: str | None) -> list[str]:
    """Give the arguments of pytest: what the earlier report was asked, but for what is said otherwise now."""
    said = {option: value for option, value in given.items() if value not in (None, []) and option.dest != "report"}
    flags = tuple(f"{option.flag}=" for option in said)
    arguments = [each for each in (before.options if before else ()) if not each.startswith(flags)]
    if marks or not before:
        arguments = ["-m", marks or _marks(said), *(arguments[2:] if before else ())]
    for option, value in said.items():
        is_path = option.dest in _PATHS  # none of which is repeatable
        arguments += option.typed(Path(value).expanduser().absolute() if is_path else value)
    return arguments


def _marks(said: dict[Option, Any]) -> str:
    """Give the claims that options are about, where nobody said which."""
    named = {option.dest for option in said}
    if "candidate" in named:
        return "candidate"
    return "full" if named & {"classifiers", "baseline", "data_root", "data"} else "quick"


def _checkout() -> Path:
    folder = Path(harness.__file__).parent.parent
    if not (folder / "robustness_tests").is_dir():
        raise DataError(
            f"the claims' tests are not in {folder}; run this from a checkout, installed with pip install -e ."
        )
    return folder


def add_commands(commands: "Commands") -> None:
    """Add the command to the parser's."""
    command = commands.add_parser("report", help=(report.__doc__ or "").partition("\n")[0])
    command.set_defaults(command=report)
    command.add_argument("folder", nargs="?", metavar="DIR", help="a report to draw again, with what it was asked")
    command.add_argument(
        "-m", dest="marks", metavar="MARKS", help="which claims, as with pytest; quick, full or candidate"
    )
    for option in _OPTIONS:
        command.add_argument(option.flag, **option.keywords())
