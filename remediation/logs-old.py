r"""Old logs: log files that are past their retention still lie about.

Symptom
    The daily maintenance (G23) finds log files older than 30 days.

Diagnosis
    1. Which ones, how large? (step old)
           find /opt/nightscan/logs -type f -name '*.log*' -mtime +30 -printf '%TY-%Tm-%Td %s %p\n'
    2. Does the job that removes them run? `systemctl list-timers`, `crontab -l`.
    3. Is one of them evidence of an incident that is open? Copy it away first.

Correction, mildest first
    1. Delete what is past its retention, and only that; no link is followed, and a log that is open stays (step remove):
           find /opt/nightscan/logs -xdev -type f -name '*.log*' -mtime +30 -delete
    2. A person: repair the timer, or the `maxage` of logrotate, that should have done it.

Last resort
    None is needed.

Verify
    pytest checks/host/freshness.py
"""

from pytest_runbook import correct, diagnose, script


@diagnose
def old(at):
    """Look how many there are, and how large"""
    return script("old-files.sh", "look", *_past(at), on="host")


@correct(risk="routine", within=5, timeout=600)
def remove(at):
    """Remove the logs that are past their retention"""
    return script("old-files.sh", "remove", *_past(at), on="host")


def _past(at):
    return at.facts.paths.logs, str(int(at.limits.logs.age)), "*.log*"
