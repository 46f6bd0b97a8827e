"""Database slow: queries take too long, wait for each other, or transactions stay open.

Symptom
    The 95th percentile of query times is above its limit, a session waits for the lock of another one, or a transaction is
    open (or idle inside) for minutes.

Diagnosis (psql takes its password from PGPASSFILE; a URI as argument shows it in the process list)
    1. What runs now, since when, and who waits for whom? (step activity)
           SELECT pid, usename, state, now() - xact_start AS age, wait_event_type, pg_blocking_pids(pid), left(query, 80)
             FROM pg_stat_activity WHERE state <> 'idle' ORDER BY age DESC NULLS LAST;
    2. Which statements take the time? (step statements)
           SELECT calls, mean_exec_time, total_exec_time, left(query, 80)
             FROM pg_stat_statements ORDER BY total_exec_time DESC LIMIT 10;
    3. Are the planner's statistics old? (step tables)
           SELECT relname, n_live_tup, n_dead_tup, last_autoanalyze, last_analyze FROM pg_stat_user_tables
            ORDER BY n_dead_tup DESC;
    4. Is the host short of CPU, memory or disk bandwidth? Then it is load-high or memory-high.

Correction, mildest first
    1. End sessions that sit idle inside a transaction for more than 10 minutes; they hold locks and keep dead rows alive.
       Only those: never a backup, a standby or what merely works long (step end_forgotten):
           SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE state LIKE 'idle in transaction%' AND state_change < now() - interval '10 minutes'
              AND backend_type = 'client backend' AND pid <> pg_backend_pid()
              AND application_name !~* '^(pytest-runbook|pg_|pgbackrest|barman|wal-g)';
    2. An index that the release declares (facts.database.indexes) is gone: build it again, while users work (step
       build_indexes):
           CREATE INDEX CONCURRENTLY <name> ON <table> (<columns>);
    3. Refresh statistics and clear dead rows, slowly, and without waiting for anybody's lock (step vacuum):
           SET vacuum_cost_delay = '2ms'; VACUUM (ANALYZE, SKIP_LOCKED);
    4. A person: one query takes it all and nobody needs it; asking it to stop loses only that query:
           SELECT pg_cancel_backend(<pid>);
    5. A person: one statement is slow by nature; the index that it needs: CREATE INDEX CONCURRENTLY.

Last resort
    Users wait, and nothing above helped: restart PostgreSQL, with approval. Every service loses its connections, caches are
    cold, and it is slower for a while. Not while a backup, a copy for a standby or an index is being made: that would be
    lost, and not when that cannot be seen (step restart).
        docker compose restart --timeout 120 postgres

Verify
    pytest checks/database/performance.py
"""

from pytest_runbook import call, correct, diagnose, last_resort, manage, sql

FORGOTTEN = """
    FROM pg_stat_activity
    WHERE starts_with(state, 'idle in transaction') AND state_change < clock_timestamp() - make_interval(secs => %s)
      AND backend_type = 'client backend' AND application_name <> 'pytest-runbook' AND application_name !~* %s
"""
BUSY = """
    SELECT count(*) FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND (application_name ~* %s
       OR state = 'active' AND query ~* '^\\s*(create|drop|alter|reindex|vacuum|cluster|copy|refresh)\\M'
       OR query = '<insufficient privilege>'
       OR pid IN (SELECT pid FROM pg_stat_progress_basebackup))
"""
AT_WORK = """
    SELECT pid, usename, application_name, state, date_trunc('second', clock_timestamp() - xact_start) AS age,
           wait_event_type, pg_blocking_pids(pid), left(query, 200)
    FROM pg_stat_activity WHERE state <> 'idle' AND pid <> pg_backend_pid() ORDER BY age DESC NULLS LAST LIMIT 20
"""
COSTLY = """
    SELECT calls, round(mean_exec_time::numeric, 1) || ' ms', round(total_exec_time::numeric) || ' ms', left(query, 200)
    FROM pg_stat_statements ORDER BY total_exec_time DESC LIMIT 10
"""
WAITING = ("database/performance::query_time_p95", "database/performance::nobody_waits_for_a_lock")
"""Checks that fail when users wait; the others find what will make them wait."""


@diagnose
def activity(at):
    """Look at who works, since when, and who waits for whom"""
    return call(at_work)


@diagnose
def statements(at):
    """Look at the statements that take the time"""
    return call(costly)


@diagnose
def tables(at):
    """Look at dead rows, and at when the tables were analysed"""
    return sql(
        "database",
        """
        SELECT relname, n_live_tup, n_dead_tup, greatest(last_vacuum, last_autovacuum), greatest(last_analyze, last_autoanalyze)
        FROM pg_stat_user_tables ORDER BY n_dead_tup DESC LIMIT 10
        """,
    )


@correct(
    risk="routine",
    only_if=lambda at: sql("database", "SELECT count(*)" + FORGOTTEN, *_forgotten(at)),
    within=15,
)
def end_forgotten(at):
    """End sessions that were forgotten inside a transaction"""
    return sql(
        "database", "SELECT pid, usename, application_name, pg_terminate_backend(pid)" + FORGOTTEN, *_forgotten(at)
    )


@correct(
    risk="routine",
    only_if=lambda at: call(lacking, declared=at.facts.database.indexes),
    settle=1,
    within=10,
    timeout=3600,
)
def build_indexes(at):
    """Build the indexes that the release declares and that are gone"""
    return call(build, declared=at.facts.database.indexes)


@correct(risk="routine", only_if=lambda at: call(among, checks=WAITING[:1]), settle=2, within=10, timeout=1800)
def vacuum(at):
    """Refresh the planner's statistics and clear dead rows, slowly"""
    return call(vacuum_slowly)


@last_resort(
    risk="destructive", only_if=lambda at: call(may_restart, protected=_pattern(at)), settle=5, within=90, timeout=300
)
def restart(at):
    """Restart PostgreSQL: every connection is dropped"""
    return manage("restart", "database")


def at_work(tools):
    """Sessions that are not idle, the longest transaction first."""
    return _shown(tools, AT_WORK)


def costly(tools):
    """Statements by the time that they took in all."""
    return _shown(tools, COSTLY)


def among(tools, *, checks):
    """Whether one of these checks failed."""
    return bool({*checks} & {*tools.situation.checks})


def lacking(tools, *, declared):
    """Whether queries are slow, and an index that is DECLARED, `NAME ON TABLE (COLUMNS)`, is not there."""
    return among(tools, checks=WAITING[:1]) and bool(_gone(tools, declared))


def build(tools, *, declared):
    """CREATE INDEX CONCURRENTLY, one after the other."""
    gone = _gone(tools, declared)
    for told in gone:
        tools.sql("database", f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {told}")
    return "\n".join(gone)


def vacuum_slowly(tools):
    """VACUUM (ANALYZE, SKIP_LOCKED) with pauses, so that users hardly notice."""
    tools.sql("database", "SET vacuum_cost_delay = '2ms'")
    tools.sql("database", "VACUUM (ANALYZE, SKIP_LOCKED)")


def may_restart(tools, *, protected):
    """Whether users wait, and no backup, index or other long work would be lost."""
    return among(tools, checks=WAITING) and tools.sql("database", BUSY, (protected,)).first == 0


def _shown(tools, question):
    """What QUESTION answers, a statement last: its shape, for addresses of users and passwords stand among its values."""
    from pytest_runbook.probes.postgresql.texts import without_values

    rows = tools.database("database").execute(question).fetchall()
    return "\n".join("  ".join(map(str, [*row, without_values(text or "")[:80]])) for *row, text in rows)


def _gone(tools, declared):
    """Those of the indexes that the database does not have."""
    asked = "SELECT to_regclass(%s) IS NULL"
    return [told for told in declared if tools.sql("database", asked, (told.split()[0],)).first]


def _forgotten(at):
    return at.limits.database.idle_in_transaction_age, _pattern(at)


def _pattern(at):
    """Regular expression of the names that sessions give themselves which nobody ends: backups, first of all our own."""
    return f"^({'|'.join(['pytest-runbook .+', *at.facts.database.protected])})$"
