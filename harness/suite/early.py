"""Lets `--data-root DIR` be typed with a space.

pytest looks for the project that it runs by the arguments that name existing paths, and at that time knows no option of
a conftest.py: in `--data-root /data` it takes /data for a folder of tests, finds no project there, and ends with
"unrecognized arguments" (pytest#9749). `--data-root=/data` is read rightly. So this plugin, which an installed project
has pytest load before any conftest.py, starts pytest again with such values joined to their options.
"""

import os
import sys
from collections.abc import Sequence

import pytest

from harness.suite.flags import CLAIMS, MEASURING


def pytest_addoption(parser: pytest.Parser) -> None:
    """Start pytest again if a value that is an existing path stands apart from its option; adds no option itself."""
    typed = sys.argv[1:]
    joined = join_paths(typed)
    if joined != typed and sys.orig_argv[-len(typed) :] == typed:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1 : -len(typed)], *joined])


def join_paths(arguments: Sequence[str]) -> list[str]:
    """Join `--option` and `value` to `--option=value` where the option is the suite's and the value an existing path.

    >>> join_paths(["-m", "full", "--records", "/", "--images", "7"])
    ['-m', 'full', '--records=/', '--images', '7']
    """
    flags = {option.flag for option in (*MEASURING, *CLAIMS) if option.metavar}
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in flags and os.path.exists(argument):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined
