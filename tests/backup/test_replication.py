"""A restore of a database with logical replication, or with a transaction that is prepared: all is told, nothing goes astray."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pytest_runbook.backup.manifest import Database, Manifest
from pytest_runbook.backup.restore import journal
from pytest_runbook.backup.restore.database import Restoring
from pytest_runbook.errors import RestoreError

from tests.backup.restored import left, restoring, run, tidy
from tests.backup.systems import Shop
from tests.probes.databases import until

UNSEEN = "restore.checks=database and monthly"
"""Checks of which there is none: nobody could look, and the restore is held."""


@pytest.fixture(scope="module", autouse=True)
def server(system: Shop) -> None:
    """The server of the system, as one that replicates and prepares is told."""
    system.database.stop()
    system.database.settings |= {"wal_level": "logical", "max_prepared_transactions": "5"}
    system.database.start()


@pytest.fixture(autouse=True)
def clean(system: Shop) -> Iterator[None]:
    """Nothing beside the database, before and after."""
    yield
    tidy(system)


@pytest.fixture
def prepared(system: Shop) -> Iterator[str]:
    """The name of a transaction that is prepared in the database."""
    system.database.sql("BEGIN; DELETE FROM note; PREPARE TRANSACTION 'till 7'", "shop")
    yield "till 7"
    system.database.sql("ROLLBACK PREPARED 'till 7'", "shop")


def restored(system: Shop, backup: Manifest, *told: str) -> journal.Restore:
    return restoring(system, *told).restore("away", backup, ["database"], safety=False)


def wrong(backup: Manifest) -> Manifest:
    """What says that BACKUP holds other rows than it does."""
    assert backup.database
    tables = {
        name: replace(one, rows=7) if name == "public.note" else one for name, one in backup.database.tables.items()
    }
    return replace(backup, database=replace(backup.database, tables=tables))


def test_a_prepared_transaction_is_named_before_anything_is_made_or_stopped(
    system: Shop, backup: Manifest, prepared: str
) -> None:
    before = len(restoring(system).journal.all())
    words = (
        f'in the database "shop" transactions are prepared, and it cannot be renamed: "{prepared}"\n'
        '  hint: in "shop", for each: COMMIT PREPARED, or ROLLBACK PREPARED, as who prepared it decided'
    )
    with pytest.raises(RestoreError) as error:
        restored(system, backup)
    planned = run(system, backup.id, "--from=away", "--into=production", "--only=database", "--dry-run")
    assert str(error.value) == words
    assert (planned.returncode, words in planned.stderr) == (1, True), planned.stdout + planned.stderr
    assert (len(restoring(system).journal.all()), left(system)) == (before, [])


def test_what_cannot_be_taken_back_for_a_prepared_transaction_stops_nothing(system: Shop, backup: Manifest) -> None:
    held = restored(system, backup, UNSEEN)
    assert held.state == journal.HELD, held.story
    system.database.sql("BEGIN; DELETE FROM note; PREPARE TRANSACTION 'till 8'", "shop")
    try:
        before = time.monotonic()
        still = restoring(system).undo(held.id)
        assert time.monotonic() - before < 30
    finally:
        system.database.sql("ROLLBACK PREPARED 'till 8'", "shop")
    assert still.state == journal.HELD
    told = 'it cannot be taken back now: in the database "shop" transactions are prepared, and it cannot be renamed: "till 8"'
    assert any(line.startswith(told) for line in still.story), still.story
    assert restoring(system).undo(held.id).state == journal.UNDONE


@pytest.fixture
def feed(system: Shop) -> Iterator[str]:
    """A database whose table `feed` is published, and subscribed to by the one of the system, which has a slot of its own."""
    database = system.database
    database.sql("CREATE DATABASE source")
    database.sql("CREATE TABLE feed (id integer PRIMARY KEY); CREATE PUBLICATION feed FOR TABLE feed", "source")
    database.sql("SELECT pg_create_logical_replication_slot('feed', 'pgoutput')", "source")
    database.sql("CREATE TABLE feed (id integer PRIMARY KEY)", "shop")
    database.sql("SELECT pg_create_logical_replication_slot('changes', 'pgoutput')", "shop")
    database.sql(
        f"CREATE SUBSCRIPTION feed CONNECTION '{database.uri(database='source')}' PUBLICATION feed "
        "WITH (create_slot = false, slot_name = 'feed')",
        "shop",
    )
    yield "feed"
    for name, subscription in database.sql(f"SELECT datname, subname {OF}"):
        for word in ("DISABLE", "SET (slot_name = NONE)"):
            database.sql(f'ALTER SUBSCRIPTION "{subscription}" {word}', name)
        database.sql(f'DROP SUBSCRIPTION "{subscription}"', name)
    database.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active")
    database.sql("DROP TABLE feed", "shop")
    database.sql("DROP DATABASE source WITH (FORCE)")


OF = "FROM pg_subscription JOIN pg_database d ON d.oid = subdbid"


def enabled(system: Shop) -> dict[str, bool]:
    """Whether the subscription is, by the beginning of the name of its database."""
    found = system.database.sql(f"SELECT datname, subenabled {OF}")
    return {name.rpartition("_")[0] or name: on for name, on in found}


def arrives(system: Shop, number: int) -> None:
    """Have NUMBER published, and come into the database in use."""
    system.database.sql(f"INSERT INTO feed VALUES ({number})", "source")
    until(lambda: system.database.sql(f"SELECT 1 FROM feed WHERE id = {number}", "shop"), 40)


def test_no_data_come_into_what_is_put_aside_and_all_of_it_is_told(system: Shop, feed: str) -> None:
    arrives(system, 1)
    saved = system.backup()
    planned = run(system, saved.id, "--from=away", "--into=production", "--only=database", "--dry-run")
    done = restored(system, saved)
    assert done.state == journal.DONE, done.story
    before = [
        'the subscription "feed" of "shop" is disabled when that is put aside; going back enables it again',
        'the logical replication slot "changes" of "shop" goes aside with it, hands out nothing that is written '
        "afterwards, and keeps WAL until it is removed\n"
        "  hint: when you are sure: stop what reads it; SELECT pg_drop_replication_slot('changes'); "
        "in \"shop\": SELECT pg_create_logical_replication_slot('changes', 'pgoutput'); "
        "then what reads it has to copy everything anew",
    ]
    after = (
        'the subscription "feed" is restored, and disabled: what was published since the backup is not in its tables\n'
        '  hint: in "shop", when you are sure: TRUNCATE its tables; ALTER SUBSCRIPTION "feed" ENABLE; '
        'ALTER SUBSCRIPTION "feed" REFRESH PUBLICATION, which copies them anew'
    )
    assert [line for line in (*before, after) if line not in done.story] == []
    assert [line for line in before if line not in planned.stdout] == []
    assert enabled(system) == {"shop": False, "shop_before": False}
    system.database.sql("TRUNCATE feed; ALTER SUBSCRIPTION feed ENABLE", "shop")
    system.database.sql("ALTER SUBSCRIPTION feed REFRESH PUBLICATION", "shop")
    arrives(system, 2)
    assert system.database.sql("SELECT id FROM feed ORDER BY 1", "shop") == [(1,), (2,)]
    ((aside,),) = system.database.sql("SELECT datname FROM pg_database WHERE datname ~ '_before_'")
    with system.database.connect(database=aside):
        used = run(system, "--discard", done.id, "--yes-overwrite=Shop")
    assert (used.returncode, "it has subscriptions, and is accessed by other users" in used.stderr) == (1, True)
    assert enabled(system) == {"shop": True, "shop_before": False}
    discarded = run(system, "--discard", done.id, "--yes-overwrite=Shop")
    assert discarded.returncode == 0, discarded.stdout + discarded.stderr
    assert enabled(system) == {"shop": True}
    arrives(system, 3)


def test_going_back_lets_data_come_again(system: Shop, feed: str) -> None:
    saved = system.backup()
    held = restored(system, saved, UNSEEN)
    assert (held.state, enabled(system)) == (journal.HELD, {"shop": False, "shop_before": False})
    system.database.sql("ALTER SUBSCRIPTION feed ENABLE", "shop")
    assert restoring(system).undo(held.id).state == journal.UNDONE
    assert enabled(system) == {"shop": True, "shop_restore": False}
    arrives(system, 4)


def test_what_was_made_ready_with_a_subscription_is_removed(system: Shop, feed: str) -> None:
    """The slot stays: what is in use takes data from it."""
    saved = system.backup()
    with pytest.raises(RestoreError, match=r"public\.note: 50 rows of 7"):
        restored(system, wrong(saved))
    assert restoring(system).journal.all()[-1].state == journal.UNDONE
    assert (left(system), enabled(system)) == ([], {"shop": True})
    arrives(system, 5)


def test_what_cannot_be_removed_hides_not_why_it_ended(
    system: Shop, backup: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are told, and `--undo` removes it later."""
    plain, made = Restoring.owner, list[str]()

    def owner(self: Restoring, name: str, dump: Path, told: Database) -> list[str]:
        system.database.sql(f'ALTER DATABASE "{name}" IS_TEMPLATE true')
        made.append(name)
        return plain(self, name, dump, told)

    monkeypatch.setattr(Restoring, "owner", owner)
    with pytest.raises(RestoreError, match=r"public\.note: 50 rows of 7"):
        restored(system, wrong(backup))
    one = restoring(system).journal.all()[-1]
    assert one.state == journal.PREPARING
    assert one.story[-1].startswith("what was made ready is left: "), one.story
    assert one.story[-1].endswith("cannot drop a template database\n  hint: runbook restore --undo"), one.story
    system.database.sql(f'ALTER DATABASE "{made[0]}" IS_TEMPLATE false')
    assert restoring(system).undo(one.id).state == journal.UNDONE
    assert left(system) == []
