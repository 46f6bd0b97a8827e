"""What was tried and what came of it, kept between runs and shared by processes and machines."""

from pytest_runbook.history.locks import Held, Lock
from pytest_runbook.history.rows import AttemptOutcome, AttemptRow, DeploymentRow, PhaseRow, StepRow, WatchRow
from pytest_runbook.history.store import Store

__all__ = [
    "AttemptOutcome",
    "AttemptRow",
    "DeploymentRow",
    "Held",
    "Lock",
    "PhaseRow",
    "StepRow",
    "Store",
    "WatchRow",
]
