"""Deployments and restores that are half done: killed, or held, they leave a system that is neither the one nor the other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_runbook.errors import HistoryError, RestoreError, Unmeasured

if TYPE_CHECKING:
    from pytest_runbook.backup.restore.journal import Restore
    from pytest_runbook.history.rows import DeploymentRow, Life
    from pytest_runbook.settings import Settings


@dataclass(frozen=True)
class Changes:
    """Those of the system of SETTINGS, whose project lies in ROOT."""

    settings: Settings
    root: Path

    def half_done(self) -> list[str]:
        """Each one that is not at its end, and that nobody is seen to work on, in words, with what to do.

        Unmeasured when none was found, and not all could be looked at. Skipped in a run that is a part of one: it looks while
        that is not at its end.
        """
        from pytest_runbook.checkrun import WITHIN  # late, as all below: most runs do not ask

        if what := os.environ.get(WITHIN):
            pytest.skip(f"this run is a part of a {what}")
        doubts: list[str] = []
        found = [*self._deployment(doubts), *self._restores(doubts)]
        if doubts and not found:
            raise Unmeasured("\n".join(doubts))
        return found

    def _deployment(self, doubts: list[str]) -> Iterator[str]:
        if not self.settings.history.begun(self.root):
            return
        from pytest_runbook.backup.restore.exclusion import history

        try:
            store = history(self.settings, self.root)
            row = store.unfinished_deployment()
            life = store.life(row.id) if row else "lives"
        except HistoryError as error:
            doubts.append(f"whether a deployment is half done could not be looked at: {error}")
            return
        if row and (row.held or life != "lives"):
            yield (
                f"the deployment {row.id}, of {row.version}, is half done: {_stands(row, life)}\n"
                "  hint: runbook deploy --status tells, --resume or --abort ends it"
            )

    def _restores(self, doubts: list[str]) -> Iterator[str]:
        from pytest_runbook.backup.restore.journal import Journal

        try:
            left = Journal(self.root / self.settings.restore.journal).open(doubts.append)
        except RestoreError as error:
            doubts.append(f"whether a restore is half done could not be looked at: {error}")
            return
        for one in left:
            if not one.alive:
                yield (
                    f'the restore "{one.id}", of {one.backup}, is half done: {_is_left(one)}\n'
                    "  hint: runbook restore --status tells, --finish or --undo ends it"
                )


def _stands(row: DeploymentRow, life: Life) -> str:
    """Where ROW stands, of whose process LIFE is known."""
    if row.held:
        return f"it is held, {row.held.partition(chr(10))[0]}"
    gone = "its process is gone" if life == "gone" else "its process is silent"
    return f"{gone}, in {row.open_phase.phase}" if row.open_phase else f"{gone}, between two phases"


def _is_left(one: Restore) -> str:
    """In which state ONE is, and what is known of its process."""
    if one.state == "held":
        return "it is held"
    gone = "its process is gone" if one.alive is False else "from here nobody can see whether its process runs"
    return f"it is {one.state}, and {gone}"
