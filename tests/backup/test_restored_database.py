"""What belongs to a database beside its rows is restored with it: roles, limits, and how it sorts."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.backup.restore import journal

from tests.backup.restored import killed, restoring
from tests.backup.systems import Shop
from tests.backup.test_unseen import filled

pytestmark = pytest.mark.usefixtures("changed")


SLOW = """
    CREATE FUNCTION slow(text) RETURNS text IMMUTABLE LANGUAGE sql
        RETURN CASE WHEN pg_catalog.pg_sleep(0.01) IS NULL THEN $1 ELSE $1 END;
    CREATE INDEX slow ON note (slow(text));
    ALTER DATABASE shop SET statement_timeout = '250ms'
"""


def test_limits_of_the_database_are_restored_and_not_meant_for_the_restore(system: Shop) -> None:
    """Such an index is analysed longer than a statement of the system may take."""
    system.database.sql(SLOW, "shop")
    made = system.backup()
    try:
        production = restoring(system)
        done = production.restore("away", production.judge("away", made.id), ["database"], safety=False)
        assert done.state == journal.DONE, done.story
        assert system.database.sql("SHOW statement_timeout", "shop") == [("250ms",)]
    finally:
        system.database.sql("DROP FUNCTION slow CASCADE; ALTER DATABASE shop RESET statement_timeout", "shop")
        for name in ("local", "away"):
            system.place(name).remove(made.id)


def test_a_full_folder_for_temporary_files_ends_no_restore(
    system: Shop, backup: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is fetched lies in that for scratch servers."""
    with filled(tmp_path / "full"):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "full"))
        done = restoring(system).restore("away", backup, ["database"], safety=False)
    assert done.state == journal.DONE, done.story


def test_roles_that_exist_are_left_as_they_are(system: Shop) -> None:
    system.database.sql('CREATE ROLE "a helper" LOGIN CONNECTION LIMIT 3')
    system.database.sql('CREATE ROLE seller; GRANT shopkeeper TO "a helper", seller')
    saved = system.backup()
    system.database.sql('DROP ROLE "a helper"; REVOKE shopkeeper FROM seller; ALTER ROLE shopkeeper CONNECTION LIMIT 7')
    roles = "SELECT rolname, rolconnlimit FROM pg_roles WHERE rolname IN ('a helper', 'shopkeeper') ORDER BY 1"
    members = "SELECT member::regrole::text FROM pg_auth_members WHERE roleid = 'shopkeeper'::regrole"
    try:
        killed(system, saved.id, '"a helper" is new')
        assert system.database.sql(roles) == [("a helper", 3), ("shopkeeper", 7)]
        assert system.database.sql(members) == [('"a helper"',)]
        undone = restoring(system).undo()
        assert any('"a helper" is new, and has no password' in line for line in undone.story)
        assert system.database.sql(roles) == [("shopkeeper", 7)]
    finally:
        system.database.sql(
            'DROP ROLE seller; DROP ROLE IF EXISTS "a helper"; ALTER ROLE shopkeeper CONNECTION LIMIT -1'
        )


def test_a_restored_database_sorts_as_it_did(system: Shop, backup: Manifest) -> None:
    sorts = "SELECT datcollate, datctype FROM pg_database WHERE datname = 'shop'"
    own = system.database.sql(sorts)
    other = "C" if own[0][0] != "C" else "C.UTF-8"
    system.database.sql("ALTER DATABASE shop RENAME TO shop_aside")
    try:
        system.database.sql(f"CREATE DATABASE shop TEMPLATE template0 LC_COLLATE '{other}' LC_CTYPE '{other}'")
        system.database.sql(
            "CREATE TABLE customer AS SELECT n AS id, 'x' || n AS name, now() AS since "
            "FROM generate_series(1, 200) AS n; CREATE TABLE purchase (at timestamptz)",
            "shop",
        )
        saved = system.backup()
        assert saved.database
        assert saved.database.locale["collate"] == other
        done = restoring(system).restore("away", saved, ["database"], safety=False)
        assert done.state == journal.DONE
        assert system.database.sql(sorts) == [(other, other)]
    finally:
        system.database.sql("DROP DATABASE IF EXISTS shop WITH (FORCE)")
        system.database.sql("ALTER DATABASE shop_aside RENAME TO shop")
