"""Database down: PostgreSQL refuses, does not answer, or does not accept writes.

Symptom
    Connections are refused or time out, a query as simple as SELECT 1 fails, or every change is refused. Web is down with it.
    P1: within 15 minutes.

Diagnosis
    1. Does the server run, and what did it say last? (steps status, log)
           docker compose ps -a postgres; docker compose logs --tail 200 postgres
    2. Does it accept connections?
           docker compose exec postgres pg_isready
    3. Is its disk full? PostgreSQL stops itself then: go to disk-full first, and delete nothing in its folder, above all not
       in pg_wal. (step disk)
    4. What does it say to who connects? "too many clients" or "remaining connection slots": go to database-connections.
       "password authentication failed": the configuration changed. A name that does not resolve: the network.
    5. "starting up", "not yet accepting connections": is it in recovery? Starting after a crash replays the log, and takes as
       long as it takes; do not interrupt that.

Correction, mildest first
    1. It is replaying its log: wait, and look at the progress in the server's log. No step touches it meanwhile.
    2. It answers and refuses changes, because somebody switched it to read-only by ALTER SYSTEM: switch that off. Who has a
       reason for it declares a maintenance window (step take_writes):
           ALTER SYSTEM RESET default_transaction_read_only; SELECT pg_reload_conf();
    3. It does not answer: it refuses or closes connections, or lets them wait, and says nothing. Restart it, with time to
       write what it has in memory (killed before that, it has to repair its data first), and poll pg_isready. Not when it
       says why it lets nobody in, as in 4 and 5 above: a restart drops every session and mends none of that (step restart):
           docker compose restart --timeout 120 postgres
    4. A person: a setting keeps it from starting; take the last change of postgresql.conf back.

Last resort
    A person decides. Promote the standby (first make sure that the old primary cannot come back), or restore the newest
    verified backup: stop web, restore into an empty database, compare row counts, start web. Before either, keep a copy of the
    data folder as it is.

Verify
    pytest checks/database/availability.py checks/web/availability.py
"""

from pytest_runbook import RunbookError, call, command, correct, diagnose, manage, sql

READ_ONLY = """
    SELECT NOT pg_is_in_recovery() AND EXISTS (
        SELECT FROM pg_settings WHERE name = 'default_transaction_read_only' AND reset_val = 'on'
           AND sourcefile ~ 'postgresql[.]auto[.]conf$'
    )
"""
"""Switched by ALTER SYSTEM, and not in a file that a person keeps: there a RESET changes nothing."""


@diagnose
def status(at):
    """Look whether it runs, and since when"""
    return manage("status", "database")


@diagnose
def log(at):
    """Look at what it said last"""
    return manage("logs", "database")


@diagnose
def disk(at):
    """Look whether its disk is full"""
    return command("df", "-h", on="host")


@correct(risk="restart", only_if=lambda at: call(switched_to_read_only), settle=1, within=20)
def take_writes(at):
    """Let it take writes again"""
    return [
        sql("database", "ALTER SYSTEM RESET default_transaction_read_only"),
        sql("database", "SELECT pg_reload_conf()"),
    ]


@correct(risk="restart", only_if=lambda at: call(does_not_answer), settle=2, within=120, timeout=300)
def restart(at):
    """Restart PostgreSQL"""
    return manage("restart", "database")


def switched_to_read_only(tools):
    """Whether it answers, is no standby, and its configuration has it refuse writes."""
    try:
        return tools.sql("database", READ_ONLY).first
    except RunbookError:
        return False


def does_not_answer(tools):
    """Whether nobody serves there; who says why it lets nobody in is not restarted for that."""
    return tools.silent("database")
