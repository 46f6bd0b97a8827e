"""Makes a backup in the local folder: whole or not at all, one at a time, and nothing left of one that died."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

from pytest_runbook import clock
from pytest_runbook.backup import archive, destinations
from pytest_runbook.backup.aside import remove_left
from pytest_runbook.backup.belonging import is_ahead
from pytest_runbook.backup.checksums import of_file
from pytest_runbook.backup.destinations.base import SEALED
from pytest_runbook.backup.destinations.folder import COPYING, Folder, sync
from pytest_runbook.backup.filelist import File, Files
from pytest_runbook.backup.manifest import CACHE, DATABASE, FILES, MANIFEST, PARTIAL, Cache, Head, Manifest, Stored
from pytest_runbook.backup.progress import Progress
from pytest_runbook.backup.running import end_left
from pytest_runbook.backup.stopping import Stop
from pytest_runbook.backup.verifying import software, verified
from pytest_runbook.errors import BackupError, HistoryError
from pytest_runbook.history.locks import Held
from pytest_runbook.settings import Settings

LOCK = "backup"
"""Its name in the history."""
AT_ONCE = 4
"""Files that are read together."""


def local(settings: Settings, root: Path) -> Folder:
    """The destination in which backups are made."""
    backup = settings.backup
    if not backup.destinations:
        raise BackupError(
            'there is no place for backups\n  hint: declare [backup.destinations.local] with kind = "folder" and path'
        )
    found = destinations.connect(backup.local, settings, root)
    assert isinstance(found, Folder)  # the settings were refused otherwise
    return found


@contextmanager
def alone(settings: Settings, root: Path) -> Iterator[None]:
    """Keep every other backup of this system out; BackupError when one is being made.

    By the lock of the history, and by one of the folder: two that have different histories may share it.
    """
    from pytest_runbook.history import Store

    place = local(settings, root).folder
    run = f"backup-{clock.now():%Y%m%dT%H%M%SZ}-{os.getpid()}"
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(place / ".lock", "a", opener=_private) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BackupError(
                    f'another backup is being made in "{place}"\n  hint: wait until it has ended', reason="busy"
                ) from None
            url = settings.history.url.get_secret_value()
            store = Store.open(url, settings.system.name, settings.system.environment, root=root)
            with store.lock(LOCK, run):
                yield
    except Held as error:
        raise BackupError(f"another backup is being made, or a restore is going on: {error}", reason="busy") from None
    except HistoryError as error:
        raise BackupError(str(error)) from None
    except OSError as error:
        raise BackupError(f'"{error.filename or place}": {(error.strerror or str(error)).lower()}') from None


def clean(settings: Settings, root: Path) -> list[str]:
    """Remove what backups and removals that died left in the local folder; what was removed. Only for who is `alone`."""
    place = local(settings, root)
    end_left(_mark(place))
    remove_left(place.folder)
    left = place.unfinished()
    for path in left:
        if not path.is_symlink() and path.resolve().parent == place.folder.resolve():
            shutil.rmtree(path, ignore_errors=True)
    for path in place.folder.glob(f"[0-9]*/{COPYING}*"):
        path.unlink(missing_ok=True)
    ours = set(place.backups())
    for path in place.folder.glob(f"{SEALED}*/*"):
        if path.name not in ours and not path.is_symlink() and not path.parent.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
    removed = [path.name.removeprefix(PARTIAL) for path in left]
    with suppress(BackupError):  # it keeps no backup from being made; retention tells of it
        removed += place.finish()
    return removed


def make(
    settings: Settings,
    root: Path,
    *,
    full: bool = False,
    without: Collection[str] = (),
    safety: bool = False,
    moment: datetime | None = None,
    progress: Progress | None = None,
    to: Collection[str] = (),
) -> Manifest:
    """Make a backup in the local folder, for who is `alone`; with FULL, of all files, whatever earlier backups hold.

    It needs no files of the earlier backups WITHOUT, and is copied TO other destinations later. SAFETY says that it is of
    what a restore replaces, MOMENT is what it says of its time, now unless a test makes an old one.
    """
    place, created, progress = local(settings, root), moment or clock.now(), progress or Progress()
    last = _last(place)
    _room(settings, place, last, to)
    backup = _free(place, created)
    folder = place.folder / f"{PARTIAL}{backup}"
    try:
        folder.mkdir(mode=0o700)
        earlier = {} if full else _earlier(place, without)
        with progress.growing(f"making {backup}", folder, last.size if last else 0):
            manifest = replace(_collect(settings, root, folder, backup, created, earlier), safety=safety)
            _settle(folder, manifest)
        folder.rename(place.folder / backup)
        sync(place.folder)
    except OSError as error:
        raise BackupError(
            f'"{error.filename or folder}": {(error.strerror or str(error)).lower()}\n  hint: see the disk of "{place.place}"'
        ) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return manifest


def _collect(
    settings: Settings, root: Path, folder: Path, backup: str, created: datetime, earlier: Mapping[str, File]
) -> Manifest:
    """All parts, at the same time, and what there is to say of them."""
    part = settings.backup
    if not (part.database.probe or part.cache.probe or part.files.roots):
        raise BackupError("there is nothing to back up\n  hint: see [backup.database], [backup.cache], [backup.files]")
    stop = Stop()
    with ThreadPoolExecutor(2) as pool:
        cache = pool.submit(_cache, settings, folder, stop) if part.cache.probe else None
        files: Future[Files] | None = (
            pool.submit(archive.collect, part.files, folder, backup, earlier, root, stop) if part.files.roots else None
        )
        database = None
        try:
            if part.database.probe:
                from pytest_runbook.backup.dump import dump  # late: psycopg costs a tenth of a second

                database = dump(settings, folder, _mark(local(settings, root)))
            for one in (cache, files):
                if one:
                    one.result()
        except BaseException:
            stop.set()  # nobody waits for the rest of what cannot become a backup
            raise
        return Manifest(
            id=backup,
            system=settings.system.name,
            environment=settings.system.environment,
            created=clock.iso(created),
            finished=clock.iso(max(clock.now(), created)),
            software=software(),
            release=part.release or None,
            schema=database.revision if database else None,
            database=database.database if database else None,
            cache=cache.result() if cache else None,
            excluded=[*part.files.exclude] if files else None,
            files=files.result() if files else None,
        )


def _cache(settings: Settings, folder: Path, stop: Stop) -> Cache:
    from pytest_runbook.backup.snapshot import fetch  # late: a tenth of a second

    return fetch(settings, folder, stop)


def _settle(folder: Path, manifest: Manifest) -> None:
    """Have everything on disk, then write the manifest: where it is, everything is."""
    paths, stop = [path for path in sorted(folder.rglob("*")) if path.is_file()], Stop()
    with ThreadPoolExecutor(AT_ONCE) as pool:  # neither a disk nor a checksum keeps more than one processor busy
        try:
            for path, stored in zip(paths, pool.map(partial(_settled, stop), paths), strict=True):
                manifest.stored[path.relative_to(folder).as_posix()] = stored
        except BaseException:
            stop.set()
            raise
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        path.chmod(0o700)
        sync(path)
    # Names that are no UTF-8 are escaped, as JSON knows it.
    with (folder / MANIFEST).open("w", encoding="utf-8", errors="backslashreplace") as text:
        (folder / MANIFEST).chmod(0o600)
        text.writelines(manifest.pieces())
        text.flush()
        os.fsync(text.fileno())
    sync(folder)


def _settled(stop: Stop, path: Path) -> Stored:
    with path.open("rb") as file:
        os.fsync(file.fileno())
    path.chmod(0o600)
    return Stored(path.stat().st_size, of_file(path, stop.heed))


def relied(place: Folder) -> Head | None:
    """The newest backup in PLACE that was read back: the next one does not store its files again."""
    for backup in reversed(place.backups()):
        try:
            head = place.head(backup)
            if is_ahead(backup) or not head.is_of(place.settings.system) or not verified(place, backup):
                continue
        except BackupError:
            continue
        return head
    return None


def _earlier(place: Folder, without: Collection[str]) -> Mapping[str, File]:
    """Files that need not be stored again, and are in none of the backups WITHOUT."""
    newest = relied(place)
    try:
        manifest = place.manifest(newest.id) if newest else None
    except BackupError:  # its list was damaged since: everything is stored again
        return {}
    if manifest is None or not isinstance(manifest.files, Files):
        return {}
    manifest.files.keep({one for one in manifest.files.holders if _holds(place, one)} - set(without))
    return manifest.files


def _holds(place: Folder, backup: str) -> bool:
    """Whether the archive of files of BACKUP is there, as large as it was written."""
    try:
        written, there = place.head(backup).stored.get(FILES), place.names(backup)
    except BackupError:
        return False
    return written is not None and there.get(FILES) == written.size


def _last(place: Folder) -> Head | None:
    """What the last backup is that can be read; None when there is none."""
    for backup in reversed(place.backups()):
        with suppress(BackupError):
            return place.head(backup)
    return None


def _room(settings: Settings, place: Folder, last: Head | None, to: Collection[str]) -> None:
    """Refuse to begin where the disk has no room for another backup like the LAST, and for what copies TO others take here."""
    size = last.size + _besides(settings, last, to) if last else 0
    needed, free = size * settings.backup.room, shutil.disk_usage(place.folder).free
    if free < needed:
        raise BackupError(
            f'"{place.place}" has {free / 1e6:,.0f} MB free, another backup needs {needed / 1e6:,.0f} MB\n'
            "  hint: make room, or lower backup.room",
            reason="no-room",
        )


def _besides(settings: Settings, last: Head, to: Collection[str]) -> int:
    """Bytes that a copy of the LAST takes here: encrypted files wait for each other, what is read back is unpacked here."""
    others = [settings.backup.destinations[name] for name in to]
    if any(one.encrypted for one in others):
        return last.size
    unpacked = sum(one.size for name, one in last.stored.items() if name.partition("/")[0] in (DATABASE, CACHE))
    return unpacked if any(one.kind != Folder.kind for one in others) else 0


def _free(place: Folder, moment: datetime) -> str:
    """An ID that no backup has yet."""
    base, number = f"{moment:%Y%m%dT%H%M%SZ}", 1
    while (place.folder / (base if number == 1 else f"{base}-{number}")).exists():
        number += 1
    return base if number == 1 else f"{base}-{number}"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _mark(place: Folder) -> str:
    """What programs that are started for a backup carry, to be found when we are killed."""
    return f"backup:{place.folder.resolve()}:"
