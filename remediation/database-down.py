"""Database down: PostgreSQL refuses, does not answer, or does not accept writes.

Symptom
    Connections are refused or time out, or a query as simple as SELECT 1 fails. Web is down with it. P1: within 15 minutes.

Diagnosis
    1. Does the server run, and what did it say last?
           docker compose ps postgres; docker compose logs --tail 200 postgres
    2. Does it accept connections?
           docker compose exec postgres pg_isready
    3. Is its disk full? PostgreSQL stops itself then: go to disk-full first, and delete nothing in its folder, above all not
       in pg_wal.
    4. "too many connections": go to database-connections. "password authentication failed": the configuration changed.
    5. Is it in recovery? Starting after a crash replays the log, and takes as long as it takes; do not interrupt that.

Correction, mildest first
    1. It is replaying its log: wait, and look at the progress in the server's log.
    2. Start it, or restart it, and poll pg_isready:
           docker compose up -d --no-deps postgres
    3. A setting keeps it from starting: take the last change of postgresql.conf back.

Last resort
    A person decides. Promote the standby (first make sure that the old primary cannot come back), or restore the newest
    verified backup: stop web, restore into an empty database, compare row counts, start web. Before either, keep a copy of the
    data folder as it is.

Verify
    pytest checks/database/availability.py checks/web/availability.py
"""
