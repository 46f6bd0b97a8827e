r"""Old logs: log files that are past their retention still lie about.

Symptom
    The daily maintenance (G23) finds log files older than 30 days.

Diagnosis
    1. Which ones, how large?
           find /opt/nightscan/logs -name '*.log*' -mtime +30 -printf '%TY-%Tm-%Td %s %p\n'
    2. Does the job that removes them run? `systemctl list-timers`, `crontab -l`.
    3. Is one of them evidence of an incident that is open? Copy it away first.

Correction
    Delete what is past its retention, and only that:
        find /opt/nightscan/logs -name '*.log*' -mtime +30 -delete
    Then repair the timer, or the `maxage` of logrotate, that should have done it.

Last resort
    None is needed.

Verify
    pytest checks/host/freshness.py
"""
