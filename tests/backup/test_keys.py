"""Keys change and are lost: copies go on, need nothing that nobody can read, and are good only when they were read."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_runbook.backup import closing, copying, everything, verify
from pytest_runbook.backup.everything import Made
from pytest_runbook.backup.progress import Progress

from tests.backup.conftest import Backups
from tests.backup.test_destinations import declared, keys


@pytest.fixture
def sealed(backups: Backups) -> Backups:
    """Backups with an encrypted folder "other", and one backup in it."""
    backups.more |= declared("folder-encrypted", backups.folder) | keys(backups)
    assert made(backups).good
    return backups


def made(backups: Backups) -> Made:
    return everything.backup(backups.settings(), backups.folder, to=["other"], prune=False)


def test_with_a_new_key_the_next_backup_needs_no_copy_of_the_old_one(sealed: Backups) -> None:
    (first,) = sealed.local.backups()
    sealed.more |= keys(sealed, "new.txt")
    second = made(sealed)
    assert second.good, (second.problems, second.verdicts)
    assert second.manifest.needs == set()
    assert second.notices == [
        f"files of {first} are stored again: copies of it are encrypted for other keys than those at hand"
    ]
    third = made(sealed)
    assert third.good, (third.problems, third.verdicts)
    assert (third.manifest.needs, third.notices) == ({second.manifest.id}, [])


def test_a_copy_that_broke_off_and_needs_one_of_a_lost_key_stops_nothing(sealed: Backups) -> None:
    """It cannot be finished without that key. What is made now needs neither of them, and is good."""
    second = made(sealed)
    (first,) = second.manifest.needs
    (sealed.folder / "other" / second.manifest.id / "manifest.json.age").unlink()
    sealed.more |= keys(sealed, "new.txt")
    for _ in range(2):
        later = made(sealed)
        assert later.good, (later.problems, later.verdicts)
        assert later.problems == []
        assert later.notices[-1].startswith(f"other: {second.manifest.id}, whose copy had broken off: ")
        assert "encrypted for other keys than those at hand" in later.notices[-1]
    key = Path(sealed.more["RUNBOOK__BACKUP__ENCRYPTION__IDENTITY_FILE"])
    key.write_text(key.read_text() + (sealed.folder / "key.txt").read_text())
    with closing("other", sealed.settings(), sealed.folder) as place:
        assert copying.left_over(sealed.local, place) == [second.manifest.id]
    assert made(sealed).good, "the key was found"
    with closing("other", sealed.settings(), sealed.folder) as place:
        assert {first, second.manifest.id} <= set(place.backups())
        assert verify(place, second.manifest.id).good


def test_with_the_old_key_beside_the_new_one_nothing_is_stored_again(sealed: Backups) -> None:
    (first,) = sealed.local.backups()
    old = sealed.folder / "key.txt"
    sealed.more |= keys(sealed, "new.txt")
    new = sealed.folder / "new.txt"
    new.write_text(new.read_text() + old.read_text())
    second = made(sealed)
    assert second.good, (second.problems, second.verdicts)
    assert (second.manifest.needs, second.notices) == ({first}, [])


def test_without_a_private_key_a_copy_is_sent_and_not_called_good(sealed: Backups) -> None:
    (first,) = sealed.local.backups()
    key = Path(sealed.more["RUNBOOK__BACKUP__ENCRYPTION__IDENTITY_FILE"])
    key.rename(key.with_name("lost.txt"))
    second = made(sealed)
    assert not second.good
    assert second.problems == []
    here, there = second.verdicts
    assert here.good
    assert there.reasons == ["unverified"]
    assert "it is there, and cannot be read back: " in there.faults[0].message
    assert f'"{key}" cannot be read' in there.faults[0].message
    assert second.manifest.needs == {first}
    key.with_name("lost.txt").rename(key)
    with closing("other", sealed.settings(), sealed.folder) as place:
        assert verify(place, second.manifest.id).good


def test_what_waits_encrypted_for_the_old_key_is_not_sent(sealed: Backups) -> None:
    (first,) = sealed.local.backups()
    with closing("other", sealed.settings(), sealed.folder) as place:
        place.remove(first)
        name = next(iter(sealed.local.manifest(first).stored))
        place.write(first, name, sealed.local.path(first) / name)  # then it broke off
    with closing("other", sealed.settings(keys(sealed, "new.txt")), sealed.folder) as place:
        copying.copy(sealed.local, place, first, Progress())
        assert verify(place, first).good
    assert not list((sealed.folder / "backups").glob(".sealed-*"))


def test_the_hint_says_where_the_old_key_belongs(sealed: Backups) -> None:
    (first,) = sealed.local.backups()
    with closing("other", sealed.settings(keys(sealed, "new.txt")), sealed.folder) as place:
        (fault,) = verify(place, first).faults
    assert fault.reason == "wrong-key"
    assert "hint: backup.encryption.identity_file may hold the old private key beside the new one" in fault.message
