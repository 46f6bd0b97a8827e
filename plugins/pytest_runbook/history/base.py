"""What the parts of the store share: the database, whose history it is, which process writes it, and the clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Insert, Update, and_

from pytest_runbook.history.database import Database
from pytest_runbook.process import Process


class Part:
    """One noun of the history of one SYSTEM in one ENVIRONMENT."""

    def __init__(
        self, database: Database, system: str, environment: str, process: Process, now: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._scope = {"system": system, "environment": environment}
        self._process = process
        self._now = now

    @property
    def local(self) -> bool:
        """Whether only processes of this machine can write it: SQLite knows no other."""
        return self._database.sqlite

    def _ours(self, table: FromClause) -> ColumnElement[bool]:
        """Rows of TABLE that are of this history."""
        return and_(*(table.c[name] == value for name, value in self._scope.items()))

    def _holder(self) -> dict[str, Any]:
        """Columns that say which process this is."""
        mine = self._process
        return {"host": mine.host, "place": mine.place, "pid": mine.pid, "pid_started": mine.started}

    def _silent(self, lock: Any) -> bool:
        """Whether the lease of the row LOCK is over by the wall clock; far in the future is as silent as far in the past."""
        return bool(abs(self._now() - lock.renewed) >= timedelta(seconds=lock.lease))


def process_of(row: Any) -> Process:
    """The process that ROW names."""
    return Process(row.host, row.place, row.pid, row.pid_started)


def added(connection: Connection, statement: Insert) -> int:
    """The number of the row that STATEMENT adds."""
    key: Any = connection.execute(statement).inserted_primary_key
    return int(key[0])


def changed(connection: Connection, statement: Update) -> bool:
    """Whether STATEMENT, a compare-and-set, changed a row."""
    return bool(connection.execute(statement).rowcount)
