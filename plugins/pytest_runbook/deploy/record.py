"""What one deployment writes into the history, in order, and keeps to itself as long as that does not answer."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_runbook import clock
from pytest_runbook.errors import HistoryError, RunbookError
from pytest_runbook.history.rows import DeploymentOutcome, DeploymentRow, PhaseOutcome, PhaseRow

if TYPE_CHECKING:
    from pytest_runbook.history import Lock, Store

AGAIN = 10.0
"""Seconds for which what cannot be written is tried again: a database that restarts comes back."""
PAUSE = 0.5
"""Seconds between two tries."""


class Superseded(RunbookError):
    """Another process has taken the deployment up, or ended it: this one does nothing more."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}\n  hint: runbook deploy --status")


class Record:
    """One deployment as it stands, and what of that the history does not have yet."""

    def __init__(self, store: Store, row: DeploymentRow, locks: Sequence[Lock], tell: Callable[[str], None]) -> None:
        self.row = row
        """As it stands, also what is not written."""
        self.silence: HistoryError | None = None
        """Why the history does not answer; None when it did the last time."""
        self._store, self._locks, self._tell = store, locks, tell
        self._owed: deque[Callable[[], None]] = deque()
        self._phase = 0
        """The number that the history gave the last phase."""

    def hold(self) -> None:
        """Raise Superseded when somebody else has a lock of ours; one that was not renewed in time may still be ours."""
        for lock in self._locks:
            try:
                if lock.lost and not self._store.renew(lock):
                    raise Superseded(
                        f'the lock of "{lock.target}" was lost, and another process may act by now: {lock.why}\n'
                        "  hint: runbook deploy --status"
                    )
            except HistoryError as error:
                self._unheard(error)

    def enter(self, phase: str) -> None:
        """PHASE begins; raises Superseded as `hold` does."""
        self.hold()
        started = clock.now()
        begun = PhaseRow(0, self.row.id, phase, started, ended=None, outcome=None, said=None, duration=None)
        self.row = replace(self.row, phases=(*self.row.phases, begun))

        def write() -> None:
            self._phase = self._store.enter_phase(self.row.id, phase, started)

        self._write(write)

    def leave(self, outcome: PhaseOutcome, said: str, duration: float) -> None:
        """The phase that was entered last has ended."""
        *before, last = self.row.phases
        ended = clock.now()
        last = replace(last, ended=ended, outcome=outcome, said=said, duration=duration)
        self.row = replace(self.row, phases=(*before, last))
        self._write(lambda: self._store.leave_phase(self._phase, outcome, said, duration, ended))

    def note(self, **known: Any) -> None:
        """Keep what became KNOWN: `backup`, `baseline`, `held`."""
        self.row = replace(self.row, **known)
        self._write(lambda: self._store.note_deployment(self.row.id, **known))

    def end(self, outcome: DeploymentOutcome, why: str) -> None:
        """It has ended, whether that can be written or not; raises Superseded when another process ended it."""
        ended = clock.now()

        def write() -> None:
            if not self._store.end_deployment(self.row.id, outcome, why, run=self.row.run, ended=ended):
                raise Superseded("another process took the deployment up, or ended it")

        self._write(write)
        self.row = replace(self.row, ended=ended, outcome=outcome, why=why, held=None)
        if self._owed:
            way = "--resume" if outcome == "deployed" else "--abort"
            self._tell(
                f"the history does not have that the deployment {self.row.id} has ended\n"
                f"  hint: runbook deploy {way} ends it there as well, once it answers again"
            )

    def _write(self, what: Callable[[], None]) -> None:
        """Do WHAT, after all that is owed; tried again for a while, unless the history was silent before."""
        self._owed.append(what)
        until = clock.monotonic() + (0.0 if self.silence else AGAIN)
        while self._owed:
            try:
                self._owed[0]()
            except HistoryError as error:
                if clock.monotonic() >= until:
                    return self._unheard(error)
                time.sleep(PAUSE)
            else:
                self._owed.popleft()
        if self.silence:
            self._tell("the history answers again, and has what was missing")
        self.silence = None

    def _unheard(self, error: HistoryError) -> None:
        if not self.silence:
            problem, _, hint = str(error).partition("\n")
            self._tell(f"{problem}; what is done meanwhile is written there once it answers again\n{hint}")
        self.silence = error
