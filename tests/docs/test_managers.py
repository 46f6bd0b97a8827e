"""The page of service managers names every kind, each of its settings, and each operation."""

from __future__ import annotations

import pytest
from pytest_runbook import managers
from pytest_runbook.managers import Manager
from pytest_runbook.managers.base import ManagerSettings

from tests.docs.pages import DOCS, spoken

PAGE = (DOCS / "service-managers.md").read_text(encoding="utf-8")


def test_every_operation_is_named() -> None:
    operations = {name for name in vars(Manager) if not name.startswith("_")}
    assert operations <= spoken(PAGE)


def test_every_common_setting_is_named() -> None:
    assert set(ManagerSettings.model_fields) <= spoken(PAGE.partition("\n## ")[0])


@pytest.mark.parametrize("kind", managers.names())
def test_every_setting_is_named(kind: str) -> None:
    section = PAGE.partition(f"\n## {kind}\n")[2].partition("\n## ")[0]
    assert set(managers.find(kind).Settings.model_fields) - set(ManagerSettings.model_fields) <= spoken(section)
