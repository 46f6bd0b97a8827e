"""Where something lies for a while that has to lie on a disk: beside the local backups, for there is room."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from pytest_runbook.settings import Settings

SCRATCH = ".verifying-"
"""What a folder begins with that holds what is being verified."""


@contextmanager
def scratch(settings: Settings, root: Path) -> Iterator[Path]:
    """A folder of our own, in that for temporary files only where there are no local backups, or where we may not write."""
    local = settings.backup.destinations.get(settings.backup.local)
    beside = root / getattr(local, "path", ".")
    parent = beside if local and os.access(beside, os.W_OK) else Path(tempfile.gettempdir())
    with tempfile.TemporaryDirectory(prefix=f"{SCRATCH}{os.getpid()}-", dir=parent) as folder:
        yield Path(folder)


def remove_left(folder: Path) -> None:
    """Remove what verifications left in FOLDER whose process is gone."""
    for path in folder.glob(f"{SCRATCH}*"):
        pid = path.name.removeprefix(SCRATCH).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)) and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
