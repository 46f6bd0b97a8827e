"""What lies on a bad sector is lost: whoever meets it says so and goes round it, and the copy is made again."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_runbook import clock
from pytest_runbook.backup import belonging, closing, everything, making, retention, verified, verify
from pytest_runbook.backup.destinations.folder import Folder
from pytest_runbook.backup.everything import Made
from pytest_runbook.backup.manifest import DATABASE, FILES, MANIFEST, REFUTED, VERIFIED
from pytest_runbook.backup.progress import Progress
from pytest_runbook.backup.restore import journal
from pytest_runbook.errors import BackupError

from tests.backup.conftest import Backups
from tests.backup.filesystem import Filesystem, filesystem
from tests.backup.test_destinations import declared, keys
from tests.backup.test_files import mounted

BAD = Path("/proc/self/mem")
"""A file that can be opened, and whose beginning cannot be read, as on a bad disk: nobody has that memory."""


class Told(Progress):
    """Keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def spoil(path: Path) -> Path:
    """PATH, whose content cannot be read any more."""
    path.unlink()
    path.symlink_to(BAD)
    return path


@pytest.fixture
def sealed(backups: Backups) -> Backups:
    """Backups with an encrypted folder "other"."""
    backups.more |= declared("folder-encrypted", backups.folder) | keys(backups)
    return backups


@pytest.fixture
def system(tmp_path: Path) -> Filesystem:
    return filesystem(tmp_path)


@pytest.fixture
def place(system: Filesystem) -> Folder:
    """Its local backups."""
    return making.local(system.loaded.settings, system.folder)


def made(backups: Backups) -> Made:
    """A backup, copied to "other"."""
    return everything.backup(backups.settings(), backups.folder, to=["other"], prune=False)


@pytest.mark.parametrize("name", [FILES, f"{DATABASE}/toc.dat", "cache.rdb", MANIFEST])
@pytest.mark.parametrize("where", ["local", "other"])
def test_it_is_damage(sealed: Backups, where: str, name: str) -> None:
    backup = made(sealed).manifest.id
    with closing(where, sealed.settings(), sealed.folder) as place:
        bad = spoil(Path(place.place, backup, name + ".age" * place.encrypted))
        verdict = verify(place, backup)
        assert verdict.reasons == ["corrupt"], verdict.faults
        assert f'"{bad}" cannot be read: input/output error\n  hint: see the disk' in verdict.faults[0].message
        refuted = place.noted(backup, REFUTED)
        assert (refuted and refuted["reasons"], verified(place, backup)) == (["corrupt"], False)


def test_what_can_be_read_a_second_time_is_no_damage(system: Filesystem, place: Folder) -> None:
    """As on a disk that was away for a moment."""
    backup = system.backup()
    path = place.path(backup.id) / FILES
    whole = path.read_bytes()
    spoil(path)
    with place.read(backup.id, FILES) as stream:
        path.unlink()
        path.write_bytes(whole)
        with pytest.raises(BackupError, match=f'"{path}" cannot be read: input/output error') as caught:
            stream.read(1)
    assert caught.value.reason == "unreachable"
    assert system.faults(backup) == []


@pytest.mark.parametrize(
    ("kind", "reason", "noted"), [("tmpfs", "corrupt", REFUTED), ("ramfs", "unreachable", VERIFIED)]
)
def test_nor_is_what_a_file_system_does_not_give_that_may_be_of_another_machine(
    system: Filesystem, place: Folder, kind: str, reason: str, noted: str
) -> None:
    """Many of those say the same when that machine does not answer; of ramfs, which stands for them, nothing is known."""
    place.folder.mkdir(parents=True)
    with mounted("-t", kind, "s3fs", place.folder):
        backup = system.backup()
        spoil(place.path(backup.id) / FILES)
        assert [(fault.reason, fault.where) for fault in system.faults(backup)] == [(reason, FILES)]
        assert [name for name in (VERIFIED, REFUTED) if place.noted(backup.id, name)] == [noted]


def test_it_is_told_where_it_cannot_be_noted(system: Filesystem, place: Folder) -> None:
    """Many a system lets nobody write any more to a disk that it cannot read."""
    backup = system.backup()
    spoil(place.path(backup.id) / FILES)
    with mounted("-o", "bind,ro", place.folder, place.folder):
        first, second = system.faults(backup)
    assert (first.reason, first.where) == ("corrupt", FILES)
    assert (second.reason, second.where) == ("unverified", REFUTED)
    assert "what was found cannot be noted: " in second.message
    assert "read-only file system" in second.message


@pytest.mark.parametrize("name", [FILES, MANIFEST])
def test_what_is_lost_off_site_is_sent_again(sealed: Backups, name: str) -> None:
    first = made(sealed).manifest.id
    bad = spoil(sealed.folder / "other" / first / f"{name}.age")
    second = made(sealed)
    assert [(fault.reason, fault.where) for verdict in second.verdicts for fault in verdict.faults] == [
        ("corrupt", f"{first}/{name}")
    ]
    third = made(sealed)
    assert (third.good, third.manifest.needs, bad.is_symlink()) == (True, {first}, False)


@pytest.mark.parametrize("name", [FILES, MANIFEST])
def test_nothing_that_needs_what_is_lost_is_verified_any_more(system: Filesystem, place: Folder, name: str) -> None:
    first, second = system.backup(), system.backup()
    assert second.needs == {first.id}
    spoil(place.path(first.id) / name)
    assert [(fault.reason, fault.where) for fault in system.faults(second)] == [("corrupt", f"{first.id}/{name}")]
    assert [verified(place, one) for one in place.backups()] == [False, False]
    third = system.backup()
    assert (third.needs, system.faults(third)) == (set(), [])


def test_what_needs_one_without_a_manifest_is_not_good(system: Filesystem, place: Folder) -> None:
    """Its archive is there, and a restore asks the manifest what it is."""
    first, second = system.backup(), system.backup()
    (place.path(first.id) / MANIFEST).unlink()
    assert [(fault.reason, fault.where) for fault in system.faults(second)] == [("missing", f"{first.id}/{MANIFEST}")]
    third = system.backup()
    assert (third.needs, system.faults(third)) == (set(), [])


def test_what_needs_one_whose_list_alone_is_damaged_is_good_and_restored(system: Filesystem, place: Folder) -> None:
    """Who verifies and who restores asks an earlier backup for its head only: the later one lists what is wanted."""
    first = system.backup()
    (system.uploads / "new.wav").write_bytes(b"bat")
    second = system.backup()
    assert second.needs == {first.id}
    manifest = place.path(first.id) / MANIFEST
    manifest.write_bytes(manifest.read_bytes()[:-60])
    assert system.faults(second) == []
    system.lose()
    assert system.restore(second).state == journal.DONE
    assert {path.name: path.read_bytes() for path in system.uploads.iterdir()} == {"a.wav": b"owl", "new.wav": b"bat"}


def test_what_needs_one_that_is_refuted_for_its_manifest_is_not_verified(system: Filesystem, place: Folder) -> None:
    first, second = system.backup(), system.backup()
    spoil(place.path(first.id) / MANIFEST)
    assert system.faults(first)
    assert not verified(place, second.id)


def test_a_backup_of_which_nothing_can_be_told_keeps_none_from_being_made(system: Filesystem, place: Folder) -> None:
    first, second = system.backup(), system.backup()
    spoil(place.path(second.id) / MANIFEST)
    told = Told()
    third = everything.backup(system.loaded.settings, system.folder, progress=told)
    assert (third.good, third.manifest.needs) == (True, {first.id})
    why = next(one.why for one in third.judged if one.id == second.id)
    bad = place.path(second.id) / MANIFEST
    assert why == f'it cannot be read, look at it: "{bad}" cannot be read: input/output error'
    assert f"{second.id} in local is kept: {why}" in told.lines


def test_the_newest_that_can_be_read_says_how_much_room_is_needed(system: Filesystem, place: Folder) -> None:
    first, second = system.backup(), system.backup()
    spoil(place.path(second.id) / MANIFEST)
    found = making._last(place)
    assert found and found.id == first.id


def test_it_stays_the_newest(system: Filesystem, place: Folder) -> None:
    backup = system.backup()
    spoil(place.path(backup.id) / MANIFEST)
    assert belonging.newest(place) == [backup.id]
    assert belonging.newest(place, by=clock.now()) == [backup.id]
    assert belonging.ours(place, backup.id)


def test_a_note_that_is_lost_is_none(system: Filesystem, place: Folder) -> None:
    backup = system.backup()
    spoil(place.path(backup.id) / VERIFIED)
    assert not verified(place, backup.id)
    assert system.faults(backup) == []
    assert verified(place, backup.id)


def test_one_that_may_not_be_read_stops_neither_a_backup_nor_retention(system: Filesystem, place: Folder) -> None:
    early = place.folder / "99990101T000000Z"
    early.mkdir(parents=True)
    (early / MANIFEST).symlink_to(early / MANIFEST)
    assert system.backup().id in place.backups()
    assert [one.partition(" is of the future")[0] for one in belonging.ahead(place)] == [f'"{early.name}" in "local"']
    with pytest.raises(BackupError, match="too many levels of symbolic links") as caught:
        belonging.ours(place, early.name)
    assert caught.value.reason == "unreachable"
    judged = retention.judge(place, system.loaded.settings.backup.retention, clock.now())
    assert [one.why.partition(":")[0] for one in judged if one.id == early.name] == [retention.UNREAD]
