"""The failing checks of one run under treatment: which case comes next, and what becomes of the checks."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_runbook.diagnosis import closure
from pytest_runbook.errors import HistoryError, RunbookError
from pytest_runbook.model import Outcome, Result
from pytest_runbook.probes import find as kind_of
from pytest_runbook.runbooks import cases
from pytest_runbook.runbooks.cases import Case
from pytest_runbook.runbooks.guard import Guard
from pytest_runbook.runbooks.loading import Runbook, load
from pytest_runbook.runbooks.mode import Mode
from pytest_runbook.runbooks.observer import Observer, Seen
from pytest_runbook.runbooks.process import insist_over
from pytest_runbook.runbooks.steps import Situation
from pytest_runbook.runbooks.terminal import Terminal
from pytest_runbook.runbooks.treatment import Room, Treated, Treatment

if TYPE_CHECKING:
    from pytest_runbook.history.store import Store
    from pytest_runbook.runbooks.remediation import Remediation


class Ward:
    """Everything that the cases of one run need, and what becomes of their checks."""

    def __init__(self, plan: Remediation, session: pytest.Session, store: Store, folder: Path) -> None:
        """FOLDER has the runbooks, as they are for this run."""
        self._folder = folder
        self._plan, self._run, self._config, self._store = plan, plan.run, plan.config, store
        self._recorder = plan.run.known_recorder
        self._record = self._recorder.record
        self._terminal = Terminal(plan.config, plan.run.redactor)
        self._guard = Guard(plan.mode, plan.max_risk, plan.run.settings, plan.config.rootpath, plan.run.policy, store)
        self._observer = Observer(session, plan.run.runner, plan.run.confirmation)
        self._fixes: list[tuple[str, set[str]]] = []
        """Runbooks that brought a verified fix in this run, and the services that each may have touched."""
        self._room = Room(
            run=self._record.id,
            folder=self._folder,
            root=plan.config.rootpath,
            guard=self._guard,
            store=store,
            observer=self._observer,
            redactor=plan.run.redactor,
            note=self._recorder.journal.write,
            tell=self._terminal.tell,
            refusal=self._terminal.refusal,
            only=plan.only,
        )

    def treat_all(self) -> None:
        """Treat each case once; a case that comes up when another was treated is one of them."""
        settings = self._run.settings
        self._terminal.begin(self._guard.mode, self._guard.max_risk)
        tried: set[tuple[str, str]] = set()
        while case := next((case for case in self._cases() if case.key not in tried), None):
            tried.add(case.key)
            self._terminal.case(case)
            away = cases.cut_off(self._record, self._remote, settings.remediation.cut_off)
            refused = away or self._incomplete() or self._unlooked(case) or self._guard.case(case)
            if refused:
                self._leave(case, f"refused: {refused}")
            else:
                self._treat(case)
            self._recorder.diagnose()
        if self._plan.named and not tried:
            self._say_blocked(self._plan.named)
        if self._room.only and not tried and self._record.results:
            self._look()
        self._terminal.retell(self._record)

    def _say_blocked(self, named: str) -> None:
        """A person who named a runbook is told why it is not the one that is needed."""
        for result in self._record.of(Outcome.BLOCKED):
            if result.check.runbook == named:
                self._terminal.tell(f"nothing to mend by {named}: {result.check.id} is blocked by {result.root}")

    def _look(self) -> None:
        """A person named a step, and nothing fails: a step that only looks is done all the same, and shown."""
        runbook = load(self._folder, self._plan.named or "")
        first = next((result.check for result in self._record.results if result.check.runbook == runbook.id), None)
        if first is None:
            return
        for step in self._treatment(Case(runbook.id, first.service, []), runbook).look().steps:
            self._terminal.tell(f"{step.title}: {step.outcome}{f', {step.why}' if step.why else ''}")
            for line in step.output.splitlines():
                self._terminal.tell(f"    {line}")

    def _remote(self, probe: str) -> bool:
        declared = self._run.settings.probes.get(probe)
        return declared is not None and kind_of(declared.kind).remote

    def _cases(self) -> list[Case]:
        """What is to be mended; when a person named a runbook, by that one."""
        return [case for case in cases.find(self._record) if self._plan.named in (None, case.runbook)]

    def _unlooked(self, case: Case) -> str | None:
        """Why nobody can tell that the service of CASE is the root, when what it depends on was not looked at."""
        if missing := cases.unlooked(self._record, case.service) & self._run.askable:
            names = ", ".join(sorted(missing))
            return f"{case.service} depends on {names}, and no availability check of that was in this run"
        return None

    def _doubtful(self) -> str | None:
        """Why nobody can tell that what was seen, and would be mended, is the system."""
        return next((f"where the system is could not be read: {doubt}" for doubt in self._run.doubts), None)

    def _incomplete(self) -> str | None:
        return next(self._run.completeness.holes(), None)

    # -- a case --------------------------------------------------------------------------------------------------------

    def _treat(self, case: Case) -> None:
        try:
            runbook = load(self._folder, case.runbook)
            if not runbook.steps:
                self._leave(case, "refused: the runbook is for a person, it has no steps")
            elif doubtful := self._doubtful():
                self._leave(case, f"refused: {doubtful}")
            elif self._guard.mode == Mode.PLAN:
                self._leave(case, "would run", self._treatment(case, runbook).preview())
            else:
                self._under_lock(case, runbook)
        except HistoryError:
            raise
        except RunbookError as error:  # a runbook that is wrong, or a lock that another run has
            self._leave(case, f"refused: {error}")

    def _under_lock(self, case: Case, runbook: Runbook) -> None:
        lease = self._run.settings.remediation.lease
        self._store.heartbeat(self._record.id)  # until it has a lock nothing else says that this run lives
        with ExitStack() as stack:
            touched = self._treatment(case, runbook).touched
            locks = [stack.enter_context(self._store.lock(name, self._record.id, lease)) for name in sorted(touched)]
            self._plan.tell_unknown(self._store)  # the run that had a lock may have died since this one began
            insist_over(locks)
            if not self._still_failing(case):
                return
            # Another run may have tried while this one waited.
            if refused := self._guard.case(case) or self._guard.closed(touched):
                return self._leave(case, f"refused: {refused}")
            treatment = self._treatment(case, runbook)
            try:
                treated = treatment.carry_out(locks)
            except BaseException:  # Ctrl-C, or a history that answers no more
                self._leave(case, f"{treatment.treated.outcome}: {treatment.treated.why}", treatment.treated)
                raise
            if treated.outcome == "remediated":
                self._fixes.append((case.runbook, touched))
            self._settle(case, treated, touched)

    def _treatment(self, case: Case, runbook: Runbook) -> Treatment:
        situation = Situation(
            runbook=runbook.id,
            service=case.service,
            environment=self._run.settings.system.environment,
            checks=case.checks,
            run=self._record.id,
            settings=self._run.settings,
        )
        return Treatment(case, runbook, situation, self._room, self._record)

    def _still_failing(self, case: Case) -> bool:
        """Whether there is still something to mend, seen afresh; what passes again leaves the case."""
        seen = self._look_again(case.checks)
        well = [result for result in case.results if seen.passes(result.check.id)]
        fixers = [runbook for runbook, services in self._fixes if services & self._tied(case.service)]
        by = f"since {' and '.join(fixers)} ran" if fixers else "by itself: nothing was done"
        for result in well:
            result.remediation = f"not-needed: it passes again {by}"
            self._amend(result, seen.of(result.check.id), Outcome.REMEDIATED if fixers else "")
            self._recorder.over(result)
        case.results = [result for result in case.results if result not in well]
        if not case.results:
            self._terminal.tell(f"not needed: it passes again {by}")
            self._look_at_dependants(case, by, Outcome.REMEDIATED if fixers else "")
        return bool(case.results)

    def _look_again(self, checks: Iterable[str]) -> Seen:
        """CHECKS as often in a row as a fix has to pass."""
        told = self._run.settings.remediation
        return self._observer.look(checks, times=told.passes, interval=told.interval)

    def _tied(self, service: str) -> set[str]:
        """SERVICE, what it depends on, and what depends on it: a standby that is back empties the primary's slot."""
        above = {other for other in self._record.services if service in closure([other], self._record.services)}
        return above | closure([service], self._record.services)

    # -- what becomes of the checks ------------------------------------------------------------------------------------

    def _leave(self, case: Case, why: str, treated: Treated | None = None) -> None:
        """The checks of CASE stay as they are, and say why."""
        why = self._run.redactor.text(why)
        self._terminal.outcome(why, treated)
        for result in case.results:
            result.remediation = why
            result.steps = treated.steps if treated else []
            self._recorder.amend(result)

    def _settle(self, case: Case, treated: Treated, touched: set[str]) -> None:
        """The checks of CASE, those that wait for them, and those of the TOUCHED services, which must not suffer."""
        if treated.outcome == "refused":
            return self._leave(case, f"refused: {treated.why}", treated)
        fixed = treated.outcome == "remediated"
        outcome = Outcome.REMEDIATED if fixed else Outcome.STILL_FAILING
        looks = Seen(len(treated.looks), treated.looks)
        for result in case.results:
            result.steps, result.remediation = treated.steps, f"{outcome}: {treated.why}"
            self._amend(result, looks.of(result.check.id), outcome)
        self._terminal.outcome(f"{outcome}: {treated.why}", None)
        if fixed:
            self._look_at_dependants(case, f"since {case.runbook} ran", Outcome.REMEDIATED)
        self._look_at_neighbours(case, touched)

    def _look_at_dependants(self, case: Case, by: str, outcome: str) -> None:
        """What was blocked is judged again: it passes too, and has OUTCOME, if any, or it fails for a reason of its own."""
        seen = self._look_again(result.check.id for result in case.dependants)
        failing = {now.check.id: now for now in seen.failing}
        for result in case.dependants:
            if seen.passes(result.check.id):
                result.remediation = f"passes again {by}"
                self._amend(result, seen.of(result.check.id), outcome)
            elif now := failing.get(result.check.id):
                now.attempts = [*result.attempts, *now.attempts]
                self._recorder.amend(now)

    def _look_at_neighbours(self, case: Case, touched: set[str]) -> None:
        """A fix that breaks something else is told, whatever it fixed."""
        beside = {
            *cases.spared(self._record, touched, case.checks),
            *cases.standing(self._record, touched, case.checks),
        }
        for now in self._observer.look(beside).failing:
            if now.bad:
                now.remediation = f"it passed before {case.runbook} ran"
                self._recorder.amend(now)
                self._terminal.tell(f"{now.check.id} fails since: {now.message}")

    def _amend(self, result: Result, seen: Iterable[Result], outcome: str) -> None:
        """RESULT goes on with what was SEEN later, one story from the failure to the end, and has OUTCOME, if any."""
        for now in seen:
            first = len(result.attempts) + 1
            result.attempts += [replace(tried, number=first + n) for n, tried in enumerate(now.attempts)]
            result.evidence += now.evidence
            result.measurements = now.measurements or result.measurements
            result.duration += now.duration
        if outcome:
            result.outcome = outcome
        self._recorder.amend(result)
