"""Where something lies for a while that has to lie on a disk: beside the local backups, for there is room."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
    with tempfile.TemporaryDirectory(prefix=f"{SCRATCH}{os.getpid()}-", dir=parent) as folder, _locked(Path(folder)):
        yield Path(folder)


def remove_left(folder: Path) -> None:
    """Remove what verifications left in FOLDER whose process is gone; one in another container is here only by its lock."""
    for path in folder.glob(f"{SCRATCH}*"):
        pid = path.name.removeprefix(SCRATCH).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)) and not path.is_symlink() and not _is_locked(path):
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """FOLDER is locked; where there are no locks only our process says that it is in use."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_locked(folder: Path) -> bool:
    """Whether somebody works in FOLDER; True also where it may not be opened: it is somebody else's."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there are no locks
        return False
    finally:
        os.close(descriptor)
    return False
