"""Runs the checks on a lab as a user does, in a pytest of their own, and reads the record of the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pytest_runbook.checkrun import CheckRun
from pytest_runbook.errors import Unmeasured
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
    look = CheckRun(ROOT, folder, expression, environment={**HURRY, **environment}, arguments=arguments, hidden=OURS)
    try:
        return look.record()
    except Unmeasured as error:
        raise LabError(str(error)) from error
