"""Disk full: a file system is above its limit; at 100 % the database stops.

Symptom
    Used bytes are above the limit, or there is no room for the next deployment and its backup.

Diagnosis
    1. Which file system? (step disks)
           df -h; df -i
       Inodes instead of bytes: the runbook inodes.
    2. What fills it? (step largest)
           du -xh --max-depth=2 /opt/nightscan /var/log /var/lib/docker 2>/dev/null | sort -rh | head -n 20
    3. Deleted files that a process still holds open count too:
           lsof +L1 | head
    4. Does a replication slot keep the log of PostgreSQL? Then it is replication-slot.

Correction, mildest first; what can be made again goes first, and each step only where the folder lies on the disk that is full
    1. The application's own cache folder: what is older than a day (step application_cache).
           find /tmp/nightscan_cache -type f -mtime +1 -delete
    2. Build layers, and images that have no name any more, older than a week. The running image and the one to go back to have
       a tag, and stay (step images):
           docker image prune -f --filter until=168h; docker builder prune -f --filter until=168h
    3. Old logs of the application, by age, only files that are rotated already (step rotated_logs):
           find /opt/nightscan/logs -name '*.log.*' -mtime +3 -delete
    4. Old rotated logs of the system; not those that say who came in, which are evidence (step system_logs):
           find /var/log -name '*.gz' -mtime +7 ! -name 'auth.log*' -delete
    5. The journal, older than a week (step journal): journalctl --vacuum-time=7d
    6. A person: a process holds a deleted log open: have it open its log anew (logrotate's postrotate), or restart that one
       service.

Last resort
    A person: a larger disk. Backups that are older than their retention, when newer ones were verified, never the newest
    verified ones. Never delete uploads, models, or anything in the data folder of PostgreSQL or Redis, and never FLUSHDB: that
    frees no disk and logs every user out. Never `docker system prune -a`: it removes the image to go back to.

Verify
    pytest checks/host/capacity.py
"""

from pytest_runbook import StepFailed, call, command, correct, diagnose, script

ROTATED = ("*.log.*", "*.log-*", "*.gz", "*.xz")
SYSTEM = ("*.gz", "*.xz", "*.old", "*.[0-9]", "*.[0-9][0-9]", "*-20[0-9][0-9][0-9][0-9][0-9][0-9]")
JOURNAL = "/var/log/journal"
ROOM = "host/capacity::room_for_the_deployment"
EVIDENCE = ("auth*", "secure*", "audit*", "btmp*", "wtmp*", "faillog*", "sudo*")


@diagnose
def disks(at):
    """Look which file system is full"""
    return command("df", "-h", on="host")


@diagnose
def largest(at):
    """Look at what takes the most, below the system's own folder"""
    return command("du", "-x", "-h", "--max-depth=2", "--threshold=10M", at.facts.paths.root, on="host")


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


@correct(
    risk="routine",
    only_if=lambda at: call(worth_it, **_full(at), look=("old-files.sh", "look", *_system(at))),
    within=2,
    timeout=600,
)
def system_logs(at):
    """Remove old rotated logs of the system, but no evidence"""
    return script("old-files.sh", "remove", *_system(at), on="host")


@correct(
    risk="routine",
    only_if=lambda at: call(journal_may_go, allowed=at.facts.host.journal, **_full(at)),
    within=2,
    timeout=600,
)
def journal(at):
    """Remove old records of the journal"""
    return command("journalctl", f"--vacuum-time={int(at.limits.logs.system_age)}s", on="host")


def journal_may_go(tools, *, allowed, share, beside):
    """Whether the journal lies on a file system that is full, and facts.host.journal lets it be shortened."""
    full = allowed and says_yes(tools, "is-full.sh", "bytes", share, JOURNAL, beside)
    return full and tools.run("journalctl", "--disk-usage", on="host")


def worth_it(tools, *, share, beside="", look, folder=""):
    """Whether the folder that is looked at lies on a file system that is full, and the look finds something to remove."""
    full = says_yes(tools, "is-full.sh", "bytes", share, folder or look[2], beside)
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
    """When a file system counts as full; the one that lacks the room for a backup does, whatever else is free on it."""
    return {"share": str(at.limits.host.disk), "beside": at.facts.paths.backups if ROOM in at.checks else ""}


def _cached(at):
    return at.facts.paths.cache, str(int(at.limits.files.cache_age)), "*"


def _rotated(at):
    return at.facts.paths.logs, str(int(at.limits.logs.age_when_full)), *ROTATED


def _system(at):
    return at.facts.paths.system_logs, str(int(at.limits.logs.system_age)), *SYSTEM, "--keep", *EVIDENCE
