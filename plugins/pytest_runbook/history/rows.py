"""What the history answers, as plain data; all moments are UTC and aware."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

AttemptOutcome = Literal["remediated", "still-failing", "worse", "refused", "unknown"]
"""How an attempt ended; `remediated` means that the same checks passed afterwards."""


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step that was to run: the intent, and what came of it."""

    id: int
    attempt: int
    run: str
    runbook: str
    service: str
    step: str
    risk: str
    target: str
    preview: tuple[str, ...]
    planned: datetime
    started: datetime | None
    """None: it never ran."""
    ended: datetime | None
    outcome: str | None
    """None while it is open; `unknown` when its run died before it said."""
    output: str | None
    duration: float | None
    """Seconds."""


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """A runbook that was tried on a service, with its steps in order."""

    id: int
    run: str
    runbook: str
    service: str
    checks: tuple[str, ...]
    started: datetime
    ended: datetime | None
    outcome: AttemptOutcome | None
    """None while it is open."""
    steps: tuple[StepRow, ...] = ()


@dataclass(frozen=True, slots=True)
class WatchRow:
    """A verified fix whose check is watched for a time: did it hold?"""

    check: str
    runbook: str
    since: datetime
    until: datetime
    recurred: datetime | None
    """When the check failed again; None as long as the fix holds."""
    recurrences: int
    """How many fixes of this check did not hold, this one included."""
