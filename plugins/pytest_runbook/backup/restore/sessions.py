"""Ends the sessions of a database that is to be renamed, and finds out before whether it may, and whether that is enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_runbook.errors import RestoreError

if TYPE_CHECKING:
    from pytest_runbook.backup.postgresql import Server
    from pytest_runbook.backup.restore.database import Session

# Work of the server's own, as autovacuum, has no role: that the server ends by itself.
SESSIONS = """
    SELECT a.pid, r.rolname, r.rolsuper, coalesce(a.application_name, ''),
           pg_has_role(a.usesysid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE')
    FROM pg_stat_activity AS a JOIN pg_roles AS r ON r.oid = a.usesysid
    WHERE a.datname = %s AND a.pid <> pg_backend_pid()
"""
# Nothing ends one of these but a statement of who knows what it is: its locks, and its place in the database, stay.
PREPARED = "SELECT gid FROM pg_prepared_xacts WHERE database = %s ORDER BY prepared"
SUPERUSER = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"


@dataclass(frozen=True, slots=True)
class Used:
    """One session of somebody in a database."""

    pid: int
    role: str
    superuser: bool
    """Whether only a superuser may end it."""
    program: str
    endable: bool

    def __str__(self) -> str:
        return f'"{self.role}"' + (f" ({self.program})" if self.program else "") + f", process {self.pid}"


def end(session: Session, database: str) -> list[Used]:
    """End the sessions of DATABASE; those that the role of SESSION may not end."""
    found = _look(session, database)
    for one in found:
        if one.endable:
            session.execute("SELECT pg_terminate_backend(%s)", (one.pid,))
    return [one for one in found if not one.endable]


def insist(server: Server, database: str) -> None:
    """Raise RestoreError when something keeps DATABASE from SERVER: a session that its role may not end, or what is prepared."""
    with server.connect() as session:
        refuse_prepared(session, database)
        refuse(database, [one for one in _look(session, database) if not one.endable])


def refuse(database: str, left: Sequence[Used]) -> None:
    """Raise RestoreError for those LEFT in DATABASE, when there are any."""
    if not left:
        return
    grant = "GRANT pg_signal_backend TO the role of restore.admin"
    hint = "end them, or let restore.admin be a superuser" if any(one.superuser for one in left) else grant
    raise RestoreError(
        f'the database "{database}" is used by sessions that may not be ended: {"; ".join(map(str, left[:5]))}\n'
        f"  hint: {hint}"
    )


def refuse_prepared(session: Session, database: str) -> None:
    """Raise RestoreError when a transaction is prepared in DATABASE: as long as it is, the name stays."""
    if found := [f'"{gid}"' for (gid,) in session.execute(PREPARED, (database,))]:
        raise RestoreError(
            f'in the database "{database}" transactions are prepared, and it cannot be renamed: {", ".join(found[:5])}\n'
            f'  hint: in "{database}", for each: COMMIT PREPARED, or ROLLBACK PREPARED, as who prepared it decided'
        )


def _look(session: Session, database: str) -> list[Used]:
    row = session.execute(SUPERUSER).fetchone()
    may_all = bool(row and row[0])
    return [
        Used(pid, role, superuser, program, may_all or (may and not superuser))
        for pid, role, superuser, program, may in session.execute(SESSIONS, (database,))
    ]
