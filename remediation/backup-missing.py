"""Backup missing: there is no recent backup that was seen to be good.

Symptom
    The newest backup is older than the limit, empty, smaller than usual, or differs from its manifest.

Diagnosis
    1. What is there, how old, how large?
           ls -l /opt/nightscan/backups | tail; aws s3 ls s3://nightscan-backups/ --recursive | sort | tail
    2. Did the job run (02:00), how did it end? `systemctl list-timers`, its log. A dump that failed behind `| gzip` looks fine:
       only the dump's own exit status and a read back count.
    3. Is the disk full, the bucket out of reach (storage-down), the password changed?

Correction, mildest first
    1. What keeps the job from working: its runbook.
    2. Take a backup now, read it back, and see that the manifest fits.
    3. Start no deployment and no clean-up of old backups before that.

Last resort
    Nothing can be backed up: stop what changes data (deployments, migrations, deletions), and copy the data folders to another
    machine by hand.

Verify
    pytest checks/storage
"""
