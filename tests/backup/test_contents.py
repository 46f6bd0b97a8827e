"""Figures of a database: the same for the same rows in any order, others for others, whatever the types."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from pytest_runbook.backup import comparing, contents
from pytest_runbook.backup.manifest import Database, Table

from tests.probes.databases import PostgresServer, server_folder


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with server_folder() as folder:
        made = PostgresServer(folder / "database", {})
        made.create()
        made.start()
        yield made
        made.stop()


@pytest.fixture
def session(server: PostgresServer) -> Iterator[contents.Session]:
    server.sql("DROP DATABASE IF EXISTS figures")
    server.sql("CREATE DATABASE figures")
    with server.connect(database="figures") as opened:
        yield opened


def look(session: contents.Session, most: int = 1000, told: Database | None = None) -> Database:
    with contents.transaction(session):
        return contents.look(session, checksum_rows=most, told=told)


def test_the_order_of_rows_changes_nothing_and_a_row_does(session: contents.Session) -> None:
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


def test_types_that_cannot_be_hashed_are_taken_as_text(session: contents.Session) -> None:
    session.execute("CREATE TABLE a (id int, told json, place point)")
    session.execute("INSERT INTO a VALUES (1, '{\"a\": 1}', '(1,2)'), (2, null, null)")
    before = look(session).tables["public.a"]
    assert before.checksum
    session.execute("UPDATE a SET place = '(1,3)' WHERE id = 1")
    assert look(session).tables["public.a"].checksum != before.checksum


def test_a_sample_is_that_of_the_last_rows_analysed_or_not(session: contents.Session) -> None:
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


def test_what_an_older_server_told_is_compared_in_its_way(session: contents.Session) -> None:
    session.execute("CREATE TABLE a (id int PRIMARY KEY, name text)")
    session.execute("INSERT INTO a VALUES (1, 'x')")
    own = look(session)
    older = look(session, told=replace(own, server_version="13.9"))
    assert older.tables["public.a"].checksum != own.tables["public.a"].checksum
    assert look(session, told=own).tables == own.tables


def test_checksums_of_an_older_release_are_compared_where_they_can_be(session: contents.Session) -> None:
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


def test_names_of_any_kind(session: contents.Session) -> None:
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
