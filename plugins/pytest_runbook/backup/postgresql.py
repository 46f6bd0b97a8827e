"""The PostgreSQL server of a backup: one address for our own session and for its client programs, no secret on a command line."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_runbook.errors import BackupError, Unmeasured
from pytest_runbook.naming import SESSION

if TYPE_CHECKING:
    import psycopg

    from pytest_runbook.settings import Settings

VARIABLES = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "passfile": "PGPASSFILE",
    "service": "PGSERVICE",
    "sslmode": "PGSSLMODE",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslrootcert": "PGSSLROOTCERT",
    "gssencmode": "PGGSSENCMODE",
    "channel_binding": "PGCHANNELBINDING",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "options": "PGOPTIONS",
    "client_encoding": "PGCLIENTENCODING",
    "connect_timeout": "PGCONNECT_TIMEOUT",
}
"""Parameter of a connection to the variable that libpq reads it from."""
CONNECT = 10
"""Seconds that connecting may take."""
NAME = f"{SESSION} backup"
"""What our sessions are called, also those of a restore, and those of the client programs: they may work for hours."""
ENCODING = {"client_encoding": "utf8"}
"""Of all text that we are told: a server of SQL_ASCII would send bytes."""
SETTINGS = {
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "transaction_timeout": "0",
    "default_transaction_read_only": "0",
    # Who is read as a superuser must not become one: a view, or what takes the place of a table, executes functions of its owner.
    "restrict_nonsystem_relation_kind": "view, foreign-table",
}
"""What a database or a role may be told that would end a session of ours or misuse it; not every server knows each."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where a database is, and as whom it is asked."""

    name: str
    """What messages call it: the probe."""
    address: Mapping[str, Any] = field(repr=False)
    """Parameters for psycopg, the password among them."""

    @property
    def environment(self) -> dict[str, str]:
        """What libpq's programs need in their environment, which other users cannot read; ours, without other PG* words."""
        ours = {
            name: value for name, value in os.environ.items() if not name.startswith("PG") or name == "PGSYSCONFDIR"
        }
        given = {VARIABLES[key]: str(value) for key, value in self.address.items() if key in VARIABLES}
        return {**ours, "LC_MESSAGES": "C", "TZ": "UTC", "PGCONNECT_TIMEOUT": str(CONNECT), **given, "PGAPPNAME": NAME}

    @contextmanager
    def connect(self, **more: Any) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """A session, autocommit; MORE replaces parts of the address. Errors of psycopg become BackupError.

        It takes its time and may write, whatever the database or the role was told: that is meant for the system. Names
        are looked for in `pg_catalog` alone: elsewhere others may have made functions that fit better.
        """
        import psycopg

        try:
            address = {"connect_timeout": CONNECT, **self.address, **ENCODING, "application_name": NAME, **more}
            with psycopg.connect(**address, autocommit=True, prepare_threshold=None) as connection:
                connection.execute("SET search_path = pg_catalog")
                connection.execute("SET statement_timeout = 0")
                connection.execute(
                    "SELECT set_config(name, own.value, false) FROM pg_settings"
                    " JOIN unnest(%s::text[], %s::text[]) AS own(name, value) USING (name)",
                    ([*SETTINGS], [*SETTINGS.values()]),
                )
                yield connection
        except psycopg.Error as error:
            raise worded(error, self.name) from None


def server(settings: Settings, probe: str, *, user: str = "", password: str = "") -> Server:
    """The server of the probe named PROBE; USER and PASSWORD replace the probe's own."""
    from pytest_runbook.probes.postgresql import Postgresql, PostgresqlSettings

    own = settings.probes[probe]
    if not isinstance(own, PostgresqlSettings):
        raise BackupError(f'the probe "{probe}" is of kind "{own.kind}", not postgresql')
    try:
        address = dict(Postgresql(probe, own).address)
    except Unmeasured as error:
        raise BackupError(str(error)) from None
    address |= {key: value for key, value in {"user": user, "password": password}.items() if value}
    return Server(probe, address)


def of_backup(settings: Settings) -> Server:
    """The server that [backup.database] names."""
    part = settings.backup.database
    return server(settings, part.probe, user=part.user, password=part.password.get_secret_value())


def worded(error: psycopg.Error, name: str) -> BackupError:
    """What ERROR says of the server NAME."""
    from pytest_runbook.probes.postgresql.client import explained

    return BackupError(str(explained(error, name)))


def cut(session: psycopg.Connection[tuple[Any, ...]]) -> None:
    """End what SESSION waits for in another thread: the statement on its server, and the wait for its answer."""
    import psycopg

    with suppress(psycopg.Error):
        session.cancel_safe(timeout=2.0)
    with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(session.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)
