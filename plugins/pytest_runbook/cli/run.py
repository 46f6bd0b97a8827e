"""`runbook run ID`: one runbook by hand, with the same guards, verified by the same checks."""

from __future__ import annotations

from pathlib import Path

import click

from pytest_runbook.model import Risk


@click.command(
    epilog="""\b
Exit codes, those of pytest:
  0    its checks pass: nothing was needed, or it was mended
  1    a check still fails
  2    interrupted
  4    no such runbook or step, bad settings
  5    no check names this runbook
"""
)
@click.argument("name", metavar="ID")
@click.option("--step", metavar="STEP", help="Only this step, by its name or number; one that only looks always runs.")
@click.option(
    "--remediate",
    type=click.Choice(["plan", "ask", "apply"]),
    default="ask",
    show_default=True,
    help="Say what would be done, ask before each step, or do it.",
)
@click.option(
    "--max-risk",
    type=click.Choice([risk.value for risk in Risk]),
    default=Risk.RESTART.value,
    show_default=True,
    help="The riskiest kind of step; the settings have a ceiling for each environment.",
)
@click.option("--settings", "file", metavar="FILE", type=click.Path(path_type=Path), help="Settings of the system.")
@click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Override one; repeatable.")
def command(
    name: str, step: str | None, remediate: str, max_risk: str, file: Path | None, overrides: tuple[str, ...]
) -> int:
    """Run the checks that name the runbook ID, and the runbook when one of them fails."""
    import pytest

    arguments = [f"--runbook={name}", f"--remediate={remediate}", f"--max-risk={max_risk}", "--gate=P3"]
    arguments += ["-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"]  # it is: we are in it
    arguments += [f"--runbook-step={step}"] if step else []
    arguments += [f"--settings={file}"] if file else []
    arguments += [f"--set={override}" for override in overrides]
    return int(pytest.main(arguments))
