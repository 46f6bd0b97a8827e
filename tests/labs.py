"""The lab as a fixture: one for each worker, started once; a test that breaks it heals it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import Lab

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The lab of this worker; each test leaves it as it found it."""
    made = Lab(tmp_path_factory.mktemp("lab"))
    made.up()
    yield made
    made.down(purge=True)
