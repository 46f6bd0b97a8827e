"""The journal of a restore into production: what was planned and how far it came, on disk before anything is done.

What is exchanged is exchanged by renaming alone. So a restore that was killed can be looked at, finished or taken back by
looking which names are there.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any

from pytest_runbook import clock
from pytest_runbook.backup.destinations.folder import sync
from pytest_runbook.backup.manifest import Cache
from pytest_runbook.errors import RestoreError
from pytest_runbook.model import Record
from pytest_runbook.process import Process

NAME = "restore.json"
PREPARING, EXCHANGING, CHECKING, HELD, BACK = "preparing", "exchanging", "checking", "held", "back"
DONE, UNDONE, REFUSED = "done", "undone", "refused"
ENDED = ".ended"
"""Ending of the empty file beside the folder of a restore that is at its end: all may see that, and only it."""
HINT = "  hint: runbook restore --status by the user who made it, or by root, tells whether it is finished, and notes it for all"
OPEN = (PREPARING, EXCHANGING, CHECKING, HELD, BACK)
"""States in which a restore is neither finished nor taken back; in `back` every name is as it was, what is left is to start."""


@dataclass(frozen=True, slots=True)
class Swap(Record):
    """One exchange, by two renamings: what is there is put aside, what was made takes its name."""

    kind: str
    """`database` or `path`."""
    live: str
    """The name that the system knows."""
    aside: str
    """The name of what was there before; in a disaster nothing was."""
    made: str
    """The name of what was restored, until it takes its place."""
    had: bool | None = None
    """Whether anything was there before; None until the exchange begins, and nothing is renamed before that is on disk."""


@dataclass(slots=True)
class Restore(Record):
    """One restore into production."""

    id: str
    backup: str
    source: str
    parts: list[str]
    started: str
    process: dict[str, Any]
    state: str = PREPARING
    phase: str = ""
    """What is being done."""
    safety: str = ""
    """The backup of what was there before."""
    stop: list[str] | None = None
    """Services that ran and are stopped, to be started again; None: nobody has looked which ones yet, or they run again."""
    swaps: list[Swap] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    """Paths that this restore made: removed when it is given up before the exchange, for then nobody has anything in them."""
    database: str = ""
    """Name of the database that it made."""
    subscriptions: list[str] = field(default_factory=list)
    """Those of the database that was there that were enabled: they are disabled as long as it lies aside."""
    cache: Cache | None = None
    """What the cache has to show after its start; None: nothing was restored into it, or it has shown it."""
    cache_files: dict[str, str] = field(default_factory=dict)
    """What it said of its own files when data were made ready for them."""
    earlier: str = ""
    """The snapshot of the cache from before it was told to save: kept, it may be the last one that holds anything."""
    roles: list[str] = field(default_factory=list)
    """Roles of the database server that it made."""
    left_out: list[str] = field(default_factory=list)
    """What the backup leaves out on purpose, in words: once it is done, that is only in what was put aside."""
    story: list[str] = field(default_factory=list)
    """What happened, a line each."""
    since: str = ""
    """When the services were last started on what was restored: what the log says from before is of what was there."""
    finished: str = ""
    version: int = 1

    @property
    def serves(self) -> datetime | None:
        """Since when what was restored is in use; None when it never was."""
        return clock.parse(self.since) if self.since else None

    @property
    def open(self) -> bool:
        """Whether it is neither finished nor taken back."""
        return self.state in OPEN

    @property
    def touched(self) -> bool:
        """Whether the exchange had begun: what it made may have been live, and is nobody's to remove."""
        return any(one.had is not None for one in self.swaps)

    @property
    def alive(self) -> bool | None:
        """Whether somebody still works on it; None when that cannot be seen from here, as after a reboot."""
        return self.open and self.state != HELD and Process(**self.process).lives


class Journal:
    """Journals of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writing = Lock()

    def begin(self, id_: str, backup: str, source: str, parts: list[str]) -> Restore:
        """A new one, on disk."""
        made = Restore(id_, backup, source, parts, clock.iso(clock.now()), asdict(Process.current()))
        self.save(made)
        return made

    def path(self, id_: str) -> Path:
        """The folder of the restore ID_."""
        return self.folder / id_

    def save(self, restore: Restore) -> None:
        """Have RESTORE on disk, whole, before this returns; its parts are made ready side by side, and all of them say so."""
        folder = self.path(restore.id)
        try:
            _make(self.folder)
            folder.mkdir(exist_ok=True, mode=0o700)
            with self._writing:
                _write(folder, restore)
        except OSError as error:
            raise _unwritten(folder / NAME, error) from None
        self.note_ends([restore])

    def insist(self) -> None:
        """Raise RestoreError when we may not write one; reads nothing."""
        there = next(path for path in (self.folder, *self.folder.parents) if path.exists())
        if not os.access(there, os.W_OK | os.X_OK):
            raise RestoreError(
                f'"{there}" may not be written, and the journal of a restore comes there\n'
                "  hint: restore as its owner, or as root, or let root give it to those who restore"
            )

    def note_ends(self, restores: Iterable[Restore]) -> None:
        """Let those who may not read the journals of RESTORES, which are on disk, see which of them are at their end."""
        for note in [self._note(one.id) for one in restores if not one.open]:
            try:
                if not note.exists():
                    note.touch()
            except OSError as error:
                raise _unwritten(note, error) from None

    def _note(self, id_: str) -> Path:
        """What says that the restore ID_ is at its end; its folder is for nobody else."""
        return self.folder / f"{id_}{ENDED}"

    def all(self, tell: Callable[[str], None] = lambda _: None) -> list[Restore]:
        """Every restore, the oldest first; TELL is told of journals that say nothing, which keep nobody from restoring.

        RestoreError names those that we may not read.
        """
        found, unread = self._look()
        _judge(unread.values(), tell)
        return found

    def open(self, tell: Callable[[str], None] = lambda _: None) -> list[Restore]:
        """Those that are neither finished nor taken back, the oldest first; TELL and RestoreError as in `all`.

        Neither is of those that are seen to be at their end.
        """
        found, unread = self._look()
        names = self._names()
        _judge([error for id_, error in unread.items() if self._note(id_).name not in names], tell)
        return [one for one in found if one.open]

    def _look(self) -> tuple[list[Restore], dict[str, RestoreError]]:
        """Every restore, and by the ID why its journal was not read."""
        found, unread = list[Restore](), dict[str, RestoreError]()
        for id_ in (name for name in self._names() if not name.endswith(ENDED)):
            try:
                found.append(self.read(id_))
            except RestoreError as error:
                if error.reason != "missing":
                    unread[id_] = error
        return found, unread

    def _names(self) -> list[str]:
        """Of the folders that may hold a journal, and of the notes beside them."""
        try:
            return sorted(path.name for path in self.folder.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise _closed([f'"{self.folder}" cannot be read: {why}']) from None

    def read(self, id_: str) -> Restore:
        """The restore ID_."""
        try:
            data: Mapping[str, Any] = json.loads((self.path(id_) / NAME).read_text(encoding="utf-8"))
            found = Restore.from_json(data)
            found.swaps = [Swap.from_json(one) for one in data["swaps"]]
            found.cache = Cache.from_json(data["cache"]) if data.get("cache") else None
        except (FileNotFoundError, NotADirectoryError) as error:
            raise RestoreError(f'"{self.path(id_) / NAME}" cannot be read: {error}', reason="missing") from None
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise RestoreError(f'"{self.path(id_) / NAME}" cannot be read: {why}', reason="unreachable") from None
        except (ValueError, KeyError, TypeError) as error:
            why = f'"{self.path(id_) / NAME}" cannot be read: {error}'
            hint = (
                f'look by hand how far that restore came; when nothing of it is left to do: touch "{self._note(id_)}"'
            )
            raise RestoreError(f"{why}\n  hint: {hint}", reason="corrupt") from None
        return found

    def unfinished(self, id_: str = "") -> Restore:
        """The restore ID_, or the only one that is open, for this process to end; for who has the lock of restores.

        RestoreError when there is none. The lock tells that nobody works on it, except for one that is seen to live: that
        one stood still for so long that it lost the lock.
        """
        found = [one for one in self.open() if id_ in ("", one.id)]
        if len(found) != 1:
            known = ", ".join(one.id for one in found) or "none"
            raise RestoreError(f"which restore? unfinished: {known}\n  hint: runbook restore --status")
        one, current = found[0], asdict(Process.current())
        if one.alive and one.process != current:
            raise RestoreError(
                f'the restore "{one.id}" is going on (process {one.process["pid"]})\n  hint: wait for it, or end it'
            )
        one.process = current
        with suppress(RestoreError):  # a full disk keeps nobody from going back
            self.save(one)
        return one


def _make(folder: Path) -> None:
    """Have FOLDER, with the owner and the mode of what it lies in as far as we may: root restores, and after it others."""
    if folder.exists():
        return
    _make(folder.parent)
    folder.mkdir(exist_ok=True)
    around, here = folder.parent.stat(), os.open(folder, os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        with suppress(OSError):  # only root may give it away, and not on every disk
            os.fchmod(here, stat.S_IMODE(around.st_mode) & ~stat.S_IWOTH)
            os.fchown(here, around.st_uid, around.st_gid)
    finally:
        os.close(here)


def _write(folder: Path, restore: Restore) -> None:
    """Replace the journal of RESTORE in FOLDER, whole or not at all."""
    descriptor, temporary = tempfile.mkstemp(dir=folder)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(restore.to_json(), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(folder / NAME)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync(folder)


def _unwritten(path: Path, error: OSError) -> RestoreError:
    return RestoreError(f'"{path}" cannot be written: {(error.strerror or str(error)).lower()}')


def _judge(unread: Collection[RestoreError], tell: Callable[[str], None]) -> None:
    """TELL of the journals UNREAD that say nothing; RestoreError names those that we may not read."""
    for error in unread:
        if error.reason != "unreachable":
            tell(str(error))
    if closed := [str(error) for error in unread if error.reason == "unreachable"]:
        raise _closed(closed)


def _closed(whys: Iterable[str]) -> RestoreError:
    return RestoreError("\n".join([*whys, HINT]), reason="unreachable")
