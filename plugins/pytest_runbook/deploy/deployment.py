"""Begins, takes up and ends deployments: who may, from which version to which, and under which locks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from pytest_runbook import managers
from pytest_runbook.deploy import canary, restores
from pytest_runbook.deploy.course import Backup, Course, Tell
from pytest_runbook.deploy.looks import Looks, Project
from pytest_runbook.deploy.migrations import Schema
from pytest_runbook.deploy.phases import BESIDE, Phase, finishing, planned, remaining, rolling_back, undoing
from pytest_runbook.deploy.previous import insist_on_one_before, insist_on_one_version, previous, standing
from pytest_runbook.deploy.units import Unit, units
from pytest_runbook.errors import RunbookError, UsageError
from pytest_runbook.evidence.redaction import Redactor
from pytest_runbook.history import DeploymentRow, Lock, Store
from pytest_runbook.history.deployments import in_the_way
from pytest_runbook.history.rows import DeploymentKind
from pytest_runbook.managers._versions import FORM, VERSION
from pytest_runbook.naming import new_id, person
from pytest_runbook.runbooks import family
from pytest_runbook.runbooks.process import insist_over
from pytest_runbook.runbooks.reach import Reach

MOVES = "latest"
"""The tag that is another version tomorrow: nobody could go back to it."""
RECENT = 100
"""Deployments on record that a rollback looks through."""
LOCK = "the deployment"
"""What one process at a time holds; no service is called so."""


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks for."""

    kind: DeploymentKind
    version: str | None
    """None, of a rollback: the one before."""
    services: tuple[str, ...] = ()
    """Empty: those of the settings; of a rollback to the version before, those of the last deployment."""
    backup: bool = True
    """False: the one that the settings ask for is left out."""
    canary: bool = False
    """True: it runs in canaries first. A rollback has none: what runs now is not good, and there is no time."""
    soak: float = 0.0
    reason: str = ""
    """Why there is no backup."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is going to be done."""

    request: Request
    before: Mapping[str, str]
    targets: Mapping[str, str]
    phases: Sequence[Phase]
    system: str
    """The service whose version is the system's."""
    stays: str | None
    """Its version, when it is none of those that are switched."""
    canaries: Sequence[str] = ()
    """What is started beside the services first, in words."""

    @property
    def version(self) -> str:
        """That of the first service."""
        return next(iter(self.targets.values()))

    def lines(self) -> Iterator[str]:
        """It for people."""
        for service, version in self.targets.items():
            yield f"{service}: {self.before[service]} -> {version}"
        yield from self.canaries
        yield f"phases: {', '.join(self.phases)}"


class Deployment:
    """Deployments of one project, by one process."""

    def __init__(self, project: Project, store: Store, backup: Callable[[], Backup], tell: Tell) -> None:
        """BACKUP makes what makes a backup, when one is wanted."""
        self._project, self._store, self._backup = project, store, backup
        self._settings = project.loaded.settings
        self.clean = Redactor(project.loaded.secrets).text
        """Takes secrets out of what is told."""
        self._say = tell
        self.unfinished = False
        """Whether this process is at a deployment that is not at its end."""
        self._run = new_id()
        self._reach = Reach(self._settings, project.root, self._run)

    def plan(self, request: Request) -> Plan:
        """What REQUEST means here; UsageError when that cannot be done."""
        urgent = request.kind == "rollback"
        if unfinished := self._store.unfinished_deployment():
            raise in_the_way(unfinished)
        self._insist_on_no_restore(urgent=urgent)
        services = self._services(request)
        if not services:
            raise UsageError(
                "no service is named\n  hint: --services NAME,NAME, or deploy.services in the settings file"
            )
        found = units(self._settings, self._reach, services)
        before = {unit.service: self._version(unit, urgent=urgent) for unit in found}
        if request.version is None:
            targets = previous(self._store.deployments(RECENT), found, before)
            insist_on_one_version(found, targets)
        else:
            targets = dict.fromkeys(before, request.version)
        if wrong := [version for version in targets.values() if not VERSION.fullmatch(version)]:
            raise UsageError(f'"{wrong[0]}" cannot be a version\n  hint: {FORM}')
        if MOVES in targets.values():
            raise UsageError(
                f'"{MOVES}" is no version: it moves, so nobody could go back to what it is now\n'
                "  hint: name the tag of the release that it stands for"
            )
        if targets == before and all(unit.running() for unit in found):
            raise UsageError(
                f"nothing to do: {', '.join(f'{name} runs {version}' for name, version in before.items())}"
            )
        if urgent:
            return Plan(request, before, targets, rolling_back(soak=request.soak > 0), *self._system(before))
        insist_on_one_before(found, before)
        wanted = self._settings.deploy.backup
        if wanted and not request.backup:
            self._insist(request.reason)
        phases = planned(backup=wanted and request.backup, canary=request.canary, soak=request.soak > 0)
        beside = self._beside(found) if request.canary else ()
        return Plan(request, before, targets, phases, *self._system(before), beside)

    def begin(self, request: Request) -> DeploymentRow:
        """Do what REQUEST asks for; the row says what came of it."""
        with self._locked(lambda: self._services(request)) as locks:
            plan = self.plan(request)
            options = {
                "targets": dict(plan.targets),
                "phases": [str(phase) for phase in plan.phases],
                "soak": request.soak,
                "reason": request.reason,
                "system": plan.system,
                "stays": plan.stays,
            }
            number = self._store.begin_deployment(
                self._run,
                request.kind,
                plan.version,
                plan.before,
                who=person(),
                options=options,
                baseline=self._known(plan) if request.kind == "rollback" else None,
            )
            self.unfinished = True
            for line in plan.lines():
                self._tell(line)
            return self._walk(number, locks, plan.phases)

    def resume(self, number: int | None = None) -> DeploymentRow:
        """Go on with the deployment that is not at its end; with NUMBER only with that one, which may have ended meanwhile."""
        return self._take_up(remaining, number)

    def abort(self, number: int | None = None) -> DeploymentRow:
        """End the deployment that is not at its end on the version before it; NUMBER as in `resume`."""
        return self._take_up(undoing, number)

    def finish(self, number: int | None = None) -> DeploymentRow:
        """End the deployment that is not at its end on what it is to lead to, also from the way back; NUMBER as in `resume`."""
        return self._take_up(finishing, number)

    def left(self, *, back: bool = False, forth: bool = False) -> str:
        """What `resume`, `abort` when one goes BACK, or `finish` FORTH, would do; UsageError when none of them may."""
        row = self._unfinished()
        self._insist_on_no_restore(urgent=back or row.kind == "rollback")
        if self._store.life(row.id) == "lives":
            raise UsageError(
                f"the deployment {row.id} is going on: process {row.pid} on {row.host}\n  hint: runbook deploy --status"
            )
        return _told(row, undoing(row) if back else finishing(row) if forth else remaining(row))

    def _take_up(self, left: Callable[[DeploymentRow], Sequence[Phase]], number: int | None) -> DeploymentRow:
        found = self._unfinished(number)
        if found.ended:
            return self._ended_meanwhile(found)
        with self._locked(lambda: found.services) as locks:
            found = self._unfinished(found.id)  # another process may have ended it while this one waited
            if found.ended:
                return self._ended_meanwhile(found)
            self._insist_on_no_restore(urgent=left is undoing or found.kind == "rollback")
            self.unfinished = True
            end_programs(found)
            self._store.take_deployment(found.id, self._run)
            row = self._store.deployment(found.id)
            phases = left(row)
            self._tell(_told(row, phases))
            if not phases:
                self._store.end_deployment(row.id, "aborted", "nothing was changed", run=row.run)
                return self._left(self._store.deployment(row.id))
            return self._walk(row.id, locks, phases)

    def _walk(self, number: int, locks: Sequence[Lock], phases: Sequence[Phase]) -> DeploymentRow:
        row = self._store.deployment(number)
        variable = managers.declared(self._settings, row.services[0])[0].version_variable
        beside = row.services if set(BESIDE) & set(phases) else ()
        course = Course(
            self._store,
            row,
            self._settings.deploy,
            units=units(self._settings, self._reach, row.services),
            canaries=canary.canaries(self._settings, self._reach, beside),
            pointed=canary.pointed(self._settings, beside),
            looks=Looks(self._project, self._run, variable),
            backup=self._backup() if Phase.BACKUP in phases else _no_backup,
            schema=Schema(self._settings),
            locks=locks,
            clean=self.clean,
            tell=self._tell,
        )
        try:
            course.walk(phases)
        except BaseException:
            course.leave()
            raise
        return self._left(course.row)

    def _left(self, row: DeploymentRow) -> DeploymentRow:
        """How the deployment ROW is left."""
        self.unfinished = row.ended is None
        return row

    def _ended_meanwhile(self, row: DeploymentRow) -> DeploymentRow:
        self._tell(f"the deployment {row.id} has ended meanwhile, by another process")
        return self._left(row)

    def _tell(self, text: str) -> None:
        self._say(self.clean(text))

    def _services(self, request: Request) -> Sequence[str]:
        """Those that REQUEST is about."""
        if request.services or request.version is not None:
            return request.services or self._settings.deploy.services
        for row in self._store.deployments(RECENT):
            if row.outcome == "deployed":
                known = [service for service in row.services if service in self._settings.services]
                if found := standing(row, units(self._settings, self._reach, known)):
                    return found
        return self._settings.deploy.services

    def _version(self, unit: Unit, *, urgent: bool) -> str:
        """The version to go back to; UsageError when nobody knows it, ManagerError when UNIT has no version to switch.

        When it is URGENT, of a service that crashed the version that ran.
        """
        unit.manager.previous_version(unit.name)
        running = unit.last() if urgent else unit.running()
        if running is None:
            raise UsageError(
                f'which version "{unit.service}" runs cannot be seen, so there would be no way back\n'
                f"  hint: start it first; runbook config services.{unit.service} says by whom"
            )
        return running

    def _beside(self, services: Sequence[Unit]) -> list[str]:
        """The canaries of SERVICES in words; UsageError when one has none, or none that leaves the services as they are."""
        names = [unit.service for unit in services]
        for one in canary.canaries(self._settings, self._reach, names):
            canary.insist_on_its_own_unit(self._settings, self._reach, one)
            canary.insist_on_its_own_version(one, services)
        return list(canary.lines(self._settings, names))

    def _system(self, before: Mapping[str, str]) -> tuple[str, str | None]:
        """The service whose version is the system's, and that version when it is none of those BEFORE."""
        main = next(iter(self._settings.deploy.services or before))
        if main in before:
            return main, None
        (unit,) = units(self._settings, self._reach, [main])
        return main, unit.running()

    def _insist(self, reason: str) -> None:
        environment = self._settings.system.environment
        if environment in self._settings.deploy.insist and not reason:
            raise UsageError(
                f'no deployment in "{environment}" without a backup\n'
                "  hint: --reason TEXT says on record why there is none, deploy.insist says where that is asked"
            )

    def _insist_on_no_restore(self, *, urgent: bool) -> None:
        restores.insist_on_none(self._project.root / self._settings.restore.journal, self._tell, urgent=urgent)

    def _known(self, plan: Plan) -> Mapping[str, Any] | None:
        """What was measured of the version to go back to, before it was replaced."""
        rows = self._store.deployments(RECENT)
        return next((row.baseline for row in rows if row.outcome == "deployed" and row.before == plan.targets), None)

    def _unfinished(self, number: int | None = None) -> DeploymentRow:
        """The one that is not at its end; with NUMBER that one, however it stands by now."""
        found = self._store.unfinished_deployment() if number is None else self._store.deployment(number)
        if found is None:
            raise UsageError("no deployment is unfinished\n  hint: runbook deploy --history shows those that ended")
        return found

    @contextmanager
    def _locked(self, services: Callable[[], Sequence[str]]) -> Iterator[list[Lock]]:
        """Nobody else deploys, and no runbook acts on SERVICES, asked for then, meanwhile; Held when somebody does."""
        lease = self._settings.deploy.lease
        with ExitStack() as stack:
            take = partial(self._store.lock, run=self._run, lease=lease, tell=self._tell)
            locks = [stack.enter_context(take(LOCK))]
            locks += [stack.enter_context(take(one)) for one in sorted(services())]
            insist_over(locks)
            yield locks


def _told(row: DeploymentRow, phases: Sequence[Phase]) -> str:
    """What is to do of ROW, which is taken up."""
    return f"deployment {row.id} of {row.version}: {', '.join(phases) or 'nothing was changed'}"


def end_programs(row: DeploymentRow) -> None:
    """End what programs of the deployment ROW are left, which was killed: for who has its lock."""
    if not family.end(lambda: family.marked(f"{row.run}.")):
        raise RunbookError(f"a program that the deployment {row.id} started does not end")


def _no_backup(release: str) -> str:
    raise RunbookError(f'no backup of "{release}" belongs to this deployment')
