"""Replication lag: the standby is behind the primary, does not follow it, or does not answer.

Symptom
    Replay on the standby is later than the limit, or no standby is streaming. If the primary is lost now, so is the difference.

Diagnosis
    1. On the primary: who follows, and how far behind? (step followers)
           SELECT application_name, state, sent_lsn, replay_lsn, pg_wal_lsn_diff(sent_lsn, replay_lsn), replay_lag
             FROM pg_stat_replication;
    2. On the standby: does it replay, is it held up by a query, is replay paused? (step replay)
           SELECT pg_is_in_recovery(), pg_is_wal_replay_paused(), now() - pg_last_xact_replay_timestamp();
           SELECT pid, now() - query_start, left(query, 80) FROM pg_stat_activity WHERE state = 'active';
    3. "requested WAL segment has already been removed" in the standby's log: it cannot catch up any more. (step log)
    4. Does a slot keep the primary's log? Look at its disk at once: replication-slot.

Correction, mildest first
    1. Somebody paused the replay and forgot it; what it has missed since takes its time. Not while a backup is made there,
       which it may have been paused for, and not when it paused by itself, which shows in its settings (step resume):
           SELECT name, setting FROM pg_settings WHERE name ~ '^recovery_target' AND source <> 'default';
           SELECT name, setting FROM pg_settings WHERE name ~ '^max_';       (there and on the primary)
           SELECT pg_wal_replay_resume();
       A person: it is paused at a recovery target. Somebody is rescuing data: to resume ends the recovery for good, and what
       was a standby is another primary.
       A person: max_connections, or another of the settings below, is smaller there than on the primary. It can still be read,
       but to resume shuts it down: raise the setting there, then restart it.
    2. A person: a long query on the standby holds it up: pg_cancel_backend(<pid>) there.
    3. A bulk load on the primary: wait, and look again.
    4. It does not answer, or no receiver of the primary's log runs there: restart it. Not when it only is behind, starts up, is
       paused, or makes a backup; and not when it was promoted: it is another primary then, with data of its own, and a person
       has to say which one counts (step restart):
           systemctl restart postgresql          (on the standby's machine)

Last resort
    A person: build the standby anew from a base backup (pg_basebackup). When a slot is about to fill the primary's disk, go to
    replication-slot: the standby is lost, the primary is not.

Verify
    pytest checks/standby
"""

from pytest_runbook import RunbookError, call, correct, diagnose, manage, sql

PAUSED = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END"
TARGET = (
    "SELECT name, setting FROM pg_settings WHERE name ~ '^recovery_target(_(lsn|name|time|xid))?$' AND setting <> ''"
)
"""The others say what happens there."""
SIZES = """
    SELECT name, setting::int FROM pg_settings
    WHERE name IN ('max_connections', 'max_worker_processes', 'max_wal_senders', 'max_prepared_transactions',
                   'max_locks_per_transaction')
"""
"""A standby may not have less of these than its primary: it pauses where it learns of it."""
BACKUPS = "SELECT application_name FROM pg_stat_activity WHERE application_name ~* %s"
LOST = f"""
    SELECT CASE WHEN pg_is_in_recovery() THEN NOT pg_is_wal_replay_paused()
           AND NOT EXISTS (SELECT FROM pg_stat_wal_receiver) AND NOT EXISTS ({BACKUPS}) ELSE false END
"""  # noqa: S608 - constants


@diagnose
def followers(at):
    """Look at who follows the primary, and how far behind"""
    return sql(
        "database",
        """
        SELECT application_name, state, sent_lsn, replay_lsn, pg_wal_lsn_diff(sent_lsn, replay_lsn) AS behind, replay_lag
        FROM pg_stat_replication
        """,
    )


@diagnose
def replay(at):
    """Look at the standby's own view: in recovery, paused, age of the last transaction"""
    return sql(
        "standby",
        """
        SELECT pg_is_in_recovery(), CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() END AS paused,
               clock_timestamp() - pg_last_xact_replay_timestamp() AS age
        """,
    )


@diagnose
def log(at):
    """Look at what the standby said last"""
    return manage("logs", "standby")


@correct(
    risk="routine",
    only_if=lambda at: call(was_paused, protected=_pattern(at)),
    settle=1,
    within=600,
)
def resume(at):
    """Let the standby replay again what somebody paused"""
    return sql("standby", "SELECT pg_wal_replay_resume()")


@correct(risk="restart", only_if=lambda at: call(is_lost, protected=_pattern(at)), settle=2, within=120, timeout=300)
def restart(at):
    """Restart the standby"""
    return manage("restart", "standby")


def was_paused(tools, *, protected):
    """Whether somebody paused the replay, and nothing is lost when it goes on; refuses when it paused by itself."""
    standby = tools.database("standby")
    if not tools.sql("standby", PAUSED):
        return False
    for name, setting in standby.execute(TARGET).fetchall():
        raise RunbookError(f'it is paused at its {name}, "{setting}": to resume ends its recovery for good')
    here = dict(standby.execute(SIZES).fetchall())
    for name, most in tools.database("database").execute(SIZES).fetchall():
        if here[name] < most:
            raise RunbookError(f"{name} is {here[name]} there and {most} on the primary: to resume shuts it down")
    for (name,) in standby.execute(BACKUPS, (protected,)).fetchall():
        raise RunbookError(f'"{name}" is at work there, and may be lost when the replay goes on')
    return True


def is_lost(tools, *, protected):
    """Whether nobody serves there, or a standby that was not paused is cut off from the primary, and makes no backup."""
    return tools.silent("standby") or tools.sql("standby", LOST, (protected,)).first


def _pattern(at):
    """Regular expression of the names that sessions give themselves which nobody ends: backups, first of all our own."""
    return f"^({'|'.join(['pytest-runbook .+', *at.facts.database.protected])})$"
