"""The tables of the history, the same in SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)

VERSION = 3
"""Raised with every change of the tables."""


def storable(text: str) -> str:
    """TEXT without what a database refuses: output of commands may hold NUL and bytes that are no text."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


class Moment(TypeDecorator[datetime]):
    """A moment, UTC and aware on this side."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """SQLite has no time zones: what stands there is UTC."""
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """PostgreSQL answers in the time zone of the connection."""
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


class Words(TypeDecorator[str]):
    """Text of any origin."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """VALUE as every database takes it."""
        return None if value is None else storable(value)


class Lines(TypeDecorator[Sequence[str]]):
    """Texts of any origin, as a JSON list."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> list[str]:
        """VALUE as every database takes it."""
        return [storable(text) for text in value or ()]

    def process_result_value(self, value: Any, dialect: Dialect) -> tuple[str, ...]:
        """Rows are constants."""
        return tuple(value or ())


metadata = MetaData()


def _scope(*, primary_key: bool = False) -> list[Column[str]]:
    """Whose the row is: histories of several systems and environments may share a database."""
    return [Column(name, Text, primary_key=primary_key, nullable=False) for name in ("system", "environment")]


def _process() -> tuple[Column[Any], ...]:
    return (
        Column("host", Text, nullable=False),
        Column("place", Text, nullable=False),
        Column("pid", Integer, nullable=False),
        Column("pid_started", BigInteger, nullable=False),
    )


versions = Table(
    "schema",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("made", Moment, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    *_scope(),
    *_process(),
    Column("started", Moment, nullable=False),
    Column("seen", Moment, nullable=False),
    Column("ended", Moment),
    Column("exit_code", Integer),
)

locks = Table(
    "locks",
    metadata,
    *_scope(primary_key=True),
    Column("target", Text, primary_key=True),
    Column("token", Text, nullable=False),
    Column("run", Text, nullable=False),
    *_process(),
    Column("since", Moment, nullable=False),
    Column("renewed", Moment, nullable=False),
    Column("beats", Integer, nullable=False),
    Column("lease", Float, nullable=False),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", Integer, primary_key=True),
    *_scope(),
    Column("run", ForeignKey(runs.c.id), nullable=False),
    Column("runbook", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("checks", Lines, nullable=False),
    Column("started", Moment, nullable=False),
    Column("ended", Moment),
    Column("outcome", Text),
)

intents = Table(
    "intents",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("attempt", ForeignKey(attempts.c.id), nullable=False, index=True),
    Column("step", Text, nullable=False),
    Column("risk", Text, nullable=False),
    Column("target", Words, nullable=False),
    Column("touched", Lines),
    Column("preview", Lines, nullable=False),
    Column("planned", Moment, nullable=False),
    Column("started", Moment),
    Column("ended", Moment),
    Column("outcome", Text),
    Column("output", Words),
    Column("duration", Float),
)

watches = Table(
    "watches",
    metadata,
    Column("id", Integer, primary_key=True),
    *_scope(),
    Column("check_id", Text, nullable=False),
    Column("runbook", Text, nullable=False),
    Column("since", Moment, nullable=False),
    Column("until", Moment, nullable=False),
    Column("recurred", Moment),
)

deployments = Table(
    "deployments",
    metadata,
    Column("id", Integer, primary_key=True),
    *_scope(),
    *_process(),
    Column("run", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("services", Lines, nullable=False),
    Column("before", JSON, nullable=False),
    Column("options", JSON, nullable=False),
    Column("who", Words, nullable=False),
    Column("started", Moment, nullable=False),
    Column("ended", Moment),
    Column("outcome", Text),
    Column("why", Words),
    Column("held", Words),
    Column("backup", Text),
    Column("baseline", JSON),
)

phases = Table(
    "phases",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("deployment", ForeignKey(deployments.c.id), nullable=False, index=True),
    Column("phase", Text, nullable=False),
    Column("started", Moment, nullable=False),
    Column("ended", Moment),
    Column("outcome", Text),
    Column("said", Words),
    Column("duration", Float),
)

Index("attempts_of", attempts.c.system, attempts.c.environment, attempts.c.runbook, attempts.c.service)
Index("attempts_by_run", attempts.c.run)
Index("watches_of", watches.c.system, watches.c.environment, watches.c.check_id)
Index("deployments_of", deployments.c.system, deployments.c.environment, deployments.c.ended)
