"""How a runbook says its steps: functions of its file, in the order in which they are to be tried.

A step function is pure: given the situation it returns what to do, and does nothing itself. So a plan can be shown, judged
and agreed to before anything happens, and what is then done is what was shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from pytest_runbook.errors import UsageError, unknown
from pytest_runbook.model import Risk
from pytest_runbook.runbooks.actions import Action

if TYPE_CHECKING:
    from pytest_runbook.settings import Settings
    from pytest_runbook.settings.tables import Table


class Stage(StrEnum):
    """The parts of a runbook, in their order."""

    DIAGNOSE = "diagnose"
    CORRECT = "correct"
    LAST_RESORT = "last-resort"


@dataclass(frozen=True, slots=True)
class Situation:
    """What a step function may base its answer on."""

    runbook: str
    service: str
    """The service whose checks failed."""
    environment: str
    checks: tuple[str, ...]
    """Ids of the checks that failed."""
    run: str
    """Id of the run."""
    settings: Settings

    @property
    def limits(self) -> Table:
        """The limits of the settings."""
        return self.settings.limits

    @property
    def facts(self) -> Table:
        """The facts of the settings."""
        return self.settings.facts


Doing = Callable[[Situation], Action | Sequence[Action]]
"""Says what to do."""
Asking = Callable[[Situation], Action]
"""Says what to look at."""


@dataclass(frozen=True)
class StepSpec:
    """A step as its runbook declares it."""

    name: str
    title: str
    stage: Stage
    risk: Risk
    doing: Doing
    only_if: Asking | None = None
    undo: Doing | None = None
    settle: float = 0.0
    within: float = 30.0
    timeout: float = 60.0

    def actions(self, situation: Situation) -> tuple[Action, ...]:
        """What the step does in SITUATION."""
        return _several(self.doing(situation), situation)

    def undoing(self, situation: Situation) -> tuple[Action, ...]:
        """What takes the step back in SITUATION; nothing when it cannot be taken back."""
        return _several(self.undo(situation), situation) if self.undo else ()


Decorator = Callable[[Doing], StepSpec]


def diagnose(doing: Doing) -> StepSpec:
    """Declare a step that only looks, so that the record shows what a person would look at first."""
    return _spec(doing, Stage.DIAGNOSE, Risk.OBSERVE)


def correct(
    *,
    risk: str = Risk.ROUTINE,
    only_if: Asking | None = None,
    undo: Doing | None = None,
    settle: float = 0.0,
    within: float = 30.0,
    timeout: float = 60.0,
) -> Decorator:
    """Declare a step that mends; the mildest comes first.

    ONLY_IF names what to look at first: the step is not needed when the answer is empty, zero or false, or its exit status
    is not 0. UNDO takes the step back when it did not help. After the step nothing is looked at for SETTLE seconds; the
    checks must then pass WITHIN seconds. The step itself is killed after TIMEOUT seconds.
    """
    return lambda doing: _spec(
        doing, Stage.CORRECT, risk, only_if=only_if, undo=undo, settle=settle, within=within, timeout=timeout
    )


def last_resort(
    *,
    risk: str = Risk.DESTRUCTIVE,
    only_if: Asking | None = None,
    undo: Doing | None = None,
    settle: float = 0.0,
    within: float = 60.0,
    timeout: float = 120.0,
) -> Decorator:
    """Declare a step for when nothing else helped; see `correct`."""
    return lambda doing: _spec(
        doing, Stage.LAST_RESORT, risk, only_if=only_if, undo=undo, settle=settle, within=within, timeout=timeout
    )


def _spec(
    doing: Doing,
    stage: Stage,
    risk: str,
    *,
    only_if: Asking | None = None,
    undo: Doing | None = None,
    settle: float = 0.0,
    within: float = 30.0,
    timeout: float = 60.0,
) -> StepSpec:
    name = doing.__name__
    title = (doing.__doc__ or "").strip().partition("\n")[0].rstrip(".")
    if not title:
        raise UsageError(f'the step "{name}" has no docstring\n  hint: say in one line what it does')
    if risk not in list(Risk):
        raise UsageError(unknown("risk", risk, list(Risk), f'give the step "{name}" one of these'))
    return StepSpec(name, title, stage, Risk(risk), doing, only_if, undo, settle, within, timeout)


def _several(said: Action | Sequence[Action], situation: Situation) -> tuple[Action, ...]:
    actions = (said,) if isinstance(said, Action) else said
    return tuple(action.at(situation) for action in actions)
