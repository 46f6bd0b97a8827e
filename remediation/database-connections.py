"""Database connections: nearly all are taken, and the next user gets an error.

Symptom
    Connections in use are above the allowed share of max_connections, or of the application's pool.

Diagnosis
    1. Who holds them, and in which state? (step sessions)
           SELECT usename, application_name, client_addr, state, count(*), max(now() - state_change)
             FROM pg_stat_activity WHERE backend_type = 'client backend' GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC;
    2. Many `idle`: a pool larger than needed, or a client that does not give back. Many `idle in transaction`: a bug in a
       client. Many `active`: the database is slow and work piles up: go to database-slow.
    3. Do pool sizes fit? (pool_size + max_overflow) of production.json times worker processes, plus the other clients, must
       stay below max_connections less the reserved ones. (step room)

Correction, mildest first
    1. End what is idle inside a transaction for more than 10 minutes; never backups or standbys (step end_forgotten):
           SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE state LIKE 'idle in transaction%' AND state_change < now() - interval '10 minutes'
              AND backend_type = 'client backend' AND pid <> pg_backend_pid()
              AND application_name !~* '^(pytest-runbook|pg_|pgbackrest|barman|wal-g)';
    2. Web itself holds most of them: restart it, which gives them all back, and open a ticket about the leak (step restart_web):
           docker compose restart web
    3. A person: another client leaks them. Find its owner by application_name and address, end its connections, fix it.
    4. A person: smaller pools in production.json; a pooler (pgbouncer) in front when there are many clients.

Last resort
    A person: raise max_connections, with approval: it needs a restart and more memory, and moves the problem more than it
    solves it.

Verify
    pytest checks/database/capacity.py
"""

from pytest_runbook import correct, diagnose, manage, sql

FORGOTTEN = """
    FROM pg_stat_activity
    WHERE starts_with(state, 'idle in transaction') AND state_change < clock_timestamp() - make_interval(secs => %s)
      AND backend_type = 'client backend' AND application_name <> 'pytest-runbook' AND application_name !~* %s
"""
MOST = """
    SELECT count(*) FILTER (WHERE application_name = %s AND application_name <> '') * 2 > count(*)
    FROM pg_stat_activity WHERE backend_type = 'client backend'
"""


@diagnose
def sessions(at):
    """Look at who holds connections, and in which state"""
    return sql(
        "database",
        """
        SELECT usename, application_name, client_addr, state, count(*), max(clock_timestamp() - state_change)
        FROM pg_stat_activity WHERE backend_type = 'client backend' GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC LIMIT 20
        """,
    )


@diagnose
def room(at):
    """Look at how many there may be"""
    return sql(
        "database",
        """
        SELECT name, setting FROM pg_settings
        WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections')
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
    risk="restart",
    only_if=lambda at: sql("database", MOST, at.facts.database.application),
    settle=5,
    within=60,
    timeout=120,
)
def restart_web(at):
    """Restart the web service, which gives back the connections that it holds"""
    return manage("restart", "web")


def _forgotten(at):
    return at.limits.database.idle_in_transaction_age, _pattern(at)


def _pattern(at):
    """Regular expression of the names that sessions give themselves which nobody ends: backups, first of all our own."""
    return f"^({'|'.join(['pytest-runbook .+', *at.facts.database.protected])})$"
