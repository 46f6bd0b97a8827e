r"""Indexes bloated or broken: they take far more room than they need, or are not used at all.

Symptom
    An index is marked invalid, or the monthly maintenance is due (G34).

Diagnosis
    1. Invalid ones, left by a CREATE INDEX or REINDEX CONCURRENTLY that failed (step invalid):
           SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid;
    2. The largest ones, and how often each is used (step largest):
           SELECT indexrelname, pg_size_pretty(pg_relation_size(indexrelid)), idx_scan
             FROM pg_stat_user_indexes ORDER BY pg_relation_size(indexrelid) DESC LIMIT 20;

Correction, mildest first
    1. Drop what a REINDEX CONCURRENTLY that failed has left: its name ends in _ccnew or _ccold, and nobody is building it now.
       It is no one's index, and slows every change down (step drop_leftovers):
           DROP INDEX CONCURRENTLY <name>_ccnew;
    2. Rebuild all indexes, one at a time, while users work; twice the size of the largest must be free on the disk. One that
       fails leaves nothing behind, and the others are rebuilt all the same (step rebuild):
           REINDEX INDEX CONCURRENTLY <name>;
    3. A person: an invalid index that is not needed: DROP INDEX CONCURRENTLY <name>;

Last resort
    A person: REINDEX DATABASE without CONCURRENTLY locks writers out: in a maintenance window, with approval.

Verify
    pytest checks/database/consistency.py
"""

from psycopg import Error
from psycopg.sql import SQL, Identifier
from pytest_runbook import RunbookError, call, correct, diagnose, sql

LEFTOVERS = r"""
    SELECT n.nspname, c.relname
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT i.indisvalid AND c.relname ~ '_cc(new|old)\d*$'
      AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.relid = i.indrelid)
"""
REBUILT = """
    SELECT n.nspname, c.relname
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema') AND c.relkind = 'i' AND c.relpersistence = 'p'
      AND NOT i.indisexclusion AND pg_has_role(c.relowner, 'USAGE')
    ORDER BY i.indisvalid, pg_relation_size(c.oid)
"""
PATIENCE = "30s"
"""How long one index waits for a lock, before it is left for the next time."""


@diagnose
def invalid(at):
    """Look at the indexes that are invalid"""
    return sql("database", "SELECT indexrelid::regclass, indrelid::regclass FROM pg_index WHERE NOT indisvalid")


@diagnose
def largest(at):
    """Look at the largest indexes, and how often each is used"""
    return sql(
        "database",
        """
        SELECT indexrelid::regclass, pg_size_pretty(pg_relation_size(indexrelid)), idx_scan
        FROM pg_stat_user_indexes ORDER BY pg_relation_size(indexrelid) DESC LIMIT 20
        """,
    )


@correct(risk="routine", only_if=lambda at: sql("database", LEFTOVERS), within=5, timeout=600)
def drop_leftovers(at):
    """Drop what a rebuild that failed has left behind"""
    return call(drop)


@correct(risk="routine", settle=1, within=10, timeout=14_400)
def rebuild(at):
    """Rebuild the indexes, one at a time, while users work"""
    return call(reindex)


def drop(tools):
    """DROP INDEX CONCURRENTLY each _ccnew and _ccold that is invalid and that nobody is building."""
    connection = tools.database("database")
    return "\n".join(_drop_leftovers(connection)) or "there were none"


def reindex(tools):
    """REINDEX INDEX CONCURRENTLY each index of ours, those that are invalid first."""
    connection = tools.database("database")
    connection.execute(f"SET lock_timeout = '{PATIENCE}'")
    rebuilt, failed = 0, []
    for schema, name in connection.execute(REBUILT).fetchall():
        try:
            connection.execute(SQL("REINDEX INDEX CONCURRENTLY {}").format(Identifier(schema, name)))
            rebuilt += 1
        except Error as error:
            failed.append(f"{name}: {error.diag.message_primary or error}")
            _drop_leftovers(connection)
    if failed:
        raise RunbookError(f"{rebuilt} indexes rebuilt, {len(failed)} not: {'; '.join(failed)}")
    return f"{rebuilt} indexes rebuilt"


def _drop_leftovers(connection):
    dropped = []
    for schema, name in connection.execute(LEFTOVERS).fetchall():
        connection.execute(SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(Identifier(schema, name)))
        dropped.append(f"dropped {schema}.{name}")
    return dropped
