"""What the role of a restore may not do, found out before anything is made: it need not be a superuser."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_runbook.backup.contents import NOT_OF_EXTENSION, OURS
from pytest_runbook.errors import BackupError, RestoreError

if TYPE_CHECKING:
    from pytest_runbook.backup.manifest import Database
    from pytest_runbook.backup.postgresql import Server
    from pytest_runbook.backup.restore.database import Session

ROLE = "SELECT quote_ident(rolname), rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user"
MISSING = "SELECT name FROM unnest(%s::text[]) AS name WHERE name NOT IN (SELECT rolname FROM pg_roles) ORDER BY 1"
ELSES = "NOT (pg_has_role(r.oid, 'USAGE') AND pg_has_role(r.oid, %s))"
ROLES = "SELECT DISTINCT quote_ident(r.rolname)"
OWNER = f"{ROLES} FROM pg_roles r JOIN pg_database ON datdba = r.oid WHERE {ELSES} AND datname = %s"
TABLES = f"""
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_roles r ON r.oid = c.relowner
    WHERE c.relpersistence <> 't' AND {OURS} AND {NOT_OF_EXTENSION}
"""
OWNERS = f"{ROLES} {TABLES} AND {ELSES} ORDER BY 1"
# Rights in a schema are restored last: until then only its owner may create there; in `public` before 15 everybody.
BARRED = f"""
    {ROLES}, n.nspname {TABLES}
    AND (n.nspname <> 'public' OR current_setting('server_version_num')::integer >= 150000)
    AND NOT pg_has_role(r.oid, CASE n.nspowner::regrole::text WHEN 'pg_database_owner'
                               THEN (SELECT datdba FROM pg_database WHERE datname = current_database())
                               ELSE n.nspowner END, 'USAGE') ORDER BY 1, 2
"""  # noqa: S608 - constants
GIVING = 160000
"""Version of PostgreSQL from which on not every member of a role may give it something."""


def insist(server: Server, live: str, told: Database) -> None:
    """Raise RestoreError when the role of SERVER is seen to be unable to restore the backup TOLD of in place of LIVE.

    What nobody sees before, as what an extension asks for, is told when it is refused.
    """
    with server.connect() as session:
        name, superuser, databases, roles = session.execute(ROLE).fetchone() or ("", False, False, False)
        if superuser:
            return
        lacks = {} if databases else {"may not make databases": f"ALTER ROLE {name} CREATEDB"}
        if not roles:
            missing = session.execute(MISSING, (told.roles,))
            lacks |= {f'may not make the missing role "{one}"': f"ALTER ROLE {name} CREATEROLE" for (one,) in missing}
        owners = _owners(session, OWNER, live)
    with suppress(BackupError), server.connect(dbname=live) as session:  # after a disaster it may let nobody in
        owners += _owners(session, OWNERS)
        barred = session.execute(BARRED).fetchall()
        lacks |= {f'may not give {owner} tables in the schema "{schema}" of another': "" for owner, schema in barred}
    lacks |= {
        f'may not act as {owner}, to whom what is in "{live}" belongs': f"GRANT {owner} TO {name}" for owner in owners
    }
    if lacks:
        raise RestoreError(
            f'the role of "{server.name}" cannot restore "{live}": it {"; it ".join(lacks)}\n  hint: {_hint(lacks.values())}'
        )


def _hint(statements: Collection[str]) -> str:
    """What to do: STATEMENTS, where no empty one says that none helps."""
    superuser = "let restore.admin be a superuser"
    return superuser if "" in statements else f"{'; '.join(dict.fromkeys(statements))}, or {superuser}"


def _owners(session: Session, question: str, *which: str) -> list[str]:
    """The owners that QUESTION asks for, and that the role of SESSION may not act as, or may give nothing."""
    giving = "SET" if session.info.server_version >= GIVING else "MEMBER"
    return [owner for (owner,) in session.execute(question.encode(), (giving, *which))]
