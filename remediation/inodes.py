"""Inodes used up: no new file can be made although bytes are free.

Symptom
    Used inodes of a file system are above the limit; "No space left on device" while df -h shows room.

Diagnosis
    1. Which file system?
           df -i
    2. Which folder has the many small files?
           du --inodes -x --max-depth=3 /opt/nightscan /var /tmp 2>/dev/null | sort -rn | head -n 20

Correction, mildest first
    1. Sessions, caches and temporary files, by age, in the folder that step 2 names:
           find /tmp/nightscan_cache -type f -mtime +1 -delete
    2. Images and layers that nothing uses: docker image prune -f
    3. A mail queue or spool that nobody empties: find out who writes it, stop that, then empty it.

Last resort
    Move the folder to a file system made for many files: the number of inodes of ext4 is fixed when it is made.

Verify
    pytest checks/host/capacity.py
"""
