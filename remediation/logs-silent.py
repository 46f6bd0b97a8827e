"""Log silent: the application writes nothing, so nobody would see an error.

Symptom
    The newest record of the log is older than the limit, or the log file is not there, while the service answers.

Diagnosis
    1. Is the file there, does it grow, who may write it?
           ls -l /opt/nightscan/logs; stat /opt/nightscan/logs/nightscan.log
    2. Is the disk full? Is the level set so high that nothing is written (`logging.level`)?
    3. Was it rotated, and the process writes to the file that was moved away?
           lsof -c gunicorn | grep nightscan.log
    4. Does the service have users at all at this hour? No request, no line.

Correction, mildest first
    1. The disk is full: disk-full. Permissions: give the file back to the service's user.
    2. Level: back to INFO in production.json, then `docker compose restart web`.
    3. The process writes to a file that is gone: `docker compose restart web`; repair logrotate's postrotate.

Last resort
    None is needed; but treat the time of silence as time in which errors may have happened.

Verify
    pytest checks/web/logging.py
"""
