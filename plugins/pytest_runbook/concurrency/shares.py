"""Under xdist: who runs which checks is settled before the run, so that each worker can start its own share together.

xdist deals items out while they run; a worker never knows what comes next. Dealt like cards instead, both sides can tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import pytest
from xdist.scheduler import LoadScheduling
from xdist.workermanage import WorkerController

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


class ShareScheduling(LoadScheduling):  # type: ignore[misc]
    """Gives each worker its share at once; what a crashed worker leaves goes to the others as xdist does it."""

    collection: list[str] | None
    maxschedchunk: int | None

    def schedule(self) -> None:
        """Deal all items out, the first time that it is called."""
        if self.collection is not None or not self._check_nodes_have_same_collection():
            super().schedule()
            return
        everything = next(iter(self.node2collection.values()))
        self.collection, self.maxschedchunk = everything, self.maxschedchunk or len(everything)
        nodes: list[WorkerController] = sorted(self.nodes, key=lambda node: place_of(node.gateway.id))
        for place, node in enumerate(nodes):
            part = list(share(range(len(everything)), place, len(nodes)))
            self.node2pending[node].extend(part)
            if part:
                node.send_runtest_some(part)
        for node in nodes:
            node.shutdown()
