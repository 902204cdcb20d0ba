"""Runs `python -m harness`."""

import atexit
import sys

from harness.stopping import KEPT, Stopping, end_at_once


def run() -> int:
    """Run the command that was typed and give its exit code: 130 or 143 where Ctrl-C or SIGTERM stopped it."""
    stopping = Stopping()
    stopping.begin()
    try:
        from harness.cli import main

        code = main()
    except KeyboardInterrupt:  # before the command line was read
        print(f"harness: stopped; {KEPT}", file=sys.stderr)
        code = 130
    if stopping.number is None:
        return code
    atexit._run_exitfuncs()
    end_at_once(128 + stopping.number)


if __name__ == "__main__":
    sys.exit(run())
