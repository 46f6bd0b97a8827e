"""`runbook show ID`: the runbook as a person reads it, and the steps that are done for that person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pytest_runbook.cli._options import BadUsage, loaded, project_root, readable
from pytest_runbook.errors import UsageError

if TYPE_CHECKING:
    from pytest_runbook.settings import Settings


@click.command(
    epilog="""\b
Exit codes:
  0    shown
  4    there is no such runbook, or it cannot be loaded
"""
)
@click.argument("name", metavar="ID")
def command(name: str) -> None:
    """Show the text of the runbook ID and its steps, in the order in which they are tried."""
    from pytest_runbook import clock
    from pytest_runbook.runbooks.loading import load

    with readable():
        runbook = load(project_root() / "remediation", name)
    click.echo(runbook.text)
    _tell_first()
    click.echo("\nSteps" if runbook.steps else "\nNo steps: only a person can do this.")
    for number, step in enumerate(runbook.steps, 1):
        click.echo(f"    {number}. {step.name} ({step.stage}, {step.risk}): {step.title}")
        if step.stage != "diagnose":
            back = ", can be taken back" if step.undo else ""
            click.echo(f"       the checks must pass within {clock.duration(step.settle + step.within)}{back}")


def _tell_first() -> None:
    """Say what comes before the commands, which are written for any place; bad settings keep no text from being read."""
    try:
        settings = loaded(None, ()).settings
    except BadUsage as error:
        click.echo(f"\nWhere the services run is not known: {error}", err=True)
        return
    used = {service.manager for service in settings.services.values()}
    told = dict.fromkeys(_first(settings, name) for name in settings.managers if name in used)
    told.pop("", None)
    if told:
        click.echo("\n".join(["\nBefore the commands above", *(f"    {line}" for line in told)]))


def _first(settings: Settings, manager: str) -> str:
    from pytest_runbook import managers

    told = settings.managers[manager]
    text = managers.find(told.kind).by_hand(told)
    try:
        machine = managers.machine(settings, manager)
    except UsageError:
        return text and f"{text}    (on the machine of the services: managers.NAME.on does not say which)"
    return f"{text}    (on the machine of probes.{machine})" if text and machine else text
