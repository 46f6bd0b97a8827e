"""Keeps a drill away from production: a scratch server that turns out to be one that is in use is never written to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_runbook.backup.addresses import same_place
from pytest_runbook.errors import BackupError, RestoreError, RunbookError

if TYPE_CHECKING:
    from pytest_runbook.backup.manifest import Manifest
    from pytest_runbook.backup.postgresql import Server
    from pytest_runbook.settings import Settings

HINT = "\n  hint: a drill restores into a server that nobody uses"
IDENTIFIER = "SELECT system_identifier::text FROM pg_control_system()"


def database(scratch: Server, settings: Settings, manifest: Manifest) -> None:
    """Raise RestoreError when SCRATCH is the server that was backed up, or one that a probe of SETTINGS looks at."""
    from pytest_runbook.backup import postgresql

    ours = identifier(scratch)
    if manifest.database and ours is not None and ours == manifest.database.system_identifier:
        raise RestoreError(
            f"the scratch server is the very cluster that the backup is of (system identifier {ours}){HINT}"
        )
    for name, probe in settings.probes.items():
        if probe.kind != "postgresql":
            continue
        try:
            used = postgresql.server(settings, name)
        except BackupError:
            continue  # a probe that names no server
        if same_place(scratch.address, used.address):
            raise RestoreError(f'the scratch server is that of the probe "{name}"{HINT}')
        if ours is not None and ours == _silently(used):
            raise RestoreError(f'the scratch server is that of the probe "{name}" under another address{HINT}')


def identifier(server: Server) -> str | None:
    """What tells the cluster of SERVER from every other; None when its role may not ask."""
    import psycopg

    with server.connect() as session:
        try:
            row = session.execute(IDENTIFIER).fetchone()
        except psycopg.errors.InsufficientPrivilege:
            return None
    return str(row[0]) if row else None


def _silently(server: Server) -> str | None:
    try:
        return identifier(server)
    except RunbookError:
        return None  # in a disaster it does not answer
