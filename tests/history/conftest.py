"""The histories that every test here runs over: SQLite, and a PostgreSQL server of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from pytest_runbook.history import Store

from tests.history.actors import Actors, actors_of, open_store
from tests.probes.databases import PostgresServer, server_folder


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL server."""
    with server_folder() as folder:
        server = PostgresServer(folder / "data", {"max_connections": "60"})
        try:
            server.create()
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An address where no history is yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/history.db"
    return postgresql_url(request.getfixturevalue("server"))


@pytest.fixture
def sqlite(tmp_path: Path) -> Path:
    """A file where no history is yet."""
    return tmp_path / "history.db"


@pytest.fixture
def store(url: str) -> Store:
    """A history with one run, `r1`, of this process."""
    store = open_store(url)
    store.begin_run("r1")
    return store


@pytest.fixture
def actors(store: Store, url: str) -> Iterator[Actors]:
    """Processes that have the same history open."""
    with actors_of(url) as actors:
        yield actors


def postgresql_url(server: PostgresServer) -> str:
    """An empty database of SERVER."""
    name = f"history_{uuid4().hex[:12]}"
    server.sql(f"CREATE DATABASE {name}")
    return server.uri(database=name).replace("postgresql://", "postgresql+psycopg://")
