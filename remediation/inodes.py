"""Inodes used up: no new file can be made although bytes are free.

Symptom
    Used inodes of a file system are above the limit; "No space left on device" while df -h shows room.

Diagnosis
    1. Which file system? (step disks)
           df -i
    2. Which folder has the many small files? (step largest)
           du --inodes -x --max-depth=3 /opt/nightscan /var /tmp 2>/dev/null | sort -rn | head -n 20

Correction, mildest first
    1. The application's own cache folder: what is older than a day (step application_cache).
           find /tmp/nightscan_cache -type f -mtime +1 -delete
    2. Build layers, and images that have no name any more, older than a week; what has a tag stays (step images):
           docker image prune -f --filter until=168h; docker builder prune -f --filter until=168h
    3. Old logs of the application, by age, only files that are rotated already (step rotated_logs):
           find /opt/nightscan/logs -name '*.log.*' -mtime +3 -delete
    4. A person: a mail queue or spool that nobody empties: find out who writes it, stop that, then empty it.

Last resort
    A person: move the folder to a file system made for many files: the number of inodes of ext4 is fixed when it is made.

Verify
    pytest checks/host/capacity.py
"""

from pytest_runbook import command, correct, diagnose, script

ROTATED = ("*.log.*", "*.log-*", "*.gz", "*.xz")


@diagnose
def disks(at):
    """Look which file system has no inodes left"""
    return command("df", "-i", on="host")


@diagnose
def largest(at):
    """Look which folder has the many files, below the system's own folder"""
    return command("du", "--inodes", "-x", "--max-depth=3", "--threshold=1000", at.facts.paths.root, on="host")


@correct(
    risk="routine",
    only_if=lambda at: script("old-files.sh", "look", *_cached(at), on="host"),
    within=2,
    timeout=600,
)
def application_cache(at):
    """Remove old files of the application's cache folder"""
    return script("old-files.sh", "remove", *_cached(at), on="host")


@correct(
    risk="routine",
    only_if=lambda at: script("prune-images.sh", "look", on="host"),
    within=2,
    timeout=600,
)
def images(at):
    """Remove images that have no name any more, and layers of old builds"""
    return script("prune-images.sh", "remove", on="host")


@correct(
    risk="routine",
    only_if=lambda at: script("old-files.sh", "look", *_rotated(at), on="host"),
    within=2,
    timeout=600,
)
def rotated_logs(at):
    """Remove old rotated logs of the application"""
    return script("old-files.sh", "remove", *_rotated(at), on="host")


def _cached(at):
    return at.facts.paths.cache, str(int(at.limits.files.cache_age)), "*"


def _rotated(at):
    return at.facts.paths.logs, str(int(at.limits.logs.age_when_full)), *ROTATED
