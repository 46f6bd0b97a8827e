"""One fault, one run that may mend, and what came of it; one healthy round, and whether anything cried wolf."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

from pytest_runbook import clock
from pytest_runbook.model import Outcome, Result, RunRecord

from lab import Lab, faults
from lab.faults import Fault
from lab.rounds import run_checks

MENDING = ("--remediate=apply", "--max-risk=restart")
PERSON = "person"
"""Outcome of what no runbook may mend by itself: it is escalated, with the reason."""


@dataclass
class Row:
    """What was seen of one fault; seconds count from the moment when it was in place."""

    id: str
    service: str
    expected_checks: list[str]
    failed_checks: list[str] = field(default_factory=list)
    """Those that failed for a reason of their own."""
    root: str | None = None
    severity: str = ""
    """The worst of those that failed."""
    runbook: str | None = None
    outcome: str = "undetected"
    seconds_to_detect: float | None = None
    seconds_to_recover: float | None = None
    """Until the checks had passed as often in a row as is asked for; None when nothing was mended."""
    reason: str = ""
    """What the record says about the remediation."""
    mismatch: str = ""
    """What is not as expected; empty when all is."""


def measure(lab: Lab, name: str, folder: Path, healed: float) -> Row:
    """Inject the fault NAME into LAB, let the checks and their runbooks see to it, and heal what is left.

    HEALED is when the fault before was healed, on the monotonic clock: what it left in the log is known.
    """
    fault = faults.find(name)
    with lab.fault(name):
        injected = datetime.now(UTC)
        record = run_checks(folder, _told(lab, folder, healed), *MENDING)
    return _row(fault, record, injected)


def healthy(lab: Lab, folder: Path, healed: float) -> list[str]:
    """What was not green on the healthy LAB, a line a check; nothing is mended that is not broken."""
    record = run_checks(folder, _told(lab, folder, healed), *MENDING)
    return [f"{r.check.id}: {r.message}" for r in record.results if _struck(r)]


def _told(lab: Lab, folder: Path, healed: float) -> dict[str, str]:
    """What a run is told: where LAB is, that errors in the log from before HEALED are known, a history of its own."""
    window = str(int(time.monotonic() - healed) + 1)
    own = {"RUNBOOK__FACTS__LOGS__ERROR_WINDOW": window, "RUNBOOK__HISTORY__URL": f"sqlite:///{folder}/history.db"}
    return lab.environment() | own


def _row(fault: Fault, record: RunRecord, injected: datetime) -> Row:
    row = Row(fault.id, fault.service, sorted(fault.fails))
    struck = [result for result in record.results if _struck(result)]
    own = [result for result in struck if result.root is None and not _named(result.check.id, fault.behind)]
    row.failed_checks = sorted(result.check.id for result in own)
    expected = [result for result in own if result.check.id in fault.fails]
    if not expected:
        told = (f"{result.outcome} {result.check.id} (root {result.root}): {result.message}" for result in struck)
        row.mismatch = f"no expected check saw it, but {'; '.join(told) or 'all is green'}"
        return row
    head = min(expected, key=lambda result: (result.check.id != fault.root, result.severity, result.check.id))
    row.root, row.runbook, row.severity = head.check.id, head.check.runbook, min(result.severity for result in expected)
    row.outcome, row.reason = _outcome(expected), _reason(expected)
    row.seconds_to_detect = _since(injected, (_ends(result, good=False) for result in expected))
    if row.outcome == Outcome.REMEDIATED:
        recovered = [max(_ends(result, good=True), default=injected) for result in struck]
        row.seconds_to_recover = round((max(recovered) - injected).total_seconds(), 1)
    row.mismatch = "; ".join(_mismatches(fault, row, struck))
    return row


def _struck(result: Result) -> bool:
    """Whether RESULT was not green at some time of the run."""
    return Outcome(result.outcome).bad or result.outcome == Outcome.REMEDIATED


def _outcome(expected: Sequence[Result]) -> str:
    """What became of the checks that had to see the fault."""
    outcomes = {str(result.outcome) for result in expected}
    if outcomes == {Outcome.REMEDIATED}:
        return Outcome.REMEDIATED
    if outcomes == {Outcome.UNMEASURED}:
        return Outcome.UNMEASURED
    if Outcome.STILL_FAILING in outcomes:
        return Outcome.STILL_FAILING
    if all(result.remediation.startswith("not-needed") for result in expected):
        return "not-needed"
    return PERSON


def _reason(expected: Sequence[Result]) -> str:
    said = dict.fromkeys(result.remediation for result in expected if result.outcome != Outcome.REMEDIATED)
    mended = dict.fromkeys(result.remediation for result in expected)
    return "; ".join(filter(None, said or mended)) or "no runbook is named"


def _ends(result: Result, *, good: bool) -> list[datetime]:
    """When the attempts of RESULT that were GOOD, or were not, ended."""
    return [
        clock.parse(tried.started) + timedelta(seconds=tried.duration)
        for tried in result.attempts
        if (tried.outcome == Outcome.PASSED) == good
    ]


def _since(injected: datetime, moments: Iterable[list[datetime]]) -> float | None:
    """Seconds from INJECTED until a check had seen enough to be called failed."""
    second = [sorted(ends)[min(1, len(ends) - 1)] for ends in moments if ends]
    return round((min(second) - injected).total_seconds(), 1) if second else None


def _mismatches(fault: Fault, row: Row, struck: Sequence[Result]) -> Iterable[str]:
    blocked = {result.check.id: result.root for result in struck if result.root is not None}
    allowed = (*fault.fails, *fault.blocks, *fault.may_block, *fault.behind)
    if missing := sorted(set(fault.fails) - set(row.failed_checks)):
        yield f"did not fail: {', '.join(missing)}"
    if more := sorted(set(row.failed_checks) - set(fault.fails)):
        yield f"failed besides: {', '.join(more)}"
    if stray := sorted(name for name in blocked if not _named(name, allowed)):
        yield f"blocked besides: {', '.join(stray)}"
    roots = {root for root in blocked.values() if root and not _named(root, fault.behind)}
    if wrong := sorted(roots - {fault.root}):
        yield f"wrong root: {', '.join(wrong)}"
    if fault.outcome and row.outcome != fault.outcome:
        yield f"outcome {row.outcome}, expected {fault.outcome}: {row.reason}"


def _named(check: str, patterns: Iterable[str]) -> bool:
    return any(check == pattern or fnmatchcase(check, pattern) for pattern in patterns)
