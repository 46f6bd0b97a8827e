"""Transactions on SQLite or PostgreSQL, and their errors in words: which database, what is wrong, what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError

from pytest_runbook.errors import HistoryError
from pytest_runbook.naming import SESSION
from pytest_runbook.settings.secrets import mask

PATIENCE = 30
"""Seconds that a transaction waits for the others; each takes milliseconds."""
ABANDONED = 10
"""Seconds after which PostgreSQL ends a transaction whose client fell silent in the middle of it."""
FORMS = "sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"

_SPACE = "free some space where the history is"
_RIGHTS = "let this user write the file and its folder, or name another one in [history] url"
_DAMAGED = "move the file away, a new one is made; `sqlite3 FILE .recover` saves what can be read"
_REACH = "see that the server runs and serves this user, or name another one in [history] url"
_HINTS = {
    "SQLITE_READONLY": _RIGHTS,
    "SQLITE_CANTOPEN": _RIGHTS,
    "SQLITE_PERM": _RIGHTS,
    "SQLITE_FULL": _SPACE,
    "SQLITE_IOERR": "see the disk and the system's log; a network folder is no place for SQLite",
    "SQLITE_CORRUPT": _DAMAGED,
    "SQLITE_NOTADB": _DAMAGED,
    "SQLITE_BUSY": f"another process kept it for {PATIENCE} s; find it with `fuser FILE`",
    "25006": "a standby cannot be written, name the primary in [history] url",
    "42501": "grant this user the right to create and write tables there",
    "53100": _SPACE,
    "55P03": "another session kept a row; see pg_stat_activity",
    "57014": "another session kept a row; see pg_stat_activity",
}
"""Name of SQLite's error, or SQLSTATE, to what can be done."""
NO_ROOM_TO_SHARE = "SQLITE_IOERR_SHMSIZE"
"""SQLite's error when a full disk has no room for the index that processes share."""


class Database:
    """Where the history is.

    Each transaction has a connection of its own: a runbook may restart the very server that it is written to, and a kept
    connection would be a dead one.
    """

    def __init__(self, url: str, root: Path) -> None:
        """URL as SQLAlchemy writes them; the file of SQLite is relative to ROOT. HistoryError when there is no such kind."""
        address = _address(url, root)
        self.sqlite = address.get_backend_name() == "sqlite"
        if self.sqlite:
            self.name = f"sqlite:///{address.database}"
            self._engine = _sqlite(address)
            self._make_folder(Path(str(address.database)).parent)
        else:
            self.name = mask(address.render_as_string(hide_password=False))
            self._engine = _postgresql(address)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state."""
        with self._in_words("read"), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that changes something, whole or not at all; raises IntegrityError as it is."""
        # SQLite's writers stand in line from the first statement: one that read before it wrote could not go on.
        engine = self._engine.execution_options(begin="BEGIN IMMEDIATE")
        with self._in_words("written"), engine.begin() as connection:
            yield connection

    def _make_folder(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self.error(f"cannot be made: {error.strerror}", _RIGHTS) from error

    def error(self, problem: str, hint: str) -> HistoryError:
        """PROBLEM of this database."""
        return HistoryError(f'history "{self.name}" {problem}\n  hint: {hint}')

    @contextmanager
    def _in_words(self, done: str) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except (SQLAlchemyError, sqlite3.Error) as error:
            cause = (error.orig if isinstance(error, DBAPIError) else None) or error
            text = mask(" ".join(str(cause).split()))
            raise self.error(f"cannot be {done}: {text}", _hint(cause, self.sqlite)) from error


def _hint(cause: BaseException, sqlite: bool) -> str:
    code = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None) or ""
    other = "see that [history] url names a history" if sqlite else _REACH
    return next((hint for start, hint in _HINTS.items() if code.startswith(start)), other)


def _address(url: str, root: Path) -> URL:
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        raise HistoryError(f'history "{mask(url)}" is no address\n  hint: {FORMS} in [history] url') from None
    match address.get_backend_name():
        case "sqlite" if address.database and address.database != ":memory:":
            return address.set(drivername="sqlite", database=str(root / address.database))
        case "postgresql":
            return address.set(drivername="postgresql+psycopg")
    raise HistoryError(f'history "{mask(url)}" is of no kind that lasts\n  hint: {FORMS} in [history] url')


def _sqlite(address: URL) -> Engine:
    engine = create_engine(address, poolclass=NullPool, hide_parameters=True, connect_args={"timeout": PATIENCE})

    def connect(dialect: Any, _: Any, words: Any, options: Any) -> sqlite3.Connection:
        try:
            return _settled(dialect.connect(*words, **options))
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != NO_ROOM_TO_SHARE:
                raise
        return _settled(dialect.connect(*words, **options), alone=True)

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "begin", begin)
    return engine


def _settled(connection: sqlite3.Connection, *, alone: bool = False) -> sqlite3.Connection:
    """CONNECTION as we want it; ALONE it shares the file with nobody, and so needs no index on the disk: a full one is read."""
    try:
        connection.isolation_level = None  # BEGIN is ours
        if alone:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # an intent that a power cut undoes would be acted on twice
        connection.execute("PRAGMA foreign_keys = ON")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _postgresql(address: URL) -> Engine:
    bounds = {
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "tcp_user_timeout": PATIENCE * 1000,
        "application_name": SESSION,
    }
    given = {key: value for key, value in bounds.items() if key not in address.query}
    engine = create_engine(
        address, poolclass=NullPool, hide_parameters=True, isolation_level="READ COMMITTED", connect_args=given
    )

    def begin(connection: Connection) -> None:
        times = {"statement_timeout": PATIENCE, "idle_in_transaction_session_timeout": ABANDONED}
        connection.exec_driver_sql("; ".join(f"SET LOCAL {name} = '{seconds}s'" for name, seconds in times.items()))

    event.listen(engine, "begin", begin)
    return engine
