"""Keeps others away while a restore goes on: restores and deployments from its beginning, runbooks and backups meanwhile."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_runbook import clock
from pytest_runbook.backup.restore import journal
from pytest_runbook.errors import BackupError, HistoryError, RestoreError

if TYPE_CHECKING:
    from pytest_runbook.history import Lock, Store
    from pytest_runbook.settings import Settings

LOCK = "restore"
WITHOUT_HISTORY = (
    "  hint: or, where it cannot be mended now: see that nobody restores, deploys, mends or backs up on any machine, then\n"
    "  runbook restore --undo --without-history"
)
MIXED = (journal.EXCHANGING, journal.CHECKING, journal.HELD)
"""States in which what is in use is of two times, or may be taken back."""


@contextmanager
def here(folder: Path) -> Iterator[None]:
    """Keep every other restore out that has its journal in FOLDER, where nothing need be written: a full disk stops nobody."""
    with ExitStack() as stack:
        with suppress(OSError):  # there is none yet, or its disk knows no locks
            place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, place)
            try:
                fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RestoreError(f'another restore is going on: a process has the folder "{folder}" locked') from None
        yield


@contextmanager
def alone(settings: Settings, root: Path, run: str) -> Iterator[tuple[Store, list[Lock]]]:
    """Keep every other restore of the system out, and every deployment: it would migrate what is exchanged."""
    from pytest_runbook.deploy.deployment import LOCK as DEPLOYMENT
    from pytest_runbook.history.locks import Held

    store = history(settings, root)
    with ExitStack() as stack:
        try:
            locks = together(stack, (LOCK, DEPLOYMENT), lambda name: store.lock(name, run))
        except Held as error:
            raise RestoreError(f"another restore, or a deployment, is going on: {error}") from None
        yield store, locks


def alone_still(lock: Lock) -> bool:
    """Whether nobody else acts though LOCK was silent for too long, so that one may go back.

    Where the history cannot be asked, it is so if only processes of this machine could take it: they read our journal first.
    """
    try:
        return not lock.taken()
    except HistoryError:
        return lock.local


def history(settings: Settings, root: Path) -> Store:
    """That of the system of SETTINGS, whose project lies in ROOT."""
    from pytest_runbook.history import Store

    url = settings.history.url.get_secret_value()
    return Store.open(url, settings.system.name, settings.system.environment, root=root)


def deployment(store: Store, *, over: bool) -> str:
    """What is to be told of a deployment that is not at its end, if there is one; RestoreError, unless one restores OVER it.

    Going on, or back, it would start a version that may not know the data that were restored.
    """
    from pytest_runbook.history.deployments import in_the_way

    if (row := store.unfinished_deployment()) is None:
        return ""
    if not over:
        raise RestoreError(f"{in_the_way(row)}; when neither can be: --over-deployment")
    return f"the deployment {row.id}, of {row.version}, is not at its end: runbook deploy --status, when this has ended"


def end_deployment(store: Store) -> None:
    """End what programs are left of the deployment over which one restores: one would start a version in the middle."""
    from pytest_runbook.deploy.deployment import end_programs

    if row := store.unfinished_deployment():
        end_programs(row)


def insist_on_no_exchange(settings: Settings, root: Path, tell: Callable[[str], None]) -> None:
    """BackupError when a backup might hold what a restore exchanges: `newest` would be half of it, or what is taken back.

    For who has the lock of backups, which a restore waits for once its journal says that it exchanges. TELL as in `Journal.open`.
    """
    for one in journal.Journal(root / settings.restore.journal).open(tell):
        if one.state in MIXED:
            raise BackupError(
                f'the restore "{one.id}" is not at its end: it is {one.state}, and what is in use may be taken back\n'
                "  hint: runbook restore --status tells, --finish or --undo ends it; then back up",
                reason="busy",
            )


@contextmanager
def undisturbed(settings: Settings, store: Store, run: str) -> Iterator[list[Lock]]:
    """Keep runbooks off all services, for one would start what is stopped for the exchange; and backups away from that."""
    from pytest_runbook.backup.making import LOCK as BACKUP
    from pytest_runbook.history.locks import Held

    end = clock.monotonic() + settings.restore.stopping

    def take(name: str) -> Lock:
        while True:
            try:
                return store.lock(name, run)
            except Held as error:
                if clock.monotonic() > end:
                    raise RestoreError(f"somebody works on a service, or makes a backup: {error}") from None
                time.sleep(0.2)

    with ExitStack() as stack:
        yield together(stack, sorted({BACKUP, *settings.services}), take)


def together(stack: ExitStack, names: Sequence[str], take: Callable[[str], Lock]) -> list[Lock]:
    """What TAKE gets for NAMES, given back by STACK; side by side, since what a dead run left is watched for a while.

    RunbookError when a step of such a run still works.
    """
    from pytest_runbook.runbooks.process import insist_over

    with ThreadPoolExecutor(max(len(names), 1)) as pool:
        asked = [pool.submit(take, name) for name in names]
    for one in asked:
        if not one.exception():
            stack.enter_context(one.result())
    locks = [one.result() for one in asked]
    insist_over(locks)
    return locks
