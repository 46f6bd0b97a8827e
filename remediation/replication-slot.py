"""Replication slot: a slot keeps the database's log for a reader that does not fetch it.

Symptom
    A slot keeps back more log than the limit, or its reader has lost what it needs. The log stays on the primary's disk until
    the reader fetches it: in the end the disk is full and the database stops.

Diagnosis
    1. Which slot, who reads it, how much does it keep, what is left?
           SELECT slot_name, slot_type, active, wal_status,
                  pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)) AS kept
             FROM pg_replication_slots;
           df -h
    2. Not active: its reader is down or was removed. Active and growing: its reader is too slow: replication-lag.
    3. wal_status `lost`: the reader cannot go on from here, whatever is done.

Correction, mildest first
    1. The reader is down: start it, and watch the figure fall.
    2. The reader was removed for good: drop its slot.
           SELECT pg_drop_replication_slot('<name>');
    3. Bound what any slot may keep, so that a lost reader never stops the database (a reload is enough):
           ALTER SYSTEM SET max_slot_wal_keep_size = '20GB'; SELECT pg_reload_conf();

Last resort
    The disk is about to be full: drop the slot although its reader is needed. The standby is lost and has to be built anew from
    a base backup; the primary is saved. Never delete files in pg_wal.

Verify
    pytest checks/database/capacity.py checks/standby
"""
