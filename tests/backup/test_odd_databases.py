"""Databases that are not as ours: types of their own, other locales and encodings. A good backup of one is proven."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pytest_runbook.backup import comparing, contents, everything, postgresql
from pytest_runbook.backup.drill.certificate import Certificate
from pytest_runbook.backup.drill.drill import Drill
from pytest_runbook.backup.drill.restoring import locks
from pytest_runbook.backup.manifest import DATABASE, HASHING, MANIFEST, Manifest, Table
from pytest_runbook.backup.restore import database as restoring
from pytest_runbook.errors import BackupError

from tests.backup.systems import Shop, shop
from tests.probes.databases import until


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with shop(tmp_path_factory.mktemp("shop")) as made:
        yield made


@pytest.fixture
def name(system: Shop) -> Iterator[str]:
    """Of the database that a test makes; it and its backups go afterwards."""
    yield "odd"
    system.database.sql("DROP DATABASE IF EXISTS odd")
    for place in (system.place("local"), system.place()):
        for made in place.backups():
            place.remove(made)


def told(system: Shop, name: str, *overrides: str) -> tuple[str, ...]:
    """The settings of a system that has nothing but the database NAME."""
    uri = system.database.uri(database=name)
    alone = ("backup.cache.probe=", "backup.files.roots={}", "backup.files.configuration=[]")
    return (f"probes.database.uri={uri}", *alone, *overrides)


def saved(system: Shop, name: str) -> Manifest:
    return everything.make(system.told(*told(system, name)).settings, system.folder)


def drilled(system: Shop, name: str, *overrides: str) -> Certificate:
    return Drill(system.told(*told(system, name, *overrides)), system.folder).run()


def judged(paper: Certificate) -> tuple[str, list[str], str]:
    return paper.verdict, [str(fault) for fault in paper.faults], paper.trouble


PROVEN: tuple[str, list[str], str] = ("proven", [], "")
OWN_TYPES = """
    CREATE TYPE mood AS ENUM ('sad', 'glad');
    CREATE DOMAIN state AS mood;
    CREATE TYPE pair AS (first mood, second integer);
    CREATE TABLE enums (one mood, many mood[], own state, two pair, twos pair[], id integer);
    CREATE TABLE objects (class regclass, classes regclass[], type regtype, id integer);
    INSERT INTO enums SELECT 'glad', '{sad,glad}', 'sad', ('(glad,' || n || ')')::pair, ARRAY['(sad,7)'::pair], n
        FROM generate_series(1, 20) AS n;
    INSERT INTO objects VALUES ('enums', '{enums,objects}', 'mood', 1);
"""


def test_rows_with_enums_and_names_of_objects_are_compared_by_what_they_say(system: Shop, name: str) -> None:
    """Both are kept by their OID, which every server gives anew."""
    system.database.sql(f"CREATE DATABASE {name}")
    system.database.sql(OWN_TYPES, name)
    manifest = saved(system, name)
    paper = drilled(system, name)
    assert judged(paper) == PROVEN
    assert {proof.what: proof.found for proof in paper.proofs}["checksums of tables"] == "2"
    assert not [one for one in paper.left_out if "rows of" in one]
    assert manifest.database
    assert manifest.database.hashing == HASHING


FOLDED = """
    CREATE TABLE names (name text, folded text GENERATED ALWAYS AS (lower(name)) STORED);
    INSERT INTO names VALUES ('ÉCOLE');
"""


def sorting(told: str) -> str:
    return f"TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE '{told}'"


def test_a_database_is_restored_with_its_own_locale(system: Shop, name: str) -> None:
    """Another one has other small letters."""
    system.database.sql(f"CREATE DATABASE {name} {sorting('C.UTF-8')}")
    system.database.sql(FOLDED, name)
    assert system.database.sql("SELECT folded FROM names", name) == [("école",)]
    saved(system, name)
    paper = drilled(system, name)
    assert judged(paper) == PROVEN
    assert not [one for one in paper.left_out if "sorts" in one]


def test_where_its_locale_is_not_known_the_certificate_says_so(system: Shop, name: str) -> None:
    system.database.sql(f"CREATE DATABASE {name} {sorting('C.UTF-8')}")
    system.database.sql(FOLDED, name)
    manifest = saved(system, name)
    assert manifest.database
    elsewhere = {**manifest.database.locale, "collate": "xx_YY.UTF-8", "ctype": "xx_YY.UTF-8"}
    for place in (system.place("local"), system.place()):
        told = place.manifest(manifest.id)
        assert told.database
        moved = dataclasses.replace(told, database=dataclasses.replace(told.database, locale=elsewhere))
        path = Path(place.place) / manifest.id / MANIFEST
        path.write_text(moved.text())
    paper = drilled(system, name)
    assert judged(paper) == PROVEN
    (said,) = [one for one in paper.left_out if "sorts" in one]
    assert 'the database sorts as collate "C", ctype "C.UTF-8":' in said
    assert 'has not collate "xx_YY.UTF-8", ctype "xx_YY.UTF-8"' in said


def test_the_database_that_every_server_has_gets_its_locale_too(system: Shop, name: str) -> None:
    system.database.sql("CREATE TABLE names (name text)")
    try:
        saved(system, "postgres")
        assert judged(drilled(system, "postgres")) == PROVEN
    finally:
        system.database.sql("DROP TABLE names")


def test_settings_of_the_database_are_restored_and_do_not_end_the_drill(system: Shop, name: str) -> None:
    system.database.sql(f"CREATE DATABASE {name}")
    system.database.sql("CREATE TABLE rows AS SELECT generate_series(1, 100) AS id", name)
    system.database.sql(f"ALTER DATABASE {name} SET statement_timeout = '250ms'")
    system.database.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    saved(system, name)
    assert judged(drilled(system, name)) == PROVEN


GIVEN = """
    ALTER ROLE shopkeeper IN DATABASE odd SET search_path = shop, public;
    ALTER DATABASE odd SET app.motd = 'two
lines; it''s \\ "done" -- so';
    COMMENT ON DATABASE odd IS 'of the TABLESPACE; it''s
--
ours';
    GRANT CONNECT ON DATABASE odd TO shopkeeper;
"""
OWN = """
    SELECT coalesce(setrole::regrole::text, ''), setconfig, shobj_description(d.oid, 'pg_database'), datacl::text
    FROM pg_database d JOIN pg_db_role_setting ON setdatabase = d.oid WHERE datname = '{}' ORDER BY 1
"""


def test_whatever_the_database_itself_was_given_is_restored_and_compared(system: Shop, name: str) -> None:
    system.database.sql(f"CREATE DATABASE {name}")
    system.database.sql("CREATE TABLE rows AS SELECT generate_series(1, 100) AS id", name)
    system.database.sql(GIVEN)
    manifest = saved(system, name)
    own = manifest.database
    assert own
    assert [*own.properties] == ["comment", "setting app.motd", "setting search_path of shopkeeper"]
    paper = drilled(system, name)
    assert judged(paper) == PROVEN
    assert {proof.what: proof.found for proof in paper.proofs}["its own settings"] == "3"
    settings = system.told(*told(system, name)).settings
    again = restoring.Restoring(restoring.place(settings, own), postgresql.of_backup(settings), jobs=1, timeout=60)
    again.create("odd_again")
    try:
        again.properties("odd_again", system.folder / "local" / manifest.id / DATABASE, own)
        assert system.database.sql(OWN.format("odd_again")) == system.database.sql(OWN.format(name))
    finally:
        system.database.sql("DROP DATABASE odd_again")


def test_what_it_was_given_is_written_in_its_own_encoding(system: Shop, name: str) -> None:
    system.database.sql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
    with system.database.connect(database=name) as session:
        session.execute("SET client_encoding = 'UTF8'")
        session.execute('CREATE TABLE "été" AS SELECT 1 AS id')
        session.execute(f"COMMENT ON DATABASE {name} IS 'été'")
        session.execute(f"ALTER DATABASE {name} SET app.motd = 'été'")
    saved(system, name)
    assert judged(drilled(system, name)) == PROVEN


def test_a_setting_that_was_lost_is_told(system: Shop, name: str) -> None:
    system.database.sql(f"CREATE DATABASE {name}")
    system.database.sql(GIVEN)
    with system.database.connect(database=name) as session, contents.transaction(session):
        given = contents.look(session, checksum_rows=0)
    proofs, faults = comparing.properties(given, {**given.properties, "setting app.motd": "another", "comment": "ours"})
    assert [str(fault) for fault in faults] == [
        "not-restored: database:comment: is not there, or not as it was",
        "not-restored: database:setting app.motd: is not there, or not as it was",
    ]
    assert [(proof.expected, proof.found, proof.ok) for proof in proofs] == [("3", "1", False)]
    assert comparing.properties(dataclasses.replace(given, properties={}), {}) == ([], [])


def test_what_the_server_of_a_drill_refuses_is_a_fault(
    system: Shop, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked as its superuser. Here nobody made one of the roles."""
    system.database.sql(f"CREATE DATABASE {name}")
    system.database.sql("CREATE TABLE rows AS SELECT generate_series(1, 100) AS id", name)
    system.database.sql(GIVEN)
    saved(system, name)
    roles = restoring.Restoring.roles
    monkeypatch.setattr(restoring.Restoring, "roles", lambda self, text: roles(self, text, ["admin"]))
    what = 'not-restored: database: its owner, rights or settings: {}: role "shopkeeper" does not exist'
    verdict, faults, _ = judged(drilled(system, name))
    assert (verdict, sorted(faults)) == (
        "failed",
        [
            what.format("ALTER ROLE shopkeeper IN DATABASE odd SET search_path TO …, …"),
            what.format("GRANT CONNECT ON DATABASE odd TO shopkeeper"),
        ],
    )


def test_bytes_that_are_of_no_encoding_do_no_harm(system: Shop, name: str) -> None:
    system.database.sql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
    with system.database.connect(database=name) as session:
        session.execute("SET client_encoding = 'UTF8'")
        session.execute('CREATE TABLE "été" (id serial, name text)')
        session.execute("""INSERT INTO "été" (name) VALUES (convert_from('\\xe9'::bytea, 'SQL_ASCII')), ('é')""")
    manifest = saved(system, name)
    assert manifest.database
    assert (manifest.database.encoding, manifest.database.tables["public.été"].rows) == ("SQL_ASCII", 2)
    assert judged(drilled(system, name)) == PROVEN


def test_a_name_that_is_of_no_encoding_is_told_and_not_guessed(system: Shop, name: str) -> None:
    system.database.sql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
    with system.database.connect(database=name) as session:
        session.execute(b'CREATE TABLE "\xe9t\xe9" (id integer)')
    with pytest.raises(BackupError, match="0xe9"):
        saved(system, name)


OBJECTS = """
    CREATE TABLE part (id integer, at date) PARTITION BY RANGE (at);
    CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER keep BEFORE INSERT ON part FOR EACH ROW EXECUTE FUNCTION keep();
    CREATE POLICY mine ON part_1 USING (id > 0);
    CREATE VIEW seen AS SELECT * FROM part;
    CREATE MATERIALIZED VIEW kept AS SELECT * FROM part;
    CREATE MATERIALIZED VIEW later AS SELECT * FROM part WITH NO DATA;
    CREATE EXTENSION amcheck;
    SELECT lo_from_bytea(0, 'owl');
"""
EACH = [
    "functions",
    "large objects",
    "materialised views",
    "materialised views, empty",
    "policies",
    "triggers",
    "views",
]


def test_what_is_no_table_is_counted(system: Shop, name: str) -> None:
    system.database.sql(f"CREATE DATABASE {name}")
    system.database.sql(OBJECTS, name)
    manifest = saved(system, name)
    assert manifest.database
    assert manifest.database.objects == dict.fromkeys(EACH, 1)
    paper = drilled(system, name)
    assert judged(paper) == PROVEN
    assert [one for one in paper.left_out if "1 large objects were counted" in one]
    less = dataclasses.replace(manifest.database, objects={**manifest.database.objects, "triggers": 0, "views": 0})
    faults = [str(fault) for fault in comparing.database(manifest.database, less)[1]]
    assert faults == ["not-restored: database: 0 triggers of 1", "not-restored: database: 0 views of 1"]


FORBIDDING = """
    CREATE TABLE t AS SELECT 1 AS id;
    CREATE FUNCTION no() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no DDL here'; END$$;
    CREATE EVENT TRIGGER no ON ddl_command_start EXECUTE FUNCTION no();
"""


def test_an_event_trigger_that_forbids_to_make_anything_does_not_end_the_drill(system: Shop, name: str) -> None:
    """The drill makes an extension in what it restored, to look into its B-trees."""
    system.database.sql(f"CREATE DATABASE {name}")
    system.database.sql(FORBIDDING, name)
    saved(system, name)
    assert judged(drilled(system, name)) == PROVEN


def test_the_server_of_a_drill_has_room_for_the_locks_of_all_that_was_saved(system: Shop, name: str) -> None:
    with system.database.connect() as session, contents.transaction(session):
        few = contents.look(session, checksum_rows=0)
    many = dataclasses.replace(few, tables={f"public.part_{n}": Table(0) for n in range(30_000)})
    assert locks(few) == 64, "as by default"
    assert locks(many) * 100 > 30_000


def test_a_database_without_a_table_is_no_good_backup(system: Shop, name: str) -> None:
    system.database.sql(f"CREATE DATABASE {name}")
    with pytest.raises(BackupError, match="no-tables: database: it holds none"):
        saved(system, name)
    empty = drilled(system, name, "drill.source=local")
    assert judged(empty)[:2] == (
        "failed",
        ["no-tables: database: the manifest names none: there is nothing to restore"],
    )


BY_ENUM = """
    CREATE TYPE mood AS ENUM ('sad', 'glad', 'calm');
    CREATE TABLE felt (mood mood, id integer, PRIMARY KEY (mood, id)) PARTITION BY HASH (mood);
    CREATE TABLE felt_0 PARTITION OF felt FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE felt_1 PARTITION OF felt FOR VALUES WITH (MODULUS 2, REMAINDER 1) PARTITION BY LIST (mood);
    CREATE TABLE felt_2 PARTITION OF felt_1 DEFAULT;
    INSERT INTO felt SELECT mood, id FROM unnest('{sad,glad,calm}'::mood[]) AS mood, generate_series(1, 10) AS id;
    CREATE TABLE other (id integer);
"""


@pytest.mark.parametrize(("most", "sampled"), [(1000, False), (20, True)])
def test_partitions_by_the_hash_of_an_enum_are_told_of_together(
    system: Shop, name: str, most: int, sampled: bool
) -> None:
    """Another server puts their rows into others of them."""
    system.database.sql(f"CREATE DATABASE {name}")
    system.database.sql(BY_ENUM, name)
    own = (f"backup.database.checksum_rows={most}", 'backup.database.exclude=["other"]')
    manifest = everything.make(system.told(*told(system, name, *own)).settings, system.folder)
    assert manifest.database
    assert {table: (one.rows, one.sampled) for table, one in manifest.database.tables.items()} == {
        "public.felt": (30, sampled),
        "public.other": (0, False),
    }
    assert manifest.database.excluded == ["public.other"]
    paper = drilled(system, name, *own)
    assert judged(paper) == PROVEN
    assert {proof.what: proof.found for proof in paper.proofs}["rows"] == "30"


LIKE_A_DUMP = """
    CREATE TABLE par (id integer, n integer);
    CREATE TABLE "two
lines" ("its
id" serial, id integer);
    INSERT INTO par VALUES (1, 2);
    INSERT INTO "two
lines" (id) VALUES (3), (4);
    CREATE FUNCTION load() RETURNS text LANGUAGE sql AS $$SELECT '
--
-- Data for Name: par; Type: TABLE DATA; Schema: public; Owner: admin
--

COPY public.par (id, n) FROM stdin;
5	6
7	8
\\.
'$$;
"""


def test_neither_bodies_of_functions_nor_newlines_in_names_make_a_backup_bad(system: Shop, name: str) -> None:
    system.database.sql(f"CREATE DATABASE {name}")
    system.database.sql(LIKE_A_DUMP, name)
    manifest = saved(system, name)
    assert manifest.database
    assert {table: one.rows for table, one in manifest.database.tables.items()} == {
        "public.par": 1,
        "public.two\nlines": 2,
    }
    assert judged(drilled(system, name)) == PROVEN


SLOW = """
    CREATE TABLE slow AS SELECT now() AS at, 1 AS id;
    CREATE FUNCTION wait() RETURNS integer IMMUTABLE LANGUAGE plpgsql AS 'BEGIN
        IF current_setting(''transaction_read_only'') THEN PERFORM pg_sleep(4); END IF; RETURN 1; END';
    CREATE INDEX ON slow ((id + wait()));
    CREATE TABLE staged AS SELECT generate_series(1, 1000) AS id;
"""


def test_a_table_that_is_emptied_after_the_dump_and_before_its_figures_stays_as_it_is(system: Shop, name: str) -> None:
    """The newest times are asked before rows are counted: here the plan of that takes longer than the dump."""
    system.database.sql(f"CREATE DATABASE {name}")
    system.database.sql(SLOW, name)
    settings = system.told(*told(system, name, 'backup.database.newest=["slow.at"]')).settings
    with ThreadPoolExecutor(1) as pool:
        making = pool.submit(everything.make, settings, system.folder)
        until(lambda: making.done() or [*system.folder.glob("local/.partial-*/roles.sql")])
        system.database.sql("TRUNCATE staged", name)
        manifest = making.result()
    assert manifest.database
    assert manifest.database.tables["public.staged"].rows == 1000


LONG = """
    CREATE TABLE kept (id serial PRIMARY KEY);
    INSERT INTO kept SELECT FROM generate_series(1, 3);
    DO $$ DECLARE kind text := repeat('t', 60); first text; BEGIN
        EXECUTE format('CREATE DOMAIN %I AS integer', kind);
        FOREACH first IN ARRAY ARRAY['integer', 'kept'] LOOP
            FOR n IN 1..90 LOOP  -- a listing names each with all its arguments
                EXECUTE format('CREATE FUNCTION of_%s_%s(%s%s) RETURNS integer LANGUAGE sql AS $f$SELECT 1$f$',
                               first, n, first, repeat(', ' || kind, 90));
            END LOOP;
        END LOOP;
    END $$;
"""


def test_the_listing_of_a_dump_may_be_as_long_as_it_is(system: Shop, name: str) -> None:
    """The table stands in the middle of it: the functions that take one of its rows come later."""
    system.database.sql(f"CREATE DATABASE {name}")
    system.database.sql(LONG, name)
    manifest = saved(system, name)
    assert manifest.database
    assert [*manifest.database.tables] == ["public.kept"]
    assert judged(drilled(system, name)) == PROVEN
