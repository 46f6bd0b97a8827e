"""Brings backups to the other destinations: with all that they need, the manifest last, continued where it broke off."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from pytest_runbook.backup.destinations import Destination
from pytest_runbook.backup.destinations.folder import Folder
from pytest_runbook.backup.manifest import MANIFEST, Manifest
from pytest_runbook.backup.progress import Progress
from pytest_runbook.errors import BackupError

AT_ONCE = 4
"""Files on their way together."""


def copy(source: Folder, target: Destination, backup: str, progress: Progress) -> list[str]:
    """Copy BACKUP, and before it the earlier ones that hold files of it and are not there yet; those that were copied."""
    manifest = source.manifest(backup)
    there = set(target.backups())
    missing = [one for one in sorted(manifest.needs) if one not in there]
    for one in missing:
        _copy(source, target, source.manifest(one), progress)
    _copy(source, target, manifest, progress)
    return [*missing, backup]


def left_over(source: Folder, target: Destination) -> list[str]:
    """Backups whose copy broke off and that are still here; what nobody can finish is removed from TARGET."""
    ours, found = set(source.backups()), []
    for backup in target.partial():
        if backup in ours:
            found.append(backup)
        else:
            with suppress(BackupError):
                abandon(target, backup)
    return found


def abandon(target: Destination, backup: str) -> None:
    """Remove what is in TARGET of a BACKUP that did not finish."""
    abort = getattr(target, "abort", None)
    if abort is not None:
        abort(backup)
    target.remove(backup)


def _copy(source: Folder, target: Destination, manifest: Manifest, progress: Progress) -> None:
    folder: Path = source.path(manifest.id)
    with progress.bar(f"{manifest.id} to {target.name}", manifest.size) as advance, ThreadPoolExecutor(AT_ONCE) as pool:
        target.advance = advance
        # A dump has a file for each table: one after the other, most of the time would be spent on waiting for answers.
        work = [pool.submit(target.write, manifest.id, name, folder / name) for name in manifest.stored]
        try:
            for one in work:
                one.result()
        except BaseException:
            for one in work:
                one.cancel()
            raise
    target.write(manifest.id, MANIFEST, folder / MANIFEST)
