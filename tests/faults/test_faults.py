"""With each fault in place exactly the expected checks fail or are blocked; without one, none does."""

from __future__ import annotations

import re
import subprocess
import sys
from fnmatch import fnmatchcase

import pytest
from pytest_runbook.model import Outcome, Severity

from lab import Lab, faults
from tests.faults.conftest import Verify
from tests.faults.running import ROOT, SCHEDULES, bad, told


def test_a_healthy_lab_is_green_in_every_schedule(verify: Verify) -> None:
    record = verify()
    assert not bad(record), told(bad(record))
    assert record.exit_code == 0
    seen = {schedule for result in record.results for schedule in result.check.schedules}
    assert seen.issuperset({"predeploy", "postdeploy", "daily", "weekly"})


@pytest.mark.parametrize("name", faults.load())
def test_exactly_the_expected_checks_see(name: str, lab: Lab, verify: Verify) -> None:
    fault = faults.find(name)
    with lab.fault(name):
        record = verify()
    seen = bad(record)
    blocked = [result for result in seen if result.outcome == Outcome.BLOCKED]
    failing = [result for result in seen if result.outcome != Outcome.BLOCKED]
    patterns = fault.blocks
    expected = {r.check.id for r in record.results if any(fnmatchcase(r.check.id, pattern) for pattern in patterns)}

    assert {result.check.id for result in failing} == set(fault.fails), told(seen)
    assert {result.check.id for result in blocked} == expected - set(fault.fails), told(seen)
    assert {result.root for result in blocked} == ({fault.root} if fault.blocks else set()), told(seen)
    assert any(fault.schedule in result.check.schedules for result in failing), f"-m {fault.schedule} sees nothing"
    gates = any(result.severity <= Severity.P2 for result in seen)
    assert record.exit_code == int(gates), told(seen)


def test_every_check_was_seen_to_fail() -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-m", SCHEDULES]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    checks = set(re.findall(r"^ +(\S+/\S+::.+?) · ", listed.stdout, flags=re.MULTILINE))
    proven = {check for fault in faults.load().values() for check in fault.fails}
    assert checks, listed.stdout + listed.stderr
    assert not checks - proven, "no fault proves that these can fail"
    assert not proven - checks, "faults name checks that do not exist"
