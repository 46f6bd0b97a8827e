"""Reads one file of a backup back: its size, its checksum, and what its own format says of it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from pytest_runbook import clock
from pytest_runbook.backup import archive, programs, rdb
from pytest_runbook.backup.checksums import PIECE, of_stream
from pytest_runbook.backup.filelist import Files
from pytest_runbook.backup.manifest import Cache, Database, Manifest, Stored
from pytest_runbook.backup.rows import Rows
from pytest_runbook.backup.running import output, run
from pytest_runbook.backup.verdict import Fault
from pytest_runbook.errors import BackupError

TIMEOUT = 14_400.0
"""Seconds that a program may take to read a dump or snapshot, unless the settings give more to making it."""
LEEWAY = timedelta(minutes=10)
"""Between the clocks of the machine that dumped and of what the manifest says."""
MADE = re.compile(r"^; Archive created at (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)", re.MULTILINE)
NAMED = re.compile(r"^;\s+dbname: (.*)$", re.MULTILINE)
ENTRY = re.compile(r"^\d+; \d+ \d+ TABLE (?!DATA |ATTACH )(.+)$", re.MULTILINE)
"""Schema, name and owner of a table in the listing of a dump, with spaces between them and, who knows, within."""
Found = Iterator[Fault]


def compared(stream: BinaryIO, name: str, told: Stored, take: Callable[[bytes], object]) -> Found:
    """Faults of the file NAME, whose content is STREAM; each piece of it is given to TAKE."""
    size, digest = of_stream(stream, take)
    if not size and told.size:
        yield Fault("empty", name, f"it has no content, {told.size} bytes were written")
    elif size < told.size:
        yield Fault("truncated", name, f"{size} bytes, {told.size} were written")
    elif (size, digest) != (told.size, told.sha256):
        yield Fault("corrupt", name, f"its checksum is not that of what was written ({size} bytes)")


def dump(folder: Path, bindir: Path, manifest: Manifest, database: Database, timeout: float = TIMEOUT) -> Found:
    """Faults of the dump in FOLDER, which is read whole by pg_restore in BINDIR, within TIMEOUT seconds each time."""
    name = folder.name
    # The time of an archive is told in the time zone of the reader; UTC is what it was written in.
    environment = {**os.environ, "TZ": "UTC", "LC_ALL": "C"}
    rows = Rows()
    # The rest, of which bodies of functions may say anything, has no files of its own: it is read with the listing.
    content: list[str | Path] = [bindir / "pg_restore", "--data-only", "-f", "-", folder]
    try:
        listing = output([bindir / "pg_restore", "--list", folder], environment, timeout, reason="not-a-dump")
        yield from listed(listing, name, manifest, database)
        run(content, environment, timeout, reason="not-a-dump", take=rows.add)
    except BackupError as error:
        yield Fault(error.reason, name, str(error))
        return
    yield from _content(name, rows, listing, database)


def listed(listing: str, name: str, manifest: Manifest, database: Database) -> Found:
    """Faults of the dump NAME that its LISTING, made by pg_restore in UTC, shows: of what, and of when it is."""
    if (found := NAMED.search(listing)) and found[1].strip() != database.name:
        yield Fault("wrong-database", name, f'it is of the database "{found[1].strip()}", not "{database.name}"')
    if found := MADE.search(listing):
        made = datetime.fromisoformat(found[1]).replace(tzinfo=UTC)
        if not manifest.moment - LEEWAY <= made <= clock.parse(manifest.finished) + LEEWAY:
            yield Fault("stale", name, f"it was made at {clock.iso(made)}, the manifest is of {manifest.created}")


def _content(name: str, rows: Rows, listing: str, database: Database) -> Found:
    """Faults of what the dump NAME would restore, of which these are the ROWS."""
    if not database.tables:
        yield Fault("no-tables", name, "it holds none")
    there = names(ENTRY.findall(listing))
    missing = [table for table in database.tables if flat(table) not in there]
    if missing:
        what = f"{len(missing)} of {len(database.tables)} tables are not in it: {', '.join(missing[:5])}"
        yield Fault("no-tables", name, what)
    for table, told in database.tables.items():
        found = rows.tables.get(table, 0)
        if found != told.rows and table not in database.excluded and table not in missing:
            yield Fault("no-rows", f"{name}:{table}", f"{found} rows, the manifest says {told.rows}")


def flat(name: str) -> str:
    """NAME as a listing shows it: on one line."""
    return name.replace("\n", " ").replace("\r", " ")


def names(entries: Iterable[str]) -> set[str]:
    """Every `schema.name`, `flat`, that ENTRIES of a listing may be of: spaces part schema, name and owner, and stand in each."""
    found = set()
    for entry in entries:
        words = entry.split(" ")
        for end in range(2, len(words)):
            name = " ".join(words[:end])
            found |= {f"{name[:place]}.{name[place + 1 :]}" for place, letter in enumerate(name) if letter == " "}
    return found


def snapshot(path: Path, manifest: Cache, server: Path | None) -> Found:
    """Faults of the snapshot in the file PATH; the checker in the program SERVER looks at it as well."""
    checksum = rdb.Checksum()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            checksum.add(piece)
    if fault := checksum.fault():
        yield Fault("not-a-dump", path.name, fault)
        return
    try:
        seen = rdb.read(path)
    except BackupError as error:
        yield Fault("not-a-dump", path.name, str(error))
        return
    if manifest.replication and seen.replication and manifest.replication != seen.replication:
        yield Fault("wrong-instance", path.name, "it is of another server than the manifest says")
    elif seen.whole and seen.keys != manifest.keys:
        yield Fault(
            "wrong-instance", path.name, f"keys per database are {seen.keys}, the manifest says {manifest.keys}"
        )
    if server is not None:
        try:
            run([server, path], os.environ, TIMEOUT, called=programs.checker(server), reason="not-a-dump")
        except BackupError as error:
            yield Fault(error.reason, path.name, str(error))


def files(stream: BinaryIO, left: Files, where: str, *, strict: bool) -> Iterator[Fault]:
    """Faults of the archive in STREAM, which has to have all files LEFT, taken out one by one; with STRICT, and no others."""
    try:
        with archive.reading(stream) as tar:
            for member, content in archive.members(tar):
                place = f"{where}:{member.name}"
                if not inside(member.name):
                    yield Fault("unsafe-path", place, "its path leads out of the folder")
                    continue
                if content is None and not member.isdir():
                    yield Fault("unsafe-path", place, "it is neither a regular file nor a folder")
                    continue
                told = left.pop(member.name, None)
                if told is None:
                    if strict:
                        yield Fault("unexpected", place, "the manifest does not know it")
                    continue
                digest = hashlib.file_digest(content, "sha256").hexdigest() if content is not None else ""  # type: ignore[arg-type]
                if (digest, member.size, member.isdir()) != (told.sha256, told.size, told.folder):
                    yield Fault("corrupt", place, "it is not what was backed up")
    except BackupError as error:
        yield Fault(error.reason or "corrupt", where, str(error))
        return
    for name in islice(left, 20):
        yield Fault("missing", f"{where}:{name}", "the archive does not have it")


def inside(name: str) -> bool:
    """Whether NAME, a path in an archive, stays in the folder that it is unpacked in, by whoever verifies or restores.

    A backslash is a letter like others: users choose names, and one of them must not make a backup that cannot be restored.
    """
    path = PurePosixPath(name)
    return (
        bool(path.parts)
        and not path.is_absolute()
        and ".." not in path.parts
        and "\0" not in name
        and str(path) == name
    )
