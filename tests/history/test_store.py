"""A history is made where there is none, by one of those who come first, and is read by later software only."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_runbook.errors import HistoryError
from pytest_runbook.history import Store
from pytest_runbook.history.database import Database
from pytest_runbook.naming import SESSION
from sqlalchemy import NullPool, create_engine, text

from tests.history.actors import SYSTEM, actors_of, open_store, race
from tests.history.conftest import postgresql_url
from tests.probes.databases import PostgresServer


def sql(url: str, statement: str) -> None:
    with create_engine(url, poolclass=NullPool).begin() as connection:
        connection.execute(text(statement))


def test_processes_that_come_first_together_make_one_history(url: str) -> None:
    with actors_of(url) as actors:
        assert race(actors(10, opened=False), "rows") == [[]] * 10


def test_history_outlives_its_store(store: Store, url: str) -> None:
    store.begin_attempt("r1", "cache-down", "cache", [])
    assert [row.runbook for row in open_store(url).rows()] == ["cache-down"]


def test_file_is_relative_to_the_root_and_its_folder_is_made(tmp_path: Path) -> None:
    Store.open("sqlite:///var/deep/history.db", *SYSTEM, root=tmp_path)
    assert (tmp_path / "var/deep/history.db").is_file()


def test_readers_do_not_wait_for_a_writer(sqlite: Path) -> None:
    store = open_store(f"sqlite:///{sqlite}")
    writer = sqlite3.connect(sqlite, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert store.rows() == []
    writer.execute("ROLLBACK")
    assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    writer.close()


def test_history_of_a_later_software_is_refused(url: str) -> None:
    open_store(url)
    sql(url, "UPDATE schema SET version = 7")
    with pytest.raises(HistoryError) as caught:
        open_store(url)
    message = str(caught.value)
    assert 'is of version "7", this software knows up to "3"' in message
    assert "hint: update pytest-runbook here as well" in message


def test_sessions_of_a_history_beside_the_system_are_known_as_ours(server: PostgresServer) -> None:
    with Database(postgresql_url(server), Path()).read() as connection:
        assert connection.exec_driver_sql("SHOW application_name").scalar_one() == SESSION


def test_tables_of_somebody_else_are_left_alone(url: str) -> None:
    sql(url, "CREATE TABLE runs (name TEXT)")
    with pytest.raises(HistoryError, match="runs"):
        open_store(url)
    sql(url, "INSERT INTO runs VALUES ('still theirs')")
    with pytest.raises(Exception, match="locks"):
        sql(url, "SELECT * FROM locks")


def test_engine_does_not_need_the_history() -> None:
    """Its library takes a while to import; a run that does not remediate does without."""
    look = "import sys, pytest_runbook.plugin; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", look], check=False).returncode == 0
