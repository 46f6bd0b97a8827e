"""`runbook show ID`: the runbook as a person reads it, and the steps that are done for that person."""

from __future__ import annotations

import click

from pytest_runbook.cli._options import project_root, readable


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
    click.echo("\nSteps" if runbook.steps else "\nNo steps: only a person can do this.")
    for number, step in enumerate(runbook.steps, 1):
        click.echo(f"    {number}. {step.name} ({step.stage}, {step.risk}): {step.title}")
        if step.stage != "diagnose":
            back = ", can be taken back" if step.undo else ""
            click.echo(f"       the checks must pass within {clock.duration(step.settle + step.within)}{back}")
