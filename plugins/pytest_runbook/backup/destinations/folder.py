"""A folder on this machine, or one that is mounted here: where backups are made, and where a copy may lie as well."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from pytest_runbook.backup.checksums import of_file, pieces
from pytest_runbook.backup.destinations.base import DestinationSettings, Place, checked, unread
from pytest_runbook.backup.manifest import ID, MANIFEST, PARTIAL
from pytest_runbook.errors import BackupError

COPYING = ".copy-"
"""What a file that is being copied begins with."""


class FolderSettings(DestinationSettings):
    """Where the folder is."""

    path: Path
    """Relative to the root folder of the project."""


class Folder(Place[FolderSettings]):
    """Backups as folders of one folder; nobody but its owner can read them."""

    kind = "folder"
    Settings = FolderSettings

    @property
    def folder(self) -> Path:
        """Where the backups lie."""
        return self.root / self.own.path

    @property
    def place(self) -> str:
        """The path."""
        return str(self.folder)

    def path(self, id: str) -> Path:  # noqa: A002
        """The folder of the backup ID."""
        return self.folder / checked(id)

    def unfinished(self) -> list[Path]:
        """Folders that somebody began to make, and did not finish."""
        with worded(self.place, reason="unreachable"):
            return sorted(path for path in _children(self.folder) if path.name.startswith(PARTIAL))

    def _ids(self) -> dict[str, bool]:
        with worded(self.place, reason="unreachable"):
            found = [path for path in _children(self.folder) if ID.fullmatch(path.name) and path.is_dir()]
            return {path.name: _may_be_whole(path) for path in found}

    def _list(self, id: str) -> dict[str, int]:  # noqa: A002
        base = self.folder / id
        with worded(self.place, reason="unreachable"):
            found = sorted(path for path in _below(base) if path.is_file() and not path.name.startswith(COPYING))
            return {path.relative_to(base).as_posix(): path.stat().st_size for path in found}

    def _get(self, key: str) -> BinaryIO:
        try:
            return (self.folder / key).open("rb")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise BackupError(f'"{self.name}" has no "{key}"', reason="missing") from None
        except OSError as error:
            raise unread(error, str(self.folder / key)) from None

    def _put(self, key: str, path: Path) -> None:
        target = self.folder / key
        with worded(self.place):
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, temporary = tempfile.mkstemp(prefix=COPYING, dir=target.parent)
            try:
                with path.open("rb") as source, os.fdopen(descriptor, "wb") as copy:
                    for piece in pieces(source):
                        copy.write(piece)
                        self.advance(len(piece))
                    copy.flush()
                    os.fsync(copy.fileno())
                Path(temporary).replace(target)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
            sync(target.parent)

    def _mark(self, key: str) -> str:
        try:
            seen = (self.folder / key).stat()
        except OSError:
            return ""
        return f"{seen.st_size} {seen.st_mtime_ns}"

    def _same(self, key: str, path: Path) -> bool:
        target = self.folder / key
        try:
            if target.stat().st_size != path.stat().st_size:
                return False
            return of_file(target, self._looked) == of_file(path, self._looked)
        except OSError:
            return False

    def _delete(self, keys: list[str]) -> None:
        with worded(self.place):
            for key in keys:
                path = self.folder / key
                base = self.folder / key.partition("/")[0]
                if base.is_symlink() or not path.parent.resolve().is_relative_to(base.resolve()):
                    raise BackupError(f'"{path}" leads out of "{self.folder}": it is left alone')
                path.unlink(missing_ok=True)
            for folder in sorted({(self.folder / key).parent for key in keys}, reverse=True):
                for empty in (folder, *folder.parents):
                    if empty == self.folder:
                        break
                    with suppress(OSError):  # not empty, or gone
                        empty.rmdir()


def sync(folder: Path) -> None:
    """Have FOLDER's list of names on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _children(folder: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError):
        yield from folder.iterdir()


def _may_be_whole(folder: Path) -> bool:
    """Whether FOLDER has a manifest; True also where it may not be listed: others may rely on it, and who reads it is told."""
    try:
        return any(path.name.startswith(MANIFEST) for path in _children(folder))
    except OSError:
        return True


def _below(folder: Path) -> Iterator[Path]:
    """What lies below FOLDER and is no folder; `Path.rglob` is silent about folders that may not be listed."""

    def stop(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    for base, _, names in os.walk(folder, onerror=stop):
        yield from (Path(base, name) for name in names)


@contextmanager
def worded(place: str, *, reason: str = "") -> Iterator[None]:
    """Turn an error of the disk into words, and a BackupError with REASON."""
    try:
        yield
    except OSError as error:
        what = f'"{error.filename or place}": {(error.strerror or str(error)).lower()}'
        raise BackupError(f"{what}\n  hint: see the disk of {place}", reason=reason) from None
