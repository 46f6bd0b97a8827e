"""No deployment over a restore into production that is not at its end."""

from __future__ import annotations

import pytest
from pytest_runbook.backup.restore import journal
from pytest_runbook.backup.restore.journal import Journal

from tests.deploy.shop import GOOD, Shop

BLIND = "2.0-blind"


def interrupted(market: Shop) -> tuple[Journal, journal.Restore]:
    """A restore that was killed in the exchange."""
    journals = Journal(market.folder / "var" / "restores")
    restore = journals.begin("20261126T020000Z-abcd", "20261126T010000Z", "local", ["database"])
    restore.state, restore.process["pid"] = journal.EXCHANGING, 2**22 + 1
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
