"""Restores into production: what was saved is there again, or everything is as it was before."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pytest_runbook.backup import postgresql
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.backup.postgresql import Server
from pytest_runbook.backup.restore import exchange, journal, room
from pytest_runbook.backup.restore.journal import Journal, Restore, Swap
from pytest_runbook.backup.restore.production import PARTS, Production
from pytest_runbook.backup.restore.room import Need
from pytest_runbook.backup.restore.services import Services
from pytest_runbook.deploy import deployment, restores
from pytest_runbook.errors import ManagerError, RestoreError, UsageError
from pytest_runbook.history import Store
from pytest_runbook.history.locks import Held
from pytest_runbook.runbooks import family

from tests.backup.systems import Shop
from tests.probes.databases import SECRET, until


@dataclass(frozen=True)
class Seen:
    """What the system holds."""

    customers: int
    keys: tuple[str, ...]
    files: tuple[str, ...]
    config: str


def look(system: Shop) -> Seen:
    until(system.cache.client.ping)
    return Seen(
        system.database.sql("SELECT count(*) FROM customer", "shop")[0][0],
        tuple(sorted(map(str, system.cache.client.keys("*")))),
        tuple(sorted(path.name for path in (system.folder / "uploads" / "2026").iterdir())),
        (system.folder / "config" / "shop.json").read_text(),
    )


BEFORE = Seen(200, ("cached", "queue", "session:1"), ("0.bin", "1.bin", "2.bin", "3.bin", "4.bin"), '{"open": true}')
AFTER = Seen(210, ("later",), ("0.bin", "1.bin", "2.bin", "3.bin"), "{}")


@pytest.fixture(autouse=True)
def changed(system: Shop, backup: Manifest) -> None:
    """The system has gone on since the backup, and lost something."""
    system.database.sql("DELETE FROM customer WHERE name LIKE 'late%'", "shop")
    system.database.sql("INSERT INTO customer (name) SELECT 'late ' || n FROM generate_series(1, 10) AS n", "shop")
    until(system.cache.client.flushall)
    system.cache.client.set("later", "yes")
    (system.folder / "uploads" / "2026" / "4.bin").unlink(missing_ok=True)
    (system.folder / "config" / "shop.json").write_text("{}")
    (system.folder / "closed").unlink(missing_ok=True)
    tidy(system)
    assert look(system) == AFTER


def restoring(system: Shop, *overrides: str) -> Production:
    return Production(system.told(*overrides), system.folder)


BESIDE = ("*.restore-*", "*.before-*", ".runbook-restore-*")


def left(system: Shop) -> list[str]:
    """What a restore made and did not take away."""
    databases = system.database.sql("SELECT datname FROM pg_database WHERE datname ~ '_(restore|before)_'")
    paths = [path for pattern in BESIDE for path in system.folder.glob(pattern)]
    return [name for (name,) in databases] + [str(path) for path in paths]


def kept(system: Shop, word: str) -> tuple[str, Path]:
    """The database and the uploads that lie beside as WORD."""
    ((database,),) = system.database.sql(f"SELECT datname FROM pg_database WHERE datname ~ '_{word}_'")
    (uploads,) = system.folder.glob(f"uploads.{word}-*")
    return database, uploads


def tidy(system: Shop) -> None:
    """As a person does it in the end."""
    for name in left(system):
        if name.startswith("/"):
            path = Path(name)
            assert path.parent == system.folder
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        else:
            system.database.sql(f'DROP DATABASE "{name}" WITH (FORCE)')


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


SLOW = """
    CREATE FUNCTION slow(text) RETURNS text IMMUTABLE LANGUAGE sql
        RETURN CASE WHEN pg_catalog.pg_sleep(0.01) IS NULL THEN $1 ELSE $1 END;
    CREATE INDEX slow ON note (slow(text));
    ALTER DATABASE shop SET statement_timeout = '250ms'
"""


def test_limits_of_the_database_are_restored_and_not_meant_for_the_restore(system: Shop) -> None:
    """Such an index is analysed longer than a statement of the system may take."""
    system.database.sql(SLOW, "shop")
    made = system.backup()
    try:
        production = restoring(system)
        done = production.restore("away", production.judge("away", made.id), ["database"], safety=False)
        assert done.state == journal.DONE, done.story
        assert system.database.sql("SHOW statement_timeout", "shop") == [("250ms",)]
    finally:
        system.database.sql("DROP FUNCTION slow CASCADE; ALTER DATABASE shop RESET statement_timeout", "shop")
        for name in ("local", "away"):
            system.place(name).remove(made.id)


def test_only_what_was_asked_for_is_touched(system: Shop, backup: Manifest) -> None:
    production = restoring(system)
    done = production.restore("away", production.judge("away", backup.id), ["files"], safety=False)
    seen = look(system)
    assert (done.state, seen.files) == (journal.DONE, BEFORE.files)
    assert (seen.customers, seen.keys, seen.config) == (AFTER.customers, AFTER.keys, AFTER.config)


def test_files_that_have_no_room_are_not_begun(system: Shop, backup: Manifest) -> None:
    assert backup.files
    huge = replace(backup, files={name: replace(file, size=2**60) for name, file in backup.files.items()})
    with pytest.raises(
        RestoreError, match=f'"{system.folder}" has .* MB free, .* needs .*\n  hint: make room on the disk'
    ):
        restoring(system).restore("away", huge, ["files"], safety=False)
    assert (look(system), left(system)) == (AFTER, [])


def test_a_database_that_has_no_room_beside_the_one_in_use_is_not_begun(system: Shop, backup: Manifest) -> None:
    assert backup.database
    huge = replace(backup, database=replace(backup.database, size=2**60))
    folder = system.database.folder
    with pytest.raises(
        RestoreError, match=f'"{folder}" has .* MB free, .* needs .*\n  hint: make room: a database whose'
    ):
        restoring(system).restore("away", huge, ["database"], safety=False)
    assert (look(system), left(system)) == (AFTER, [])


def test_what_is_brought_to_one_disk_needs_room_there_together(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    one, other = Need(tmp_path, int(free * 0.6), "one"), Need(tmp_path / "gone" / "since", int(free * 0.7), "other")
    room.insist([one])
    room.insist([other])
    with pytest.raises(RestoreError, match=f'"{tmp_path}" has .* MB free, .* on its disk needs .* MB\n  hint: other'):
        room.insist([one, other])


def test_room_on_a_disk_that_nobody_may_look_at_is_told_to_be_unknown(system: Shop, backup: Manifest) -> None:
    system.database.sql("DROP ROLE IF EXISTS visitor")
    system.database.sql(f"CREATE ROLE visitor LOGIN PASSWORD '{SECRET}'")
    known = postgresql.of_backup(system.loaded.settings)
    visitor = Server("visitor", {**known.address, "user": "visitor", "dbname": "postgres"})
    assert room.of_database(visitor, 1) is None
    assert room.of_database(Server("away", {"host": "192.0.2.1"}), 1) is None
    need = room.of_database(known, 1)
    assert need and need.folder == system.database.folder and 1 <= need.size <= 2**30 + 1
    system.database.sql("DROP ROLE visitor")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"system.name": "Another"}, "other-system"),
        ({"system.environment": "production"}, "other-system"),
        ({"restore.revisions": "r1, r2"}, "schema-newer"),
    ],
)
def test_what_does_not_belong_here_is_refused(
    system: Shop, backup: Manifest, changes: dict[str, str], reason: str
) -> None:
    system.database.sql("CREATE TABLE IF NOT EXISTS alembic_version (version_num text)", "shop")
    system.database.sql("DELETE FROM alembic_version; INSERT INTO alembic_version VALUES ('r3')", "shop")
    newest = system.backup() if reason == "schema-newer" else backup
    production = restoring(system, *(f"{key}={value}" for key, value in changes.items()))
    with pytest.raises(RestoreError) as refusal:
        production.judge("away", newest.id)
    assert refusal.value.reason == reason
    system.database.sql("DROP TABLE alembic_version", "shop")


def test_a_database_that_is_newer_than_the_one_in_use_is_refused(system: Shop) -> None:
    system.database.sql(
        "CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('r1')", "shop"
    )
    try:
        older = system.backup()
        system.database.sql("UPDATE alembic_version SET version_num = 'r2'", "shop")
        newer = system.backup()
        assert restoring(system).judge("away", older.id).schema == "r1"
        system.database.sql("UPDATE alembic_version SET version_num = 'r1'", "shop")
        with pytest.raises(RestoreError, match='at revision "r2", the database in use is at "r1"') as refusal:
            restoring(system).judge("away", newer.id)
        assert refusal.value.reason == "schema-newer"
    finally:
        system.database.sql("DROP TABLE alembic_version", "shop")


def test_a_backup_that_is_not_good_is_refused(system: Shop) -> None:
    bad = system.backup()
    path = system.folder / "away" / bad.id / "cache.rdb"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RestoreError, match="truncated") as refusal:
        restoring(system).judge("away", bad.id)
    assert refusal.value.reason == "unverified"


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


KILLED = """
import os, signal, sys
from pathlib import Path
from pytest_runbook.backup.restore import exchange, journal, production
from pytest_runbook.settings import load
folder, backup, when, number = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
phase, count = "", 0
def die():
    os.kill(os.getpid(), signal.SIGKILL)
def then_die(function):
    def called(*arguments):
        global count
        function(*arguments)
        count += phase == when
        if count == number:
            die()
    return called
save = journal.Journal.save
def dying(self, restore):
    global phase, count
    save(self, restore)
    phase = restore.phase
    count += phase == when == "prepare"
    if (phase == when and count == number) or (" " in when and any(when in line for line in restore.story)):
        die()
journal.Journal.save = dying
if when == "keep":
    exchange.Exchange.kept = lambda *arguments: die()
elif when == "removal":
    phase = when
    production.remove_made, production.drop_database = then_die(production.remove_made), then_die(production.drop_database)
    dying = save
    journal.Journal.save = save
elif number:
    exchange.Exchange._rename = then_die(exchange.Exchange._rename)
one = production.Production(load(folder, file=folder / "shop.toml", environ={}), folder)
if backup:
    one.restore("away", one.judge("away", backup), production.PARTS, safety=False)
else:
    one.undo()
"""


def killed(system: Shop, backup: str, when: str, number: int = 0) -> Restore:
    """A restore, or without BACKUP an undo, that is killed at the phase WHEN, or in it when NUMBER things were done.

    WHEN of several words: when the story says so.
    """
    argv = [sys.executable, "-c", KILLED, str(system.folder), backup, when, str(number)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (one,) = (one for one in restoring(system).journal.all() if one.open)
    assert one.alive is False
    return one


def undone_twice(system: Shop) -> None:
    undone = restoring(system).undo()
    assert (undone.state, look(system)) == (journal.UNDONE, AFTER)
    with pytest.raises(RestoreError, match="unfinished: none"):
        restoring(system).undo()
    assert look(system) == AFTER


@pytest.mark.parametrize("when", ["stop", "exchange", "start", "checks", "keep"])
def test_one_that_was_killed_can_be_taken_back(system: Shop, backup: Manifest, when: str) -> None:
    killed(system, backup.id, when)
    undone_twice(system)
    assert bool(left(system)) == (when in ("start", "checks", "keep"))


@pytest.mark.parametrize("number", [1, 2, 4, 7])
def test_one_that_was_killed_while_it_was_made_ready_can_be_taken_back(
    system: Shop, backup: Manifest, number: int
) -> None:
    killed(system, backup.id, "prepare", number)
    undone_twice(system)
    assert not left(system)


@pytest.mark.parametrize("number", [1, 2, 3, 6, 9])
def test_one_that_was_killed_in_the_exchange_can_be_taken_back(system: Shop, backup: Manifest, number: int) -> None:
    killed(system, backup.id, "exchange", number)
    undone_twice(system)


@pytest.mark.parametrize("number", [0, 1, 2, 3, 6, 9])
def test_one_that_was_killed_while_it_was_taken_back_can_be_taken_back(
    system: Shop, backup: Manifest, number: int
) -> None:
    (system.folder / "closed").touch()
    killed(system, backup.id, "back", number)
    killed(system, "", "back", 0)  # the same for who takes it back
    undone_twice(system)
    database, _ = kept(system, "restore")
    assert system.database.sql("SELECT count(*) FROM customer", database) == [(200,)]


def test_one_that_was_killed_when_everything_was_back_is_only_started(system: Shop, backup: Manifest) -> None:
    (system.folder / "closed").touch()
    killed(system, backup.id, "back", 1)
    one = restoring(system)
    left_open = one.journal.unfinished()
    one.exchange(left_open).back(left_open)
    left_open.state = journal.BACK
    one.journal.save(left_open)
    tidy(system)  # somebody removed what was restored: what is in use must not take its place
    with pytest.raises(RestoreError, match="was taken back already"):
        restoring(system).finish()
    undone_twice(system)


def test_one_that_was_held_is_not_held_any_more_when_it_was_killed_on_its_way_back(
    system: Shop, backup: Manifest
) -> None:
    """Nobody goes back to another version meanwhile: a part is what was restored, a part is not."""
    production = restoring(system, "restore.checks=postdeploy and there_is_no_such")
    assert production.restore("away", backup, PARTS, safety=False).state == journal.HELD
    restores.insist_on_none(production.journal.folder, print, urgent=True)
    assert killed(system, "", "back", 1).state == journal.EXCHANGING
    with pytest.raises(UsageError, match="is not at its end: it is exchanging"):
        restores.insist_on_none(production.journal.folder, print, urgent=True)
    undone_twice(system)


@pytest.mark.parametrize("number", [1, 2])
def test_one_that_was_killed_while_it_was_removed_can_be_taken_back(
    system: Shop, backup: Manifest, number: int
) -> None:
    killed(system, backup.id, "the database is restored beside")
    killed(system, "", "removal", number)
    undone_twice(system)
    assert left(system) == []


@pytest.mark.parametrize("when", ["stop", "exchange", "start", "checks"])
def test_one_that_was_killed_can_be_finished(system: Shop, backup: Manifest, when: str) -> None:
    killed(system, backup.id, when)
    done = restoring(system).finish()
    assert (done.state, look(system)) == (journal.DONE, BEFORE)
    kept(system, "before")


def test_one_that_was_killed_before_anything_was_exchanged_is_not_finished(system: Shop, backup: Manifest) -> None:
    killed(system, backup.id, "prepare", 2)
    with pytest.raises(RestoreError, match="restore anew"):
        restoring(system).finish()
    restoring(system).undo()


@contextmanager
def locked(system: Shop, target: str) -> Iterator[None]:
    """Somebody else works on TARGET."""
    settings = system.loaded.settings
    url = settings.history.url.get_secret_value()
    store = Store.open(url, settings.system.name, settings.system.environment, root=system.folder)
    with store.lock(target, "another"):
        yield


def test_a_deployment_keeps_a_restore_out(system: Shop, backup: Manifest) -> None:
    with locked(system, deployment.LOCK), pytest.raises(RestoreError, match="a deployment, is going on"):
        restoring(system).restore("away", backup, ["config"])


def test_a_deployment_that_is_not_at_its_end_keeps_a_restore_out_until_somebody_says_otherwise(
    system: Shop, backup: Manifest
) -> None:
    told = system.loaded.settings
    url = told.history.url.get_secret_value()
    store = Store.open(url, told.system.name, told.system.environment, root=system.folder)
    number = store.begin_deployment("d1", "deploy", "1.4.3", {"web": "1.4.2"}, who="m.dupont", options={})
    try:
        known = len(restoring(system).journal.all())
        with pytest.raises(RestoreError, match=r"of 1.4.3, is not at its end\n.*--over-deployment"):
            restoring(system).restore("away", backup, ["config"], safety=False)
        assert len(restoring(system).journal.all()) == known
        planned = ("--from=away", "--into=production", "--dry-run")
        refused, over = run(system, backup.id, *planned), run(system, backup.id, *planned, "--over-deployment")
        assert (refused.returncode, "--over-deployment" in refused.stderr, refused.stdout) == (1, True, "")
        assert (over.returncode, f"the deployment {number}, of 1.4.3, is not at its end" in over.stdout) == (0, True)
        done = restoring(system).restore("away", backup, ["config"], safety=False, over_deployment=True)
        assert (done.state, done.story[0]) == (
            journal.DONE,
            f"the deployment {number}, of 1.4.3, is not at its end: runbook deploy --status, when this has ended",
        )
    finally:
        store.end_deployment(number, "aborted", "the test is over", run="d1")


def test_while_a_runbook_works_on_a_service_nothing_is_exchanged(system: Shop, backup: Manifest) -> None:
    production = restoring(system, "restore.stopping=1")
    with locked(system, "cache"), pytest.raises(RestoreError, match="somebody works on a service"):
        production.restore("away", backup, PARTS, safety=False)
    assert look(system) == AFTER
    assert (restoring(system).finish().state, look(system)) == (journal.DONE, BEFORE)


def test_no_runbook_works_on_a_service_meanwhile(
    system: Shop, backup: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = []

    def looking(self: Production, restore: Restore) -> tuple[bool, str]:
        for target in ("cache", "database", deployment.LOCK):
            with pytest.raises(Held), locked(system, target):
                pass
            held.append(target)
        return True, "well"

    monkeypatch.setattr(Production, "look", looking)
    assert restoring(system).restore("away", backup, ["config"], safety=False).state == journal.DONE
    assert len(held) == 3
    with locked(system, "cache"), locked(system, deployment.LOCK):
        pass


def test_who_lost_its_lock_renames_nothing(system: Shop, backup: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    production, managed = restoring(system), Services.managed

    def still(self: Services, service: str, action: str) -> None:
        managed(self, service, action)
        production._locks[-1]._taken = True

    monkeypatch.setattr(Services, "managed", still)
    done = production.restore("away", backup, PARTS, safety=False)
    assert (done.state, look(system)) == (journal.UNDONE, AFTER)
    assert "stood still" in done.story[-1]
    assert not any("before" in name for name in left(system))


def test_roles_that_exist_are_left_as_they_are(system: Shop) -> None:
    system.database.sql('CREATE ROLE "a helper" LOGIN CONNECTION LIMIT 3')
    system.database.sql('CREATE ROLE seller; GRANT shopkeeper TO "a helper", seller')
    saved = system.backup()
    system.database.sql('DROP ROLE "a helper"; REVOKE shopkeeper FROM seller; ALTER ROLE shopkeeper CONNECTION LIMIT 7')
    roles = "SELECT rolname, rolconnlimit FROM pg_roles WHERE rolname IN ('a helper', 'shopkeeper') ORDER BY 1"
    members = "SELECT member::regrole::text FROM pg_auth_members WHERE roleid = 'shopkeeper'::regrole"
    try:
        killed(system, saved.id, '"a helper" is new')
        assert system.database.sql(roles) == [("a helper", 3), ("shopkeeper", 7)]
        assert system.database.sql(members) == [('"a helper"',)]
        undone = restoring(system).undo()
        assert any('"a helper" is new, and has no password' in line for line in undone.story)
        assert system.database.sql(roles) == [("shopkeeper", 7)]
    finally:
        system.database.sql(
            'DROP ROLE seller; DROP ROLE IF EXISTS "a helper"; ALTER ROLE shopkeeper CONNECTION LIMIT -1'
        )


def test_a_restored_database_sorts_as_it_did(system: Shop, backup: Manifest) -> None:
    sorts = "SELECT datcollate, datctype FROM pg_database WHERE datname = 'shop'"
    own = system.database.sql(sorts)
    other = "C" if own[0][0] != "C" else "C.UTF-8"
    system.database.sql("ALTER DATABASE shop RENAME TO shop_aside")
    try:
        system.database.sql(f"CREATE DATABASE shop TEMPLATE template0 LC_COLLATE '{other}' LC_CTYPE '{other}'")
        system.database.sql(
            "CREATE TABLE customer AS SELECT n AS id, 'x' || n AS name, now() AS since "
            "FROM generate_series(1, 200) AS n; CREATE TABLE purchase (at timestamptz)",
            "shop",
        )
        saved = system.backup()
        assert saved.database
        assert saved.database.locale["collate"] == other
        done = restoring(system).restore("away", saved, ["database"], safety=False)
        assert done.state == journal.DONE
        assert system.database.sql(sorts) == [(other, other)]
    finally:
        system.database.sql("DROP DATABASE IF EXISTS shop WITH (FORCE)")
        system.database.sql("ALTER DATABASE shop_aside RENAME TO shop")


def test_two_at_once_are_refused(system: Shop, backup: Manifest) -> None:
    production = restoring(system)
    with production.alone("another"), pytest.raises(RestoreError, match="another restore"):
        production.restore("away", backup, ["config"])


def test_a_journal_that_cannot_be_read_is_told_and_keeps_nobody_from_restoring(tmp_path: Path) -> None:
    one = Journal(tmp_path)
    made = one.begin("20260101T000000Z-abcd", "b", "s", [])
    (tmp_path / "20260101T000001Z-abcd").mkdir()
    (tmp_path / "20260101T000001Z-abcd" / "restore.json").write_text('{"version": 1}')
    said: list[str] = []
    assert [found.id for found in one.all(said.append)] == [made.id]
    assert len(said) == 1
    assert "cannot be read" in said[0]


def test_what_a_restore_did_not_make_is_never_removed(tmp_path: Path) -> None:
    one = Journal(tmp_path).begin("20260101T000000Z-abcd", "b", "s", [])
    tag = exchange.tag(one.id)
    ours, theirs = tmp_path / f"uploads.restore-{tag}", tmp_path / "uploads"
    for path in (ours, theirs):
        path.mkdir()
    assert exchange.refusal(ours, one) == "this restore did not make it"
    one.made = [str(ours), str(theirs), "/", str(tmp_path), f"{tmp_path}/link.restore-{tag}"]
    assert exchange.refusal(ours, one) is None
    for path in (theirs, Path("/"), tmp_path):
        assert exchange.refusal(path, one) == "this restore did not make it"
    link = tmp_path / f"link.restore-{tag}"
    link.symlink_to(theirs)
    assert "symbolic link" in str(exchange.refusal(link, one))
    said: list[str] = []
    exchange.remove_made(one, said.append)
    assert (ours.exists(), theirs.is_dir(), link.is_symlink(), len(said)) == (False, True, True, 4)


def test_names_that_are_both_there_are_left_to_a_person(tmp_path: Path) -> None:
    one = Journal(tmp_path).begin("20260101T000000Z-abcd", "b", "s", [])
    live, aside, made = (tmp_path / name for name in ("live", "aside", "made"))
    for path in (live, aside, made):
        path.mkdir()
    one.swaps = [Swap("path", str(live), str(aside), str(made))]
    with pytest.raises(RestoreError, match="there is both"):
        exchange.Exchange(None).forward(one)


@pytest.mark.parametrize("had", [True, False])
def test_exchanges_are_taken_back_as_often_as_anybody_likes(tmp_path: Path, had: bool) -> None:
    one = Journal(tmp_path / "journal").begin("20260101T000000Z-abcd", "b", "s", [])
    live, aside, made = (tmp_path / name for name in ("live", "aside", "made"))
    made.write_text("restored")
    if had:
        live.write_text("original")
    one.swaps = [Swap("path", str(live), str(aside), str(made))]
    renames = exchange.Exchange(None)
    renames.back(one)
    assert made.read_text() == "restored"
    renames.begin(one)
    for _ in range(2):
        renames.forward(one)
        assert (live.read_text(), aside.exists(), made.exists()) == ("restored", had, False)
        renames.begin(one)
    for _ in range(3):
        renames.back(one)
        assert (live.exists(), aside.exists(), made.read_text()) == (had, False, "restored")
    if had:
        made.unlink()
        with pytest.raises(RestoreError, match="there is neither"):
            renames.back(one)
        assert live.read_text() == "original"


# -- the command ---------------------------------------------------------------------------------------------------------


def run(system: Shop, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", "from pytest_runbook.cli import main; main()", "restore", *arguments]
    plain = {name: value for name, value in os.environ.items() if name != family.MARK}
    return subprocess.run(argv, cwd=system.folder, capture_output=True, text=True, check=False, input=text, env=plain)


def test_the_command_asks_for_the_name_of_the_system(system: Shop, backup: Manifest) -> None:
    for given in ([], ["--yes-overwrite=Other"]):
        done = run(system, backup.id, "--from=away", "--into=production", *given)
        assert (done.returncode, "is not the name of the system" in done.stderr) == (4, True)
    assert look(system) == AFTER


def test_the_command_restores_and_tells(system: Shop, backup: Manifest) -> None:
    planned = run(system, backup.id, "--from=away", "--into=production", "--dry-run")
    assert (planned.returncode, "would stop cache" in planned.stdout) == (0, True)
    done = run(system, backup.id, "--from=away", "--into=production", "--yes-overwrite=Shop", "--without-safety-backup")
    assert (done.returncode, look(system)) == (0, BEFORE), done.stderr
    assert SECRET not in done.stdout + done.stderr
    status = run(system, "--status")
    assert (status.returncode, "done: database, cache, files, config" in status.stdout) == (0, True)


def test_status_says_what_is_known_of_one_that_could_not_go_back(
    system: Shop, backup: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(self: exchange.Exchange, restore: Restore) -> None:
        raise RestoreError('"restore.admin": connection refused')

    with monkeypatch.context() as patched:
        patched.setattr(exchange.Exchange, "forward", down)
        patched.setattr(exchange.Exchange, "back", down)
        production = restoring(system)
        with pytest.raises(RestoreError, match="connection refused"):
            production.restore("away", backup, ["config"], safety=False)
        (broken,) = (one for one in production.journal.all() if one.open)
        broken.process["pid"] = 2**22 + 1  # as after the end of this process
        production.journal.save(broken)
    status = run(system, "--status")
    assert "not finished, and its process is gone; it was exchanging (back)" in status.stdout
    assert 'it stopped in the middle (back): "restore.admin": connection refused' in status.stdout
    assert "killed" not in status.stdout
    assert restoring(system).undo().state == journal.UNDONE


def test_the_command_restores_into_servers_to_look_at(system: Shop, backup: Manifest) -> None:
    done = run(system, backup.id, "--from=away", text="\n")
    assert (done.returncode, "addresses and passwords: " in done.stdout) == (0, True), done.stderr
    assert look(system) == AFTER
    assert [*system.scratch.iterdir()] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense", "--into=production", "--yes-overwrite=Shop"], "is no backup"),
        (["newest", "--from=nowhere"], "unknown destination"),
        (["newest", "--only=everything"], "unknown part"),
        ([], "which backup?"),
    ],
)
def test_bad_usage_says_what_is_known(system: Shop, backup: Manifest, arguments: list[str], said: str) -> None:
    done = run(system, *arguments)
    assert done.returncode in (1, 4)
    assert said in done.stderr


def test_what_a_service_wrote_comes_into_the_journal_without_its_secrets(system: Shop, tmp_path: Path) -> None:
    production = Production(system.told(f"restore.journal={tmp_path}"), system.folder)
    restore = production.journal.begin("r1", "b1", "away", ["config"])
    production.tell(restore, f'"web" did not start\n  | connecting as {SECRET}')
    (told,) = production.journal.read("r1").story
    assert told == '"web" did not start\n  | connecting as ****'


def test_journals_say_no_secret(system: Shop, backup: Manifest) -> None:
    texts = [path.read_text() for path in restoring(system).journal.folder.glob("*/restore.json")]
    assert texts
    assert not any(SECRET in text for text in texts)
    assert all(json.loads(text)["version"] == 1 for text in texts)
