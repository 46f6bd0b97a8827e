"""Inodes used up: no new file can be made although bytes are free.

Symptom
    Used inodes of a file system are above the limit; "No space left on device" while df -h shows room.

Diagnosis
    1. Which file system? (step disks)
           df -i
    2. Which folder has the many small files? (step largest)
           du --inodes -x --max-depth=3 /opt/nightscan /var /tmp 2>/dev/null | sort -rn | head -n 20

Correction, mildest first; each step only where the folder lies on the disk that has no inodes left
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

from pytest_runbook import StepFailed, call, command, correct, diagnose, script

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
    only_if=lambda at: call(worth_it, **_full(at), look=("old-files.sh", "look", *_cached(at))),
    within=2,
    timeout=600,
)
def application_cache(at):
    """Remove old files of the application's cache folder"""
    return script("old-files.sh", "remove", *_cached(at), on="host")


@correct(
    risk="routine",
    only_if=lambda at: call(images_may_go, **_full(at)),
    within=2,
    timeout=600,
)
def images(at):
    """Remove images that have no name any more, and layers of old builds"""
    return script("prune-images.sh", "remove", on="host")


@correct(
    risk="routine",
    only_if=lambda at: call(worth_it, **_full(at), look=("old-files.sh", "look", *_rotated(at))),
    within=2,
    timeout=600,
)
def rotated_logs(at):
    """Remove old rotated logs of the application"""
    return script("old-files.sh", "remove", *_rotated(at), on="host")


def worth_it(tools, *, share, look, folder=""):
    """Whether the folder that is looked at lies on a file system that is full, and the look finds something to remove."""
    full = says_yes(tools, "is-full.sh", "inodes", share, folder or look[2])
    return full and says_yes(tools, *look)


def says_yes(tools, file, *arguments):
    """Whether the script ends with status 0; with 1 it says no, with all others that it cannot tell."""
    try:
        tools.script(file, *arguments, on="host")
    except StepFailed as error:
        if error.status != 1:
            raise
        return False
    return True


def images_may_go(tools, **full):
    """Whether there is a container engine, and its images lie on a file system that is full."""
    folder = tools.script("prune-images.sh", "folder", on="host").strip()
    return bool(folder) and worth_it(tools, **full, folder=folder, look=("prune-images.sh", "look"))


def _full(at):
    """When a file system counts as full."""
    return {"share": str(at.limits.host.inodes)}


def _cached(at):
    return at.facts.paths.cache, str(int(at.limits.files.cache_age)), "*"


def _rotated(at):
    return at.facts.paths.logs, str(int(at.limits.logs.age_when_full)), *ROTATED
