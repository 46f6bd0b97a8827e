"""Turns a result into Allure's: one story with its attempts and steps inside, whatever it took to get there."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from allure_commons.model2 import Label, Link, Parameter, Status, StatusDetails, TestResult, TestStepResult
from allure_commons.types import LabelType, LinkType
from allure_commons.types import Severity as Level
from pytest_runbook import clock
from pytest_runbook.model import (
    Attempt,
    Measurement,
    Observation,
    Outcome,
    Result,
    RunRecord,
    Severity,
    Step,
    StepOutcome,
)

from runbook_reports import remedy, wording
from runbook_reports.allure.description import description
from runbook_reports.story import what_was_seen

LEVELS = {Severity.P1: Level.BLOCKER, Severity.P2: Level.CRITICAL, Severity.P3: Level.NORMAL}
STATUSES = {
    Outcome.PASSED: Status.PASSED,
    Outcome.REMEDIATED: Status.PASSED,
    Outcome.FAILED: Status.FAILED,
    Outcome.STILL_FAILING: Status.FAILED,
    Outcome.UNMEASURED: Status.BROKEN,
    Outcome.TIMED_OUT: Status.BROKEN,
    Outcome.BLOCKED: Status.BROKEN,
    Outcome.WAIVED: Status.SKIPPED,
    Outcome.SKIPPED: Status.SKIPPED,
}
"""Red is kept for root causes: what is blocked has not been seen to be wrong itself."""
STEPS = {
    StepOutcome.DONE: Status.PASSED,
    StepOutcome.FAILED: Status.FAILED,
    StepOutcome.TIMED_OUT: Status.BROKEN,
    StepOutcome.UNKNOWN: Status.BROKEN,
    StepOutcome.NOT_NEEDED: Status.SKIPPED,
    StepOutcome.WOULD_RUN: Status.SKIPPED,
    StepOutcome.REFUSED: Status.SKIPPED,
}
"""What became of a step of a runbook: those that did not run are shown, and are no success."""
Attach = Callable[[str, str], Any]
"""Keeps a text under a title, and gives the `Attachment` that refers to it."""
_NAMESPACE = uuid.UUID("9d0bd3b4-6a5b-5d0e-9d5a-5d5f3a1c6c52")


def identity_of(result: Result, record: RunRecord) -> str:
    """The same for the same check of the same run."""
    return str(uuid.uuid5(_NAMESPACE, f"{record.id} {_history(result)}"))


def _history(result: Result) -> str:
    return hashlib.md5(result.check.id.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()


def converted(result: Result, record: RunRecord, attach: Attach) -> Any:
    """RESULT as an Allure `TestResult`; its own attachments are left to the caller, those of its steps go to ATTACH."""
    check = result.check
    begun = _milliseconds(result.started or record.started)
    identity = _history(result)
    return TestResult(
        uuid=identity_of(result, record),
        historyId=identity,
        testCaseId=identity,
        fullName=wording.one_line(check.id),
        name=wording.one_line(check.title or check.id),
        titlePath=[wording.one_line(part) for part in (record.system, check.service, check.subject) if part],
        status=STATUSES[Outcome(result.outcome)],
        statusDetails=_details(result),
        stage="finished",
        description=description(result, record),
        labels=[Label(name, wording.one_line(value)) for name, value in _labels(result, record)],
        links=list(_links(result, record)),
        parameters=[_parameter(measurement) for measurement in result.measurements],
        steps=list(_steps(result, attach)),
        start=begun,
        stop=begun + round(result.duration * 1000),
    )


def message(result: Result) -> str:
    """What was seen; the outcome stands first where it is another than failed, for `categories.json` to find."""
    seen = what_was_seen(result)
    if result.waiver:
        who = f"{result.waiver.owner} until {result.waiver.expires}"
        return wording.safe(f"waived by {who}: {result.waiver.reason}\n{seen}")
    if result.root:
        return wording.safe(f"blocked by {result.root}: {seen}")
    came = [f"fixed by {fixed}"] if (fixed := remedy.fixed_by(result)) else [remedy.upshot(result)]
    lines = (seen if result.outcome == Outcome.FAILED else f"{result.outcome}: {seen}", *came, remedy.recurred(result))
    return wording.safe("\n".join(filter(None, lines)))


def _details(result: Result) -> Any:
    if result.outcome == Outcome.PASSED:
        return None
    trace = wording.clipped(result.traceback, 50_000) or None
    # Allure has no passed that is not green; a flaky one is the nearest: it has a mark of its own and is counted.
    flaky = result.outcome == Outcome.REMEDIATED or bool(result.recurred)
    return StatusDetails(
        message=message(result), trace=trace, known=result.waiver is not None or None, flaky=flaky or None
    )


def _labels(result: Result, record: RunRecord) -> Iterator[tuple[str, str]]:
    check = result.check
    yield LabelType.SEVERITY, LEVELS[result.severity].value
    yield LabelType.EPIC, record.system
    yield LabelType.FEATURE, check.service
    yield LabelType.PARENT_SUITE, record.system
    yield LabelType.SUITE, check.service
    if check.subject:
        yield LabelType.STORY, check.subject
        yield LabelType.SUB_SUITE, check.subject
    for tag in (*check.schedules, result.severity, result.outcome, *(("recurred",) if result.recurred else ())):
        yield LabelType.TAG, tag
    yield "package", ".".join(filter(None, (check.service, check.subject)))
    yield LabelType.HOST, record.host
    yield LabelType.FRAMEWORK, "pytest-runbook"
    yield LabelType.LANGUAGE, "python"


def _links(result: Result, record: RunRecord) -> Iterator[Any]:
    """The runbook, where it has an address; its text stands in the description otherwise."""
    name = result.check.runbook
    address = wording.address(record.runbooks.get(name, "")) if name else None
    if name and address:
        yield Link(type=LinkType.LINK, url=address, name=f"runbook {wording.one_line(name)}")


def _parameter(measurement: Measurement) -> Any:
    bound = f" (limit {wording.limit(measurement)})" if measurement.limit is not None else ""
    value = wording.one_line(wording.seen(measurement) + bound)
    # Excluded: another value is the same check, and its history goes on.
    return Parameter(name=wording.one_line(measurement.name), value=value, excluded=True)


def _steps(result: Result, attach: Attach) -> Iterator[Any]:
    """Attempts and runbook steps where there were any, then what the probes saw."""
    observations = [_observation(seen) for seen in result.evidence]
    if len(result.attempts) < 2 and not result.steps:
        yield from observations
        return
    for part in remedy.course(result):
        yield _attempt(part) if isinstance(part, Attempt) else _step(part, attach)
    if observations:
        yield TestStepResult(name="what the probes saw", status=Status.PASSED, steps=observations)


def _attempt(tried: Attempt) -> Any:
    begun = _milliseconds(tried.started)
    return TestStepResult(
        name=f"attempt {tried.number}: {tried.outcome}",
        status=STATUSES.get(Outcome(tried.outcome), Status.BROKEN),
        statusDetails=StatusDetails(message=wording.safe(tried.message)) if tried.message else None,
        start=begun,
        stop=begun + round(tried.duration * 1000),
    )


def _step(step: Step, attach: Attach) -> Any:
    """A step of a runbook: what it does, why it ended so, what it said."""
    facts = [("runbook", step.runbook), ("stage", step.stage), ("risk", step.risk), ("target", step.target)]
    facts += [(f"action {number}", action) for number, action in enumerate(step.actions, 1)]
    begun = _milliseconds(step.started) if step.started else None
    return TestStepResult(
        name=wording.one_line(f"{remedy.ending(step)}: {step.title}"),
        status=STEPS[StepOutcome(step.outcome)],
        statusDetails=StatusDetails(message=wording.safe(step.why)) if step.why else None,
        parameters=[Parameter(name, wording.clipped(value, 2_000)) for name, value in facts],
        attachments=[attach("output", step.output)] if step.output else [],
        start=begun,
        stop=begun + round(step.duration * 1000) if begun else None,
    )


def _observation(seen: Observation) -> Any:
    begun = _milliseconds(seen.started)
    facts = (("target", seen.target), ("shared", "with other checks of this run" if seen.shared else ""))
    return TestStepResult(
        name=wording.one_line(f"{seen.probe}: {seen.operation}", 200),
        status=Status.PASSED if seen.ok else Status.BROKEN,
        statusDetails=StatusDetails(message=wording.safe(seen.error)) if seen.error else None,
        parameters=[Parameter(name, wording.one_line(value, 200)) for name, value in facts if value],
        start=begun,
        stop=begun + round(seen.duration * 1000),
    )


def _milliseconds(moment: str) -> int:
    return round(clock.parse(moment).timestamp() * 1000)
