"""Finds the version to go back to: what a deployment on record replaced, else what the manager has on record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_runbook.deploy.units import Unit
from pytest_runbook.errors import ManagerError, UsageError
from pytest_runbook.history.rows import DeploymentRow


def previous(rows: Sequence[DeploymentRow], units: Sequence[Unit], running: Mapping[str, str]) -> dict[str, str]:
    """Service to the version before the one of RUNNING, by ROWS, newest first; UsageError when that is not known."""
    return {unit.service: _previous(rows, unit, running[unit.service]) for unit in units}


def _previous(rows: Sequence[DeploymentRow], unit: Unit, running: str) -> str:
    service = unit.service
    for row in rows:
        if row.outcome == "deployed" and row.options["targets"].get(service) == running:
            return row.before[service]
    try:
        recorded = unit.manager.previous_version(unit.name)
    except ManagerError:
        recorded = None
    left = {
        version
        for row in rows
        if row.outcome == "rolled-back"
        for version in (row.options["targets"] if row.kind == "deploy" else row.before).values()
    }
    if recorded is None or recorded == running or recorded in left:
        seen = f', and "{recorded}" was taken back' if recorded in left else ""
        raise UsageError(
            f'no version before "{running}" of "{service}" is known to be good{seen}\n  hint: --to VERSION names one'
        )
    return recorded
