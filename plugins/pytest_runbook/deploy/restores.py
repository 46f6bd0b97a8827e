"""Keeps deployments away from a restore that is not at its end: taken back, it would put old data under the new version."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pytest_runbook.errors import RestoreError, UsageError


def insist_on_none(folder: Path, tell: Callable[[str], None], *, urgent: bool) -> None:
    """UsageError when a restore of the journals in FOLDER is open.

    When nobody may look, only what is URGENT goes on; TELL is told.
    """
    from pytest_runbook.backup.restore.journal import Journal  # late: most commands need nothing of backups

    try:
        left = Journal(folder).open(tell)
    except RestoreError as error:
        if not urgent:
            raise
        tell(f"whether a restore is not at its end could not be looked at: {error}")
        return
    if left:
        raise UsageError(
            f'the restore "{left[0].id}" is not at its end: it is {left[0].state}\n'
            "  hint: runbook restore --status tells, --finish or --undo ends it"
        )
