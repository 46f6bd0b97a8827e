"""Looks whether what a backup says of its own size has room on its disks, before anything is brought there."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_runbook.backup.addresses import here
from pytest_runbook.backup.postgresql import Server
from pytest_runbook.errors import RestoreError

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
