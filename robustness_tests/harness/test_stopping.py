"""A stop that was asked for comes about, even where code that was running dropped what the signal raised."""

import signal
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


@pytest.fixture
def run(request):
    """Give the function that runs a script in a process of its own, and gives its lines and its errors."""

    def run_script(script):
        ran = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            capture_output=True,
            text=True,
            cwd=request.config.rootpath,
            check=True,
            timeout=30,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a shell's background jobs ignore
        )
        return ran.stdout.splitlines(), ran.stderr

    return run_script


@pytest.mark.parametrize("is_forked", [False, True])
@pytest.mark.parametrize(("name", "word"), [("SIGTERM", "SIGTERM"), ("SIGINT", "Ctrl-C")])
def test_a_stop_that_was_dropped_is_asked_for_again(name, word, is_forked, run):
    (begun, stopped, ended), errors = run(DROPPED.format(name=name, is_forked=is_forked))
    assert (begun, ended) == ("went on", "ended")
    assert stopped.startswith(f"stopped by {word}; what was measured is kept")
    assert "Exception ignored in" in errors


UNHEARD = """
    import os, signal, threading, time
    from harness.stopping import Stopping

    def be_told_of_it():
        time.sleep(0.5)
        signal.pthread_kill(threading.get_ident(), signal.{name})

    stopping = Stopping()
    stopping.begin()
    threading.Thread(target=be_told_of_it).start()
    try:
        time.sleep(60)
    except KeyboardInterrupt as stopped:
        print(stopped)
    if (child := os.fork()) == 0:
        signal.signal(signal.{name}, lambda number, frame: os._exit(0))
        os.kill(os.getpid(), signal.{name})
        time.sleep(60)
    os.waitpid(child, 0)
    stopping.end()
    signal.signal(signal.{name}, lambda number, frame: print("heard"))
    os.kill(os.getpid(), signal.{name})
    time.sleep(1)
"""


@pytest.mark.parametrize(("name", "word"), [("SIGTERM", "SIGTERM"), ("SIGINT", "Ctrl-C")])
def test_a_stop_that_another_thread_is_told_of_ends_what_the_main_one_waits_for(name, word, run):
    (stopped, *heard), errors = run(UNHEARD.format(name=name))
    assert stopped.startswith(f"stopped by {word}; what was measured is kept")
    assert (heard, errors) == (["heard"], "")


CHILD = """
    import os, signal, time
    from harness.stopping import Stopping

    stopping = Stopping()
    stopping.begin()
    if (child := os.fork()) == 0:
        time.sleep(60)
    time.sleep(0.5)
    os.kill(child, signal.SIGTERM)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    time.sleep(1)
    print(stopping.number)
"""


def test_what_a_forked_process_is_sent_does_not_stop_this_one(run):
    assert run(CHILD) == ([str(128 + signal.SIGTERM), "None"], "")
