"""Real runs of the checks on the lab of this worker."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from pytest_runbook.model import RunRecord

from lab import Lab
from tests.faults.running import run_checks

Verify = Callable[[], RunRecord]


@pytest.fixture(scope="session")
def verify(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Verify:
    """Runs all checks on the lab as it is now."""
    runs = tmp_path_factory.mktemp("runs")
    numbers = itertools.count(1)
    return lambda: run_checks(runs / str(next(numbers)), lab.environment())
