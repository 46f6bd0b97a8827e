"""What `runbook deploy` and `runbook rollback` share: the project, the history, exit codes, what is said at the end."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NoReturn

import click

from pytest_runbook.cli._changing import heed_endings, tell
from pytest_runbook.cli._options import BadUsage, loaded, project_root
from pytest_runbook.errors import HistoryError, RunbookError
from pytest_runbook.files import memory
from pytest_runbook.naming import new_id

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
  6    held, or unfinished: somebody has to look, --resume, --abort or --forth
"""

ASKED = {
    False: ("look again, go back, or leave it?", ["look", "back", "leave"]),
    True: ("go back, go forth, or leave it?", ["back", "forth", "leave"]),
}
"""What who sits there is asked while a deployment is held, by whether it tried to go back."""


class Room:
    """The project in which a command works, and its history."""

    def __init__(self, file: Path | None, overrides: tuple[str, ...]) -> None:
        from pytest_runbook.deploy.looks import Project

        found = loaded(file, overrides)
        self.root = project_root(file)
        self.settings = found.settings
        self._project = Project(self.root, found, file.absolute() if file else None, overrides)

    @cached_property
    def store(self) -> Store:
        """Its history; ends the command when that cannot be opened."""
        try:
            return self.opened()
        except HistoryError as error:
            raise BadUsage(_words(error)) from None

    def opened(self) -> Store:
        """Its history; HistoryError when that cannot be opened."""
        from pytest_runbook.history.store import Store

        system, url = self.settings.system, self.settings.history.url.get_secret_value()
        return Store.open(url, system.name, system.environment, root=self.root)

    def deployment(self) -> Deployment:
        """What deploys here."""
        from pytest_runbook.deploy import Deployment
        from pytest_runbook.deploy.safety import backup_of

        return Deployment(self._project, self.store, lambda: backup_of(self._project), tell)


@contextmanager
def unrecorded(file: Path | None, overrides: tuple[str, ...]) -> Iterator[Room]:
    """The project with a history, and a folder of runs, that end with the command; BadUsage while its own can be used."""
    if _usable(Room(file, overrides)):
        raise BadUsage("the history can be used, and is to have what is done\n  hint: leave --without-history out")
    with TemporaryDirectory(prefix="runbook-", dir=memory()) as folder:  # the disk that is full may be that of both
        aside = (f"history.url=sqlite:///{folder}/history.db", f"report.directory={folder}/runs")
        yield Room(file, (*overrides, *aside))
        tell(
            "nothing of this is on record, and nothing takes it up: runbook deploy --status, when the history can be used"
        )


def _usable(room: Room) -> bool:
    """Whether the history of ROOM can be read and written, somebody else at work or not."""
    from pytest_runbook.deploy.deployment import LOCK
    from pytest_runbook.history import Held

    try:
        room.opened().lock(LOCK, new_id()).release()
    except Held:
        return True
    except HistoryError:
        return False
    return True


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
            raise BadUsage(deployment.clean(_words(error))) from None
        _leave(deployment.clean(_words(error)))
    except Exception:  # whatever it is, no code may say that it is at its end, or that nothing was changed
        why = deployment.clean(traceback.format_exc())
        if deployment.unfinished:
            _leave(why)
        tell(why, err=True)
        sys.exit(BROKEN)


def _words(error: RunbookError) -> str:
    """ERROR for people; a history that does not answer keeps nobody from going back."""
    way = "; runbook rollback --to VERSION --without-history goes back without it"
    return f"{error}{way if isinstance(error, HistoryError) else ''}"


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
    from pytest_runbook.deploy.phases import tried_back
    from pytest_runbook.deploy.telling import TAKE_UP

    while row.held and sys.stdin.isatty():
        tell(f"held: {row.held}")
        question, choices = ASKED[tried_back(row)]
        try:
            answer = click.prompt(question, type=click.Choice(choices))
        except (click.Abort, OSError):  # nobody sits there any more
            break
        if answer == "leave":
            break
        wanted_back = answer == "back" or (wanted_back and answer != "forth")
        take_up = {"look": deployment.resume, "back": deployment.abort, "forth": deployment.finish}[answer]
        row = take_up(row.id)
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
