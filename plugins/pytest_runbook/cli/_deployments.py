"""What `runbook deploy` and `runbook rollback` share: the project, the history, exit codes, what is said at the end."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from pytest_runbook.cli._changing import heed_endings, tell
from pytest_runbook.cli._options import BadUsage, loaded, project_root, readable
from pytest_runbook.errors import RunbookError

if TYPE_CHECKING:
    from pytest_runbook.deploy import Deployment
    from pytest_runbook.history import DeploymentRow, Store

NOT_KEPT, BROKEN, REFUSED, HELD = 1, 3, 5, 6
CODES = """\b
Exit codes:
  0    {done}
  1    the new version did not hold; the version before runs and is verified
  2    interrupted: it is not at its end, --status tells
  3    an error inside the command itself; nothing was changed
  4    a bad option, a bad name or bad settings; nothing was changed
  5    refused: the gate, the backup, the baseline or the canary failed; nothing was changed
  6    held, or unfinished: somebody has to look, --resume or --abort
"""


class Room:
    """The project in which a command works, and its history."""

    def __init__(self, file: Path | None, overrides: tuple[str, ...]) -> None:
        from pytest_runbook.deploy.looks import Project
        from pytest_runbook.history.store import Store

        found = loaded(file, overrides)
        self.root = project_root(file)
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

        return Deployment(self._project, self.store, lambda: backup_of(self._project), tell)


@contextmanager
def told(deployment: Deployment) -> Iterator[None]:
    """End the command in the words of what went wrong; whatever that is, DEPLOYMENT is on record, and so the code says.

    Asked to end, as by Ctrl-C, what runs is ended with it, and the phase that it was in stays open.
    """
    heed_endings("asked to end")
    try:
        yield
    except KeyboardInterrupt:
        tell("interrupted in the middle of a deployment\n  hint: runbook deploy --status", err=True)
        raise
    except RunbookError as error:
        if not deployment.unfinished:
            raise BadUsage(deployment.clean(str(error))) from None
        _leave(deployment.clean(str(error)))
    except Exception:  # whatever it is, no code may say that it is at its end, or that nothing was changed
        why = deployment.clean(traceback.format_exc())
        if deployment.unfinished:
            _leave(why)
        tell(why, err=True)
        sys.exit(BROKEN)


def _leave(why: str) -> NoReturn:
    """End the command where a deployment is not at its end."""
    from pytest_runbook.deploy.telling import TAKE_UP

    tell(f"it is not at its end: {why.rstrip()}\n  hint: {TAKE_UP}", err=True)
    sys.exit(HELD)


def shown(lines: Iterable[str]) -> int:
    """Say what would be done, in LINES; the exit code."""
    for line in lines:
        tell(line)
    return 0


def finished(deployment: Deployment, row: DeploymentRow, *, wanted_back: bool = False) -> int:
    """Say what came of ROW, and ask who sits there what to do while it is held; the exit code."""
    from pytest_runbook.deploy.telling import TAKE_UP

    while row.held and sys.stdin.isatty():
        tell(f"held: {row.held}")
        try:
            answer = click.prompt("look again, go back, or leave it?", type=click.Choice(["look", "back", "leave"]))
        except (click.Abort, OSError):  # nobody sits there any more
            break
        if answer == "leave":
            break
        wanted_back = wanted_back or answer == "back"
        row = deployment.abort(row.id) if answer == "back" else deployment.resume(row.id)
    why = (row.why or row.held or "").partition("\n")[0]  # the rest was told by the phase
    tell(f"{row.outcome or 'held'}: {why}")
    match row.outcome:
        case "deployed":  # who wanted to go back learns that another process went on
            return HELD if wanted_back else 0
        case "rolled-back":
            return 0 if wanted_back or row.kind == "rollback" else NOT_KEPT
        case "aborted":
            return 0
        case "refused":
            return REFUSED
    tell(f"  hint: {TAKE_UP}")
    return HELD
