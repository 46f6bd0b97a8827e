"""Brings backups to the other destinations: with all that they need, the manifest last, continued where it broke off.

A destination may be shared: which uploads we began stands in a file beside the local backups, and others are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from pytest_runbook.backup.belonging import ours
from pytest_runbook.backup.checksums import of_file
from pytest_runbook.backup.destinations import Destination
from pytest_runbook.backup.destinations.folder import Folder
from pytest_runbook.backup.encryption import blind
from pytest_runbook.backup.manifest import MANIFEST, Head
from pytest_runbook.backup.progress import Progress
from pytest_runbook.backup.stopping import Stop
from pytest_runbook.backup.verifying import verified, verify
from pytest_runbook.errors import BackupError

AT_ONCE = 4
"""Files on their way together."""
BEGUN = ".begun-"
"""What the file begins with that names the uploads to a destination which have not ended."""
DAMAGE = ("missing", "empty", "truncated", "corrupt")
"""Reasons for which a file of an earlier backup is sent again."""


def copy(source: Folder, target: Destination, backup: str, progress: Progress) -> list[str]:
    """Copy BACKUP, and before it the earlier ones that hold files of it and are not there yet; those that were copied.

    Without a private key, which only reading takes, earlier ones that are there are taken for what they should be.
    """
    manifest = source.head(backup)
    there = set(target.backups())
    missing = [one for one in sorted(manifest.needs) if one not in there]
    earlier = set() if blind(target) else manifest.needs & there
    for one in sorted(earlier | {backup} & there):
        _refuse(target, one)
    for one in sorted(earlier):
        _mend(source, target, one)
    for one in missing:
        _copy(source, target, source.head(one), progress)
    _copy(source, target, manifest, progress)
    return [*missing, backup]


def left_over(source: Folder, target: Destination) -> list[str]:
    """Backups whose copy broke off and that are still here; what we began and nobody can finish is removed from TARGET."""
    with suppress(BackupError):
        target.finish()
    here, begun, found = set(source.backups()), _begun(source, target), []
    for backup in target.partial():
        if backup in here and ours(source, backup):
            found.append(backup)
        elif backup in begun:
            with suppress(BackupError):
                abandon(target, backup)
                ended(source, target, backup)
    return found


def abandon(target: Destination, backup: str) -> None:
    """Remove what is in TARGET of a BACKUP that did not finish."""
    abort = getattr(target, "abort", None)
    if abort is not None:
        abort(backup)
    target.remove(backup)


def begin(source: Folder, target: Destination, backup: str) -> None:
    """Note that we begin to send BACKUP."""
    _write(source, target, _begun(source, target) | {backup})


def ended(source: Folder, target: Destination, backup: str) -> None:
    """Note that BACKUP is there, or was given up."""
    _write(source, target, _begun(source, target) - {backup})


def _begun(source: Folder, target: Destination) -> set[str]:
    try:
        return set((source.folder / f"{BEGUN}{target.name}").read_text(encoding="utf-8").split())
    except FileNotFoundError:
        return set()


def _write(source: Folder, target: Destination, begun: set[str]) -> None:
    path = source.folder / f"{BEGUN}{target.name}"
    if not begun:
        path.unlink(missing_ok=True)
        return
    new = path.with_name(f"{path.name}.new")
    new.write_text("\n".join(sorted(begun)) + "\n", encoding="utf-8")
    new.replace(path)


def _refuse(target: Destination, backup: str) -> None:
    """Raise BackupError when the BACKUP that is in TARGET is that of another system, made in the same second."""
    try:
        manifest = target.head(backup)
    except BackupError as error:
        if error.reason in ("unreachable", "wrong-key"):
            raise
        return  # it is broken, and written again
    if not manifest.is_of(target.settings.system):
        raise BackupError(
            f'"{target.name}" has a backup "{backup}" of "{manifest.system}" in {manifest.environment}: it is left alone\n'
            "  hint: give each system and environment a folder or prefix of its own",
            reason="other-system",
        )


def _mend(source: Folder, target: Destination, needed: str) -> None:
    """Send again what is not right any more in TARGET of NEEDED, an earlier backup; what was found right is not read."""
    stored, there = source.head(needed).stored, target.names(needed)
    whole = all(name in there and (target.encrypted or there[name] == one.size) for name, one in stored.items())
    if whole and verified(target, needed):
        return
    sent = False
    bad = {fault.where for fault in verify(target, needed).faults if fault.reason in DAMAGE}
    for name in bad & {*stored, MANIFEST}:
        path = source.path(needed) / name
        if name == MANIFEST or (path.is_file() and of_file(path) == stored[name].sha256):
            target.write(needed, name, path, anew=True)
            sent = True
    if sent:
        verify(target, needed)


@contextmanager
def _advancing(target: Destination, manifest: Head, progress: Progress) -> Iterator[Stop]:
    """Show how far TARGET has got with what it copies; it ends at the next piece once what is given is set."""
    stop, before = Stop(), target.advance
    with progress.bar(f"{manifest.id} to {target.name}", manifest.size) as shown:

        def advance(size: int) -> None:
            stop.heed()
            shown(size)

        target.advance = advance
        try:
            yield stop
        finally:
            target.advance = before


def _copy(source: Folder, target: Destination, manifest: Head, progress: Progress) -> None:
    folder: Path = source.path(manifest.id)
    begin(source, target, manifest.id)
    with _advancing(target, manifest, progress) as stop, ThreadPoolExecutor(AT_ONCE) as pool:
        # A dump has a file for each table: one after the other, most of the time would be spent on waiting for answers.
        work = [pool.submit(target.write, manifest.id, name, folder / name) for name in manifest.stored]
        try:
            for one in work:
                one.result()
        except BaseException:
            stop.set()  # one file may take hours
            for one in work:
                one.cancel()
            raise
    target.write(manifest.id, MANIFEST, folder / MANIFEST)
    ended(source, target, manifest.id)
