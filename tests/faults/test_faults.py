"""With each fault in place exactly the expected checks fail or are blocked; without one, none does."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from fnmatch import fnmatchcase

import pytest
from pytest_runbook.model import Outcome, RunRecord, Severity

from lab import faults
from lab.faults import Fault
from lab.rounds import ROOT, SCHEDULES
from tests.faults.conftest import Bench
from tests.faults.running import bad, told


def named(check: str, patterns: Iterable[str]) -> bool:
    """Whether CHECK is one of PATTERNS; the ids of parametrised checks have brackets of their own."""
    return any(check == pattern or fnmatchcase(check, pattern) for pattern in patterns)


def test_a_healthy_lab_is_green_in_every_schedule(bench: Bench) -> None:
    record = bench.verify()
    assert not bad(record), told(bad(record))
    assert record.exit_code == 0
    seen = {schedule for result in record.results for schedule in result.check.schedules}
    assert seen.issuperset({"predeploy", "postdeploy", "daily", "weekly"})


@pytest.mark.parametrize("name", faults.load())
def test_exactly_the_expected_checks_see(name: str, bench: Bench) -> None:
    fault = faults.find(name)
    with bench.fault(name):
        # A machine that stalls for seconds looks like one more fault, but not twice.
        surprise = surprise_of(fault, bench.verify()) and surprise_of(fault, bench.verify())
        bench.lab.undo(name)  # as when a runbook has mended it: healing has nothing to do, and does not mind
    assert not surprise, surprise


def surprise_of(fault: Fault, record: RunRecord) -> str:
    """What of RECORD is not as FAULT says; empty when it is."""
    seen = bad(record)
    blocked = [result for result in seen if result.outcome == Outcome.BLOCKED]
    failing = {result.check.id: result for result in seen if result.outcome != Outcome.BLOCKED}
    must_block = {r.check.id for r in record.results if named(r.check.id, fault.blocks)} - set(fault.fails)
    may_block = {r.check.id for r in blocked if named(r.check.id, fault.may_block)}
    gates = any(result.severity <= Severity.P2 for result in seen)
    surprises = {
        "failing": failing.keys() ^ set(fault.fails),
        "blocked": {result.check.id for result in blocked} ^ (must_block | may_block),
        "roots": {str(result.root) for result in blocked} - {str(fault.root)},
        f"not seen by -m {fault.schedule}": set()
        if any(fault.schedule in result.check.schedules for result in failing.values())
        else {fault.id},
        "exit status": {str(record.exit_code)} - {str(int(gates))},
    }
    lines = [f"{what}: {', '.join(sorted(names))}" for what, names in surprises.items() if names]
    return "\n".join(["not as expected:", *lines, f"seen:{told(seen)}"]) if lines else ""


def test_every_check_was_seen_to_fail() -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-m", SCHEDULES]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    checks = set(re.findall(r"^ +(\S+/\S+::.+?) · ", listed.stdout, flags=re.MULTILINE))
    proven = {check for fault in faults.load().values() for check in fault.fails}
    assert checks, listed.stdout + listed.stderr
    assert not checks - proven, "no fault proves that these can fail"
    assert not proven - checks, "faults name checks that do not exist"
