"""Under xdist: who runs which checks is settled before the run, so that each worker can start its own share together.

xdist deals items out while they run; a worker never knows what comes next. Dealt like cards instead, both sides can tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import pytest

T = TypeVar("T")


def share(items: Sequence[T], place: int, workers: int) -> Sequence[T]:
    """The part of ITEMS that the worker at PLACE (from 0) of WORKERS runs; empty for one that joined later."""
    return items[place::workers] if place < workers else ()


def own_share(config: pytest.Config, items: Sequence[T]) -> Sequence[T]:
    """The part of ITEMS that this process runs: all of them without xdist, none ahead when xdist deals differently."""
    worker = getattr(config, "workerinput", None)
    if worker is None:
        return items
    if not worker.get("runbook_shares"):
        return ()
    return share(items, place_of(worker["workerid"]), worker["workercount"])


def place_of(worker: str) -> int:
    """Place of the worker that xdist calls `gw3`: 3."""
    return int(worker.removeprefix("gw"))
