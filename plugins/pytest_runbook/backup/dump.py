"""The database of a backup: a dump, and figures of what is in it, both of one snapshot; roles beside it.

Sequences belong to no snapshot: `nextval` moves them for everybody at once. Their values are those that the dump has.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_runbook.backup import contents, postgresql, programs, tables
from pytest_runbook.backup.manifest import DATABASE, ROLES, Database
from pytest_runbook.backup.reading import flat, names
from pytest_runbook.backup.rows import plain
from pytest_runbook.backup.running import output, run
from pytest_runbook.errors import BackupError
from pytest_runbook.settings import Settings

ZSTD = 16
"""Version of pg_dump from which on it may know zstd."""
WITHOUT_ZSTD = re.compile(r"compress", re.IGNORECASE)
"""What a pg_dump that was built without it speaks of."""
LISTING = 600.0
"""Seconds that the listing of a dump may take."""
SET = re.compile(r"^\d+; \d+ \d+ SEQUENCE SET .*$", re.MULTILINE)
"""A sequence in the listing of a dump, and below what is restored of it."""
VALUE = re.compile(r"^SELECT pg_catalog\.setval\('((?:[^']|'')+)', (-?\d+), (true|false)\);$", re.MULTILINE)
SUBSCRIPTIONS = "subscriptions"
"""One of the objects of a manifest; pg_dump leaves them out when it is no superuser, and warns."""
WARNING = re.compile(r"^pg_dump: warning: (.+)$", re.MULTILINE)
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
        superuser = session.info.parameter_status("is_superuser") == "on"
        with contents.held(session) as snapshot, ThreadPoolExecutor(1) as pool:
            roots = contents.roots(session)
            options = (f"--snapshot={snapshot}", *_encoding(session))
            looking = pool.submit(_look, settings, session, ".".join(map(str, version)))
            try:
                warnings = _run(settings, server, place, version, options, folder, mark)
                found = looking.result()
            except BaseException:
                postgresql.cut(session)  # it may wait for a lock, and nobody waits for it any more
                raise
    listing = output([place / "pg_restore", "--list", folder / DATABASE], dict(os.environ), LISTING)
    excluded = _excluded(listing, found.database, roots) if part.exclude else found.database.excluded
    dumped = _sequences(place, folder / DATABASE, listing)
    sequences = {name: dumped.get(name) for name in found.database.sequences}
    objects = {what: number for what, number in found.database.objects.items() if superuser or what != SUBSCRIPTIONS}
    own = replace(found.database, excluded=excluded, sequences=sequences, objects=objects, warnings=warnings)
    return replace(found, database=own)


def _encoding(session: tables.Session) -> Iterator[str]:
    """Bytes of no encoding are dumped as they are: as text of one the server refuses them."""
    if session.info.parameter_status("server_encoding") == "SQL_ASCII":
        yield "--encoding=SQL_ASCII"


def _run(
    settings: Settings,
    server: postgresql.Server,
    place: Path,
    version: tuple[int, ...],
    options: Sequence[str],
    folder: Path,
    mark: str,
) -> list[str]:
    """The programs, one after the other; OPTIONS are further ones of pg_dump. What that warns of."""
    part = settings.backup.database
    for compression in _compressions(part.compression, version):
        command: list[str | Path] = [
            *(place / "pg_dump", "-Fd", "-w", "-j", str(part.jobs), "-f", folder / DATABASE),
            *options,
            *(f"--compress={compression}", f"--lock-wait-timeout={LOCK}", "--no-sync"),
            *(f"--exclude-table-data={name}" for name in part.exclude),
        ]
        try:
            said = run(command, server.environment, part.timeout, mark=mark)
            break
        except BackupError as error:
            if not compression.startswith("zstd") or not WITHOUT_ZSTD.search(str(error)):
                raise
    name = str(server.address.get("dbname", "postgres"))
    roles: list[str | Path] = [place / "pg_dumpall", "-w", "--globals-only", "--no-role-passwords", "--no-sync"]
    run([*roles, "-l", name, "-f", folder / ROLES], server.environment, part.timeout, mark=mark)
    return WARNING.findall(said)


def _excluded(listing: str, database: Database, roots: Mapping[str, str]) -> list[str]:
    """Tables of DATABASE without rows in the dump of LISTING; asked only where rows were left out on purpose.

    ROOTS are the tables that rows of some partitions are told of as.
    """
    kept = names(re.findall(r"^\d+; \d+ \d+ TABLE DATA (.+)$", listing, re.MULTILINE))
    kept |= {flat(root) for leaf, root in roots.items() if flat(leaf) in kept}
    return [table for table in database.tables if flat(table) not in kept]


def _sequences(place: Path, dumped: Path, listing: str) -> dict[str, int | None]:
    """The last value of each sequence as the dump in DUMPED restores it; None of one that was never used."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="runbook-", dir=dumped.parent) as chosen:
        chosen.write("\n".join(SET.findall(listing)) + "\n")
        chosen.flush()
        command: list[str | Path] = [place / "pg_restore", "-L", chosen.name, dumped]
        text = output(command, dict(os.environ), LISTING)
    found = VALUE.findall(text)
    return {plain(name.replace("''", "'")): int(value) if used == "true" else None for name, value, used in found}


def _look(settings: Settings, session: tables.Session, version: str) -> Dumped:
    """Figures of what SESSION, which holds all tables, sees: another one would wait behind whoever waits for its locks."""
    from psycopg import Error

    part = settings.backup.database
    try:
        found = contents.look(session, checksum_rows=part.checksum_rows, newest=part.newest, dump_version=version)
        return Dumped(found, tables.revision(session, part.revision) if part.revision else None)
    except Error as error:
        raise postgresql.worded(error, part.probe) from None


def _compressions(level: int, version: tuple[int, ...]) -> Iterator[str]:
    """What to compress with, the best first."""
    if level and version >= (ZSTD,):
        yield f"zstd:{level}"
    yield str(min(level, 9))
