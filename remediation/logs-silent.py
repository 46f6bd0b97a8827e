"""Log silent: the application writes nothing, so nobody would see an error.

Symptom
    The newest record of the log is older than the limit, or the log file is not there, while the service answers.

Diagnosis
    1. Is the file there, does it grow, who may write it? (step files)
           ls -l /opt/nightscan/logs; stat /opt/nightscan/logs/nightscan.log
    2. Is the disk full? (step disk) Is the level set so high that nothing is written (`logging.level`)?
    3. Was it rotated or deleted, and a process writes to the file that is gone? (step writers)
           lsof +L1 | grep nightscan.log
    4. Does the service have users at all at this hour? No request, no line.

Correction, mildest first
    1. The disk is full: disk-full.
    2. A process writes to a file that is gone: restart it, and it opens the log anew. A service that writes nothing at all is
       not restarted: its first lines would end the alarm, and nothing else (step restart):
           docker compose restart web
       Then repair logrotate's postrotate.
    3. A person: permissions: give the file back to the service's user.
    4. A person: the level: back to INFO in production.json, then restart web.

Last resort
    None is needed; but treat the time of silence as time in which errors may have happened.

Verify
    pytest checks/web/logging.py
"""

from pathlib import Path

from pytest_runbook import call, command, correct, diagnose, manage, script


@diagnose
def files(at):
    """Look whether the log is there, when it was written, and who may write it"""
    return command("ls", "-l", at.facts.paths.logs, on="host")


@diagnose
def disk(at):
    """Look whether the disk is full"""
    return command("df", "-h", at.facts.paths.logs, on="host")


@diagnose
def writers(at):
    """Look which processes write to a log that was deleted"""
    return script("lost-log.sh", *_logs(at), on="host")


@correct(
    risk="restart", only_if=lambda at: call(writes_to_what_is_gone, logs=_logs(at)), settle=3, within=30, timeout=120
)
def restart(at):
    """Restart the web service, which opens its log anew"""
    return manage("restart", "web")


def writes_to_what_is_gone(tools, *, logs):
    """Whether a process writes to a log that was deleted."""
    return tools.script("lost-log.sh", *logs, on="host")


def _logs(at):
    names = [Path(path).name for path in at.settings.probes["logs"].paths]
    return [at.facts.paths.logs, *names]
