"""What people get of a run: the summary in the terminal, the reports in its folder, the mail."""

from __future__ import annotations

from pathlib import Path

import pytest
import runbook_reports

from pytest_runbook.model import RunRecord
from pytest_runbook.session import RunbookSession


class Reporting:
    """Writes every report from the finished record, in the controller."""

    def __init__(self, config: pytest.Config, session: RunbookSession) -> None:
        self._config = config
        self._session = session
        self._written: list[Path] = []

    def pytest_runbook_finished(self, record: RunRecord) -> None:
        """Write the reports; one that fails is a problem of the run and does not stop the others."""
        recorder = self._session.recorder
        if recorder is None:
            return
        for renderer in runbook_reports.renderers():
            try:
                self._written += renderer.render(record, recorder.folder)
            except OSError as error:
                record.problems.append(f"report {renderer.NAME} was not written: {error}")
