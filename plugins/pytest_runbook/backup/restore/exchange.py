"""Exchanges what is there for what was restored, by renaming: forward, and back again, from wherever it came to."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from pytest_runbook.backup.postgresql import Server
from pytest_runbook.backup.restore import replication, sessions, tree
from pytest_runbook.backup.restore.journal import Restore, Swap
from pytest_runbook.errors import BackupError, RestoreError

if TYPE_CHECKING:
    from pytest_runbook.backup.restore.database import Session

TRIES = 20
"""Of renaming a database: clients come back between the end of their session and the renaming."""
IN_USE = "55006"
OURS = re.compile(r".*\.restore-[0-9a-z]+|\.runbook-restore-[0-9a-z]+")
"""Names of what a restore makes beside what is there."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """Renames databases of SERVER and paths of this machine."""

    server: Server | None
    """As a role that may rename databases; None where no database is exchanged."""
    sure: Callable[[], None] = lambda: None
    """Asked before each renaming: raises when somebody else may act by now."""
    tell: Callable[[str], None] = lambda _: None
    """Takes what was refused, and ends nothing."""

    def begin(self, restore: Restore) -> None:
        """Note in RESTORE what is there before: to be saved before `forward` renames anything. What is done stays noted."""
        noted = []
        for one in restore.swaps:
            if self._is_there(one.kind, one.made):
                if one.kind == "database":
                    found = replication.enabled(self._server, one.live)
                    restore.subscriptions = sorted({*restore.subscriptions, *found})
                had = self._is_there(one.kind, one.live) or self._is_there(one.kind, one.aside)
                noted.append(replace(one, had=had))
            elif one.had is None:
                raise RestoreError(f'what was restored as "{one.made}" is not there')
            else:
                noted.append(one)
        restore.swaps = noted

    def forward(self, restore: Restore) -> None:
        """Do what of the exchanges of RESTORE was not done yet: as long as what was made has its own name, it was not."""
        for one in restore.swaps:
            if self._is_there(one.kind, one.made):
                if one.kind == "database":
                    replication.disable(self._server, one.live, self.tell)
                self._move(one.kind, one.live, one.aside)
                self._move(one.kind, one.made, one.live)
            elif not self._is_there(one.kind, one.live):
                raise RestoreError(f'there is neither "{one.live}" nor "{one.made}"')

    def back(self, restore: Restore) -> None:
        """Take back what of them was done, the last one first; as often as anybody likes."""
        for kind, before, after in self.way_back(restore):
            if kind == "database" and after == restore.database:
                replication.disable(self._server, before, self.tell)  # somebody may have enabled one since
            self._move(kind, before, after)
        for one in restore.swaps:
            if one.kind == "database":
                replication.enable(self._server, one.live, restore.subscriptions, self.tell)

    def way_back(self, restore: Restore) -> list[tuple[str, str, str]]:
        """The renamings that `back` does: kind, before, after; RestoreError when they may or can not be done. Changes nothing.

        As long as nothing lies aside, what is at its place is what was there before: it is left alone.
        """
        found = []
        for one in reversed(restore.swaps):
            live, aside, made = (self._is_there(one.kind, name) for name in (one.live, one.aside, one.made))
            if one.had and not aside and not made:
                raise RestoreError(
                    f'there is neither "{one.aside}", which was there before, nor "{one.made}", which was restored\n'
                    f'  hint: somebody removed one of them; look what "{one.live}" is, --finish leaves it as it is'
                )
            if one.had is None or (one.had and not aside):
                continue
            if live and made and aside:
                raise _both(one.aside, one.live)
            if live and not made:
                found.append((one.kind, one.live, one.made))
            if aside:
                found.append((one.kind, one.aside, one.live))
        for kind, before, _ in found:
            if kind == "database":
                with self._server.connect() as session:
                    sessions.refuse_prepared(session, before)
        if found:
            self.sure()
        return found

    def insist_on_ends(self, restore: Restore) -> None:
        """Raise RestoreError when a database is still to be exchanged and somebody uses it whose session may not be ended."""
        for one in restore.swaps:
            if one.kind == "database" and self._is_there(one.kind, one.made):
                sessions.insist(self._server, one.live)

    def whole(self, restore: Restore) -> bool:
        """Whether all of the exchange of RESTORE was done."""
        return not any(self._is_there(one.kind, one.made) for one in restore.swaps)

    def beside(self, restore: Restore) -> list[tuple[str, str]]:
        """Kind and name of what lies beside what is in use."""
        names = [(one.kind, name) for one in restore.swaps for name in (one.aside, one.made)]
        return [(kind, name) for kind, name in names if self._is_there(kind, name)]

    def earlier(self, restore: Restore) -> list[tuple[str, str]]:
        """The same of the snapshot that the cache had before it was told to save."""
        return [("path", restore.earlier)] if restore.earlier and os.path.lexists(restore.earlier) else []

    def kept(self, restore: Restore) -> list[str]:
        """The same in words."""
        return [f'the database "{name}"' if kind == "database" else f'"{name}"' for kind, name in self.beside(restore)]

    def _move(self, kind: str, before: str, after: str) -> None:
        """Give what is called BEFORE the name AFTER; nothing may be there under the first, and must be under the second."""
        if not self._is_there(kind, before):
            return
        if self._is_there(kind, after):
            raise _both(before, after)
        self._rename(kind, before, after)

    def _is_there(self, kind: str, name: str) -> bool:
        if kind == "path":
            return os.path.lexists(name)
        with self._server.connect() as session:
            return session.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None

    def _rename(self, kind: str, before: str, after: str) -> None:
        self.sure()
        if kind == "path":
            try:
                Path(before).rename(after)
            except OSError as error:
                raise RestoreError(
                    f'"{before}" cannot be renamed to "{after}": {(error.strerror or str(error)).lower()}\n'
                    "  hint: what is mounted there has to be emptied and filled by hand"
                ) from None
            return
        with self._server.connect() as session:
            rename_database(session, before, after)

    @property
    def _server(self) -> Server:
        assert self.server
        return self.server


def _both(before: str, after: str) -> RestoreError:
    return RestoreError(f'there is both "{before}" and "{after}"\n  hint: look at both, and rename by hand')


def rename_database(session: Session, before: str, after: str) -> None:
    """Rename the database BEFORE, whose sessions are ended."""
    import psycopg
    from psycopg import sql

    statement = sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(before), sql.Identifier(after))
    for attempt in range(1, TRIES + 1):
        left = sessions.end(session, before)
        try:
            session.execute(statement)
            return
        except psycopg.Error as error:
            if error.sqlstate != IN_USE or attempt == TRIES:
                raise
            sessions.refuse(before, left)
        time.sleep(0.1)


def drop_database(server: Server, name: str) -> None:
    """Remove the database NAME, if there is one."""
    from psycopg import sql

    replication.forget(server, name)
    with server.connect() as session:
        session.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def drop_roles(server: Server, names: Sequence[str]) -> list[str]:
    """Remove the roles NAMES; what is left of them, because something belongs to one by now."""
    from psycopg import sql

    left = []
    for name in names:
        try:
            with server.connect() as session:
                session.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))
        except BackupError as error:
            left.append(f'the role "{name}" is left: {error}')
    return left


def remove_made(restore: Restore, say: Callable[[str], None]) -> None:
    """Remove the paths that RESTORE made and that were not exchanged, or were taken back."""
    for text in restore.made:
        path = Path(text)
        if why := refusal(path, restore):
            if os.path.lexists(path):
                say(f'"{path}" is left: {why}')
        elif path.is_dir():
            tree.remove(path)
        else:
            path.unlink()


def refusal(path: Path, restore: Restore) -> str | None:
    """What speaks against removing PATH; None when RESTORE made it. Changes nothing."""
    if not os.path.lexists(path):
        return "it is not there"
    if (
        str(path) not in restore.made
        or not path.name.endswith(f"restore-{tag(restore.id)}")
        or not OURS.fullmatch(path.name)
    ):
        return "this restore did not make it"
    if path.is_symlink() or Path(os.path.realpath(path)) != path:
        return "its path leads through a symbolic link"
    if os.path.ismount(path):
        return "something is mounted there"
    return None


def obstacle(path: Path) -> str | None:
    """Why PATH, or what is to come there, cannot be renamed, and what to do; None when it can, as far as can be seen."""
    if not path.parent.is_dir():
        return f'there is no folder "{path.parent}"\n  hint: mount its disk, or make it'
    # Python sees no folder that is mounted at another place of the same disk; the system's own list names it.
    if os.path.ismount(path) or str(path) in {one.mountpoint for one in psutil.disk_partitions(all=True)}:
        return (
            "something is mounted there, and that cannot be renamed\n"
            "  hint: let the root be a folder inside of it; or empty and fill it by hand with what\n"
            "  `runbook restore ID`, without --into, lays out to look at"
        )
    return None


def tag(id_: str) -> str:
    """What names of the restore ID_ end in."""
    return re.sub(r"[^0-9a-z]", "", id_.lower())


def beside(path: Path, restore: Restore, word: str) -> Path:
    """The name beside PATH of what is to come (`restore`), or of what was there (`before`, `earlier`)."""
    return path.with_name(f"{path.name}.{word}-{tag(restore.id)}")


def swap_of(path: Path, restore: Restore) -> Swap:
    """What brings the one beside PATH to its place, and what is there out of it."""
    return Swap("path", str(path), str(beside(path, restore, "before")), str(beside(path, restore, "restore")))
