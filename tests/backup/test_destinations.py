"""Every kind of destination keeps what it is given, encrypted or not, and says the same words when it cannot."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pyrage
import pytest
from pytest_runbook import clock
from pytest_runbook.backup import closing, copying, verify
from pytest_runbook.backup.checksums import of_file
from pytest_runbook.backup.destinations import Destination
from pytest_runbook.backup.manifest import Manifest, Stored
from pytest_runbook.backup.progress import Progress
from pytest_runbook.errors import BackupError

from lab import backup
from lab.servers.s3 import BUCKET
from tests.backup.conftest import Backups

ID = "20260101T020304Z"
KINDS = ["folder", "folder-encrypted", "s3", "s3-encrypted"]


def keys(backups: Backups, name: str = "key.txt") -> dict[str, str]:
    """Settings with keys of their own."""
    identity = pyrage.x25519.Identity.generate()
    path = backups.folder / name
    path.write_text(f"# made by a test\n{identity}\n")
    path.chmod(0o600)
    return {
        "RUNBOOK__BACKUP__ENCRYPTION__RECIPIENTS": str(identity.to_public()),
        "RUNBOOK__BACKUP__ENCRYPTION__IDENTITY_FILE": str(path),
    }


def declared(kind: str, folder: Path) -> dict[str, str]:
    """A destination "other" of KIND."""
    kind, _, encrypted = kind.partition("-")
    own = {"PATH": str(folder / "other")} if kind == "folder" else {"PROBE": "storage"}
    own |= {"KIND": kind, "ENCRYPTED": "true" if encrypted else "false"}
    return {f"RUNBOOK__BACKUP__DESTINATIONS__OTHER__{name}": value for name, value in own.items()}


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, backups: Backups) -> Iterator[Destination]:
    backups.more |= keys(backups) | declared(request.param, backups.folder)
    if request.param.startswith("s3"):
        backups.more["RUNBOOK__BACKUP__DESTINATIONS__OTHER__PREFIX"] = f"{backups.prefix}/other"
    with closing("other", backups.settings(), backups.folder, tries=1) as opened:
        yield opened


def put(place: Destination, folder: Path, name: str, content: bytes, id: str = ID) -> Path:
    path = folder / "given"
    path.write_bytes(content)
    place.write(id, name, path)
    return path


def manifest(id: str = ID) -> Manifest:
    return Manifest(id, "NightScan", "production", "2026-01-01T02:03:04Z", "2026-01-01T02:03:05Z", "test")


def test_what_is_written_is_read(place: Destination, tmp_path: Path) -> None:
    content = os.urandom(300_000)
    path = put(place, tmp_path, "database/1.dat", content)
    put(place, tmp_path, "empty", b"")
    with place.read(ID, "database/1.dat") as file:
        assert file.read(10) == content[:10]
        assert file.read() == content[10:]
    with place.read(ID, "empty") as file:
        assert file.read() == b""
    assert set(place.names(ID)) == {"database/1.dat", "empty"}
    assert place.encrypted or place.names(ID)["database/1.dat"] == len(content)
    path.write_bytes(content)
    told = Stored(len(content), of_file(path))
    assert place.compared(ID, "database/1.dat", told) == ""
    assert "is not what was written" in place.compared(ID, "database/1.dat", Stored(len(content), "0" * 64))


def test_it_is_a_backup_once_it_has_a_manifest(place: Destination, tmp_path: Path) -> None:
    assert place.backups() == place.partial() == []
    put(place, tmp_path, "roles.sql", b"x")
    assert (place.backups(), place.partial()) == ([], [ID])
    with pytest.raises(BackupError, match="no finished backup") as caught:
        place.manifest(ID)
    assert caught.value.reason == "no-manifest"
    for number in (10, 2):
        put(place, tmp_path, "manifest.json", manifest(f"{ID}-{number}").text().encode(), f"{ID}-{number}")
    put(place, tmp_path, "manifest.json", manifest().text().encode())
    assert place.backups() == [ID, f"{ID}-2", f"{ID}-10"]
    assert place.manifest(ID) == manifest()


def test_a_manifest_of_another_backup_is_none(place: Destination, tmp_path: Path) -> None:
    put(place, tmp_path, "manifest.json", manifest("20250101T000000Z").text().encode())
    with pytest.raises(BackupError, match="20250101T000000Z") as caught:
        place.manifest(ID)
    assert caught.value.reason == "stale"


def test_notes_are_written_anew_read_without_a_key_and_forgotten(place: Destination) -> None:
    assert place.noted(ID, "verified.json") is None
    place.note(ID, "verified.json", {"at": "a"})
    place.note(ID, "verified.json", {"at": "b"})
    assert place.noted(ID, "verified.json") == {"at": "b"}
    place.forget(ID, "verified.json")
    place.forget(ID, "verified.json")
    assert place.noted(ID, "verified.json") is None


def test_removing_takes_all_of_one_and_nothing_of_another(place: Destination, tmp_path: Path) -> None:
    for one in (ID, f"{ID}-2"):
        for name in ("database/1.dat", "manifest.json"):
            put(place, tmp_path, name, manifest(one).text().encode(), one)
    place.note(ID, "verified.json", {})
    place.remove(ID)
    assert place.names(ID) == {}
    assert place.backups() == [f"{ID}-2"]
    assert len(place.names(f"{ID}-2")) == 2
    place.remove(ID)


def interrupted(place: Destination, error: BaseException, call: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the backup ID from PLACE; its CALL-th deletion ends in ERROR."""
    delete, calls = type(place)._delete, list[list[str]]()  # type: ignore[attr-defined]

    def once(self: Destination, keys: list[str]) -> None:
        calls.append(keys)
        if len(calls) == call:
            raise error
        delete(self, keys)

    with monkeypatch.context() as patch, pytest.raises(type(error)):
        patch.setattr(type(place), "_delete", once)
        place.remove(ID)


def test_a_removal_that_was_interrupted_is_finished_later(
    place: Destination, tmp_path: Path, backups: Backups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its manifest it is no backup any more, in no list, and still takes its room."""
    for name in ("database/1.dat", "manifest.json"):
        put(place, tmp_path, name, manifest().text().encode())
    interrupted(place, KeyboardInterrupt(), 2, monkeypatch)
    assert (place.backups(), place.partial(), set(place.names(ID))) == ([], [ID], {"database/1.dat"})
    with closing("other", backups.settings(), backups.folder, tries=1) as again:
        assert again.finish() == [ID]
        assert (again.partial(), again.names(ID), again.finish()) == ([], {}, [])
    assert not list((backups.folder / "backups").glob(".removing-*"))


def test_one_whose_removal_did_not_begin_stays(
    place: Destination, tmp_path: Path, backups: Backups, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("database/1.dat", "manifest.json"):
        put(place, tmp_path, name, manifest().text().encode())
    interrupted(place, BackupError("it does not answer"), 1, monkeypatch)
    assert place.finish() == []
    assert (place.backups(), set(place.names(ID))) == ([ID], {"database/1.dat", "manifest.json"})
    assert not list((backups.folder / "backups").glob(".removing-*"))


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "", "a//b", "./x", "a\\b"])
def test_a_name_that_leads_out_is_refused(place: Destination, tmp_path: Path, name: str) -> None:
    with pytest.raises(BackupError) as caught:
        put(place, tmp_path, name, b"x")
    assert caught.value.reason == "unsafe-path"
    with pytest.raises(BackupError, match="is no backup"):
        place.remove("..")
    with pytest.raises(BackupError, match="is no backup"):
        put(place, tmp_path, "x", b"x", "../../etc")


def test_what_is_not_there_is_missing(place: Destination) -> None:
    with pytest.raises(BackupError) as caught, place.read(ID, "roles.sql") as file:
        file.read()
    assert caught.value.reason == "missing"
    assert place.names(ID) == {}


def test_a_whole_backup_can_be_copied_there_and_read_back(place: Destination, backups: Backups) -> None:
    made = backups.make()
    copying.copy(backups.local, place, made.manifest.id, Progress())
    verdict = verify(place, made.manifest.id)
    assert verdict.good, verdict.faults
    assert verdict.bytes >= made.manifest.size
    assert set(verdict.looked) == {"database", "cache.rdb", "files.tar.zst"}
    assert not list((backups.folder / "backups").glob(".sealed-*"))
    assert not list((backups.folder / "backups").glob(".verifying-*"))


def test_nothing_of_the_content_can_be_read_where_it_is_encrypted(place: Destination, tmp_path: Path) -> None:
    if not place.encrypted:
        pytest.skip("this one is not")
    put(place, tmp_path, "roles.sql", b"CREATE ROLE nightscan")
    name = next(iter(place._list(ID)))  # type: ignore[attr-defined]
    assert name == "roles.sql.age"
    with place._get(f"{ID}/{name}") as file:  # type: ignore[attr-defined]
        raw = file.read()
    assert raw.startswith(b"age-encryption.org/v1")
    assert b"ROLE" not in raw


@pytest.mark.parametrize("kind", ["folder-encrypted", "s3-encrypted"])
def test_another_key_is_told(backups: Backups, kind: str) -> None:
    backups.more |= keys(backups) | declared(kind, backups.folder)
    backups.more["RUNBOOK__BACKUP__DESTINATIONS__OTHER__PREFIX"] = f"{backups.prefix}/other"
    if kind.startswith("folder"):
        del backups.more["RUNBOOK__BACKUP__DESTINATIONS__OTHER__PREFIX"]
    with closing("other", backups.settings(), backups.folder) as place:
        put(place, backups.folder, "manifest.json", manifest().text().encode())
    with closing("other", backups.settings(keys(backups, "wrong.txt")), backups.folder) as place:
        with pytest.raises(BackupError) as caught:
            place.manifest(ID)
        assert caught.value.reason == "wrong-key"
        assert verify(place, ID).reasons == ["wrong-key"]
        assert place.noted(ID, "refuted.json") is None, "who cannot read it has not seen that it is bad"


def test_a_key_that_others_can_read_is_not_used(backups: Backups) -> None:
    backups.more |= keys(backups) | declared("folder-encrypted", backups.folder)
    (backups.folder / "key.txt").chmod(0o644)
    with closing("other", backups.settings(), backups.folder) as place:
        put(place, backups.folder, "x", b"x")
        with pytest.raises(BackupError, match="can be read by others"), place.read(ID, "x") as file:
            file.read()


def test_a_key_can_come_from_a_command(backups: Backups) -> None:
    backups.more |= keys(backups) | declared("folder-encrypted", backups.folder)
    key = backups.more.pop("RUNBOOK__BACKUP__ENCRYPTION__IDENTITY_FILE")
    backups.more["RUNBOOK__BACKUP__ENCRYPTION__IDENTITY_COMMAND"] = json.dumps(["cat", key])
    with closing("other", backups.settings(), backups.folder) as place:
        put(place, backups.folder, "x", b"hidden")
        with place.read(ID, "x") as file:
            assert file.read() == b"hidden"


def test_an_encrypted_file_that_is_cut_off_is_not_taken_for_whole(backups: Backups) -> None:
    backups.more |= keys(backups) | declared("folder-encrypted", backups.folder)
    with closing("other", backups.settings(), backups.folder) as place:
        put(place, backups.folder, "x", os.urandom(500_000))
        file = backups.folder / "other" / ID / "x.age"
        file.write_bytes(file.read_bytes()[:300_000])
        with pytest.raises(BackupError) as caught, place.read(ID, "x") as stream:
            stream.read()
    assert caught.value.reason == "corrupt"


def test_an_error_of_the_disk_while_it_is_encrypted_is_told(backups: Backups) -> None:
    """Memory that nobody has cannot be read, as a bad disk cannot."""
    backups.more |= keys(backups) | declared("folder-encrypted", backups.folder)
    with (
        closing("other", backups.settings(), backups.folder) as place,
        pytest.raises(
            BackupError, match=r'"/proc/self/mem" cannot be encrypted as ".*": input/output error\n  hint: see the disk'
        ),
    ):
        place.write(ID, "x", Path("/proc/self/mem"))
    assert not list((backups.folder / "backups").glob(".sealed-*/*/*"))


def test_a_file_that_is_there_is_not_sent_again(backups: Backups, s3: Destination) -> None:
    calls: list[str] = []
    client = s3._connected[0]  # type: ignore[attr-defined]
    client.meta.events.register("before-call.s3.PutObject", lambda **_: calls.append("put"))
    put(s3, backups.folder, "a", b"x" * 1000)
    with closing("s3", backups.settings(), backups.folder) as again:
        client = again._connected[0]  # type: ignore[attr-defined]
        client.meta.events.register("before-call.s3.PutObject", lambda **_: calls.append("put"))
        again.write(ID, "a", backups.folder / "given")
        assert calls == ["put"]
        put(again, backups.folder, "a", b"y" * 1000)
    assert calls == ["put", "put"]
    with s3.read(ID, "a") as file:
        assert file.read() == b"y" * 1000


def test_a_bucket_that_keeps_versions_only_marks_what_is_removed(backups: Backups, s3: Destination) -> None:
    """As one with object lock does, which gives nothing back before its time."""
    client, bucket = backup.s3(backups.lab.site), f"locked-{backups.prefix}"
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    assert (
        client.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]["ObjectLockEnabled"] == "Enabled"
    )
    backups.more["RUNBOOK__PROBES__STORAGE__BUCKET"] = bucket
    with closing("s3", backups.settings(), backups.folder) as place:
        put(place, backups.folder, "manifest.json", manifest().text().encode())
        place.remove(ID)
        assert place.backups() == []
    versions = client.list_object_versions(Bucket=bucket)
    assert versions["Versions"] and versions["DeleteMarkers"]


def test_what_the_bucket_keeps_for_a_time_is_told_and_not_hidden(backups: Backups) -> None:
    client, bucket = backup.s3(backups.lab.site), f"kept-{backups.prefix}"
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    backups.more["RUNBOOK__PROBES__STORAGE__BUCKET"] = bucket
    with closing("s3", backups.settings(), backups.folder) as place:
        put(place, backups.folder, "manifest.json", manifest().text().encode())
        until = clock.now() + timedelta(hours=1)
        key = f"{backups.prefix}/{ID}/manifest.json"
        client.put_object_retention(Bucket=bucket, Key=key, Retention={"Mode": "GOVERNANCE", "RetainUntilDate": until})
        with pytest.raises(BackupError, match=r'keeps "20260101T020304Z/manifest.json" until 20') as caught:
            place.remove(ID)
        assert caught.value.reason == "locked"
        assert place.backups() == [ID]


def test_a_bucket_that_is_not_there_is_told(backups: Backups) -> None:
    backups.more["RUNBOOK__PROBES__STORAGE__BUCKET"] = "no-such-bucket"
    assert BUCKET != "no-such-bucket"
    with closing("s3", backups.settings(), backups.folder) as place, pytest.raises(BackupError, match="no bucket"):
        place.backups()
