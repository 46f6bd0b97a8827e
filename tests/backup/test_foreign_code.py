"""Functions of who owns a table, and is no superuser, are not executed by who backs up or drills, and is one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_runbook.backup import everything, postgresql, tables
from pytest_runbook.errors import BackupError

from tests.backup.systems import Shop, shop
from tests.backup.test_odd_databases import PROVEN, drilled, judged, saved, told

OLD = "drill.rpo=1000000000"
"""The newest rows are."""
BODY = """LANGUAGE plpgsql AS $$ BEGIN
    IF (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN RAISE 'executed as %', current_user; END IF;
    RETURN {}; END $$"""
TRAP = BODY.format("1")
TABLE = (
    "CREATE TABLE mine (id integer PRIMARY KEY, at timestamptz DEFAULT '2026-01-02Z'); INSERT INTO mine VALUES (1), (2)"
)
MOOD = "CREATE TYPE mood AS ENUM ('2026-01-02 00:00:00+00', '0001-01-02', '9999-12-30')"
OPERATOR = f"""
    CREATE FUNCTION joined(name, name) RETURNS text {TRAP}; CREATE FUNCTION joined(name, text) RETURNS text {TRAP};
    CREATE OPERATOR || (LEFTARG = name, RIGHTARG = name, FUNCTION = joined);
    CREATE OPERATOR || (LEFTARG = name, RIGHTARG = text, FUNCTION = joined)
"""
WAYS = {
    "a function that fits better": f"""
        CREATE FUNCTION hash_record_extended(mine, integer) RETURNS bigint {TRAP};
        CREATE FUNCTION hashtextextended(text, integer) RETURNS bigint {TRAP};
        CREATE FUNCTION pg_relation_size(oid) RETURNS bigint {TRAP};
        CREATE FUNCTION set_config(text, text, boolean) RETURNS text {TRAP}""",
    "an operator that fits better": OPERATOR,
    "a cast of rows": f"""
        ALTER TABLE mine ADD told json;
        CREATE FUNCTION shown(mine) RETURNS text {TRAP};
        CREATE CAST (mine AS text) WITH FUNCTION shown(mine)""",
    "a cast of times": f"""
        {MOOD}; ALTER TABLE mine DROP at, ADD at mood; UPDATE mine SET at = '2026-01-02 00:00:00+00';
        CREATE FUNCTION moment(mood) RETURNS timestamptz {BODY.format("now()")};
        CREATE CAST (mood AS timestamptz) WITH FUNCTION moment(mood)""",
    "an index": f"""
        CREATE FUNCTION constant(integer) RETURNS integer IMMUTABLE {TRAP};
        CREATE INDEX ON mine ((id + constant(1)));
        CREATE INDEX ON mine (id) WHERE id > constant(2)""",
    "statistics": f"""
        CREATE FUNCTION constant(integer) RETURNS integer IMMUTABLE {TRAP};
        CREATE STATISTICS counted ON (id + constant(1)), at FROM mine""",
    "an operator in an index": f"""
        CREATE FUNCTION constant(integer, integer) RETURNS integer IMMUTABLE {TRAP};
        CREATE OPERATOR @+@ (LEFTARG = integer, RIGHTARG = integer, FUNCTION = constant);
        CREATE INDEX ON mine ((id + (1 @+@ 2)))""",
}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with shop(tmp_path_factory.mktemp("shop")) as made:
        yield made


@pytest.fixture
def name(system: Shop) -> Iterator[str]:
    """Of a database whose schema `public`, and a table in it, is owned by who is no superuser; it says where names are."""
    system.database.sql("CREATE DATABASE odd OWNER shopkeeper")
    system.database.sql("ALTER DATABASE odd SET search_path = public, pg_catalog")
    system.database.sql("ALTER SCHEMA public OWNER TO shopkeeper", "odd")
    system.database.sql(f"SET ROLE shopkeeper; {TABLE}", "odd")
    yield "odd"
    system.database.sql("DROP DATABASE odd")
    for place in (system.place("local"), system.place()):
        for made in place.backups():
            place.remove(made)


@pytest.mark.parametrize("way", WAYS)
def test_a_backup_and_a_drill_execute_nothing_of_others(system: Shop, name: str, way: str) -> None:
    system.database.sql(f"SET ROLE shopkeeper; SET search_path = public; {WAYS[way]}", name)
    newest = 'backup.database.newest=["mine.at"]'
    manifest = everything.make(system.told(*told(system, name, newest)).settings, system.folder)
    assert manifest.database
    assert manifest.database.tables["public.mine"].rows == 2
    assert manifest.database.newest == {"mine.at": "2026-01-02T00:00:00.000Z"}
    assert judged(drilled(system, name, OLD)) == PROVEN


def test_rows_that_were_only_counted_are_told(system: Shop, name: str) -> None:
    system.database.sql(f"SET ROLE shopkeeper; SET search_path = public; {WAYS['an index']}", name)
    manifest = saved(system, name)
    assert manifest.database
    assert manifest.database.tables["public.mine"].checksum is None
    paper = drilled(system, name)
    said = "rows of 1 tables were counted and not compared: the backup has no checksum of them"
    assert said in paper.left_out


def test_functions_of_a_superuser_and_the_own_ones_do_no_harm(system: Shop, name: str) -> None:
    """They are compared as others are."""
    system.database.sql("CREATE FUNCTION one() RETURNS integer IMMUTABLE LANGUAGE sql AS 'SELECT 1'", name)
    system.database.sql("CREATE INDEX ON mine ((id + one()))", name)
    manifest = saved(system, name)
    assert manifest.database
    assert manifest.database.tables["public.mine"].checksum


@pytest.mark.parametrize("setting", ['newest=["seen.at"]', "revision=seen.at"])
def test_a_view_is_not_read(system: Shop, name: str, setting: str) -> None:
    system.database.sql(f"SET ROLE shopkeeper; CREATE FUNCTION at() RETURNS timestamptz {BODY.format('now()')}", name)
    system.database.sql("SET ROLE shopkeeper; CREATE VIEW seen AS SELECT at() AS at", name)
    settings = system.told(*told(system, name, f"backup.database.{setting}")).settings
    with pytest.raises(BackupError, match=r'"seen\.at" is of a view, which executes what others wrote'):
        everything.make(settings, system.folder)


def test_what_took_the_place_of_a_table_is_not_read(system: Shop, name: str) -> None:
    """A view of its name, since it was looked for."""
    system.database.sql("CREATE VIEW seen AS SELECT 1 AS id", name)
    source = tables.Source("public", "seen", (), 1, plain=True, coded=False)
    server = postgresql.of_backup(system.told(*told(system, name)).settings)
    with (
        pytest.raises(BackupError, match='access to non-system view "seen" is restricted'),
        server.connect() as session,
    ):
        tables.rows(session, source, most=1000, of_records=True)


def test_times_and_revisions_are_read_of_partitions_too(system: Shop, name: str) -> None:
    system.database.sql("CREATE TABLE part (at timestamptz, revision text) PARTITION BY RANGE (at)", name)
    for year in (2025, 2026):
        system.database.sql(
            f"CREATE TABLE part_{year} PARTITION OF part FOR VALUES FROM ('{year}-01-01') TO ('{year + 1}-01-01')", name
        )
        system.database.sql(f"INSERT INTO part VALUES ('{year}-05-06Z', 'r{year}')", name)
    settings = system.told(
        *told(system, name, 'backup.database.newest=["part.at"]', "backup.database.revision=part.revision")
    )
    manifest = everything.make(settings.settings, system.folder)
    assert manifest.database
    assert (manifest.database.newest_row, manifest.schema) == ("2026-05-06T00:00:00.000Z", "r2025,r2026")
    assert judged(drilled(system, name, OLD)) == PROVEN
