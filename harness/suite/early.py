"""Lets `--data-root DIR` be typed with a space.

pytest looks for the project that it runs by the arguments that name existing paths, and at that time knows no option of
a conftest.py: in `--data-root /data` it takes /data for a folder of tests, finds no project there, and ends with
"unrecognized arguments" (pytest#9749). `--data-root=/data` is read rightly. So this plugin, which an installed project
has pytest load before any conftest.py, starts pytest again with such values joined to their options. Folders that are
not there yet are joined too: a run makes them before the workers of pytest-xdist read the same arguments.
"""

import os
import sys
from collections.abc import Sequence

import pytest

from harness.suite.flags import CLAIMS, MEASURING


def pytest_addoption(parser: pytest.Parser) -> None:
    """Start pytest again if a value that is a path stands apart from its option; adds no option itself."""
    typed = sys.argv[1:]
    joined = join_paths(typed)
    if joined != typed and sys.orig_argv[-len(typed) :] == typed:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1 : -len(typed)], *joined])


def join_paths(arguments: Sequence[str]) -> list[str]:
    """Join `--option` and `value` to `--option=value` where the option is the suite's and the value a path.

    A path is whatever exists, and whatever an option that takes a folder is given.

    >>> join_paths(["-m", "full", "--records", "new", "--images", "7"])
    ['-m', 'full', '--records=new', '--images', '7']
    """
    options = {option.flag: option for option in (*MEASURING, *CLAIMS) if option.metavar}
    joined: list[str] = []
    for argument in arguments:
        option = options.get(joined[-1]) if joined else None
        if option and (os.path.exists(argument) or (option.ini and not argument.startswith("-"))):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined
