"""Lets who restored a database, and is no superuser, read all rows to compare them: forced policies hold for owners too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_runbook.backup.restore.database import Session

FORCED = """
    SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE relforcerowsecurity AND NOT (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user)
    ORDER BY 1
"""


@contextmanager
def unforced(session: Session) -> Iterator[None]:
    """Force no policy on the owner of a table in the block, which SESSION acts as; one that fails leaves it so.

    Only for a database that nobody uses yet, and that goes when the block fails.
    """
    tables = [name for (name,) in session.execute(FORCED)]
    for name in tables:
        session.execute(f"ALTER TABLE ONLY {name} NO FORCE ROW LEVEL SECURITY".encode())
    yield
    for name in tables:
        session.execute(f"ALTER TABLE ONLY {name} FORCE ROW LEVEL SECURITY".encode())
