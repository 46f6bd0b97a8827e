"""Stops the services of a system while a restore exchanges their data, and starts them after; who stood still stays so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_runbook import clock
from pytest_runbook.backup.restore import serving
from pytest_runbook.backup.restore.journal import Restore
from pytest_runbook.runbooks.reach import Reach

if TYPE_CHECKING:
    from pytest_runbook.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    """Those that RESTORE stops, in the system of SETTINGS, whose project lies in ROOT."""

    settings: Settings
    root: Path
    restore: Restore
    save: Callable[[], None]
    tell: Callable[[str], None]
    """Says a line, and saves it with all else."""

    def noted(self) -> list[str]:
        """Those to stop, and to start again, on disk before that: one that somebody stopped on purpose stays so."""
        if self.restore.stop is None:  # else whoever was killed, or failed, has stopped them
            cache = self.settings.restore.cache if self.restore.cache_files else None
            wanted = dict.fromkeys([*self.settings.restore.stop, *([cache] if cache else [])])
            idle = [one for one in wanted if one != cache and self._state(one) == "stopped"]
            self.restore.stop = [one for one in wanted if one not in idle]
            for one in idle:
                self.tell(f'"{one}" does not run, and is not started')
            self.save()
        return self.restore.stop

    def stop(self) -> None:
        """Those that work with the cache together, the cache after them."""
        cache, others = self._cache_and_others()
        self._together(others, "stop")
        self._together(cache, "stop")

    def begin(self) -> None:
        """The cache first: who works with it is started when it serves what was restored."""
        cache, others = self._cache_and_others()
        self._together(cache, "start")
        if self.restore.cache:
            said = serving.compare(self.settings, self.restore.cache, self.restore.cache_files)
            self.restore.cache = None  # from now on others write into it
            self.tell(said)
        self.restore.since = clock.iso(clock.now())
        self._together(others, "start")

    def start(self) -> None:
        """The cache first; one that does not start keeps no other from being started."""
        cache, others = self._cache_and_others()
        try:
            self._together(cache, "start")
        finally:
            self._together(others, "start")

    def _cache_and_others(self) -> tuple[list[str], list[str]]:
        cache, noted = self.settings.restore.cache, self.restore.stop or []
        return [one for one in noted if one == cache], [one for one in noted if one != cache]

    def _together(self, services: Sequence[str], action: str) -> None:
        with ThreadPoolExecutor(max(len(services), 1)) as pool:
            for done in [pool.submit(self.managed, one, action) for one in services]:
                done.result()

    def managed(self, service: str, action: str) -> None:
        """Have the manager of SERVICE do ACTION, and wait until it is done."""
        manager, unit = self._reach.manager(service)
        getattr(manager, action)(unit, self.settings.restore.stopping)

    def _state(self, service: str) -> str:
        manager, unit = self._reach.manager(service)
        return manager.status(unit).state

    @property
    def _reach(self) -> Reach:
        return Reach(self.settings, self.root, f"restore:{self.restore.id}")
