"""The record of the run that is going on: results come in, diagnosis and verdict go out, the journal has every line."""

from __future__ import annotations

import importlib.metadata
import platform
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_runbook import clock
from pytest_runbook.diagnosis import diagnose
from pytest_runbook.evidence.journal import ENDING, Journal
from pytest_runbook.evidence.redaction import Redactor
from pytest_runbook.model import Outcome, Result, RunRecord, Severity
from pytest_runbook.naming import user


class Recorder:
    """Collects the results of a run, in memory and in the journal."""

    def __init__(self, record: RunRecord, folder: Path, redactor: Redactor, runbooks: dict[str, str]) -> None:
        """FOLDER gets the journal; RUNBOOKS maps every known runbook to its text. Raises OSError when it cannot write."""
        self.record = record
        self.folder = folder
        self._redactor = redactor
        self._runbooks = runbooks
        self._begun = clock.monotonic()
        self._results: dict[str, Result] = {}
        self._over: set[str] = set()
        self._ended_with: int | None = None
        """The exit code that the journal tells."""
        self.journal = Journal(folder, redactor)
        self.journal.write("run-started", run=record.to_json())

    def add(self, result: Result) -> None:
        """Keep RESULT; of two of one check (its tear-down broke as well) the worse one."""
        before = self._results.get(result.check.id)
        if before is not None and before.bad and before.severity <= result.severity:
            self.problem(f"{result.check.id}: {result.message}")
            return
        self._results[result.check.id] = result
        self.journal.result(result)

    def amend(self, result: Result) -> None:
        """Keep RESULT in place of what was known of its check: something was done since."""
        self._results[result.check.id] = result
        self.journal.result(result)

    def problem(self, text: str) -> None:
        """Note something that went wrong with the run itself."""
        clean = self._redactor.text(text)
        if clean not in self.record.problems:
            self.record.problems.append(clean)
            self.journal.write("problem", text=clean)

    def over(self, result: Result) -> None:
        """RESULT passes again by itself: it stays on record as bad, and explains no other any more."""
        self._over.add(result.check.id)

    def diagnose(self) -> None:
        """Find out which failures others explain; again whenever something was done."""
        self.record.results = sorted(self._results.values(), key=_place)
        for decision in diagnose(self.record.results, self.record.services, self._over):
            result = decision.result
            if (result.outcome, result.root) == (decision.outcome, decision.root):
                continue
            result.outcome, result.root = decision.outcome, decision.root
            result.waiver = decision.waiver or result.waiver
            self.journal.write(
                "decision",
                check=result.check.id,
                outcome=result.outcome,
                root=result.root,
                waiver=result.waiver.to_json() if result.waiver else None,
            )

    def finish(self, exit_code: int, interrupted: bool) -> RunRecord:
        """Close the record; the journal stays open for problems with its reports, until `close`."""
        record = self.record
        record.finished, record.duration = clock.iso(clock.now()), clock.monotonic() - self._begun
        record.exit_code, record.interrupted = exit_code, interrupted
        named = {r.check.runbook for r in record.results if Outcome(r.outcome) != Outcome.PASSED}
        record.runbooks = {name: text for name, text in sorted(self._runbooks.items()) if name in named}
        self._end()
        self._doubt()
        return record

    def close(self, known: int) -> None:
        """Journal the problems of the record beyond the first KNOWN, which its reports met, and close the journal."""
        for text in self.record.problems[known:]:
            self.journal.write("problem", text=text)
        if self.record.exit_code != self._ended_with:
            self._end()
        self.journal.close()
        self._doubt()

    def _end(self) -> None:
        self._ended_with = self.record.exit_code
        self.journal.write("run-finished", **{name: getattr(self.record, name) for name in ENDING})

    def _doubt(self) -> None:
        """A run whose journal has a hole is not green."""
        if self.journal.failure:
            self.record.lacks(f'the journal "{self.journal.path}" is incomplete: {self.journal.failure}')


def _place(result: Result) -> tuple[str, str, int, str]:
    """Sorts by service and file, within a file as it is written: from the most basic check up."""
    path, _, line = result.check.location.rpartition(":")
    return result.check.service, path, int(line) if line.isdigit() else 0, result.check.id


def reasons(record: RunRecord, other_failures: int, *, strict: bool) -> Iterator[str]:
    """Why RECORD is not green beside what gates: failures of tests that are no checks, and, when STRICT, what was fixed."""
    mended = [r for r in record.of(Outcome.REMEDIATED) if r.severity <= Severity(record.gate)]
    if strict and mended:
        yield f"--strict: {_count(len(mended), 'check')} had to be fixed"
    if other_failures:
        yield f"{_count(other_failures, 'failure')} outside of checks"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def verdict(record: RunRecord, status: int) -> int:
    """Pytest's exit code for RECORD, given the STATUS pytest came to.

    0 green · 1 a check at least as severe as the gate is bad, or the record has reasons of its own · 5 nothing was judged;
    interruption and errors stay as they are.
    """
    settled = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    if status not in settled:
        return status
    if record.gating or record.reasons:
        return int(pytest.ExitCode.TESTS_FAILED)
    judged = [r for r in record.results if r.outcome != Outcome.SKIPPED]
    return int(pytest.ExitCode.OK if judged else pytest.ExitCode.NO_TESTS_COLLECTED)


def head(**known: Any) -> RunRecord:
    """A record that has begun now, on this machine."""
    return RunRecord(
        started=clock.iso(clock.now()),
        host=socket.gethostname(),
        user=user(),
        versions={
            "python": platform.python_version(),
            "pytest": pytest.__version__,
            "pytest-runbook": importlib.metadata.version("pytest-runbook"),
        },
        **known,
    )
