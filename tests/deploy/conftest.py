"""A shop of its own for each test, over services that are started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deploy.shop import Shop, shop
from tests.managers.conftest import short_folder


@pytest.fixture(scope="session")
def opened() -> Iterator[Shop]:
    with short_folder() as folder, shop(folder) as made:
        yield made


@pytest.fixture
def market(opened: Shop) -> Shop:
    """The shop with good versions, and nothing on record."""
    opened.reset()
    return opened
