"""Puts a backup into production: everything is made ready beside what is there, exchanged in seconds, looked at by checks,
and exchanged back when they fail.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_runbook import clock
from pytest_runbook.backup import destinations, everything
from pytest_runbook.backup.comparing import Proof
from pytest_runbook.backup.drill.certificate import Phase
from pytest_runbook.backup.drill.stopwatch import Stopwatch
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.backup.restore import journal, scratch
from pytest_runbook.backup.restore.exchange import Exchange, drop_database, remove_made
from pytest_runbook.backup.restore.journal import Journal, Restore
from pytest_runbook.backup.restore.preparing import Preparing, administrator
from pytest_runbook.backup.verifying import verify
from pytest_runbook.checkrun import CheckRun
from pytest_runbook.errors import RestoreError, RunbookError, Unmeasured
from pytest_runbook.model import Outcome
from pytest_runbook.naming import new_id
from pytest_runbook.runbooks.reach import Reach

if TYPE_CHECKING:
    from pytest_runbook.backup.destinations import Destination
    from pytest_runbook.settings import Loaded

PARTS = ("database", "cache", "files", "config")
LOCK = "restore"
GOOD = (Outcome.PASSED, Outcome.SKIPPED, Outcome.WAIVED)
"""Outcomes of checks that speak for what was restored."""


@dataclass
class Production:
    """Restores into the system of LOADED, whose project lies in ROOT."""

    loaded: Loaded
    root: Path
    settings_file: Path | None = None
    say: Callable[[str], None] = field(default=lambda _: None)
    phases: list[Phase] = field(default_factory=list)
    proofs: list[Proof] = field(default_factory=list)
    """What was compared with the manifest before anything was exchanged."""

    @property
    def journal(self) -> Journal:
        """The journals of this system's restores."""
        return Journal(self.root / self.loaded.settings.restore.journal)

    def judge(self, source: str, backup: str) -> Manifest:
        """The manifest of BACKUP in SOURCE, when it may be restored here; RestoreError says why not. Changes nothing."""
        with self._connected(source) as destination:
            manifest = destination.manifest(backup)
            settings = self.loaded.settings
            if (manifest.system, manifest.environment) != (settings.system.name, settings.system.environment):
                raise RestoreError(
                    f'the backup is of "{manifest.system}" in {manifest.environment}, '
                    f'not of "{settings.system.name}" in {settings.system.environment}',
                    reason="other-system",
                )
            known = settings.restore.revisions
            if known and manifest.schema and manifest.schema not in known:
                raise RestoreError(
                    f'the database of the backup is at revision "{manifest.schema}", the deployed release knows up to '
                    f'"{known[-1]}"\n  hint: deploy the release that made it (it says "{manifest.release}") first',
                    reason="schema-newer",
                )
            with self._watch.phase("verify", "the backup is read back, whole"):
                verdict = verify(destination, backup)
            if not verdict.good:
                faults = "\n".join(f"  {fault}" for fault in verdict.faults[:10])
                raise RestoreError(f'the backup "{backup}" is not good\n{faults}', reason="unverified")
        return manifest

    def restore(self, source: str, manifest: Manifest, parts: Sequence[str], *, safety: bool = True) -> Restore:
        """Put PARTS of the backup of MANIFEST in SOURCE into production, and say what came of it."""
        id_ = new_id()
        with self._alone(id_):
            if left := [one for one in self.journal.all() if one.open]:
                raise RestoreError(
                    f'the restore "{left[0].id}" is not finished\n  hint: runbook restore --status, then --finish or --undo'
                )
            restore = self.journal.begin(id_, manifest.id, source, list(parts))
            try:
                self._prepare(restore, manifest, safety)
            except BaseException:
                self._give_up(restore)
                raise
            self._told_go(restore)
            return restore

    def finish(self, id_: str = "") -> Restore:
        """Go on with the restore ID_, which was killed or held: exchange what is not exchanged yet, start, look."""
        restore = self.journal.unfinished(id_)
        if restore.state == journal.PREPARING:
            raise RestoreError(
                f'"{restore.id}" was killed before anything was exchanged\n  hint: --undo, then restore anew'
            )
        with self._alone(restore.id):
            self._told_go(restore)
        return restore

    def undo(self, id_: str = "") -> Restore:
        """Take the restore ID_ back, which was killed or held."""
        restore = self.journal.unfinished(id_)
        with self._alone(restore.id):
            if restore.state == journal.PREPARING:
                self._give_up(restore)
            else:
                self._back(restore, "somebody took it back")
        return restore

    # -- the parts of a restore --------------------------------------------------------------------------------------

    def _prepare(self, restore: Restore, manifest: Manifest, safety: bool) -> None:
        settings = self.loaded.settings
        if safety:
            with self._phase(restore, "safety", "what is there now is backed up"):
                restore.safety = everything.make(settings, self.root, to=(), prune=False).id
                self.journal.save(restore)
        with self._connected(restore.source) as destination, scratch.folder(settings.drill.folder) as home:
            save = partial(self.journal.save, restore)
            ready = Preparing(settings, self.root, destination, manifest, restore, home, save, self.proofs)
            configuration = set(settings.backup.files.configuration)
            data = set(settings.backup.files.roots) - configuration
            roots = (data if "files" in restore.parts else set()) | (
                configuration if "config" in restore.parts else set()
            )
            if "database" in restore.parts and manifest.database:
                with self._phase(restore, "database", "the database is restored beside the one that is there"):
                    ready.database()
            if "cache" in restore.parts and manifest.cache:
                with self._phase(restore, "cache", "the cache's data are made ready"):
                    ready.cache()
            if roots and manifest.files is not None:
                with self._phase(restore, "files", "the files are restored beside those that are there"):
                    ready.files(roots)
        if not restore.swaps:
            raise RestoreError(f'the backup "{manifest.id}" holds nothing of {", ".join(restore.parts)}')
        cache = settings.restore.cache
        restore.stop = list(settings.restore.stop)
        if cache and "cache" in restore.parts and manifest.cache and cache not in restore.stop:
            restore.stop.append(cache)

    def _told_go(self, restore: Restore) -> None:
        """Go; who interrupts that, or meets an error nobody thought of, is told what to do."""
        try:
            self._go(restore)
        except BaseException:
            self.say(f"it stopped in the middle ({restore.phase}): runbook restore --finish, or --undo")
            raise

    def _go(self, restore: Restore) -> None:
        """Exchange, start and look; back again when the checks fail."""
        self._state(restore, journal.EXCHANGING)
        with self._phase(restore, "stop", f"stopped: {', '.join(restore.stop) or 'nothing'}"):
            self._stop(restore)
        try:
            with self._phase(restore, "exchange", "what is there is exchanged for what was restored"):
                self._exchange(restore).forward(restore)
        except RunbookError as error:
            self._back(restore, f"the exchange failed: {error}")
            return
        try:
            with self._phase(restore, "start", "the services are started"):
                self._start(restore)
        except RunbookError as error:
            self._back(restore, f"the services do not start: {error}")
            return
        self._state(restore, journal.CHECKING)
        with self._phase(restore, "checks", f'the checks "{self.loaded.settings.restore.checks}" look at it') as phase:
            good, why = self._look(restore)
            phase.outcome = "failed" if not good else phase.outcome
        if good is None:
            self._state(restore, journal.HELD, f"nobody could look whether it is well: {why}")
        elif not good:
            self._back(restore, why)
        else:
            self._keep(restore, why)

    def _look(self, restore: Restore) -> tuple[bool | None, str]:
        """Whether the system is well, and the words for it; None when nobody could look."""
        expression = self.loaded.settings.restore.checks
        if not expression:
            return True, "no checks looked at it: restore.checks is empty"
        folder = self.journal.path(restore.id) / "checks"
        try:
            record = CheckRun(self.root, folder, expression, self.settings_file).record(
                self.loaded.settings.restore.timeout
            )
        except Unmeasured as error:
            return None, str(error)
        gating = [one for one in record.gating if one.outcome != Outcome.UNMEASURED]
        unseen = [one for one in record.gating if one.outcome == Outcome.UNMEASURED]
        said = "; ".join(f"{one.check.id}: {one.message}" for one in (gating or unseen)[:5])
        if gating:
            return False, f"{len(gating)} checks fail: {said}"
        if unseen or record.exit_code:
            return None, said or f"pytest ended with status {record.exit_code}"
        return True, f"{len(record.results)} checks looked at it, none gates"

    def _keep(self, restore: Restore, why: str) -> None:
        """What was restored stays; the database that was there before goes, everything else of then is left to a person."""
        server = self._exchange(restore).server
        before = [one.aside for one in restore.swaps if one.kind == "database"]
        if server and before:
            with self._phase(restore, "drop", f'the database that was there before, "{before[0]}", is removed'):
                drop_database(server, before[0])
        left = [one.aside for one in restore.swaps if one.kind == "path" and os.path.lexists(one.aside)]
        self._state(restore, journal.DONE, why)
        for path in left:
            self._tell(restore, f"what was there before lies in {path}: remove it when you are sure")

    def _back(self, restore: Restore, why: str) -> None:
        """Everything as it was before, and running."""
        self._tell(restore, f"going back: {why}")
        with self._phase(restore, "back", "what was there before is put back"):
            self._stop(restore)
            self._exchange(restore).back(restore)
            self._start(restore)
        self._remove(restore)
        self._state(restore, journal.UNDONE, f"it is as it was before: {why}")

    def _give_up(self, restore: Restore) -> None:
        """Nothing was exchanged: remove what was made ready."""
        self._remove(restore)
        self._state(restore, journal.UNDONE, "nothing was exchanged")

    def _remove(self, restore: Restore) -> None:
        """Remove what was made ready, and is not in use."""
        remove_made(restore, self.say)
        if restore.database and (server := self._exchange(restore).server):
            drop_database(server, restore.database)

    def _stop(self, restore: Restore) -> None:
        """Those that work with the cache together, the cache after them."""
        cache = self.loaded.settings.restore.cache
        self._together(restore, [one for one in restore.stop if one != cache], "stop")
        self._together(restore, [one for one in restore.stop if one == cache], "stop")

    def _start(self, restore: Restore) -> None:
        cache = self.loaded.settings.restore.cache
        self._together(restore, [one for one in restore.stop if one == cache], "start")
        self._together(restore, [one for one in restore.stop if one != cache], "start")

    def _together(self, restore: Restore, services: Sequence[str], action: str) -> None:
        with ThreadPoolExecutor(max(len(services), 1)) as pool:
            for done in [pool.submit(self._managed, restore, one, action) for one in services]:
                done.result()

    def _managed(self, restore: Restore, service: str, action: str) -> None:
        reach = Reach(self.loaded.settings, self.root, f"restore:{restore.id}")
        manager, unit = reach.manager(service)
        getattr(manager, action)(unit, self.loaded.settings.restore.stopping)

    def _exchange(self, restore: Restore) -> Exchange:
        return Exchange(administrator(self.loaded.settings) if restore.database else None)

    # -- what happens around -----------------------------------------------------------------------------------------

    @property
    def _watch(self) -> Stopwatch:
        return Stopwatch(self.phases, self.say)

    @contextmanager
    def _phase(self, restore: Restore, name: str, title: str) -> Iterator[Phase]:
        restore.phase = name
        self.journal.save(restore)
        with self._watch.phase(name, title) as phase:
            yield phase
        restore.story.append(f"{title} ({phase.outcome}, {clock.duration(phase.seconds)})")
        self.journal.save(restore)

    def _state(self, restore: Restore, state: str, why: str = "") -> None:
        restore.state = state
        restore.finished = "" if restore.open else clock.iso(clock.now())
        if why:
            self._tell(restore, why)
        self.journal.save(restore)

    def _tell(self, restore: Restore, line: str) -> None:
        restore.story.append(line)
        self.journal.save(restore)
        self.say(line)

    @contextmanager
    def _connected(self, source: str) -> Iterator[Destination]:
        found = destinations.connect(source, self.loaded.settings, self.root)
        try:
            yield found
        finally:
            found.close()

    @contextmanager
    def _alone(self, run: str) -> Iterator[None]:
        """Keep every other restore of this system out."""
        from pytest_runbook.history import Store
        from pytest_runbook.history.locks import Held

        settings = self.loaded.settings
        url = settings.history.url.get_secret_value()
        store = Store.open(url, settings.system.name, settings.system.environment, root=self.root)
        try:
            with store.lock(LOCK, run):
                yield
        except Held as error:
            raise RestoreError(f"another restore is going on: {error}") from None
