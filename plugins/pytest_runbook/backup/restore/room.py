"""Looks whether what a backup says of its own size has room on a disk, before anything is brought there."""

from __future__ import annotations

import shutil
from pathlib import Path

from pytest_runbook.errors import RestoreError


def insist(folder: Path, size: int, hint: str) -> None:
    """Raise RestoreError, with the HINT what to do, when the disk of FOLDER has no room for SIZE bytes."""
    while not folder.exists():  # in a disaster it may be gone
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < size:
        raise RestoreError(
            f'"{folder}" has {free / 1e6:,.1f} MB free, what is restored there needs {size / 1e6:,.1f} MB\n  hint: {hint}'
        )
