"""What a restore may not do is found out before it stops or makes anything, on its way back as well."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pytest_runbook.backup import postgresql
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.backup.postgresql import Server
from pytest_runbook.backup.restore import journal, servers, sessions
from pytest_runbook.backup.restore.exchange import rename_database
from pytest_runbook.backup.restore.production import Production
from pytest_runbook.errors import BackupError, RestoreError, UsageError
from pytest_runbook.settings import load

from tests.backup.restored import run
from tests.backup.systems import ManagedCache, Shop
from tests.probes.databases import SECRET, PostgresServer, postgres_pair

STOPPED = 'restore.stop=["ml"]'
UNSEEN = "restore.checks=postdeploy and there_is_no_such"


def restoring(system: Shop, *overrides: str) -> Production:
    return Production(system.told(STOPPED, *overrides), system.folder)


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """Another server, which has a database of the same name, and its standby."""
    with postgres_pair() as made:
        yield made


@pytest.fixture
def other(pair: tuple[PostgresServer, PostgresServer]) -> PostgresServer:
    return pair[0]


@pytest.fixture
def ml(system: Shop, backup: Manifest) -> Iterator[str]:
    """The process of the service `ml`, which runs."""
    yield process(system)
    for one in restoring(system).journal.all():
        if one.open:
            restoring(system).undo(one.id)
    for path in system.folder.glob("*.restore-*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def process(system: Shop) -> str:
    assert isinstance(system.cache, ManagedCache)
    system.cache.control("start", "ml")
    found = re.search(r"RUNNING +pid (\d+)", system.cache.control("status", "ml"))
    assert found
    return found[1]


def runs(system: Shop, ml: str) -> bool:
    """Whether the service `ml` is still the process ML: it was never stopped."""
    assert isinstance(system.cache, ManagedCache)
    return f"RUNNING   pid {ml}," in system.cache.control("status", "ml")


def test_who_lost_its_lock_after_the_exchange_stops_nothing(
    system: Shop, backup: Manifest, ml: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine that was suspended while the checks looked."""
    seen = []

    def look(self: Production, _: object) -> tuple[bool, str]:
        self._locks[0]._taken = True
        seen.append(process(system))
        return False, "the shop is closed"

    production = restoring(system)
    with monkeypatch.context() as patched:
        patched.setattr(Production, "look", look)
        held = production.restore("away", backup, ["config"], safety=False)
    assert held.state == journal.HELD
    assert any('it cannot be taken back now: the lock of "restore" is lost' in line for line in held.story)
    assert runs(system, seen[0])
    assert restoring(system).undo().state == journal.UNDONE


def test_what_somebody_removed_cannot_be_put_back_and_stops_nothing(system: Shop, backup: Manifest, ml: str) -> None:
    held = restoring(system, UNSEEN).restore("away", backup, ["config"], safety=False)
    (aside,) = system.folder.glob("config.before-*")
    aside.rename(system.folder / "elsewhere")
    now = process(system)
    assert now != ml
    again = restoring(system).undo()
    assert (again.state, held.state) == (journal.HELD, journal.HELD)
    assert any(f'it cannot be taken back now: there is neither "{aside}"' in line for line in again.story)
    assert runs(system, now)
    (system.folder / "elsewhere").rename(aside)
    assert restoring(system).undo().state == journal.UNDONE


def test_a_root_in_another_root_is_not_exchanged(system: Shop, backup: Manifest, ml: str) -> None:
    inner = system.folder / "uploads" / "2026"
    with pytest.raises(RestoreError, match=f'the root "config", "{inner}", lies in the root "uploads": not both'):
        restoring(system, f"backup.files.roots.config={inner}").restore(
            "away", backup, ["files", "config"], safety=False
        )
    assert runs(system, ml)
    assert not [*system.folder.glob("*.restore-*")]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("restore.journal", "uploads/restores"),
        ("history.url", "sqlite:///uploads/history.db"),
        ("backup.destinations.local.path", "uploads/local"),
    ],
)
def test_a_root_that_holds_what_a_restore_needs_is_not_exchanged(
    system: Shop, backup: Manifest, ml: str, key: str, value: str
) -> None:
    try:
        with pytest.raises(RestoreError, match=r'the root "uploads", .* which a restore needs to go back') as refused:
            restoring(system, f"{key}={value}").restore("away", backup, ["files"], safety=False)
        assert f'"{system.folder / Path(value.removeprefix("sqlite:///"))}"' in str(refused.value)
        assert runs(system, ml)
    finally:
        for name in ("restores", "local"):
            shutil.rmtree(system.folder / "uploads" / name, ignore_errors=True)
        for path in (system.folder / "uploads").glob("history.db*"):
            path.unlink()


INTO_PRODUCTION = ("--from=away", "--into=production", "--yes-overwrite=Shop")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("backup.files.roots.config={folder}/uploads/2026", 'lies in the root "uploads": not both can be exchanged'),
        ("backup.files.roots.uploads=/nowhere/uploads", 'the root "uploads", "/nowhere/uploads", cannot be exchanged:'),
        ("restore.journal=uploads/restores", "which a restore needs to go back"),
        ("restore.cache_folder=/nowhere", 'the folder of the cache, "/nowhere", is not on this machine'),
        ("restore.admin=postgresql://postgres@127.0.0.1:1/postgres", '"restore.admin": '),
        ("drill.folder=/nowhere", 'there is no folder "/nowhere" for scratch servers'),
        ("system.environment=production", "the backup is of"),
    ],
)
def test_what_is_refused_makes_no_safety_backup_and_a_dry_run_shows_it(
    system: Shop, backup: Manifest, override: str, said: str
) -> None:
    """What is there now may take an hour to be backed up, and the backup hours to be read back."""
    told, before = f"--set={override.format(folder=system.folder)}", made(system)
    for more in ((), ("--dry-run",)):
        done = run(system, backup.id, *INTO_PRODUCTION, told, *more)
        assert (done.returncode, said in done.stderr) == (1, True), done.stdout + done.stderr
        assert "would" not in done.stdout
        assert "read back" not in done.stdout + done.stderr
    assert made(system) == before


def made(system: Shop) -> tuple[list[str], list[str]]:
    """Backups, and restores, that are there."""
    return system.place("local").backups(), [one.id for one in restoring(system).journal.all()]


def test_a_part_that_the_backup_does_not_hold_makes_no_safety_backup(system: Shop, backup: Manifest) -> None:
    before = made(system)
    with pytest.raises(RestoreError, match=f'the backup "{backup.id}" holds nothing of cache'):
        restoring(system).restore("away", replace(backup, cache=None), ["cache"])
    assert made(system) == before


@pytest.mark.parametrize("part", ["database", "cache", "config"])
def test_a_manager_of_which_nobody_says_where_it_acts_makes_no_safety_backup(
    system: Shop, backup: Manifest, ml: str, tmp_path: Path, part: str
) -> None:
    """Where every host probe looks at another machine; of configuration each one is asked for its version."""
    before, stop, file = made(system), [STOPPED] if part == "database" else [], tmp_path / "shop.toml"
    there = '[probes.there]\nkind = "host"\nuri = "ssh://away.example"\n'
    file.write_text((system.folder / "shop.toml").read_text() + there)
    away = load(system.folder, file=file, environ={}, overrides=stop)
    words = 'nothing says on which machine the manager "lab" acts: .*\n  hint: managers.lab.on = "there"'
    with pytest.raises(UsageError, match=words):
        Production(away, system.folder).restore("away", backup, [part])
    assert made(system) == before
    assert runs(system, ml)


def test_a_history_in_the_database_is_not_exchanged_with_it(system: Shop, backup: Manifest, ml: str) -> None:
    system.database.sql("CREATE DATABASE sales")
    url = system.database.uri(database="sales")
    try:
        with pytest.raises(RestoreError, match=r'the history lies in the database "sales", .*\n  hint: keep it in a'):
            restoring(system, f"history.url={url}", f"probes.database.uri={url}").restore(
                "away", backup, ["database"], safety=False
            )
        assert system.database.sql("SELECT datname FROM pg_database WHERE datname ~ '^sales'") == [("sales",)]
        assert runs(system, ml)
    finally:
        system.database.sql("DROP DATABASE sales WITH (FORCE)")


def test_an_administrator_of_another_server_is_refused(
    system: Shop, backup: Manifest, ml: str, other: PostgresServer
) -> None:
    with pytest.raises(RestoreError, match=r'restore\.admin leads to another server than the probe "database": what'):
        restoring(system, f"restore.admin={other.uri()}").restore("away", backup, ["database"], safety=False)
    assert other.sql("SELECT datname FROM pg_database WHERE datname ~ '^shop'") == [("shop",)]
    assert runs(system, ml)


def test_an_administrator_is_compared_with_the_probe(system: Shop, other: PostgresServer) -> None:
    """The probe may be shut out after a disaster: then the address tells, and where that is another one, nobody does."""
    own, unknown = system.database, "visitor_that_is_not_there"
    servers.insist_on_production(system.told(f"restore.admin={own.uri()}").settings)
    shut_out = [f"probes.database.uri={own.uri(user=unknown, database='shop')}"]
    servers.insist_on_production(system.told(*shut_out, f"restore.admin={own.uri()}").settings)
    gone = f"probes.database.uri={own.uri(database='gone')}"
    servers.insist_on_production(system.told(gone, f"restore.admin={own.uri()}").settings)
    with pytest.raises(BackupError, match=f'"restore.admin": .*role "{unknown}"|"restore.admin": password'):
        servers.insist_on_production(system.told(f"restore.admin={own.uri(user=unknown)}").settings)
    with pytest.raises(RestoreError, match=r'nobody can tell whether .* of the probe "database", which does not say'):
        servers.insist_on_production(system.told(*shut_out, f"restore.admin={other.uri()}").settings)


def test_an_administrator_of_the_primary_may_restore_what_was_saved_from_its_standby(
    system: Shop, pair: tuple[PostgresServer, PostgresServer]
) -> None:
    primary, standby = pair

    def insist(probe: str, admin: PostgresServer) -> None:
        told = [f"probes.database.uri={probe}", f"restore.admin={admin.uri()}"]
        servers.insist_on_production(system.told(*told).settings)

    insist(standby.uri(database="shop"), primary)
    with pytest.raises(RestoreError, match="leads to another server"):
        insist(standby.uri(database="shop"), system.database)
    with pytest.raises(RestoreError, match="leads to another server"):
        insist(primary.uri(database="shop"), standby)


LOOKED = """
from pathlib import Path
from pytest_runbook import check

@check("weekly", severity="P1")
async def test_which(database):
    name = await database.one("SELECT current_database()")
    with Path("{seen}").open("a") as seen:
        seen.write(f"{name} ")
    assert name == "sales"
"""


def test_the_checks_look_at_the_system_that_was_restored(system: Shop, backup: Manifest, ml: str) -> None:
    """What `--set` chose, which the settings file does not know of."""
    seen, which = system.folder / "seen", system.folder / "checks" / "database" / "which.py"
    which.write_text(LOOKED.replace("{seen}", str(seen)))
    system.database.sql("CREATE DATABASE sales")
    told = ["--set", f"probes.database.uri={system.database.uri(database='sales')}", "--set", "restore.checks=weekly"]
    try:
        done = run(
            system, backup.id, "--from=away", "--only=config", "--into=production", "--yes-overwrite=Shop",
            "--without-safety-backup", *told,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert seen.read_text() == "sales "
        id_ = restoring(system).journal.all()[-1].id
        gone = run(system, "--discard", id_, "--yes-overwrite=Shop", *told)
        assert (gone.returncode, seen.read_text()) == (0, "sales sales "), gone.stderr
    finally:
        which.unlink()
        system.database.sql("DROP DATABASE sales WITH (FORCE)")


@pytest.fixture
def restorer(system: Shop) -> Iterator[Server]:
    """A role as the documentation wants it for `restore.admin`, and no superuser; it owns the database `sales`."""
    system.database.sql(f"CREATE ROLE restorer LOGIN CREATEDB PASSWORD '{SECRET}'")
    system.database.sql(f"CREATE ROLE visitor LOGIN PASSWORD '{SECRET}'")
    system.database.sql("CREATE DATABASE sales OWNER restorer")
    known = postgresql.of_backup(system.loaded.settings)
    yield Server("restorer", {**known.address, "user": "restorer", "dbname": "postgres"})
    for name in ("sales", "sold"):
        system.database.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    system.database.sql("DROP ROLE restorer, visitor")


def test_sessions_that_may_not_be_ended_stop_nothing(system: Shop, backup: Manifest, ml: str, restorer: Server) -> None:
    """As that of a monitor, which is a superuser."""
    admin = f"restore.admin={system.database.uri(user='restorer')}"
    with system.database.connect(database="shop") as monitor:
        words = f'the database "shop" is used by sessions that may not be ended: "admin", process {monitor.info.backend_pid}'
        with pytest.raises(RestoreError, match=f"{words}\n  hint: end them, or let restore.admin be a superuser"):
            restoring(system, admin).restore("away", backup, ["database"], safety=False)
        assert monitor.execute("SELECT 1").fetchone() == (1,)
    assert runs(system, ml)
    assert not [one for one in restoring(system).journal.all() if one.parts == ["database"]]


def test_sessions_of_others_are_ended_by_who_may(system: Shop, restorer: Server) -> None:
    with system.database.connect("visitor", "sales") as visitor:
        with pytest.raises(
            RestoreError, match=r'"sales" is used by .* "visitor", process .*\n  hint: GRANT pg_signal_backend'
        ):
            sessions.insist(restorer, "sales")
        with restorer.connect() as session, pytest.raises(RestoreError, match=r'is used by sessions .* "visitor"'):
            rename_database(session, "sales", "sold")
        assert visitor.execute("SELECT 1").fetchone() == (1,)
        system.database.sql("GRANT pg_signal_backend TO restorer")
        sessions.insist(restorer, "sales")
        with restorer.connect() as session:
            rename_database(session, "sales", "sold")
    assert system.database.sql("SELECT datname FROM pg_database WHERE datname ~ '^s.l'") == [("sold",)]
