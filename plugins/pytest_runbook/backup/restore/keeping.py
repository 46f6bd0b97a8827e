"""What restores keep beside what is in use: shown with its size, and removed when a person is sure and the checks are green."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from pytest_runbook.backup.postgresql import Server
from pytest_runbook.backup.restore import journal, replication, tree
from pytest_runbook.backup.restore.exchange import tag
from pytest_runbook.backup.restore.journal import Restore
from pytest_runbook.backup.restore.production import Production
from pytest_runbook.errors import BackupError, RestoreError

USED = """
    SELECT 1 FROM pg_stat_activity JOIN pg_subscription ON subdbid = datid
    WHERE datname = %s AND backend_type = 'client backend'
"""
WORDS = ("before", "restore", "earlier")
"""Of names that a restore gives."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One database, folder or file of a restore that nobody uses."""

    kind: str
    """`database` or `path`."""
    name: str
    size: int
    """Bytes."""

    def __str__(self) -> str:
        return f'the database "{self.name}"' if self.kind == "database" else f'"{self.name}"'


@dataclass(frozen=True, slots=True)
class Keeping:
    """What the restores of PRODUCTION keep."""

    production: Production

    def all(self) -> list[tuple[Restore, list[Kept]]]:
        """Each restore that keeps something, the oldest first."""
        found = [(one, self.of(one)) for one in self.production.journal.all(self.production.say)]
        return [(one, kept) for one, kept in found if kept]

    def of(self, restore: Restore) -> list[Kept]:
        """What RESTORE keeps; before its exchange that is an earlier snapshot of the cache at most."""
        exchange = self.production.exchange(restore)
        beside = (exchange.beside(restore) if restore.touched else []) + exchange.earlier(restore)
        return [Kept(kind, name, _size(kind, name, exchange.server)) for kind, name in beside]

    def only_there(self, restore: Restore) -> list[str]:
        """What is lost with what RESTORE keeps, in words: the backup that took its place had left it out."""
        return restore.left_out if restore.state == journal.DONE else []

    def discard(self, id_: str) -> list[Kept]:
        """Remove what the restore ID_ keeps; RestoreError while it is open, or when the system is not seen to be well."""
        production = self.production
        with production.alone(id_):
            restore = production.journal.read(id_)
            if restore.open:
                raise RestoreError(f'the restore "{id_}" is not finished\n  hint: runbook restore --finish, or --undo')
            kept = self.of(restore)
            for one in kept:
                if why := refusal(one, restore):
                    raise RestoreError(f"{one} is left, and all else: {why}")
            if kept:
                self._verify(restore)
            for one in kept:
                _remove(one, production.exchange(restore).server)
                production.tell(restore, f"{one} is removed ({one.size:,} bytes): somebody was sure")
        return kept

    def _verify(self, restore: Restore) -> None:
        """See that the system is well without what is kept: the checks that judge a restore look at it now."""
        if not self.production.loaded.settings.restore.checks:
            raise RestoreError(
                f'nobody verified what "{restore.id}" left in use: restore.checks is empty\n'
                "  hint: set it, or remove by hand what --kept names"
            )
        good, why = self.production.look(restore)
        if not good:
            what = "is not well" if good is False else "could not be looked at"
            raise RestoreError(f"the system {what}, so nothing is removed: {why}")


def refusal(kept: Kept, restore: Restore) -> str | None:
    """What speaks against removing KEPT; None when RESTORE put it aside. Changes nothing."""
    mark = "{word}_{tag}" if kept.kind == "database" else ".{word}-{tag}"
    if not kept.name.endswith(tuple(mark.format(word=word, tag=tag(restore.id)) for word in WORDS)):
        return "its name is not one that a restore gives"
    if kept.kind == "database":
        return None
    path = Path(kept.name)
    if Path(os.path.realpath(path.parent)) != path.parent:
        return "its path leads through a symbolic link"
    if mounted := [
        one.mountpoint for one in psutil.disk_partitions(all=True) if Path(one.mountpoint).is_relative_to(path)
    ]:
        return f'something is mounted at "{mounted[0]}"'
    return None


def _size(kind: str, name: str, server: Server | None) -> int:
    if kind == "database":
        assert server
        with server.connect() as session:
            row = session.execute("SELECT pg_database_size(%s)", (name,)).fetchone()
        return int(row[0]) if row else 0
    path = Path(name)
    inside = tree.below(path) if path.is_dir() and not path.is_symlink() else ()
    return path.lstat().st_size + sum(one.stat(follow_symlinks=False).st_size for _, one, _ in inside)


def _remove(kept: Kept, server: Server | None) -> None:
    if kept.kind == "path":
        path = Path(kept.name)
        try:
            tree.remove(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        except OSError as error:
            raise RestoreError(f"{kept} cannot be removed whole: {error.strerror or error}") from None
        return
    from psycopg import sql

    assert server
    try:
        with server.connect() as session:  # what somebody uses stays whole, with its subscriptions
            if session.execute(USED, (kept.name,)).fetchone():
                raise RestoreError(f"{kept} is not removed: it has subscriptions, and is accessed by other users")
        replication.forget(server, kept.name)
        with server.connect() as session:  # without FORCE: who is connected to it uses it
            session.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(kept.name)))
    except BackupError as error:
        raise RestoreError(f"{kept} is not removed: {error}") from None
