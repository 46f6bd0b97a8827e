"""The history of one system in one environment: what was tried, what is being done, who may act, and whether it held."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Self

from sqlalchemy import Connection, func, insert, inspect, select

from pytest_runbook import clock
from pytest_runbook.history.attempts import Attempts
from pytest_runbook.history.database import Database
from pytest_runbook.history.deployments import Deployments
from pytest_runbook.history.intents import Intents
from pytest_runbook.history.locks import Locks
from pytest_runbook.history.migrations import migrate
from pytest_runbook.history.runs import Runs
from pytest_runbook.history.schema import VERSION, metadata, versions
from pytest_runbook.history.watches import Watches
from pytest_runbook.process import Process

MAKING = 0x52554E42
"""Key of the lock under which PostgreSQL's tables are made."""


class Store(Runs, Locks, Attempts, Intents, Watches, Deployments):
    """All of it. Any number of processes may have the same open; every method is one short transaction.

    Methods raise HistoryError when the database does not do what they say. Texts come in redacted.
    """

    @classmethod
    def open(
        cls,
        url: str,
        system: str,
        environment: str,
        *,
        root: Path | None = None,
        now: Callable[[], datetime] = clock.now,
        process: Process | None = None,
    ) -> Self:
        """The history at URL, made when there is none; the file of SQLite is relative to ROOT.

        PROCESS is who acts, this process unless it acts for another.
        """
        database = Database(url, root or Path.cwd())
        _prepare(database, now())
        return cls(database, system, environment, process or Process.current(), now)


def _prepare(database: Database, now: datetime) -> None:
    """Make the tables where there are none, bring those of an earlier software up to date, refuse those of a later one."""
    with database.read() as connection:
        version = _version(connection)
    if version is None or version < VERSION:
        with database.write() as connection:
            if not database.sqlite:  # where a write keeps others out only from the rows it touches
                connection.execute(select(func.pg_advisory_xact_lock(MAKING)))
            version = _version(connection)
            if version is None:
                metadata.create_all(connection, checkfirst=False)
                connection.execute(insert(versions).values(version=VERSION, made=now))
            else:
                migrate(connection, version, now)
            version = _version(connection) or VERSION
    if version > VERSION:
        raise database.error(
            f'is of version "{version}", this software knows up to "{VERSION}"',
            "update pytest-runbook here as well, or name another history in [history] url",
        )


def _version(connection: Connection) -> int | None:
    if not inspect(connection).has_table(versions.name):
        return None
    version: int | None = connection.execute(select(func.max(versions.c.version))).scalar_one()
    return version
