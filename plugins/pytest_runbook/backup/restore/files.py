"""Takes files out of archives: into folders of our own, never through a link, never out of them, each checked."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from threading import Event
from typing import IO, TYPE_CHECKING

from pytest_runbook.backup import archive, reading
from pytest_runbook.backup.checksums import PIECE
from pytest_runbook.backup.filelist import Files
from pytest_runbook.backup.manifest import FILES, Manifest
from pytest_runbook.backup.reaching import reached
from pytest_runbook.backup.restore.fetching import as_fault, until
from pytest_runbook.backup.verdict import Fault
from pytest_runbook.errors import BackupError, RestoreError

if TYPE_CHECKING:
    from pytest_runbook.backup.destinations import Destination
    from pytest_runbook.backup.filelist import File
    from pytest_runbook.backup.manifest import Head

MOST = 20
"""Missing files that are named."""
PERMISSIONS = 0o777
"""What of a file's mode is put back: a backup makes nobody root."""
OF_FOLDERS = 0o3777
"""The same of a folder: that what is made in it belongs to its group, and stays its maker's, gives nobody more."""


def restore(
    destination: Destination,
    manifest: Manifest,
    folder: Path,
    roots: set[str] | None = None,
    given_up: Event | None = None,
) -> list[Fault]:
    """Put the files of MANIFEST below the new folder FOLDER (`uploads/a.wav`); what is wrong with them.

    ROOTS are the first parts of the names wanted; None: all. A file that is wrong is not put there.
    When it is GIVEN_UP, from another thread, BackupError is raised in the middle.
    """
    wanted = Files(one for one in (manifest.files or {}).items() if roots is None or root_of(one[0]) in roots)
    try:
        folder.mkdir(mode=0o700)
        faults = _folders(wanted, folder) or _content(destination, manifest, wanted, folder, given_up)
        if not faults:
            _modes(wanted, folder)
        return faults
    except OSError as error:
        raise RestoreError(
            f'"{error.filename or folder}" cannot be written: {(error.strerror or str(error)).lower()}\n'
            f'  hint: see the disk of "{folder.parent}"'
        ) from None


def _content(
    destination: Destination, manifest: Manifest, wanted: Files, folder: Path, given_up: Event | None
) -> list[Fault]:
    """Put the files and links WANTED below FOLDER."""
    faults: list[Fault] = []
    for id_ in sorted(wanted.holders):
        ours = Files((name, file) for name, file in wanted.items() if file.backup == id_)
        try:
            # Of an earlier backup the head is enough, as for who verifies: what is wanted of it stands in MANIFEST.
            holder = manifest if id_ == manifest.id else destination.head(id_)
            faults += _extract(destination, holder, ours, folder, given_up)
        except BackupError as error:
            faults.append(as_fault(error, f"{id_}/{FILES}"))
    return faults + _links(wanted, folder)


def root_of(name: str) -> str:
    """The root that NAME, `uploads/2026/a.wav`, is below."""
    return name.partition("/")[0]


def _extract(destination: Destination, holder: Head, left: Files, folder: Path, given_up: Event | None) -> list[Fault]:
    """Take the files LEFT out of the archive of the backup HOLDER."""
    place = FILES if FILES in holder.stored else ""
    if not place:
        return [
            Fault("missing", name, f'the backup "{holder.id}" has no archive of files') for name in islice(left, MOST)
        ]
    faults = list[Fault]()
    try:
        with destination.read(holder.id, FILES) as stream, archive.reading(until(stream, given_up)) as tar:
            for member, content in archive.members(tar):
                if fault := _member(member, content, holder, left, folder):
                    faults.append(fault)
    except BackupError as error:
        faults.append(as_fault(error, FILES))
    faults += [
        Fault("missing", f"{FILES}:{name}", f'not in the archive of "{holder.id}"') for name in islice(left, MOST)
    ]
    # Each file was compared. What is wrong with the archive as a whole explains the rest better.
    return (faults and _whole(destination, holder, given_up)) or faults


def _whole(destination: Destination, holder: Head, given_up: Event | None) -> list[Fault]:
    """What is wrong with the archive of HOLDER, as a file."""
    try:
        with destination.read(holder.id, FILES) as stream:
            return list(reading.compared(until(stream, given_up), FILES, holder.stored[FILES], lambda _: None))
    except BackupError as error:
        return [as_fault(error, FILES)]


def _member(member: tarfile.TarInfo, stream: IO[bytes] | None, holder: Head, left: Files, folder: Path) -> Fault | None:
    """Put MEMBER, whose content is STREAM, below FOLDER if it is one of those LEFT; what is wrong with it."""
    name, where = member.name, f"{FILES}:{member.name}"
    if not reading.inside(name):
        return Fault("unsafe-path", where, "leads out of its folder")
    if stream is None and not member.isdir():
        return Fault("unsafe-path", where, "is neither an ordinary file nor a folder")
    if isinstance(holder, Manifest) and name not in (holder.files or {}):
        return Fault("unexpected", where, "the manifest does not know it")
    if name not in left:
        return None
    file = left.pop(name)
    right = file.folder == member.isdir()
    if right and stream is not None:  # folders were made before
        with _placed(folder, name) as (own, within):
            right = _write(stream, own, within, file)
    return None if right else Fault("corrupt", where, "is not what was saved")


@contextmanager
def _placed(folder: Path, name: str) -> Iterator[tuple[str, int]]:
    """The last part of NAME, a path below FOLDER that may be long, and the folder that it lies in, open and there."""
    parent, _, own = name.rpartition("/")
    with ExitStack() as stack:
        try:
            within = stack.enter_context(reached(folder, parent))
        except FileNotFoundError:  # older manifests name no folders
            (folder / parent).mkdir(parents=True, mode=0o755)
            within = stack.enter_context(reached(folder, parent))
        yield own, within


def _write(stream: IO[bytes], own: str, within: int, file: File) -> bool:
    """Write STREAM to the new file OWN in the folder WITHIN, as FILE was; whether it is what was saved, and else not there."""
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=within)
    with os.fdopen(descriptor, "wb") as written:
        while piece := stream.read(PIECE):
            written.write(piece)
            digest.update(piece)
            size += len(piece)
    if (size, digest.hexdigest()) != (file.size, file.sha256):
        os.unlink(own, dir_fd=within)
        return False
    os.chmod(own, file.mode & PERMISSIONS, dir_fd=within)
    os.utime(own, (file.mtime, file.mtime), dir_fd=within)
    return True


def _folders(wanted: Files, folder: Path) -> list[Fault]:
    """Make the folders, for nobody but us until everything is in them."""
    faults = []
    for name, _ in wanted.folders():
        if not reading.inside(name):
            faults.append(Fault("unsafe-path", name, "leads out of its folder"))
        else:
            with _placed(folder, name) as (own, within):
                os.mkdir(own, 0o700, dir_fd=within)
    return faults


def _modes(wanted: Files, folder: Path) -> None:
    """Give the folders their modes and times, from within: nothing can be put into some of them any more."""
    for name, file in wanted.folders(inner_first=True):
        with _placed(folder, name) as (own, within):
            os.utime(own, (file.mtime, file.mtime), dir_fd=within)
            os.chmod(own, file.mode & OF_FOLDERS, dir_fd=within)


def _links(wanted: Mapping[str, File], folder: Path) -> list[Fault]:
    """Make the symbolic links, after everything else: nothing is ever written through one."""
    faults = []
    for name, file in wanted.items():
        if file.link is None:
            continue
        if not reading.inside(name):
            faults.append(Fault("unsafe-path", name, "leads out of its folder"))
            continue
        try:
            with _placed(folder, name) as (own, within):
                os.symlink(file.link, own, dir_fd=within)
        except OSError as error:
            faults.append(Fault("corrupt", name, (error.strerror or str(error)).lower()))
    return faults
