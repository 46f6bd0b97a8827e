"""Finds what a rollback takes back, and to which version: what a deployment on record replaced, else what the manager knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pytest_runbook.deploy.units import Unit
from pytest_runbook.errors import ManagerError, UsageError
from pytest_runbook.history.rows import DeploymentRow


def previous(rows: Sequence[DeploymentRow], units: Sequence[Unit], running: Mapping[str, str]) -> dict[str, str]:
    """Service to the version before the one of RUNNING, by ROWS, newest first; UsageError when that is not known."""
    return {unit.service: _previous(rows, unit, running[unit.service]) for unit in units}


def standing(row: DeploymentRow, units: Sequence[Unit]) -> list[str]:
    """Those of UNITS that run what the deployment ROW put there, or ran it until they crashed."""
    targets = row.options["targets"]
    return [unit.service for unit in units if unit.last() == targets[unit.service]]


def insist_on_one_version(units: Sequence[Unit], targets: Mapping[str, str]) -> None:
    """UsageError when TARGETS of a rollback are two versions for two of UNITS that have one place for it."""
    for one, other, place in _at_odds(units, targets):
        raise UsageError(
            f'"{one}" would go back to "{targets[one]}" and "{other}" to "{targets[other]}", '
            f"and both have one version, {place}\n"
            "  hint: --to VERSION names one for all, --services NAMES takes some of them back"
        )


def insist_on_one_before(units: Sequence[Unit], before: Mapping[str, str]) -> None:
    """UsageError when two of UNITS that have one place for their version run two, BEFORE: no way back leads there."""
    for one, other, place in _at_odds(units, before):
        raise UsageError(
            f'"{one}" runs "{before[one]}" and "{other}" "{before[other]}", and both have one version, {place}: '
            "going back could not have the next start of each run what it runs now\n"
            f"  hint: bring them to one first: runbook deploy {before[other]} --services {one}, "
            f"or runbook deploy {before[one]} --services {other}"
        )


def _at_odds(units: Sequence[Unit], versions: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Two services at a time, and the place that both have for their one version, for which VERSIONS says two."""
    first = dict[str, str]()
    for unit in units:
        place = unit.manager.version_place(unit.name)
        other = first.setdefault(place, unit.service)
        if versions[other] != versions[unit.service]:
            yield other, unit.service, place


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
