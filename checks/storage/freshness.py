"""Whether a backup lies ready that is recent and good, here and off-site: without one, a deployment must not begin.

A backup is a folder with a `manifest.json` that is written last; `verified.json` says that all of it was read back from there,
`refuted.json` that this found it bad, and `restored.json` that a drill restored it. What has no manifest did not finish, and
does not count; nor does one that is being read back, for as long as this may take. One that may not be read matters only where
it may be the newest, or hold the only proof.

Of a large backup only some files are read, others every time: all of it was read when it was made, and is by a drill.
"""

import itertools
import math
import random
import statistics
from contextlib import contextmanager

import pytest
from pytest_runbook import BackupError, Unmeasured, Unreachable, check, clock
from pytest_runbook.backup import belonging, closing, encryption
from pytest_runbook.backup.verdict import UNSEEN

HELD = "files.tar.zst"
"""What is stored of the files: each one once, by the first backup that met it."""


@check("predeploy daily", severity="P1", runbook="backup-missing", timeout=300, apart=True)
def test_recent_backup_is_good(pytestconfig, settings, limits, measure):
    """The newest backup on the machine is recent, whole, read back, not suspiciously small, and its files are what was written.

    No more than `limits.backup.read_here` bytes are read; the other files are compared by their size.
    """
    with _looking(settings.backup.local, settings, pytestconfig) as place:
        faults = [
            *_faults(place, settings, limits, measure, "backup", limits.backup.read_here),
            *belonging.ahead(place),
        ]
    assert not faults, f"the newest backup on the machine is not good: {'; '.join(faults)}"


@check("predeploy daily", severity="P2", runbook="backup-missing", timeout=300, needs="storage")
def test_recent_backup_is_off_site(pytestconfig, settings, limits, measure):
    """The newest backup off-site is recent, whole and read back: it is what is left when the machine is not.

    No more than `limits.backup.read` bytes are read, since all of them every night would cost a fortune; the other files are
    compared by their size.
    """
    others = [name for name in settings.backup.destinations if name != settings.backup.local]
    if not others:
        pytest.skip("the system has no off-site copy: backup.destinations has none but the local one")
    faults = []
    for name in others:
        with _looking(name, settings, pytestconfig) as place:
            faults += _faults(place, settings, limits, measure, "backup_off_site", limits.backup.read)
            faults += belonging.ahead(place)
    assert not faults, f"the newest backup off-site is not good: {'; '.join(faults)}"


@check("daily weekly monthly", severity="P2", runbook="backup-missing", timeout=60)
def test_a_backup_was_restored_lately(pytestconfig, settings, limits, measure):
    """A drill restored a backup, and found in it what was saved: a backup that nobody ever restored is a hope (guide G36)."""
    restored, unread = [], []
    for name in settings.backup.destinations:
        with _looking(name, settings, pytestconfig) as place:
            for one in place.backups():
                try:
                    restored += _proved(place, one)
                except BackupError as error:
                    unread.append(error)
    age = (clock.now() - max(restored)).total_seconds() if restored else math.inf
    if unread and not age < limits.backup.restored:
        raise _told(unread[-1])  # a later proof may lie there
    assert restored, "no backup was ever restored by a drill that proved it"
    assert measure("backup.restored", age, "s") < limits.backup.restored, "no drill has restored a backup for too long"


@contextmanager
def _looking(name, settings, config):
    """The destination NAME, to look at; what is wrong in it is a failure, that nobody can look at it is none."""
    try:
        with closing(name, settings, config.rootpath, tries=1) as place:
            yield place
    except BackupError as error:
        raise _told(error) from None
    except OSError as error:
        raise Unmeasured(f'"{name}" cannot be read: {error}') from None


def _told(error):
    """ERROR of a destination as what a check says of it."""
    if error.reason == "unreachable":
        return Unreachable(str(error))
    return Unmeasured(str(error)) if error.reason in UNSEEN else AssertionError(str(error))


def _proved(place, backup):
    """When a drill has restored BACKUP and found in it what was saved, if one has; a clock that was wrong proves nothing."""
    note = place.noted(backup, "restored.json")
    if note and note.get("verdict") == "proven" and belonging.ours(place, backup):
        at = clock.parse(note["at"])
        if at <= clock.now() + belonging.LEEWAY:
            yield at


def _faults(place, settings, limits, measure, name, most):
    """Everything that is wrong with the newest backup in PLACE, of which no more than MOST bytes are read."""
    newest = _newest(place, limits)
    if not newest:
        yield f'there is no finished one in "{place.name}"'
        return
    manifest = place.manifest(newest)
    yield from _missing(manifest, settings)
    yield from _changed(place, manifest, most)
    if not place.noted(newest, "verified.json"):
        bad = place.noted(newest, "refuted.json")
        yield (
            f'who read "{newest}" back found it {", ".join(bad["reasons"])}'
            if bad
            else f'nobody has read "{newest}" back: runbook backup --verify {newest} does'
        )
    if not measure(f"{name}.age", (clock.now() - manifest.moment).total_seconds(), "s") < limits.backup.age:
        yield f'"{newest}" is too old'
    if not measure(f"{name}.size", _size(manifest), "B") >= limits.backup.size:
        yield f'"{newest}" is so small that it holds nothing'
    before = statistics.median([_size(one) for one in itertools.islice(belonging.before(place, newest), 5)] or [0])
    if before and not measure(f"{name}.to_previous", _size(manifest) / before, "ratio") >= limits.backup.shrink:
        yield f'"{newest}" is much smaller than those before'


def _newest(place, limits):
    """The newest backup in PLACE that nobody is reading back, or the oldest of those that somebody is; None without any."""
    found = None
    for found in belonging.latest(place):
        if not _is_being_read(place, found, limits):
            break
    return found


def _is_being_read(place, backup, limits):
    """Whether BACKUP was made just now, and nobody has read it back yet, or was killed while doing so."""
    noted = any(place.noted(backup, name) is not None for name in ("verified.json", "refuted.json"))
    return (
        not noted and (clock.now() - clock.parse(place.head(backup).finished)).total_seconds() < limits.backup.reading
    )


def _missing(manifest, settings):
    """What should belong to a backup and does not."""
    wanted = {"database": settings.backup.database.probe, "cache": settings.backup.cache.probe}
    wanted["files"] = settings.backup.files.roots
    for part, belongs in wanted.items():
        if belongs and getattr(manifest, part) is None:
            yield f"the {part} was not backed up"
    if not manifest.is_of(settings.system):
        yield f'it is of the system "{manifest.system}" in {manifest.environment}'


def _changed(place, manifest, most):
    """What is wrong with the files of the backup of MANIFEST, and with those of earlier ones that it needs."""
    there, right = place.names(manifest.id), []
    for name, written in manifest.stored.items():
        if not written.size:
            yield f'"{name}" is empty'
        elif why := _resized(place, name, written, there):
            yield why
        else:
            right.append((name, written))
    for name, written in random.sample(right, len(right)):  # so each has its turn
        if written.size <= most:
            most -= written.size
            if why := place.compared(manifest.id, name, written):
                yield why
    for needed in sorted(manifest.needs):
        if why := _lacks(place, needed):
            yield f'files of it are in "{needed}", {why}'


def _lacks(place, needed):
    """What is wrong with the archive of files of NEEDED, an earlier backup."""
    if HELD not in (there := place.names(needed)):
        return "which is not there"
    try:
        written = place.head(needed).stored.get(HELD)
    except BackupError as error:
        if error.reason in UNSEEN - {"no-manifest"}:
            raise
        return f"whose manifest cannot be read: {error}"
    if written is None:
        return "which knows of none"
    why = _resized(place, HELD, written, there)
    return f"of which {why}" if why else ""


def _resized(place, name, written, there):
    """What is wrong with the size of NAME, as it lies THERE; encrypted it is somewhat larger than it was WRITTEN."""
    if name not in there:
        return f'"{name}" is missing'
    least = encryption.least(written.size) if place.encrypted else written.size
    if there[name] < least or (there[name] > least and not place.encrypted):
        return f'"{name}" has {there[name]} bytes, {"at least " * place.encrypted}{least} were written'
    return ""


def _size(manifest):
    """Bytes of all that the backup stands for, also of files that lie in earlier ones."""
    return manifest.held + sum(stored.size for name, stored in manifest.stored.items() if name != HELD)
