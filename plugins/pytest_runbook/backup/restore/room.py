"""Looks whether what a backup says of its own size has room on its disks, before anything is brought there."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_runbook.backup.addresses import here
from pytest_runbook.backup.manifest import CACHE, DATABASE
from pytest_runbook.backup.postgresql import Server
from pytest_runbook.backup.restore import files, places, scratch
from pytest_runbook.backup.restore.servers import administrator
from pytest_runbook.errors import RestoreError

if TYPE_CHECKING:
    from pytest_runbook.backup.manifest import Manifest
    from pytest_runbook.settings import Settings

WAL_MAY_GROW = """
    SELECT greatest(0, pg_size_bytes(current_setting('max_wal_size')) - (SELECT sum(size) FROM pg_ls_waldir()))::bigint
"""
"""Bytes that the write-ahead log takes beyond what it has: whatever is restored is written into it as well."""


@dataclass(frozen=True, slots=True)
class Need:
    """Room for SIZE bytes on the disk of FOLDER, and the HINT what to do where there is none."""

    folder: Path
    size: int
    hint: str


def insist(needs: Iterable[Need]) -> None:
    """Raise RestoreError, with the hint of the largest, when a disk has no room for all NEEDS of it."""
    disks: dict[int, list[Need]] = {}
    for need in needs:
        place = need.folder
        while not place.exists():  # in a disaster it may be gone
            place = place.parent
        disks.setdefault(place.stat().st_dev, []).append(replace(need, folder=place))
    for some in disks.values():
        most, size = max(some, key=lambda one: one.size), sum(one.size for one in some)
        free = shutil.disk_usage(most.folder).free
        if free < size:
            raise RestoreError(
                f'"{most.folder}" has {free / 1e6:,.1f} MB free, what is restored on its disk needs {size / 1e6:,.1f} MB\n'
                f"  hint: {most.hint}"
            )


def needed(
    settings: Settings, manifest: Manifest, parts: Collection[str], there: dict[str, Path], tell: Callable[[str], None]
) -> Iterator[Need]:
    """What PARTS of the backup of MANIFEST take: what is fetched, the database, and the files beside those that are THERE.

    TELL is told when nobody can look at the disk of the database.
    """
    fetching = {name for part, name in (("database", DATABASE), ("cache", CACHE)) if part in parts}
    fetched = sum(one.size for name, one in manifest.stored.items() if name.partition("/")[0] in fetching)
    own = settings.drill.folder
    yield Need(scratch.place(own), fetched, "make room, or set drill.folder to a folder that has it")
    for some in places.by_disk(there):
        size = sum(file.size for name, file in (manifest.files or {}).items() if files.root_of(name) in some)
        parent = next(iter(some.values())).parent
        yield Need(parent, size, "make room on the disk of the files, or leave them out with --only")
    if "database" in parts and manifest.database:
        server, size = administrator(settings), manifest.database.size
        if need := of_database(server, size):
            yield need
        else:
            tell(f'nobody could look at the disk of "{server.name}": the database needs {size / 1e6:,.1f} MB there')


def of_database(server: Server, size: int) -> Need | None:
    """What a database of SIZE bytes needs on the disk of SERVER, with its log; None when nobody can look at that disk."""
    import psycopg

    if not here(server.address):
        return None
    with server.connect() as session:
        try:
            [folder] = session.execute("SHOW data_directory").fetchone() or [""]
            [wal] = session.execute(WAL_MAY_GROW).fetchone() or [0]
        except psycopg.errors.InsufficientPrivilege:
            return None
    place = Path(folder)
    try:
        if not place.is_dir():
            return None  # it is in a container
    except PermissionError:
        return None
    return Need(place, size + wal, "make room: a database whose disk is full stops, the one in use as well")
