"""From what pytest and the runner know of a finished check to its `Result`, and to the report that pytest shows."""

from __future__ import annotations

import itertools
from datetime import datetime

import pytest

from pytest_runbook import clock
from pytest_runbook.concurrency.attempts import Execution, message_of
from pytest_runbook.evidence.context import Notebook
from pytest_runbook.evidence.redaction import Redactor
from pytest_runbook.measure import sentence
from pytest_runbook.model import Check, Measurement, Outcome, Result, Waiver

LONGEST = 20_000
"""Characters of a traceback or of captured output that are kept."""
WORDS = {
    Outcome.FAILED: ("failed", "F"),
    Outcome.UNMEASURED: ("unmeasured", "U"),
    Outcome.TIMED_OUT: ("timed-out", "T"),
    Outcome.WAIVED: ("waived", "w"),
}
"""Outcome to the category and the letter that pytest's terminal shows; the others are pytest's own."""


def judged(execution: Execution, report: pytest.TestReport, redactor: Redactor) -> Result:
    """The result of a check that ran."""
    measurements = _latest(execution.notebooks)
    outcome, message = execution.outcome, _message(execution, measurements)
    if report.failed and outcome == Outcome.PASSED:  # by what pytest found after the call, as failed subtests
        outcome, message = Outcome.FAILED, _last_line(report.longreprtext)
    result = Result(
        execution.check,
        outcome,
        message=message,
        hint=_hint(execution),
        started=execution.started,
        duration=execution.duration,
        attempts=execution.attempts,
        measurements=measurements,
        evidence=[seen for notebook in execution.notebooks for seen in notebook.observations],
        traceback=report.longreprtext if report.failed else "",
        sections=_sections(execution.notebooks, report),
    )
    return _clean(result, redactor)


def not_run(check: Check, report: pytest.TestReport, redactor: Redactor, started: str) -> Result:
    """The result of a check that pytest skipped, or whose set-up or tear-down broke."""
    skipped = report.skipped
    reason = report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else report.longreprtext
    result = Result(
        check,
        Outcome.SKIPPED if skipped else Outcome.UNMEASURED,
        message=reason if skipped else f"the check could not run: its {report.when} failed: {_last_line(reason)}",
        started=started,
        duration=report.duration,
        traceback="" if skipped else reason,
        sections=list(report.sections),
    )
    return _clean(result, redactor)


def seen_at(result: Result) -> datetime:
    """The beginning of the look that decided RESULT; it is reported when its turn comes, which may be minutes later."""
    return clock.parse(result.attempts[-1].started if result.attempts else result.started)


def clean(report: pytest.TestReport, redactor: Redactor) -> None:
    """Take secrets out of what pytest itself shows of REPORT."""
    if isinstance(report.longrepr, tuple):
        path, line, reason = report.longrepr
        report.longrepr = (path, line, redactor.text(reason))
    elif report.longrepr is not None:
        text = report.longreprtext
        safe = redactor.text(text)
        if safe != text:
            report.longrepr = safe
    report.sections = [(title, redactor.text(text)) for title, text in report.sections]


def dress(report: pytest.TestReport, result: Result) -> None:
    """Make REPORT tell what RESULT says, in pytest's own terms."""
    check = result.check
    report.duration = result.duration
    report.user_properties += [
        ("check", check.id),
        ("severity", check.severity),
        ("service", check.service),
        ("schedules", " ".join(check.schedules)),
        ("outcome", str(result.outcome)),
        *([("runbook", check.runbook)] if check.runbook else []),
        *((f"measurement:{seen.name}", sentence(seen)) for seen in result.measurements),
    ]


def waive(report: pytest.TestReport, result: Result, waiver: Waiver) -> None:
    """Turn the bad RESULT and its REPORT into a waived one: it ran, it is shown, it does not gate."""
    result.outcome, result.waiver = Outcome.WAIVED, waiver
    report.outcome = "skipped"
    report.wasxfail = f"{waiver.kind} by {waiver.owner} until {waiver.expires}: {waiver.reason}"


def _message(execution: Execution, measurements: list[Measurement]) -> str:
    """One line: the measurements beyond their limits, else what the error says."""
    if execution.error is None:
        return ""
    beyond = [sentence(seen) for seen in measurements if seen.ok is False]
    said = message_of(execution.error)
    # An author's own words come first; pytest's rewritten assertion is worth less than the figures.
    if beyond and (said.startswith("assert ") or not said):
        return "; ".join(beyond)
    return said.partition("\n")[0]


def _hint(execution: Execution) -> str:
    """What the error says after `hint:`."""
    lines = map(str.strip, message_of(execution.error).splitlines() if execution.error else ())
    return next((line.removeprefix("hint:").strip() for line in lines if line.startswith("hint:")), "")


def _latest(notebooks: list[Notebook]) -> list[Measurement]:
    """The measurements of the last attempt that made some."""
    return next((notebook.measurements for notebook in reversed(notebooks) if notebook.measurements), [])


def _sections(notebooks: list[Notebook], report: pytest.TestReport) -> list[tuple[str, str]]:
    said = "".join(itertools.chain.from_iterable(notebook.output for notebook in notebooks))
    logged = "\n".join(itertools.chain.from_iterable(notebook.log for notebook in notebooks))
    own = [("printed", said), ("logged", logged)]
    captured = [(title, text) for title, text in report.sections if " log " not in f" {title} "]
    return [(title, text) for title, text in (*own, *captured) if text]


def _clean(result: Result, redactor: Redactor) -> Result:
    """Redact in RESULT what came from outside; the check's own words are the author's."""
    result.message, result.hint = redactor.text(result.message), redactor.text(result.hint)
    # Whole texts are redacted before they are cut: half a secret is still one.
    result.traceback = _capped(redactor.text(result.traceback))
    result.sections = [(title, _capped(redactor.text(text))) for title, text in result.sections]
    for one in result.attempts:
        one.message = redactor.text(one.message)
    for seen in result.evidence:
        seen.operation, seen.target = redactor.text(seen.operation), redactor.text(seen.target)
        seen.answer = redactor.value(seen.answer)
        seen.error = seen.error and redactor.text(seen.error)
    return result


def _capped(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}\n… {len(text) - LONGEST} more characters"


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("E ")]
    return (errors or lines or [""])[-1].removeprefix("E").strip()
