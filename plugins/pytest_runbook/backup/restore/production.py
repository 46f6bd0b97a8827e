"""Puts a backup into production: everything is made ready beside what is there, exchanged in seconds, looked at by checks,
and exchanged back when they fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_runbook import clock, interrupts
from pytest_runbook.backup import everything
from pytest_runbook.backup.comparing import Proof
from pytest_runbook.backup.drill.certificate import Phase
from pytest_runbook.backup.drill.stopwatch import Stopwatch
from pytest_runbook.backup.manifest import Manifest
from pytest_runbook.backup.restore import exclusion, journal, left_out, looking, refusals, scratch, versions
from pytest_runbook.backup.restore.exchange import Exchange, drop_database, drop_roles, remove_made
from pytest_runbook.backup.restore.journal import Journal, Restore
from pytest_runbook.backup.restore.preparing import Preparing
from pytest_runbook.backup.restore.servers import administrator
from pytest_runbook.backup.restore.services import Services
from pytest_runbook.backup.verifying import verify
from pytest_runbook.checkrun import WITHIN, CheckRun, recent
from pytest_runbook.errors import BackupError, HistoryError, RestoreError, RunbookError
from pytest_runbook.evidence.redaction import Redactor
from pytest_runbook.naming import new_id
from pytest_runbook.runbooks import family

if TYPE_CHECKING:
    from pytest_runbook.history import Lock, Store
    from pytest_runbook.settings import Loaded

PARTS = ("database", "cache", "files", "config")


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
    overrides: Sequence[str] = ()
    """What the settings were told by `--set`: the checks look at the same system."""
    _locks: list[Lock] = field(default_factory=list)
    """What is held now."""
    _lenient: bool = False
    """Whether a journal that cannot be written is only told: on the way back, where all else matters more."""
    _unsaved: str = ""
    """What was told of that."""

    @property
    def journal(self) -> Journal:
        """The journals of this system's restores."""
        return Journal(self.root / self.loaded.settings.restore.journal)

    def judge(self, source: str, backup: str, *, whole: bool = True) -> Manifest:
        """The manifest of BACKUP in SOURCE, when it may be restored here; RestoreError says why not. Changes nothing.

        One that is not read back WHOLE may still not be good.
        """
        with everything.closing(source, self.loaded.settings, self.root) as destination:
            manifest = destination.manifest(backup)
            refusals.backup(self.loaded.settings, destination, manifest)
            if not whole:
                return manifest
            with self._watch.phase("verify", "the backup is read back, whole"):
                verdict = verify(destination, backup, unnoted=self.say)  # a place may be one that is only read
            if not verdict.good:
                faults = "\n".join(f"  {fault}" for fault in verdict.faults[:10])
                raise RestoreError(f'the backup "{backup}" is not good\n{faults}', reason="unverified")
        return manifest

    def insist(self, store: Store, manifest: Manifest, parts: Sequence[str], *, over: bool = False) -> list[str]:
        """Raise RestoreError when PARTS of the backup of MANIFEST may not be restored now. Changes nothing.

        What is to be told: of a deployment that is not at its end, OVER which one restores (STORE knows), and of doubts.
        """
        if left := self.journal.open(self.say):
            raise RestoreError(
                f'the restore "{left[0].id}" is not finished\n  hint: runbook restore --status, then --finish or --undo'
            )
        deployment = exclusion.deployment(store, over=over)
        doubts = refusals.parts(self.loaded.settings, self.root, manifest, parts)
        return [deployment, *doubts] if deployment else doubts

    def restore(
        self,
        source: str,
        manifest: Manifest,
        parts: Sequence[str],
        *,
        safety: bool = True,
        over_deployment: bool = False,
    ) -> Restore:
        """Put PARTS of the backup of MANIFEST in SOURCE into production, and say what came of it."""
        id_ = new_id()
        with self.alone(id_) as store:
            told = self.insist(store, manifest, parts, over=over_deployment)
            exclusion.end_deployment(store)
            restore = self.journal.begin(id_, manifest.id, source, list(parts))
            for line in told:
                self.tell(restore, line)
            try:
                self._prepare(restore, manifest, safety)
            except BaseException:
                try:
                    self._give_up(restore)
                except (RunbookError, OSError) as left:  # what ended it is raised all the same
                    self.tell(restore, f"what was made ready is left: {left}\n  hint: runbook restore --undo")
                raise
            self._told_go(restore, store)
            return restore

    def finish(self, id_: str = "") -> Restore:
        """Go on with the restore ID_, which was killed: exchange what is not exchanged yet, start, look.

        One that is held is accepted as it is: a person decided.
        """
        with self.alone(id_ or new_id()) as store:
            restore = self._taken_up(id_)
            refusals.finishing(restore)
            if restore.state == journal.HELD and self.exchange(restore).whole(restore):
                self._accept(restore)
            else:
                self._told_go(restore, store)
            return restore

    def undo(self, id_: str = "", *, history: bool = True) -> Restore:
        """Take the restore ID_ back, which was killed or held; without HISTORY, which keeps others out, a person does that."""
        self._lenient = True
        if not history:
            with exclusion.here(self.journal.folder):
                restore = self._taken_up(id_)
                self.tell(restore, "the history was not asked: see which version runs from now on, and who else acts")
                return self._undone(restore)
        try:
            with self.alone(id_ or new_id()) as store:
                restore = self._taken_up(id_)
                if restore.state == journal.PREPARING:
                    return self._undone(restore)
                with self._undisturbed(store, restore.id):
                    versions.stay(self.loaded.settings, self.root, store, restore, partial(self.tell, restore))
                    return self._undone(restore)
        except HistoryError as error:
            raise RestoreError(f"{error}\n{exclusion.WITHOUT_HISTORY}") from None

    def _undone(self, restore: Restore) -> Restore:
        if restore.state == journal.PREPARING:
            self._give_up(restore)
        else:
            self._back(restore, "somebody took it back")
        return restore

    def _taken_up(self, id_: str) -> Restore:
        """The restore ID_, for who has the lock: whoever had it may have ended it. Nothing that it started works on."""
        restore = self.journal.unfinished(id_)
        if not family.end(lambda: family.marked(f"restore:{restore.id}.")):
            raise RestoreError(f'a program that the restore "{restore.id}" started does not end')
        return restore

    # -- the parts of a restore --------------------------------------------------------------------------------------

    def _prepare(self, restore: Restore, manifest: Manifest, safety: bool) -> None:
        settings = self.loaded.settings
        restore.left_out = left_out.of(manifest, restore.parts, settings)
        restore.story += map(left_out.warning, restore.left_out)
        if safety:
            with self._phase(restore, "safety", "what is there now is backed up"):
                try:
                    restore.safety = everything.make(settings, self.root, to=(), prune=False, safety=True).id
                except BackupError as error:
                    raise RestoreError(
                        f"what is there now cannot be backed up: {error}\n"
                        "  hint: mend that, or, when what is there is lost anyway, --without-safety-backup"
                    ) from None
                self._save(restore)
        with (
            everything.closing(restore.source, settings, self.root) as destination,
            scratch.folder(settings.drill.folder) as home,
        ):
            save, tell = partial(self._save, restore), partial(self.tell, restore)
            ready = Preparing(settings, self.root, destination, manifest, restore, home, save, self.proofs, tell)
            with self._phase(restore, "prepare", "everything is made ready beside what is there"):
                ready.run(partial(self._timed, restore))

    def _told_go(self, restore: Restore, store: Store) -> None:
        """Go; what stops that in the middle is on record, and who meets it is told what to do."""
        try:
            self._state(restore, journal.EXCHANGING)
            with self._undisturbed(store, restore.id):
                self._go(restore)
        except BaseException as error:
            if restore.open:
                self._lenient = True
                why = str(error) or "it was interrupted"
                self.tell(restore, f"it stopped in the middle ({restore.phase}): {why}\n  hint: --finish, or --undo")
            raise

    def _go(self, restore: Restore) -> None:
        """Exchange, start and look; back again when that fails, or anything interrupts it."""
        try:
            self.exchange(restore).insist_on_ends(restore)
            with self._phase(restore, "stop", f"stopped: {', '.join(self._services(restore).noted()) or 'nothing'}"):
                self._services(restore).stop()
            with self._phase(restore, "exchange", "what is there is exchanged for what was restored"):
                renames = self.exchange(restore)
                renames.begin(restore)
                self._save(restore)
                renames.forward(restore)
            with self._phase(restore, "start", "the services are started"):
                self._services(restore).begin()
            self._state(restore, journal.CHECKING)
            title = f'the checks "{self.loaded.settings.restore.checks}" look at it'
            with self._phase(restore, "checks", title) as phase:
                good, why = self.look(restore)
                phase.outcome = "failed" if not good else phase.outcome
        except BaseException as error:  # whatever it is: what was stopped has to run again, on what it ran on
            why = f'"{restore.phase}" failed: {error}' if str(error) else f'"{restore.phase}" was interrupted'
            self._back(restore, why)
            if not isinstance(error, RunbookError | OSError):
                raise
            return
        if good is None:
            restore.stop = None  # all of them run: who stops one from now on does it on purpose
            self._state(restore, journal.HELD, f"nobody could look whether it is well: {why}")
        elif not good:
            self._back(restore, why)
        else:
            self._keep(restore, why)

    def _accept(self, restore: Restore) -> None:
        """What was restored stays, whatever the checks see: it is in use, and no later data are put aside."""
        try:
            self._services(restore).start()  # those that a way back could not start again
        except RunbookError as error:  # a version that can start may be deployed only when no restore is open
            self.tell(restore, str(error))
        restore.stop = None
        _, why = self.look(restore)
        self._keep(restore, f"a person accepted it; what the checks see now: {why}")

    def look(self, restore: Restore) -> tuple[bool | None, str]:
        """Whether the system is well, and the words for it; None when nobody could look."""
        own, folder = self.loaded.settings.restore, self.journal.path(restore.id) / "checks"
        told = [*self.overrides, *recent(self.loaded, restore.serves)]
        run = CheckRun(self.root, folder, own.checks, self.settings_file, told, {WITHIN: "restore"})
        return looking.look(run, own.timeout)

    def _keep(self, restore: Restore, why: str) -> None:
        """What was restored stays; what was there before is a person's to remove."""
        self._tell_kept(restore, "what was there before")
        for one in restore.left_out:
            self.tell(restore, f"{one} are only there: the backup left them out")
        self._state(restore, journal.DONE, why)

    def _tell_kept(self, restore: Restore, what: str) -> None:
        for name in self.exchange(restore).kept(restore):
            self.tell(restore, f"{what} is kept as {name}: runbook restore --discard {restore.id} when you are sure")

    def _back(self, restore: Restore, why: str) -> None:
        """Everything as it was before, and running; nobody breaks that off."""
        with interrupts.unheeded():
            self._go_back(restore, why)

    def _go_back(self, restore: Restore, why: str) -> None:
        """What was in use is renamed only: somebody may have written into it."""
        self._lenient = True
        self.tell(restore, f"going back, and Ctrl-C does not end that: {why}")
        with self._phase(restore, "back", "what was there before is put back") as phase:
            if restore.state != journal.BACK:
                if restore.touched and not self._names_back(restore):
                    phase.outcome = "failed"
                    return
                self._state(restore, journal.BACK)
            self._services(restore).start()
        if not restore.touched:
            self._remove(restore)
        self._tell_kept(restore, "what had been restored")
        self._state(restore, journal.UNDONE, f"it is as it was before: {why}")

    def _names_back(self, restore: Restore) -> bool:
        """Rename while nothing uses the names; False when that may not be now, and a person has to see to it."""
        exchange = self.exchange(restore)
        try:
            exchange.way_back(restore)  # who may not rename stops nothing
            self._services(restore).noted()
            self._state(restore, journal.EXCHANGING)  # killed from here on, it is no more what was held
            self._services(restore).stop()
            exchange.back(restore)
        except RunbookError as error:
            if not exchange.whole(restore):
                raise
            # Better all that was restored, running, than half of it.
            self._state(restore, journal.HELD, f"it cannot be taken back now: {error}")
            self._services(restore).start()
            restore.stop = None
            self._save(restore)
            return False
        return True

    def _give_up(self, restore: Restore) -> None:
        """Nothing was exchanged: remove what was made ready."""
        self._lenient = True
        self._remove(restore)
        self._state(restore, journal.UNDONE, "nothing was exchanged")

    def _remove(self, restore: Restore) -> None:
        """Remove what was made ready, and never was in use."""
        if restore.touched:
            raise RestoreError(f'what "{restore.id}" made was in use, and is not removed')
        remove_made(restore, self.say)
        if restore.database and (server := self.exchange(restore).server):
            drop_database(server, restore.database)
            for problem in drop_roles(server, restore.roles):
                self.say(problem)

    def _services(self, restore: Restore) -> Services:
        save, tell = partial(self._save, restore), partial(self.tell, restore)
        return Services(self.loaded.settings, self.root, restore, save, tell)

    def exchange(self, restore: Restore) -> Exchange:
        """What renames for RESTORE."""
        server = administrator(self.loaded.settings) if restore.database else None
        return Exchange(server, self._sure, partial(self.tell, restore))

    def _sure(self) -> None:
        """Raise RestoreError when somebody else may act; on the way back, when somebody may be seen to."""
        for lock in self._locks:
            if lock.lost and not (self._lenient and exclusion.alone_still(lock)):
                raise RestoreError(f'the lock of "{lock.target}" is lost: {lock.why}')

    # -- what happens around -----------------------------------------------------------------------------------------

    @property
    def _watch(self) -> Stopwatch:
        return Stopwatch(self.phases, self.say)

    def _save(self, restore: Restore) -> None:
        try:
            self.journal.save(restore)
        except RestoreError as error:
            if not self._lenient:
                raise
            if str(error) != self._unsaved:
                self._unsaved = str(error)
                self.say(f"{error}; it goes on without a record")

    @contextmanager
    def _phase(self, restore: Restore, name: str, title: str) -> Iterator[Phase]:
        restore.phase = name
        self._save(restore)
        with self._timed(restore, name, title) as phase:
            yield phase

    @contextmanager
    def _timed(self, restore: Restore, name: str, title: str) -> Iterator[Phase]:
        with self._watch.phase(name, title) as phase:
            yield phase
        restore.story.append(f"{title} ({phase.outcome}, {clock.duration(phase.seconds)})")
        self._save(restore)

    def _state(self, restore: Restore, state: str, why: str = "") -> None:
        restore.state = state
        restore.finished = "" if restore.open else clock.iso(clock.now())
        if why:
            self.tell(restore, why)
        self._save(restore)

    def tell(self, restore: Restore, line: str) -> None:
        """Add LINE to the story of RESTORE, on disk, and say it; an error may hold what a service wrote, secrets too."""
        line = Redactor(self.loaded.secrets).text(line)
        restore.story.append(line)
        self._save(restore)
        self.say(line)

    @contextmanager
    def alone(self, run: str) -> Iterator[Store]:
        """Keep every other restore of this system out, and every deployment."""
        with (
            exclusion.alone(self.loaded.settings, self.root, run) as (store, self._locks),
            exclusion.here(self.journal.folder),
        ):
            yield store

    @contextmanager
    def _undisturbed(self, store: Store, run: str) -> Iterator[None]:
        """Keep runbooks off all services, and backups away."""
        with exclusion.undisturbed(self.loaded.settings, store, run) as locks:
            self._locks += locks
            yield
