"""Logs not rotated: a log file grows without end.

Symptom
    The current log file is larger than rotation should let it become, or was not rotated for a week (G29).

Diagnosis
    1. What does logrotate say?
           logrotate --debug /etc/logrotate.d/nightscan; cat /var/lib/logrotate/status | grep nightscan
    2. Does its timer run? systemctl status logrotate.timer
    3. Two rotate the same file, the application (`max_file_size`, `backup_count`) and logrotate: one of them must stop.

Correction, mildest first
    1. Rotate now; the service opens the new file by itself or by postrotate:
           logrotate --force /etc/logrotate.d/nightscan
    2. Repair the rule (permissions of the folder, `su` line) or the timer.

Last resort
    The disk is about to be full: `copytruncate` once. The lines written in that moment are lost.

Verify
    pytest checks/host/capacity.py
"""
