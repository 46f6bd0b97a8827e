"""A restore that was killed, wherever it was, can be taken back, and finished once anything was exchanged."""

from __future__ import annotations

import pytest
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.backup.restore import journal
from pytest_runbook.backup.restore.production import PARTS
from pytest_runbook.deploy import restores
from pytest_runbook.errors import RestoreError, UsageError

from tests.backup.restored import BEFORE, kept, killed, left, look, restoring, tidy, undone_twice
from tests.backup.systems import Shop

pytestmark = pytest.mark.usefixtures("changed")


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
