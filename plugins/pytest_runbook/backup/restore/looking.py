"""Whether a system is well by its own checks, with what was restored: it is, it is not, or nobody could look."""

from __future__ import annotations

from pytest_runbook.checkrun import CheckRun
from pytest_runbook.errors import RunbookError
from pytest_runbook.model import Outcome


def look(run: CheckRun, timeout: float) -> tuple[bool | None, str]:
    """What RUN sees within TIMEOUT seconds, and the words for it; None when nobody could look."""
    if not run.expression:
        return True, "no checks looked at it: restore.checks is empty"
    try:
        record = run.record(timeout)
    except RunbookError as error:
        return None, str(error)
    gating = [one for one in record.gating if one.outcome != Outcome.UNMEASURED]
    unseen = [one for one in record.gating if one.outcome == Outcome.UNMEASURED]
    said = "; ".join(f"{one.check.id}: {one.message}" for one in (gating or unseen)[:5])
    if gating:
        return False, f"{len(gating)} checks fail: {said}"
    if unseen or record.exit_code:
        return None, said or f"pytest ended with status {record.exit_code}"
    return True, f"{len(record.results)} checks looked at it, none gates"
