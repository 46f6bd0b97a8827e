"""Whose a backup is: a place may hold those of other systems, or of the same one in another environment; they are never ours."""

from __future__ import annotations

from pytest_runbook.backup.destinations import Destination
from pytest_runbook.errors import BackupError


def ours(destination: Destination, backup: str) -> bool:
    """Whether BACKUP is of the system of our settings; True also of one whose manifest cannot be read: it may be."""
    try:
        return destination.manifest(backup).is_of(destination.settings.system)
    except BackupError as error:
        if error.reason == "unreachable":
            raise
        return True


def newest(destination: Destination, most: int = 1) -> list[str]:
    """IDs of the newest MOST backups of ours in DESTINATION, the oldest of them first."""
    found: list[str] = []
    for backup in reversed(destination.backups()):
        if ours(destination, backup):
            found.append(backup)
        if len(found) == most:
            break
    return found[::-1]
