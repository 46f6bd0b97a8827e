"""What the role of a restore may not do, found out before anything is made: it need not be a superuser."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_runbook.backup.questions import NOT_OF_EXTENSION, OURS
from pytest_runbook.errors import BackupError, RestoreError

if TYPE_CHECKING:
    from pytest_runbook.backup.manifest import Database
    from pytest_runbook.backup.postgresql import Server
    from pytest_runbook.backup.restore.database import Session

ROLE = "SELECT quote_ident(rolname), rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user"
MISSING = "SELECT name FROM unnest(%s::text[]) AS name WHERE name NOT IN (SELECT rolname FROM pg_roles) ORDER BY 1"
ELSES = "NOT (pg_has_role(r.oid, 'USAGE') AND pg_has_role(r.oid, %s))"
ROLES = "SELECT DISTINCT quote_ident(r.rolname), r.rolsuper"
OWNER = f"{ROLES} FROM pg_roles r JOIN pg_database ON datdba = r.oid WHERE {ELSES} AND datname = %s"
TABLES = f"""
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_roles r ON r.oid = c.relowner
    WHERE c.relpersistence <> 't' AND {OURS} AND {NOT_OF_EXTENSION}
"""
OWNERS = f"{ROLES} {TABLES} AND {ELSES} ORDER BY 1"
# Rights in a schema are restored last: until then only its owner may create there; in `public` before 15 everybody.
BARRED = f"""
    SELECT DISTINCT quote_ident(r.rolname), n.nspname {TABLES}
    AND (n.nspname <> 'public' OR current_setting('server_version_num')::integer >= 150000)
    AND NOT pg_has_role(r.oid, CASE n.nspowner::regrole::text WHEN 'pg_database_owner'
                               THEN (SELECT datdba FROM pg_database WHERE datname = current_database())
                               ELSE n.nspowner END, 'USAGE') ORDER BY 1, 2
"""  # noqa: S608 - constants
GIVING = 160000
"""Version of PostgreSQL from which on not every member of a role may give it something."""


def insist(server: Server, live: str, told: Database) -> list[str]:
    """Raise RestoreError when the role of SERVER is seen to be unable to exchange LIVE; what may keep it from the backup TOLD of.

    Only the dump says what is in it, and it ends with everything as it was when that is refused: what is in LIVE by now, and
    all roles of a server, only give a reason to tell.
    """
    with server.connect() as session:
        name, superuser, databases, roles = session.execute(ROLE).fetchone() or ("", False, False, False)
        if superuser:
            return []
        lacks = {} if databases else {"may not make databases": f"ALTER ROLE {name} CREATEDB"}
        lacks |= _owners(session, name, "the owner of", live, OWNER, live)
        if lacks:
            raise RestoreError(f'the role of "{server.name}" cannot restore "{live}": {_lacking(lacks)}')
        missing = [] if roles else session.execute(MISSING, (told.roles,)).fetchall()
        doubts = {f'may not make the missing role "{one}"': f"ALTER ROLE {name} CREATEROLE" for (one,) in missing}
    with suppress(BackupError), server.connect(dbname=live) as session:  # after a disaster it may let nobody in
        barred = session.execute(BARRED).fetchall()
        doubts |= {f'may not give {owner} tables in the schema "{schema}" of another': "" for owner, schema in barred}
        doubts |= _owners(session, name, "an owner in", live, OWNERS)
    unsure = f'it is not sure that the role of "{server.name}" can restore "{live}"'
    return [f"{unsure}: {_lacking(doubts)}"] if doubts else []


def _lacking(lacks: Mapping[str, str]) -> str:
    """What the role LACKS, and the statements that help; an empty one says that none does."""
    superuser = "let restore.admin be a superuser"
    hint = superuser if "" in lacks.values() else f"{'; '.join(dict.fromkeys(lacks.values()))}, or {superuser}"
    return f"it {'; it '.join(lacks)}\n  hint: {hint}"


def _owners(session: Session, name: str, what: str, live: str, question: str, *which: str) -> dict[str, str]:
    """The owners that QUESTION asks for, WHAT of LIVE, and that the role NAME of SESSION may not act as, or may give nothing.

    With what helps: who is given the role of a superuser is one.
    """
    giving = "SET" if session.info.server_version >= GIVING else "MEMBER"
    found = session.execute(question.encode(), (giving, *which))
    return {
        f'may not act as {owner}, {what} "{live}"': "" if superuser else f"GRANT {owner} TO {name}"
        for owner, superuser in found
    }
