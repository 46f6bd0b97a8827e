"""Intents: what a step is about to do stands here before it does it, and what came of it afterwards."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, exists, insert, or_, select, update

from pytest_runbook.history.base import Part, added, changed
from pytest_runbook.history.locks import Lock
from pytest_runbook.history.rows import StepRow
from pytest_runbook.history.schema import attempts, intents, locks


class Intents(Part):
    """Steps that were to run."""

    def intend(
        self, attempt: int, step: str, risk: str, target: str, preview: Sequence[str], touched: Sequence[str] = ()
    ) -> int:
        """Note what STEP of ATTEMPT is about to do to TARGET, as PREVIEW says it; the answer names the intent.

        TOUCHED are the services that it starts or stops.
        """
        values = {"attempt": attempt, "step": step, "risk": risk, "target": target, "touched": touched}
        with self._database.write() as connection:
            return added(connection, insert(intents).values(**values, preview=preview, planned=self._now()))

    def start(self, intent: int, *held: Lock) -> bool:
        """Whether the caller, and nobody else ever, may do what INTENT says; False also when a lock of those HELD is lost.

        The database compares and sets in one statement, so that neither a second caller nor one that slept while another
        run took its lock can act.
        """
        if any(lock.lost for lock in held):
            return False
        free = update(intents).where(intents.c.id == intent, intents.c.started.is_(None), intents.c.ended.is_(None))
        for lock in held:
            free = free.where(exists(select(locks.c.token).where(locks.c.token == lock.token)))
        with self._database.write() as connection:
            return changed(connection, free.values(started=self._now()))

    def finish(self, intent: int, outcome: str, output: str = "", duration: float | None = None) -> bool:
        """Note what came of INTENT, DURATION in seconds; False when that is known already.

        Also for one that never started, because it was refused or not needed.
        """
        still = or_(intents.c.ended.is_(None), intents.c.outcome == "unknown")
        values = {"ended": self._now(), "outcome": outcome, "output": output, "duration": duration}
        with self._database.write() as connection:
            return changed(connection, update(intents).where(intents.c.id == intent, still).values(**values))


def steps_of(connection: Connection, which: ColumnElement[bool]) -> list[StepRow]:
    """Steps WHICH were to run, in order."""
    of = (attempts.c.run, attempts.c.runbook, attempts.c.service)
    found = select(intents, *of).join(attempts).where(which).order_by(intents.c.id)
    return [StepRow(**row) for row in connection.execute(found).mappings()]
