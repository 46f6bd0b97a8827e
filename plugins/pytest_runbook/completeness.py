"""One invariant behind every verdict: all that was selected was judged. A run with a hole in it is never green."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest


class Completeness:
    """Counts in the controller what should come in, and what did."""

    def __init__(self) -> None:
        self._selected: dict[str, None] = {}
        self._seen: set[str] = set()
        self._unread: list[str] = []
        self.left_out: dict[str, str] = {}
        """Files that skip themselves as a whole, each with its reason."""
        self._broken = False

    def select(self, nodeids: Iterable[str]) -> None:
        """NODEIDS are to be run."""
        self._selected.update(dict.fromkeys(nodeids))

    def holes(self) -> Iterator[str]:
        """A sentence for each way in which the run is not whole."""
        for nodeid in self._unread:
            yield f'"{nodeid}" could not be read: its checks did not run'
        for nodeid, why in self.left_out.items():
            yield f'"{nodeid}" skips itself as a whole, so none of its checks ran: {why}'
        if self._broken:
            yield "pytest met an internal error"
        missing = [nodeid for nodeid in self._selected if nodeid not in self._seen]
        if missing:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            yield f"{len(missing)} selected checks were not judged: {', '.join(missing[:5])}{more}"

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be imported; xdist goes on without it. One that skips itself, as for a library, is no better."""
        if report.failed and report.nodeid not in self._unread:
            self._unread.append(report.nodeid)
        if report.skipped:
            self.left_out[report.nodeid] = str(report.longrepr[-1]) if isinstance(report.longrepr, tuple) else ""

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Iterable[str]) -> None:
        """What the workers are going to run."""
        self.select(ids)

    def pytest_internalerror(self) -> None:
        """In this process or in a worker, where xdist leaves the exit status as it was."""
        self._broken = True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A report that judges: of the call, or of the phase that kept it from coming."""
        if report.when == "call" or report.outcome != "passed":
            self._seen.add(report.nodeid)
