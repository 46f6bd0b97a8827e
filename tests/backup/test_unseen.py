"""Who could not look at a backup has nothing against it: what was noted of it stays, and nothing is sent or stored again."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyrage
import pytest
from pytest_runbook.backup import closing, everything, programs, reading, verify
from pytest_runbook.backup.destinations import Destination
from pytest_runbook.backup.encryption import decrypted
from pytest_runbook.backup.manifest import CACHE, DATABASE, FILES, REFUTED, VERIFIED
from pytest_runbook.backup.postgresql import Server
from pytest_runbook.backup.restore.database import Restoring
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


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """FOLDER is on a disk of its own, which is full."""
    folder.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=32k", "none", folder):
        with pytest.raises(OSError, match="No space left on device"), (folder / "all").open("wb", 0) as file:
            while True:
                file.write(b"x" * 4096)
        yield


def test_a_full_folder_for_temporary_files_keeps_nobody_from_looking(
    sealed: Backups, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = the_only(sealed.local)
    with filled(tmp_path / "full"):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "full"))
        for where in ("local", "other"):
            with closing(where, sealed.settings(), sealed.folder) as place:
                verdict = verify(place, first)
                assert (verdict.faults, sorted(verdict.looked)) == ([], [CACHE, DATABASE, FILES])
        made = everything.backup(sealed.settings(), sealed.folder, to=["other"], prune=False)
        assert made.good, (made.problems, made.verdicts)


def test_a_note_for_which_there_is_no_room_is_told(sealed: Backups, tmp_path: Path) -> None:
    with filled(tmp_path / "full"):
        told = sealed.settings({"RUNBOOK__BACKUP__DESTINATIONS__LOCAL__PATH": str(tmp_path / "full")})
        with closing("other", told, sealed.folder) as place:
            said = (
                '"refuted.json" of ".*" cannot be written: no space left on device\n  hint: make room beside the local'
            )
            with pytest.raises(BackupError, match=said):
                place.note(the_only(place), REFUTED, {"at": "x" * 100_000})


def test_the_cache_is_looked_at_where_nothing_can_be_written(
    backups: Backups, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor a link to the checker made, as on many a disk that another machine serves."""
    backup = backups.make().manifest.id
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with (
        mounted("-o", "bind,ro", backups.local.folder, backups.local.folder),
        mounted("-o", "bind,ro", tmp_path, tmp_path),
    ):
        verdict = verify(backups.local, backup, note=False)
    assert verdict.faults == []
    assert "by the checker of" in verdict.looked[CACHE]


def instead(folder: Path, name: str, version: str, then: str) -> Path:
    """A program NAME in FOLDER that says that it is of VERSION, and does THEN to whoever asks for more."""
    program = folder / name
    program.write_text(f'#!/bin/sh\ncase "$*" in --version) echo "{version}"; exit;; esac\n{then}\n')
    program.chmod(0o700)
    return program


@pytest.mark.parametrize(
    ("then", "seconds", "said"),
    [
        ("exec sleep 60", 0.2, "did not end within 200 ms, and was ended"),
        (
            'case "$*" in *--list*) exec {real} "$@";; esac\nexec sleep 60',
            5.0,
            "did not end within 5.0 s, and was ended",
        ),
        ("kill -9 $$", 60.0, "was ended by signal 9\n  hint: there may be too little memory"),
    ],
    ids=["late", "late with the rows", "killed"],
)
def test_a_pg_restore_that_came_to_no_end_says_nothing_of_the_backup(
    sealed: Backups, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str, seconds: float, said: str
) -> None:
    real = programs.postgresql(None, ("pg_restore",), least=1) / "pg_restore"
    instead(tmp_path, "pg_restore", "pg_restore (PostgreSQL) 99.1", then.format(real=real))
    told = sealed.settings(
        {"RUNBOOK__BACKUP__PROGRAMS__POSTGRESQL": str(tmp_path), "RUNBOOK__BACKUP__DATABASE__TIMEOUT": str(seconds)}
    )
    monkeypatch.setattr(reading, "TIMEOUT", seconds)
    with closing("local", told, sealed.folder) as place:
        verdict = verify(place, the_only(place))
        insist_that_nothing_is_said(place, verdict, "unverified")
        assert (verdict.faults[0].where, verdict.faults[0].message) == (DATABASE, f'"pg_restore" {said}')


def test_a_checker_of_the_cache_that_is_late_says_nothing_of_the_backup(
    sealed: Backups, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = sealed.local.manifest(the_only(sealed.local)).cache
    assert cache
    server = instead(tmp_path, f"{cache.server}-server", "Redis server v=99.0.0", "exec sleep 60")
    told = sealed.settings({"RUNBOOK__BACKUP__PROGRAMS__REDIS": str(server)})
    monkeypatch.setattr(reading, "TIMEOUT", 0.5)
    with closing("local", told, sealed.folder) as place:
        verdict = verify(place, the_only(place))
        insist_that_nothing_is_said(place, verdict, "unverified")
        said = f'"{cache.server}-check-rdb" did not end within 500 ms, and was ended'
        assert (verdict.faults[0].where, verdict.faults[0].message) == (CACHE, said)


def test_a_restore_whose_pg_restore_is_late_has_not_seen_that_the_dump_is_none(sealed: Backups, tmp_path: Path) -> None:
    backup = the_only(sealed.local)
    instead(tmp_path, "pg_restore", "pg_restore (PostgreSQL) 99.1", "exec sleep 60")
    restoring = Restoring(tmp_path, Server("nowhere", {}), 1, 0.2)
    with pytest.raises(BackupError, match='"pg_restore" did not end within 200 ms') as caught:
        restoring.fill("new", sealed.local.path(backup) / DATABASE, sealed.local.manifest(backup))
    assert caught.value.reason == "unverified"


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
