"""What `runbook deploy` and `runbook rollback` share: the project, the history, exit codes, what is said at the end."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from pytest_runbook.cli._options import loaded, readable

if TYPE_CHECKING:
    from pytest_runbook.deploy import Deployment
    from pytest_runbook.history import DeploymentRow, Store

NOT_KEPT, REFUSED, HELD = 1, 5, 6
CODES = """\b
Exit codes:
  0    {done}
  1    the new version did not hold; the version before runs and is verified
  2    interrupted: it is not at its end, --status tells
  3    an error inside the command itself
  4    a bad option, a bad name or bad settings; nothing was changed
  5    refused: the gate, the backup, the baseline or the canary failed; nothing was changed
  6    held, or unfinished: somebody has to look, --resume or --abort
"""


class Room:
    """The project in which a command works, and its history."""

    def __init__(self, file: Path | None, overrides: tuple[str, ...]) -> None:
        from pytest_runbook.deploy.looks import Project
        from pytest_runbook.history.store import Store
        from pytest_runbook.settings.project import project

        found = loaded(file, overrides)
        root, named = project(Path.cwd())
        self.root = root if named or file is None else file.absolute().parent
        self.settings = found.settings
        self._project = Project(self.root, found, file.absolute() if file else None, overrides)
        system = found.settings.system
        with readable():
            url = found.settings.history.url.get_secret_value()
            self.store: Store = Store.open(url, system.name, system.environment, root=self.root)

    def deployment(self) -> Deployment:
        """What deploys here."""
        from pytest_runbook.deploy import Deployment
        from pytest_runbook.deploy.safety import backup_of

        return Deployment(self._project, self.store, lambda: backup_of(self._project), click.echo)


@contextmanager
def told() -> Iterator[None]:
    """End the command in the words of what went wrong; asked to end, as by Ctrl-C, say that the deployment is on record.

    What runs is ended with it, and the phase that it was in stays open.
    """

    def interrupted(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupted)
    try:
        with readable():
            yield
    except KeyboardInterrupt:
        click.echo("interrupted in the middle of a deployment\n  hint: runbook deploy --status", err=True)
        raise


def finished(deployment: Deployment, row: DeploymentRow, *, wanted_back: bool = False) -> int:
    """Say what came of ROW, and ask who sits there what to do while it is held; the exit code."""
    from pytest_runbook.deploy.telling import TAKE_UP

    while row.held and sys.stdin.isatty():
        click.echo(f"held: {row.held}")
        match click.prompt("look again, go back, or leave it?", type=click.Choice(["look", "back", "leave"])):
            case "look":
                row = deployment.resume()
            case "back":
                row, wanted_back = deployment.abort(), True
            case _:
                break
    why = (row.why or row.held or "").partition("\n")[0]  # the rest was told by the phase
    click.echo(f"{row.outcome or 'held'}: {why}")
    match row.outcome:
        case "deployed":
            return 0
        case "rolled-back":
            return 0 if wanted_back or row.kind == "rollback" else NOT_KEPT
        case "aborted":
            return 0
        case "refused":
            return REFUSED
    click.echo(f"  hint: {TAKE_UP}")
    return HELD
