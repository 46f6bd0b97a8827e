"""Tells what is lost on a bad sector from what could not be read just now: taken for damage, that would cost good copies."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import psutil

PAUSE = 0.5
"""Seconds after which the same is read again: a disk that was away for a moment is back, or gone altogether."""


def is_lost(error: OSError, path: Path, at: int, size: int) -> bool:
    """Whether the SIZE bytes AT that place of the file PATH, which met ERROR, are lost: a second try meets it as well."""
    if error.errno != errno.EIO or _is_of_another_machine(path):
        return False
    time.sleep(PAUSE)
    try:
        with path.open("rb") as file:
            file.seek(at)
            file.read(size)
    except OSError as again:
        return again.errno == errno.EIO
    return False


def _is_of_another_machine(path: Path) -> bool:
    """Whether PATH lies on a disk of another machine, as of NFS, where the same error means that it does not answer."""
    folder = Path(os.path.realpath(path.parent))
    mounts = {one.mountpoint: one.device for one in psutil.disk_partitions(all=True)}
    device = next((mounts[str(one)] for one in (folder, *folder.parents) if str(one) in mounts), "")
    # `server:/backups` of NFS, `user@server:backups` of sshfs, `//server/backups` of CIFS.
    return device.startswith("//") or (":" in device and not device.startswith("/"))
