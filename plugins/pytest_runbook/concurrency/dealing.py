"""Deals checks out to the workers of xdist; apart from `shares`, so that a run without xdist does not import its scheduler."""

from __future__ import annotations

from xdist.scheduler import LoadScheduling
from xdist.workermanage import WorkerController

from pytest_runbook.concurrency.shares import place_of, share


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
