"""Figures of a database: the same for the same rows in any order, others for others, whatever the types."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from pytest_runbook.backup import comparing, contents, tables
from pytest_runbook.backup.manifest import Database, Table
from pytest_runbook.probes.postgresql.client import MARK

from tests.probes.databases import PostgresServer, server_folder


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with server_folder() as folder:
        made = PostgresServer(folder / "database", {"shared_preload_libraries": "pg_stat_statements"})
        made.create()
        made.start()
        yield made
        made.stop()


@pytest.fixture
def session(server: PostgresServer) -> Iterator[tables.Session]:
    server.sql("DROP DATABASE IF EXISTS figures")
    server.sql("CREATE DATABASE figures")
    with server.connect(database="figures") as opened:
        yield opened


def look(session: tables.Session, most: int = 1000, told: Database | None = None) -> Database:
    with contents.transaction(session):
        return contents.look(session, checksum_rows=most, told=told)


def test_the_order_of_rows_changes_nothing_and_a_row_does(session: tables.Session) -> None:
    session.execute("CREATE TABLE a (id int PRIMARY KEY, name text, price numeric)")
    session.execute("INSERT INTO a SELECT n, 'n' || n, n / 3.0 FROM generate_series(1, 100) AS n")
    session.execute("CREATE TABLE b (LIKE a)")
    session.execute("INSERT INTO b SELECT * FROM a ORDER BY id DESC")
    seen = look(session).tables
    assert seen["public.a"] == seen["public.b"]
    assert (seen["public.a"].rows, seen["public.a"].sampled) == (100, False)
    session.execute("UPDATE b SET price = price + 0.0001 WHERE id = 50")
    assert look(session).tables["public.b"].checksum != seen["public.b"].checksum
    session.execute("INSERT INTO a SELECT * FROM a WHERE id = 1 ON CONFLICT DO NOTHING")
    session.execute("INSERT INTO b SELECT * FROM b WHERE id IN (1, 2)")
    assert look(session).tables["public.b"].rows == 102


def test_types_that_cannot_be_hashed_are_taken_as_text(session: tables.Session) -> None:
    session.execute("CREATE TABLE a (id int, told json, place point)")
    session.execute("INSERT INTO a VALUES (1, '{\"a\": 1}', '(1,2)'), (2, null, null)")
    before = look(session).tables["public.a"]
    assert before.checksum
    session.execute("UPDATE a SET place = '(1,3)' WHERE id = 1")
    assert look(session).tables["public.a"].checksum != before.checksum


def test_a_sample_is_that_of_the_last_rows_analysed_or_not(session: tables.Session) -> None:
    session.execute("CREATE TABLE a (id int PRIMARY KEY, name text)")
    session.execute("INSERT INTO a SELECT n, 'n' || n FROM generate_series(1, 5000) AS n")
    fresh = look(session, most=100).tables["public.a"]
    session.execute("ANALYZE a")
    assert look(session, most=100).tables["public.a"] == fresh
    assert (fresh.rows, fresh.sampled) == (5000, True)
    session.execute("UPDATE a SET name = 'x' WHERE id = 1")
    assert look(session, most=100).tables["public.a"] == fresh, "the first rows are not looked at"
    session.execute("UPDATE a SET name = 'x' WHERE id = 5000")
    assert look(session, most=100).tables["public.a"] != fresh
    assert look(session, most=0).tables["public.a"].checksum is None


def test_what_an_older_server_told_is_compared_in_its_way(session: tables.Session) -> None:
    session.execute("CREATE TABLE a (id int PRIMARY KEY, name text)")
    session.execute("INSERT INTO a VALUES (1, 'x')")
    own = look(session)
    older = look(session, told=replace(own, server_version="13.9"))
    assert older.tables["public.a"].checksum != own.tables["public.a"].checksum
    assert look(session, told=own).tables == own.tables


def test_checksums_of_an_older_release_are_compared_where_they_can_be(session: tables.Session) -> None:
    """It took the OID of an enum for its value, which no other server has."""
    session.execute("CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE TABLE a (id int, at int4range, tags text[])")
    session.execute("CREATE TABLE b (id int, mood mood); INSERT INTO a VALUES (1, '[1,2)', '{x}')")
    session.execute("INSERT INTO b VALUES (1, 'sad')")
    own = look(session)
    assert look(session, told=own).tables == own.tables
    older = look(session, told=replace(own, hashing=1))
    assert older.tables == {"public.a": own.tables["public.a"], "public.b": Table(1)}
    said = comparing.incomparable(replace(own, objects={}), older, own.tables)
    assert "rows of 1 tables" in said[0]
    assert "functions, triggers, policies" in said[1]
    faults = comparing.database(replace(own, hashing=1), older)[1]
    assert faults == []


def test_names_of_any_kind(session: tables.Session) -> None:
    session.execute('CREATE SCHEMA "My S"; CREATE TABLE "My S"."odd.""name" ("its row" int, "user" text)')
    session.execute('INSERT INTO "My S"."odd.""name" VALUES (1, \'a\')')
    assert look(session).tables['My S.odd."name'].rows == 1


def test_rows_that_a_policy_hides_are_an_error_and_not_a_smaller_count(server: PostgresServer) -> None:
    server.sql("DROP DATABASE IF EXISTS hidden")
    server.sql("CREATE DATABASE hidden")
    server.sql("CREATE TABLE a (id int); INSERT INTO a VALUES (1); ALTER TABLE a ENABLE ROW LEVEL SECURITY", "hidden")
    server.sql("DROP ROLE IF EXISTS reader; CREATE ROLE reader; GRANT SELECT ON a TO reader", "hidden")
    with server.connect(database="hidden") as session:
        session.execute("SET ROLE reader")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            look(session)


def test_a_sample_by_a_key_of_text_is_the_same_whatever_the_locale_sorts_last(server: PostgresServer) -> None:
    found = []
    for name, locale in (
        ("as_c", "LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'"),
        ("as_icu", "LOCALE_PROVIDER icu ICU_LOCALE 'fr'"),
    ):
        server.sql(f"DROP DATABASE IF EXISTS {name}")
        server.sql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' {locale}")
        server.sql("CREATE TABLE word (part int, name text, PRIMARY KEY (part, name))", name)
        server.sql("INSERT INTO word SELECT n % 2, chr(64 + n) FROM generate_series(1, 60) AS n", name)
        with server.connect(database=name) as session:
            found.append(look(session, most=10))
    assert found[0].tables == found[1].tables
    assert found[0].tables["public.word"].sampled
    # What an older release took as the last rows nobody knows on another machine: its rows are counted.
    with server.connect(database="as_c") as session:
        assert look(session, most=10, told=replace(found[0], hashing=2)).tables == {"public.word": Table(60)}


def test_times_that_no_clock_shows_end_no_backup(session: tables.Session) -> None:
    session.execute("CREATE TABLE a (at timestamptz, day date, noted text)")
    session.execute("INSERT INTO a VALUES ('2026-01-02 03:04:05Z', '2026-01-03', '2026-01-04T00:00:00Z')")
    session.execute("INSERT INTO a VALUES ('infinity', 'infinity', 'infinity'), ('20000-01-01', '300000-01-01', NULL)")
    session.execute("INSERT INTO a VALUES ('-infinity', '4000-01-01 BC', NULL)")
    session.execute("CREATE TABLE b (at timestamp); INSERT INTO b VALUES ('infinity')")
    with contents.transaction(session):
        seen = contents.look(session, checksum_rows=0, newest=["a.at", "a.day", "a.noted", "b.at", "none.at"])
    assert seen.newest == {
        "a.at": "2026-01-02T03:04:05.000Z",
        "a.day": "2026-01-03T00:00:00.000Z",
        "a.noted": "2026-01-04T00:00:00.000Z",
        "b.at": None,
        "none.at": None,
    }


def test_what_takes_long_does_not_count_as_a_query_of_users(session: tables.Session) -> None:
    session.execute("CREATE EXTENSION pg_stat_statements; SELECT pg_stat_statements_reset()")
    session.execute("CREATE TABLE a (id int PRIMARY KEY, at timestamptz); INSERT INTO a VALUES (1, now()), (2, now())")
    with contents.transaction(session):
        contents.look(session, checksum_rows=1, newest=["a.at"])
    asked = session.execute("SELECT query FROM pg_stat_statements WHERE query ~ 'its row|timestamptz FROM'").fetchall()
    assert len(asked) == 3, "rows, a checksum, the newest time"
    assert [query for (query,) in asked if MARK not in query] == []


def test_locks_of_tables_and_sequences_are_given_back(session: tables.Session) -> None:
    """All at once, with those of the indexes, they would take the room that the whole server has."""
    session.execute("CREATE TABLE a (id serial PRIMARY KEY, name text UNIQUE); INSERT INTO a (name) VALUES ('x')")
    session.execute("CREATE SEQUENCE unused")
    with contents.transaction(session):
        seen = contents.look(session, checksum_rows=1000)
        assert seen.sequences == {"public.a_id_seq": 1, "public.unused": None}
        assert seen.tables["public.a"].rows == 1
        assert locked(session) == []
    with contents.held(session):
        assert locked(session) == ["a"]


def locked(session: tables.Session) -> list[str]:
    held = "SELECT relname FROM pg_locks JOIN pg_class ON relation = pg_class.oid WHERE pid = pg_backend_pid()"
    return [name for (name,) in session.execute(f"{held} AND relnamespace = 'public'::regnamespace")]
