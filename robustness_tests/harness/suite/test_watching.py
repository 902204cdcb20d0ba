"""What is shown inside long tests: on a terminal of its own for each case, and in a log."""

import fcntl
import io
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import termios
from pathlib import Path
from types import SimpleNamespace

import pytest

from data_fixtures.environment import environment
from harness import progress
from harness.suite.watching import Beneath, Between, Watching, place_of

# Two tests that take three tenths of a second each and say how far they are.
SLOW = """
import time
import pytest
from harness.progress import Progress

@pytest.mark.parametrize("name", ["alexnet", "resnext"])
def test_it(name):
    with Progress(f"{name} on imagenet-c", 1000) as progress:
        for done in range(0, 1000, 100):
            print("printed by the test")
            time.sleep(0.03)
            progress.tell(done)
"""

# Has it shown so often that a short test shows it.
OFTEN = """
from harness import progress
from harness.suite import watching

progress.Progress.SHOWN = 0.0
watching.Beneath.seconds = watching.Between.seconds = 0.05
"""

LINE = r"(alexnet|resnext) on imagenet-c: [\d,]+ of 1,000 images(, [\d,]+/s, \d s left)?"


class Screen:
    """A terminal that knows what pytest and the lines beneath it make use of."""

    def __init__(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.lines, self.saved = [""] * rows, (0, 0)
        self.row = self.column = 0

    def feed(self, text):
        """Show a text; gives what is on the screen."""
        for part in re.findall(r"\x1b\[[\d;]*[A-Za-z]|\x1b[78D]|.", text, re.DOTALL):
            self._take(part)
        return [line.rstrip() for line in self.lines]

    def _take(self, part):
        if part == "\r":
            self.column = 0
        elif part in ("\n", "\x1bD"):
            self.column = 0 if part == "\n" else self.column
            self.row += 1
            if self.row == self.rows:
                self.lines, self.row = [*self.lines[1:], ""], self.row - 1
        elif part == "\x1b7":
            self.saved = self.row, self.column
        elif part == "\x1b8":
            self.row, self.column = self.saved
        elif part.startswith("\x1b["):
            self._control(part)
        else:
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + part + line[self.column + 1 :]
            self.column += 1
            assert self.column <= self.columns, f"wrapped: {line}"

    def _control(self, part):
        number = int(re.sub(r"\D", "", part) or 1)
        if part[-1] == "A":
            self.row = max(0, self.row - number)
        elif part[-1] == "B":
            self.row = min(self.rows - 1, self.row + number)
        elif part[-1] in "KJ":
            self.lines[self.row] = self.lines[self.row][: self.column]
            if part[-1] == "J":
                self.lines[self.row + 1 :] = [""] * (self.rows - self.row - 1)
        else:
            assert part[-1] == "m", f"unknown: {part!r}"


def state(what="alexnet on imagenet-c", done=1500):
    return progress.State(what, done, 3000, "images", 60.0)


@pytest.fixture
def beneath(monkeypatch):
    """Lines beneath those of a writer on a terminal of 6 lines; gives them, the writer and what is on the screen."""
    monkeypatch.delenv("COLUMNS", raising=False)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 6, 70, 0, 0))
    screen = Screen(70, 6)
    with os.fdopen(theirs, "w") as file:
        writer = SimpleNamespace(_file=file)
        lines = Beneath(writer, os.dup(theirs))

        def seen():
            file.flush()
            while select.select([ours], [], [], 0.05)[0]:
                screen.feed(os.read(ours, 65536).decode())
            return screen.feed("")

        yield lines, writer, seen
        if writer._file is lines:
            lines.close()
    os.close(ours)


def test_lines_are_beneath_the_one_that_is_being_written(beneath):
    lines, writer, seen = beneath
    writer._file.write("test_it.py ..")
    lines.show([state(), state("resnext on imagenet-c", 0)])
    assert seen() == [
        "test_it.py ..",
        "alexnet on imagenet-c: 1,500 of 3,000 images, 25/s, 1.0 min left",
        "resnext on imagenet-c: 0 of 3,000 images",
        *("", "", ""),
    ]


def test_lines_are_gone_before_anything_else_is_written(beneath):
    lines, writer, seen = beneath
    writer._file.write("test_it.py ..")
    lines.show([state(), state()])
    seen()
    writer._file.write("F\n\ntest_other.py ")
    assert seen() == ["test_it.py ..F", "", "test_other.py", "", "", ""]


def test_fewer_and_shorter_lines_leave_nothing_of_those_before(beneath):
    lines, _, seen = beneath
    lines.show([state("a very long name of a classifier"), state()])
    lines.show([state("b", 0)])
    assert seen() == ["", "b: 0 of 3,000 images", "", "", "", ""]
    lines.show([])
    assert seen() == [""] * 6


def test_at_the_bottom_of_the_screen_there_is_room_too(beneath):
    lines, writer, seen = beneath
    writer._file.write("1\n2\n3\n4\n5\n6")
    lines.show([state("a", 0), state("b", 0)])
    assert seen() == ["3", "4", "5", "6", "a: 0 of 3,000 images", "b: 0 of 3,000 images"]
    writer._file.write("!\n7")
    assert seen() == ["3", "4", "5", "6!", "7", ""]


def test_there_are_never_more_lines_than_fit(beneath):
    lines, writer, seen = beneath
    writer._file.write("test_it.py ..")
    lines.show([state(str(number), 0) for number in range(20)])
    assert seen()[0] == "test_it.py .."
    lines.close()
    assert seen() == ["test_it.py ..", "", "", "", "", ""]
    assert writer._file is not lines


@pytest.fixture
def between(tmp_path):
    """Give the function that makes what writes into a log beside a reporter, the reporter, and the log."""
    with (tmp_path / "log").open("w+") as log:

        def make(*, verbose=False, workers=False):
            config = SimpleNamespace(
                get_verbosity=lambda kind: int(verbose), getoption=lambda *name: "load" if workers else "no"
            )
            writer = SimpleNamespace(_current_line="", _file=log)
            reporter = SimpleNamespace(config=config, _tw=writer, currentfspath="test_it.py")
            return Between(reporter, log.fileno()), reporter

        yield make, tmp_path / "log"


def test_each_line_in_a_log_stands_alone(between):
    make, log = between
    lines, reporter = make()
    for line, done in (("test_it.py ..", 500), (None, 1000), ("test_it.py ..", 1500), ("", 2000)):
        if line is not None:
            reporter._tw._current_line = line[:1] + line[1:]  # another object, as pytest makes one
            os.write(lines._descriptor, line.encode())
        lines.show([state(done=done)])
    assert [line.partition(" of")[0] for line in log.read_text().splitlines()] == [
        "test_it.py ..",
        "progress: alexnet on imagenet-c: 500",
        "progress: alexnet on imagenet-c: 1,000",
        "test_it.py ..",
        "progress: alexnet on imagenet-c: 1,500",
        "progress: alexnet on imagenet-c: 2,000",
    ]


@pytest.mark.parametrize(("workers", "place"), [(False, None), (True, -2)])
def test_where_tests_have_lines_pytest_begins_a_new_one(between, workers, place):
    make, log = between
    lines, reporter = make(verbose=True, workers=workers)
    lines.show([state()])
    assert log.read_text() == "\nprogress: alexnet on imagenet-c: 1,500 of 3,000 images, 25/s, 1.0 min left"
    assert reporter.currentfspath == place


def test_nothing_is_said_of_nothing(between):
    make, log = between
    make()[0].show([])
    assert log.read_text() == ""


@pytest.fixture
def run_slow(pytester, repository):
    """Run slow tests with the suite's hooks, in a log or on a terminal of a width; gives all that was written."""
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(repository / name, pytester.path / name)
    pytester.makepyfile(test_slow=SLOW, often=OFTEN)
    of_terminals = ("COLUMNS", "NO_COLOR", "PY_COLORS", "FORCE_COLOR")
    paths = {"PYTHONPATH": f"{pytester.path}:{repository}", "TERM": "xterm"}
    kept = {name: value for name, value in environment(**paths).items() if name not in of_terminals}

    def run(*arguments, width=0, **added):
        command = [sys.executable, "-m", "pytest", "-p", "often", "-p", "no:cacheprovider", "test_slow.py", *arguments]
        env = {**kept, **added}
        if not width:
            return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=True).stdout
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
        process = subprocess.Popen(command, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        written = b""
        try:
            while block := os.read(ours, 65536):
                written += block
        except OSError:  # the other end is closed
            pass
        os.close(ours)
        assert process.wait(60) == 0, written.decode()
        return written.decode()

    return run


@pytest.mark.parametrize(("width", "workers"), [(80, []), (60, ["-n", "2"])], ids=["alone", "workers"])
def test_on_a_terminal_it_is_shown_and_nothing_is_left_of_it(run_slow, tmp_path, width, workers):
    written = run_slow(*workers, width=width, TMPDIR=str(tmp_path))
    shown = re.findall(r"\x1b\[B\r([^\x1b]*)\x1b\[K", written)
    assert {line.partition(" ")[0] for line in shown} == {"alexnet", "resnext"}
    assert any(" left" in line for line in shown)
    assert max(map(len, shown)) < width
    screen = Screen(250, 40).feed(written)
    assert not any("on imagenet-c" in line or "printed" in line for line in screen)
    (dots,) = [line for line in screen if re.search(r"\.\.\s+\[100%\]$", line)]
    assert dots.startswith(".." if workers else "test_slow.py ..")
    assert any("2 passed" in line for line in screen)
    assert list(tmp_path.glob("robustness-progress-*")) == []


def test_a_terminal_without_colours_is_told_in_lines_and_not_painted(run_slow):
    written = run_slow(width=80, NO_COLOR="1")
    assert "\x1b" not in written
    assert re.search(rf"^progress: {LINE}\r$", written, re.MULTILINE)


@pytest.mark.parametrize("arguments", [["-v"], ["-n", "2"]], ids=["verbose", "workers"])
def test_in_a_log_it_is_told_in_lines_of_their_own(run_slow, arguments):
    written = run_slow(*arguments)
    told = [line for line in written.splitlines() if "on imagenet-c" in line]
    assert [line for line in told if not re.fullmatch(f"progress: {LINE}", line)] == []
    assert {line.split()[1] for line in told} == {"alexnet", "resnext"}
    assert "\x1b" not in written
    assert len([line for line in written.splitlines() if re.fullmatch(r"=* 2 passed in .*", line)]) == 1


@pytest.fixture
def config_of(tmp_path):
    """Give the function that makes a configuration: of pytest on a terminal, or with other traits."""
    ours, theirs = pty.openpty()
    os.close(ours)
    with (tmp_path / "log").open("w") as log, os.fdopen(theirs, "w") as terminal:

        def make(*, file=terminal, hasmarkup=True, capture="fd", verbosity=0, collectonly=False):
            writer = SimpleNamespace(_file=terminal if file is terminal else log if file == "log" else file)
            writer.hasmarkup = hasmarkup
            reporter = SimpleNamespace(_tw=writer, isatty=lambda: file is terminal)
            config = reporter.config = SimpleNamespace(
                pluginmanager=SimpleNamespace(getplugin=lambda name: reporter),
                option=SimpleNamespace(capture=capture, collectonly=collectonly),
                get_verbosity=lambda *kind: verbosity,
                getoption=lambda *name: "no",
            )
            return config

        yield make


@pytest.mark.parametrize(
    ("traits", "kind"),
    [
        pytest.param({}, Beneath, id="terminal"),
        pytest.param({"hasmarkup": False}, Between, id="not_to_be_painted"),
        pytest.param({"capture": "no"}, Between, id="tests_print_too"),
        pytest.param({"file": "log"}, Between, id="log_in_colours"),
        pytest.param({"file": io.StringIO()}, type(None), id="no_file"),
    ],
)
def test_the_place_is_what_can_and_may_be_painted(config_of, traits, kind):
    place = place_of(config_of(**traits))
    assert type(place) is kind
    if place:
        place.close()


@pytest.mark.parametrize(
    ("traits", "is_shown"), [({}, True), ({"verbosity": -2}, False), ({"collectonly": True}, False)]
)
def test_who_wants_it_quiet_is_told_nothing(config_of, traits, is_shown):
    watching, before = Watching(), progress.beside("other")
    watching.pytest_sessionstart(SimpleNamespace(config=config_of(**traits)))
    assert (progress.beside("other") != before) == is_shown
    watching.pytest_unconfigure()
    assert progress.beside("other") == before


def test_a_worker_that_died_is_shown_no_longer(config_of):
    watching, node = Watching(), SimpleNamespace(gateway=SimpleNamespace(id="gw0"), workerinput={})
    watching.pytest_sessionstart(SimpleNamespace(config=config_of()))
    watching.pytest_configure_node(node)
    place = Path(node.workerinput["progress"])
    place.write_text('{"what": "alexnet", "done": 0, "total": 10, "unit": "images", "seconds": 1.0}')
    assert len(progress.shown(place.parent)) == 1
    watching.pytest_testnodedown(node)
    assert progress.shown(place.parent) == []
    watching.pytest_unconfigure()
