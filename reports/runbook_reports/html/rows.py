"""Results as rows of pytest-html's table: which of its outcomes each is, our columns, what a row shows when opened."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any, ClassVar, NamedTuple

import pytest
from pytest_html import extras
from pytest_runbook import clock
from pytest_runbook.model import Observation, Outcome, Result, RunRecord, Step

from runbook_reports import remedy, wording
from runbook_reports.html.sections import TEMPLATES
from runbook_reports.story import ORDER, what_was_seen


class _Kind(NamedTuple):
    """One of pytest-html's outcomes, and what it tells it by."""

    word: str
    outcome: str
    when: str = "call"
    expected: bool = False


_KINDS: dict[str, _Kind] = {
    Outcome.FAILED: _Kind("Failed", "failed"),
    Outcome.STILL_FAILING: _Kind("Failed", "failed"),
    Outcome.TIMED_OUT: _Kind("Failed", "failed"),
    Outcome.UNMEASURED: _Kind("Error", "failed", when="setup"),
    Outcome.BLOCKED: _Kind("Rerun", "rerun"),
    Outcome.REMEDIATED: _Kind("XPassed", "passed", expected=True),
    Outcome.WAIVED: _Kind("XFailed", "skipped", expected=True),
    Outcome.SKIPPED: _Kind("Skipped", "skipped", when="setup"),
    Outcome.PASSED: _Kind("Passed", "passed"),
}
_DETAILS = 2_000_000
"""Characters of evidence and output on the whole page; what is beyond is in the JSON record only."""


class Columns:
    """Our columns, by pytest-html's hooks."""

    LABELS: ClassVar = {
        "failed": "failed",
        "error": "unmeasured",
        "rerun": "blocked",
        "xpassed": "remediated",
        "xfailed": "waived",
        "skipped": "skipped",
        "passed": "passed",
    }
    """pytest-html's outcomes, which its filters know, and what they are called on this page."""
    _NAMES: ClassVar = {
        # pytest-html filters by the first and links by the second; the first is hidden, our own word shown.
        "result": "Result",
        "outcome": "Outcome",
        "severity": "Severity",
        "service": "Service",
        "title": "Check",
        "testId": "Id",
        "seen": "Seen, limit",
        "schedules": "Schedules",
        "took": "Took",
    }

    def pytest_html_results_table_header(self, cells: list[str]) -> None:
        """Name the columns."""
        cells[:] = [
            f'<th class="sortable col-{name}" data-column-type="{name}" tabindex="0" role="button">{label}</th>'
            for name, label in self._NAMES.items()
        ]

    def pytest_html_results_table_row(self, report: Any, cells: list[str]) -> None:
        """Fill the columns; the report that only closes a test has no row."""
        cells[:] = list(_cells(report.runbook_result)) if report.when != "teardown" else []

    def pytest_html_results_table_html(self, report: Any, data: list[str]) -> None:
        """Say nothing where pytest-html would say that nothing was captured."""
        if not report.longreprtext and not report.sections:
            data.clear()


def reports(results: Iterable[Result], record: RunRecord) -> Iterator[pytest.TestReport]:
    """What pytest would have reported of RESULTS: for each a report that says all, and one that closes the test."""
    room = _DETAILS
    for number, result in enumerate(results):
        seen = _Seen(result)
        if left_out := seen.size > room:
            seen.drop()
        room -= seen.size
        details = TEMPLATES.get_template("details.html").render(
            result=result, record=record, course=seen.course, evidence=seen.evidence, left_out=left_out
        )
        kind = _KINDS[result.outcome]
        # Numbered, because pytest-html reads a name as an escaped string, and groups by it.
        name = f"check-{number}"
        said = _report(name, kind.outcome, kind.when, result, longrepr=seen.traceback or None, sections=seen.sections)
        said.extras = [extras.html(details)]
        if kind.expected:
            said.wasxfail = result.outcome
        yield said
        yield _report(name, "passed", "teardown", result, longrepr=None)


class _Seen:
    """What a row shows of a result that may be large: evidence, traceback, output of checks and steps, each cut to size."""

    def __init__(self, result: Result) -> None:
        shown = result.evidence[:20] if result.outcome != Outcome.PASSED else []
        self.evidence = [_observed(seen) for seen in shown]
        self.sections = [(wording.one_line(title), wording.clipped(text, 20_000)) for title, text in result.sections]
        self.traceback = wording.clipped(result.traceback, 20_000)
        self.course = [
            (part, number, wording.clipped(part.output, 4_000) if isinstance(part, Step) else "")
            for part, number in remedy.runs(result)
        ]

    @property
    def size(self) -> int:
        """Characters."""
        outputs = sum(len(output) for _, _, output in self.course)
        return len(self.traceback) + outputs + sum(len(a) + len(b) for a, b in (*self.evidence, *self.sections))

    def drop(self) -> None:
        """Leave it all out."""
        self.evidence, self.sections, self.traceback = [], [], ""
        self.course = [(part, number, "") for part, number, _ in self.course]


def _report(name: str, outcome: Any, when: Any, result: Result, **more: Any) -> Any:
    return pytest.TestReport(name, ("", None, name), {}, outcome, when=when, runbook_result=result, **more)


def _cells(result: Result) -> Iterator[str]:
    check = result.check
    # pytest-html's filters compare this one with its own words.
    yield f'<td class="col-result">{_KINDS[result.outcome].word}</td>'
    # A `data` element carries what to sort by: pytest-html compares the content of cells as text.
    yield _cell("outcome", f'<data value="{ORDER.index(Outcome(result.outcome))}">{result.outcome}</data>')
    yield _cell("severity", result.severity)
    yield _cell("service", _escaped(check.service))
    yield _cell("title", _escaped(check.title or check.id))
    yield f'<td class="col-testId" tabindex="0" role="button">{row_id(result)}</td>'
    yield _cell("seen", _escaped(_seen(result)))
    yield _cell("schedules", _escaped(" ".join(check.schedules)))
    yield _cell("took", f'<data value="{result.duration:012.3f}">{clock.duration(result.duration)}</data>')


def row_id(result: Result) -> str:
    """The id of RESULT's row in the page, which is also what the row shows."""
    return _escaped(result.check.id)


def _cell(name: str, content: str) -> str:
    return f'<td class="col-{name}">{content}</td>'


def _escaped(text: str) -> str:
    return escape(wording.one_line(text))


def _seen(result: Result) -> str:
    if result.outcome == Outcome.REMEDIATED:
        fixed = remedy.fixed_by(result)
        return wording.one_line(
            f"{what_was_seen(result)}; {f'fixed by {fixed}' if fixed else remedy.upshot(result)}", 200
        )
    if result.outcome != Outcome.PASSED:
        return wording.one_line(what_was_seen(result), 200)
    return wording.one_line("; ".join(map(wording.against_limit, result.measurements)), 200)


def _observed(seen: Observation) -> tuple[str, str]:
    """An observation in one line, and what came back."""
    shared = ", shared" if seen.shared else ""
    asked = f"{seen.probe}: {seen.operation} ({seen.target}, {clock.duration(seen.duration)}{shared})"
    answer = seen.error or json.dumps(seen.answer, indent=1, ensure_ascii=False, default=str)
    return wording.one_line(asked, 300), wording.clipped(answer, 4_000)
