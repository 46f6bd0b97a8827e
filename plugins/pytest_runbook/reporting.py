"""What people get of a run: the summary in the terminal, the reports in its folder, the mail."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path

import pytest
import runbook_reports
from runbook_reports import Writer, html, mail, text
from runbook_reports import record as record_file

from pytest_runbook.evidence.output import guard
from pytest_runbook.model import RunRecord
from pytest_runbook.session import RunbookSession

WIDEST = 110
"""Columns beyond which a line is hard to read, whatever the terminal has."""


class Reporting:
    """Writes every report from the finished record, in the controller."""

    def __init__(self, config: pytest.Config, session: RunbookSession, adopted: Sequence[Writer]) -> None:
        """ADOPTED write the reports that pytest's own options asked for."""
        self._config = config
        self._session = session
        self._adopted = adopted
        self._written: list[Path] = []
        self._finished: RunRecord | None = None
        self._last = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Guard the terminal, which is there from now on: warnings and plugins write to it on their own."""
        guard(self._config.get_terminal_writer(), self._session.redactor)

    def pytest_runbook_started(self, record: RunRecord) -> None:
        """Replace the reports that an earlier run left in this folder: if we are killed, they would pass for ours."""
        recorder = self._session.recorder
        if recorder and (recorder.folder / record_file.FILE).exists():
            formats = self._session.settings.report.formats
            runbook_reports.publish(deepcopy(record), recorder.folder, only=formats, also=self._adopted)

    def pytest_runbook_finished(self, record: RunRecord) -> None:
        """Write the reports, and send the mail that carries one of them."""
        recorder = self._session.recorder
        if recorder is None:
            return
        known = len(record.problems)
        also = [*self._adopted, *self._mail(recorder.folder)]
        formats = self._session.settings.report.formats
        status = record.exit_code
        self._written = runbook_reports.publish(record, recorder.folder, only=formats, also=also)
        if record.exit_code != status:
            self._again(record, recorder.folder)
        recorder.close(known)
        self._finished = record

    def _again(self, record: RunRecord, folder: Path) -> None:
        """Write the reports anew: those written before one could not be say green. What cannot be now is better not there."""
        for path in filter(Path.is_file, self._written):
            path.unlink()
        formats = self._session.settings.report.formats
        self._written = runbook_reports.publish(record, folder, only=formats, also=self._adopted)

    def _mail(self, folder: Path) -> Iterator[Writer]:
        """The writer that mails the summary with the page of FOLDER, when `--mail` asks for it."""
        if self._config.option.runbook_mail:
            settings = self._session.settings
            outbox = self._config.rootpath / settings.report.directory.parent / "outbox"
            formats = settings.report.formats
            # A page that another run left in this folder is not this run's.
            page = folder / html.FILE if formats is None or html.NAME in formats else None
            yield mail.writer(settings.mail, outbox, page)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what is wrong, grouped by root cause, and where the reports are."""
        if self._finished is None:
            return
        writer = self._config.get_terminal_writer()
        width = min(writer.fullwidth, WIDEST)
        told = text.summary(self._finished, width=width, color=writer.hasmarkup, plain=not _speaks_unicode())
        body, _, self._last = told.rstrip("\n").rpartition("\n")
        terminalreporter.ensure_newline()
        terminalreporter.write_line(body)
        for path in self._written:
            terminalreporter.write_line(f"report: {os.path.relpath(path)}")

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """End with the one line for a chat, after pytest's own last line."""
        if self._finished is not None and self._last:
            config.get_terminal_writer().line(self._last)


def _speaks_unicode() -> bool:
    return "utf" in (getattr(sys.stdout, "encoding", None) or "").lower()
