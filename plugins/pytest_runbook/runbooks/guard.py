"""What must hold before a runbook acts; every refusal is a sentence that a person can check."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_runbook import clock, managers
from pytest_runbook.errors import RestoreError, UsageError
from pytest_runbook.model import Risk
from pytest_runbook.policy import Policy
from pytest_runbook.runbooks.cases import Case
from pytest_runbook.runbooks.mode import Mode
from pytest_runbook.runbooks.steps import Stage, StepSpec
from pytest_runbook.settings import Settings

if TYPE_CHECKING:
    from pytest_runbook.history.rows import AttemptRow, StepRow
    from pytest_runbook.history.store import Store

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Guard:
    """The guards of one run."""

    mode: Mode
    max_risk: Risk
    settings: Settings
    root: Path
    policy: Policy
    store: Store

    def halted(self) -> str | None:
        """Why nothing may act now, asked again before every step: somebody may just have pulled the switch."""
        if not self.settings.remediation.enabled:
            return "remediation is switched off: remediation.enabled is false"
        stop = self.root / self.settings.remediation.stop_file
        return f'remediation is switched off: "{stop}" exists' if stop.exists() else None

    def closed(self, services: Iterable[str]) -> str | None:
        """Why nothing may be done to SERVICES now, asked again right before it is done."""
        if halted := self.halted():
            return halted
        for service in sorted(services):
            if window := self.policy.window(service, clock.now()):
                return f"{service} is in maintenance by {window.owner} until {window.expires}: {window.reason}"
        return None

    def case(self, case: Case) -> str | None:
        """Why CASE must not be treated."""
        moment = clock.now()
        if halted := self.halted():
            return halted
        if case.unseen:
            return "nothing was seen to be broken: the check could not look"
        for result in case.results:
            if accepted := self.policy.accepted(result.check, moment):
                return f"{accepted.kind} by {accepted.owner} until {accepted.expires}: {accepted.reason}"
        return self._tried(case) or self._fixed(case) or self._broken()

    def step(self, step: StepSpec) -> str | None:
        """Why STEP must not run."""
        if halted := self.halted():
            return halted
        environment = self.settings.system.environment
        ceiling = Risk(getattr(self.settings.remediation.ceilings, environment))
        if step.risk.level > ceiling.level:
            return f"its risk is {step.risk}, and remediation.ceilings.{environment} is {ceiling}"
        if step.risk.level > self.max_risk.level:
            return f"its risk is {step.risk}, and --max-risk is {self.max_risk}"
        if self.mode != Mode.ASK and environment == "production" and step.risk.level >= Risk.DESTRUCTIVE.level:
            return f"its risk is {step.risk}: in {environment} only a person says yes to that, with --remediate=ask"
        return None if step.stage == Stage.DIAGNOSE else self._underway()

    def _underway(self) -> str | None:
        """Which deployment or restore is not at its end: a step would start what that has stopped, switched or half exchanged.

        Also of one that was killed or is held, which has no lock. What cannot be looked at may be one.
        """
        from pytest_runbook.deploy import restores  # late: few runs come to a step
        from pytest_runbook.history.deployments import in_the_way

        if row := self.store.unfinished_deployment():
            return str(in_the_way(row))
        doubts: list[str] = []
        try:
            restores.insist_on_none(self.root / self.settings.restore.journal, doubts.append, urgent=False)
        except (UsageError, RestoreError) as error:
            return str(error)
        return "\n".join(doubts) or None

    def touching(self, services: Iterable[str], attempt: int | None) -> str | None:
        """Why SERVICES must not be started or stopped now, whichever runbook did it last; ATTEMPT may go on with its own."""
        for service in sorted(services):
            steps = self.store.touches(service, self._window, but=attempt)
            times = len({step.attempt for step in steps})
            if rest := self._rest(times, steps):
                what = f"{service} was started or stopped {self._often(times)}, last by {steps[-1].runbook}"
                return f"{what}, and that did not help: {rest}"
        return None

    def placed(self, services: Iterable[str]) -> str | None:
        """Why nobody can tell on which machine SERVICES would be started or stopped; of those that have a manager."""
        for service in sorted(services):
            known = self.settings.services.get(service)
            try:
                if known and known.manager:
                    managers.machine(self.settings, known.manager)
            except UsageError as error:
                return str(error)
        return None

    def _tried(self, case: Case) -> str | None:
        """Caps and cooldown, which a verified fix resets."""
        tries = self.store.attempts(*case.key, self._window)
        rest = self._rest(len(tries), tries)
        return rest and f"it was tried {self._often(len(tries))} and did not help: {rest}"

    def _rest(self, times: int, tries: Sequence[AttemptRow | StepRow]) -> str | None:
        """What has to come before the next try, after TIMES in vain: a person, or the end of the cooldown; None: nothing."""
        told = self.settings.remediation
        if times >= told.attempts:
            return "a person has to look"
        free = max((row.ended or row.started or clock.now() for row in tries), default=None)
        free = free and free + timedelta(seconds=told.cooldown)
        return f"the next try is due {clock.iso(free)}" if free and free > clock.now() else None

    def _often(self, times: int) -> str:
        window = clock.duration(self.settings.remediation.window)
        return f"{times} time{'' if times == 1 else 's'} within {window}"

    @property
    def _window(self) -> datetime:
        """Since when tries count."""
        return clock.now() - timedelta(seconds=self.settings.remediation.window)

    def _fixed(self, case: Case) -> str | None:
        """A fix that has to be made again and again hides the cause."""
        told = self.settings.remediation
        fixes = self.store.fixes(case.runbook, case.service, self._window)
        if fixes < told.fixes:
            return None
        return f"it fixed this {fixes} times within {clock.duration(told.window)}: a person has to find the cause"

    @property
    def breaker(self) -> tuple[datetime, int]:
        """Since when tries in the whole system count, and how many are enough."""
        return clock.now() - HOUR, self.settings.remediation.breaker

    def _broken(self) -> str | None:
        """The breaker of the whole system; asked again when the next try is put down, for others may begin one meanwhile."""
        since, most = self.breaker
        tries = self.store.unverified(since)
        if tries < most:
            return None
        return f"the breaker is open: {tries} tries within an hour did not help"
