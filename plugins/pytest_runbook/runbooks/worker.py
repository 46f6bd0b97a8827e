"""Does a step, in the process of that step: finds it in the snapshot, sees that it is what was shown, and performs it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_runbook.errors import RunbookError, StepFailed, UsageError, unknown
from pytest_runbook.model import StepOutcome
from pytest_runbook.runbooks import loading, servers
from pytest_runbook.runbooks.actions import Action, Command, Script
from pytest_runbook.runbooks.order import Errand, Order
from pytest_runbook.runbooks.steps import StepSpec
from pytest_runbook.runbooks.tools import Tools


def work(errand: Errand) -> dict[str, Any]:
    """What came of ERRAND: outcome, value and why; never raises but for the end of this process."""
    order, stream = errand.order, sys.stdout
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")
    try:
        actions = _actions(order)
        with Tools(order, timeout=errand.timeout, mark=errand.mark) as tools:
            value = _needed(actions[0], tools) if order.part == "only_if" else _all(actions, tools)
    except Exception as error:
        return _failed(_why(error, order.folder))
    except SystemExit as error:
        return _failed(f'it called exit with "{error.code}"\n  hint: raise an exception, or return')
    return {"outcome": StepOutcome.DONE.value, "value": value, "why": ""}


def _failed(why: str) -> dict[str, Any]:
    return {"outcome": StepOutcome.FAILED.value, "value": None, "why": why}


def _actions(order: Order) -> tuple[Action, ...]:
    """What the part of the step does, when it is what was shown."""
    spec = _spec(order)
    at = order.situation
    match order.part:
        case "only_if" if spec.only_if:
            actions: tuple[Action, ...] = (spec.only_if(at),)
        case "undo":
            actions = spec.undoing(at)
        case "do":
            actions = spec.actions(at)
        case other:
            raise UsageError(f'the step "{order.step}" has no part "{other}"')
    shown, now = order.expected, tuple(action.describe() for action in actions)
    if now != shown:
        raise UsageError(
            f'the step "{order.step}" would do something else than was shown\n'
            f"  shown: {'; '.join(shown) or 'nothing'}\n  now: {'; '.join(now) or 'nothing'}\n"
            "  hint: what a step says may depend on its situation alone, not on the time, on chance or on other files"
        )
    return actions


def _spec(order: Order) -> StepSpec:
    runbook = loading.load(order.folder, order.situation.runbook)
    for spec in runbook.steps:
        if spec.name == order.step:
            return spec
    raise UsageError(unknown("step", order.step, [spec.name for spec in runbook.steps]))


def _all(actions: tuple[Action, ...], tools: Tools) -> bool | None:
    """Perform ACTIONS in their order; the first that fails ends it."""
    for action in actions:
        if len(actions) > 1:
            print(f"$ {action.describe()}")
        answer = action.perform(tools)
        # What programs say was shown while they said it.
        if answer is not None and not isinstance(action, Command | Script):
            print(answer)
    return None


def _needed(action: Action, tools: Tools) -> bool:
    """Whether ACTION finds something to do: of a program its exit status tells, of all else its answer."""
    if not isinstance(action, Command | Script):
        return bool(action.perform(tools))
    try:
        action.perform(tools)
    except StepFailed as error:
        if error.status is None:
            raise
        return False
    return True


def _why(error: Exception, folder: Path) -> str:
    """ERROR in words; one that nobody foresaw is printed with the lines of the runbook, in FOLDER, that led to it."""
    words = str(error) if isinstance(error, RunbookError) else servers.words(error)
    if words is not None:
        return words
    told = traceback.TracebackException.from_exception(error)
    place = ""
    for one in _chain(told):
        ours = [frame for frame in one.stack if Path(frame.filename).is_relative_to(folder)]
        if ours:
            one.stack = traceback.StackSummary.from_list(ours)
            place = place or f" ({Path(ours[-1].filename).name}:{ours[-1].lineno})"
    print("".join(told.format()), end="")
    return "".join(told.format_exception_only()).strip() + place


def _chain(told: traceback.TracebackException | None) -> Iterator[traceback.TracebackException]:
    """TOLD and what it came from."""
    while told is not None:
        yield told
        told = told.__cause__ or told.__context__
