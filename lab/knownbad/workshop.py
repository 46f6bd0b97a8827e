"""Where bad backups are made: a good one as raw material, and a scratch server to make other dumps and snapshots with."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg import sql
from pytest_runbook.backup import archive
from pytest_runbook.backup.checksums import of_file
from pytest_runbook.backup.manifest import CACHE, DATABASE, FILES, MANIFEST, Manifest
from pytest_runbook.backup.postgresql import Server
from pytest_runbook.backup.restore.cache import RDB, ScratchRedis
from pytest_runbook.backup.restore.database import Restoring
from pytest_runbook.backup.restore.postgresql import ScratchPostgresql

BASE = "base_of_the_workshop"


@dataclass
class Workshop:
    """Makes other dumps of the database, and other snapshots of the cache, of the good backup in FOLDER."""

    home: Path
    """A scratch folder."""
    folder: Path
    """The good backup."""
    bindir: Path
    redis: Path
    server: ScratchPostgresql = field(init=False)

    @property
    def manifest(self) -> Manifest:
        """Of the good backup."""
        return Manifest.parse((self.folder / MANIFEST).read_bytes())

    @property
    def restoring(self) -> Restoring:
        """Into that server."""
        return Restoring(self.bindir, Server("workshop", self.server.address()), 2, 60.0)

    def open(self) -> None:
        """Restore the good backup into a server of our own."""
        self.server = ScratchPostgresql(self.home, self.bindir)
        self.server.create()
        self.server.start()
        self.restoring.roles((self.folder / "roles.sql").read_text())
        self.restoring.create(BASE)
        faults = self.restoring.fill(BASE, self.folder / DATABASE, self.manifest)
        assert not faults, faults

    def close(self) -> None:
        """End the server."""
        self.server.stop()

    def dump(self, target: Path, *statements: str, name: str = "", options: tuple[str, ...] = ()) -> None:
        """Make TARGET the dump of a copy of the database in which STATEMENTS were executed; its NAME may be another."""
        told = self.manifest.database
        assert told
        name = name or told.name
        with self.server.connect() as session:
            session.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
            session.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(BASE))
            )
        self.restoring.properties(name, self.folder / DATABASE, told)
        with self.server.connect(name) as session:
            for statement in statements:
                session.execute(statement.encode())
        shutil.rmtree(target)
        command = [str(self.bindir / "pg_dump"), "-Fd", "-j", "2", "-f", str(target), *options]
        environment = {**os.environ, **Server("workshop", self.server.address(name)).environment}
        subprocess.run(command, env=environment, check=True, capture_output=True)

    def snapshot(self, target: Path) -> None:
        """Make TARGET the snapshot of another cache."""
        folder = self.home / "other-cache"
        folder.mkdir(exist_ok=True)
        with ScratchRedis(folder, self.redis) as server:
            server.start()
            with server.connect() as client:
                client.mset({f"another:{number}": "one" for number in range(7)})
                client.save()
            server.stop()
            shutil.move(server.folder / RDB, target)


@dataclass
class Bad:
    """A copy of the good backup, to be broken."""

    folder: Path
    workshop: Workshop
    name: str = ""
    """Its id, when it is not that of its folder."""

    def path(self, name: str) -> Path:
        """The file NAME."""
        return self.folder / name

    def largest(self) -> Path:
        """The largest file of rows in the dump."""
        return max(
            (one for one in self.path(DATABASE).iterdir() if one.name != "toc.dat"), key=lambda one: one.stat().st_size
        )

    def cut(self, path: Path, share: float = 0.5) -> None:
        """Leave SHARE of the file PATH."""
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])

    def flip(self, path: Path, at: float = 0.5) -> None:
        """Turn one bit of the file PATH round."""
        content = bytearray(path.read_bytes())
        content[min(int(len(content) * at), len(content) - 1)] ^= 0x10
        path.write_bytes(content)

    def grow(self, path: Path) -> None:
        """Add something to the file PATH."""
        path.write_bytes(path.read_bytes() + b"more")

    @contextmanager
    def told(self) -> Iterator[dict[str, Any]]:
        """What the manifest says, to be changed."""
        data: dict[str, Any] = json.loads(self.path(MANIFEST).read_text())
        yield data
        self.path(MANIFEST).write_text(json.dumps(data))

    def agree(self) -> None:
        """Have the manifest say of each file what it is now: sizes and checksums show nothing any more."""
        with self.told() as data:
            own = {path for path in self.folder.rglob("*") if path.is_file() and path.suffix != ".json"}
            data["stored"] = {
                path.relative_to(self.folder).as_posix(): {"size": path.stat().st_size, "sha256": of_file(path)}
                for path in sorted(own)
            }

    def other_dump(self, *statements: str, name: str = "", options: tuple[str, ...] = ()) -> None:
        """Put another dump in the place of the good one, and have the manifest agree."""
        self.workshop.dump(self.path(DATABASE), *statements, name=name, options=options)
        self.agree()

    def other_snapshot(self) -> None:
        """The same with the snapshot of another cache."""
        self.path(CACHE).unlink()
        self.workshop.snapshot(self.path(CACHE))
        self.agree()

    def other_archive(self, changed: Mapping[str, bytes | None], more: Mapping[str, bytes | tarfile.TarInfo]) -> None:
        """Write the archive anew: CHANGED members get other content or, with None, are left out; MORE are added."""
        old, new = self.path(FILES), self.path("new")
        with old.open("rb") as stream, archive.reading(stream) as source, archive.writing(new) as target:
            for member, content in archive.members(source):
                data = content.read() if content else b""
                data = changed.get(member.name, data) if member.name in changed else data  # type: ignore[assignment]
                if data is not None:
                    member.size = len(data)
                    target.addfile(member, io.BytesIO(data))
            for name, added in more.items():
                if isinstance(added, tarfile.TarInfo):
                    target.addfile(added)
                    continue
                member = tarfile.TarInfo(name)
                member.size = len(added)
                target.addfile(member, io.BytesIO(added))
        new.replace(old)
        self.agree()

    def a_file(self) -> str:
        """Name of a file that this backup's own archive has."""
        own = self.workshop.manifest
        return next(name for name, file in (own.files or {}).items() if file.backup == own.id and file.size > 100)
