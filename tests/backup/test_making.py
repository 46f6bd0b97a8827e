"""A backup of the lab's real servers: of one moment, whole, and nothing stored twice."""

from __future__ import annotations

import json
import shutil
import stat
import threading
import time

import jsonschema
import psycopg
import pytest
from pytest_runbook import clock
from pytest_runbook.backup import making, verify
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.errors import BackupError

from lab.home import database_uri, read_env
from tests.backup.conftest import Backups
from tests.backup.test_destinations import declared, keys


def test_a_backup_says_what_it_holds(backups: Backups) -> None:
    made = backups.make()
    manifest, folder = made.manifest, backups.local.path(made.manifest.id)
    assert made.good
    assert manifest.database and manifest.cache and manifest.files
    with psycopg.connect(database_uri(backups.lab.site)) as session:
        rows = session.execute("SELECT count(*), max(created_at) FROM prediction").fetchone()
    assert rows
    assert 0 < manifest.database.tables["public.prediction"].rows <= rows[0]
    assert manifest.database.newest_row and clock.parse(manifest.database.newest_row) <= rows[1]
    assert manifest.database.tables["public.user"].checksum
    assert "public.prediction_user_created" in manifest.database.indexes
    assert "pg_stat_statements" in manifest.database.extensions
    assert manifest.database.system_identifier
    assert manifest.release == read_env(backups.lab.site)["VERSION"]
    assert manifest.cache.run_id
    assert set(manifest.files) >= {"uploads/2026/a.wav", "uploads/b.txt", "uploads/last", "environment"}
    assert manifest.files["uploads/last"].link == "b.txt"
    assert manifest.files["environment"].mode == 0o600
    stored = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert stored - {"manifest.json", "verified.json"} == set(manifest.stored)
    jsonschema.validate(json.loads((folder / "manifest.json").read_text()), Manifest.json_schema())


def test_only_its_owner_can_read_it_and_no_password_is_in_it(backups: Backups) -> None:
    folder = backups.local.path(backups.make().manifest.id)
    assert not [path for path in (folder, *folder.rglob("*")) if stat.S_IMODE(path.stat().st_mode) & 0o077]
    for name in ("roles.sql", "manifest.json", "verified.json"):
        text = (folder / name).read_text()
        assert "PASSWORD" not in text
        assert backups.lab.site.secret("database") not in text


def test_counts_are_of_the_moment_of_the_dump_while_others_write(backups: Backups) -> None:
    """Verifying counts the rows in the dump; they are those of the manifest only if both saw one snapshot."""
    stop = threading.Event()
    insert = (
        "INSERT INTO data_retention_log (table_name, deleted_rows) SELECT 'test', n FROM generate_series(1, 50) AS n"
    )

    def write() -> None:
        with psycopg.connect(database_uri(backups.lab.site), autocommit=True) as session:
            while not stop.is_set():
                session.execute(insert)

    with psycopg.connect(database_uri(backups.lab.site), autocommit=True) as session:
        before = session.execute("SELECT count(*) FROM data_retention_log").fetchone()
    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = backups.make()
    finally:
        stop.set()
        writer.join()
        with psycopg.connect(database_uri(backups.lab.site), autocommit=True) as session:
            session.execute("DELETE FROM data_retention_log WHERE table_name = 'test'")
    assert made.good, made.verdicts
    assert made.manifest.database
    assert before and made.manifest.database.tables["public.data_retention_log"].rows >= before[0]


def test_a_root_that_is_a_link_is_backed_up_as_what_it_leads_to(backups: Backups) -> None:
    disk = backups.folder / "disk"
    (backups.folder / "uploads").rename(disk)
    (backups.folder / "uploads").symlink_to(disk)
    made = backups.make()
    assert made.good
    assert made.manifest.files
    assert made.manifest.files["uploads/2026/a.wav"].size == 3000
    assert made.manifest.files["uploads/last"].link == "b.txt", "a link within is one"


def test_a_root_that_is_missing_ends_the_backup_unless_it_may_be(backups: Backups) -> None:
    uploads = backups.folder / "uploads"
    uploads.rename(backups.folder / "elsewhere")
    with pytest.raises(BackupError, match=f'root "uploads" of the files, "{uploads}", is not there'):
        backups.make()
    assert backups.local.backups() == []
    uploads.symlink_to("not-mounted")
    with pytest.raises(BackupError, match="is not there"):
        backups.make()
    backups.more["RUNBOOK__BACKUP__FILES__OPTIONAL"] = '["uploads"]'
    made = backups.make()
    assert made.good
    assert made.manifest.files and not [name for name in made.manifest.files if name.startswith("uploads")]


def test_what_did_not_change_is_stored_once(backups: Backups) -> None:
    first = backups.make()
    (backups.folder / "uploads" / "c.txt").write_text("new\n")
    (backups.folder / "uploads" / "b.txt").write_text("fix\n")
    second = backups.make()
    files = second.manifest.files
    assert files
    assert files["uploads/2026/a.wav"].backup == first.manifest.id
    assert {files["uploads/b.txt"].backup, files["uploads/c.txt"].backup} == {second.manifest.id}
    assert second.manifest.needs == {first.manifest.id}
    assert second.good
    full = backups.make(full=True)
    assert full.manifest.needs == set()
    assert full.good


def test_files_of_a_backup_that_was_never_read_back_are_stored_again(backups: Backups) -> None:
    first = backups.make()
    backups.local.forget(first.manifest.id, "verified.json")
    assert backups.make().manifest.needs == set()


def test_files_of_a_backup_whose_list_was_damaged_since_are_stored_again(backups: Backups) -> None:
    first = backups.make().manifest
    path = backups.local.path(first.id) / "manifest.json"
    path.write_bytes(path.read_bytes()[:-20])  # what is short stands before the list, and is still read
    assert making.relied(backups.local)
    second = backups.make()
    assert (second.good, second.manifest.needs) == (True, set())


def test_a_backup_whose_files_lie_in_a_lost_one_is_not_good(backups: Backups) -> None:
    first, second = backups.make(), backups.make()
    backups.local.remove(first.manifest.id)
    verdict = verify(backups.local, second.manifest.id)
    assert verdict.reasons == ["missing"]
    assert first.manifest.id in str(verdict.faults[0])
    assert backups.local.noted(second.manifest.id, "verified.json") is None, "it was good, and is no more"


def test_backups_of_one_second_have_names_of_their_own(backups: Backups) -> None:
    made = [backups.make().manifest.id for _ in range(2)]
    assert len({*made}) == 2
    assert backups.local.backups() == made


def test_only_one_backup_at_a_time(backups: Backups) -> None:
    settings = backups.settings()
    with (
        making.alone(settings, backups.folder),
        pytest.raises(BackupError, match="another backup is being made") as caught,
    ):
        backups.make()
    assert caught.value.reason == "busy"
    assert backups.make().good


def test_there_must_be_room(backups: Backups) -> None:
    backups.make()
    backups.more["RUNBOOK__BACKUP__ROOM"] = "1e15"
    with pytest.raises(BackupError, match="MB free, another backup needs") as caught:
        backups.make()
    assert caught.value.reason == "no-room"
    assert backups.left == []


def test_there_must_be_room_for_what_waits_encrypted(backups: Backups) -> None:
    backups.more |= keys(backups) | declared("folder-encrypted", backups.folder)
    size = backups.make().manifest.size
    free = shutil.disk_usage(backups.folder).free
    backups.more["RUNBOOK__BACKUP__ROOM"] = str(free / size / 1.5)
    with pytest.raises(BackupError, match="MB free, another backup needs"):
        backups.make("other")
    assert backups.make().good


def test_a_wrong_password_is_told_without_it(backups: Backups) -> None:
    backups.more["RUNBOOK__BACKUP__DATABASE__PASSWORD"] = "not-the-password"
    with pytest.raises(BackupError, match="password authentication failed") as caught:
        backups.make()
    assert "not-the-password" not in str(caught.value)
    assert backups.left == []
    assert backups.local.backups() == []


def test_tables_can_be_left_out_and_the_manifest_says_so(backups: Backups) -> None:
    backups.more["RUNBOOK__BACKUP__DATABASE__EXCLUDE"] = "detection"
    made = backups.make()
    assert made.good, made.verdicts
    assert made.manifest.database
    assert made.manifest.database.excluded == ["public.detection"]


def test_a_large_table_is_sampled_by_its_last_rows(backups: Backups) -> None:
    backups.more["RUNBOOK__BACKUP__DATABASE__CHECKSUM_ROWS"] = "10"
    made = backups.make()
    assert made.good
    assert made.manifest.database
    table = made.manifest.database.tables["public.prediction"]
    assert table.sampled and table.checksum and table.rows > 10


def test_a_file_that_changes_while_it_is_read_is_still_whole(backups: Backups) -> None:
    stop = threading.Event()
    path = backups.folder / "uploads" / "growing"

    def grow() -> None:
        while not stop.is_set():
            with path.open("ab") as file:
                file.write(b"x" * 100_000)
            time.sleep(0.001)
            if path.stat().st_size > 50_000_000:
                path.write_bytes(b"")

    path.write_bytes(b"x" * 10_000_000)
    writer = threading.Thread(target=grow)
    writer.start()
    try:
        made = backups.make()
    finally:
        stop.set()
        writer.join()
    assert made.good, made.verdicts


def test_a_manifest_that_says_something_else_of_its_list_is_not_good(backups: Backups) -> None:
    made = backups.make().manifest
    path = backups.local.path(made.id) / "manifest.json"
    told = json.loads(path.read_text())
    told["listed"]["needs"] = ["20200101T000000Z"]
    path.write_text(json.dumps(told))
    (fault,) = verify(backups.local, made.id).faults
    assert (fault.reason, fault.where) == ("corrupt", "manifest.json")
