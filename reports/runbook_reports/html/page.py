"""Makes pytest-html write its page from a record: the real report class and hooks, fed at the end of the run.

pytest-html builds each row in the browser, which takes 13 s for 10,000 of them. So the rows are the worst results first,
up to a budget; the others are plain text below. And because the page is made from the record, it is complete under
pytest-xdist, redacted, and can be made again from a `run.json` at any time.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_html.hooks
import pytest_html.plugin
from jinja2 import Environment, FileSystemLoader
from pytest_html.report_data import ReportData
from pytest_html.selfcontained_report import SelfContainedReport
from pytest_metadata.plugin import metadata_key  # type: ignore[import-untyped]
from pytest_runbook.model import Result, RunRecord

from runbook_reports.files import drafted
from runbook_reports.html.rows import Columns, reports
from runbook_reports.html.sections import environment, rest, story
from runbook_reports.story import ORDER, Story

ROWS = 500
"""Rows of the table; the browser takes about a millisecond for each."""
_HERE = Path(__file__).parent
_THEIRS = Path(pytest_html.plugin.__file__).with_name("resources")


def make(path: Path, record: RunRecord, styles: tuple[Path, ...] = (), rows: int = ROWS) -> Path:
    """Write the page of RECORD to PATH, its table with at most ROWS rows; raises OSError."""
    told = Story(record)
    results = sorted(record.results, key=_worst_first)
    config = _bare_config()
    config.pluginmanager.register(_Sections(told, results[:rows], results[rows:]))
    config.pluginmanager.register(Columns())
    session = SimpleNamespace(config=config)
    sheets = (_THEIRS / "style.css", _HERE / "style.css", *styles)
    css = "\n".join(sheet.read_text(encoding="utf-8") for sheet in sheets)
    template = Environment(loader=FileSystemLoader(_THEIRS), autoescape=True).get_template("index.jinja2")
    with drafted(path) as draft:
        page = SelfContainedReport(str(draft), config, ReportData(config), template, css)
        page.pytest_sessionstart(session)
        for report in reports(results[:rows], record):
            page.pytest_runtest_logreport(report)
        page.pytest_sessionfinish(session)
    return path


class _Sections:
    """What stands around the table, put there by pytest-html's own hooks."""

    def __init__(self, told: Story, shown: list[Result], others: list[Result]) -> None:
        self._story, self._shown, self._others = told, shown, others

    def pytest_html_report_title(self, report: ReportData) -> None:
        """Name the page, and words the filters as we do; called before the first row."""
        report.title = f"{self._story.verdict} · {self._story.title}"
        report.outcomes.pop("retried", None)
        for name, label in Columns.LABELS.items():
            report.outcomes[name]["label"] = label
        # The first screen has told what is wrong: rows stay closed, in our order, until somebody asks.
        report.set_data("initialSort", "original")
        report.set_data("renderCollapsed", ["all"])
        report.set_data("environment", environment(self._story.record))

    def pytest_html_results_summary(self, prefix: list[str], postfix: list[str]) -> None:
        """Put what failed and why first, and what the table has no room for below it."""
        prefix.append(story(self._story, self._shown))
        postfix.append(rest(self._others, self._shown))


def _worst_first(result: Result) -> tuple[int, str, str]:
    return ORDER.index(result.outcome), result.severity, result.check.id


def _bare_config() -> pytest.Config:
    """A pytest configuration that knows pytest-html and nothing else.

    pytest-html reads its options and calls its hooks through one. The session's own would bring what its user and its
    plugins do to rows that live tests make (attributes ours have not), rewriting the file after each row if told so,
    and a table of the environment that nobody redacted.
    """
    config = pytest.Config(pytest.PytestPluginManager())
    config.pluginmanager.add_hookspecs(pytest_html.hooks)
    config.pluginmanager.register(pytest_html.plugin)
    metadata: dict[str, Any] = {}
    config.stash[metadata_key] = metadata
    return config
