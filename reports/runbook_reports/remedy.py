"""Tells what runbooks did for failing checks, once for every report: attempt, steps, attempt; what fixed it, or why not."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import groupby

from pytest_runbook import clock
from pytest_runbook.model import Attempt, Outcome, Result, Step, StepOutcome

from runbook_reports.wording import count, one_line

LOOKS_ONLY, TAKES_BACK = "diagnose", "undo"
"""Stages of steps that are not meant to fix anything."""
_LAST = "~"
"""Sorts after every moment."""
_WHY = 300
"""Characters of a reason: what a program said before it failed may be pages, and is in its output."""
_Dated = tuple[str, bool, Attempt | Step]
"""When, whether it comes after what has the same moment, and what."""


def course(result: Result) -> Iterator[Attempt | Step]:
    """What happened to RESULT, in order: failed attempts, steps of its runbook, the attempts that looked again."""
    attempts: Iterator[_Dated] = ((one.started, one.outcome == Outcome.PASSED, one) for one in result.attempts)
    steps: Iterator[_Dated] = ((moment, False, step) for moment, step in _moments(result.steps))
    for _, _, part in heapq.merge(attempts, steps, key=lambda item: item[:2]):
        yield part


def _moments(steps: list[Step]) -> Iterator[tuple[str, Step]]:
    """Each step with when it was its turn: one that did not run was decided on just before the next that did."""
    moment, decided = _LAST, []
    for step in reversed(steps):
        moment = step.started or moment
        decided.append((moment, step))
    return reversed(decided)


def runs(result: Result) -> Iterator[tuple[Attempt | Step, int]]:
    """The course of RESULT with equal attempts in a row as one, and how many they are: a fix may take many looks."""
    for _, equal in groupby(course(result), key=_kind):
        parts = list(equal)
        yield parts[0], len(parts)


def _kind(part: Attempt | Step) -> object:
    return (part.outcome, part.message) if isinstance(part, Attempt) else id(part)


def tried(result: Result) -> str:
    """How often RESULT's check was tried, with what outcomes: `5 times in 12.0 s: failed 2, passed 3`."""
    outcomes = [(outcome, len(list(equal))) for outcome, equal in groupby(one.outcome for one in result.attempts)]
    said = ", ".join(outcome if len(outcomes) == 1 else f"{outcome} {number}" for outcome, number in outcomes)
    return f"{count(len(result.attempts), 'time')} in {clock.duration(result.duration)}: {said}"


def ending(step: Step) -> str:
    """What became of STEP: `done`, `refused`, …; `undone` and `undo refused` where it takes back what an earlier one did."""
    if step.stage == TAKES_BACK:
        return "undone" if step.outcome == StepOutcome.DONE else f"undo {step.outcome}"
    return step.outcome


def described(step: Step) -> str:
    """STEP in one line: `Restart the worker (restart, 2.4 s): exit status 3`."""
    took = f", {clock.duration(step.duration)}" if step.started and step.outcome != StepOutcome.UNKNOWN else ""
    why = f": {one_line(step.why, _WHY)}" if step.why else ""
    return f"{one_line(step.title)} ({step.risk}{took}){why}"


def fix(result: Result) -> Step | None:
    """The step after which the check of a remediated RESULT passed; none when another check's runbook helped this one."""
    if result.outcome != Outcome.REMEDIATED:
        return None
    acted = (step for step in reversed(result.steps) if StepOutcome(step.outcome).acted)
    return next((step for step in acted if step.stage not in (LOOKS_ONLY, TAKES_BACK)), None)


def fixed_by(result: Result) -> str:
    """By which step, how soon and how surely: `Restart the worker (queue-too-long) after 12.0 s, 3 looks`."""
    step = fix(result)
    if step is None:
        return ""
    looks = 0
    for attempt in reversed(result.attempts):
        if attempt.outcome != Outcome.PASSED:
            break
        looks += 1
    after = f" after {clock.duration(seconds)}" if (seconds := seconds_to_fix(result)) is not None else ""
    return f"{one_line(step.title)} ({one_line(step.runbook)}){after}, {count(looks, 'look')}"


def seconds_to_fix(result: Result) -> float | None:
    """Seconds from the first attempt, which failed, to the end of the last, which passed; none when nobody knows."""
    try:
        first, last = clock.parse(result.attempts[0].started), clock.parse(result.attempts[-1].started)
    except (IndexError, ValueError):
        return None
    return (last - first).total_seconds() + result.attempts[-1].duration


def upshot(result: Result) -> str:
    """What came of RESULT's runbook, in one line; empty when none was asked for, or its steps say it all."""
    if would := [step for step in result.steps if step.outcome == StepOutcome.WOULD_RUN]:
        every = count(len(result.steps), "step")
        return f"a plan, nothing was done: {every if would == result.steps else f'{len(would)} of {every}'} would run"
    if fix(result):
        return ""
    return one_line(result.remediation.removeprefix(f"{result.outcome}: "))


def recurred(result: Result) -> str:
    """That RESULT's check was fixed lately and fails again, and what that changes; empty when it was not."""
    changes = f": counts as {result.severity}" if result.severity != result.first_severity else ""
    return f"{one_line(result.recurred)}{changes}"


def case(result: Result) -> tuple[str, ...]:
    """The same for checks that one run of a runbook was for."""
    if not result.steps:
        return (result.outcome, result.remediation)
    return tuple(part for step in result.steps for part in (step.runbook, step.target, step.name, step.started))


def cases(results: Iterable[Result]) -> list[list[Result]]:
    """RESULTS by the run of a runbook they owe their outcome to, each in the order given."""
    found: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        found.setdefault(case(result), []).append(result)
    return list(found.values())
