"""Runs, and what those that died left open: an intent without a result is closed as unknown, once, and never replayed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, case, insert, or_, select, update

from pytest_runbook.history.base import Part, process_of
from pytest_runbook.history.intents import steps_of
from pytest_runbook.history.rows import StepRow
from pytest_runbook.history.schema import attempts, intents, runs

PRESUMED_DEAD = timedelta(minutes=2)
"""Without a sign of life for so long, a run on a machine that cannot be looked at is taken to be dead."""
_CUT_SHORT = "the run died while this step ran: whether it took effect is not known"
_NOT_BEGUN = "the run died before this step began"


class Runs(Part):
    """Runs of this system."""

    def begin_run(self, id: str) -> None:  # noqa: A002 - it is called that everywhere
        """Note that this process has begun the run ID."""
        now = self._now()
        with self._database.write() as connection:
            connection.execute(insert(runs).values(id=id, started=now, seen=now, **self._scope, **self._holder()))

    def heartbeat(self, id: str) -> None:  # noqa: A002
        """Note that the run ID lives; a lock does so for the run that holds it."""
        with self._database.write() as connection:
            connection.execute(update(runs).where(runs.c.id == id).values(seen=self._now()))

    def end_run(self, id: str, exit_code: int) -> None:  # noqa: A002
        """Note that the run ID ended by itself."""
        now = self._now()
        with self._database.write() as connection:
            connection.execute(update(runs).where(runs.c.id == id).values(seen=now, ended=now, exit_code=exit_code))

    def close_unknown(self) -> list[StepRow]:
        """Close intents and attempts of dead runs as `unknown`; of several callers, each intent is answered to one.

        A step whose `started` is None never ran. A result that comes after all, from a run that only seemed dead,
        replaces `unknown`.
        """
        open_attempts = select(attempts.c.run).where(attempts.c.ended.is_(None))
        open_intents = select(attempts.c.run).join(intents).where(intents.c.ended.is_(None))
        candidates = select(runs).where(
            self._ours(runs), or_(runs.c.id.in_(open_attempts), runs.c.id.in_(open_intents))
        )
        with self._database.read() as connection:
            dead = [run.id for run in connection.execute(candidates) if self._dead(run)]
        if not dead:
            return []
        with self._database.write() as connection:
            return self._closed(connection, dead)

    def _dead(self, run: Any) -> bool:
        """Whether RUN cannot act any more."""
        process = process_of(run)
        if run.ended is not None or process.gone:
            return True
        # Far in the future is as silent as far in the past: somebody's clock was wrong.
        silent = abs(self._now() - run.seen) >= PRESUMED_DEAD
        return silent and process.place != self._process.place

    def _closed(self, connection: Connection, dead: Sequence[str]) -> list[StepRow]:
        theirs = select(attempts.c.id).where(attempts.c.run.in_(dead))
        now, closed = self._now(), []
        for table, of in ((intents, intents.c.attempt), (attempts, attempts.c.id)):
            # Rows that somebody else is closing are theirs.
            found = select(table.c.id).where(table.c.ended.is_(None), of.in_(theirs)).with_for_update(skip_locked=True)
            ids = connection.execute(found).scalars().all()
            values: dict[str, Any] = {"ended": now, "outcome": "unknown"}
            if table is intents:
                values["output"] = case((intents.c.started.is_(None), _NOT_BEGUN), else_=_CUT_SHORT)
                closed = list(ids)
            connection.execute(update(table).where(table.c.id.in_(ids)).values(**values))
        return steps_of(connection, intents.c.id.in_(closed))
