"""Replication lag: the standby is behind the primary, or does not follow it.

Symptom
    Replay on the standby is later than the limit, or no standby is streaming. If the primary is lost now, so is the difference.

Diagnosis
    1. On the primary: who follows, and how far behind?
           SELECT application_name, state, sent_lsn, replay_lsn, pg_wal_lsn_diff(sent_lsn, replay_lsn), replay_lag
             FROM pg_stat_replication;
    2. On the standby: does it replay, is it held up by a query, is replay paused?
           SELECT pg_is_in_recovery(), pg_is_wal_replay_paused(), now() - pg_last_xact_replay_timestamp();
           SELECT pid, now() - query_start, left(query, 80) FROM pg_stat_activity WHERE state = 'active';
    3. "requested WAL segment has already been removed" in the standby's log: it cannot catch up any more.
    4. Does a slot keep the primary's log? Look at its disk at once:
           SELECT slot_name, active, pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)) FROM pg_replication_slots;

Correction, mildest first
    1. Replay is paused: SELECT pg_wal_replay_resume();
    2. A long query on the standby holds it up: pg_cancel_backend(<pid>) there.
    3. A bulk load on the primary: wait, and look again.
    4. Standby or network: restart the standby.

Last resort
    Build the standby anew from a base backup (pg_basebackup). When a slot is about to fill the primary's disk, drop the slot:
    the standby is lost, the primary is not.

Verify
    pytest checks/standby
"""
