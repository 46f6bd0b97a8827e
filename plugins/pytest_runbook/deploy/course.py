"""Walks through the phases of one deployment, each on record before it begins, until it has ended or has to be held."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from pytest_runbook import clock
from pytest_runbook.deploy.looks import Looks, Versions
from pytest_runbook.deploy.migrations import Schema
from pytest_runbook.deploy.phases import BACK, BEFORE, BESIDE, Phase, tried_back
from pytest_runbook.deploy.record import Record, Superseded
from pytest_runbook.deploy.units import Look, Unit
from pytest_runbook.deploy.verdict import Judgement
from pytest_runbook.errors import HistoryError, ManagerError, RunbookError
from pytest_runbook.history.rows import DeploymentOutcome, DeploymentRow

if TYPE_CHECKING:
    from pytest_runbook.history import Lock, Store
    from pytest_runbook.settings.deploy import Deploy

Tell = Callable[[str], None]
Backup = Callable[[str], str]
"""Makes a verified backup of a release, and answers its id; raises RunbookError when there is none in the end."""
SERVED = (Phase.VERIFY, Phase.SOAK)
"""In them the new version serves: what comes instead of it may be worse than what is wrong with it."""
LIVES = 5
"""Main processes, one after the other, that a service may have had before it is well; more are no start."""


class Course:
    """One deployment, from where it stands to where it ends."""

    def __init__(
        self,
        store: Store,
        row: DeploymentRow,
        settings: Deploy,
        *,
        units: Sequence[Unit],
        canaries: Sequence[Unit] = (),
        pointed: Sequence[str] = (),
        looks: Looks,
        backup: Backup,
        schema: Schema,
        locks: Iterable[Lock],
        clean: Callable[[str], str],
        tell: Tell,
    ) -> None:
        """POINTED are settings that have checks look at CANARIES; CLEAN takes secrets out of what is kept and told."""
        self._locks, self._clean, self._tell = list(locks), clean, tell
        self._record, self._settings = Record(store, row, self._locks, tell), settings
        self._forth = True
        """Whether what is done needs its record: not on the way back, where all else matters more."""
        self._returns = False
        """Whether the new version, which served, is to serve again when the one before does not."""
        self._units, self._looks, self._backup, self._schema = units, looks, backup, schema
        self._canaries, self._pointed = canaries, pointed
        self._canary_runs = False
        self._targets: Mapping[str, str] = row.options["targets"]
        self._baseline = row.baseline
        self._switched = _ended(row, Phase.SWITCH)
        self._switched_back = _ended(row, Phase.SWITCH_BACK)

    @property
    def row(self) -> DeploymentRow:
        """The deployment as it stands, whether that is on record or not."""
        return self._record.row

    def walk(self, phases: Iterable[Phase], why: str = "") -> None:
        """Do PHASES, and what their outcomes ask for, until the deployment has ended or is held; WHY one goes back."""
        phase, said = Phase.VERIFY, ""
        for phase in phases:
            seen = self._perform(phase)
            said = seen.said
            if seen.outcome != "done":
                return self._turn(phase, seen)
        if phase in BESIDE:  # the last thing to do of a deployment that is given up
            return self._end("aborted", f"nothing was changed; {said}")
        if phase in BACK:
            cause = next((one for one in self.row.phases if one.outcome == "failed"), None)
            why = why or (f"{cause.phase} failed: {cause.said}" if cause else "it was aborted")
            # Of a rollback that somebody aborted: what it was to leave goes on running.
            outcome: DeploymentOutcome = "aborted" if self.row.kind == "rollback" else "rolled-back"
            return self._end(outcome, f"{why}; the version before is verified: {said}")
        self._end("rolled-back" if self.row.kind == "rollback" else "deployed", said)

    def leave(self) -> None:
        """Have no canary run where the course is broken off; without its lock another process may have one by now."""
        if self._canary_runs:
            with suppress(Superseded):
                self._perform(Phase.CANARY_STOP)

    def _turn(self, phase: Phase, seen: Judgement) -> None:
        """Go on after PHASE, which was not done as it should: nowhere, back, or when somebody has decided."""
        words = "failed" if seen.outcome == "failed" else "could not be judged"
        why = f"{phase} {words}: {seen.said}"
        # What is not on record cannot wait: nobody could take it up.
        undecided = seen.outcome == "inconclusive" and not self._record.silence
        if phase == Phase.CANARY and (left := self._perform(Phase.CANARY_STOP)).outcome != "done":
            self._wait(f"{why}; {left.said}")
        elif phase in BEFORE or (phase == Phase.CANARY and seen.outcome == "failed"):
            self._end("refused", why)
        elif self._returns and phase in (Phase.SWITCH_BACK, Phase.HEALTHY_BACK) and seen.outcome == "failed":
            self._return(why)
        elif phase in (*BESIDE, *BACK) or undecided or self.row.kind == "rollback" or tried_back(self.row):
            self._wait(why)
        else:
            self._go_back(phase, why)

    def _go_back(self, phase: Phase, why: str) -> None:
        """Go back after PHASE, unless what would come back may be worse than what serves."""
        before = _versions(self.row.before)
        schema = self._schema.since((self._baseline or {}).get("schema"))
        self._returns = phase in SERVED
        if self._returns and schema.outcome == "failed" and not self._settings.back_over_migrations:
            return self._wait(f"{schema.said}, and whether {before} works with that nobody knows; {why}")
        self._tell(f"going back to {before}; {schema.said}")
        self.walk(BACK, why)

    def _return(self, why: str) -> None:
        """Have the new version serve again until somebody has decided, WHY the one before does not."""
        self._tell(f"going forth again to {_versions(self._targets)}, which served")
        done = all(self._perform(phase).outcome == "done" for phase in (Phase.SWITCH, Phase.HEALTHY))
        self._wait(f"{self.row.version} {'serves again' if done else 'does not serve again either'}; {why}")

    def _perform(self, phase: Phase) -> Judgement:
        """Do PHASE, on record before and after."""
        self._forth = phase not in (Phase.CANARY_STOP, *BACK) and self.row.kind != "rollback" and not self._returns
        self._record.enter(phase)
        begun = clock.monotonic()
        try:
            self._hold()
            seen = DOES[phase](self)
        except Superseded:
            raise
        except HistoryError as error:
            seen = Judgement("failed", str(error))
        except RunbookError as error:
            seen = Judgement("inconclusive" if phase not in BEFORE else "failed", str(error))
        seen = Judgement(seen.outcome, self._clean(seen.said))
        took = clock.monotonic() - begun
        self._record.leave(seen.outcome, seen.said, took)
        self._tell(f"{phase:12} {seen.outcome:12} {clock.duration(took):>8}  {seen.said}")
        return seen

    def _hold(self) -> None:
        """Go on only as long as nobody else may act; on the way back also while nobody can be asked."""
        self._record.hold()
        if self._forth and self._record.silence:
            raise self._record.silence

    def _wait(self, why: str) -> None:
        """Hold the deployment until somebody has decided."""
        self._record.hold()
        self._record.note(held=why)

    def _end(self, outcome: DeploymentOutcome, why: str) -> None:
        self._record.hold()
        self._record.end(outcome, why)

    def _system(self, versions: Mapping[str, str]) -> str:
        """The system's version while its services run VERSIONS."""
        options = self.row.options
        return str(versions.get(options["system"]) or options["stays"] or self.row.version)

    def _expected(self, services: Mapping[str, str]) -> Versions:
        """What checks are told while SERVICES run so."""
        return Versions(self._system(services), services)

    # -- before --------------------------------------------------------------------------------------------------------

    def _gate(self) -> Judgement:
        return self._looks.gate(self.row.version)

    def _back_up(self) -> Judgement:
        made = self._backup(self._system(self.row.before))
        self._record.note(backup=made)
        return Judgement("done", made)

    def _measure(self) -> Judgement:
        seen, self._baseline = self._looks.before(self._expected(self.row.before))
        if self._baseline is not None:
            # Of one that is taken up the first counts: a canary may have migrated since.
            known = (self.row.baseline or {}).get("schema")
            self._baseline["schema"] = self._schema.revision() if known is None else known
        self._record.note(baseline=self._baseline)
        return seen

    # -- beside --------------------------------------------------------------------------------------------------------

    def _try_canaries(self) -> Judgement:
        """Look at the new version where no user meets it as at the services after a switch; for as long as they are watched."""
        self._canary_runs = True
        seen = self._switch_all(self._canaries, self._targets)
        began = clock.now()
        if seen.outcome == "done":
            seen = self._well(self._canaries, self._targets)

        def look() -> Judgement:
            return self._looks.after(self._expected(self._targets), self._baseline, began, pointed=self._pointed)

        if seen.outcome == "done":
            seen = look()
        return self._watch(look) if seen.outcome == "done" and self.row.options["soak"] else seen

    def _stop_canaries(self) -> Judgement:
        """Have no canary run; every one that may still run is told."""
        left = []
        for unit in self._canaries:
            try:
                unit.stop(self._settings.restart)
            except RunbookError as error:
                left.append(f"{unit.title} may still run: {error}")
        self._canary_runs = bool(left)
        return Judgement("failed", "; ".join(left)) if left else Judgement("done", "no canary runs")

    # -- forth ---------------------------------------------------------------------------------------------------------

    def _switch(self) -> Judgement:
        seen = self._switch_all(self._units, self._targets)
        self._switched = clock.now()
        return seen

    def _healthy(self) -> Judgement:
        return self._well(self._units, self._targets)

    def _verify(self) -> Judgement:
        return self._looks.after(self._expected(self._targets), self._baseline, self._switched)

    def _soak(self) -> Judgement:
        return self._watch(self._verify)

    def _watch(self, look: Callable[[], Judgement]) -> Judgement:
        """LOOK again and again; the last look is made when the time is over."""
        end = clock.monotonic() + float(self.row.options["soak"])
        looks = 0
        while True:
            left = end - clock.monotonic()
            time.sleep(max(0.0, min(self._settings.every, left)))
            seen = look()
            looks += 1
            if seen.outcome != "done":
                return seen
            if left <= self._settings.every:
                return Judgement("done", f"{looks} more looks, the last: {seen.said}")

    # -- back ----------------------------------------------------------------------------------------------------------

    def _switch_back(self) -> Judgement:
        seen = self._switch_all(list(reversed(self._units)), self.row.before)
        self._switched_back = clock.now()
        return seen

    def _healthy_back(self) -> Judgement:
        return self._well(self._units, self.row.before)

    def _verify_back(self) -> Judgement:
        return self._looks.after(self._expected(self.row.before), self._baseline, self._switched_back, back=True)

    # -- both ----------------------------------------------------------------------------------------------------------

    def _switch_all(self, units: Sequence[Unit], versions: Mapping[str, str]) -> Judgement:
        said = []
        for unit in units:
            self._hold()
            try:
                said.append(unit.switch(versions[unit.service], self._settings.restart))
            except ManagerError as error:
                try:
                    status = unit.manager.status(unit.name)
                except RunbookError as silence:  # nobody knows whether it took effect
                    return Judgement("inconclusive", f"{error}; {silence}")
                return Judgement("failed", f"{unit.title} is {status.state}: {error}")
        return Judgement("done", ", ".join(said))

    def _well(self, units: Sequence[Unit], versions: Mapping[str, str]) -> Judgement:
        """Wait until each of UNITS is well in its version of VERSIONS: so many of its last looks, and the very last."""
        want = self._settings.healthy
        end = clock.monotonic() + self._settings.deadline
        seen: dict[str, deque[Look]] = {unit.title: deque(maxlen=want.of) for unit in units}
        births: dict[str, set[tuple[int, ...]]] = {unit.title: set() for unit in units}
        while True:
            for unit in units:
                look = unit.look(versions[unit.service])
                seen[unit.title].append(look)
                births[unit.title].add(look.pids)
            ill = {name: looks[-1] for name, looks in seen.items() if not _enough(looks, want.passes)}
            if not ill:
                return Judgement("done", f"well in {want.passes} of the last {want.of} looks")
            said = "; ".join(look.said for look in ill.values())
            if again := [name for name in ill if len(births[name]) > LIVES]:
                return Judgement("failed", f"{', '.join(again)} ended again and again: {said}")
            # Who is well by now may go on to show it.
            if clock.monotonic() >= end and not all(look.well for look in ill.values()):
                blind = any(look.well is None for look in ill.values())
                limit = clock.duration(self._settings.deadline)
                return Judgement("inconclusive" if blind else "failed", f"not well within {limit}: {said}")
            time.sleep(want.interval)


DOES: Mapping[Phase, Callable[[Course], Judgement]] = {
    Phase.GATE: Course._gate,
    Phase.BACKUP: Course._back_up,
    Phase.BASELINE: Course._measure,
    Phase.CANARY: Course._try_canaries,
    Phase.CANARY_STOP: Course._stop_canaries,
    Phase.SWITCH: Course._switch,
    Phase.HEALTHY: Course._healthy,
    Phase.VERIFY: Course._verify,
    Phase.SOAK: Course._soak,
    Phase.SWITCH_BACK: Course._switch_back,
    Phase.HEALTHY_BACK: Course._healthy_back,
    Phase.VERIFY_BACK: Course._verify_back,
}


def _enough(looks: Sequence[Look], passes: int) -> bool:
    return bool(looks[-1].well) and sum(bool(look.well) for look in looks) >= passes


def _ended(row: DeploymentRow, phase: Phase) -> datetime | None:
    """When PHASE was last ended in ROW; what is looked at after a change looks no further back."""
    return next((one.ended for one in reversed(row.phases) if one.phase == phase and one.outcome == "done"), None)


def _versions(before: Mapping[str, str]) -> str:
    return ", ".join(f"{service} {version}" for service, version in before.items())
