"""Hooks and fixtures of the suite; what they do lives in `harness.suite`."""

from collections.abc import Callable, Generator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from data_fixtures.miniature.study import miniature
from harness.engines.gpus import count_gpus
from harness.errors import HarnessError, UsageError
from harness.likeness import Likeness
from harness.studies.live import LiveStudy
from harness.studies.study import Study
from harness.suite import claims, failing, flags, layout, parameters, pins, pruning, summary, watching
from harness.suite.interruptions import Interruptions
from harness.suite.session import SuiteSession
from harness.verdicts.rules import Judgement, Verdict

pytest_plugins = ["pytester"]

SESSION = pytest.StashKey[SuiteSession]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add every option in one group, and an ini key for each path."""
    group = parser.getgroup("robustness claims")
    for option in (*flags.MEASURING, *flags.CLAIMS):
        group.addoption(option.flag, **option.keywords())
        if option.ini:
            parser.addini(option.ini, f"default of {option.flag}: {option.help}", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Check every option before anything is collected, and be ready to stop."""
    config.pluginmanager.register(Interruptions(config))
    watching.begin(config)
    pins.never_delete(config)
    try:
        config.stash[SESSION] = SuiteSession(config, lambda seed: [miniature(seed)])
        pruning.watch(config, config.stash[SESSION].named_studies)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from error


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Start a worker a GPU for claims on named classifiers; without a GPU one, which uses all cores."""
    if not parameters.asks_of_named(config):
        return None
    return (0 if config.option.device == "cpu" else count_gpus()) or 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object | None:
    """Hand out claims on named classifiers a classifier at a time, unless --dist says otherwise."""
    if config.getoption("dist") != "load" or not parameters.asks_of_named(config):
        return None
    from harness.suite.scheduling import ByClassifier, units

    return ByClassifier(config, log, units(config.stash[SESSION].casts))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Have a worker that has no test left help the others."""
    is_whole = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
    if is_whole and not session.config.option.maxfail and (suite := session.config.stash.get(SESSION, None)):
        suite.help_out()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the harness's own tests where they are if only claims are asked for, none of which is among them."""
    is_of_claims = parameters.asked_marks(config) & {"quick", "full", "candidate"}
    return True if is_of_claims and collection_path == config.rootpath / "robustness_tests" / "harness" else None


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what still runs beside the tests."""
    if session := config.stash.get(SESSION, None):
        session.close()


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say which device, versions, data, store and classifiers are used."""
    width = layout.width_of(config.pluginmanager.getplugin("terminalreporter"))
    return [line for said in config.stash[SESSION].header() for line in layout.folded(said, width, layout.INDENT)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each claim on every study that there is."""
    parameters.parametrize(metafunc, metafunc.config.stash[SESSION].casts)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what is known to fail, and put the tests of the dearest classifier first."""
    parameters.drop_unanswerable(items)
    session = config.stash[SESSION]
    parameters.mark_attacks(items)
    parameters.expect_failures(items)
    session.expect_failures(items)
    parameters.dearest_first(items, session.casts)
    parameters.soundness_first(items)
    if session.decides:
        parameters.printed_last(items)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Learn which classifier needs which benchmarks, so that each is loaded once."""
    session.config.stash[SESSION].plan(session.items)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Show the plan and run nothing, where --plan says so; else join the cluster that computes, if there is one."""
    suite = session.config.stash[SESSION]
    if not suite.plans:
        if session.items and not session.config.option.collectonly:
            try:
                suite.connect()
            except UsageError as error:
                raise pytest.UsageError(str(error)) from error
        return None
    reporter: pytest.TerminalReporter = session.config.pluginmanager.getplugin("terminalreporter")
    reporter.section("plan")
    for line in suite.forecast(session.items):
        reporter.line(line)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Account for claims whose tests never start, such as all on a GPU that is not there."""
    if not claims.claim_of(item):
        return (yield)
    session = item.config.stash[SESSION]
    with claims.accounted(item, **session.strictness):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Turn missing evidence into a skip and bad data into one line, for tests that are asked of a study."""
    if not claims.claim_of(pyfuncitem):
        with claims.in_one_line(pyfuncitem) if {"study", "pinned"} & set(pyfuncitem.funcargs) else nullcontext():
            return (yield)
    session = pyfuncitem.config.stash[SESSION]
    with claims.judged(pyfuncitem, **session.strictness):
        return (yield)


@pytest.hookimpl(tryfirst=True, specname="pytest_pyfunc_call")
def pytest_look_until_decided(pyfuncitem: pytest.Function) -> bool | None:
    """Run a claim's test until it is decided, where --decide says so."""
    session = pyfuncitem.config.stash[SESSION]
    if not (session.decides and claims.claim_of(pyfuncitem)):
        return None
    study = str(claims.params_of(pyfuncitem).get("study", ""))
    claims.until_decided(pyfuncitem, lambda: session.begin(study), lambda: session.look_further(study))
    return True


@pytest.hookimpl(tryfirst=True, specname="pytest_pyfunc_call")
def pytest_measure_shard(pyfuncitem: pytest.Function) -> None:
    """Measure a shard's share in place of running the test of a study, where --shard says so."""
    session = pyfuncitem.config.stash[SESSION]
    if session.shard and "study" in claims.params_of(pyfuncitem):
        session.measure_shard(pyfuncitem)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say of a claim that fails what is known of it, in place of the assertion's inside."""
    report = yield
    if report.failed and call.excinfo and claims.claim_of(item):
        again = item.config.stash[SESSION].again(item)
        report.longrepr = failing.told(item, call.excinfo.value, again) or report.longrepr
    return report


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: pytest.ExitCode, config: pytest.Config
) -> None:
    """Show the claims table after everything else, and write the report: of a run that was stopped without its page."""
    session = config.stash[SESSION]
    width = layout.width_of(terminalreporter)
    is_stopped = exitstatus == pytest.ExitCode.INTERRUPTED

    def say(text: str, **markup: bool) -> None:
        for line in layout.folded(text, width, layout.INDENT):
            terminalreporter.line(line, **markup)

    found = [report for reports in terminalreporter.stats.values() for report in reports]
    reports = [report for report in found if isinstance(report, pytest.TestReport)]
    entries = summary.collect(reports)
    if entries:
        terminalreporter.section("claims")
        for line, kind in summary.table(entries, width=width, labels=session.labels):
            terminalreporter.line(line, **summary.MARKUP.get(kind, {}))
        say(summary.totals(entries))
        say(summary.error_rates(entries, session.request.alpha))
    for notice in dict.fromkeys((*summary.notices(reports), *session.notices(entries))):
        say(notice, yellow=True)
    try:
        for line in (*session.write_changed(entries), *session.write_report(entries, is_stopped=is_stopped)):
            terminalreporter.line(line)
    except HarnessError as error:
        terminalreporter.line(str(error), red=True)


@pytest.fixture(scope="session")
def study(request: pytest.FixtureRequest) -> Study:
    """Give the body of evidence that a claim is judged on."""
    return request.config.stash[SESSION].study(request.param)


@pytest.fixture
def verdict(request: pytest.FixtureRequest) -> Callable[[Judgement], Judgement]:
    """Give the function that takes a claim's judgement down and hands it back to be asserted."""

    def take_down(judgement: Judgement) -> Judgement:
        session = request.config.stash[SESSION]
        name = str(claims.params_of(request.node).get("study", ""))
        if judgement.verdict is Verdict.UNDECIDED and session.look_further(name):
            raise claims.LookAgain
        judgement = session.outlook(name, session.explained(request.node, judgement))
        judgement = judgement.because(claims.good_news(request.node, judgement))
        claims.enter(request.node, judgement, alpha=session.request.alpha)
        session.require_known(request.node, judgement)
        if judgement.verdict in (Verdict.UNDECIDED, Verdict.NOT_RUN):
            if session.strict and judgement.verdict is Verdict.UNDECIDED:
                pytest.fail(f"{judgement} (--strict)", pytrace=False)
            pytest.skip(str(judgement))
        return judgement

    return take_down


@pytest.fixture
def margin(request: pytest.FixtureRequest) -> float:
    """Give by how much the candidate may be worse than another classifier, in a metric's own unit."""
    candidate = request.config.stash[SESSION].candidate
    assert candidate
    return candidate.margin


@pytest.fixture
def likeness(request: pytest.FixtureRequest) -> Callable[..., list[Likeness]]:
    """Give the function that holds a classifier's figures against those that --expect-like names."""
    return request.config.stash[SESSION].likeness


@pytest.fixture
def all_alike(request: pytest.FixtureRequest) -> Callable[[LiveStudy, str, Sequence[Likeness]], bool]:
    """Give the function that takes down a judgement on each of several figures, and tells whether all hold.

    A failure shows all of them in a table. Where one is undecided, or none can be judged, that is a skip.
    """

    def take_down(study: LiveStudy, subject: str, rows: Sequence[Likeness]) -> bool:
        __tracebackhide__ = True
        session = request.config.stash[SESSION]
        for row in rows:
            claims.enter(request.node, row.judgement, alpha=session.request.alpha, metric=row.quantity.metric)
        verdicts = {row.judgement.verdict for row in rows}
        if Verdict.FAILS in verdicts:
            raise claims.ClaimFails("\n".join(session.likeness_table(study, subject, rows)))
        if Verdict.UNDECIDED in verdicts and session.strict:
            pytest.fail("\n".join([*session.likeness_table(study, subject, rows), "(--strict)"]), pytrace=False)
        if Verdict.UNDECIDED in verdicts or Verdict.HOLDS not in verdicts:
            pytest.skip("; ".join(dict.fromkeys(row.judgement.reason for row in rows)))
        return True

    return take_down


@pytest.fixture
def pinned(request: pytest.FixtureRequest, snapshot: SnapshotAssertion) -> SnapshotAssertion:
    """Give what to compare a mapping of figures with: its pins in `snapshots/`, within tolerances."""
    with claims.in_one_line(request.node):
        return request.config.stash[SESSION].pinned(request.node, snapshot)
