"""Tables not analysed: the planner works with old statistics, and dead rows are not cleared away.

Symptom
    A table was neither vacuumed nor analysed within a day (G24, daily maintenance). Queries become slow by and by.

Diagnosis
    1. Which tables, and how many dead rows?
           SELECT relname, n_live_tup, n_dead_tup, last_vacuum, last_autovacuum, last_analyze, last_autoanalyze
             FROM pg_stat_user_tables ORDER BY n_dead_tup DESC;
    2. Is autovacuum on, and does something hold old rows alive (a long transaction, a slot, a prepared transaction)?
           SHOW autovacuum;
           SELECT gid, prepared FROM pg_prepared_xacts;

Correction, mildest first
    1. Outside of the busy hours; it reads and writes, and locks nobody out:
           VACUUM (ANALYZE);
    2. A long transaction keeps dead rows alive: database-slow, step 2; then step 1 again.
    3. Autovacuum is off, or too slow for a table that changes much: switch it on; lower autovacuum_vacuum_scale_factor there.

Last resort
    VACUUM FULL returns the space to the disk and locks the table while it runs: in a maintenance window, with approval.

Verify
    pytest checks/database/freshness.py
"""
