"""Database slow: queries take too long, or transactions stay open.

Symptom
    The 95th percentile of query times is above its limit, or a transaction is open (or idle inside) for minutes.

Diagnosis (psql takes its password from PGPASSFILE; a URI as argument shows it in the process list)
    1. What runs now, since when, and who waits for whom?
           SELECT pid, usename, state, now() - xact_start AS age, wait_event_type, pg_blocking_pids(pid), left(query, 80)
             FROM pg_stat_activity WHERE state <> 'idle' ORDER BY age DESC NULLS LAST;
    2. Which statements take the time?
           SELECT calls, mean_exec_time, total_exec_time, left(query, 80)
             FROM pg_stat_statements ORDER BY total_exec_time DESC LIMIT 10;
    3. Are the planner's statistics old?
           SELECT relname, n_dead_tup, last_autoanalyze, last_analyze FROM pg_stat_user_tables ORDER BY n_dead_tup DESC;
    4. Is the host short of CPU, memory or disk bandwidth?

Correction, mildest first
    1. Ask the query to stop, which loses only that query:
           SELECT pg_cancel_backend(<pid>);
    2. End sessions that sit idle inside a transaction for more than 10 minutes; they hold locks and keep dead rows alive:
           SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE state = 'idle in transaction' AND state_change < now() - interval '10 minutes' AND pid <> pg_backend_pid();
    3. Refresh statistics and dead rows:
           VACUUM (ANALYZE);
    4. One statement takes it all: the index that it needs, CREATE INDEX CONCURRENTLY.

Last resort
    Restart PostgreSQL, with approval: every connection is dropped, caches are cold and it is slower for a while.
        docker compose restart postgres

Verify
    pytest checks/database/performance.py
"""
