"""Keeps deployments away from a restore that is not at its end: taken back, it would put old data under the new version.

The way back is open all the same while one is held: all that it restored is in use, and taken back, it leaves the versions
as they run by then.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pytest_runbook.errors import RestoreError, UsageError


def insist_on_none(folder: Path, tell: Callable[[str], None], *, urgent: bool) -> None:
    """UsageError when a restore of the journals in FOLDER is open.

    When it is held, or nobody may look, only what is URGENT goes on; TELL is told.
    """
    from pytest_runbook.backup.restore.journal import HELD, Journal  # late: most commands need nothing of backups

    try:
        left = Journal(folder).open(tell)
    except RestoreError as error:
        if not urgent:
            raise
        tell(f"whether a restore is not at its end could not be looked at: {error}")
        return
    for one in left:
        if not urgent or one.state != HELD:
            raise UsageError(
                f'the restore "{one.id}" is not at its end: it is {one.state}\n'
                "  hint: runbook restore --status tells, --finish or --undo ends it"
            )
        tell(f'the restore "{one.id}" is held: what it restored stays in use, until --finish or --undo of it')
