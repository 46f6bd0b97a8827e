"""What every destination shares: names, manifests and notes, and encryption; a kind only puts, gets, lists and deletes."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Generic, TypeVar, cast

from pydantic import BaseModel, ConfigDict

from pytest_runbook.backup.aside import scratch
from pytest_runbook.backup.checksums import of_stream
from pytest_runbook.backup.lost import is_lost
from pytest_runbook.backup.manifest import ID, MANIFEST, REFUTED, RESTORED, VERIFIED, Head, Manifest, Stored
from pytest_runbook.errors import BackupError

if TYPE_CHECKING:
    from pytest_runbook.settings import Settings as AllSettings

NOTES = (VERIFIED, REFUTED, RESTORED)
ENDING = ".age"
SEALED = ".sealed-"
"""What the folder of encrypted files begins with, beside the local backups."""
REMOVING = ".removing-"
"""What the folder begins with, beside the local backups, that names what is being removed from a destination."""
TRIES = 6
"""How often a place is asked that does not serve, with longer and longer pauses; whoever only looks asks once."""
NOTE_SIZE = 200_000_000
"""Bytes above which a note is not read: it is none."""


class DestinationSettings(BaseModel):
    """Settings that every kind of destination has; a kind adds its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    encrypted: bool = False
    """Encrypt here before anything is sent, with [backup.encryption]."""


H = TypeVar("H", bound=Head)
S = TypeVar("S", bound=DestinationSettings)


class Place(ABC, Generic[S]):
    """A `Destination` of some kind."""

    kind: ClassVar[str]
    Settings: ClassVar[type[DestinationSettings]] = DestinationSettings

    def __init__(self, name: str, own: S, settings: AllSettings, root: Path) -> None:
        """NAME is the name in the settings, OWN an instance of this kind's `Settings`; ROOT is where paths start from."""
        self.name = name
        self.own = own
        self.settings = settings
        self.root = root
        self.advance: Callable[[int], object] = lambda size: None
        """Told of each piece that was copied, for a progress bar, and of each that was only read, as 0; raises to stop it all."""
        self.tries = TRIES
        self._seen: dict[str, frozenset[str]] = {}
        self._private: list[Any] = []
        self._asking = threading.Lock()

    # What a kind says. A key is `ID/NAME`, with the ending of encryption.

    @property
    @abstractmethod
    def place(self) -> str:
        """Where it is, for people; never with a secret."""

    @abstractmethod
    def _ids(self) -> dict[str, bool]:
        """ID of each folder that is one, and whether it has a manifest."""

    @abstractmethod
    def _list(self, id: str) -> dict[str, int]:  # noqa: A002
        """Names below the folder of ID, as they lie there, to their bytes."""

    @abstractmethod
    def _get(self, key: str) -> BinaryIO:
        """The content of KEY as it lies there; BackupError `missing` when there is none."""

    @abstractmethod
    def _put(self, key: str, path: Path) -> None:
        """Put the file PATH there as KEY, whole or not at all."""

    @abstractmethod
    def _same(self, key: str, path: Path) -> bool:
        """Whether KEY is there already with the content of the file PATH."""

    @abstractmethod
    def _delete(self, keys: list[str]) -> None:
        """Remove KEYS; what is not there is as good. BackupError `locked` when the place keeps them for a time."""

    def _mark(self, key: str) -> str:
        """What the place tells of KEY without reading it, and what is another when its content is; empty: nothing."""
        return ""

    def _refuse(self, keys: list[str]) -> None:
        """Raise BackupError `locked` when the place keeps one of KEYS for a time; most places keep nothing."""

    def close(self) -> None:
        """Give back what it holds."""

    # What they all do.

    @property
    def encrypted(self) -> bool:
        """Whether what is written here is encrypted."""
        return self.own.encrypted

    def backups(self) -> list[str]:
        """IDs of the backups that have a manifest, the oldest first."""
        return sorted((one for one, whole in self._ids().items() if whole), key=order)

    def partial(self) -> list[str]:
        """IDs of those that have none."""
        return sorted((one for one, whole in self._ids().items() if not whole), key=order)

    def manifest(self, id: str) -> Manifest:  # noqa: A002
        """The manifest of the backup ID; BackupError `no-manifest` when there is none."""
        return self._manifest(id, Manifest.read)

    def head(self, id: str) -> Head:  # noqa: A002
        """The same without its list of files, which is not read where it comes last."""
        return self._manifest(id, Head.read)

    def _manifest(self, id: str, read: Callable[[BinaryIO], H]) -> H:  # noqa: A002
        try:
            with self.read(id, MANIFEST) as file:
                found = read(file)
        except BackupError as error:
            if error.reason != "missing":
                raise
            raise BackupError(
                f'"{self.name}" has no finished backup "{id}"\n  hint: runbook backup --list', reason="no-manifest"
            ) from None
        if found.id != id:
            raise BackupError(f'the manifest in "{id}" is that of "{found.id}"', reason="stale")
        return found

    def names(self, id: str) -> dict[str, int]:  # noqa: A002
        """What the folder of ID holds, without the endings of encryption: name to bytes as they lie there."""
        return {name.removesuffix(ENDING): size for name, size in self._list(checked(id)).items()}

    def mark(self, id: str, name: str) -> str:  # noqa: A002
        """What the place tells of NAME without reading it, and what is another when it was written anew; empty: nothing."""
        return self._mark(self._key(id, name))

    @contextmanager
    def read(self, id: str, name: str) -> Iterator[BinaryIO]:  # noqa: A002
        """The plain content of NAME, decrypted, as a stream; BackupError `missing` when it is not there.

        To read on raises no OSError: whoever meets one has met it where the content is written to.
        """
        key = self._key(id, name)
        with self._get(key) as file:
            raw = cast(BinaryIO, _Raw(file, f"{self.place}/{key}"))
            if self._is_plain(name):
                yield raw
                return
            from pytest_runbook.backup.encryption import decrypted  # late: most destinations are not encrypted

            with decrypted(raw, self.private_keys()) as plain:
                yield plain

    def private_keys(self) -> list[Any]:
        """The private keys, asked for once: a vault answers only so often; BackupError `wrong-key` when there are none."""
        from pytest_runbook.backup.encryption import identities

        with self._asking:
            self._private = self._private or identities(self.settings.backup.encryption, self.root)
            return self._private

    def compared(self, id: str, name: str, told: Stored) -> str:  # noqa: A002
        """What is wrong with NAME, which should be as TOLD, in words; empty when nothing is."""
        try:
            with self.read(id, name) as stream:
                size, digest = of_stream(stream)
        except BackupError as error:
            if error.reason == "unreachable":
                raise
            return f'"{name}": {error}'
        return "" if (size, digest) == (told.size, told.sha256) else f'"{name}" is not what was written'

    def write(self, id: str, name: str, path: Path, *, anew: bool = False) -> None:  # noqa: A002
        """Put the file PATH there as NAME, whole or not at all; what is there already and right is left, but ANEW."""
        key = self._key(id, name)
        if self._is_plain(name):
            self._bring(key, path, anew)
            return
        from pytest_runbook.backup.encryption import encrypt

        # What was encrypted is kept until all is there: encrypted anew it would be other bytes, and begin anew as well.
        secret = self.sealed / f"{key}.{self._recipients}"
        if not secret.is_file():
            encrypt(path, secret, self.settings.backup.encryption, self._looked)
        self._bring(key, secret, anew)
        if name == MANIFEST or anew:
            self._forget_sealed(id)

    def remove(self, id: str) -> None:  # noqa: A002
        """Remove the whole backup, its manifest first: what is left of it then is no backup, and `finish` removes it."""
        found = sorted(self._list(checked(id)), key=lambda name: (not name.startswith(MANIFEST), name))
        self._refuse([f"{id}/{name}" for name in found])
        mark = self._beside(REMOVING) / id
        with suppress(OSError):  # on a full disk nothing can be noted, and something has to be removed
            mark.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            mark.touch()
        for some in (found[:1], found[1:]):
            if some:
                self._delete([f"{id}/{name}" for name in some])
        _unmark(mark)

    def finish(self) -> list[str]:
        """Remove what is left of backups whose removal was interrupted; their IDs."""
        marks = sorted(self._beside(REMOVING).glob("*"))
        left = set(self.partial()) if marks else set()
        for mark in marks:
            if mark.name in left:
                self.remove(mark.name)
            else:  # it is whole: it was not removed after all
                _unmark(mark)
        return sorted(mark.name for mark in marks if mark.name in left)

    def note(self, id: str, name: str, data: Mapping[str, Any]) -> None:  # noqa: A002
        """Write DATA as NAME, one of `NOTES`."""
        if name not in NOTES:
            raise ValueError(name)
        try:
            with scratch(self.settings, self.root) as folder:
                path = folder / name
                path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
                self._put(self._key(id, name), path)
        except OSError as error:
            said = f'"{name}" of "{id}" cannot be written: {(error.strerror or str(error)).lower()}'
            raise BackupError(f"{said}\n  hint: make room beside the local backups") from None

    def noted(self, id: str, name: str) -> dict[str, Any] | None:  # noqa: A002
        """What was noted as NAME; None when nothing was, or what was is damaged."""
        try:
            with self.read(id, name) as file:
                found = json.loads(file.read(NOTE_SIZE))
        except BackupError as error:
            if error.reason in ("missing", "corrupt"):
                return None
            raise
        except ValueError:
            return None
        return found if isinstance(found, dict) else None

    def forget(self, id: str, name: str) -> None:  # noqa: A002
        """Remove the note NAME, when there is one."""
        if name in NOTES:
            self._delete([self._key(id, name)])

    def _looked(self, _: object = None) -> None:
        """To be called with each piece that is only read: who does not want to wait for the rest raises."""
        self.advance(0)

    def _bring(self, key: str, path: Path, anew: bool) -> None:
        if not anew and key in self._present(key.partition("/")[0]) and self._same(key, path):
            self.advance(path.stat().st_size)
        else:
            self._put(key, path)

    def _present(self, id: str) -> frozenset[str]:  # noqa: A002
        """Keys that were there when we began to write the backup ID: most are new, and need not be asked for one by one."""
        with self._asking:
            if id not in self._seen:
                self._seen = {id: frozenset(f"{id}/{name}" for name in self._list(id))}
            return self._seen[id]

    @property
    def sealed(self) -> Path:
        """Where encrypted files wait until they are there."""
        return self._beside(SEALED)

    def _beside(self, kind: str) -> Path:
        """Where something of this destination stands beside the local backups: a KIND, and its name."""
        local = self.settings.backup.destinations.get(self.settings.backup.local)
        return self.root / getattr(local, "path", "var/backups") / f"{kind}{self.name}"

    @property
    def _recipients(self) -> str:
        """Tells apart for whom something was encrypted: what waits here for others is of no use any more."""
        return hashlib.sha256("\n".join(sorted(self.settings.backup.encryption.recipients)).encode()).hexdigest()[:12]

    def _forget_sealed(self, id: str) -> None:  # noqa: A002
        shutil.rmtree(self.sealed / checked(id), ignore_errors=True)
        with suppress(OSError):
            self.sealed.rmdir()

    def _is_plain(self, name: str) -> bool:
        """Notes say nothing that has to be hidden, and are read by those that have no key."""
        return name in NOTES or not self.encrypted

    def _key(self, id: str, name: str) -> str:  # noqa: A002
        return f"{checked(id)}/{safe(name)}" + ("" if self._is_plain(name) else ENDING)


@dataclass(slots=True)
class _Raw:
    """FILE, which is WHERE and read up to AT, and says so when it cannot be read."""

    file: BinaryIO
    where: str
    at: int = 0

    def read(self, size: int = -1) -> bytes:
        try:
            found = self.file.read(size)
        except OSError as error:
            raise unread(error, self.where, self.at, size) from None
        self.at += len(found)
        return found


def unread(error: OSError, where: str, at: int = 0, size: int = 1) -> BackupError:
    """ERROR, met when SIZE bytes AT that place of the file WHERE were read, in words.

    What lies on a bad sector is lost, and a copy has to be made again; of everything else, as of rights, nobody knows.
    """
    hint = (
        "let this user read it: what sudo made belongs to root"
        if isinstance(error, PermissionError)
        else "see the disk"
    )
    said = f'"{where}" cannot be read: {(error.strerror or str(error)).lower()}\n  hint: {hint}'
    return BackupError(said, reason="corrupt" if is_lost(error, Path(where), at, size) else "unreachable")


def _unmark(mark: Path) -> None:
    with suppress(OSError):  # it was never made, or others are still there
        mark.unlink()
        mark.parent.rmdir()


def order(id: str) -> tuple[str, int]:  # noqa: A002
    """Sorts IDs by time: `…Z-10` comes after `…Z-9`."""
    moment, _, number = id.partition("-")
    return moment, int(number or 1)


def checked(id: str) -> str:  # noqa: A002
    """ID, when it is one; BackupError when it is none: it becomes part of a path."""
    if not ID.fullmatch(id):
        raise BackupError(f'"{id}" is no backup\n  hint: runbook backup --list')
    return id


def safe(name: str) -> str:
    """NAME, when it stays inside its folder; BackupError `unsafe-path` when it does not."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or str(path) != name:
        raise BackupError(f'"{name}" is no name inside a backup', reason="unsafe-path")
    return name
