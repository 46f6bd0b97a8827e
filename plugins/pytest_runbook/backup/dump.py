"""The database of a backup: a dump, and figures of what is in it, both of one snapshot; roles beside it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_runbook.backup import contents, postgresql, programs
from pytest_runbook.backup.manifest import DATABASE, ROLES, Database
from pytest_runbook.backup.reading import names
from pytest_runbook.backup.running import run
from pytest_runbook.errors import BackupError
from pytest_runbook.settings import Settings

ZSTD = 16
"""Version of pg_dump from which on it may know zstd."""
WITHOUT_ZSTD = re.compile(r"compress", re.IGNORECASE)
"""What a pg_dump that was built without it speaks of."""
LISTING = 600.0
"""Seconds that the listing of a dump may take."""
LOCK = "60s"
"""How long a table may be locked by somebody before the dump is given up."""


@dataclass(frozen=True, slots=True)
class Dumped:
    """What was dumped."""

    database: Database
    revision: str | None
    """Of the migrations."""


def dump(settings: Settings, folder: Path, mark: str) -> Dumped:
    """Dump the database of SETTINGS into FOLDER/database and its roles into FOLDER/roles.sql."""
    part, server = settings.backup.database, postgresql.of_backup(settings)
    with server.connect() as session:
        major = session.info.server_version // 10000
        place = programs.postgresql(
            settings.backup.programs.postgresql, ("pg_dump", "pg_dumpall", "pg_restore"), least=major
        )
        version = programs.version(place / "pg_dump")
        with contents.transaction(session), server.connect() as other, ThreadPoolExecutor(1) as pool:
            row = session.execute("SELECT pg_export_snapshot()").fetchone()
            snapshot = str(row[0]) if row else ""
            looking = pool.submit(_look, settings, other, snapshot, ".".join(map(str, version)))
            try:
                _run(settings, server, place, version, snapshot, folder, mark)
                found = looking.result()
            except BaseException:
                postgresql.cut(other)  # it may wait for a lock, and nobody waits for it any more
                raise
    excluded = _excluded(place, folder, found.database) if part.exclude else []
    return replace(found, database=replace(found.database, excluded=excluded))


def _run(
    settings: Settings,
    server: postgresql.Server,
    place: Path,
    version: tuple[int, ...],
    snapshot: str,
    folder: Path,
    mark: str,
) -> None:
    """The programs, one after the other."""
    part = settings.backup.database
    for compression in _compressions(part.compression, version):
        command: list[str | Path] = [
            *(place / "pg_dump", "-Fd", "-w", "-j", str(part.jobs), "-f", folder / DATABASE),
            *(f"--snapshot={snapshot}", f"--compress={compression}", f"--lock-wait-timeout={LOCK}", "--no-sync"),
            *(f"--exclude-table-data={name}" for name in part.exclude),
        ]
        try:
            run(command, server.environment, part.timeout, mark=mark)
            break
        except BackupError as error:
            if not compression.startswith("zstd") or not WITHOUT_ZSTD.search(str(error)):
                raise
    name = str(server.address.get("dbname", "postgres"))
    roles: list[str | Path] = [place / "pg_dumpall", "-w", "--globals-only", "--no-role-passwords", "--no-sync"]
    run([*roles, "-l", name, "-f", folder / ROLES], server.environment, part.timeout, mark=mark)


def _excluded(place: Path, folder: Path, database: Database) -> list[str]:
    """Tables of DATABASE without rows in the dump; asked only where rows were left out on purpose."""
    listing = run([place / "pg_restore", "--list", folder / DATABASE], dict(os.environ), LISTING).stdout
    kept = re.findall(r"^\d+; \d+ \d+ TABLE DATA (.+)$", listing, re.MULTILINE)
    return [table for table in database.tables if not any(names(entry, table) for entry in kept)]


def _look(settings: Settings, session: contents.Session, snapshot: str, version: str) -> Dumped:
    """Figures of what SNAPSHOT holds."""
    from psycopg import Error, sql

    part = settings.backup.database
    try:
        with contents.transaction(session, sql.Literal(snapshot)):
            found = contents.look(session, checksum_rows=part.checksum_rows, newest=part.newest, dump_version=version)
            return Dumped(found, contents.revision(session, part.revision) if part.revision else None)
    except Error as error:
        raise postgresql.worded(error, part.probe) from None


def _compressions(level: int, version: tuple[int, ...]) -> Iterator[str]:
    """What to compress with, the best first."""
    if level and version >= (ZSTD,):
        yield f"zstd:{level}"
    yield str(min(level, 9))
