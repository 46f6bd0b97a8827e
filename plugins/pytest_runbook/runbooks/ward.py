"""The failing checks of one run under treatment: which case comes next, and what becomes of the checks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_runbook.errors import HistoryError, RunbookError
from pytest_runbook.model import Outcome, Result
from pytest_runbook.probes import find as kind_of
from pytest_runbook.runbooks import cases
from pytest_runbook.runbooks.cases import Case
from pytest_runbook.runbooks.guard import Guard
from pytest_runbook.runbooks.loading import Runbook, load, snapshot
from pytest_runbook.runbooks.mode import Mode
from pytest_runbook.runbooks.observer import Observer
from pytest_runbook.runbooks.process import over
from pytest_runbook.runbooks.steps import Situation
from pytest_runbook.runbooks.terminal import Terminal
from pytest_runbook.runbooks.treatment import Room, Treated, Treatment

if TYPE_CHECKING:
    from pytest_runbook.history.store import Store
    from pytest_runbook.runbooks.remediation import Remediation


class Ward:
    """Everything that the cases of one run need, and what becomes of their checks."""

    def __init__(self, plan: Remediation, session: pytest.Session, store: Store) -> None:
        self._plan, self._run, self._config, self._store = plan, plan.run, plan.config, store
        self._recorder = plan.run.known_recorder
        self._record = self._recorder.record
        self._terminal = Terminal(plan.config, plan.run.redactor)
        self._folder = snapshot(plan.config.rootpath / "remediation", self._recorder.folder)
        self._guard = Guard(plan.mode, plan.max_risk, plan.run.settings, plan.config.rootpath, plan.run.policy, store)
        self._observer = Observer(session, plan.run.runner, plan.run.confirmation)
        self._treated: list[str] = []
        """Runbooks of which a step acted in this run."""
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
            agree=self._terminal.agree,
            only=plan.only,
        )

    def treat_all(self) -> None:
        """Treat each case once; a case that comes up when another was treated is one of them."""
        settings = self._run.settings
        self._terminal.begin(self._guard.mode, self._guard.max_risk)
        away = cases.cut_off(self._record, self._remote, settings.remediation.cut_off)
        tried: set[tuple[str, str]] = set()
        while case := next((case for case in cases.find(self._record) if case.key not in tried), None):
            tried.add(case.key)
            self._terminal.case(case)
            refused = away or self._incomplete() or self._guard.case(case)
            if refused:
                self._leave(case, f"refused: {refused}")
            else:
                self._treat(case)
            self._recorder.diagnose()
        if self._room.only and not tried and self._record.results:
            self._look()
        self._terminal.retell(self._record)

    def _look(self) -> None:
        """A person named a step, and nothing fails: a step that only looks is done all the same, and shown."""
        first = self._record.results[0].check
        runbook = load(self._folder, first.runbook or "")
        for step in self._treatment(Case(runbook.id, first.service, []), runbook).look().steps:
            self._terminal.tell(f"{step.title}: {step.outcome}{f', {step.why}' if step.why else ''}")
            for line in step.output.splitlines():
                self._terminal.tell(f"    {line}")

    def _remote(self, probe: str) -> bool:
        declared = self._run.settings.probes.get(probe)
        return declared is not None and kind_of(declared.kind).remote

    def _incomplete(self) -> str | None:
        return next(self._run.completeness.holes(), None)

    # -- a case --------------------------------------------------------------------------------------------------------

    def _treat(self, case: Case) -> None:
        try:
            runbook = load(self._folder, case.runbook)
            if not runbook.steps:
                self._leave(case, "refused: the runbook is for a person, it has no steps")
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
        with self._store.lock(case.service, self._record.id, lease) as lock:
            self._plan.tell_unknown(self._store)  # the run that had the lock may have died since this one began
            if lock.after and not over(lock.after):
                return self._leave(case, f"refused: a step of the run {lock.after}, which died, does not end")
            if not self._still_failing(case):
                return
            if refused := self._guard.case(case):  # another run may have tried while this one waited
                return self._leave(case, f"refused: {refused}")
            treatment = self._treatment(case, runbook)
            try:
                treated = treatment.carry_out(lock)
            except BaseException:  # Ctrl-C, or a history that answers no more
                self._leave(case, f"{treatment.treated.outcome}: {treatment.treated.why}", treatment.treated)
                raise
            if any(step.started for step in treated.steps):
                self._treated.append(case.runbook)
            self._settle(case, treated)

    def _treatment(self, case: Case, runbook: Runbook) -> Treatment:
        situation = Situation(
            runbook=runbook.id,
            service=case.service,
            environment=self._run.settings.system.environment,
            checks=case.checks,
            run=self._record.id,
            settings=self._run.settings,
        )
        spared = cases.spared(self._record, case.service, case.checks)
        return Treatment(case, runbook, situation, self._room, spared)

    def _still_failing(self, case: Case) -> bool:
        """Whether there is still something to mend, seen afresh; what passes again leaves the case."""
        seen = cases.by_check(self._observer.look(case.checks))
        well = [r for r in case.results if (now := seen.get(r.check.id)) and now.outcome == Outcome.PASSED]
        by = f"since {' and '.join(self._treated)} ran" if self._treated else "by itself: nothing was done"
        for result in well:
            self._amend(result, [seen[result.check.id]], "" if not self._treated else Outcome.REMEDIATED)
            result.remediation = f"not-needed: it passes again {by}"
            self._recorder.amend(result)
        case.results = [result for result in case.results if result not in well]
        if not case.results:
            self._terminal.tell(f"not needed: it passes again {by}")
        return bool(case.results)

    # -- what becomes of the checks ------------------------------------------------------------------------------------

    def _leave(self, case: Case, why: str, treated: Treated | None = None) -> None:
        """The checks of CASE stay as they are, and say why."""
        self._terminal.outcome(why, treated)
        for result in case.results:
            result.remediation = why
            result.steps = treated.steps if treated else []
            self._recorder.amend(result)

    def _settle(self, case: Case, treated: Treated) -> None:
        """The checks of CASE, of those that wait for them, and of those that must not suffer, after TREATED."""
        if treated.outcome == "refused":
            return self._leave(case, f"refused: {treated.why}", treated)
        fixed = treated.outcome == "remediated"
        outcome = Outcome.REMEDIATED if fixed else Outcome.STILL_FAILING
        looks = [cases.by_check(look) for look in treated.looks]
        for result in case.results:
            result.steps, result.remediation = treated.steps, f"{outcome}: {treated.why}"
            self._amend(result, [look[result.check.id] for look in looks if result.check.id in look], outcome)
        self._terminal.outcome(f"{outcome}: {treated.why}", None)
        if fixed:
            self._look_at_dependants(case)
        self._look_at_neighbours(case)

    def _look_at_dependants(self, case: Case) -> None:
        """What was blocked is judged again: it passes too, or it fails for a reason of its own."""
        seen = cases.by_check(self._observer.look([result.check.id for result in case.dependants]))
        for result in case.dependants:
            now = seen.get(result.check.id)
            if now is None:
                continue
            if now.outcome == Outcome.PASSED:
                result.remediation = f"passes again since {case.runbook} ran"
                self._amend(result, [now], Outcome.REMEDIATED)
            else:
                now.attempts = [*result.attempts, *now.attempts]
                self._recorder.amend(now)

    def _look_at_neighbours(self, case: Case) -> None:
        """A fix that breaks something else is told, whatever it fixed."""
        for now in self._observer.look(cases.spared(self._record, case.service, case.checks)):
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
