"""Folders unusable: a folder of the system is missing, or open to users that have no business with it.

Symptom
    uploads, models, logs or backups is not there, everybody may write to it, or everybody may look into the backups.

Diagnosis
    1. What is there, whose, and with which mode?
           ls -ld /opt/nightscan/*; namei -l /opt/nightscan/uploads
    2. A folder that is missing: is its disk mounted? `findmnt`, /etc/fstab. A mount that failed leaves an empty folder behind.
    3. A mode that changed: a restore without permissions, a container that runs as root, `chmod -R 777` as a quick fix.
    4. Was anything changed by strangers meanwhile? find /opt/nightscan -newermt '-2 days' -ls

Correction, mildest first
    1. Mount what is not mounted.
    2. Make the folder, owned by the service's user: install -d -o nightscan -g nightscan -m 750 /opt/nightscan/uploads
    3. Take the rights of others away, of the folder and of what lies in it: chmod -R o= /opt/nightscan/backups
    4. The service still needs access: make its user a member of the group, never open the folder to all.

Last resort
    Files were lost or changed: restore them from the newest verified backup (backup-missing says which one is good).

Verify
    pytest checks/host/consistency.py checks/host/security.py
"""
