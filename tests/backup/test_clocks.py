"""A backup that was made while a clock was ahead: everybody says so, and nobody takes it for the newest."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from pytest_runbook import clock
from pytest_runbook.backup import belonging, everything
from pytest_runbook.backup.drill.drill import Drill
from pytest_runbook.errors import BackupError
from pytest_runbook.settings import load

from lab.servers import REPOSITORY
from tests.backup.conftest import Backups
from tests.backup.test_command import run

LATER = "20990101T000000Z"
TOLD = f'"{LATER}" in "local" is of the future, and not taken for the newest'


@pytest.fixture
def ahead(backups: Backups) -> Backups:
    """Backups of which the only one is of the future."""
    everything.backup(backups.settings(), backups.folder, to=["local"], moment=clock.parse("2099-01-01T00:00:00Z"))
    return backups


def test_the_next_backup_needs_nothing_of_it_and_says_so(ahead: Backups) -> None:
    done = run(ahead, "--to", "local", "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert [one.partition("\n")[0] for one in made["notices"]] == [TOLD]
    assert ahead.local.manifest(made["id"]).needs == set()
    assert belonging.newest(ahead.local) == [made["id"]]
    shown = run(ahead, "--verify", "newest", "--from", "local")
    assert f"{made['id']} in local: good" in shown.stdout
    assert TOLD in shown.stderr
    listed = run(ahead, "--list", "--from", "local").stdout.splitlines()
    assert [line.endswith(", of the future") for line in listed] == [True, False]
    pruned = run(ahead, "--prune", "--from", "local")
    assert f"{LATER}  local  kept: it is of the future: a clock was wrong" in pruned.stdout


def test_neither_a_drill_nor_a_restore_chooses_it(ahead: Backups) -> None:
    environ = {**ahead.lab.environment(), **ahead.variables}
    told = load(REPOSITORY, file=Path("nightscan.toml"), environ=environ)
    said: list[str] = []
    with pytest.raises(BackupError, match="holds no finished backup"):
        Drill(told, ahead.folder, source="local", say=said.append).plan()
    assert [one.partition("\n")[0] for one in said] == [TOLD]
    refused = run(ahead, "newest", "--from", "local", command="restore")
    assert refused.returncode == 4
    assert TOLD in refused.stderr
    assert "or the ID of one" in refused.stderr


def test_when_all_are_old_at_once_nothing_goes_and_it_is_said(backups: Backups) -> None:
    """As a clock that is 40 days ahead sees them; `--prune` is asked for by somebody, and goes on."""
    old = [clock.now() - timedelta(days=days) for days in range(43, 40, -1)]
    for moment in old:
        everything.backup(backups.settings(), backups.folder, to=[], full=True, prune=False, moment=moment)
    more = {"RUNBOOK__BACKUP__RETENTION__VERIFIED": "1"}
    made = everything.backup(backups.settings(more), backups.folder, to=[], full=True)
    assert made.good
    assert len(backups.local.backups()) == 4
    (notice,) = made.notices
    assert notice.startswith(
        'nothing is removed from "local": 3 of its 4 backups are old at once\n  hint: set the clock right'
    )
    backups.more |= more
    assert run(backups, "--prune", "--from", "local").returncode == 0
    assert backups.local.backups() == [made.manifest.id]
