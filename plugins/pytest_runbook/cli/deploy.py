"""`runbook deploy VERSION`: gate, backup, switch, verify; ends on the new version verified, or on the old one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from pytest_runbook.cli._deployments import CODES, HELD, Room, finished, shown, told
from pytest_runbook.cli._options import settings_options

if TYPE_CHECKING:
    from pytest_runbook.deploy import Deployment, Request


@click.command(epilog=CODES.format(done="the new version runs and is verified; or what was asked for is shown or done"))
@click.argument("version", default="")
@click.option(
    "--services", metavar="NAMES", default="", help="Only these, with commas between; default: deploy.services."
)
@click.option(
    "--canary/--no-canary",
    default=None,
    help="Run the new version beside the services first, where no user meets it; default: deploy.canary_first.",
)
@click.option("--soak", type=click.FloatRange(min=0), help="Watch the new version for so many seconds more.")
@click.option("--no-backup", is_flag=True, help="Make no backup before.")
@click.option("--reason", metavar="TEXT", default="", help="Why there is none; kept on record.")
@click.option("--dry-run", is_flag=True, help="Say what would be done.")
@click.option("--status", is_flag=True, help="Tell where the deployment stands that is not at its end.")
@click.option("--resume", is_flag=True, help="Go on with it.")
@click.option("--abort", is_flag=True, help="End it on the version before.")
@click.option("--forth", is_flag=True, help="End it on the new version, also when it was on the way back.")
@click.option("--history", is_flag=True, help="Show the deployments on record, newest first.")
@click.option("--json", "as_json", is_flag=True, help="With --status and --history: JSON.")
@settings_options
def command(
    version: str,
    services: str,
    canary: bool | None,
    soak: float | None,
    no_backup: bool,
    reason: str,
    dry_run: bool,
    status: bool,
    resume: bool,
    abort: bool,
    forth: bool,
    history: bool,
    as_json: bool,
    file: Path | None,
    overrides: tuple[str, ...],
) -> int:
    """Put VERSION where another runs, and take it back when it is worse.

    The checks of predeploy must be green and a backup verified; then the services are started in VERSION, one after the
    other, and have to be well, to pass the checks of postdeploy, and to be no worse than before. Killed in the middle, it
    is finished by --resume or --abort. With --canary all that is asked of a unit beside each service first.
    """
    from pytest_runbook.deploy import Request

    asked = {"--status": status, "--resume": resume, "--abort": abort, "--forth": forth, "--history": history}
    asked["VERSION"] = bool(version)
    if sum(asked.values()) != 1:
        raise click.UsageError(f"one of {', '.join(asked)} is expected")
    if not version:
        _insist_on_no_wishes()
    room = Room(file, overrides)
    if status:
        return _status(room, as_json)
    if history:
        return _history(room, as_json)
    deployment = room.deployment()
    with told(deployment):
        if resume or abort or forth:
            if dry_run:
                return shown([deployment.left(back=abort, forth=forth)])
            row = deployment.resume() if resume else deployment.abort() if abort else deployment.finish()
            return finished(deployment, row, wanted_back=abort)
        chosen = room.settings.deploy
        request = Request(
            "deploy",
            version,
            tuple(name.strip() for name in services.split(",") if name.strip()),
            backup=not no_backup,
            canary=chosen.canary_first if canary is None else canary,
            soak=chosen.soak if soak is None else soak,
            reason=reason.strip(),
        )
        return _deploy(deployment, request, dry_run)


def _insist_on_no_wishes() -> None:
    """What was begun goes on as it was asked for: who wishes something else has to know that it is not done."""
    context = click.get_current_context()
    wishes = ("services", "canary", "soak", "no_backup", "reason")
    if given := [one for one in wishes if context.get_parameter_source(one) is ParameterSource.COMMANDLINE]:
        raise click.UsageError(f"--{given[0].replace('_', '-')} is only for a new deployment, with a VERSION")


def _deploy(deployment: Deployment, request: Request, dry_run: bool) -> int:
    if dry_run:
        return shown(deployment.plan(request).lines())
    return finished(deployment, deployment.begin(request))


def _status(room: Room, as_json: bool) -> int:
    from pytest_runbook.deploy.telling import plain, standing, story

    row = room.store.unfinished_deployment()
    shown = row or next(iter(room.store.deployments(1)), None)
    if as_json:
        click.echo(json.dumps(plain(shown), indent=2, ensure_ascii=False))
    elif row:
        click.echo("\n".join(standing(row, room.store.life(row.id))))
    else:
        click.echo("no deployment is unfinished" + (", the last one:" if shown else ""))
        click.echo("\n".join(story(shown)) if shown else "", nl=bool(shown))
    return HELD if row else 0


def _history(room: Room, as_json: bool) -> int:
    from pytest_runbook.deploy.telling import plain, story

    rows = room.store.deployments()
    if as_json:
        click.echo(json.dumps(plain(rows), indent=2, ensure_ascii=False))
        return 0
    for row in rows:
        click.echo("\n".join(story(row)))
    if not rows:
        click.echo("nothing was deployed yet")
    return 0
