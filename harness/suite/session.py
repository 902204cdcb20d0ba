"""One run of the suite: its options, its studies, and what it has to say at the end."""

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.benchmarks.catalog import BENCHMARKS, describe
from harness.classifiers.spec import Spec, parse_spec
from harness.protocols.needs import Need
from harness.records.store import RecordStore
from harness.studies.live import Laboratory, LiveStudy
from harness.studies.published import PublishedStudy
from harness.studies.study import Study
from harness.suite import flags, options, parameters, summary
from harness.suite.parameters import PAPER, PUBLISHED, Cast


class SuiteSession:
    """What a pytest session knows of the claims suite.

    Args:
        config: pytest's configuration, with the suite's options parsed.

    Raises:
        UsageError: An option's value is not understood.
    """

    def __init__(self, config: pytest.Config) -> None:
        def get(option: flags.Option) -> Any:
            return flags.value_of(option, config.getoption(option.dest), config.getini)

        named = {option.dest: get(option) for option in flags.CLAIMS}
        self.request = options.read_request(get, measure=not named["claims_only"])
        self.strict_data = bool(named["strict_data"])
        self.report = Path(named["report"]).expanduser() if named["report"] else None
        if self.report and not hasattr(config, "workerinput"):
            options.check_writable("--report", self.report)
        self._command = shlex.join(["pytest", *map(str, config.invocation_params.args)])
        baseline, subjects = options.read_classifiers(named["classifiers"], named["baseline"])
        self.attacks = options.read_attacks(get)
        surrogate, normaliser = map(parse_spec, (self.attacks.surrogate, self.request.normaliser))
        self.casts = (
            parameters.published_cast(),
            Cast(PAPER, baseline, subjects, "full", surrogate, normaliser),
        )
        self._plan: Mapping[Spec, list[Need]] = {}
        self._studies: dict[str, Study] = {}

    def header(self) -> list[str]:
        """Give the lines that pytest prints before it collects."""
        roots = self.request.roots
        folders = {name: roots.folder(name) for name in BENCHMARKS}
        found = [name for name, folder in folders.items() if folder and folder.is_dir()]
        missing = [name for name in folders if name not in found]
        there = ", ".join(describe(name, roots) for name in found) or "nothing"
        cast = self.casts[1]
        return [
            f"robustness claims: data root {roots.root or 'not given'}, found {there}, "
            f"missing {', '.join(missing) or 'nothing'}",
            f"robustness claims: records {self.request.records}, baseline {cast.baseline.label}, "
            f"subjects {', '.join(spec.label for spec in cast.subjects)}, surrogate {cast.surrogate.label}",
        ]

    def plan(self, items: list[pytest.Item]) -> None:
        """Note what the selected tests will ask of which classifier."""
        self._plan = parameters.measuring_plan(items, self.casts, self.attacks.needs)

    def study(self, name: str) -> Study:
        """Give a study by name, made when first asked for."""
        if name not in self._studies:
            self._studies[name] = PublishedStudy() if name == PUBLISHED else self._live(name)
        return self._studies[name]

    def write_report(self, entries: list[dict[str, Any]]) -> str | None:
        """Write `verdicts.json` if a report was asked for and there are verdicts; gives its path."""
        if not (self.report and entries):
            return None
        settings = self.request.settings
        live = any(entry["study"] != PUBLISHED and entry["value"] is not None for entry in entries)
        environment = {
            "device": options.resolve_device(settings.device) if live else settings.device,
            "precision": settings.precision,
            "seed": settings.seed,
        }
        return str(summary.write_json(self.report, entries, command=self._command, settings=environment))

    def _live(self, name: str) -> LiveStudy:
        settings = self.request.settings
        settings = replace(settings, device=options.resolve_device(settings.device))
        cast = next(cast for cast in self.casts if cast.study == name)
        pictures = self.report / "figures" if self.report else None
        store = RecordStore(self.request.records)
        laboratory = Laboratory(self.request.roots, store, settings, self._plan, self.request.normaliser, pictures)
        return LiveStudy(name, cast.baseline, cast.subjects, laboratory, alpha=self.request.alpha, attacks=self.attacks)
