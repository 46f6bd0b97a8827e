"""Runs the checks on a lab as a user does, in a pytest of their own, and reads the record of the run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from pytest_runbook.model import RunRecord

from lab.site import LabError

ROOT = Path(__file__).parent.parent
SCHEDULES = "predeploy or postdeploy or daily or weekly or monthly"
HURRY = {
    # Confirmed as always, two failures of three, only sooner.
    "RUNBOOK__CONFIRM__INTERVAL": "0.1",
    "RUNBOOK__REMEDIATION__INTERVAL": "0.2",
    # Shorter looks at the same things.
    "RUNBOOK__FACTS__DATABASE__QUERY_WINDOW": "1",
    "RUNBOOK__FACTS__WEB__METRICS__WINDOW": "2",
    "RUNBOOK__FACTS__WEB__SAMPLE_REQUESTS": "20",
    "RUNBOOK__FACTS__ML__SAMPLE_RECORDINGS": "3",
    # A server that hangs is given up after two seconds instead of ten.
    "RUNBOOK__PROBES__DATABASE__TIMEOUT": "2",
    "RUNBOOK__PROBES__DATABASE__CONNECT_TIMEOUT": "2",
    "RUNBOOK__PROBES__DATABASE__CONCURRENCY": "12",
    "RUNBOOK__PROBES__STANDBY__TIMEOUT": "2",
    "RUNBOOK__PROBES__CACHE__TIMEOUT": "4",
}
OURS = ("NIGHTSCAN", "RUNBOOK__", "REDIS", "AWS_", "PG", "SMTP_", "PYTEST_", "PYTHONDONTWRITEBYTECODE")
"""Beginnings of variables that would tell a run about another system, that it is a worker of the tests' own pytest, or to
compile every module anew."""


def run_checks(folder: Path, environment: Mapping[str, str], *arguments: str, expression: str = SCHEDULES) -> RunRecord:
    """The record of a run of the checks that EXPRESSION selects, told by ENVIRONMENT alone where the system is.

    Reports lie in FOLDER; ARGUMENTS are handed to pytest. Raises LabError when the run left no record.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    command = [sys.executable, "-m", "pytest", "-m", expression, f"--report={folder}", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env={**inherited, **HURRY, **environment}, capture_output=True, text=True, check=False
    )
    written = folder / "run.json"
    if not written.is_file():
        raise LabError(f"the run ended with status {done.returncode} and no record:\n{done.stdout}\n{done.stderr}")
    record = RunRecord.from_json(json.loads(written.read_text()))
    if record.exit_code != done.returncode:
        raise LabError(
            f"the run ended with status {done.returncode}, its record says {record.exit_code}:\n{done.stdout}"
        )
    return record
