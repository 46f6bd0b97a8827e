"""Disk full: a file system is above its limit; at 100 % the database stops.

Symptom
    Used bytes are above the limit, or there is no room for the next deployment and its backup.

Diagnosis
    1. Which file system?
           df -h; df -i
       Inodes instead of bytes: the runbook inodes.
    2. What fills it?
           du -xh --max-depth=2 /opt/nightscan /var/log /var/lib/docker 2>/dev/null | sort -rh | head -n 20
    3. Deleted files that a process still holds open count too:
           lsof +L1 | head
    4. Does a replication slot keep the log of PostgreSQL? (replication-lag, step 4)

Correction, mildest first
    1. Old logs, by age, only files that are rotated already:
           find /opt/nightscan/logs -name '*.log.*' -mtime +3 -delete
           find /var/log -name '*.log.*' -mtime +7 -delete
    2. The journal: journalctl --vacuum-time=7d
    3. Images and build layers that nothing uses; keep the running image and the one to go back to:
           docker image prune -f; docker builder prune -f --keep-storage 5GB
    4. The application's own cache folder: what is older than a day.
           find /tmp/nightscan_cache -type f -mtime +1 -delete
    5. A process holds a deleted log open: have it open its log anew (logrotate's postrotate), or restart that one service.

Last resort
    A larger disk. Backups that are older than their retention, when newer ones were verified, never the newest verified ones.
    Never delete in the data folder of PostgreSQL or Redis, and never FLUSHDB: that frees no disk and logs every user out.

Verify
    pytest checks/host/capacity.py
"""
