"""Runs the checks of a deployment, told which version should be there, and compares them with what was before."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_runbook.checkrun import WITHIN, CheckRun, recent
from pytest_runbook.deploy.verdict import JUDGED, Judgement, baseline, judge
from pytest_runbook.errors import RunbookError
from pytest_runbook.model import Outcome, RunRecord
from pytest_runbook.naming import new_id
from pytest_runbook.runbooks.family import MARK

if TYPE_CHECKING:
    from datetime import datetime

    from pytest_runbook.settings import Loaded

CANARIES = "canaries"
"""Folder of the runs that look at canaries, among those of the other runs."""


@dataclass(frozen=True, slots=True)
class Project:
    """Whose checks are run, and how its settings were named."""

    root: Path
    loaded: Loaded
    file: Path | None = None
    """None: pytest finds it."""
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Versions:
    """What should be there, as checks are told."""

    system: str
    services: Mapping[str, str] = field(default_factory=dict)
    """Of each service that is switched."""


class Looks:
    """The runs of one deployment."""

    def __init__(self, project: Project, mark: str, variable: str) -> None:
        """MARK begins what its processes carry; VARIABLE is the one that tells checks which version should be there."""
        self._project, self._mark, self._variable = project, mark, variable
        self._settings = project.loaded.settings
        self._deploy = self._settings.deploy

    def gate(self, version: str) -> Judgement:
        """Whether VERSION may be deployed."""
        try:
            record = self._run(self._deploy.gate, Versions(version))
        except RunbookError as error:
            return Judgement("inconclusive", str(error))
        if record.exit_code == 0:
            return Judgement("done", f"{len(record.of(Outcome.PASSED))} checks passed")
        return judge(record, None, {})

    def before(self, versions: Versions) -> tuple[Judgement, dict[str, Any] | None]:
        """What is so in VERSIONS, before the change."""
        try:
            record = self._run(self._deploy.verify, versions)
        except RunbookError as error:
            return Judgement("inconclusive", str(error)), None
        if record.exit_code not in JUDGED:
            return Judgement("inconclusive", f"the checks ended with status {record.exit_code}"), None
        kept = baseline(record)
        failing = f", {len(kept['failing'])} checks fail" if kept["failing"] else ""
        return Judgement("done", f"{len(kept['figures'])} figures kept{failing}"), kept

    def after(
        self,
        versions: Versions,
        before: Mapping[str, Any] | None,
        since: datetime | None,
        *,
        back: bool = False,
        pointed: Sequence[str] = (),
    ) -> Judgement:
        """Whether VERSIONS, which run SINCE then, are as good as what was BEFORE; a bad look is confirmed by others.

        POINTED are settings that have the checks look elsewhere than at the services.
        """
        confirm = self._deploy.confirm
        look = partial(self._after, versions, before, since, pointed, back=back)
        looks: list[Judgement] = []
        while len(looks) < confirm.of:
            time.sleep(confirm.interval if looks else 0)
            looks.append(look())
            alike = [look for look in looks if look.outcome == looks[-1].outcome]
            if len(alike) >= confirm.passes or looks[0].outcome == "done":
                return alike[-1]
        return Judgement("inconclusive", f"of {len(looks)} looks no {confirm.passes} agree: {looks[-1].said}")

    def _after(
        self,
        versions: Versions,
        before: Mapping[str, Any] | None,
        since: datetime | None,
        pointed: Sequence[str],
        *,
        back: bool,
    ) -> Judgement:
        try:
            record = self._run(self._deploy.verify, versions, since, pointed)
        except RunbookError as error:
            return Judgement("inconclusive", str(error))
        return judge(record, before, self._deploy.compare, back=back)

    def _run(
        self, expression: str, versions: Versions, since: datetime | None = None, pointed: Sequence[str] = ()
    ) -> RunRecord:
        folder = self._project.root / self._settings.report.directory
        folder = folder / CANARIES / new_id() if pointed else folder / new_id()
        aside = [*pointed, *_aside(folder)] if pointed else []
        look = CheckRun(
            self._project.root,
            folder,
            expression,
            settings=self._project.file,
            overrides=[*self._project.overrides, *recent(self._project.loaded, since), *self._told(versions), *aside],
            environment={self._variable: versions.system, MARK: f"{self._mark}.checks", WITHIN: "deployment"},
        )
        return look.record(self._deploy.checks)

    def _told(self, versions: Versions) -> list[str]:
        """Settings that say which version each service should run; of those that are not switched, nobody asks."""
        told = {**dict.fromkeys(self._deploy.services, ""), **versions.services}
        return [f"deploy.versions.{service}={version}" for service, version in told.items()]


def _aside(folder: Path) -> list[str]:
    """A canary is not the system: what its run in FOLDER sees breaks no fix that is watched, and nothing is mended for it."""
    return [f"history.url=sqlite:///{folder}/history.db", "remediation.enabled=false"]
