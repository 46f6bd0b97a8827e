"""Web errors: users meet error pages, or the log fills with errors.

Symptom
    More than the allowed share of requests ends in 5xx, in a sample taken now or in the service's own counters; or the log
    has new ERROR records.

Diagnosis
    1. Which errors, since when, on which endpoint? (steps records, log)
           tail -n 2000 /opt/nightscan/logs/nightscan.log | jq -r 'select(.level=="ERROR") | [.module, .message] | @tsv' |
               sort | uniq -c | sort -rn | head
    2. Do they name the database, the cache or the prediction service? Look at those checks first.
    3. Are all workers concerned, or one? One broken worker of four gives 25 % of errors.
    4. Did they begin with a deployment, or with a change of the configuration?

Correction, mildest first
    1. A dependency is ill: its runbook. Nothing is done here then.
    2. Users meet errors: one worker is broken, or it began by itself: restart the one service (step restart):
           docker compose restart web
       New records in the log alone are no reason: read them, and open a ticket.
    3. A person: it began with a change of configuration: take the change back, restart.
    4. A person: it began with a deployment: runbook rollback --to previous. It leaves the database as it is; when a migration
       went with the deployment, ask who wrote it whether the version before can work with it.

Last resort
    A person: switch off the feature that fails, or put up the maintenance page at the proxy: an honest page instead of broken
    ones.

Verify
    pytest checks/web/errors.py
"""

from pathlib import PurePath

from pytest_runbook import call, command, correct, diagnose, manage

USERS = ("web/errors::error_rate", "web/errors::error_rate_of_users")


@diagnose
def records(at):
    """Look at the last lines of the application's log"""
    told = at.settings.probes["logs"]
    return command(
        "tail", "-n", "50", "--", *(str(PurePath(at.facts.paths.logs, name)) for name in told.paths), on="host"
    )


@diagnose
def log(at):
    """Look at what the service itself said last"""
    return manage("logs", "web")


@correct(risk="restart", only_if=lambda at: call(users_meet_errors), settle=5, within=60, timeout=120)
def restart(at):
    """Restart the web service"""
    return manage("restart", "web")


def users_meet_errors(tools):
    """Whether users meet errors: records in the log alone are no reason to restart."""
    return bool({*USERS} & {*tools.situation.checks})
