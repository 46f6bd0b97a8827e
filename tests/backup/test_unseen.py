"""Who could not look at a backup has nothing against it: what was noted of it stays, and nothing is sent or stored again."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest
from pytest_runbook.backup import closing, everything, verify
from pytest_runbook.backup.destinations import Destination
from pytest_runbook.backup.encryption import decrypted
from pytest_runbook.backup.manifest import DATABASE, FILES, REFUTED, VERIFIED
from pytest_runbook.backup.verdict import Verdict
from pytest_runbook.errors import BackupError

from tests.backup.conftest import Backups
from tests.backup.test_destinations import declared, keys
from tests.backup.test_files import mounted

CLOSED = Path("/sys/class/net/lo/speed")
"""A regular file that can be opened, and not be read: not by a bad sector, but since it has none to tell."""


@pytest.fixture
def sealed(backups: Backups) -> Backups:
    """Backups with an encrypted folder "other", and one good backup in it."""
    backups.more |= declared("folder-encrypted", backups.folder) | keys(backups)
    made = everything.backup(backups.settings(), backups.folder, to=["other"], prune=False)
    assert made.good, (made.problems, made.verdicts)
    return backups


@pytest.fixture
def other(sealed: Backups) -> Iterator[Destination]:
    """The encrypted folder."""
    with closing("other", sealed.settings(), sealed.folder) as place:
        yield place


def the_only(place: Destination) -> str:
    (backup,) = place.backups()
    return backup


def insist_that_nothing_is_said(place: Destination, verdict: Verdict, *reasons: str) -> None:
    """VERDICT has REASONS, and PLACE still has a verified backup."""
    assert (verdict.reasons, verdict.damage) == ([*reasons], []), verdict.faults
    assert place.noted(verdict.id, VERIFIED)
    assert place.noted(verdict.id, REFUTED) is None


class Lost(io.RawIOBase):
    """SECRET, up to byte AFTER; then its place does not answer any more."""

    def __init__(self, secret: bytes, after: int, error: Exception) -> None:
        self._secret, self._error = io.BytesIO(secret[:after]), error

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        piece = self._secret.read(len(buffer))
        if not piece:
            raise self._error
        buffer[: len(piece)] = piece
        return len(piece)


@pytest.mark.parametrize("after", [0, 40, 150_000])
def test_a_stream_that_breaks_off_is_no_damage(after: int) -> None:
    error = BackupError("the bucket does not answer", reason="unreachable")
    key = pyrage.x25519.Identity.generate()
    secret = pyrage.encrypt(b"x" * 400_000, [key.to_public()])
    with pytest.raises(BackupError) as caught, decrypted(Lost(secret, after, error), [key]) as plain:  # type: ignore[arg-type]
        plain.read()
    assert (caught.value.reason, str(caught.value)) == ("unreachable", "the bucket does not answer")


def test_what_was_changed_is_damage() -> None:
    key = pyrage.x25519.Identity.generate()
    secret = bytearray(pyrage.encrypt(b"x" * 400_000, [key.to_public()]))
    secret[200_000] ^= 1
    with (
        pytest.raises(BackupError, match="it cannot be decrypted") as caught,
        decrypted(io.BytesIO(secret), [key]) as it,
    ):
        it.read()
    assert caught.value.reason == "corrupt"


@pytest.mark.parametrize("name", [FILES, f"{DATABASE}/toc.dat", "cache.rdb"])
@pytest.mark.parametrize("where", ["local", "other"])
def test_a_disk_that_cannot_be_read_says_nothing_of_the_backup(sealed: Backups, where: str, name: str) -> None:
    with closing(where, sealed.settings(), sealed.folder) as place:
        backup = the_only(place)
        path = Path(place.place, backup, name + ".age" * place.encrypted)
        path.unlink()
        path.symlink_to(CLOSED)
        verdict = verify(place, backup)
        insist_that_nothing_is_said(place, verdict, "unreachable")
        assert f'"{path}" cannot be read: invalid argument' in verdict.faults[0].message


def test_a_file_that_may_not_be_opened_is_out_of_reach(other: Destination) -> None:
    loop = Path(other.place, the_only(other), "loop.age")
    loop.symlink_to(loop)
    with (
        pytest.raises(BackupError, match="cannot be read: too many levels") as caught,
        other.read(the_only(other), "loop"),
    ):
        pass
    assert caught.value.reason == "unreachable"


def test_a_program_that_is_missing_says_nothing_of_the_backup(sealed: Backups) -> None:
    nowhere = sealed.settings({"RUNBOOK__BACKUP__PROGRAMS__POSTGRESQL": "/nowhere"})
    with closing("local", nowhere, sealed.folder) as place:
        verdict = verify(place, the_only(place))
        insist_that_nothing_is_said(place, verdict, "unverified")
        assert "nobody can tell: no pg_restore of version" in verdict.faults[0].message


def test_a_disk_without_room_says_nothing_of_the_backup(sealed: Backups, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=32k", "none", small):
        told = sealed.settings({"RUNBOOK__BACKUP__DESTINATIONS__LOCAL__PATH": str(small)})
        with closing("other", told, sealed.folder) as place:
            verdict = verify(place, the_only(place))
            insist_that_nothing_is_said(place, verdict, "unverified")
    assert "no space left on device\n  hint: make room beside the local backups" in verdict.faults[0].message


def test_damage_is_told_beside_what_nobody_could_look_at(sealed: Backups) -> None:
    nowhere = sealed.settings({"RUNBOOK__BACKUP__PROGRAMS__POSTGRESQL": "/nowhere"})
    with closing("local", nowhere, sealed.folder) as place:
        backup = the_only(place)
        (Path(place.place) / backup / FILES).write_bytes(b"")
        assert set(verify(place, backup).reasons) == {"unverified", "empty"}
        refuted = place.noted(backup, REFUTED)
        assert (refuted and refuted["reasons"], place.noted(backup, VERIFIED)) == (["empty"], None)


def test_a_vault_is_asked_once_and_its_no_says_nothing_of_the_backup(sealed: Backups, tmp_path: Path) -> None:
    key = sealed.more.pop("RUNBOOK__BACKUP__ENCRYPTION__IDENTITY_FILE")
    vault, asked = tmp_path / "vault", tmp_path / "asked"
    vault.write_text(f'#!/bin/sh\necho >> "{asked}"\ncat "{key}"\n')
    vault.chmod(0o700)
    sealed.more["RUNBOOK__BACKUP__ENCRYPTION__IDENTITY_COMMAND"] = json.dumps([str(vault)])
    with closing("other", sealed.settings(), sealed.folder) as place:
        assert verify(place, the_only(place)).good
        assert len(asked.read_text().splitlines()) == 1
    vault.write_text("#!/bin/sh\nexit 7\n")
    with closing("other", sealed.settings(), sealed.folder) as place:
        insist_that_nothing_is_said(place, verify(place, the_only(place)), "wrong-key")
