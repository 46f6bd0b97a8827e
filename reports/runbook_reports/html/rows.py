"""Results as rows of pytest-html's table: which of its outcomes each is, our columns, what a row shows when opened."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any, ClassVar

import pytest
from pytest_html import extras
from pytest_runbook import clock
from pytest_runbook.model import Observation, Outcome, Result, RunRecord

from runbook_reports import wording
from runbook_reports.html.sections import TEMPLATES
from runbook_reports.story import ORDER, what_was_seen

_KINDS: dict[str, tuple[str, str, bool]] = {
    Outcome.FAILED: ("failed", "call", False),
    Outcome.STILL_FAILING: ("failed", "call", False),
    Outcome.TIMED_OUT: ("failed", "call", False),
    Outcome.UNMEASURED: ("failed", "setup", False),
    Outcome.BLOCKED: ("rerun", "call", False),
    Outcome.REMEDIATED: ("passed", "call", True),
    Outcome.WAIVED: ("skipped", "call", True),
    Outcome.SKIPPED: ("skipped", "setup", False),
    Outcome.PASSED: ("passed", "call", False),
}
"""Outcome to what pytest-html tells its seven outcomes by: pytest's outcome, the phase, whether it was expected."""
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
        cells[:] = list(_cells(report.runbook_result, _word(report))) if report.when != "teardown" else []

    def pytest_html_results_table_html(self, report: Any, data: list[str]) -> None:
        """Say nothing where pytest-html would say that nothing was captured."""
        if not report.longreprtext and not report.sections:
            data.clear()


def reports(results: Iterable[Result], record: RunRecord) -> Iterator[pytest.TestReport]:
    """What pytest would have reported of RESULTS: for each a report that says all, and one that closes the test."""
    budget = _DETAILS
    for number, result in enumerate(results):
        outcome, when, expected = _KINDS[result.outcome]
        evidence = [_observed(seen) for seen in result.evidence[:20]] if result.outcome != Outcome.PASSED else []
        sections = [(wording.one_line(title), wording.clipped(text, 20_000)) for title, text in result.sections]
        traceback = wording.clipped(result.traceback, 20_000)
        used = len(traceback) + sum(len(part) for pair in (*evidence, *sections) for part in pair)
        if left_out := used > budget:
            evidence, sections, traceback = [], [], ""
        budget -= 0 if left_out else used
        details = TEMPLATES.get_template("details.html").render(
            result=result, record=record, evidence=evidence, left_out=left_out
        )
        # Numbered, because pytest-html reads a name as an escaped string, and groups by it.
        said = _report(f"check-{number}", outcome, when, result, longrepr=traceback or None, sections=sections)
        said.extras = [extras.html(details)]
        if expected:
            said.wasxfail = result.outcome
        yield said
        yield _report(f"check-{number}", "passed", "teardown", result)


def _report(name: str, outcome: Any, when: Any, result: Result, **more: Any) -> Any:
    more.setdefault("longrepr", None)
    return pytest.TestReport(name, ("", None, name), {}, outcome, when=when, runbook_result=result, **more)


def _word(report: Any) -> str:
    """What pytest-html makes of REPORT; its filters compare it with the first cell."""
    if report.when == "setup" and report.failed:
        return "Error"
    return (
        f"X{report.outcome.capitalize().replace('Skipped', 'Failed')}"
        if hasattr(report, "wasxfail")
        else str(report.outcome.capitalize())
    )


def _cells(result: Result, word: str) -> Iterator[str]:
    check = result.check
    yield f'<td class="col-result">{word}</td>'
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
    if result.outcome != Outcome.PASSED:
        return wording.one_line(what_was_seen(result), 200)
    return wording.one_line("; ".join(map(wording.against_limit, result.measurements)), 200)


def _observed(seen: Observation) -> tuple[str, str]:
    """An observation in one line, and what came back."""
    shared = ", shared" if seen.shared else ""
    asked = f"{seen.probe}: {seen.operation} ({seen.target}, {clock.duration(seen.duration)}{shared})"
    answer = seen.error or json.dumps(seen.answer, indent=1, ensure_ascii=False, default=str)
    return wording.one_line(asked, 300), wording.clipped(answer, 4_000)
