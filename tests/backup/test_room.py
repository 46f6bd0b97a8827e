"""A restore does not begin what has no room on its disks."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from pytest_runbook.backup import postgresql
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.backup.postgresql import Server
from pytest_runbook.backup.restore import room
from pytest_runbook.backup.restore.room import Need
from pytest_runbook.errors import RestoreError

from tests.backup.restored import AFTER, left, look, restoring
from tests.backup.systems import Shop
from tests.probes.databases import SECRET

pytestmark = pytest.mark.usefixtures("changed")


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


def test_the_dump_needs_no_room_where_the_database_is_left_out(system: Shop, backup: Manifest) -> None:
    stored = {name: replace(one, size=2**60) if "database" in name else one for name, one in backup.stored.items()}
    huge = replace(backup, stored=stored)

    def needed(part: str) -> int:
        fetched, *_ = room.needed(system.loaded.settings, huge, [part], {}, lambda _: None)
        return fetched.size

    assert needed("database") >= 2**60
    assert 0 < needed("cache") < 2**60
    assert (needed("files"), needed("config")) == (0, 0)


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
