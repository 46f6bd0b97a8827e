"""Restores into production: what was saved is there again, or everything is as it was before."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.backup.restore import journal
from pytest_runbook.backup.restore.journal import Restore
from pytest_runbook.backup.restore.production import PARTS, Production
from pytest_runbook.backup.restore.services import Services
from pytest_runbook.errors import ManagerError, RestoreError

from tests.backup.restored import AFTER, BEFORE, kept, left, look, restoring
from tests.backup.systems import Shop

pytestmark = pytest.mark.usefixtures("changed")


def test_everything_that_was_saved_is_there_again(system: Shop, backup: Manifest) -> None:
    production = restoring(system)
    manifest = production.judge("away", backup.id)
    done = production.restore("away", manifest, PARTS)
    assert (done.state, look(system)) == (journal.DONE, BEFORE)
    assert (system.folder / "uploads" / "latest").readlink() == Path("2026/4.bin")
    assert (system.folder / ".env").stat().st_mode & 0o777 == 0o600
    assert system.database.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'note'", "shop") == [("shopkeeper",)]
    # So are the database's own owner, rights and settings.
    own = "SELECT pg_get_userbyid(datdba), datacl::text, setconfig FROM pg_database JOIN pg_db_role_setting ON setdatabase = oid"
    own += " WHERE datname = 'shop'"
    assert system.database.sql(own) == [("shopkeeper", "{shopkeeper=CTc/shopkeeper}", ["work_mem=7MB"])]
    # The cache goes on with its append-only file.
    assert system.cache.client.config_get("appendonly") == {"appendonly": "yes"}
    # What was there before is all kept beside, and in the safety backup.
    before, uploads = kept(system, "before")
    assert system.database.sql("SELECT count(*) FROM customer", before) == [(210,)]
    assert len([*(uploads / "2026").iterdir()]) == 4
    assert any(before in line and "--discard" in line for line in done.story)
    database = system.place("local").manifest(done.safety).database
    assert database
    assert database.tables["public.customer"].rows == 210
    assert [path.name for path in system.folder.glob("config.before-*")]
    assert restoring(system).journal.read(done.id).state == journal.DONE


def test_when_the_checks_fail_everything_is_as_it_was(system: Shop, backup: Manifest) -> None:
    (system.folder / "closed").touch()
    production = restoring(system)
    done = production.restore("away", production.judge("away", backup.id), PARTS, safety=False)
    assert (done.state, look(system)) == (journal.UNDONE, AFTER)
    assert "the shop is closed" in done.story[-1]
    # What was restored was in use, so it is kept.
    database, uploads = kept(system, "restore")
    assert any(database in line for line in done.story)
    assert (uploads / "2026" / "4.bin").is_file()


def test_when_nobody_can_look_it_is_held_and_a_person_decides(system: Shop, backup: Manifest) -> None:
    production = restoring(system, "restore.checks=postdeploy and there_is_no_such")
    held = production.restore("away", production.judge("away", backup.id), ["config"], safety=False)
    assert (held.state, look(system).config) == (journal.HELD, BEFORE.config)
    with pytest.raises(RestoreError, match="is not finished"):
        production.restore("away", backup, ["config"])
    undone = restoring(system).undo()
    assert (undone.state, look(system)) == (journal.UNDONE, AFTER)


def test_only_what_was_asked_for_is_touched(system: Shop, backup: Manifest) -> None:
    production = restoring(system)
    done = production.restore("away", production.judge("away", backup.id), ["files"], safety=False)
    seen = look(system)
    assert (done.state, seen.files) == (journal.DONE, BEFORE.files)
    assert (seen.customers, seen.keys, seen.config) == (AFTER.customers, AFTER.keys, AFTER.config)


def test_what_was_written_into_a_restored_system_outlasts_its_undo(system: Shop, backup: Manifest) -> None:
    production = restoring(system, "restore.checks=postdeploy and there_is_no_such")
    held = production.restore("away", production.judge("away", backup.id), PARTS, safety=False)
    assert held.state == journal.HELD
    system.database.sql("INSERT INTO customer (name) VALUES ('since then')", "shop")
    (system.folder / "uploads" / "2026" / "since.bin").touch()
    assert (restoring(system).undo().state, look(system)) == (journal.UNDONE, AFTER)
    database, uploads = kept(system, "restore")
    assert system.database.sql("SELECT count(*) FROM customer WHERE name = 'since then'", database) == [(1,)]
    assert (uploads / "2026" / "since.bin").is_file()


def test_a_service_that_does_not_stop_ends_the_restore_not_the_system(
    system: Shop, backup: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    managed = Services.managed

    def slow(self: Services, service: str, action: str) -> None:
        managed(self, service, action)
        if action == "stop":
            raise ManagerError("it still stops")

    monkeypatch.setattr(Services, "managed", slow)
    production = restoring(system)
    done = production.restore("away", production.judge("away", backup.id), PARTS, safety=False)
    assert (done.state, look(system)) == (journal.UNDONE, AFTER)
    assert "it still stops" in done.story[-1]
    assert left(system) == []


def test_what_cannot_be_taken_back_now_is_left_running(
    system: Shop, backup: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    production = restoring(system, "restore.checks=postdeploy and there_is_no_such")
    production.restore("away", production.judge("away", backup.id), PARTS, safety=False)
    managed = Services.managed

    def slow(self: Services, service: str, action: str) -> None:
        managed(self, service, action)
        if action == "stop":
            raise ManagerError("it still stops")

    with monkeypatch.context() as patched:
        patched.setattr(Services, "managed", slow)
        held = restoring(system).undo()
    assert (held.state, look(system)) == (journal.HELD, BEFORE)
    assert (restoring(system).undo().state, look(system)) == (journal.UNDONE, AFTER)


def test_one_that_is_interrupted_is_taken_back(system: Shop, backup: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Production, restore: Restore) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Production, "look", interrupted)
    production = restoring(system)
    with pytest.raises(KeyboardInterrupt):
        production.restore("away", production.judge("away", backup.id), PARTS, safety=False)
    assert (production.journal.all()[-1].state, look(system)) == (journal.UNDONE, AFTER)
