"""What a database holds, in figures that a copy of it must show as well; all of one transaction.

The backup asks the server that it dumps, the drill asks what it restored: the same questions, so the answers compare.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from pytest_runbook import clock
from pytest_runbook.backup.manifest import HASHING, Database, Table
from pytest_runbook.backup.questions import (
    CONSTRAINTS,
    HELD,
    INDEXES,
    OBJECTS,
    PROPERTIES,
    REWRITTEN,
    ROOM,
    SEQUENCES,
    SETTINGS,
    TABLES,
)
from pytest_runbook.errors import BackupError

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

Session: TypeAlias = "psycopg.Connection[tuple[Any, ...]]"
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
    "idle_in_transaction_session_timeout": "0",
    "search_path": "pg_catalog",
}
"""What decides how a row looks as text."""
RECORDS = 140000
"""Version of PostgreSQL from which on it can hash a record."""
BY_VALUE, BY_BYTES = 2, 3
"""Since which `HASHING` enums are told by what they say, and the last rows are those with the last bytes in their key."""
TRIES = 10
"""Of holding all tables: somebody may make or remove one while they are listed."""
SPAN = "BETWEEN '0001-01-02' AND '9999-12-30'"
"""Times that a clock can show: infinity is none."""


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
        tables = _all(session, HELD)
        locked = len(tables) <= _one(session, ROOM) // 2
        with ExitStack() as stack:
            try:
                stack.enter_context(transaction(session, _locking(tables) if locked else None))
            except (errors.UndefinedTable, errors.InvalidSchemaName):  # removed since it was listed
                continue
            if locked and not set(tables) >= set(_all(session, HELD)):
                continue  # one came in between
            yield str(_one(session, "SELECT pg_export_snapshot()"))
            if not locked and (found := _all(session, REWRITTEN)):
                raise BackupError(f'"{found[0][0]}" was rewritten while it was read\n  hint: back up again')
            return
    raise BackupError(f"tables came and went each of {TRIES} times that they were to be held\n  hint: back up again")


def _locking(tables: Iterable[tuple[Any, ...]]) -> sql.Composed | None:
    from psycopg import sql

    names = [sql.Identifier(*name) for name in tables]
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
    lsn = _one(
        session, "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END"
    )
    times = {name: _newest(session, name) for name in newest}
    return Database(
        name=session.info.dbname,
        server_version=f"{version // 10000}.{version % 10000}",
        dump_version=dump_version,
        system_identifier=_allowed(session, "SELECT system_identifier::text FROM pg_control_system()"),
        lsn=str(lsn),
        encoding=session.info.parameter_status("server_encoding") or "",
        newest={name: clock.iso(moment) if moment else None for name, moment in times.items()},
        newest_row=max((clock.iso(moment) for moment in times.values() if moment), default=None),
        size=int(_one(session, "SELECT pg_database_size(current_database())")),
        tables={
            (table := f"{schema}.{name}"): _table(
                session,
                schema,
                name,
                key if hashing >= BY_BYTES or not any(collation for _, collation in key) else (),
                guess,
                checksum_rows if (only is None or table in only) and (plain or hashing >= BY_VALUE) else 0,
                of_records and plain,
            )
            for schema, name, key, guess, plain in _all(session, TABLES)
        },
        sequences={f"{schema}.{name}": _sequence(session, schema, name) for schema, name in _all(session, SEQUENCES)},
        extensions=dict(_all(session, "SELECT extname, extversion FROM pg_extension ORDER BY 1")),
        indexes=[name for (name,) in _all(session, INDEXES)],
        constraints=int(_one(session, CONSTRAINTS)),
        settings=dict(_all(session, SETTINGS)),
        roles=[name for (name,) in _all(session, "SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY 1")],
        locale=_locale(session),
        hashing=HASHING,
        objects=dict(sorted(_all(session, OBJECTS))),
        properties=properties(session),
    )


def properties(session: Session) -> dict[str, str]:
    """What the database itself was given, as a manifest has it."""
    return dict(_all(session, PROPERTIES))


def _locale(session: Session) -> dict[str, str]:
    """How the database sorts; the columns have other names in every other release."""
    row = _one(session, "SELECT to_jsonb(d) FROM pg_database d WHERE datname = current_database()")
    found = {
        "provider": row.get("datlocprovider") or "c",
        "collate": row["datcollate"],
        "ctype": row["datctype"],
        "locale": row.get("datlocale") or row.get("daticulocale"),
        "rules": row.get("daticurules"),
    }
    return {word: value for word, value in found.items() if value}


def revision(session: Session, column: str) -> str | None:
    """The revision of the migrations, which stands in COLUMN, `table.column`; None when there is no such table."""
    from psycopg import sql

    table, name = _column(column)
    if _one(session, "SELECT to_regclass(%s)::text", (_quoted(session, table),)) is None:
        return None
    rows = _all(
        session, sql.SQL("SELECT {}::text FROM {} ORDER BY 1").format(sql.Identifier(name), sql.Identifier(*table))
    )
    return ",".join(value for (value,) in rows) or None


def _sequence(session: Session, schema: str, name: str) -> int | None:
    from psycopg import sql

    question = sql.SQL("SELECT last_value FROM {} WHERE is_called").format(sql.Identifier(schema, name))
    value: int | None = _allowed(session, question)
    return value


def _table(
    session: Session,
    schema: str,
    name: str,
    key: Sequence[tuple[str, str]],
    guess: float,
    most: int,
    of_records: bool,
) -> Table:
    """How many rows a table has, and a checksum: the sum of a hash of each, which no order of rows changes.

    KEY has columns, and what sorts them the same way everywhere. GUESS is how many rows it may have: where all fit in, they are
    counted on the way. Its lock and those of its indexes are given back: a server has not room for those of all tables.
    """
    from psycopg import sql

    with session.transaction(force_rollback=True):
        return _rows(session, sql.Identifier(schema, name), key, guess, most, of_records)


def _rows(
    session: Session,
    table: sql.Identifier,
    key: Sequence[tuple[str, str]],
    guess: float,
    most: int,
    of_records: bool,
) -> Table:
    from psycopg import sql

    whole = sql.SQL('ONLY {} AS "its row"').format(table)
    if most and guess <= most:
        rows, checksum = _checksum(session, whole, of_records)
        if rows <= most:
            return Table(rows, checksum)
    rows = int(_one(session, sql.SQL("SELECT /* pytest-runbook */ count(*) FROM {}").format(whole)))
    if not most or (rows > most and not key):
        return Table(rows)
    if rows <= most:
        return Table(rows, _checksum(session, whole, of_records)[1])
    order = sql.SQL(", ").join(sql.SQL("{}{} DESC").format(sql.Identifier(name), sql.SQL(way)) for name, way in key)
    last = sql.SQL('(SELECT * FROM ONLY {} ORDER BY {} LIMIT {}) AS "its row"').format(table, order, sql.Literal(most))
    return Table(rows, _checksum(session, last, of_records)[1], True)


def _checksum(session: Session, source: sql.Composed, of_records: bool) -> tuple[int, str]:
    """How many rows SOURCE has, and their checksum.

    The server hashes a record three times as quickly as its text, and some types not at all. OF_RECORDS: it may try.
    """
    from psycopg import errors, sql

    ways = ['hash_record_extended("its row", 0)'] * of_records + ['hashtextextended("its row"::text, 0)']
    for way in ways:
        question = sql.SQL("SELECT /* pytest-runbook */ count(*), sum({}) FROM {}").format(sql.SQL(way), source)
        try:
            with session.transaction():
                rows, total = session.execute(question).fetchone() or (0, 0)
            return int(rows), f"{int(total or 0) % 2**128:032x}"
        except errors.UndefinedFunction:
            continue
    raise AssertionError("text can be hashed")


def _newest(session: Session, column: str) -> datetime | None:
    """The newest time in COLUMN; one row of a user that says `infinity`, or a year beyond 9999, tells of none."""
    from psycopg import sql

    table, name = _column(column)
    if _one(session, "SELECT to_regclass(%s)::text", (_quoted(session, table),)) is None:
        return None
    question = sql.SQL("SELECT /* pytest-runbook */ max({0})::timestamptz FROM {1} WHERE {0} {2}").format(
        sql.Identifier(name), sql.Identifier(*table), sql.SQL(SPAN)
    )
    moment: datetime | None = _one(session, question)
    return moment.astimezone(UTC) if moment else None


def _column(text: str) -> tuple[list[str], str]:
    """`table.column`, of the schema `public`, or `schema.table.column` as schema and table, and column."""
    *table, name = text.split(".")
    if not 1 <= len(table) <= 2 or not all([*table, name]):
        raise BackupError(f'"{text}" should be "table.column" or "schema.table.column"\n  hint: see [backup.database]')
    return ["public", *table][-2:], name


def _quoted(session: Session, table: Sequence[str]) -> str:
    from psycopg import sql

    return sql.Identifier(*table).as_string(session)


def _one(session: Session, question: str | sql.Composed, values: Iterable[Any] = ()) -> Any:
    row = session.execute(_query(question), list(values)).fetchone()
    return row[0] if row else None


def _all(session: Session, question: str | sql.Composed) -> list[tuple[Any, ...]]:
    return session.execute(_query(question)).fetchall()


def _query(question: str | sql.Composed) -> Any:
    return question.encode() if isinstance(question, str) else question


def _allowed(session: Session, question: str | sql.Composed) -> Any:
    """The answer to QUESTION; None when the role may not ask. What it locks is given back."""
    from psycopg import errors

    try:
        with session.transaction(force_rollback=True):
            return _one(session, question)
    except errors.InsufficientPrivilege:
        return None
