"""Replication slot: a slot keeps the database's log for a reader that does not fetch it.

Symptom
    A slot keeps back more log than the limit, or its reader has lost what it needs. The log stays on the primary's disk until
    the reader fetches it: in the end the disk is full and the database stops.

Diagnosis
    1. Which slot, who reads it, how much does it keep, what is left? (steps slots, disk)
           SELECT slot_name, slot_type, active, wal_status,
                  pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)) AS kept
             FROM pg_replication_slots;
           df -h
    2. Not active: its reader is down or was removed. Active and growing: its reader is too slow: replication-lag.
    3. wal_status `lost`: the reader cannot go on from here, whatever is done.

Correction, mildest first
    1. The slot's reader is the standby, and it is down: start it, and watch the figure fall. Not when it says why it lets
       nobody in: one that is starting up is at work (step restart_standby):
           systemctl restart postgresql          (on the standby's machine)
    2. A person: bound what any slot may keep, so that a lost reader never stops the database (a reload is enough):
           ALTER SYSTEM SET max_slot_wal_keep_size = '20GB'; SELECT pg_reload_conf();

Last resort
    Drop the slots that nobody reads and that keep too much, with approval. If a reader was removed for good, nothing is lost;
    a standby that only slept has to be built anew from a base backup. The primary is saved (step drop_slots):
        SELECT pg_drop_replication_slot('<name>');
    Never delete files in pg_wal.

Verify
    pytest checks/database/capacity.py checks/standby
"""

from pytest_runbook import call, command, correct, diagnose, last_resort, manage, sql

STUCK = """
    FROM pg_replication_slots
    WHERE NOT active AND (wal_status IN ('unreserved', 'lost') OR pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) > %s)
"""


@diagnose
def slots(at):
    """Look at the slots: who reads them, how much each keeps"""
    return sql(
        "database",
        """
        SELECT slot_name, slot_type, active, wal_status, pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn))
        FROM pg_replication_slots ORDER BY restart_lsn
        """,
    )


@diagnose
def disk(at):
    """Look how much room is left"""
    return command("df", "-h", on="host")


@correct(risk="restart", only_if=lambda at: call(standby_is_down), settle=5, within=120, timeout=300)
def restart_standby(at):
    """Restart the standby, whose slot fills while it is down"""
    return manage("restart", "standby")


@last_resort(
    risk="destructive",
    only_if=lambda at: sql("database", "SELECT count(*)" + STUCK, at.limits.database.slot_wal),
    settle=1,
    within=30,
)
def drop_slots(at):
    """Drop the slots that nobody reads: a reader that still needs one has to be built anew"""
    return sql("database", "SELECT slot_name, pg_drop_replication_slot(slot_name)" + STUCK, at.limits.database.slot_wal)


def standby_is_down(tools):
    """Whether there should be a standby, and nobody serves there."""
    told = tools.settings.probes["standby"]
    if not (told.uri.get_secret_value() or told.host):
        return False
    return tools.silent("standby")
