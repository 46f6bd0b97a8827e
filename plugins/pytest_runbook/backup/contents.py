"""What a database holds, in figures that a copy of it must show as well; all of one transaction.

The backup asks the server that it dumps, the drill asks what it restored: the same questions, so the answers compare.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from itertools import starmap
from typing import TYPE_CHECKING, Any

from pytest_runbook import clock
from pytest_runbook.backup import tables
from pytest_runbook.backup.manifest import HASHING, Database, Table
from pytest_runbook.backup.questions import (
    CONSTRAINTS,
    HELD,
    INDEXES,
    OBJECTS,
    PROPERTIES,
    REWRITTEN,
    ROOM,
    ROOTS,
    SEQUENCES,
    SETTINGS,
    TABLES,
    UNLOGGED,
    UNSAVED,
)
from pytest_runbook.backup.tables import Session, Source, one
from pytest_runbook.errors import BackupError

if TYPE_CHECKING:
    from psycopg import sql

SESSION = {
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "iso_8601",
    "bytea_output": "hex",
    "extra_float_digits": "3",
    "xmloption": "content",
    "lc_monetary": "C",
    # A policy must not hide rows from us: then it is an error, as it is for pg_dump.
    "row_security": "off",
    "statement_timeout": "0",
    "lock_timeout": "60s",
    # The planner would work out the constraints of a table, and their functions with them.
    "constraint_exclusion": "off",
    "idle_in_transaction_session_timeout": "0",
    "search_path": "pg_catalog",
}
"""What decides how a row looks as text, and that nobody's functions but those of the system are found."""
RECORDS = 140000
"""Version of PostgreSQL from which on it can hash a record."""
BY_BYTES, BY_NAME = 3, 4
"""Since which `HASHING` the last rows are those with the last bytes in their key, and text names objects with their schema."""
TRIES = 10
"""Of holding all tables: somebody may make or remove one while they are listed."""


@contextmanager
def transaction(session: Session, first: sql.Composed | None = None) -> Iterator[None]:
    """One read-only view of the database, in which every row looks the same on every server.

    FIRST is executed before it is taken: what chooses it, or what has to be true of it.
    """
    from psycopg import Error, sql

    session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        for name, value in SESSION.items():  # `set_config` would be a query, and take the view
            session.execute(sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(name), sql.Literal(value)))
        if first:
            session.execute(first)
        yield
    finally:
        with suppress(Error):  # it may have lost its server
            session.execute("ROLLBACK")


@contextmanager
def held(session: Session) -> Iterator[str]:
    """A `transaction` in which every table stays as it is, from before its view was taken until its end; the view's name.

    Whoever empties or rewrites a table (TRUNCATE, ALTER … TYPE) empties it for every view that was taken before it was done.
    So tables are locked first, and what is going on is waited for: LOCK takes no view. Where they would take more than half
    of the room that the whole server has for locks they are not locked, and one that was rewritten meanwhile is an error.
    """
    from psycopg import errors

    for _ in range(TRIES):
        wanted = _all(session, HELD)
        locked = len(wanted) <= one(session, ROOM) // 2
        with ExitStack() as stack:
            try:
                stack.enter_context(transaction(session, _locking(wanted) if locked else None))
            except (errors.UndefinedTable, errors.InvalidSchemaName):  # removed since it was listed
                continue
            if locked and not set(wanted) >= set(_all(session, HELD)):
                continue  # one came in between
            yield str(one(session, "SELECT pg_export_snapshot()"))
            if not locked and (found := _all(session, REWRITTEN)):
                raise BackupError(f'"{found[0][0]}" was rewritten while it was read\n  hint: back up again')
            return
    raise BackupError(f"tables came and went each of {TRIES} times that they were to be held\n  hint: back up again")


def _locking(wanted: Iterable[tuple[Any, ...]]) -> sql.Composed | None:
    from psycopg import sql

    names = [sql.Identifier(*name) for name in wanted]
    found = sql.SQL("LOCK TABLE ONLY {} IN ACCESS SHARE MODE").format(sql.SQL(", ONLY ").join(names))
    return found if names else None


def look(
    session: Session,
    *,
    checksum_rows: int,
    newest: Sequence[str] = (),
    dump_version: str = "",
    only: Collection[str] | None = None,
    told: Database | None = None,
) -> Database:
    """What the database of SESSION, inside `transaction`, holds; `backup.database` has the words of the options.

    ONLY these tables get a checksum, all by default; rows are counted in every one. TOLD is what it will be compared with:
    checksums are computed in a way that both servers know, and not where nobody knows any more how they were.
    """
    version = session.info.server_version
    other = int(told.server_version.partition(".")[0]) * 10000 if told else version
    of_records, hashing = min(version, other) >= RECORDS, told.hashing if told else HASHING
    lsn = one(
        session, "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END"
    )
    unread = [name for (name,) in _all(session, UNLOGGED)]
    times = {name: tables.newest(session, name) for name in newest}
    return Database(
        name=session.info.dbname,
        server_version=f"{version // 10000}.{version % 10000}",
        dump_version=dump_version,
        system_identifier=_allowed(session, "SELECT system_identifier::text FROM pg_control_system()"),
        lsn=str(lsn),
        encoding=session.info.parameter_status("server_encoding") or "",
        newest={name: clock.iso(moment) if moment else None for name, moment in times.items()},
        newest_row=max((clock.iso(moment) for moment in times.values() if moment), default=None),
        size=int(one(session, "SELECT pg_database_size(current_database())")),
        tables={
            source.title: tables.rows(
                session,
                source if hashing >= BY_BYTES or not any(way for _, way in source.key) else replace(source, key=()),
                checksum_rows if (only is None or source.title in only) and (source.plain or hashing >= BY_NAME) else 0,
                of_records and source.plain,
            )
            for source in starmap(Source, _all(session, TABLES))
        }
        | dict.fromkeys(unread, Table(0)),
        sequences={f"{schema}.{name}": _sequence(session, schema, name) for schema, name in _all(session, SEQUENCES)},
        extensions=dict(_all(session, "SELECT extname, extversion FROM pg_extension ORDER BY 1")),
        indexes=[name for (name,) in _all(session, INDEXES)],
        constraints=int(one(session, CONSTRAINTS)),
        settings=dict(_all(session, SETTINGS)),
        roles=[name for (name,) in _all(session, "SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1")],
        locale=_locale(session),
        hashing=HASHING,
        excluded=unread,
        objects=dict(sorted(_all(session, OBJECTS))),
        unsaved=[what for (what,) in _all(session, UNSAVED)],
        properties=properties(session),
    )


def roots(session: Session) -> dict[str, str]:
    """Partitions whose rows are told of as those of a table above them, and that."""
    return dict(_all(session, ROOTS))


def properties(session: Session) -> dict[str, str]:
    """What the database itself was given, as a manifest has it."""
    return dict(_all(session, PROPERTIES))


def _locale(session: Session) -> dict[str, str]:
    """How the database sorts; the columns have other names in every other release."""
    row = one(session, "SELECT to_jsonb(d) FROM pg_database d WHERE datname = current_database()")
    found = {
        "provider": row.get("datlocprovider") or "c",
        "collate": row["datcollate"],
        "ctype": row["datctype"],
        "locale": row.get("datlocale") or row.get("daticulocale"),
        "rules": row.get("daticurules"),
    }
    return {word: value for word, value in found.items() if value}


def _sequence(session: Session, schema: str, name: str) -> int | None:
    from psycopg import sql

    question = sql.SQL("SELECT last_value FROM {} WHERE is_called").format(sql.Identifier(schema, name))
    value: int | None = _allowed(session, question)
    return value


def _all(session: Session, question: str | sql.Composed) -> list[tuple[Any, ...]]:
    asked: Any = question.encode() if isinstance(question, str) else question
    return session.execute(asked).fetchall()


def _allowed(session: Session, question: str | sql.Composed) -> Any:
    """The answer to QUESTION; None when the role may not ask. What it locks is given back."""
    from psycopg import errors

    try:
        with session.transaction(force_rollback=True):
            return one(session, question)
    except errors.InsufficientPrivilege:
        return None
