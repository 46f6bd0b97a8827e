"""A backup that is not of this system, is newer than its software, or is not good, is not restored."""

from __future__ import annotations

import pytest
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.errors import RestoreError

from tests.backup.restored import restoring
from tests.backup.systems import Shop

pytestmark = pytest.mark.usefixtures("changed")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"system.name": "Another"}, "other-system"),
        ({"system.environment": "production"}, "other-system"),
        ({"restore.revisions": "r1, r2"}, "schema-newer"),
    ],
)
def test_what_does_not_belong_here_is_refused(
    system: Shop, backup: Manifest, changes: dict[str, str], reason: str
) -> None:
    system.database.sql("CREATE TABLE IF NOT EXISTS alembic_version (version_num text)", "shop")
    system.database.sql("DELETE FROM alembic_version; INSERT INTO alembic_version VALUES ('r3')", "shop")
    newest = system.backup() if reason == "schema-newer" else backup
    production = restoring(system, *(f"{key}={value}" for key, value in changes.items()))
    with pytest.raises(RestoreError) as refusal:
        production.judge("away", newest.id)
    assert refusal.value.reason == reason
    system.database.sql("DROP TABLE alembic_version", "shop")


def test_a_database_that_is_newer_than_the_one_in_use_is_refused(system: Shop) -> None:
    system.database.sql(
        "CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('r1')", "shop"
    )
    try:
        older = system.backup()
        system.database.sql("UPDATE alembic_version SET version_num = 'r2'", "shop")
        newer = system.backup()
        assert restoring(system).judge("away", older.id).schema == "r1"
        system.database.sql("UPDATE alembic_version SET version_num = 'r1'", "shop")
        with pytest.raises(RestoreError, match='at revision "r2", the database in use is at "r1"') as refusal:
            restoring(system).judge("away", newer.id)
        assert refusal.value.reason == "schema-newer"
    finally:
        system.database.sql("DROP TABLE alembic_version", "shop")


def test_a_backup_that_is_not_good_is_refused(system: Shop) -> None:
    bad = system.backup()
    path = system.folder / "away" / bad.id / "cache.rdb"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RestoreError, match="truncated") as refusal:
        restoring(system).judge("away", bad.id)
    assert refusal.value.reason == "unverified"
