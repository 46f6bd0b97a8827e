"""What the process of a step is told, and what it answers: plain data that crosses from one process to the other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pytest_runbook.model import StepOutcome
from pytest_runbook.runbooks.steps import Situation

BEATS = 5
"""How often a run says that it lives, within the time it may be silent."""
SILENCE = 60.0
"""Seconds; for when nobody says how long a run may be silent."""


@dataclass(frozen=True, slots=True)
class Order:
    """One part of one step, to be performed in a process of its own."""

    folder: Path
    """The snapshot of the runbooks: their files and the scripts beside them."""
    step: str
    """Name of the step's function."""
    part: str
    """`only_if`, `do` or `undo`."""
    situation: Situation
    expected: tuple[str, ...]
    """What was shown, `describe()` of each action, not redacted; anything else is refused."""
    root: Path
    """Root folder of the project, where programs start."""


@dataclass(frozen=True, slots=True)
class Errand:
    """What travels to the process: the order, and how long there is for it."""

    order: Order
    timeout: float
    mark: str
    """Stands in the environment of every program of the step, so that it is found wherever it went; begins with the run."""
    silence: float = SILENCE
    """Seconds without a word from the run, after which the step is ended: another run may act on the service by then."""


@dataclass(frozen=True, slots=True)
class Performed:
    """What came of an order."""

    outcome: StepOutcome
    """`done`, `failed` or `timed-out`."""
    value: bool | None = None
    """Of `only_if`: whether there is something to do; None when that could not be seen."""
    output: str = ""
    """What was said on the way, redacted and capped."""
    duration: float = 0.0
    """Seconds, starting and ending the process included."""
    why: str = ""
    """Why it is not `done`, redacted."""
