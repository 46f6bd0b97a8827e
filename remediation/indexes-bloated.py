r"""Indexes bloated or broken: they take far more room than they need, or are not used at all.

Symptom
    An index is marked invalid, or the monthly maintenance is due (G34).

Diagnosis
    1. Invalid ones, left by a CREATE INDEX or REINDEX CONCURRENTLY that failed (step invalid):
           SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid;
    2. The largest ones, and how often each is used (step largest):
           SELECT indexrelname, pg_size_pretty(pg_relation_size(indexrelid)), idx_scan
             FROM pg_stat_user_indexes ORDER BY pg_relation_size(indexrelid) DESC LIMIT 20;

Correction, mildest first, and not while a backup is made: who builds or drops an index CONCURRENTLY waits for its end
    1. Drop what a REINDEX CONCURRENTLY that failed has left: its name ends in _ccnew or _ccold, and nobody is building it now.
       It is no one's index, and slows every change down (step drop_leftovers):
           DROP INDEX CONCURRENTLY <name>_ccnew;
    2. Rebuild those that are invalid or loose, one at a time, while users work; twice the size of the largest of them must be
       free on the disk of the database (facts.database.folder). One that fails leaves nothing behind, and the others are
       rebuilt all the same (step rebuild):
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
# Nobody knows how large an invalid one gets: its table's size is taken. For the loose ones it is the estimate of the check that
# finds them, database/capacity::indexes_are_dense.
ILL = """
    SELECT n.nspname, c.relname,
           CASE WHEN i.indisvalid THEN pg_relation_size(c.oid) ELSE greatest(pg_relation_size(c.oid), pg_relation_size(t.oid)) END
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL (
        SELECT sum(s.avg_width)::float8 AS bytes, count(*) AS known
        FROM pg_attribute a JOIN pg_stats s ON (s.schemaname, s.tablename, s.attname) = (n.nspname, t.relname, a.attname)
        WHERE a.attrelid = t.oid AND a.attnum = ANY (i.indkey::int2[])
    ) AS widths
    WHERE n.nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema') AND c.relkind = 'i' AND c.relpersistence = 'p'
      AND NOT i.indisexclusion AND pg_has_role(c.relowner, 'USAGE')
      AND (NOT i.indisvalid
           OR c.relam = (SELECT oid FROM pg_am WHERE amname = 'btree') AND c.reltuples > 0 AND widths.known = i.indnatts
              AND pg_relation_size(c.oid) > %s
              AND pg_relation_size(c.oid) / (8192 + c.reltuples * (12 + 8 * ceil(widths.bytes / 8)) / 0.9) >= %s)
    ORDER BY i.indisvalid, pg_relation_size(c.oid)
"""
# A role without pg_monitor is not shown whether others are in a transaction: they may be.
BACKUPS = """
    SELECT application_name FROM pg_stat_activity
    WHERE datname = current_database() AND application_name ~* %s
      AND (xact_start IS NOT NULL OR query = '<insufficient privilege>')
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


@correct(risk="routine", only_if=lambda at: call(has_leftovers, protected=_pattern(at)), within=5, timeout=600)
def drop_leftovers(at):
    """Drop what a rebuild that failed has left behind"""
    return call(drop)


@correct(
    risk="routine",
    only_if=lambda at: call(has_room, ill=_ill(at), folder=at.facts.database.folder, protected=_pattern(at)),
    settle=1,
    within=10,
    timeout=14_400,
)
def rebuild(at):
    """Rebuild the indexes that are invalid or loose, one at a time, while users work"""
    return call(reindex, ill=_ill(at))


def drop(tools):
    """DROP INDEX CONCURRENTLY each _ccnew and _ccold that is invalid and that nobody is building."""
    connection = tools.database("database")
    return "\n".join(_drop_leftovers(connection)) or "there were none"


def has_leftovers(tools, *, protected):
    """Whether there are any; refuses while a backup is made."""
    found = bool(tools.sql("database", LEFTOVERS))
    if found:
        _no_backup(tools, protected)
    return found


def has_room(tools, *, ill, folder, protected):
    """Whether there are any, and twice the largest of them is free on the disk of the database; refuses when nobody can tell."""
    connection = tools.database("database")
    sizes = [size for _, _, size in connection.execute(ILL, ill)]
    if not sizes:
        return False
    _no_backup(tools, protected)
    need = 2 * max(sizes)
    place = folder or connection.execute("SHOW data_directory").fetchone()[0]
    try:
        free = int(tools.run("df", "--block-size=1", "--output=avail", "--", place, on="host").split()[-1])
    except RunbookError as error:
        hint = "facts.database.folder: where its data lies on the machine of probes.host"
        raise RunbookError(
            f"nobody can tell how much is free where the database lies: {error}\n  hint: {hint}"
        ) from None
    print(f"{need} bytes may be needed, {free} are free")
    if free < need:
        raise RunbookError(f"to rebuild them takes {need} bytes, and {free} are free: a full disk stops the database")
    return True


def reindex(tools, *, ill):
    """REINDEX INDEX CONCURRENTLY each index of ours that is invalid, or takes much more room than it needs."""
    connection = tools.database("database")
    connection.execute(f"SET lock_timeout = '{PATIENCE}'")
    rebuilt, failed = 0, []
    for schema, name, _ in connection.execute(ILL, ill).fetchall():
        try:
            connection.execute(SQL("REINDEX INDEX CONCURRENTLY {}").format(Identifier(schema, name)))
            rebuilt += 1
        except Error as error:
            failed.append(f"{name}: {error.diag.message_primary or error}")
            _drop_leftovers(connection)
    if failed:
        raise RunbookError(f"{rebuilt} indexes rebuilt, {len(failed)} not: {'; '.join(failed)}")
    return f"{rebuilt} indexes rebuilt"


def _no_backup(tools, protected):
    for (name,) in tools.database("database").execute(BACKUPS, (protected,)).fetchall():
        raise RunbookError(f'"{name}" is at work: it would have to be waited for')


def _drop_leftovers(connection):
    dropped = []
    for schema, name in connection.execute(LEFTOVERS).fetchall():
        connection.execute(SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(Identifier(schema, name)))
        dropped.append(f"dropped {schema}.{name}")
    return dropped


def _ill(at):
    """From which size on an index counts, and from how many times what it needs it is loose."""
    return at.limits.database.index_size, at.limits.database.index_bloat


def _pattern(at):
    """Regular expression of the names that sessions give themselves which nobody ends: backups, first of all our own."""
    return f"^({'|'.join(['pytest-runbook .+', *at.facts.database.protected])})$"
