"""A PostgreSQL server, only read: any query, and what the server tells about its sessions, queries, standbys and tables."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from pydantic import Field, IPvAnyAddress, SecretStr

from pytest_runbook import clock
from pytest_runbook.errors import Unmeasured
from pytest_runbook.naming import SESSION
from pytest_runbook.probes._plain import plain, shortened
from pytest_runbook.probes.base import Probe, ProbeSettings
from pytest_runbook.probes.postgresql.activity import (
    ACTIVITY,
    CONNECTIONS,
    HIDDEN,
    LOCKS,
    Blocked,
    Connections,
    Locks,
    Session,
    connections_of,
)
from pytest_runbook.probes.postgresql.client import Client, Params, Question, Row
from pytest_runbook.probes.postgresql.replication import (
    RECEIVER,
    SLOTS,
    STANDBYS,
    Receiver,
    Replication,
    Slot,
    Standby,
    behind,
    receiver,
)
from pytest_runbook.probes.postgresql.statements import (
    INSTALLED,
    SINCE,
    SINCE_START,
    STATEMENTS,
    Statements,
    difference,
    in_schema,
    read,
    reading,
    summary,
)
from pytest_runbook.probes.postgresql.tables import DATABASE_SIZE, TABLE_SIZES, TABLES, Sizes, Table
from pytest_runbook.probes.postgresql.texts import without_values

__all__ = ["Postgresql", "PostgresqlSettings"]

CATCHING_UP = 1.0
"""Seconds that a standby gets to replay what it had received when it was first looked at."""


class PostgresqlSettings(ProbeSettings):
    """Where the server is: a URI, whose parts win, or its parts. What neither says comes from libpq: PGPASSFILE, PGSSLMODE, …"""

    uri: SecretStr = SecretStr("")
    """`postgresql://user:password@host:port/database?sslmode=…`; SQLAlchemy's `postgresql+driver://` is understood."""
    via: IPvAnyAddress | None = None
    """Address to connect to in place of the host's, which only containers may know; certificates are compared with the host."""
    host: str = ""
    port: int | None = Field(default=None, ge=1, le=65535)
    database: str = ""
    username: str = ""
    password: SecretStr = SecretStr("")
    sslmode: str = ""
    sslcert: str = ""
    sslkey: str = ""
    sslrootcert: str = ""
    connect_timeout: float = Field(default=5.0, gt=0)
    """Seconds that connecting may take."""
    connections: int = Field(default=3, ge=1)
    """Connections at once, at most; questions wait for one."""
    concurrency: int = 100
    max_rows: int = Field(default=10_000, ge=1)
    """Rows that one answer may have."""


class Postgresql(Probe[PostgresqlSettings]):
    """Questions to one PostgreSQL server.

    Each is one statement in a READ ONLY transaction, stopped by the server itself shortly before the probe's time-out.
    Raises Unreachable when the server does not serve, Unmeasured when it refuses the password or hides what was asked.
    """

    kind = "postgresql"
    Settings = PostgresqlSettings

    @property
    def configured(self) -> bool:
        """Whether the settings say where the server is."""
        return bool(self.settings.uri.get_secret_value() or self.settings.host)

    @property
    def target(self) -> str:
        """`host:port/database`."""
        try:
            parts = self.address
        except Unmeasured:
            return self.name
        return f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}".rstrip("/")

    async def close(self) -> None:
        """Close the connections."""
        if "_client" in vars(self):
            await self._client.close()

    async def query(self, sql: str, params: Params = None) -> list[Row]:
        """Rows of SQL, one reading statement with its PARAMS (`%s`, `%(name)s`), as dictionaries."""
        asked = f"query {shortened(' '.join(sql.split()), 200)}" + (f" {params!r}" if params else "")
        return await self.observe(asked, lambda: self._rows(sql, params), answer=plain)

    async def one(self, sql: str, params: Params = None) -> Any:
        """The first column of the only row of SQL; Unmeasured when there are no or several rows."""
        rows = await self.query(sql, params)
        if len(rows) != 1:
            raise Unmeasured(f'"{self.target}" answered {len(rows)} rows where one was expected')
        return next(iter(rows[0].values()))

    async def ping(self) -> float:
        """Seconds of a round trip; connecting counts when no connection is open."""

        async def call() -> float:
            begun = clock.monotonic()
            await self._rows("SELECT /* pytest-runbook */ 1")
            return clock.monotonic() - begun

        return await self.observe("ping", call)

    async def activity(self) -> list[Session]:
        """Sessions of clients, this one left out, oldest transaction first; Unmeasured when some are hidden from the role."""

        async def call() -> list[Session]:
            return [Session(**row) for row in self._shown(await self._rows(ACTIVITY))]

        return await self.observe("activity", call, answer=plain)

    async def connections(self) -> Connections:
        """Connections used, in all and per state, application and user, and how many there can be."""

        async def call() -> Connections:
            return connections_of(self._shown(await self._rows(CONNECTIONS)))

        return await self.observe("connections", call, answer=plain)

    async def locks(self) -> Locks:
        """Sessions that wait for a lock."""

        async def call() -> Locks:
            rows = self._shown(await self._rows(LOCKS))
            return Locks(tuple(Blocked(row["pid"], tuple(row["by"]), row["age"], row["query"]) for row in rows))

        return await self.observe("locks", call, answer=plain)

    async def statements(self, limit: int = 10) -> Statements:
        """What the database's queries have cost since pg_stat_statements was reset, with the LIMIT costliest."""

        async def call() -> Statements:
            schema, since = await self._statements_schema()
            rows = self._shown(await self._rows(in_schema(STATEMENTS, schema)))
            span = (await self._rows(in_schema(since, schema)))[0]["span"]
            return summary(difference([], rows), span, limit)

        return await self.observe(f"statements limit={limit}", call, answer=plain)

    async def statements_window(self, seconds: float = 5.0, limit: int = 10) -> Statements:
        """What the database's queries cost within the next SECONDS: the difference of two looks at pg_stat_statements.

        Raises Idle when none ran.
        """

        async def call() -> Statements:
            schema, _ = await self._statements_schema()
            question = in_schema(STATEMENTS, schema)
            begun, before = clock.monotonic(), self._shown(await self._rows(question))
            await asyncio.sleep(seconds)
            after = self._shown(await self._rows(question))
            return summary(difference(before, after), clock.monotonic() - begun, limit)

        return await self.observe(f"statements window={seconds:g}s limit={limit}", call, answer=plain)

    async def reads(self, tables: Sequence[str], rows: int = 100) -> Statements:
        """What it costs the server now to read up to ROWS of each of TABLES: figures of a database that nobody asks."""

        async def call() -> Statements:
            begun = clock.monotonic()
            plans = {table: (await self._rows(reading(table, rows)))[0]["QUERY PLAN"][0] for table in tables}
            made = [read(table, plan) for table, plan in plans.items()]
            return summary(made, clock.monotonic() - begun, len(made))

        return await self.observe(f"reads of {rows} rows each: {', '.join(tables)}", call, answer=plain)

    async def replication(self) -> Replication:
        """Standbys, slots, and on a standby its own receiver; takes up to a second when one is behind."""
        return await self.observe("replication", self._replication, answer=plain)

    async def sizes(self) -> Sizes:
        """Bytes of the database and of each of its tables."""

        async def call() -> Sizes:
            database = await self._rows(DATABASE_SIZE)
            sizes = {row["name"]: row["bytes"] for row in await self._rows(TABLE_SIZES)}
            return Sizes(database[0]["bytes"], sizes)

        return await self.observe("sizes", call, answer=plain)

    async def tables(self) -> list[Table]:
        """The application's tables and when each was vacuumed and analysed; a standby does not know the latter."""

        async def call() -> list[Table]:
            return [Table(**row) for row in await self._rows(TABLES)]

        return await self.observe("tables", call, answer=plain)

    async def setting(self, name: str) -> str:
        """The server's value of configuration parameter NAME as SHOW prints it, for example `128MB`."""

        async def call() -> str:
            value = (await self._rows("SELECT current_setting(%s, true) AS value", [name]))[0]["value"]
            if value is None:
                raise Unmeasured(f'"{self.target}" has no setting "{name}"')
            return str(value)

        return await self.observe(f"setting {name}", call)

    async def has_extension(self, name: str) -> bool:
        """Whether extension NAME is installed in the database."""

        async def call() -> bool:
            return bool(await self._rows("SELECT 1 FROM pg_extension WHERE extname = %s", [name]))

        return await self.observe(f"extension {name}", call)

    async def writable(self) -> bool:
        """Whether the server takes writes: it is no standby and was not switched to read-only."""
        question = "SELECT NOT pg_is_in_recovery() AND current_setting('default_transaction_read_only') = 'off' AS yes"

        async def call() -> bool:
            return bool((await self._rows(question))[0]["yes"])

        return await self.observe("writable", call)

    @cached_property
    def address(self) -> dict[str, Any]:
        """Parameters for psycopg to connect with, the password among them; Unmeasured when the settings do not say where."""
        from psycopg.conninfo import conninfo_to_dict  # late: psycopg costs a tenth of a second at start-up

        s = self.settings
        if not self.configured:
            raise Unmeasured(
                f'probe "{self.name}" has no server\n  hint: set probes.{self.name}.uri or probes.{self.name}.host'
            )
        parts = {"host": s.host, "port": s.port, "dbname": s.database, "user": s.username}
        parts |= {"password": s.password.get_secret_value(), "sslmode": s.sslmode, "sslcert": s.sslcert}
        parts |= {"sslkey": s.sslkey, "sslrootcert": s.sslrootcert}
        try:
            named = conninfo_to_dict(_without_driver(s.uri.get_secret_value()))
        except Exception as error:  # psycopg's own message would quote the URI, password and all
            raise Unmeasured(
                f"probes.{self.name}.uri is no PostgreSQL URI ({type(error).__name__})\n"
                "  hint: postgresql://USER:PASSWORD@HOST:PORT/DATABASE, special characters as %XX"
            ) from None
        # GSSAPI is tried first by default and costs a round trip; who wants it says so in the URI or PGGSSENCMODE.
        ours = {"gssencmode": "disable", "client_encoding": "utf8", **{k: v for k, v in parts.items() if v}, **named}
        return {**ours, **({"hostaddr": str(s.via)} if s.via else {}), "application_name": SESSION}

    @cached_property
    def _client(self) -> Client:
        s = self.settings
        limits = {"timeout": s.timeout, "connect_timeout": s.connect_timeout}
        return Client(self.target, self.address, connections=s.connections, rows=s.max_rows, **limits)

    async def _rows(self, question: Question, params: Params = None) -> list[Row]:
        return await self._client.rows(question, params)

    def _shown(self, rows: list[Row]) -> list[Row]:
        """ROWS with the shapes of their queries, none of which is hidden: what cannot be seen must not count as fine."""
        if any(row["query"] == HIDDEN for row in rows):
            raise self._hidden("sessions and statements of others")
        return [row | {"query": without_values(row["query"])} for row in rows]

    def _hidden(self, what: str) -> Unmeasured:
        return Unmeasured(
            f'"{self.target}" hides {what} from the role of this probe\n  hint: GRANT pg_monitor TO that role'
        )

    async def _statements_schema(self) -> tuple[str, str]:
        found = await self._rows(INSTALLED)
        if not found:
            raise Unmeasured(
                f'"{self.target}" has no extension "pg_stat_statements"\n'
                "  hint: shared_preload_libraries = 'pg_stat_statements', restart, CREATE EXTENSION pg_stat_statements"
            )
        return found[0]["schema"], SINCE if found[0]["resets"] else SINCE_START

    async def _replication(self) -> Replication:
        receiver = await self._receiver()
        slots = tuple(Slot(**row) for row in await self._rows(SLOTS))
        return Replication(await self._standbys(), slots, receiver)

    async def _standbys(self) -> tuple[Standby, ...]:
        """Standbys; one that is a few bytes behind and has told no time yet is looked at again for a moment."""
        until = clock.monotonic() + CATCHING_UP
        while True:
            rows = await self._rows(STANDBYS)
            if any(row["state"] is None for row in rows):
                raise self._hidden("standbys")
            standbys = tuple(Standby(**row) for row in rows)
            if all(standby.lag is not None for standby in standbys) or clock.monotonic() > until:
                return standbys
            await asyncio.sleep(0.1)

    async def _receiver(self) -> Receiver | None:
        begun = clock.monotonic()
        first = row = (await self._rows(RECEIVER))[0]
        if not row["in_recovery"]:
            return None
        if row["running"] and row["state"] is None:
            raise self._hidden("the WAL receiver")
        # After a quiet time the last transaction is old, and a byte just received is no lag of hours: let it replay.
        while (waiting := behind(row, first)) and clock.monotonic() < begun + CATCHING_UP:
            await asyncio.sleep(0.05)
            row = (await self._rows(RECEIVER))[0]
        return receiver(row, None if waiting else 0.0 if row is first else clock.monotonic() - begun)


def _without_driver(uri: str) -> str:
    """URI as libpq reads it: without the driver's name that SQLAlchemy puts behind the scheme."""
    scheme, separator, rest = uri.partition("://")
    return f"{scheme.partition('+')[0]}{separator}{rest}"
