"""Tables not analysed: the planner works with old statistics, and dead rows are not cleared away.

Symptom
    A table was neither vacuumed nor analysed within a day (G24, daily maintenance). Queries become slow by and by.

Diagnosis
    1. Which tables, and how many dead rows? (step tables)
           SELECT relname, n_live_tup, n_dead_tup, last_vacuum, last_autovacuum, last_analyze, last_autoanalyze
             FROM pg_stat_user_tables ORDER BY n_dead_tup DESC;
    2. Is autovacuum on, and does something hold old rows alive (a long transaction, a slot, a prepared transaction)?
       (step holders)
           SHOW autovacuum;
           SELECT gid, prepared FROM pg_prepared_xacts;

Correction, mildest first
    1. Outside of the busy hours; it reads and writes, locks nobody out, and waits for nobody's lock (step vacuum):
           VACUUM (ANALYZE, SKIP_LOCKED);
       It passes over tables that belong to another role: run it as their owner, or as a superuser.
    2. A person: a long transaction keeps dead rows alive: database-slow, step 1; then step 1 again.
    3. A person: autovacuum is off, or too slow for a table that changes much: switch it on; lower
       autovacuum_vacuum_scale_factor there.

Last resort
    A person: VACUUM FULL returns the space to the disk and locks the table while it runs: in a maintenance window, with
    approval.

Verify
    pytest checks/database/freshness.py
"""

from pytest_runbook import correct, diagnose, sql


@diagnose
def tables(at):
    """Look at dead rows, and at when the tables were analysed"""
    return sql(
        "database",
        """
        SELECT relid::regclass, n_live_tup, n_dead_tup, greatest(last_vacuum, last_autovacuum),
               greatest(last_analyze, last_autoanalyze)
        FROM pg_stat_user_tables ORDER BY n_dead_tup DESC LIMIT 20
        """,
    )


@diagnose
def holders(at):
    """Look at what keeps dead rows alive"""
    return sql(
        "database",
        """
        SELECT 'autovacuum', current_setting('autovacuum'), NULL
        UNION ALL SELECT 'prepared transaction', gid, prepared::text FROM pg_prepared_xacts
        UNION ALL SELECT 'slot', slot_name, coalesce(xmin, catalog_xmin)::text FROM pg_replication_slots
        UNION ALL SELECT 'session', pid::text, (clock_timestamp() - xact_start)::text FROM pg_stat_activity
                   WHERE backend_xmin IS NOT NULL AND xact_start < clock_timestamp() - interval '10 minutes'
        """,
    )


@correct(risk="routine", settle=1, within=30, timeout=7200)
def vacuum(at):
    """Clear dead rows and refresh the planner's statistics"""
    return sql("database", "VACUUM (ANALYZE, SKIP_LOCKED)")
