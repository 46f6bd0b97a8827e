"""What the history answers, as plain data; all moments are UTC and aware."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

AttemptOutcome = Literal["remediated", "still-failing", "worse", "refused", "unknown"]
"""How an attempt ended; `remediated` means that the same checks passed afterwards."""
DeploymentKind = Literal["deploy", "rollback"]
DeploymentOutcome = Literal["deployed", "rolled-back", "refused", "aborted"]
"""How a deployment ended: the new version verified; the old one verified; nothing was changed; stopped before a change."""
Life = Literal["lives", "silent", "gone"]
"""Of a process; `silent`: it cannot be seen from here, after a restart of its machine for example, and its lease is over."""
PhaseOutcome = Literal["done", "failed", "inconclusive", "unknown"]
"""`inconclusive`: it could not look; `unknown`: the process died in it."""


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
    touched: tuple[str, ...]
    """Services that it starts or stops."""
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


@dataclass(frozen=True, slots=True)
class PhaseRow:
    """One phase of a deployment; a phase that was done again has several."""

    id: int
    deployment: int
    phase: str
    started: datetime
    ended: datetime | None
    outcome: PhaseOutcome | None
    """None while it is open."""
    said: str | None
    duration: float | None
    """Seconds."""


@dataclass(frozen=True, slots=True)
class DeploymentRow:
    """A deployment: who put which version where, and what came of it, with its phases in order."""

    id: int
    run: str
    """What its locks, and the processes that it starts, are marked with."""
    kind: DeploymentKind
    version: str
    services: tuple[str, ...]
    before: Mapping[str, str]
    """Service to the version that ran before."""
    options: Mapping[str, Any]
    who: str
    host: str
    pid: int
    started: datetime
    ended: datetime | None
    """None while it is not at its end: it runs, it was killed, or it is held."""
    outcome: DeploymentOutcome | None
    why: str | None
    held: str | None
    """Why it waits for a person; None when it does not."""
    backup: str | None
    """Id of the backup that was made before the change."""
    baseline: Mapping[str, Any] | None
    """What was measured before the change."""
    phases: tuple[PhaseRow, ...] = ()

    @property
    def open_phase(self) -> PhaseRow | None:
        """The phase that was begun and not ended."""
        return next((phase for phase in reversed(self.phases) if phase.ended is None), None)
