"""`runbook history`: what runbooks were tried, step by step, and what came of it."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pytest_runbook.cli._options import loaded, project_root, readable, settings_options

if TYPE_CHECKING:
    from pytest_runbook.history.rows import AttemptRow


@click.command(
    epilog="""\b
Exit codes:
  0    shown; an empty history is one
  4    bad settings, or a history that cannot be read
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
        click.echo(f"nothing was tried yet on {settings.system.name} ({settings.system.environment})")


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"


def _plain(value: Any) -> Any:
    """VALUE as JSON knows it."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value
