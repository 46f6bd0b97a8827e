"""Makes everything ready beside what is there, while the system serves: the exchange itself then takes seconds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pytest_runbook.backup import comparing, contents, owners, programs
from pytest_runbook.backup.comparing import Proof
from pytest_runbook.backup.manifest import CACHE, DATABASE, ROLES, Manifest
from pytest_runbook.backup.postgresql import Server
from pytest_runbook.backup.reaching import reached
from pytest_runbook.backup.restore import (
    exchange,
    fetching,
    files,
    places,
    policies,
    replication,
    room,
    servers,
    serving,
    together,
    tree,
)
from pytest_runbook.backup.restore.cache import RDB, ScratchRedis
from pytest_runbook.backup.restore.database import Restoring, place
from pytest_runbook.backup.restore.journal import Restore, Swap
from pytest_runbook.backup.restore.servers import administrator
from pytest_runbook.backup.restore.together import GivenUp
from pytest_runbook.backup.restore.versions import Versions
from pytest_runbook.backup.verdict import Fault
from pytest_runbook.errors import RestoreError

if TYPE_CHECKING:
    from pytest_runbook.backup.destinations import Destination
    from pytest_runbook.settings import Settings

BY_HAND = "a superuser of the server has to see to it by hand"
Timed: TypeAlias = Callable[[str, str], AbstractContextManager[object]]
"""Takes the time of what is done inside, by name and title."""


@dataclass
class Preparing:
    """Gets one RESTORE of the backup of MANIFEST ready; HOME is a scratch folder, SAVE keeps the journal."""

    settings: Settings
    root: Path
    destination: Destination
    manifest: Manifest
    restore: Restore
    home: Path
    save: Callable[[], None]
    proofs: list[Proof]
    """What was compared with the manifest is added."""
    tell: Callable[[str], None]
    """Takes what a person should know before the exchange."""
    _given_up: GivenUp = field(default_factory=GivenUp)

    def run(self, timed: Timed) -> None:
        """All parts that were asked for and that the backup holds, side by side, each TIMED."""
        parts = self.restore.parts
        tasks: list[tuple[str, str, Callable[[], None]]] = []
        if "database" in parts and self.manifest.database:
            tasks.append(("database", "the database is restored beside the one that is there", self._database))
        if "cache" in parts and self.manifest.cache:
            tasks.append(("cache", "the cache's data are made ready", self._cache))
        if there := self._places():
            part = partial(self._files, there)
            tasks.append(("files", "the files are restored beside those that are there", part))

        room.insist(room.needed(self.settings, self.manifest, parts, there, self.tell))

        def task(name: str, title: str, part: Callable[[], None]) -> None:
            with timed(name, title):
                part()

        together.work([partial(task, *one) for one in tasks], self.home, self._given_up)
        self.restore.swaps.sort(key=lambda one: (one.kind, one.live))  # whichever part was ready first
        self.save()

    def _database(self) -> None:
        """A new database beside the one that is there, compared with the manifest."""
        told = self.manifest.database
        assert told
        folder = self.home / "database"
        names = [name for name in self.manifest.stored if name.startswith(f"{DATABASE}/") or name == ROLES]
        self._whole(fetching.fetch(self.destination, self.manifest, names, folder, self._given_up))
        server = administrator(self.settings)
        live = servers.live(self.settings, told)
        new, before = (
            f"{live}_restore_{exchange.tag(self.restore.id)}",
            f"{live}_before_{exchange.tag(self.restore.id)}",
        )
        self.restore.database = new
        self.restore.swaps.append(Swap("database", live, before, new))
        self.save()
        own = self.settings.restore
        restoring = Restoring(place(self.settings, told), server, own.jobs, own.timeout, str(self.home))
        text = (folder / ROLES).read_text(encoding="utf-8") if ROLES in names else ""
        refused = self._roles(restoring, text)
        needed = replace(told, roles=[name for name in told.roles if name not in refused])
        restoring.create(new, told.encoding or "UTF8", locale=told.locale)
        restoring.owner(new, folder / DATABASE, told)  # what is refused is told at the end, with all else
        self._given_up.heed()
        self._whole(restoring.fill(new, folder / DATABASE, self.manifest))
        part = self.settings.backup.database
        beside = Server(server.name, {**server.address, "dbname": new})
        with beside.connect() as session, self._given_up.cuts(session):  # for as long as reading all rows takes
            with policies.unforced(session), contents.transaction(session):
                seen = contents.look(session, checksum_rows=part.checksum_rows, newest=list(told.newest), told=told)
            self._compared(comparing.database(needed, seen))
            for one in comparing.incomparable(told, seen, told.tables):
                self.tell(one)
            same = all(told.locale.get(word) == seen.locale.get(word) for word in ("provider", "collate", "ctype"))
            if told.locale and not same:
                self._whole([Fault("not-restored", "database", f"it sorts as {seen.locale}, not as {told.locale}")])
            session.execute("ANALYZE")
        for line in replication.restored(server, new, live):
            self.tell(line)
        self._properties(restoring, new, folder / DATABASE)

    def _properties(self, restoring: Restoring, new: str, dump: Path) -> None:
        """Last, for its settings are meant for the system, not for us. All data are there: what is refused is only told."""
        assert self.manifest.database
        given, problems = restoring.properties(new, dump, self.manifest.database)
        proofs, faults = comparing.properties(self.manifest.database, given)
        self.proofs += proofs
        for problem in (*problems, *map(str, faults)):
            self.tell(f"{problem}\n  hint: {BY_HAND}")

    def _roles(self, restoring: Restoring, text: str) -> list[str]:
        """Make the roles that are missing: production's own are not touched. Those that were refused; a dump that needs one
        is refused as well.
        """
        self.restore.roles = restoring.missing(text)
        self.save()
        for problem in restoring.roles(text, self.restore.roles):
            self.tell(f"{problem}\n  hint: {BY_HAND}")
        refused = restoring.missing(text)
        self.restore.roles = [name for name in self.restore.roles if name not in refused]
        self.save()
        for name in self.restore.roles:
            self.tell(f'the role "{name}" is new, and has no password')
        return refused

    def _cache(self) -> None:
        """What the cache's own folder has to hold for it to start with what was saved."""
        told = self.manifest.cache
        assert told
        self._whole(fetching.fetch(self.destination, self.manifest, [CACHE], self.home / "cache", self._given_up))
        where = serving.files(self.settings)
        folder = serving.folder(self.settings, where)
        snapshot = folder.resolve() / where["dbfilename"]
        earlier = exchange.beside(snapshot, self.restore, "earlier")
        self.restore.earlier = str(earlier)
        self.save()
        serving.prove(self.settings, snapshot, earlier, self._given_up.heed)
        if earlier.exists():
            self.tell(f'the snapshot of the cache from before is kept as "{earlier}"')
        least = int(told.version.partition(".")[0]) if told.server == "redis" else 0
        program = programs.redis(self.settings.backup.programs.redis, least=least)
        for source, name in self._made(program, where):
            self._beside(source, folder / name, like=folder)
        self.restore.cache, self.restore.cache_files = told, where
        self.save()

    def _made(self, program: Path, where: dict[str, str]) -> list[tuple[Path, str]]:
        """Files that the cache would start with, made by a server of our own, and their names in its folder as WHERE says."""
        assert self.manifest.cache
        names = {key: where[key] for key in ("appenddirname", "appendfilename") if where.get(key)}
        with ScratchRedis(self.home, program, names, self.settings.restore.timeout) as server:
            server.place(self.home / "cache" / CACHE)
            server.start()
            self._compared(comparing.cache(self.manifest.cache, server.keys()))
            made = [(server.folder / RDB, where["dbfilename"])]
            if where.get("appendonly") == "yes":
                server.append()
                made.append(_appended(server.folder, names, program))
        return made

    def _places(self) -> dict[str, Path]:
        """Where the roots lie that are restored; of which the backup holds nothing, is told."""
        if self.manifest.files is None:
            return {}
        there = places.held(self.settings, self.root, self.manifest, self.restore.parts)
        for name in sorted(places.wanted(self.settings, self.restore.parts) - there.keys()):
            self.tell(f'the backup holds nothing of "{name}": what is there stays as it is')
        return there

    def _files(self, there: dict[str, Path]) -> None:
        """The files of each root beside the one that is THERE."""
        versions = Versions(self.settings, self.root, f"restore:{self.restore.id}", self.tell)
        found = versions.found()
        for some in places.by_disk(there):  # nothing moves from one disk to another by renaming
            self._on_one_disk(some, partial(versions.keep, found))

    def _on_one_disk(self, there: dict[str, Path], keep: Callable[[Mapping[Path, Path]], None]) -> None:
        staging = next(iter(there.values())).parent / f".runbook-restore-{exchange.tag(self.restore.id)}"
        self.restore.made.append(str(staging))
        self.save()
        self._whole(files.restore(self.destination, self.manifest, staging, set(there), self._given_up))
        keep({target: staging / name for name, target in there.items()})
        for name, target in there.items():
            root = (self.manifest.files or {}).get(name)
            mode = root.mode & files.OF_FOLDERS if root and root.folder else None
            new = self._beside(staging / name, target, like=target if target.exists() else target.parent, mode=mode)
            if os.geteuid() == 0:
                self._owned(name, new)
        staging.rmdir()

    def _owned(self, root: str, new: Path) -> None:
        """Give what is NEW of ROOT back to whom each part belonged to; where that cannot be, it stays as it is."""
        stays = dict[str, str]()
        for name, file in (self.manifest.files or {}).items():
            self._given_up.heed()
            if files.root_of(name) != root or not file.owner:
                continue
            parent, _, own = f"{new.name}{name.removeprefix(root)}".rpartition("/")
            try:
                with reached(new.parent, parent) as within:
                    os.chown(own, *owners.numbers(file.owner), dir_fd=within, follow_symlinks=False)
            except KeyError:
                stays[file.owner] = "this machine does not know them"
            except OSError as error:  # as in a container that has not all users
                stays[file.owner] = (error.strerror or str(error)).lower()
        for owner, why in sorted(stays.items()):
            self.tell(f'of "{root}", what belonged to {owner} belongs to the owner of its folder: {why}')

    def _beside(self, source: Path, target: Path, *, like: Path, mode: int | None = None) -> Path:
        """Move SOURCE beside TARGET, owned by whom LIKE belongs to; where it is now, until the exchange brings it there.

        A folder gets MODE, or that of LIKE.
        """
        target = target.parent.resolve() / target.name
        new = exchange.beside(target, self.restore, "restore")
        self.restore.made.append(str(new))
        self.restore.swaps.append(exchange.swap_of(target, self.restore))
        self.save()
        if source.is_dir():
            source.chmod(0o700)  # one that may not be written in cannot be moved
        shutil.move(source, new)
        owner = like.stat()
        if os.geteuid() == 0:
            os.chown(new, owner.st_uid, owner.st_gid, follow_symlinks=False)
            for _, one, within in tree.below(new) if new.is_dir() else ():  # there may be millions
                self._given_up.heed()
                os.chown(one.name, owner.st_uid, owner.st_gid, dir_fd=within, follow_symlinks=False)
        if new.is_dir():
            new.chmod(owner.st_mode & files.PERMISSIONS if mode is None else mode)
        return new

    def _compared(self, found: tuple[list[Proof], list[Fault]]) -> None:
        self.proofs += found[0]
        self._whole(found[1])

    def _whole(self, faults: list[Fault]) -> None:
        if faults:
            raise RestoreError("\n".join(["the backup cannot be restored", *(f"  {fault}" for fault in faults[:10])]))


def _appended(folder: Path, names: Mapping[str, str], program: Path) -> tuple[Path, str]:
    """What PROGRAM has appended to in FOLDER, and its name; RestoreError when the cache that NAMES them does not read it."""
    if not (folder / names.get("appenddirname", "appendonlydir")).is_dir():
        return folder / names["appendfilename"], names["appendfilename"]
    if "appenddirname" in names:
        return folder / names["appenddirname"], names["appenddirname"]
    raise RestoreError(
        f'the cache in use appends to one file, "{names["appendfilename"]}", as Redis before 7 does; "{program}" makes a folder\n'
        "  hint: let backup.programs.redis name a redis-server of the version of the cache"
    )
