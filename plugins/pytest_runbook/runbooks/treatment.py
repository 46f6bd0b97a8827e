"""One case treated: each step a transaction, from the intent on record to the same check passing, or to its undoing.

precondition → intent → act → result → settle → the same check N times. What happened is in the journal and in the history
before the next thing happens, so that a kill at any point leaves nothing that looks done and was not, or the other way round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_runbook import clock
from pytest_runbook.errors import HistoryError, StepFailed
from pytest_runbook.evidence.redaction import Redactor
from pytest_runbook.history.attempts import Broken
from pytest_runbook.model import Outcome, Result, RunRecord, Step, StepOutcome
from pytest_runbook.runbooks import cases
from pytest_runbook.runbooks.actions import Action, touched
from pytest_runbook.runbooks.cases import Case
from pytest_runbook.runbooks.guard import Guard
from pytest_runbook.runbooks.loading import Runbook
from pytest_runbook.runbooks.mode import Mode
from pytest_runbook.runbooks.observer import Observer, Verdict
from pytest_runbook.runbooks.order import Order, Performed
from pytest_runbook.runbooks.process import perform
from pytest_runbook.runbooks.steps import Situation, Stage, StepSpec

if TYPE_CHECKING:
    from pytest_runbook.history.locks import Lock
    from pytest_runbook.history.rows import AttemptOutcome
    from pytest_runbook.history.store import Store

DO = "do"
UNDO = "undo"
"""Stage of a step that is taken back."""
SHOWN = 20
"""Lines of what a step saw that a person gets before being asked."""


@dataclass(frozen=True)
class Room:
    """What every treatment of a run works with."""

    run: str
    folder: Path
    """The snapshot of the runbooks."""
    root: Path
    guard: Guard
    store: Store
    observer: Observer
    redactor: Redactor
    note: Callable[..., None]
    """Appends to the journal: type, then fields."""
    tell: Callable[[str], None]
    """A line for whoever watches."""
    refusal: Callable[[Step], str | None]
    """Asks a person; why the step may not run, None when it may."""
    only: str | None = None
    """The one step that a person named."""


@dataclass
class Treated:
    """What came of a case."""

    outcome: AttemptOutcome | None = None
    """None: nothing was done."""
    why: str = ""
    """In words: by which step it was fixed, or why not."""
    steps: list[Step] = field(default_factory=list)
    looks: list[list[Result]] = field(default_factory=list)
    """What the checks said afterwards, look by look."""


class Treatment:
    """The steps of one runbook on one service, mildest first, until the checks pass."""

    def __init__(self, case: Case, runbook: Runbook, situation: Situation, room: Room, record: RunRecord) -> None:
        """RECORD says what passes and must not break. Raises StepFailed when a step cannot say what it does."""
        self._case, self._runbook, self._situation, self._room = case, runbook, situation, room
        self._steps = [spec for spec in runbook.steps if room.only in (None, spec.name)]
        # Asked once and first: what cannot be said fails before anything acts, and what is shown is what is done.
        self._does = {(spec.name, part): self._said(spec, part) for spec in self._steps for part in (DO, UNDO)}
        self.touched = {case.service}.union(*(self._touches(*key) for key in self._does))
        """Services that the steps may start or stop; locked together, and asked of the maintenance windows."""
        self._spared = cases.spared(record, self.touched, case.checks)
        self._standing = cases.standing(record, self.touched, case.checks)
        self.treated = Treated()
        self._acted: list[StepSpec] = []
        self._attempt: int | None = None
        """Of this treatment in the history, once it is on record."""

    # -- the ways through ----------------------------------------------------------------------------------------------

    def preview(self) -> Treated:
        """Say what would be done, and do nothing."""
        for spec in self._steps:
            step = self._step(spec, StepOutcome.WOULD_RUN)
            if why := self._refused(spec):
                step.outcome, step.why = StepOutcome.REFUSED, why
            else:
                self._needed(spec, step)  # looks only, and changes what the step says of itself
            self._keep(step)
        return self.treated

    def look(self) -> Treated:
        """Only look, as a person does who wants to know: nothing failed, so nothing is mended."""
        for spec in self._steps:
            step = self._step(spec, StepOutcome.NOT_NEEDED)
            if spec.stage == Stage.DIAGNOSE:
                seen = self._perform(spec, DO, tuple(self._lines(spec, DO)))
                step.outcome, step.why, step.output, step.duration = seen.outcome, seen.why, seen.output, seen.duration
            self._keep(step)
        return self.treated

    def carry_out(self, locks: Sequence[Lock]) -> Treated:
        """Climb the ladder while LOCKS hold; the attempt is on record from its beginning to its end."""
        room = self._room
        try:
            attempt = room.store.begin_attempt(room.run, *self._case.key, self._case.checks, room.guard.breaker)
        except Broken as error:
            self.treated.outcome, self.treated.why = "refused", str(error)
            return self.treated
        self._attempt = attempt
        try:
            outcome = self._climb(attempt, locks)
            if outcome != "remediated" and self._acted:
                self._take_back(attempt, locks)
            if outcome == "remediated":
                self._watch()  # before the end is on record: a run that dies between the two leaves the fix watched
            room.store.end_attempt(attempt, outcome)
        except BaseException:  # Ctrl-C, or a history that answers no more: what is known goes on record
            self.treated.why = "the run ended in the middle of it"
            self.treated.outcome = "unknown" if any(step.started for step in self.treated.steps) else "refused"
            with suppress(HistoryError):
                room.store.end_attempt(attempt, self.treated.outcome)
            raise
        self.treated.outcome = outcome
        return self.treated

    def _climb(self, attempt: int, locks: Sequence[Lock]) -> AttemptOutcome:
        for spec in self._steps:
            step = self._run(spec, attempt, locks)
            if not StepOutcome(step.outcome).acted or spec.stage == Stage.DIAGNOSE:
                continue
            self._acted.append(spec)
            if self._helped(spec, step):
                self.treated.why = f'"{step.title}" fixed it'
                return "remediated"
            if broken := self._broken():
                self.treated.why = f'"{step.title}" made it worse: {", ".join(broken)} failed after it'
                return "worse"
        if self._acted:
            self.treated.why = f"{_count(len(self._acted), 'step')} did not help"
            return "still-failing"
        refused = next((s for s in self.treated.steps if s.outcome == StepOutcome.REFUSED), None)
        looked = self._room.only and any(StepOutcome(step.outcome).acted for step in self.treated.steps)
        without = "the step that was named only looks" if looked else "no step applies"
        self.treated.why = f'"{refused.title}": {refused.why}' if refused else without
        return "refused"

    # -- one step ------------------------------------------------------------------------------------------------------

    def _run(self, spec: StepSpec, attempt: int, locks: Sequence[Lock]) -> Step:
        """SPEC through its guards, its precondition and its process."""
        with self._kept(self._step(spec, StepOutcome.REFUSED)) as step:
            if why := self._refused(spec):
                step.why = why
            elif self._needed(spec, step) and self._agreed(spec, step):
                self._act(step, spec, DO, attempt, locks)
        return step

    def _refused(self, spec: StepSpec) -> str | None:
        guard, starts = self._room.guard, self._touches(spec.name, DO)
        return (
            guard.step(spec)
            or guard.closed(self.touched)
            or guard.placed(starts)
            or guard.touching(starts, self._attempt)
        )

    def _agreed(self, spec: StepSpec, step: Step) -> bool:
        """Whether a person says yes, where one is asked, and it is still needed then: people take their time."""
        if spec.stage == Stage.DIAGNOSE or self._room.guard.mode != Mode.ASK:
            return True
        if why := self._room.refusal(step):
            step.outcome, step.why = StepOutcome.REFUSED, why
            return False
        return self._needed(spec, step)

    def _needed(self, spec: StepSpec, step: Step) -> bool:
        """Whether there is something for SPEC to do; STEP says so, or why that is not known."""
        if spec.only_if is None:
            return True
        asking = spec.only_if(self._situation)
        seen = self._perform(spec, "only_if", (asking.describe(),))
        if seen.outcome != StepOutcome.DONE:
            step.outcome, step.why = StepOutcome.REFUSED, f"whether it is needed could not be seen: {seen.why}"
        elif not seen.value:
            step.outcome, step.why = StepOutcome.NOT_NEEDED, f"nothing to do for it: {self._clean(asking.describe())}"
        return seen.outcome == StepOutcome.DONE and bool(seen.value)

    def _act(self, step: Step, spec: StepSpec, part: str, attempt: int, locks: Sequence[Lock]) -> None:
        """Do PART of SPEC, with the intent on record before and the result after; STEP has what came of it."""
        store = self._room.store
        touched = sorted(self._touches(spec.name, part))
        intent = store.intend(attempt, f"{part} {step.name}", step.risk, step.target, step.actions, touched)
        self._room.note("intent", intent=intent, checks=self._case.checks, step=step.to_json())
        # Asked again: only_if and the person may have taken long.
        guard = self._room.guard
        closed = None if part == UNDO else guard.step(spec) or guard.closed(self.touched)
        if closed or not store.start(intent, *locks):
            store.finish(intent, StepOutcome.REFUSED)
            step.outcome = StepOutcome.REFUSED
            step.why = closed or "the lock was lost: another run acts on this service"
            return
        self._room.tell(f"{step.title} ({step.risk}) …")
        step.started = clock.iso(clock.now())
        try:
            done = self._perform(spec, part, tuple(self._lines(spec, part)))
        except BaseException:  # Ctrl-C: its process is gone, with all that it had started
            step.outcome, step.why = StepOutcome.UNKNOWN, "it was interrupted, whether it took effect is not known"
            with suppress(HistoryError):
                store.finish(intent, step.outcome, step.why)
            raise
        step.outcome, step.why, step.output, step.duration = done.outcome, done.why, done.output, done.duration
        store.finish(intent, done.outcome, done.output, done.duration)
        if spec.stage == Stage.DIAGNOSE and self._room.guard.mode == Mode.ASK:
            self._show(step)

    def _show(self, step: Step) -> None:
        """What was seen: who is asked has to know it."""
        lines = step.output.splitlines()
        shown = lines if self._room.only else lines[-SHOWN:]
        if len(shown) < len(lines):
            self._room.tell(f"    … {_count(len(lines) - len(shown), 'line')} before these are in the report")
        for line in shown:
            self._room.tell(f"    {line}")

    def _perform(self, spec: StepSpec, part: str, expected: tuple[str, ...]) -> Performed:
        room = self._room
        order = Order(room.folder, spec.name, part, self._situation, expected, room.root)
        lease = room.guard.settings.remediation.lease
        return perform(order, timeout=spec.timeout, redactor=room.redactor, silence=lease)

    # -- whether it helped -----------------------------------------------------------------------------------------------

    def _helped(self, spec: StepSpec, step: Step) -> bool:
        """Whether the checks pass after STEP, and what it may have touched stands as before.

        A step that failed is not waited for, and the next one comes sooner.
        """
        told = self._room.guard.settings.remediation
        within = spec.within if step.outcome == StepOutcome.DONE else 0.0
        time.sleep(spec.settle)
        verdict = self._room.observer.watch(
            (*self._case.checks, *self._standing), passes=told.passes, interval=told.interval, within=within
        )
        self.treated.looks += verdict.looks
        self._note_verdict(spec, verdict)
        return verdict.verified

    def _watch(self) -> None:
        """Have the next runs see whether the fix holds."""
        until = clock.now() + timedelta(seconds=self._room.guard.settings.remediation.watch)
        for check in self._case.checks:
            self._room.store.watch(check, self._case.runbook, until)

    def _note_verdict(self, spec: StepSpec, verdict: Verdict) -> None:
        failing = [result.check.id for result in verdict.failing]
        self._room.note(
            "verification", step=spec.name, verified=verdict.verified, looks=len(verdict.looks), failing=failing
        )
        self._room.tell(
            f"  verified: {_count(len(self._case.checks), 'check')} looked at {_count(len(verdict.looks), 'time')}"
            if verdict.verified
            else f"  not verified: {', '.join(failing)}"
        )

    def _broken(self) -> list[str]:
        """Checks of the service that passed before and do not pass any more."""
        seen = self._room.observer.look({*self._spared, *self._standing})
        return [result.check.id for result in seen.failing if result.outcome in (Outcome.FAILED, Outcome.TIMED_OUT)]

    # -- taking back ---------------------------------------------------------------------------------------------------

    def _take_back(self, attempt: int, locks: Sequence[Lock]) -> None:
        """Undo what acted and can be undone, the latest first; one that fails keeps no other from being done."""
        undone = [spec for spec in reversed(self._acted) if spec.undo]
        for spec in undone:
            with self._kept(self._step(spec, StepOutcome.REFUSED)) as step:
                step.stage, step.actions = UNDO, [self._clean(line) for line in self._lines(spec, UNDO)]
                if why := self._room.guard.halted():
                    step.why = why
                else:
                    self._act(step, spec, UNDO, attempt, locks)
        if undone and (broken := self._broken()):
            self.treated.why += f"; after taking back what was done, {', '.join(broken)} fail"

    # -- words -----------------------------------------------------------------------------------------------------------

    def _step(self, spec: StepSpec, outcome: StepOutcome) -> Step:
        return Step(
            runbook=self._runbook.id,
            name=spec.name,
            title=spec.title,
            stage=spec.stage,
            risk=spec.risk,
            outcome=outcome,
            target=", ".join(sorted(self._touches(spec.name, DO))) or self._case.service,
            actions=[self._clean(line) for line in self._lines(spec, DO)],
        )

    def _said(self, spec: StepSpec, part: str) -> tuple[Action, ...]:
        """What SPEC says that it does; its function is the runbook's own, and may raise anything."""
        try:
            return spec.undoing(self._situation) if part == UNDO else spec.actions(self._situation)
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise StepFailed(f'the step "{spec.name}" of {self._runbook.id} cannot say what it does: {what}') from error

    def _lines(self, spec: StepSpec, part: str) -> list[str]:
        return [action.describe() for action in self._does[spec.name, part]]

    def _touches(self, name: str, part: str) -> set[str]:
        return touched(self._does[name, part], self._case.service)

    def _keep(self, step: Step) -> None:
        self.treated.steps.append(step)
        self._room.note("step", checks=self._case.checks, step=step.to_json())

    @contextmanager
    def _kept(self, step: Step) -> Iterator[Step]:
        """STEP goes on record, whatever happens on the way."""
        try:
            yield step
        except BaseException:
            step.why = step.why or "the run ended before it"
            raise
        finally:
            self._keep(step)

    def _clean(self, text: str) -> str:
        return self._room.redactor.text(text)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
