"""The database server of a restore into production: who may rename there, and whether two addresses lead to one server."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pytest_runbook.backup import postgresql
from pytest_runbook.backup.addresses import same_place
from pytest_runbook.backup.postgresql import Server
from pytest_runbook.errors import BackupError, RestoreError

if TYPE_CHECKING:
    from pytest_runbook.backup.manifest import Database
    from pytest_runbook.settings import Settings

STARTED = "SELECT pg_postmaster_start_time()"
STANDBY = "SELECT pg_is_in_recovery()"
CLUSTER = "SELECT system_identifier::text || '/' || timeline_id FROM pg_control_system(), pg_control_checkpoint()"


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


def insist_on_production(settings: Settings) -> None:
    """Raise RestoreError unless `restore.admin` is seen to lead to the server that the probe of the backup looks at."""
    if not settings.restore.admin.get_secret_value():
        return
    server, probe = administrator(settings), postgresql.of_backup(settings)
    with server.connect():  # who does not answer there says so in its own words
        pass
    found = same(server, probe)
    if found is False and _asked(
        probe, STANDBY
    ):  # as where backups are made from one, so that the primary has its rest
        found = _equal(server, probe, CLUSTER)
    if found is None:
        raise RestoreError(
            f'nobody can tell whether restore.admin leads to the server of the probe "{probe.name}", which does not say\n'
            "  hint: let the role of the probe log in there, or give restore.admin the address that the probe has"
        )
    if not found:
        raise RestoreError(
            f'restore.admin leads to another server than the probe "{probe.name}": what is restored would not be in use\n'
            "  hint: correct the one that does not lead to production"
        )


def same(one: Server, other: Server) -> bool | None:
    """Whether both lead to one running server; None when nobody can tell.

    By the moment of its start: every role may ask for that, and, other than the system identifier, it differs between a
    primary, its standbys, and what was the primary until a failover.
    """
    found = _equal(one, other, STARTED)
    return True if found is None and same_place(one.address, other.address) else found


def _equal(one: Server, other: Server, question: str) -> bool | None:
    """Whether both answer QUESTION the same; None when one does not answer it."""
    seen = [_asked(server, question) for server in (one, other)]
    return None if None in seen else seen[0] == seen[1]


def _asked(server: Server, question: str) -> Any:
    """What SERVER says to QUESTION; None when it does not answer, neither in its database nor beside it."""
    for name in dict.fromkeys((server.address.get("dbname"), "postgres")):
        with suppress(BackupError), Server(server.name, {**server.address, "dbname": name}).connect() as session:
            row = session.execute(question.encode()).fetchone()
            return row[0] if row else None
    return None
