"""What the tests of the faults ask of a record."""

from __future__ import annotations

from pytest_runbook.model import Outcome, Result, RunRecord


def bad(record: RunRecord) -> list[Result]:
    """The results of RECORD that are not green."""
    return [result for result in record.results if Outcome(result.outcome).bad]


def told(results: list[Result]) -> str:
    """RESULTS for the message of a failed test."""
    return "".join(f"\n  {r.outcome} {r.check.id}: {r.message}" for r in results)
