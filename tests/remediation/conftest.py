"""Servers that the tests of several runbooks share, started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.probes.databases import PostgresServer, postgres_pair


@pytest.fixture(scope="session")
def postgres_servers() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """A PostgreSQL primary and its standby."""
    with postgres_pair() as pair:
        yield pair


@pytest.fixture
def primary(postgres_servers: tuple[PostgresServer, PostgresServer]) -> PostgresServer:
    """The primary."""
    return postgres_servers[0]


@pytest.fixture
def standby(postgres_servers: tuple[PostgresServer, PostgresServer]) -> PostgresServer:
    """Its standby."""
    return postgres_servers[1]
