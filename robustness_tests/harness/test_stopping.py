"""A stop that was asked for comes about, even where code that was running dropped what the signal raised."""

import subprocess
import sys
import textwrap

import pytest

DROPPED = """
    import os, signal
    from harness.stopping import Stopping, require_going_on

    class Drops:
        def __del__(self):
            os.kill(os.getpid(), signal.{name})

    stopping = Stopping()
    stopping.begin()
    require_going_on()
    Drops()
    print("went on", flush=True)
    if {is_forked} and os.fork() == 0:
        require_going_on()
        os._exit(0)
    try:
        require_going_on()
    except KeyboardInterrupt as stopped:
        print(stopped)
    stopping.end()
    require_going_on()
    print("ended")
"""


@pytest.mark.parametrize("is_forked", [False, True])
@pytest.mark.parametrize(("name", "word"), [("SIGTERM", "SIGTERM"), ("SIGINT", "Ctrl-C")])
def test_a_stop_that_was_dropped_is_asked_for_again(name, word, is_forked, request):
    script = textwrap.dedent(DROPPED).format(name=name, is_forked=is_forked)
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=request.config.rootpath, check=True
    )
    begun, stopped, ended = ran.stdout.splitlines()
    assert (begun, ended) == ("went on", "ended")
    assert stopped.startswith(f"stopped by {word}; what was measured is kept")
    assert "Exception ignored in" in ran.stderr
