"""No value of anybody's query leaves its server: the texts of real sessions, and statements that are hard to read."""

from __future__ import annotations

import asyncio
import json

import pytest
from psycopg import ClientCursor
from pytest_runbook.evidence.context import Notebook, writing
from pytest_runbook.probes.postgresql import Postgresql, PostgresqlSettings
from pytest_runbook.probes.postgresql.texts import without_values

from tests.probes.databases import PostgresServer

HASH = "scrypt:32768:8:1$c2FsdA"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            f"""INSERT INTO "user" (username, password_hash) VALUES ('o''brien', '{HASH}') RETURNING id""",
            """INSERT INTO "user" (username, password_hash) VALUES (?, ?) RETURNING id""",
        ),
        ("SELECT a1 FROM t2 WHERE x = $2 AND y IN (41, .5, 1e9, 0x1F)", "SELECT a1 FROM t2 WHERE x = $2 AND y IN (?, ?, ?, ?)"),
        ("ALTER ROLE r PASSWORD $$secret$$ LOGIN", "ALTER ROLE r PASSWORD ? LOGIN"),
        ("SELECT $a$ $$ ' secret $a$, name", "SELECT ?, name"),
        (r"SELECT E'secret\\', name", "SELECT ?, name"),
        ("WHERE mail LIKE'secret%' AND U&'secret' <> DATE '2026-01-01'", "WHERE mail LIKE? AND ? <> DATE ?"),
        ("""SELECT "it's", foo$bar$ FROM t WHERE n = 'secret'""", """SELECT "it's", foo$bar$ FROM t WHERE n = ?"""),
        ("-- it's\nSELECT /* o'clock */ 'secret'", "SELECT   ?"),
    ],
)  # fmt: skip
def test_a_statement_keeps_its_shape_and_loses_its_values(text: str, shown: str) -> None:
    assert without_values(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("INSERT INTO t VALUES ('secr", "INSERT INTO t VALUES (?"),
        ("INSERT INTO t VALUES ($x$secr", "INSERT INTO t VALUES (?"),
        (r"INSERT INTO t VALUES ('\', 'secret", "INSERT INTO t VALUES (?"),
        ("SELECT a /* secr", "SELECT a"),
        ("SELECT a /* /* */ ' */, 'secret'", "SELECT a"),
    ],
)
def test_what_is_cut_off_or_can_be_read_in_two_ways_is_a_value_to_its_end(text: str, shown: str) -> None:
    assert without_values(text) == shown


def test_no_value_of_a_session_comes_into_the_evidence(primary: PostgresServer) -> None:
    """A client that writes values into its statements, as psycopg2 does, leaves them in pg_stat_activity."""

    async def look(notebook: Notebook) -> tuple[list[str], list[str]]:
        probe = Postgresql(
            "database", PostgresqlSettings(kind="postgresql", uri=primary.uri(database="shop"), timeout=5)
        )
        with writing(notebook):
            sessions = await probe.activity()
        await probe.close()
        texts = [[one.query for one in sessions if one.state == state] for state in ("idle", "idle in transaction")]
        return texts[0], texts[1]

    notebook = Notebook("database/performance::no_forgotten_transaction")
    with primary.connect(database="shop") as idle, primary.connect(database="shop") as forgetful:
        ClientCursor(idle).execute("SELECT %s AS password_hash", [HASH])
        forgetful.execute("BEGIN")
        ClientCursor(forgetful).execute("SELECT %s AS password_hash", [HASH + "x" * 300])
        resting, sitting = asyncio.run(look(notebook))
    assert set(resting) == {""}
    assert sitting == ["SELECT ?"]  # the server cut it off inside of the value
    assert HASH not in json.dumps([one.to_json() for one in notebook.observations])
