"""The backup that a restore makes of what it replaces: kept, told, and never taken for the newest."""

from __future__ import annotations

import json
import shutil

from pytest_runbook.backup import belonging, everything
from pytest_runbook.backup.drill.drill import Drill
from pytest_runbook.backup.manifest import Manifest

from tests.backup.systems import Shop

FILES = ("--only=files", "--into=production", "--yes-overwrite=Shop")
DATABASE = ("--only=database", "--into=production", "--yes-overwrite=Shop")


def test_after_a_restore_that_went_back_the_newest_is_still_the_last_good_one(system: Shop) -> None:
    """An accident empties a table; the first restore meets a check that fails, and the second is the same command."""
    backup = system.backup()
    system.database.sql("DELETE FROM purchase", "shop")
    closed = system.folder / "closed"
    closed.touch()
    assert system.runbook("restore", "newest", *DATABASE).returncode == 1
    closed.unlink()
    local = system.place("local")
    safety = local.backups()[-1]
    assert (safety > backup.id, local.head(safety).safety, local.head(backup.id).safety) == (True, True, False)
    told = f'"{safety}" in "local" is of what a restore replaced, and not taken for the newest'

    again = system.runbook("restore", "newest", *DATABASE)
    assert again.returncode == 0, again.stderr
    assert f"{told}\n  hint: restore it by its ID" in again.stderr
    assert system.database.sql("SELECT count(*) FROM purchase", "shop") == [(3000,)]

    said: list[str] = []
    planned = Drill(system.loaded, system.folder, source="local", say=said.append).plan()
    assert f'take the backup "{backup.id}"' in planned[0]
    assert said[0].startswith(told)
    assert belonging.newest(local) == [backup.id]
    by_id = system.runbook("restore", safety, *DATABASE, "--without-safety-backup")
    assert by_id.returncode == 0, by_id.stderr
    assert system.database.sql("SELECT count(*) FROM purchase", "shop") == [(0,)]


def test_once_another_one_is_made_it_is_not_told_of(system: Shop) -> None:
    safety = everything.make(system.loaded.settings, system.folder, to=(), safety=True)
    local = system.place("local")
    assert belonging.passed_over(local)[-1].startswith(f'"{safety.id}" in "local"')
    made = system.backup()
    assert (belonging.newest(local), belonging.passed_over(local)) == ([made.id], [])
    rows = json.loads(system.runbook("backup", "--list", "--from=local", "--json").stdout)
    assert {row["id"]: row["safety"] for row in rows}.items() >= {(safety.id, True), (made.id, False)}
    shown = system.runbook("backup", "--list", "--from=local").stdout.splitlines()
    assert [line.endswith(", of what a restore replaced") for line in shown] == [row["safety"] for row in rows]


def test_after_a_disaster_the_way_without_it_is_named(system: Shop, backup: Manifest) -> None:
    uploads, gone = system.folder / "uploads", system.folder / "gone"
    uploads.rename(gone)
    try:
        done = system.runbook("restore", backup.id, "--from=away", *FILES)
        assert done.returncode == 1
        assert "what is there now cannot be backed up: " in done.stderr
        assert f'"{uploads}"' in done.stderr
        assert done.stderr.endswith("when what is there is lost anyway, --without-safety-backup\n")
        assert system.runbook("restore", backup.id, "--from=away", *FILES, "--without-safety-backup").returncode == 0
        assert (uploads / "2026" / "4.bin").is_file()
    finally:
        shutil.rmtree(uploads, ignore_errors=True)
        gone.rename(uploads)
