"""`--prune-snapshots`: deletes the pins that no test claims any more, and only after a whole green run."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from harness import pinfile
from harness.errors import HarnessError, UsageError
from harness.suite import pins
from harness.suite.claims import params_of, takes_pins

# The key under which a worker of pytest-xdist hands over what it collected.
_HANDED = "pins"


def watch(config: pytest.Config, named_studies: Sequence[str]) -> None:
    """Watch what becomes of the tests that take pins, where the run is asked to prune.

    Args:
        config: pytest's configuration.
        named_studies: Those whose classifiers are named on the command line: their pins are kept whoever is named.

    Raises:
        UsageError: The run is also asked to record pins.
    """
    if not config.getoption("prune_snapshots"):
        return
    is_worker = hasattr(config, "workerinput")
    if not is_worker and (config.option.update_snapshots or getattr(config.option, "update_new_snapshots_only", False)):
        raise UsageError(
            "--prune-snapshots deletes only after a green run, and while pins are recorded every figure is green; "
            "run once with --snapshot-update and once more with --prune-snapshots"
        )
    config.pluginmanager.register(_Watch(config, named_studies), "robustness-claims-pruning")


class _Watch:
    """Learns which tests take pins and which of them passed, in this process or in workers, and prunes at the end."""

    def __init__(self, config: pytest.Config, named_studies: Sequence[str]) -> None:
        self._config = config
        self._named = frozenset(named_studies)
        self._deselected: list[pytest.Item] = []
        # By node id: the file of a test's pins, and its study.
        self._tests: dict[str, tuple[str, str]] = {}
        # By test file, the names that it defines.
        self._names: dict[str, list[str]] = {}
        self._passed: set[str] = set()
        self._lost = False
        self._lines: list[str] = []

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Remember what -k and -m leave out."""
        self._deselected += items

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Iterator[None]:
        """Learn which tests there are, those that are deselected among them."""
        yield
        for item in [*items, *self._deselected]:
            if module := getattr(item, "module", None):
                self._names[str(item.path)] = [name for name in vars(module) if not name.startswith("_")]
            if takes_pins(item):
                self._tests[item.nodeid] = str(pins.location_of(item)), str(params_of(item).get("study", ""))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember what passed."""
        if report.when == "call" and report.passed:
            self._passed.add(report.nodeid)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take over what a worker learnt; a worker that died has told nothing."""
        handed = getattr(node, "workeroutput", {}).get(_HANDED)
        if error or handed is None:
            self._lost = True
        else:
            self._tests |= {name: tuple(each) for name, each in handed["tests"].items()}
            self._names |= handed["names"]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Hand over what was learnt, or prune."""
        handed: dict[str, Any] | None = getattr(self._config, "workeroutput", None)
        if handed is not None:
            handed[_HANDED] = {"tests": self._tests, "names": self._names}
        elif reason := self._not_whole(session, exitstatus or int(session.exitstatus)):
            self._lines = [f"--prune-snapshots deletes nothing: {reason}"]
        else:
            self._lines = list(self._prune())

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was deleted, or why nothing was."""
        for line in self._lines:
            terminalreporter.line(line, yellow=True)

    @property
    def _roots(self) -> set[Path]:
        return {self._config.rootpath / "snapshots", *(Path(place).parents[1] for place, _ in self._tests.values())}

    def _folders(self) -> list[tuple[Path, list[Path]]]:
        """List the folders of pins, each with the test files that it may belong to."""
        found = []
        for root in sorted(self._roots):
            if root.is_dir():
                folders = sorted(path for path in root.iterdir() if path.is_dir())
                found += [(folder, list(root.parent.glob(f"*/{folder.name}.py"))) for folder in folders]
        return found

    def _not_whole(self, session: pytest.Session, exitstatus: int) -> str:
        """Say why the run is not one after which pins may go; empty where it is."""
        if exitstatus or session.shouldstop or session.shouldfail:
            return "the run was not green"
        if self._lost:
            return "a worker was lost"
        for path, owners in self._folders():
            if owners and not any(str(owner) in self._names for owner in owners):
                return f"{owners[0].name}, whose pins are in {path.name}, was not collected"
        option = self._config.option
        picks = any(getattr(option, name, False) for name in ("lf", "stepwise"))
        if picks or any("::" in str(each) for each in self._config.args):
            return "only some tests were asked for"
        asked = [name for name, (_, study) in self._tests.items() if study not in self._named]
        if missed := [name for name in asked if name not in self._passed]:
            return f"{len(missed)} of {len(asked)} tests that take pins did not pass, {missed[0]} for one"
        return ""

    def _prune(self) -> Iterator[str]:
        """Delete what no test claims, and say of each."""
        claimed = {place for place, _ in self._tests.values()}
        deleted = 0
        for folder, owners in self._folders():
            # What begins with a dot is left of writes that were killed.
            for path in sorted([*folder.glob("*.json"), *folder.glob(".*.json.*")]):
                if str(path) in claimed or (owners and self._is_of_others(path, owners)):
                    continue
                try:
                    path.unlink()
                except OSError as error:
                    yield f"{path} can't be deleted ({error.strerror}); see that the folder may be written to"
                else:
                    deleted += 1
                    yield f"deleted {path}"
            with suppress(OSError):
                folder.rmdir()
        yield f"--prune-snapshots: {deleted} files deleted"

    def _is_of_others(self, path: Path, owners: Sequence[Path]) -> bool:
        """Whether pins are of a test that is still there, on classifiers that another command line may name."""
        if path.name.startswith("."):
            return False
        try:
            recorded_with: Mapping[str, Any] = pinfile.read(path)["recorded_with"]
        except HarnessError:
            return True  # nobody knows whose it is
        test = path.name.partition("[")[0].partition(".")[0]
        names = {name for owner in owners for name in self._names.get(str(owner), ())}
        return recorded_with.get("study") in self._named and test in names
