"""A restore of a database with logical replication, or with a transaction that is prepared: all is told, nothing goes astray."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.backup.restore import journal
from pytest_runbook.errors import RestoreError

from tests.backup.restored import left, restoring, run, tidy
from tests.backup.systems import Shop

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
