"""What another plugin may hook into."""

from __future__ import annotations

import pytest

from pytest_runbook.model import Result, RunRecord


@pytest.hookspec
def pytest_runbook_started(config: pytest.Config, record: RunRecord) -> None:
    """Called in the controller with the record of the run that begins, before any check runs."""


@pytest.hookspec
def pytest_runbook_result(config: pytest.Config, result: Result) -> None:
    """Called in the controller with each result as it comes in, before diagnosis."""


@pytest.hookspec
def pytest_runbook_finished(config: pytest.Config, record: RunRecord) -> None:
    """Called in the controller with the finished record, before reports are written."""
