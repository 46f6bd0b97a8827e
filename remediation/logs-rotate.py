"""Logs not rotated: a log file grows without end.

Symptom
    A log file is larger than rotation should let it become (G29).

Diagnosis
    1. Which one, how large? (step large)
           ls -lS /opt/nightscan/logs | head
    2. What does logrotate say?
           logrotate --debug /etc/logrotate.d/nightscan; cat /var/lib/logrotate/status | grep nightscan
    3. Does its timer run? systemctl status logrotate.timer
    4. Two rotate the same file, the application (`max_file_size`, `backup_count`) and logrotate: one of them must stop.

Correction, mildest first
    1. Rotate now by the rule that should have done it; its postrotate tells the service (step logrotate):
           logrotate --force /etc/logrotate.d/nightscan
    2. There is no rule for it, or the rule did not help: move the file aside, and compress it when nobody writes to it any
       more. No line is lost (step move_aside):
           mv debug.log debug.log.1; gzip debug.log.1
    3. The service goes on writing to the file that was moved: restart it, then compress the file (step restart_web):
           docker compose restart web; gzip debug.log.1
    4. A person: repair the rule (permissions of the folder, `su` line) or the timer.

Last resort
    A person: the disk is about to be full: `copytruncate` once. The lines written in that moment are lost.

Verify
    pytest checks/host/capacity.py
"""

from pytest_runbook import command, correct, diagnose, manage, script


@diagnose
def large(at):
    """Look how large the logs are that were not rotated"""
    return script("rotate-logs.sh", "look", *_large(at), on="host")


@correct(
    risk="routine", only_if=lambda at: command("test", "-s", at.facts.logs.logrotate, on="host"), within=2, timeout=1800
)
def logrotate(at):
    """Have logrotate do it now"""
    return command("logrotate", "--force", at.facts.logs.logrotate, on="host")


@correct(
    risk="routine", only_if=lambda at: script("rotate-logs.sh", "look", *_large(at), on="host"), within=2, timeout=1800
)
def move_aside(at):
    """Move it aside, and compress what nobody writes to any more"""
    return script("rotate-logs.sh", "rotate", *_large(at), on="host")


@correct(
    risk="restart",
    only_if=lambda at: script("rotate-logs.sh", "look", *_large(at), on="host"),
    settle=2,
    within=10,
    timeout=1800,
)
def restart_web(at):
    """Restart the web service, which opens its log anew, and compress the one that was moved"""
    return [manage("restart", "web"), script("rotate-logs.sh", "rotate", *_large(at), on="host")]


def _large(at):
    return at.facts.paths.logs, str(int(at.limits.logs.size))
