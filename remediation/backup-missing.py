"""Backup missing: there is no recent backup that was seen to be good, or none was restored for too long.

Symptom
    The newest backup is older than the limit, empty, smaller than usual, not read back, not off-site, or differs from its
    manifest; or no drill has restored one lately.

Diagnosis
    1. What is there, how old, how large, was it read back? (step listed)
           runbook backup --list
    2. What is wrong with the newest?
           runbook backup --verify newest
    3. Did the job run (02:00), how did it end? `systemctl list-timers`, its log.
    4. Is the disk full, the bucket out of reach (storage-down), the password changed?

Correction, mildest first
    1. Make one now; it is read back here and off-site before it counts, and nothing old is removed (step back_up):
           runbook backup
    2. A person: what keeps the job from working: its runbook. Start no deployment and no clean-up before that.
    3. A person: a backup is of the future: if the clock of the machine is behind, set it right. Else a clock was ahead when it
       was made: once no other backup needs files of it, remove its folder, or its objects:
           runbook backup --prune --dry-run
    4. A person: no drill for too long: make one, it changes nothing in production:
           runbook drill

Last resort
    Nothing can be backed up: stop what changes data (deployments, migrations, deletions), and copy the data folders to another
    machine by hand.

Verify
    pytest checks/storage
"""

from pytest_runbook import StepFailed, call, correct, diagnose

DRILL = "storage/freshness::a_backup_was_restored_lately"
"""The check that another backup does not help."""


@diagnose
def listed(at):
    """Look which backups there are, and whether they were read back"""
    return call(tell)


@correct(risk="routine", only_if=lambda at: call(may_help), settle=0, within=60, timeout=14_400)
def back_up(at):
    """Make a backup of everything, read it back, and copy it off-site"""
    return call(make_one)


def may_help(tools):
    """Whether a check failed that another backup may help."""
    return bool({*tools.situation.checks} - {DRILL})


def tell(tools):
    """A line for each backup."""
    from pytest_runbook.backup import closing, verified

    for name in tools.settings.backup.destinations:
        with closing(name, tools.settings, tools.root, tries=1) as place:
            for one in place.backups()[-5:]:
                print(f"{name}: {one}, {'read back' if verified(place, one) else 'not read back'}")


def make_one(tools):
    """A backup, everywhere."""
    from pytest_runbook.backup import make
    from pytest_runbook.errors import BackupError

    try:
        manifest = make(tools.settings, tools.root, prune=False)
    except BackupError as error:
        raise StepFailed(str(error)) from None
    print(f"{manifest.id} is made, and was read back wherever it lies")
