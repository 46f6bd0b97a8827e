"""The files of a backup: those that no earlier one holds, in one tar that is compressed while it is written."""

from __future__ import annotations

import fnmatch
import hashlib
import io
import os
import stat
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO, cast

from pytest_runbook.backup import owners
from pytest_runbook.backup.checksums import of_stream
from pytest_runbook.backup.filelist import File, Files
from pytest_runbook.backup.manifest import FILES
from pytest_runbook.backup.reaching import reached
from pytest_runbook.backup.stopping import Stop
from pytest_runbook.errors import BackupError
from pytest_runbook.settings.backup import FilesPart

LEVEL = 3
"""Of zstd: photographs and recordings do not become smaller by more."""
SMALL = 8 << 20
"""Bytes up to which a file is read at once, so that it is stored as it was at one moment."""

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


@contextmanager
def writing(path: Path) -> Iterator[tarfile.TarFile]:
    """A tar at PATH, compressed with zstd, to add to."""
    # Streamed: a tar that could be sought in would have to lie on disk before it is compressed.
    with zstd.open(path, "wb", level=LEVEL) as packed, _open(cast(IO[bytes], packed), "w|") as tar:
        yield tar


@contextmanager
def reading(stream: BinaryIO) -> Iterator[tarfile.TarFile]:
    """The tar in STREAM, compressed with zstd, to be walked through once; BackupError `corrupt` when it is none."""
    try:
        with zstd.ZstdFile(stream) as plain, _open(cast(IO[bytes], plain), "r|") as tar:
            yield tar
    except (tarfile.TarError, zstd.ZstdError, EOFError) as error:
        raise BackupError(f"it cannot be unpacked: {error}", reason="corrupt") from None


def members(tar: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    """Each member of TAR and its content, None for what is no regular file; the list of them is not kept."""
    while (member := tar.next()) is not None:
        yield member, tar.extractfile(member) if member.isreg() else None
        tar.members = []  # type: ignore[attr-defined]


def collect(
    part: FilesPart,
    target: Path,
    backup: str,
    earlier: Mapping[str, File],
    root: Path,
    stop: Stop | None = None,
) -> Files:
    """Every file, link and folder of PART, by its path in the backup; TARGET/files.tar.zst gets those that are not in EARLIER.

    EARLIER is what other backups hold that can be relied on. ROOT is where relative paths start from. Gives up at STOP.
    """
    found, stop = Files(), stop or Stop()
    with writing(target / FILES) as tar:
        for seen in walk(part, root):
            stop.heed()
            try:
                if one := _one(tar, seen, backup, earlier.get(seen.name), stop):
                    found[seen.name] = one
            except FileNotFoundError:  # it was there a moment ago: what is deleted meanwhile is not backed up
                continue
            except PermissionError as error:
                raise BackupError(
                    f'"{seen.path}" cannot be read: {(error.strerror or "").lower()}\n'
                    "  hint: make backups as a user who may, or exclude it in [backup.files]"
                ) from None
    return found


@dataclass(frozen=True, slots=True)
class Seen:
    """Something to be saved."""

    name: str
    """In the backup."""
    path: Path
    """For people: it may be longer than the system takes."""
    own: str
    """Its own name in the folder `within`; all of its path where that is None."""
    within: int | None = None
    """The folder that it lies in, open until the next one is asked for."""


def walk(part: FilesPart, root: Path) -> Iterator[Seen]:
    """The roots of PART and everything in them, folders before what is in them."""
    for name, place in part.roots.items():
        # A root is a place: where a link leads to another disk, what lies there is meant, not the link.
        base = Path(os.path.realpath(root / place))
        if base.is_dir():
            yield Seen(name, base, str(base))
            yield from _below(name, base, part.exclude)
        elif base.is_file():
            yield Seen(name, base, str(base))
        elif name not in part.optional:
            raise BackupError(
                f'the root "{name}" of the files, "{root / place}", is not there\n'
                "  hint: mount or mend it; backup.files.optional names those that may be missing",
                reason="missing",
            )


def _below(name: str, base: Path, exclude: Sequence[str]) -> Iterator[Seen]:
    """Everything in the folder BASE, which is NAME in the backup; users may make folders as deep as they like."""
    pending = [""]
    while pending:
        within = pending.pop()
        with ExitStack() as stack:
            try:
                here = stack.enter_context(reached(base, within))
                entries = stack.enter_context(os.scandir(here))
            except (FileNotFoundError, NotADirectoryError):  # gone meanwhile, or something else
                continue
            except OSError as error:
                raise BackupError(
                    f'the folder "{base / within}" cannot be read: {(error.strerror or str(error)).lower()}\n'
                    "  hint: make backups as a user who may, or exclude it in [backup.files]"
                ) from None
            for entry in entries:  # one after the other: a folder may hold millions
                inner = f"{within}{entry.name}"
                if any(fnmatch.fnmatchcase(f"{name}/{inner}", pattern) for pattern in exclude):
                    continue
                yield Seen(f"{name}/{inner}", base / inner, entry.name, here)
                if entry.is_dir(follow_symlinks=False):
                    pending.append(f"{inner}/")


def _one(tar: tarfile.TarFile, found: Seen, backup: str, before: File | None, stop: Stop) -> File | None:
    """What is known of FOUND, which is added to TAR if need be; None when it is nothing that can be saved."""
    seen = os.stat(found.own, dir_fd=found.within, follow_symlinks=False)
    mode, owner = stat.S_IMODE(seen.st_mode), owners.named(seen.st_uid, seen.st_gid)
    if stat.S_ISLNK(seen.st_mode):
        return File(0, mode, seen.st_mtime, "", "", os.readlink(found.own, dir_fd=found.within), owner=owner)
    if stat.S_ISDIR(seen.st_mode):
        member = tarfile.TarInfo(found.name)
        member.type, member.mode, member.mtime = tarfile.DIRTYPE, mode, seen.st_mtime
        tar.addfile(member)
        tar.members = []  # type: ignore[attr-defined] # they would all be kept in memory
        return File(0, mode, seen.st_mtime, "", backup, folder=True, owner=owner)
    if stat.S_ISREG(seen.st_mode):
        return _file(tar, found, backup, before if before and before.sha256 else None, stop)
    return None


def _file(tar: tarfile.TarFile, found: Seen, backup: str, before: File | None, stop: Stop) -> File:
    """What is known of the file FOUND, which is added to TAR unless it is as it was BEFORE."""
    with open(found.own, "rb", opener=partial(os.open, dir_fd=found.within)) as source:
        seen = os.fstat(source.fileno())
        mode, owner = stat.S_IMODE(seen.st_mode), owners.named(seen.st_uid, seen.st_gid)
        now = File(seen.st_size, mode, seen.st_mtime, "", backup, ctime=seen.st_ctime, owner=owner)
        if before and (before.size, before.mtime, before.ctime) == (now.size, now.mtime, now.ctime):
            return replace(now, sha256=before.sha256, backup=before.backup)
        content = source.read(seen.st_size) if seen.st_size <= SMALL else None
        if content is None:
            digest = of_stream(source, stop.heed)[1] if before and before.size == seen.st_size else ""
            source.seek(0)
        else:
            digest = hashlib.sha256(content).hexdigest()
        if before and before.sha256 == digest:
            return replace(now, size=before.size, sha256=digest, backup=before.backup)
        member = tarfile.TarInfo(found.name)
        member.mode, member.mtime = now.mode, now.mtime
        member.size = seen.st_size if content is None else len(content)
        counted = _Counted(source if content is None else io.BytesIO(content), member.size, stop)
        tar.addfile(member, cast(IO[bytes], counted))
        tar.members = []  # type: ignore[attr-defined] # they would all be kept in memory
        return replace(now, size=member.size, sha256=counted.digest.hexdigest())


class _Counted:
    """Exactly SIZE bytes of a file, with their SHA-256: what is added meanwhile is left out, what is cut off becomes 0."""

    def __init__(self, source: BinaryIO, size: int, stop: Stop) -> None:
        self._source, self._left, self._stop = source, size, stop
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """The next piece."""
        self._stop.heed()
        wanted = self._left if size < 0 else min(size, self._left)
        piece = self._source.read(wanted)
        piece += b"\0" * (wanted - len(piece))
        self._left -= wanted
        self.digest.update(piece)
        return piece


def _open(stream: IO[bytes], mode: str) -> tarfile.TarFile:
    # Pieces of a MiB: the default of 10 KiB costs a call for each.
    return tarfile.open(fileobj=stream, mode=mode, bufsize=1 << 20, format=tarfile.PAX_FORMAT)  # type: ignore[call-overload,no-any-return]
