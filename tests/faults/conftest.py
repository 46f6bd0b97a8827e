"""Real runs of the checks on the lab of this worker, with faults in place."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pytest_runbook.model import RunRecord

from lab import Lab
from lab.rounds import run_checks
from tests.faults.running import bad, told


class Bench:
    """A lab that faults are injected into, one after another, and the checks that look at it."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        """FOLDER gets a folder for each run."""
        self.lab = lab
        self._folder = folder
        self._numbers = itertools.count(1)
        self._broken: float | None = None

    def verify(self) -> RunRecord:
        """The record of a run of all checks on the lab as it is now."""
        now = time.monotonic()
        # Errors from before the fault are known; a run takes a second to begin.
        window = {"RUNBOOK__FACTS__LOGS__ERROR_WINDOW": str(int(now - (self._broken or now)) + 1)}
        return run_checks(self._folder / str(next(self._numbers)), self.lab.environment() | window)

    @contextmanager
    def fault(self, name: str) -> Iterator[None]:
        """The fault NAME for the length of a `with` block."""
        self._broken = time.monotonic()
        try:
            with self.lab.fault(name):
                yield
        finally:
            self._broken = None


@pytest.fixture(scope="session")
def bench(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The lab of this worker, and the checks.

    That a fault is healed is seen by the next one, which must be seen alone, and after the last one here.
    """
    bench = Bench(lab, tmp_path_factory.mktemp("runs"))
    yield bench
    left = bad(bench.verify()) and bad(bench.verify())  # what is left lasts; a stall of the machine does not
    assert not left, f"all faults were healed, and still:{told(left)}"
