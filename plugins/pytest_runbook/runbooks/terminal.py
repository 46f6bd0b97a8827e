"""What whoever watches the terminal sees of remediation, and is asked."""

from __future__ import annotations

import re
import sys

import pytest

from pytest_runbook.evidence.redaction import Redactor
from pytest_runbook.model import Outcome, RunRecord, Step, StepOutcome
from pytest_runbook.runbooks.cases import Case
from pytest_runbook.runbooks.treatment import Treated

REMEDIATED = "remediated"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What moves a terminal's cursor: a log that is shown may hold what a stranger sent."""


class Terminal:
    """Tells as it happens; asks, where somebody is there to answer."""

    def __init__(self, config: pytest.Config, redactor: Redactor) -> None:
        self._config, self._redactor = config, redactor
        self._reporter: pytest.TerminalReporter | None = config.pluginmanager.getplugin("terminalreporter")

    def begin(self, mode: str, max_risk: str) -> None:
        """Say that the checks are over and what may happen now."""
        if self._reporter:
            self._reporter.write_line("")  # `ensure_newline` knows nothing of the dots of xdist
            self._reporter.write_sep("=", f"remediation: {mode}, up to {max_risk}")

    def case(self, case: Case) -> None:
        """Name what is treated."""
        checks = case.checks[0] if len(case.checks) == 1 else f"{case.checks[0]} and {len(case.checks) - 1} more"
        self._line(f"{case.runbook} on {case.service}, for {checks}")

    def tell(self, text: str) -> None:
        """A line below the case."""
        self._line(f"  {text}")

    def outcome(self, why: str, treated: Treated | None) -> None:
        """How the case ended, and each step of a plan."""
        for step in treated.steps if treated else ():
            if step.outcome == StepOutcome.DONE:
                continue
            self.tell(f"{step.outcome} ({step.risk}): {step.title}{f', {step.why}' if step.why else ''}")
            for action in step.actions if step.outcome == StepOutcome.WOULD_RUN else ():
                self.tell(f"    {action}")
        self.tell(why)

    def refusal(self, step: Step) -> str | None:
        """Why STEP may not run; None when the person at the terminal says yes."""
        self.tell(f"{step.title} ({step.risk}) on {step.target}:")
        for action in step.actions:
            self.tell(f"    {action}")
        capture = self._config.pluginmanager.getplugin("capturemanager")
        if capture:
            capture.suspend_global_capture(in_=True)
        try:
            if not sys.stdin.isatty():
                return "nobody could be asked, for this is no terminal"
            said = input("  run it? [y/N] ").strip().lower()
            return None if said in ("y", "yes") else "a person said no"
        except EOFError:
            return "nobody answered"
        finally:
            if capture:  # standard input is captured again; output is not, between the checks
                capture.resume_global_capture()
                capture.suspend_global_capture()

    def retell(self, record: RunRecord) -> None:
        """Make pytest's own summary tell what became of its failures."""
        if self._reporter is None:
            return
        mended = {result.check.id for result in record.results if result.outcome == Outcome.REMEDIATED}
        stats = self._reporter.stats
        for category in [name for name in stats if name != "passed"]:
            theirs = [r for r in stats[category] if getattr(getattr(r, "runbook", None), "check", None) is not None]
            moved = [report for report in theirs if report.runbook.check.id in mended]
            stats[category] = [report for report in stats[category] if report not in moved]
            stats.setdefault(REMEDIATED, []).extend(moved)
        for name in [name for name in stats if not stats[name]]:
            del stats[name]

    def _line(self, text: str) -> None:
        if self._reporter:
            self._reporter.write_line(CONTROL.sub("\N{REPLACEMENT CHARACTER}", self._redactor.text(text)))
