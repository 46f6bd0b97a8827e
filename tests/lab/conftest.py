"""The servers that the stand-in services work with, started once for the tests that need no whole lab."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import standins


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[standins.Stack]:
    """A database with the system's tables, and a cache."""
    with standins.stack(tmp_path_factory.mktemp("home")) as made:
        yield made
