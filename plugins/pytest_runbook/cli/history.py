"""`runbook history`: what runbooks were tried, step by step, and what came of it."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pytest_runbook.cli._options import BadUsage, loaded, project_root, readable, settings_options
from pytest_runbook.errors import unknown

if TYPE_CHECKING:
    from pytest_runbook.history.rows import AttemptRow
    from pytest_runbook.settings import Settings


@click.command(
    epilog="""\b
Exit codes:
  0    shown; an empty history is one
  4    bad settings, a history that cannot be read, or a service or runbook that neither is known nor was tried
"""
)
@settings_options
@click.option("--runbook", metavar="ID", help="Only this runbook.")
@click.option("--service", metavar="NAME", help="Only this service.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1), help="At most so many attempts.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array of objects.")
def command(
    file: Path | None, overrides: tuple[str, ...], runbook: str | None, service: str | None, limit: int, as_json: bool
) -> None:
    """Show attempts to mend something, the newest first, each with its steps."""
    settings = loaded(file, overrides).settings
    root = project_root(file)
    rows: list[AttemptRow] = []
    if settings.history.begun(root):
        from pytest_runbook.history.store import Store

        url = settings.history.url.get_secret_value()
        with readable():
            store = Store.open(url, settings.system.name, settings.system.environment, root=root)
            rows = store.rows(runbook=runbook, service=service, limit=limit)
    if not rows:
        _insist_known(root, settings, runbook, service)
    if as_json:
        click.echo(json.dumps([_plain(dataclasses.asdict(row)) for row in rows], indent=2, ensure_ascii=False))
        return
    for row in rows:
        click.echo(
            f"{_moment(row.started)}  {row.runbook} on {row.service}: {row.outcome or 'going on'}  (run {row.run})"
        )
        for step in row.steps:
            took = f", {step.duration:.1f} s" if step.duration is not None else ""
            click.echo(f"    {step.step} ({step.risk}): {step.outcome or 'open'}{took}")
    if not rows:
        chosen = (f' with the runbook "{runbook}"' if runbook else "") + (
            f' on the service "{service}"' if service else ""
        )
        where = f"{' of' if chosen else ' on'} {settings.system.name} ({settings.system.environment})"
        there = "" if settings.history.begun(root) else f": there is no history yet ({settings.history.place})"
        click.echo(f"nothing was tried yet{chosen}{where}{there}")


def _insist_known(root: Path, settings: Settings, runbook: str | None, service: str | None) -> None:
    """Refuse a RUNBOOK or SERVICE that is not there, of which there is no history either."""
    from pytest_runbook.runbooks.loading import texts

    if runbook is not None and runbook not in (known := texts(root / "remediation")):
        raise BadUsage(unknown("runbook", runbook, known))
    if service is not None and service not in settings.services:
        raise BadUsage(unknown("service", service, settings.services))


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"


def _plain(value: Any) -> Any:
    """VALUE as JSON knows it."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value
