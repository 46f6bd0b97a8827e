"""`runbook rollback`: the version before, or a named one, at once, and verified."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import click

from pytest_runbook.cli._changing import insist_on
from pytest_runbook.cli._deployments import CODES, Room, finished, shown, told, unrecorded
from pytest_runbook.cli._options import settings_options


@click.command(epilog=CODES.format(done="that version runs and is verified"))
@click.option("--to", "version", metavar="VERSION", default="previous", show_default=True, help="Where to.")
@click.option(
    "--services",
    metavar="NAMES",
    default="",
    help="Only these, with commas between; default: those of the last deployment, with --to deploy.services.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done.")
@click.option(
    "--without-history",
    is_flag=True,
    help="With --to: go back although the history cannot be used. Nobody is kept away, and nothing is on record.",
)
@click.option("--yes", metavar="NAME", default="", help="The name of the system, which that asks for otherwise.")
@settings_options
def command(
    version: str,
    services: str,
    dry_run: bool,
    without_history: bool,
    yes: str,
    file: Path | None,
    overrides: tuple[str, ...],
) -> int:
    """Go back to the version before the last deployment, without gate and backup: what runs now is not good.

    What was measured before that deployment is what the version is compared with. When it cannot be verified, the
    rollback is held, and `runbook deploy --status` tells.
    """
    from pytest_runbook.deploy import Request

    if without_history and version == "previous":
        raise click.UsageError("--without-history needs --to VERSION: the version before stands in the history")
    named = tuple(name.strip() for name in services.split(",") if name.strip())
    request = Request("rollback", None if version == "previous" else version, named)
    with unrecorded(file, overrides) if without_history else nullcontext(Room(file, overrides)) as room:
        if without_history and not dry_run:
            insist_on(room.settings.system.name, yes, "--yes", "go back without its history")
        deployment = room.deployment()
        with told(deployment):
            if dry_run:
                return shown(deployment.plan(request).lines())
            return finished(deployment, deployment.begin(request))
