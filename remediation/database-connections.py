"""Database connections: nearly all are taken, and the next user gets an error.

Symptom
    Connections in use are above the allowed share of max_connections, or of the application's pool.

Diagnosis
    1. Who holds them, and in which state?
           SELECT usename, application_name, client_addr, state, count(*), max(now() - state_change)
             FROM pg_stat_activity WHERE backend_type = 'client backend' GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC;
    2. Many `idle`: a pool larger than needed, or a client that does not give back. Many `idle in transaction`: a bug in a
       client. Many `active`: the database is slow and work piles up: go to database-slow.
    3. Do pool sizes fit? (pool_size + max_overflow) of production.json times worker processes, plus the other clients, must
       stay below max_connections less the reserved ones.

Correction, mildest first
    1. End what is idle inside a transaction for more than 10 minutes (database-slow, step 2).
    2. End connections of one client that leaks them, by its application_name.
    3. Restart the client that leaks: `docker compose restart web`.
    4. Smaller pools in production.json; a pooler (pgbouncer) in front when there are many clients.

Last resort
    Raise max_connections, with approval: it needs a restart and more memory, and moves the problem more than it solves it.

Verify
    pytest checks/database/capacity.py
"""
