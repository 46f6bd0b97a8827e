"""The rows of one table: how many, a checksum, the newest time. Nothing that the table's owner wrote is executed for that.

We may be asked as a superuser, and whoever owns a table is none. So no name is looked for outside of `pg_catalog`, a row is
written as COPY writes it, by the output functions of its types and not by a cast, no view is read, and a table that brings
functions of others along, in the expressions of its indexes or statistics, is read by COPY, which plans nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from pytest_runbook.backup.manifest import Table
from pytest_runbook.backup.questions import MEMBERS
from pytest_runbook.errors import BackupError

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

Session: TypeAlias = "psycopg.Connection[tuple[Any, ...]]"
SPAN = "BETWEEN '0001-01-02' AND '9999-12-30'"
"""Times that a clock can show: infinity is none."""
SHOWN = re.compile(r"\d{4}-\d\d-\d\d.*(?<!BC)")
"""The same as text."""
KINDS = {"v": "a view", "f": "a foreign table"}
"""What is no table, and has somebody else's code executed when it is read."""


@dataclass(frozen=True, slots=True)
class Source:
    """One row of the answer to `TABLES`."""

    schema: str
    name: str
    key: Sequence[tuple[str, str]]
    """Columns of its primary key, and what sorts each the same way everywhere."""
    guess: float
    """How many rows it may have: where all fit in, they are counted on the way."""
    plain: bool
    """Whether a record of it can be hashed: no type of it is numbered or written otherwise by another server."""
    coded: bool
    """Whether planning a query of it executes functions of somebody else."""
    parts: Sequence[tuple[str, str]] = ()
    """Schema and name of the partitions whose rows are told of as its own; none of a table that holds its rows itself."""

    @property
    def title(self) -> str:
        """What a manifest calls it."""
        return f"{self.schema}.{self.name}"

    @property
    def table(self) -> sql.Identifier:
        """Its name in a statement."""
        from psycopg import sql

        return sql.Identifier(self.schema, self.name)

    @property
    def whole(self) -> sql.Composed:
        """All rows of it, after FROM."""
        from psycopg import sql

        if not self.parts:
            return sql.SQL('ONLY {} AS "its row"').format(self.table)
        names = [sql.Identifier(*part).as_string() for part in self.parts]
        return sql.SQL('{} AS "its row" WHERE "its row".tableoid = ANY ({}::regclass[]::oid[])').format(
            self.table, sql.Literal(names)
        )


def rows(session: Session, source: Source, most: int, of_records: bool) -> Table:
    """How many rows SOURCE has, and a checksum: the sum of a hash of each, which no order of rows changes.

    Its lock and those of its indexes are given back: a server has not room for those of all tables.
    """
    with session.transaction(force_rollback=True):
        return Table(_copied_rows(session, source)) if source.coded else _rows(session, source, most, of_records)


def _rows(session: Session, source: Source, most: int, of_records: bool) -> Table:
    from psycopg import sql

    whole = source.whole
    if most and source.guess <= most:
        rows, checksum = _checksum(session, whole, of_records)
        if rows <= most:
            return Table(rows, checksum)
    rows = int(one(session, sql.SQL("SELECT /* pytest-runbook */ count(*) FROM {}").format(whole)))
    if not most or (rows > most and not source.key):
        return Table(rows)
    if rows <= most:
        return Table(rows, _checksum(session, whole, of_records)[1])
    order = sql.SQL(", ").join(
        sql.SQL("{}{} DESC").format(sql.Identifier(name), sql.SQL(way)) for name, way in source.key
    )
    last = sql.SQL('(SELECT * FROM {} ORDER BY {} LIMIT {}) AS "its row"').format(whole, order, sql.Literal(most))
    return Table(rows, _checksum(session, last, of_records)[1], True)


def _checksum(session: Session, source: sql.Composed, of_records: bool) -> tuple[int, str]:
    """How many rows SOURCE has, and their checksum.

    The server hashes a record three times as quickly as its text, and some types not at all. OF_RECORDS: it may try.
    """
    from psycopg import errors, sql

    ways = ['hash_record_extended("its row", 0::bigint)'] * of_records
    ways.append("hashtextextended(format('%s', \"its row\"), 0::bigint)")
    for way in ways:
        question = sql.SQL("SELECT /* pytest-runbook */ count(*), sum({}) FROM {}").format(sql.SQL(way), source)
        try:
            with session.transaction():
                rows, total = session.execute(question).fetchone() or (0, 0)
            return int(rows), f"{int(total or 0) % 2**128:032x}"
        except errors.UndefinedFunction:
            continue
    raise AssertionError("text can be hashed")


def _copied_rows(session: Session, source: Source) -> int:
    """How many rows SOURCE has, each a line."""
    from psycopg import sql

    rows = 0
    for table in [sql.Identifier(*part) for part in source.parts] or [source.table]:
        with session.cursor().copy(sql.SQL("COPY {} TO STDOUT /* pytest-runbook */").format(table)) as lines:
            rows += sum(bytes(piece).count(b"\n") for piece in lines)
    return rows


def values(session: Session, table: sql.Identifier, column: str) -> Iterator[str]:
    """What stands in COLUMN of TABLE, as text."""
    from psycopg import sql

    statement = sql.SQL("COPY {} ({}) TO STDOUT /* pytest-runbook */").format(table, sql.Identifier(column))
    with session.cursor().copy(statement) as lines:
        yield from (value for (value,) in lines.rows() if value is not None)


def newest(session: Session, column: str) -> datetime | None:
    """The newest time in COLUMN, `table.column`; one row of a user that says `infinity`, or a year beyond 9999, tells of none."""
    moments = [_moment(session, table, name, readable) for table, name, readable in _members(session, column)]
    return max((moment.astimezone(UTC) for moment in moments if moment), default=None)


def _moment(session: Session, table: sql.Identifier, column: str, readable: bool) -> datetime | None:
    """The newest time in COLUMN of TABLE alone; READABLE: a query of it executes nothing of its owner's."""
    from psycopg import sql

    moment: datetime | None
    with session.transaction(force_rollback=True):
        if readable:
            question = sql.SQL("SELECT /* pytest-runbook */ max({0})::timestamptz FROM ONLY {1} WHERE {0} {2}")
            moment = one(session, question.format(sql.Identifier(column), table, sql.SQL(SPAN)))
        else:
            shown = max(filter(SHOWN.fullmatch, values(session, table, column)), default=None)
            moment = one(session, "SELECT %s::timestamptz", (shown,))
    return moment


def revision(session: Session, column: str) -> str | None:
    """The revision of the migrations, which stands in COLUMN, `table.column`; None when there is no such table."""
    found = [value for table, name, _ in _members(session, column) for value in values(session, table, name)]
    return ",".join(sorted(found)) or None


def _members(session: Session, column: str) -> Iterator[tuple[sql.Identifier, str, bool]]:
    """The tables that COLUMN, `table.column`, is read from, partitions each for itself, and its name in them.

    With each, whether a query may read it. Nothing when there is no such table.
    """
    from psycopg import sql

    schema, table, name = _column(column)
    for space, member, kind, readable in session.execute(MEMBERS.encode(), (name, schema, table)).fetchall():
        if what := KINDS.get(kind):
            if (space, member) == (schema, table):
                raise BackupError(
                    f'"{column}" is of {what}, which executes what others wrote when it is read\n'
                    "  hint: name the column of a table"
                )
        elif kind in "rm":
            yield sql.Identifier(space, member), name, readable


def _column(text: str) -> tuple[str, str, str]:
    """`table.column`, of the schema `public`, or `schema.table.column` in three."""
    words = text.split(".")
    if not 2 <= len(words) <= 3 or not all(words):
        raise BackupError(f'"{text}" should be "table.column" or "schema.table.column"\n  hint: see [backup.database]')
    schema, table, name = ["public", *words][-3:]
    return schema, table, name


def one(session: Session, question: str | sql.Composed, values: Iterable[Any] = ()) -> Any:
    """The first word of the answer to QUESTION."""
    asked: Any = question.encode() if isinstance(question, str) else question
    row = session.execute(asked, list(values)).fetchone()
    return row[0] if row else None
