"""Keeps others away while a restore goes on: other restores and deployments from its beginning, runbooks meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_runbook import clock
from pytest_runbook.errors import RestoreError

if TYPE_CHECKING:
    from pytest_runbook.history import Lock, Store
    from pytest_runbook.settings import Settings

LOCK = "restore"


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


@contextmanager
def services(settings: Settings, store: Store, run: str) -> Iterator[list[Lock]]:
    """Keep runbooks off all services: one would start what is stopped for the exchange."""
    from pytest_runbook.history.locks import Held

    end = clock.monotonic() + settings.restore.stopping

    def take(name: str) -> Lock:
        while True:
            try:
                return store.lock(name, run)
            except Held as error:
                if clock.monotonic() > end:
                    raise RestoreError(f"somebody works on a service: {error}") from None
                time.sleep(0.2)

    with ExitStack() as stack:
        yield together(stack, sorted(settings.services), take)


def together(stack: ExitStack, names: Sequence[str], take: Callable[[str], Lock]) -> list[Lock]:
    """What TAKE gets for NAMES, given back by STACK; side by side, since what a dead run left is watched for a while."""
    with ThreadPoolExecutor(max(len(names), 1)) as pool:
        asked = [pool.submit(take, name) for name in names]
    for one in asked:
        if not one.exception():
            stack.enter_context(one.result())
    return [one.result() for one in asked]
