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
    1. Somebody paused the replay and forgot it; what it has missed since takes its time (step resume):
           SELECT pg_wal_replay_resume();
    2. A person: a long query on the standby holds it up: pg_cancel_backend(<pid>) there.
    3. A bulk load on the primary: wait, and look again.
    4. It does not answer, or lost the primary: restart it. Not when it was promoted: it is another primary then, with data of
       its own, and a person has to say which one counts (step restart):
           systemctl restart postgresql          (on the standby's machine)

Last resort
    A person: build the standby anew from a base backup (pg_basebackup). When a slot is about to fill the primary's disk, go to
    replication-slot: the standby is lost, the primary is not.

Verify
    pytest checks/standby
"""

from pytest_runbook import RunbookError, call, correct, diagnose, manage, sql


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
    only_if=lambda at: sql(
        "standby", "SELECT CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END"
    ),
    settle=1,
    within=600,
)
def resume(at):
    """Let the standby replay again what somebody paused"""
    return sql("standby", "SELECT pg_wal_replay_resume()")


@correct(risk="restart", only_if=lambda at: call(is_no_primary), settle=2, within=120, timeout=300)
def restart(at):
    """Restart the standby"""
    return manage("restart", "standby")


def is_no_primary(tools):
    """Whether the standby does not answer, or answers as a standby: one that was promoted is left alone."""
    try:
        return tools.sql("standby", "SELECT pg_is_in_recovery()").first
    except RunbookError as error:
        print(error)
        return True
