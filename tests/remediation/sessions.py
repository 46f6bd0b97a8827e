"""Sessions of applications on a real PostgreSQL, and the runbooks of database and standby on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from threading import Thread

import psycopg
from pytest_runbook.backup import postgresql

from tests.probes.databases import PostgresServer, until
from tests.remediation.acting import Acting, settings

BACKUP = postgresql.NAME
"""What the sessions of our own backups and restores are called, and those of pg_dump in them."""


def acting(server: PostgresServer, runbook: str, *checks: str, **overrides: object) -> Acting:
    told = {"probes__database__uri": server.uri(database="shop"), **overrides}
    return Acting(runbook, settings(**told), checks)


def pair(primary: PostgresServer, standby: PostgresServer, runbook: str, **overrides: object) -> Acting:
    return acting(primary, runbook, probes__standby__uri=standby.uri(database="shop"), **overrides)


class Session:
    """One session of an application."""

    def __init__(self, server: PostgresServer, name: str) -> None:
        self.connection = psycopg.connect(server.uri(database="shop"), autocommit=True, application_name=name)
        self.pid = self.connection.info.backend_pid

    def run(self, statement: str) -> None:
        self.connection.execute(statement.encode())

    @property
    def alive(self) -> bool:
        try:
            self.run("SELECT 1")
        except psycopg.Error:
            return self.connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
        return True


@contextmanager
def sessions(server: PostgresServer, *names: str) -> Iterator[list[Session]]:
    with ExitStack() as stack:
        made = [Session(server, name) for name in names]
        for session in made:
            stack.enter_context(session.connection)
        yield made


@contextmanager
def working(server: PostgresServer, statement: str, name: str = "report") -> Iterator[Thread]:
    """A session that works on STATEMENT until the end of the context."""
    with psycopg.connect(server.uri(database="shop"), autocommit=True, application_name=name) as connection:

        def work() -> None:
            with suppress(psycopg.Error):
                connection.execute(statement.encode())

        thread = Thread(target=work, daemon=True)
        thread.start()
        until(
            lambda: server.sql(f"SELECT 1 FROM pg_stat_activity WHERE application_name = '{name}' AND state = 'active'")
        )
        yield thread
        server.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{name}'")
        thread.join(10)
