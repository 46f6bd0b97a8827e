"""`--runbook ID`: one runbook by hand, for the checks that name it, with the guards of every run."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_runbook.concurrency.runner import CHECK
from pytest_runbook.errors import UsageError, unknown
from pytest_runbook.runbooks.loading import Runbook, load


class Only:
    """Leaves out every check that names another runbook, and every step but one when one is named."""

    def __init__(self, folder: Path, name: str, step: str | None) -> None:
        """Raises pytest.UsageError when there is no such runbook, or it has no such STEP (name, or number from 1)."""
        try:
            runbook = load(folder, name)
            self.name, self.step = name, find(runbook, step) if step else None
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Select by runbook, after pytest has selected by marks."""
        mine = [item for item in items if CHECK in item.stash and item.stash[CHECK].runbook == self.name]
        config.hook.pytest_deselected(items=[item for item in items if item not in mine])
        items[:] = mine


def find(runbook: Runbook, step: str) -> str:
    """The name of the step of RUNBOOK that STEP names or counts, from 1; raises UsageError when there is none."""
    names = [spec.name for spec in runbook.steps]
    if step in names:
        return step
    if step.isdigit() and 1 <= int(step) <= len(names):
        return names[int(step) - 1]
    listed = [f"{number} {name}" for number, name in enumerate(names, 1)]
    raise UsageError(unknown(f'step of the runbook "{runbook.id}"', step, listed))
