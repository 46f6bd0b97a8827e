"""What a dump has not, though nothing fails: it stands in the manifest, and a backup and a drill tell it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_runbook.backup import everything
from pytest_runbook.backup.everything import Made
from pytest_runbook.backup.restore import left_out

from tests.backup.systems import Shop, shop
from tests.backup.test_odd_databases import PROVEN, drilled, judged, told
from tests.probes.databases import SECRET, postgres_pair, until


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with shop(tmp_path_factory.mktemp("shop")) as made:
        made.database.sql(f"CREATE ROLE reader LOGIN PASSWORD '{SECRET}'")
        made.database.sql("GRANT pg_read_all_data TO reader")
        yield made


@pytest.fixture
def name(system: Shop) -> Iterator[str]:
    """Of a database with a table; it and its backups go afterwards."""
    system.database.sql("CREATE DATABASE odd")
    system.database.sql("CREATE TABLE rows AS SELECT generate_series(1, 3) AS id", "odd")
    yield "odd"
    system.database.sql("DROP DATABASE odd WITH (FORCE)")
    for place in (system.place("local"), system.place()):
        for made in place.backups():
            place.remove(made)


def made(system: Shop, *overrides: str) -> Made:
    found = everything.backup(system.told(*overrides).settings, system.folder)
    assert found.good, [*found.problems, *found.verdicts]
    return found


FEED = """CREATE SUBSCRIPTION feed CONNECTION 'host=127.0.0.1 port=1 dbname=x password=far' PUBLICATION p
          WITH (connect = false, slot_name = 'feed')"""
ABROAD = """
    CREATE PUBLICATION ours FOR TABLE rows;
    CREATE FUNCTION noted() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
    CREATE EVENT TRIGGER noted ON ddl_command_end EXECUTE FUNCTION noted();
    CREATE EXTENSION postgres_fdw;
    CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw;
    CREATE USER MAPPING FOR shopkeeper SERVER far OPTIONS (user 'u', password 'far')
"""
COUNTED = {"publications": 1, "event triggers": 1, "foreign servers": 1, "user mappings": 1}
UNSAVED = [
    'options of the user mapping of "shopkeeper" for "far", which only a superuser may save,',
    'settings of the subscription "feed", which only a superuser may save,',
]


@pytest.fixture
def abroad(system: Shop, name: str) -> Iterator[str]:
    """The same, which is in touch with others."""
    system.database.sql(ABROAD, name)
    system.database.sql(FEED, name)
    yield name
    for how in ("DISABLE", "SET (slot_name = NONE)"):
        system.database.sql(f"ALTER SUBSCRIPTION feed {how}", name)
    system.database.sql("DROP SUBSCRIPTION feed", name)


def test_a_superuser_saves_how_a_database_is_in_touch_with_others(system: Shop, abroad: str) -> None:
    own = made(system, *told(system, abroad))
    assert own.manifest.database
    assert own.manifest.database.objects.items() >= {**COUNTED, "subscriptions": 1}.items()
    assert (own.manifest.database.unsaved, own.notices) == ([], [])
    paper = drilled(system, abroad)
    assert judged(paper) == PROVEN
    assert {proof.what: proof.found for proof in paper.proofs}["subscriptions, counted"] == "1"


def test_what_a_role_that_reads_may_not_save_is_told(system: Shop, abroad: str) -> None:
    reader = told(system, abroad, "backup.database.user=reader", f"backup.database.password={SECRET}")
    own = made(system, *reader)
    assert own.manifest.database
    assert "subscriptions" not in own.manifest.database.objects
    assert own.manifest.database.objects.items() >= COUNTED.items()
    assert own.manifest.database.unsaved == UNSAVED
    warning = "subscriptions not dumped because current user is not a superuser"
    assert own.manifest.database.warnings == [warning]
    lacking = [f"{what} are not in the backup" for what in UNSAVED]
    assert own.notices == [*lacking, f"pg_dump warns: {warning}"]
    assert left_out.of(own.manifest, ["database"], system.told().settings) == UNSAVED
    paper = drilled(system, abroad)
    assert judged(paper) == PROVEN
    assert [one for one in paper.left_out if one in lacking] == lacking


def test_rows_of_a_table_that_was_given_to_an_extension_are_told(system: Shop, name: str) -> None:
    system.database.sql("CREATE EXTENSION amcheck; CREATE TABLE precious AS SELECT 1 AS id", name)
    system.database.sql("ALTER EXTENSION amcheck ADD TABLE precious", name)
    own = made(system, *told(system, name))
    assert own.notices == ['rows of "public.precious", a table of an extension, are not in the backup']


def test_a_standby_is_backed_up_without_what_is_unlogged(system: Shop) -> None:
    with postgres_pair() as (primary, standby):
        primary.sql("CREATE UNLOGGED TABLE passing (id integer GENERATED ALWAYS AS IDENTITY, at timestamptz)", "shop")
        primary.sql("INSERT INTO passing (at) VALUES (now())", "shop")
        primary.sql("CREATE TABLE kept AS SELECT 1 AS id", "shop")
        until(lambda: standby.sql("SELECT 1 FROM kept", "shop"))
        uri = f"probes.database.uri={standby.uri(database='shop')}"
        alone = told(system, "shop", 'backup.database.newest=["passing.at"]')[1:]
        own = made(system, uri, *alone)
        assert own.manifest.database
        assert {table: one.rows for table, one in own.manifest.database.tables.items()} == {
            "public.kept": 1,
            "public.passing": 0,
        }
        assert own.manifest.database.excluded == ["public.passing"]
        said = 'rows of "public.passing", which is unlogged and has none on a standby,'
        assert own.notices == [f"{said} are not in the backup"]
        assert left_out.of(own.manifest, ["database"], system.told().settings) == [said]
