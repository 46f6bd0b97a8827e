"""Storage down: the bucket of the backups cannot be reached, or refuses us.

Symptom
    The S3 endpoint does not answer, the bucket is not there, or reading from it is denied.

Diagnosis
    1. Endpoint, bucket and key as the configuration has them?
           aws s3api head-bucket --bucket nightscan-backups
       404: another name or region. 403: the key has expired or its rights were changed.
    2. Is the clock right? Requests with a wrong time are refused: clock-skew.
    3. Name resolution and way out of this host: curl -sSI https://s3.<region>.amazonaws.com
    4. Our own S3 server: does it run, what did it say last? (steps status, log)

Correction, mildest first
    1. The provider has an outage: wait; backups stay in the local folder and are sent later. See that its disk has room.
    2. Our own S3 server, when it is one (services.storage has a manager), does not run: start it (step start):
           docker compose up -d --no-deps storage
    3. A person: the key: make a new one with the same rights, put it in place, retire the old one.

Last resort
    A person: a bucket at another provider, and a full backup into it today.

Verify
    pytest checks/storage/availability.py
"""

from pytest_runbook import call, correct, diagnose, manage


@diagnose
def status(at):
    """Look whether our own S3 server runs, and since when"""
    return manage("status", "storage")


@diagnose
def log(at):
    """Look at what it said last"""
    return manage("logs", "storage")


@correct(risk="restart", only_if=lambda at: call(is_down), settle=2, within=60, timeout=120)
def start(at):
    """Start our own S3 server"""
    return manage("start", "storage")


def is_down(tools):
    """Whether the storage is a server of our own, and does not run: a key that is refused is no reason."""
    if tools.settings.services["storage"].manager is None:
        return False
    manager, unit = tools.manager("storage")
    return manager.status(unit).state != "running"
