"""The database server of a restore into production: who may rename there, and whether two addresses lead to one server."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from pytest_runbook.backup import postgresql
from pytest_runbook.backup.addresses import same_place
from pytest_runbook.backup.postgresql import Server
from pytest_runbook.errors import BackupError, RestoreError

if TYPE_CHECKING:
    from pytest_runbook.backup.manifest import Database
    from pytest_runbook.settings import Settings


def administrator(settings: Settings) -> Server:
    """The production server, as a role that may create and rename databases."""
    given = settings.restore.admin.get_secret_value()
    if not given:
        found = postgresql.of_backup(settings)
        return Server(found.name, {**found.address, "dbname": "postgres"})
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        return Server("restore.admin", {**conninfo_to_dict(given), "dbname": "postgres"})
    except ProgrammingError:  # its own message would quote the URI, password and all
        raise RestoreError(
            "restore.admin is no PostgreSQL URI\n  hint: postgresql://USER:PASSWORD@HOST:PORT/postgres"
        ) from None


def live(settings: Settings, told: Database) -> str:
    """The name of the database in use, into whose place the one that the backup TOLD of comes."""
    return str(postgresql.of_backup(settings).address.get("dbname") or told.name)


def same(one: Server, other: Server) -> bool | None:
    """Whether both lead to one running server; None when nobody can tell.

    By the moment of its start: every role may ask for that, and, other than the system identifier, it differs between a
    primary, its standbys, and what was the primary until a failover.
    """
    seen = [_started(server) for server in (one, other)]
    if None not in seen:
        return seen[0] == seen[1]
    return True if same_place(one.address, other.address) else None


def _started(server: Server) -> datetime | None:
    """When SERVER was started; None when it does not answer, neither in its database nor beside it."""
    for name in dict.fromkeys((server.address.get("dbname"), "postgres")):
        with suppress(BackupError), Server(server.name, {**server.address, "dbname": name}).connect() as session:
            row = session.execute("SELECT pg_postmaster_start_time()").fetchone()
            return row[0] if row else None
    return None
