"""Keeps deployments away from a restore that is not at its end: taken back, it would put old data under the new version.

The way back is open all the same while one exchanges nothing: held, it has exchanged all, and taken back, it leaves the
versions as they run by then; gone back, it has only to start what may start in another version alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pytest_runbook.errors import RestoreError, UsageError


def insist_on_none(folder: Path, tell: Callable[[str], None], *, urgent: bool) -> None:
    """UsageError when a restore of the journals in FOLDER is open.

    When it is held, or has gone back, or nobody may look, only what is URGENT goes on; TELL is told.
    """
    from pytest_runbook.backup.restore.journal import BACK, HELD, Journal  # late: most commands need nothing of backups

    try:
        left = Journal(folder).open(tell)
    except RestoreError as error:
        if not urgent:
            raise
        tell(f"whether a restore is not at its end could not be looked at: {error}")
        return
    still = {
        HELD: "is held: what it restored stays in use, until --finish or --undo of it",
        BACK: "was taken back: what was there before it is in use, and --undo of it starts what is stopped",
    }
    for one in left:
        if not urgent or one.state not in still:
            raise UsageError(
                f'the restore "{one.id}" is not at its end: it is {one.state}\n'
                "  hint: runbook restore --status tells, --finish or --undo ends it"
            )
        tell(f'the restore "{one.id}" {still[one.state]}')
