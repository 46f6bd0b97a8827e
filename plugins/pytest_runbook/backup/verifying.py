"""Verifies a backup: everything is read back from where it lies, and each part by the program that would restore it."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from pytest_runbook import clock
from pytest_runbook.backup import archives, programs, reading
from pytest_runbook.backup.aside import scratch
from pytest_runbook.backup.destinations import Destination
from pytest_runbook.backup.destinations.folder import Folder
from pytest_runbook.backup.filelist import Files
from pytest_runbook.backup.manifest import CACHE, DATABASE, FILES, ID, MANIFEST, REFUTED, VERIFIED, Manifest, Stored
from pytest_runbook.backup.verdict import Fault, Verdict
from pytest_runbook.errors import BackupError


def verify(
    destination: Destination,
    id: str,  # noqa: A002
    *,
    note: bool = True,
    reread: float = 0.0,
    unnoted: Callable[[str], object] | None = None,
) -> Verdict:
    """Read the backup ID back from DESTINATION, whole, and say what is wrong with it.

    Archives of earlier backups that were read within REREAD days, and are there as they were, are not read again.
    With NOTE a good one is noted there as verified, a bad one as refuted. Raises nothing that is a fault of the backup.
    Where a good one cannot be noted UNNOTED is told so; without it that is an error.
    """
    begun = clock.monotonic()
    verdict = Verdict(id, destination.name)
    read = _Reading(destination, verdict.looked, reread)
    try:
        verdict.faults.extend(read.faults(id))
    except (BackupError, OSError) as error:
        verdict.faults.append(_as_fault(error, MANIFEST))
    verdict = Verdict(id, verdict.destination, verdict.faults, read.bytes, clock.monotonic() - begun, verdict.looked)
    if note and verdict.good:
        try:
            _confirm(destination, verdict, read.archives)
        except BackupError as error:
            if unnoted is None:
                raise
            unnoted(f'"{id}" is good, and that cannot be noted: {error}')
    elif note and verdict.damage and "other-system" not in verdict.reasons:  # what belongs to others is left alone
        # Who could not look has nothing against what others saw: that is no damage.
        try:
            _refute(destination, verdict)
        except BackupError as error:  # a bad disk is often one that cannot be written to as well
            verdict.faults.append(Fault("unverified", REFUTED, f"what was found cannot be noted: {error}"))
    return verdict


def verified(destination: Destination, id: str) -> bool:  # noqa: A002
    """Whether somebody read the backup ID back from DESTINATION and found nothing wrong."""
    return destination.noted(id, VERIFIED) is not None


def software() -> str:
    """Our name and version."""
    return f"pytest-runbook {version('pytest-runbook')}"


def _confirm(destination: Destination, verdict: Verdict, read: dict[str, str]) -> None:
    """Note that a backup is good, and when the archives of those that it needs were READ."""
    own = archives.noted(read.pop(verdict.id, ""))
    destination.note(verdict.id, VERIFIED, {**_noted(verdict), **own})
    if destination.noted(verdict.id, REFUTED) is not None:
        destination.forget(verdict.id, REFUTED)
    for earlier, mark in read.items():
        archives.note(destination, earlier, mark)


def _refute(destination: Destination, verdict: Verdict) -> None:
    """Note that a backup is bad, and so is what needs the same archives of files."""
    destination.forget(verdict.id, VERIFIED)
    reasons = list(dict.fromkeys(fault.reason for fault in verdict.damage))
    # The note can be read where the backup itself is encrypted: it names no file and no table.
    destination.note(verdict.id, REFUTED, {**_noted(verdict), "reasons": reasons})
    _distrust(destination, _damaged(verdict))


def _damaged(verdict: Verdict) -> set[str]:
    """IDs of backups whose archive of files, or manifest, is not what was written, and which others may need as well."""
    wheres = [fault.where for fault in verdict.damage]
    own = {verdict.id for where in wheres if where.partition(":")[0] in (FILES, MANIFEST)}
    return own | {where.partition("/")[0] for where in wheres if ID.match(where) and where.partition("/")[2]}


def _distrust(destination: Destination, damaged: set[str]) -> None:
    """Nothing that needs files out of DAMAGED is verified any more: the next backup stores those files again."""
    for backup in destination.backups() if damaged else ():
        with suppress(BackupError):
            if backup in damaged or destination.head(backup).needs & damaged:
                destination.forget(backup, VERIFIED)


def _noted(verdict: Verdict) -> dict[str, object]:
    return {
        "at": clock.iso(clock.now()),
        "destination": verdict.destination,
        "by": f"{os.uname().nodename}:{os.getpid()}",
        "software": software(),
        "bytes": verdict.bytes,
        "seconds": round(verdict.seconds, 3),
        "looked": verdict.looked,
    }


class _Reading:
    """One reading of one backup."""

    def __init__(self, destination: Destination, looked: dict[str, str], reread: float) -> None:
        self._from, self._looked, self._reread, self.bytes = destination, looked, reread, 0
        self.archives: dict[str, str] = {}
        """Backups whose archives of files were read, and what their place told of each before."""

    def faults(self, id: str) -> Iterator[Fault]:  # noqa: A002
        """Everything that is wrong with the backup ID."""
        manifest = self._from.manifest(id)
        system = self._from.settings.system
        if not manifest.is_of(system):
            what = f'"{manifest.system}" in {manifest.environment}, not "{system.name}" in {system.environment}'
            yield Fault("other-system", MANIFEST, f"it is of the system {what}")
        if manifest.listed is not None and manifest.listed != manifest.summary:
            yield Fault("corrupt", MANIFEST, "what it says of its list of files is not what the list says")
        there = self._from.names(id)
        for name in manifest.stored:
            if name not in there:
                yield Fault("missing", name, "it is not there")
        wanted = {
            part: [name for name in manifest.stored if name.partition("/")[0] == part]
            for part in (DATABASE, CACHE, FILES)
        }
        for part, present in ((DATABASE, manifest.database), (CACHE, manifest.cache), (FILES, manifest.files)):
            if present is not None and not wanted[part]:
                yield Fault("missing", part, "the manifest speaks of it and does not list it")
        with self._local(manifest, set(there)) as (folder, broken):
            yield from broken
            bad = {fault.where for fault in broken} | (set(manifest.stored) - set(there))
            if manifest.database and not _touched(bad, wanted[DATABASE]):
                yield from self._dump(folder / DATABASE, manifest)
            if manifest.cache and not _touched(bad, wanted[CACHE]):
                yield from self._snapshot(folder / CACHE, manifest)
        if manifest.files is not None and not _touched(bad, wanted[FILES]):
            yield from self._files(manifest)

    def _scratch(self) -> AbstractContextManager[Path]:
        return scratch(self._from.settings, self._from.root)

    @contextmanager
    def _local(self, manifest: Manifest, there: set[str]) -> Iterator[tuple[Path, list[Fault]]]:
        """A folder in which the dump and the snapshot lie as they came from there, and faults of all that came."""
        faults: list[Fault] = []
        with ExitStack() as stack:
            own = self._from.path(manifest.id) if isinstance(self._from, Folder) and not self._from.encrypted else None
            folder = own or stack.enter_context(self._scratch())
            for name, told in manifest.stored.items():
                if name in there:
                    copied = name.partition("/")[0] in (DATABASE, CACHE) and own is None
                    faults += self._bring(manifest.id, name, told, folder / name if copied else None)
            yield folder, faults

    def _bring(self, id: str, name: str, told: Stored, to: Path | None) -> list[Fault]:  # noqa: A002
        """Read NAME back, into the file TO if given; what is wrong with it."""
        try:
            with ExitStack() as stack:
                stream = stack.enter_context(self._from.read(id, name))
                if to is not None:
                    to.parent.mkdir(parents=True, exist_ok=True)
                    file = stack.enter_context(to.open("wb"))

                def take(piece: bytes) -> None:
                    self.bytes += len(piece)
                    self._from.advance(len(piece))
                    if to is not None:
                        file.write(piece)

                return list(reading.compared(stream, name, told, take))
        except (BackupError, OSError) as error:
            return [_as_fault(error, name)]

    def _dump(self, folder: Path, manifest: Manifest) -> Iterator[Fault]:
        assert manifest.database
        least = int(manifest.database.dump_version.partition(".")[0] or 0)
        try:
            bindir = programs.postgresql(self._from.settings.backup.programs.postgresql, ("pg_restore",), least=least)
        except BackupError as error:
            yield Fault("unverified", DATABASE, f"nobody can tell: {error}")
            return
        timeout = max(reading.TIMEOUT, self._from.settings.backup.database.timeout)
        yield from reading.dump(folder, bindir, manifest, manifest.database, timeout)
        self._looked[DATABASE] = f"all of it unpacked by pg_restore of {bindir}"

    def _snapshot(self, path: Path, manifest: Manifest) -> Iterator[Fault]:
        assert manifest.cache
        least = int(manifest.cache.version.partition(".")[0] or 0)
        server = None
        try:
            server = programs.redis(self._from.settings.backup.programs.redis)
            if manifest.cache.server not in server.name or programs.version(server) < (least,):
                server = None
        except BackupError:
            pass
        try:
            yield from reading.snapshot(path, manifest.cache, server)
        except OSError as error:
            yield _as_fault(error, CACHE)
            return
        own = f", and by the checker of {server}" if server else "; there is no checker of its server here"
        self._looked[CACHE] = f"its checksum, and its keys counted{own}"

    def _files(self, manifest: Manifest) -> Iterator[Fault]:
        """Faults of the archives that have the files of MANIFEST, its own and those of earlier backups."""
        assert manifest.files is not None
        for name in manifest.files:
            if not reading.inside(name):
                yield Fault("unsafe-path", f"{MANIFEST}:{name}", "its path leads out of the folder")
        needs = manifest.needs
        yield from self._holders(needs)
        spared = sorted(one for one in needs if archives.known(self._from, one, self._reread))
        for backup in sorted({manifest.id, *needs} - {*spared}):
            self.archives[backup] = self._from.mark(backup, FILES)
            own = Files((name, file) for name, file in manifest.files.items() if file.backup == backup)
            where = FILES if backup == manifest.id else f"{backup}/{FILES}"
            try:
                with self._from.read(backup, FILES) as stream:
                    yield from reading.files(stream, own, where, strict=backup == manifest.id)
            except (BackupError, OSError) as error:
                yield _as_fault(error, where)
        left = sum(file.backup in spared for file in manifest.files.values()) if spared else 0
        earlier = f", of this backup and {len(needs) - len(spared)} earlier ones" if needs else ""
        lately = (
            f"; {left} in {', '.join(spared)} not again: they were read lately, and are there as they were"
            if left
            else ""
        )
        self._looked[FILES] = f"{len(manifest.files) - left} files read{earlier}{lately}"

    def _holders(self, needs: Collection[str]) -> Iterator[Fault]:
        """Faults of the manifests of the earlier backups NEEDS, without which nobody takes files out of their archives."""
        for backup in sorted(needs):
            try:
                self._from.head(backup)
            except BackupError as error:
                fault = _as_fault(error, f"{backup}/{MANIFEST}")
                yield replace(fault, reason="missing") if fault.reason == "no-manifest" else fault


def _touched(bad: set[str], names: list[str]) -> bool:
    return any(name in bad for name in names)


def _as_fault(error: BackupError | OSError, where: str) -> Fault:
    """ERROR, met at WHERE; that of a disk, which is none of what is read, says that nobody could look."""
    if isinstance(error, BackupError):
        return Fault(error.reason or "unreachable", where, str(error))
    said = f'"{error.filename or where}": {(error.strerror or str(error)).lower()}'
    hint = "make room beside the local backups, or see the disk there"
    return Fault("unverified", where, f"it cannot be read back: {said}\n  hint: {hint}")
