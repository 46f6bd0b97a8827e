"""Attempts: how often a runbook was tried on a service; caps, cooldown and breaker count them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, insert, or_, select, update

from pytest_runbook.errors import RunbookError
from pytest_runbook.history.base import Part, added, changed
from pytest_runbook.history.intents import steps_of
from pytest_runbook.history.rows import AttemptOutcome, AttemptRow, StepRow
from pytest_runbook.history.schema import attempts, intents
from pytest_runbook.model import Risk

COLUMNS = [attempts.c[name] for name in ("id", "run", "runbook", "service", "checks", "started", "ended", "outcome")]
BREAKING = 0x42524B52
"""First half of the key of the lock under which PostgreSQL counts attempts and adds one."""


class Broken(RunbookError):
    """So many attempts in the whole system did not help that nothing more is tried."""


class Attempts(Part):
    """Runbooks that were tried."""

    def begin_attempt(
        self,
        run: str,
        runbook: str,
        service: str,
        checks: Sequence[str],
        breaker: tuple[datetime, int] | None = None,
    ) -> int:
        """Note that RUN tries RUNBOOK on SERVICE because CHECKS failed; the answer names the attempt.

        BREAKER says since when so many attempts are enough; Broken when they are, those that others begin now included.
        """
        values = {"run": run, "runbook": runbook, "service": service, "checks": checks, **self._scope}
        with self._database.write() as connection:
            if breaker:
                self._insist_on_less(connection, *breaker)
            return added(connection, insert(attempts).values(**values, started=self._now()))

    def _insist_on_less(self, connection: Connection, since: datetime, most: int) -> None:
        """Raise Broken when MOST attempts count already; nobody else adds one until CONNECTION has ended its transaction."""
        if not self._database.sqlite:  # where a write keeps all others out
            ours = func.hashtext("/".join(self._scope.values()))
            connection.execute(select(func.pg_advisory_xact_lock(BREAKING, ours)))
        tries = connection.execute(self._tries(since)).scalar_one()
        if tries >= most:
            raise Broken(f"the breaker is open: {tries} tries within an hour did not help, or are not at their end")

    def end_attempt(self, attempt: int, outcome: AttemptOutcome) -> bool:
        """Note how ATTEMPT ended; False when that is known already."""
        still = or_(attempts.c.ended.is_(None), attempts.c.outcome == "unknown")
        done = update(attempts).where(attempts.c.id == attempt, still).values(ended=self._now(), outcome=outcome)
        with self._database.write() as connection:
            return changed(connection, done)

    def attempts(self, runbook: str, service: str, since: datetime) -> list[AttemptRow]:
        """Attempts of RUNBOOK on SERVICE that count, oldest first: those from SINCE on, after the last verified fix.

        An attempt that was refused before a step changed anything does not count; counted, it would keep itself refused
        for ever. One whose result is open or unknown counts.
        """
        which = and_(attempts.c.runbook == runbook, attempts.c.service == service)
        with self._database.read() as connection:
            return _filled(connection, select(*COLUMNS).where(self._counting(since), which).order_by(attempts.c.id))

    def touches(self, service: str, since: datetime, *, but: int | None = None) -> list[StepRow]:
        """Steps that started or stopped SERVICE, of whichever runbook, oldest first; those of the attempt BUT left out.

        They count as their attempts do: from SINCE on, after the last verified fix.
        """
        which = and_(self._counting(since), intents.c.started.is_not(None), attempts.c.id != (but or 0))
        with self._database.read() as connection:
            return [step for step in steps_of(connection, which) if service in step.touched]

    def fixes(self, runbook: str, service: str, since: datetime) -> int:
        """How many verified fixes RUNBOOK brought to SERVICE from SINCE on: one that is needed daily fixes nothing."""
        which = and_(attempts.c.runbook == runbook, attempts.c.service == service, attempts.c.outcome == "remediated")
        found = select(func.count(attempts.c.id)).where(self._ours(attempts), which, attempts.c.started >= since)
        with self._database.read() as connection:
            return connection.execute(found).scalar_one()

    def unverified(self, since: datetime) -> int:
        """How many attempts from SINCE on count in the whole system: of each runbook and service, those of `attempts`."""
        with self._database.read() as connection:
            return connection.execute(self._tries(since)).scalar_one()

    def rows(self, *, runbook: str | None = None, service: str | None = None, limit: int = 50) -> list[AttemptRow]:
        """Attempts with their steps, newest first."""
        found = select(*COLUMNS).where(self._ours(attempts)).order_by(attempts.c.id.desc()).limit(limit)
        for column, value in ((attempts.c.runbook, runbook), (attempts.c.service, service)):
            found = found if value is None else found.where(column == value)
        with self._database.read() as connection:
            return _filled(connection, found)

    def _tries(self, since: datetime) -> Select[int]:
        return select(func.count(attempts.c.id)).where(self._counting(since))

    def _counting(self, since: datetime) -> ColumnElement[bool]:
        fix = attempts.alias()
        fixed = select(fix.c.id).where(
            self._ours(fix),
            fix.c.runbook == attempts.c.runbook,
            fix.c.service == attempts.c.service,
            fix.c.outcome == "remediated",
            fix.c.id >= attempts.c.id,
        )
        step = intents.alias()
        began = and_(step.c.started.is_not(None), step.c.risk != Risk.OBSERVE)
        acted = exists(select(step.c.id).where(step.c.attempt == attempts.c.id, began))
        tried = or_(attempts.c.outcome.is_(None), attempts.c.outcome != "refused", acted)
        return and_(self._ours(attempts), attempts.c.started >= since, ~exists(fixed), tried)


def _filled(connection: Connection, found: Select[*tuple[Any, ...]]) -> list[AttemptRow]:
    """The attempts FOUND, each with its steps."""
    rows = connection.execute(found).mappings().all()
    steps = defaultdict[int, list[StepRow]](list)
    for step in steps_of(connection, intents.c.attempt.in_([row["id"] for row in rows])):
        steps[step.attempt].append(step)
    return [AttemptRow(**row, steps=tuple(steps[row["id"]])) for row in rows]
