"""The application's way to PostgreSQL: one pool per worker process, and no call that waits long for a dead server."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from lab.serving.environment import Environment
from lab.web import APPLICATION

PATIENCE = 1.5
"""Seconds to wait for a connection, and again for one statement."""


class Unavailable(Exception):
    """The database refused or did not answer in time."""


class Impatient(psycopg.Connection[Any]):
    """A connection that is closed when the server has taken a statement and stays silent: the kernel would wait."""

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **kwargs: Any) -> Any:
        """As psycopg's own, with an end."""
        return super().wait(self._bounded(gen), *args, **kwargs)

    def _bounded(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        end = monotonic() + PATIENCE
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and monotonic() > end:
                    self.close()
                    raise psycopg.OperationalError(f"no answer within {PATIENCE} s")
                wanted = gen.send(ready)
        except StopIteration as done:
            return done.value


class Database:
    """Statements in, rows out; `open` after the worker process has forked."""

    def __init__(self, environment: Environment, application: str = APPLICATION, *, size: int | None = None) -> None:
        """A pool of SIZE connections, by default what the configuration allows."""
        allowed = environment.get("database.pool_size", 10) + environment.get("database.max_overflow", 0)
        self.pool = ConnectionPool(
            environment.database_uri,
            connection_class=Impatient,
            kwargs={
                "application_name": application,
                "connect_timeout": 2,
                "row_factory": dict_row,
                "options": f"-c statement_timeout={int(PATIENCE * 1000)} -c idle_in_transaction_session_timeout=30000",
            },
            min_size=1,
            max_size=size or allowed,
            max_lifetime=environment.get("database.pool_recycle", 3600),
            timeout=PATIENCE,
            # After this long the pool stops trying; the next request begins anew. So it is back soon after the server is.
            reconnect_timeout=1.0,
            num_workers=1,
            check=ConnectionPool.check_connection,
            open=False,
        )

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection whose work is committed at the end; Unavailable when there is none or it breaks."""
        try:
            with self.pool.connection() as connection:
                yield connection
        except (PoolTimeout, psycopg.OperationalError) as error:
            raise Unavailable(f"database: {str(error).strip()}") from error

    def rows(self, statement: str, parameters: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Every row of a statement's answer; none for a statement without one."""
        with self.transaction() as connection:
            cursor = connection.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def answers(self) -> bool:
        """Whether a statement gets its answer."""
        try:
            return self.rows("SELECT 1 AS one") == [{"one": 1}]
        except Unavailable:
            return False

    def connections(self) -> int:
        """Connections that this process holds open, at work or not."""
        return self.pool.get_stats().get("pool_size", 0)
