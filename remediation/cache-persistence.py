"""Cache persistence: what is in Redis would not survive a restart.

Symptom
    The last save failed, is too old, or append-only mode is off; or the replica is not linked.

Diagnosis
    1. When was the last good save, and what failed?
           redis-cli info persistence; docker compose logs --tail 100 redis
    2. Is the disk full, or the folder not writable? Is there memory for the copy that saving makes (overcommit_memory)?
    3. The replica: `redis-cli info replication` on both sides.

Correction, mildest first
    1. The disk is full: disk-full.
    2. Save now, in the background, and see that it succeeds:
           redis-cli bgsave; redis-cli info persistence | grep rdb_last_bgsave_status
    3. Switch append-only on while it runs; it writes the file from memory:
           redis-cli config set appendonly yes; redis-cli config rewrite
    4. The replica lost its link: look at its log, restart the replica.

Last resort
    Do not restart Redis before one save has succeeded: what is only in memory is lost then.

Verify
    pytest checks/cache/consistency.py
"""
