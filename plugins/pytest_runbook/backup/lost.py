"""Tells what is lost on a bad sector from what could not be read just now: taken for damage, that would cost good copies."""

from __future__ import annotations

import errno
import os
import re
import time
from pathlib import Path

import psutil

PAUSE = 0.5
"""Seconds after which the same is read again: a disk that was away for a moment is back, or gone altogether."""
OF_THIS_MACHINE = re.compile(
    "apfs|bcachefs|btrfs|exfat|ext[234]|f2fs|fuseblk|hfs|jfs|nilfs2|ntfs3?|overlay|reiserfs|tmpfs|vfat|xfs|zfs"
)
"""File systems of disks of this machine. Of any other, as NFS, CIFS, 9p, or a bucket by FUSE, the same error may mean that
another machine does not answer, and of one that nobody knows it is not claimed that it does not.
"""


def is_lost(error: OSError, path: Path, at: int, size: int) -> bool:
    """Whether the SIZE bytes AT that place of the file PATH, which met ERROR, are lost: a second try meets it as well."""
    if error.errno != errno.EIO or not OF_THIS_MACHINE.fullmatch(_file_system(path)):
        return False
    time.sleep(PAUSE)
    try:
        with path.open("rb") as file:
            file.seek(at)
            file.read(size)
    except OSError as again:
        return again.errno == errno.EIO
    return False


def _file_system(path: Path) -> str:
    """The kind of file system that PATH lies on, as the machine calls it; empty when nobody can tell."""
    folder = Path(os.path.realpath(path.parent))
    kinds = {one.mountpoint: one.fstype for one in psutil.disk_partitions(all=True)}
    return next((kinds[str(one)] for one in (folder, *folder.parents) if str(one) in kinds), "")
