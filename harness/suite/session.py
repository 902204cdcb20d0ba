"""One run of the suite: its options, its studies, and what it has to say at the end."""

import logging
import math
import os
import platform
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from harness import changed, likeness, references
from harness.benchmarks.catalog import describe_all
from harness.classifiers.spec import Spec, parse_spec
from harness.classifiers.tensors import differences
from harness.engines.settings import default_workers
from harness.errors import DataError, NotMeasured, ShardDone, UsageError
from harness.likeness import Likeness
from harness.protocols.needs import Need, benchmark_of
from harness.records.store import RecordStore
from harness.references import Reference
from harness.report import document
from harness.studies.drawing import Drawing
from harness.studies.laboratory import Laboratory
from harness.studies.live import Attacks, LiveStudy
from harness.studies.planned import PlannedStudy
from harness.studies.published import AS_PUBLISHED, PublishedStudy
from harness.studies.quantities import Quantity
from harness.studies.study import Study
from harness.suite import ahead, flags, header, options, parameters, plan, summary, xfails
from harness.suite.claims import CANDIDATE, LIKENESS, NO_WORSE, NOTICE, claim_of, params_of, takes_pins
from harness.suite.parameters import PAPER, PUBLISHED, Cast
from harness.suite.pinned import PinnedFigures, recorded_otherwise, unpinned
from harness.suite.pins import location_of
from harness.suite.shipped import Expected, Shipped
from harness.verdicts.rules import Judgement, Verdict

log = logging.getLogger(__name__)

# Options that say how a run goes, and not what is judged.
_OF_ONE_RUN = (
    *("plan", "claims_only", "shard", "report", "compare", "prune_snapshots", "budget", "engine", "ray_address"),
    *("batch_size", "strict_data"),
)

# How long a worker waits for another one that has a classifier loaded, in seconds: about what loading one takes.
_PATIENCE = 30.0


def share_cores(config: pytest.Config) -> int:
    """Leave each worker of pytest-xdist its share of the cores: threads of several that want all of them stall.

    Who asked for fewer threads gets fewer. Gives how many processes that decode a worker may have beside.
    """
    worker = getattr(config, "workerinput", None)
    share = max(1, default_workers() // worker["workercount"]) if worker else default_workers()
    if worker:
        asked = os.environ.get("OMP_NUM_THREADS", "")
        os.environ["OMP_NUM_THREADS"] = str(min(share, int(asked)) if asked.isdigit() and int(asked) else share)
    return share


class SuiteSession:
    """What a pytest session knows of the claims suite.

    Args:
        config: pytest's configuration, with the suite's options parsed.
        shipped: Gives the studies that come with the suite, from the seed of their test pictures.

    Raises:
        UsageError: An option's value is not understood.
    """

    def __init__(self, config: pytest.Config, shipped: Callable[[int], Sequence[Shipped]]) -> None:
        def get(option: flags.Option) -> Any:
            return flags.value_of(option, config.getoption(option.dest), config.getini)

        worker = getattr(config, "workerinput", None)
        self._is_worker = worker is not None
        self._is_alone = not worker or worker["workercount"] == 1
        named = {option.dest: get(option) for option in flags.CLAIMS}
        request = options.read_request(get, measure=not named["claims_only"])
        decoders = min(request.settings.workers, share_cores(config))
        self.shard = options.read_shard(named["shard"])
        self.request = replace(request, settings=replace(request.settings, workers=decoders, shard=self.shard))
        self.plans = bool(named["plan"])
        if self.plans and config.getoption("numprocesses", None):
            raise UsageError("--plan runs nothing, so there is nothing for workers; leave -n out")
        if not self.request.settings.engine.is_local and config.getoption("numprocesses", None):
            raise UsageError("--engine ray spreads the work over its cluster by itself; leave -n out")
        for flag in ("--claims-only", "--decide", "--plan"):
            if self.shard and named[flag[2:].replace("-", "_")]:
                raise UsageError(f"--shard measures a share and judges nothing; leave out {flag} or --shard")
        self.strict_data = bool(named["strict_data"])
        # pytest's own option, which sets an ini key that is set here anyway.
        self.strict = "strict=true" in (config.getoption("override_ini") or ())
        self.report = Path(named["report"]).expanduser() if named["report"] else None
        if self.report and not self._is_worker:
            options.check_writable("--report", self.report)
        self._compared_with = str(Path(named["compare"]).expanduser()) if named["compare"] else ""
        if self._compared_with and not self.report:
            raise UsageError("--compare is told in a report; add --report DIR")
        is_told = self._compared_with and not self._is_worker
        self._earlier = options.read_earlier(self._compared_with) if is_told else None
        self._begun = datetime.now().astimezone()
        self._command = shlex.join(["pytest", *map(str, config.invocation_params.args)])
        self._folder, self._root = config.invocation_params.dir, config.rootpath
        self._again = flags.arguments(get, without=_OF_ONE_RUN, marks=config.option.markexpr)
        self._selection = [*(("-k", config.option.keyword) if config.option.keyword else ()), *_paths(config)]
        baseline, subjects = options.read_classifiers(named["classifiers"], named["baseline"])
        self.attacks = options.read_attacks(get)
        self._drawing = options.read_drawing(get, self.request.settings)
        surrogate, normaliser = map(parse_spec, (self.attacks.surrogate, self.request.normaliser))
        seed = options.read_seed(named["miniature_seed"], "--miniature-seed")
        self.shipped = {each.cast.study: each for each in shipped(seed)}
        self.candidate = options.read_candidate(get, named["baseline"])
        _require_marked(config, self.candidate, named["classifiers"])
        self._reference = self._find_reference(get)
        self._xfails = xfails.read(self.candidate.xfails) if self.candidate and self.candidate.xfails else ()
        self._live_casts = [Cast(PAPER, baseline, subjects, "full", surrogate, normaliser)]
        if self.candidate:
            measured = baseline if named["baseline"] else None
            asked = (self.candidate.spec,)
            self._live_casts.append(
                Cast(
                    CANDIDATE,
                    measured,
                    asked,
                    CANDIDATE,
                    surrogate,
                    normaliser,
                    against=self.candidate.against,
                    like=self.candidate.like,
                )
            )
        self.casts = (
            parameters.published_cast(),
            *(each.cast for each in self.shipped.values()),
            *self._live_casts,
        )
        self._plan: Mapping[Spec, list[Need]] = {}
        self._asked: Sequence[pytest.Item] = ()
        self._studies: dict[str, Study] = {}
        new_only = getattr(config.option, "update_new_snapshots_only", False)
        self._renews_pins = bool(config.option.update_snapshots)
        self._records_pins = self._renews_pins or bool(new_only)
        self._asks_of_named = parameters.asks_of_named(config)
        self._ahead: ahead.Ahead | None = None

    @property
    def strictness(self) -> dict[str, Any]:
        """What makes a claim without evidence a failure, and the error rate of those with some."""
        return {"alpha": self.request.alpha, "strict_data": self.strict_data, "strict": self.strict}

    def connect(self) -> None:
        """Join the cluster that is to compute, before anything else is done.

        Raises:
            UsageError: It can't be joined.
        """
        if not self.request.settings.engine.is_local:
            options.on_device(self.request.settings)

    def close(self) -> None:
        """End what was started to measure."""
        if self._ahead:
            self._ahead.close()
        self.request.settings.engine.close()

    def measure_shard(self, item: pytest.Item) -> None:
        """Measure the shard's share of all that a test's study is asked, in place of judging the test.

        Raises:
            ShardDone: Always, where nothing is wrong.
            HarnessError: Why something that the test asks for could not be measured.
        """
        name = str(params_of(item)["study"])
        study = self.study(name)
        if isinstance(study, LiveStudy):
            share = study.measure_shard()
            failed = f"; of {share.failed} it could not be measured" if share.failed else ""
            notice = f"its share of {share.runs} runs of study {name} is in the store, {share.images:,} records{failed}"
            item.user_properties.append((NOTICE, f"shard {self.shard}: {notice}"))
            study.require(self._plan_of([item]))
        raise ShardDone(str(self.shard), 0)

    def help_out(self) -> None:
        """Measure what other workers have not come to yet of what is planned, where this one has no test left.

        Of classifiers that are named, where claims on them are asked.
        """
        if self._is_worker and self._asks_of_named and self.request.settings.measure and not self.decides:
            asked = {params_of(item).get("study") for item in self._asked}
            for name in filter(asked.__contains__, self.named_studies):
                study = self.study(name)
                assert isinstance(study, LiveStudy)
                study.measure_what_is_left()

    @property
    def labels(self) -> dict[str, str]:
        """By the spec of each classifier that has a part in a study, its label."""
        return {spec.text: spec.label for cast in self.casts for spec in cast.everyone}

    def notices(self, entries: Sequence[Mapping[str, Any]]) -> list[str]:
        """Give what there is to say beside the verdicts: what was warned of elsewhere, what was wrongly expected."""
        beside = self._ahead.notices() if self._ahead else []
        if self.candidate and self.candidate.xfails:
            beside += xfails.notices(entries, self._xfails, self.candidate.xfails)
        return beside + self._compared(entries)

    def header(self) -> list[str]:
        """Give the lines that pytest prints before it collects."""
        lines = header.lines(self.request)
        lines[-1] += f", shard {self.shard}" if self.shard else ""
        if not self._asks_of_named:
            counts = ", ".join(
                f"{len(cast.everyone)} of study {cast.study}" for cast in self.casts if cast.mark == "quick"
            )
            return [*lines, f"classifiers: {counts}"]
        cast = self._live_casts[-1]
        named = {
            "baseline": cast.baseline.label if cast.baseline else AS_PUBLISHED,
            "candidate" if self.candidate else "subjects": ", ".join(spec.label for spec in cast.subjects),
            "against": cast.against.label if cast.against else "",
            "surrogate": cast.surrogate.label,
        }
        return [*lines, "classifiers: " + ", ".join(f"{role} {who}" for role, who in named.items() if who)]

    def again(self, item: pytest.Item) -> str:
        """Give the command that asks one test again."""
        return document.asking_again(self._again, item.nodeid)

    def plan(self, items: list[pytest.Item]) -> None:
        """Note what the selected tests will ask of which classifier."""
        self._asked = [item for item in items if self._is_measured(item)]
        self._plan = self._plan_of(self._asked)

    def study(self, name: str) -> Study:
        """Give a study by name, made when first asked for."""
        if name not in self._studies:
            self._studies[name] = PublishedStudy() if name == PUBLISHED else self._live(name)
        return self._studies[name]

    def forecast(self, items: Sequence[pytest.Item]) -> list[str]:
        """Say what the selected claims would measure of named classifiers, and what decides them; measures nothing.

        Raises:
            UsageError: The device that is asked for is not there.
        """
        asked = [item for item in items if params_of(item).get("study") in self.named_studies]
        asked = [item for item in asked if self._is_measured(item)]
        if not asked:
            return ["nothing to plan: only what --data-root and --classifiers provide is, with -m full or -m candidate"]
        settings = options.on_device(self.request.settings)
        store, by = RecordStore(self.request.records), self.request.normaliser
        stored = replace(settings, measure=False)
        nothing_new = Drawing(settings.images, 0.0)
        laboratory = Laboratory(self.request.roots, store, stored, normaliser=by, drawing=nothing_new)
        beside = {"margin": self.candidate.margin} if self.candidate else {}
        forecasts = []
        for cast in self._live_casts:
            known = self._live_study(cast, laboratory, self.attacks)
            recorded = PlannedStudy(known, self.attacks, alpha=self.request.alpha, extent=laboratory.extent)
            for item in asked:
                if params_of(item)["study"] == cast.study:
                    asks = [(spec, need) for spec, needs in self._plan_of([item]).items() for need in needs]
                    if found := plan.forecast(item, [known, recorded], asks, laboratory, beside):
                        forecasts.append(found)
        everything = self._plan_of(asked)
        tasks = plan.tasks(laboratory, everything, forecasts, decides=self.decides)
        return plan.lines(tasks, plan.Paces(laboratory, everything), forecasts, decides=self.decides)

    @property
    def decides(self) -> bool:
        """Whether images are drawn until claims are decided."""
        return self._drawing is not None

    def likeness(self, study: LiveStudy, subject: str, quantities: Sequence[Quantity]) -> list[Likeness]:
        """Hold a classifier's figures against those that --expect-like names.

        Raises:
            NotMeasured: Images are drawn until claims are decided, so they are other ones.
        """
        assert self._reference
        if self.decides:
            raise NotMeasured("--decide looks at as many images as decide claims; recorded figures are of certain ones")
        rows = likeness.compare(study, subject, self._reference, quantities, alpha=self.request.alpha)
        found = differences(self._reference.tensors, study.tensors(subject))
        if found.kind not in ("same", "unknown"):
            log.warning("weights of %s beside those of %s: %s", self.labels[subject], self._reference.name, found)
        return rows

    def likeness_table(self, study: LiveStudy, subject: str, rows: Sequence[Likeness]) -> list[str]:
        """Lay a classifier's figures out beside those that --expect-like names, and say how its weights differ."""
        assert self._reference
        found = differences(self._reference.tensors, study.tensors(subject))
        is_other = any(row.judgement.verdict is Verdict.FAILS for row in rows)
        like = f"is {'not like' if is_other else 'perhaps like'} {self._reference.name} ({self._reference.source})"
        return [
            f"{self.labels[subject]} {like}",
            *likeness.table(rows),
            f"weights, beside the recorded ones: {found}",
        ]

    def _compared(self, entries: Sequence[Mapping[str, Any]]) -> list[str]:
        """Say of how many of a reference's figures likeness was judged, unless it was of all."""
        if not self._reference:
            return []
        recorded = len(self._reference.figures)
        compared = sum(entry["claim"] == LIKENESS and entry["value"] is not None for entry in entries)
        if not 0 < compared < recorded:
            return []
        return [f"like {self._reference.name}: {compared} of its {recorded} recorded figures could be compared"]

    def _find_reference(self, get: Callable[[flags.Option], Any]) -> Reference | None:
        """Find what is recorded of the classifier that --expect-like names; None where it names none."""
        folder = options.read_references(get)
        try:
            return references.find(self.candidate.like, folder) if self.candidate and self.candidate.like else None
        except DataError as error:
            raise UsageError(str(error)) from error

    def look_further(self, name: str) -> bool:
        """Tell whether a claim of a study has more images to look at, which it looks at from now on."""
        study = self._studies.get(name)
        return isinstance(study, LiveStudy) and study.look_further()

    def begin(self, name: str) -> None:
        """Begin with another claim of a study."""
        study = self._studies.get(name)
        if isinstance(study, LiveStudy):
            study.begin()

    def outlook(self, name: str, judgement: Judgement) -> Judgement:
        """Add to a judgement that stays undecided how many images it would take, if they go on like those drawn."""
        study = self._studies.get(name)
        if not (self.decides and isinstance(study, LiveStudy) and judgement.verdict is Verdict.UNDECIDED):
            return judgement
        needed = judgement.needed
        about = f"about {needed:,.0f} images would decide it" if math.isfinite(needed) else "no end is in sight"
        limit = study.limit()
        return judgement.because(f"at the present estimate {about}" + (f", but {limit}" if limit else ""))

    def write_changed(self, entries: Sequence[Mapping[str, Any]]) -> list[str]:
        """Say how many images changed between the candidate and whom it is held against, and list them in the report.

        By the store's records alone, of all that was measured of both.

        Raises:
            HarnessError: A list can't be written, or records are damaged.
        """
        cast = self._live_casts[-1]
        if not (cast.against and any(entry["claim"] == NO_WORSE and entry["value"] is not None for entry in entries)):
            return []
        (candidate,) = cast.subjects
        device = options.on_device(self.request.settings).device
        settings = replace(self.request.settings, measure=False, device=device)
        laboratory = Laboratory(self.request.roots, RecordStore(self.request.records), settings)
        lines = []
        for need in dict.fromkeys(
            need for quantity in references.QUANTITIES.values() for need in self.attacks.needs(quantity)
        ):
            try:
                found = laboratory.changed(need, cast.against, candidate)
            except NotMeasured:
                continue
            lines.append(f"changed, {found}")
            if self.report and len(found):
                name = re.sub(r"[^A-Za-z0-9.=-]+", "_", str(need))
                changed.write_table(found, self.report / "changed" / f"{name}.parquet")
                dataset = laboratory.dataset(benchmark_of(need))
                changed.draw_sheet(found, dataset, self.report / "changed" / f"{name}.png")
        if lines and not self.report:
            lines.append("changed: --report DIR lists these images, worst first")
        return lines

    def write_report(self, entries: list[dict[str, Any]], *, is_stopped: bool = False) -> list[str]:
        """Write the report, if one was asked for and there are verdicts; gives what to say of it, its page last.

        Of a run that was stopped the page, which takes seconds, is left for who asks for it.

        Raises:
            HarnessError: It can't be written.
        """
        if not (self.report and entries):
            return []
        from harness.report import board, page

        now = datetime.now().astimezone()
        asked = sorted({entry["study"] for entry in entries}, key=lambda name: (name != PUBLISHED, name))
        said = document.Document(
            self._command, self._environment(entries, now), entries, self._again, self._selection, str(self._folder)
        )
        path = said.write(self.report)  # whatever becomes of the page
        if is_stopped:
            return [f"report: {path}; python -m harness report {shlex.quote(str(self.report))} draws its page"]
        studies = [self._reading(name) for name in asked]
        parts = page.parts_of(self.report, studies)
        said = replace(said, environment={**said.environment, "records": self._read_by(studies)})
        said.write(self.report)
        changes = document.changes(self._earlier, said) if self._earlier else None
        path = page.write(
            self.report,
            said,
            parts,
            pins=board.Pins.read(self._root / "snapshots"),
            now=now,
            error_rates=summary.error_rates(entries, self.request.alpha),
            changes=changes,
            compared_with=self._compared_with,
        )
        told = summary.changed(changes, self._compared_with) if changes else []
        return [*told, f"report: {path}"]

    def _environment(self, entries: Sequence[Mapping[str, Any]], now: datetime) -> dict[str, Any]:
        """Say what verdicts rest on beside their figures: versions, settings, data, time."""
        settings = self.request.settings
        live = any(entry["study"] in self.named_studies and entry["value"] is not None for entry in entries)
        return {
            **summary.versions(),
            "platform": platform.platform(),
            "device": options.on_device(settings).device if live else "cpu",
            "precision": settings.precision,
            "seed": settings.seed,
            "alpha": self.request.alpha,
            "began": self._begun.isoformat(timespec="seconds"),
            "seconds": round((now - self._begun).total_seconds(), 1),
            "store": str(self.request.records),
            "data": {name: words or "missing" for name, words in describe_all(self.request.roots).items()},
        }

    def _read_by(self, studies: Sequence[Study]) -> dict[str, str]:
        """Say of how many records the figures of each study are, and how many of them no run had to measure now."""
        used = {study.name: study.used(self._begun) for study in studies if isinstance(study, LiveStudy)}
        return {name: f"{found.records:,}, of which {found.cached:,} were there before" for name, found in used.items()}

    def _reading(self, name: str) -> Study:
        """Give a study that measures nothing, for the report: what is asked of it beside verdicts was perhaps never."""
        if name == PUBLISHED:
            return self.study(name)
        settings = replace(self.request.settings, measure=False, is_checked=True, shard=None)
        if shipped := self.shipped.get(name):
            laboratory = shipped.laboratory(self.request.records, settings, {})
            return self._live_study(shipped.cast, laboratory, shipped.attacks)
        settings = replace(settings, device="cpu")  # no GPU is needed to read
        cast = next(cast for cast in self._live_casts if cast.study == name)
        store = RecordStore(self.request.records)

        def seen(spec: Spec, need: Need) -> int:
            return max(1, laboratory.stored(spec, need))

        laboratory = Laboratory(
            self.request.roots,
            store,
            settings,
            normaliser=self.request.normaliser,
            prefix=seen if self.decides else None,
        )
        return self._live_study(cast, laboratory, self.attacks)

    def expect_failures(self, items: Sequence[pytest.Item]) -> None:
        """Turn what is known to fail into reasoned xfails: of a candidate, and, strict, of pinned studies."""
        xfails.expect(items, self._xfails)
        for item in items:
            shipped, expected = self._known(item)
            if shipped and expected:
                if shipped.is_pinned and expected.verdict is Verdict.UNDECIDED and not expected.may_fail:
                    continue
                strict = shipped.is_pinned and expected.verdict is Verdict.FAILS
                item.add_marker(pytest.mark.xfail(reason=expected.reason, raises=AssertionError, strict=strict))

    def explained(self, item: pytest.Item, judgement: Judgement) -> Judgement:
        """Add why a verdict is undecided, where that is known of a shipped study."""
        _, expected = self._known(item)
        undecided = judgement.verdict is Verdict.UNDECIDED
        return judgement.because(expected.reason) if expected and undecided else judgement

    def require_known(self, item: pytest.Item, judgement: Judgement) -> None:
        """Fail a test of a shipped study that is undecided now, though its verdict is pinned."""
        __tracebackhide__ = True
        shipped, expected = self._known(item)
        if shipped is None or not shipped.is_pinned or judgement.verdict is not Verdict.UNDECIDED:
            return
        known = expected.verdict if expected else Verdict.HOLDS
        if known is not Verdict.UNDECIDED:
            pytest.fail(f"pinned is that it {known}. {judgement}", pytrace=False)

    def _plan_of(self, items: Sequence[pytest.Item]) -> Mapping[Spec, list[Need]]:
        attacks = {cast.study: self.attacks for cast in self.casts}
        attacks |= {name: each.attacks for name, each in self.shipped.items()}
        recorded = self._reference.figures if self._reference else ()
        needs = {name: each.needs for name, each in attacks.items()}
        return parameters.measuring_plan(items, self.casts, needs, recorded, quoted=self.shard is not None)

    @property
    def named_studies(self) -> list[str]:
        """Name the studies whose classifiers are named on the command line."""
        return [cast.study for cast in self._live_casts]

    def pinned(self, item: pytest.Item, snapshot: SnapshotAssertion) -> PinnedFigures:
        """Give what a test's figures are held against.

        Raises:
            NotMeasured: Holding them against that can't tell anything; says why.
            DataError: That can't be read.
        """
        if reason := self._no_pins(item):
            raise NotMeasured(reason)
        return PinnedFigures.of(snapshot, is_whole=params_of(item).get("study") not in self.named_studies)

    def _no_pins(self, item: pytest.Item) -> str:
        """Say why nothing is to be measured for a test that compares with pins; empty where something is.

        Raises:
            DataError: Its pins can't be read.
        """
        shipped, _ = self._known(item)
        if shipped and not shipped.is_pinned:
            return f"figures of {shipped.cast.study} are pinned on other test pictures than these"
        if params_of(item).get("study") not in self.named_studies or claim_of(item):
            return ""
        if self.decides:
            return "--decide looks at as many images as decide claims, and pins are of all that are asked for"
        path = location_of(item)
        if not path.exists():
            return "" if self._records_pins else unpinned(path)
        settings = {"seed": str(self.request.settings.seed), "precision": self.request.settings.precision}
        return "" if self._renews_pins else recorded_otherwise(path, settings)

    def _is_measured(self, item: pytest.Item) -> bool:
        """Tell whether what a test asks for is to be measured: not where pins can't tell anything, or can't be read."""
        try:
            return not (takes_pins(item) and self._no_pins(item))
        except DataError:  # told when the test comes to them
            return False

    def _known(self, item: pytest.Item) -> tuple[Shipped | None, Expected | None]:
        """Find the shipped study that a test is on, and what it is known to say; None where its claim holds."""
        shipped = self.shipped.get(params_of(item).get("study", ""))
        if shipped is None:
            return None, None
        test, _, case = item.name.partition("[")
        return shipped, shipped.expects(test, case.rstrip("]").removeprefix(shipped.cast.study).removeprefix("-"))

    def _live(self, name: str) -> LiveStudy:
        settings = self.request.settings
        if shipped := self.shipped.get(name):
            if settings.measure and not settings.shard and settings.engine.is_local and not self._is_worker:
                self._ahead = ahead.start(shipped, self.request.records, settings, self._plan)
            laboratory = shipped.laboratory(self.request.records, settings, self._plan)
            return self._live_study(shipped.cast, laboratory, shipped.attacks)
        settings = options.on_leased_device(settings)
        cast = next(cast for cast in self._live_casts if cast.study == name)
        pictures = self.report / "figures" if self.report else None
        store = RecordStore(self.request.records)
        laboratory = Laboratory(
            self.request.roots,
            store,
            settings,
            self._plan_of([item for item in self._asked if params_of(item).get("study") == name]),
            self.request.normaliser,
            pictures,
            drawing=self._drawing,
            summarised=cast.subjects if cast.like else (),
            patience=_PATIENCE if self._is_worker else 0.0,
            shares_passes=self._is_alone,
        )
        return self._live_study(cast, laboratory, self.attacks)

    def _live_study(self, cast: Cast, laboratory: Laboratory, attacks: Attacks) -> LiveStudy:
        return LiveStudy(
            cast.study,
            cast.baseline,
            cast.subjects,
            laboratory,
            alpha=self.request.alpha,
            attacks=attacks,
            roles=cast.roles,
            others=(cast.against,) if cast.against else (),
        )


def _paths(config: pytest.Config) -> list[str]:
    """Give the files, folders and tests that the command line names."""
    named = [str(each) for each in config.invocation_params.args]
    return [path for path in config.args if path in named]


def _require_marked(config: pytest.Config, candidate: options.Candidate | None, classifiers: object) -> None:
    """See that a candidate is named exactly where it is asked, and nobody who is not."""
    marks = parameters.asked_marks(config)
    if CANDIDATE in marks and not candidate:
        raise UsageError("-m candidate asks the classifier that --candidate SPEC names; add that")
    if candidate and CANDIDATE not in config.option.markexpr:
        raise UsageError("--candidate names whom -m candidate asks; add that")
    if candidate and classifiers and "full" not in marks:
        raise UsageError(
            "--classifiers names whom -m full asks, and -m candidate asks --candidate alone; leave it out, or ask both "
            "with -m 'full or candidate'"
        )
