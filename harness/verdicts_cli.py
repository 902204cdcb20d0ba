"""The command of `python -m harness` that shows verdicts which were written down: verdicts."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.report.document import read
from harness.suite.markdown import summary_of

if TYPE_CHECKING:
    # Not public, though every parser's subcommands are made by one.
    Commands = argparse._SubParsersAction[Any]

COMMANDS = ("verdicts",)


def verdicts(options: argparse.Namespace) -> int:
    """Print a report's verdicts as Markdown, for the summary of a CI job or a comment on a pull request."""
    print(summary_of(read(Path(options.report).expanduser())))
    return 0


def add_commands(commands: "Commands") -> None:
    """Add it to the parser of the command line."""
    command = commands.add_parser(verdicts.__name__, help=verdicts.__doc__)
    command.set_defaults(command=verdicts)
    command.add_argument("report", metavar="REPORT", help="the folder that --report named, or its verdicts.json")
