"""Indexes bloated or broken: they take far more room than they need, or are not used at all.

Symptom
    An index is marked invalid, or is much larger than its rows explain (G34, monthly maintenance).

Diagnosis
    1. Invalid ones, left by a CREATE INDEX CONCURRENTLY that failed:
           SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid;
    2. The largest ones, and how often each is used:
           SELECT indexrelname, pg_size_pretty(pg_relation_size(indexrelid)), idx_scan
             FROM pg_stat_user_indexes ORDER BY pg_relation_size(indexrelid) DESC LIMIT 20;

Correction, mildest first
    1. Rebuild one at a time while users work (twice its size must be free on the disk):
           REINDEX INDEX CONCURRENTLY <name>;
    2. All of them, in quiet hours:
           REINDEX DATABASE CONCURRENTLY nightscan;
    3. An invalid index that is not needed: DROP INDEX CONCURRENTLY <name>;

Last resort
    REINDEX DATABASE without CONCURRENTLY locks writers out: in a maintenance window, with approval.

Verify
    pytest checks/database/consistency.py
"""
