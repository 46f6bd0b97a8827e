"""`--runbook ID`: one runbook by hand, for the checks that name it, with the guards of every run.

The guards need to know whether what the service depends on is up: those checks run too, and are not mended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from pytest_runbook.concurrency.runner import CHECK
from pytest_runbook.diagnosis import closure
from pytest_runbook.errors import UsageError, unknown
from pytest_runbook.model import AVAILABILITY
from pytest_runbook.runbooks.loading import Runbook, load


class Only:
    """Leaves out every check that names another runbook, and every step but one when one is named."""

    def __init__(self, folder: Path, name: str, step: str | None, services: Mapping[str, Sequence[str]]) -> None:
        """SERVICES maps each to those it depends on; STEP is a name, or a number from 1.

        Raises pytest.UsageError when there is no such runbook, or it has no such step.
        """
        self._services = services
        try:
            runbook = load(folder, name)
            self.name, self.step = name, find(runbook, step) if step else None
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Select by runbook, after pytest has selected by marks."""
        checks = {item: item.stash[CHECK] for item in items if CHECK in item.stash}
        mine = [check for check in checks.values() if check.runbook == self.name]
        below = closure([name for check in mine for name in (check.service, *check.needs)], self._services)
        kept = [
            item
            for item, check in checks.items()
            if check in mine or (check.service in below and check.subject == AVAILABILITY)
        ]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


def find(runbook: Runbook, step: str) -> str:
    """The name of the step of RUNBOOK that STEP names or counts, from 1; raises UsageError when there is none."""
    names = [spec.name for spec in runbook.steps]
    if step in names:
        return step
    if step.isdigit() and 1 <= int(step) <= len(names):
        return names[int(step) - 1]
    listed = [f"{number} {name}" for number, name in enumerate(names, 1)]
    raise UsageError(unknown(f'step of the runbook "{runbook.id}"', step, listed))
