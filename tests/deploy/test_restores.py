"""No deployment over a restore into production that is not at its end."""

from __future__ import annotations

import pytest
from pytest_runbook.backup.restore import journal
from pytest_runbook.backup.restore.journal import Journal

from tests.deploy.shop import GOOD, Shop

NEW, BLIND = "1.4.3", "2.0-blind"


def interrupted(market: Shop, state: str = journal.EXCHANGING) -> tuple[Journal, journal.Restore]:
    """A restore that was killed in the exchange, or came to STATE."""
    journals = Journal(market.folder / "var" / "restores")
    restore = journals.begin("20261126T020000Z-abcd", "20261126T010000Z", "local", ["database"])
    restore.state, restore.process["pid"] = state, 2**22 + 1
    journals.save(restore)
    return journals, restore


@pytest.mark.parametrize(
    "words", [("deploy", "1.4.3"), ("deploy", "1.4.3", "--dry-run"), ("rollback", "--to", "1.4.1")]
)
def test_nothing_is_begun_while_a_restore_is_open(market: Shop, words: tuple[str, ...]) -> None:
    _, restore = interrupted(market)
    code, output = market.runbook(*words)
    assert code == 4, output
    assert f'the restore "{restore.id}" is not at its end: it is exchanging' in output
    assert "hint: runbook restore --status" in output
    assert market.store.deployments() == []


def test_nothing_is_taken_up_while_a_restore_is_open(market: Shop) -> None:
    assert market.runbook("deploy", BLIND)[0] == 6
    journals, restore = interrupted(market)
    for way in ("--resume", "--abort"):
        code, output = market.runbook("deploy", way)
        assert (code, restore.id in output) == (4, True), output
    assert market.served() == {BLIND}
    restore.state = journal.UNDONE
    journals.save(restore)
    assert market.runbook("deploy", "--abort")[0] == 0
    assert market.served() == {GOOD}


def test_a_restore_of_somebody_else_keeps_nobody_from_deploying_once_it_has_ended(market: Shop) -> None:
    """As one of root's, whose journal nobody else may read."""
    journals, restore = interrupted(market)
    folder = journals.path(restore.id)
    folder.chmod(0)
    words = ("deploy", "1.4.3", "--set", "deploy.services=[]")
    code, output = market.runbook(*words, powerless=True)
    assert (code, f'"{folder / journal.NAME}" cannot be read: permission denied\n{journal.HINT}' in output) == (4, True)
    folder.chmod(0o700)
    restore.state = journal.DONE
    journals.save(restore)
    folder.chmod(0)
    code, output = market.runbook(*words, powerless=True)
    folder.chmod(0o700)
    assert (code, "no service is named" in output) == (4, True), output


def test_a_restore_that_is_held_keeps_nobody_from_going_back(market: Shop) -> None:
    """All that it restored is in use, and whoever has to decide about it may be asleep."""
    assert market.runbook("deploy", NEW)[0] == 0
    _, restore = interrupted(market, journal.HELD)
    code, output = market.runbook("deploy", "1.4.4")
    assert (code, f'the restore "{restore.id}" is not at its end: it is held' in output) == (4, True), output
    code, output = market.runbook("rollback")
    assert (code, market.served()) == (0, {GOOD}), output
    assert f'the restore "{restore.id}" is held: what it restored stays in use' in output


def test_a_restore_that_was_taken_back_keeps_nobody_from_a_version_that_starts(market: Shop) -> None:
    """What was there before is in use again, and the version may be all that keeps it from being started."""
    assert market.runbook("deploy", NEW)[0] == 0
    journals, restore = interrupted(market, journal.BACK)
    restore.stop = ["web", "ml"]
    journals.save(restore)
    market.control("stop", "web", "ml")
    code, output = market.runbook("deploy", "1.4.4")
    assert (code, f'the restore "{restore.id}" is not at its end: it is back' in output) == (4, True), output
    code, output = market.runbook("rollback")
    assert (code, market.served()) == (0, {GOOD}), output
    assert f'the restore "{restore.id}" was taken back: what was there before it is in use' in output
    code, output = market.runbook("restore", "--undo", "--yes-overwrite=Shop")
    assert (code, journals.read(restore.id).state, market.served()) == (0, journal.UNDONE, {GOOD}), output


@pytest.mark.parametrize("way", ["--abort", "--resume"])
def test_one_that_is_held_keeps_nobody_from_ending_a_way_back(market: Shop, way: str) -> None:
    """A rollback that was left in the middle goes back when it is taken up, and to what ran before when it is aborted."""
    assert market.runbook("rollback", "--to", BLIND)[0] == 6
    _, restore = interrupted(market, journal.HELD)
    code, output = market.runbook("deploy", way)
    assert f'the restore "{restore.id}" is held' in output
    assert (code, market.served()) == ((0, {GOOD}) if way == "--abort" else (6, {BLIND})), output


INTO_PRODUCTION = ("--into=production", "--yes-overwrite=Shop", "--only=files", "--without-safety-backup")
UNSEEN = "restore.checks=postdeploy and there_is_no_such"
STOPS = 'restore.stop=["web","ml"]'


def test_who_takes_a_restore_back_after_a_rollback_stays_on_the_version_rolled_back_to(market: Shop) -> None:
    """The file that names it was restored, and what is put back of it names the version that was left."""
    assert market.runbook("backup")[0] == 0
    assert market.runbook("deploy", NEW)[0] == 0
    told = ("--set", UNSEEN, "--set", STOPS)
    code, output = market.runbook("restore", "newest", *INTO_PRODUCTION, *told)
    assert (code, "held" in output, market.served()) == (1, True, {NEW}), output
    assert market.runbook("rollback")[0] == 0
    code, output = market.runbook("restore", "--undo", "--yes-overwrite=Shop", *told)
    assert (code, market.served()) == (0, {GOOD}), output
    assert f'VERSION in "{market.folder / "env"}" stays "{GOOD}", and the one before it "{NEW}"' in output


def test_a_file_that_nobody_may_read_keeps_no_restore_from_being_taken_back(market: Shop) -> None:
    """As that of variables which was root's, when another user takes the restore back: which version runs is told."""
    assert market.runbook("backup")[0] == 0
    assert market.runbook("deploy", NEW)[0] == 0
    told = ("--set", UNSEEN, "--set", 'restore.stop=["ml"]')
    assert market.runbook("restore", "newest", *INTO_PRODUCTION, *told)[0] == 1
    assert market.runbook("rollback")[0] == 0
    (aside,) = market.folder.glob("env.before-*")
    aside.chmod(0)
    try:
        code, output = market.runbook("restore", "--undo", "--yes-overwrite=Shop", *told, powerless=True)
    finally:
        for path in market.folder.glob("env*"):
            path.chmod(0o600)
    why = f'"{aside}" cannot be given the version that is in use: permission denied'
    assert (code, f"which version runs from now on has to be looked at: {why}" in output) == (0, True), output
